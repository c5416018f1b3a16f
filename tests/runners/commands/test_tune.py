"""``deepboot tune``: from a study with a table ``tune`` to one whose settings are frozen, on fresh seeds."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w

from deepboot.bootstrap import results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners import study_files
from deepboot.runners.commands import tune
from deepboot.runners.run import engine
from deepboot.runners.run.execute import Failure
from tests.bootstrap.conftest import parity

PAGE = Path(__file__).parents[3] / "docs" / "tuning.md"
ARMS = [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}]
TUNE = {
    "seeds": [100, 101, 102], "parameters": {"optimizer.lr": [1e-7, 0.02]},
    "own": [{"where": {"optimizer.name": "sgd"}, "parameters": {"optimizer.lr": [0.1, 1e-7]}}],
}  # fmt: skip
CLAIM = {"kind": "rate", "event": "memorization", "min_rate": 0.1, "text": "Some memorise."}


@pytest.fixture
def study(tmp_path):
    """A study of two optimizers that memorise 24 samples within 60 steps, but for a rate that is next to nothing."""
    path = tmp_path / "arms.toml"
    raw = parity(training__max_steps=60, training__batch_size=24, model={"name": "mlp", "width": 32})
    raw |= {"sweep": {"optimizer": ARMS}, "tune": {**TUNE, "by": "memorization"}, "claims": [CLAIM]}
    path.write_text(tomli_w.dumps(raw))
    return path


@pytest.fixture
def words(study, tmp_path):
    """The words of the command."""
    return "tune", study, "--out", tmp_path / "tuning", "--to", tmp_path / "fair.toml", "--workers", 1


def test_from_a_study_to_frozen_settings_and_their_verdicts(study, words, tmp_path, deepboot):
    """Of each arm the rate that learns; then the study runs on its own seeds, and its claim is judged."""
    told = deepboot(*words)
    assert (told.returncode, told.stderr.count("Traceback")) == (0, 0)
    lines = told.stdout.splitlines()
    assert lines[0] == (
        "2 arms, 2 settings each, 3 tuning seeds: 12 runs in the real world; the best by memorisation step in steps"
    )
    frozen = [line for line in lines if line.endswith("frozen")]
    assert [line.split("  ")[0] for line in frozen] == ["optimizer.lr = 0.02", "optimizer.lr = 0.1"]
    assert "optimizer.name = sgd, optimizer.momentum = 0.9" in lines
    assert "0 of 3 runs memorised" in told.stdout
    assert told.stdout.count("It has the largest optimizer.lr that was tried: a better one may lie beyond.") == 2
    text = (tmp_path / "fair.toml").read_text()
    assert text.startswith(
        "# Made by `deepboot tune`: of 2 settings in every arm the best by memorisation step in steps"
    )
    tuned = tomllib.loads(text)
    assert tuned["settings"] == [
        {"where": {"optimizer": ARMS[0]}, "set": {"optimizer.lr": 0.02}},
        {"where": {"optimizer": ARMS[1]}, "set": {"optimizer.lr": 0.1}},
    ]
    assert tuned["tune"]["seeds"] == [100, 101, 102]
    run = deepboot("run", tmp_path / "fair.toml", "--out", tmp_path / "fair", "--workers", 1, "--train-only")
    assert run.returncode == 0
    done = results.read(tmp_path / "fair")
    assert set(done.runs["seed"]) == {0}  # the study's own
    assert set(zip(done.runs["optimizer"], done.runs["optimizer.lr"], strict=True)) == {("adamw", 0.02), ("sgd", 0.1)}
    assert done.claims["registered"] == [CLAIM]
    tuning = results.read(tmp_path / "tuning")
    assert set(tuning.runs["seed"]) == {100, 101, 102}
    assert set(tuning.runs["run_id"]).isdisjoint(done.runs["run_id"])
    assert deepboot("claims", tmp_path / "fair").stdout.startswith("inconclusive Some memorise.")
    again = deepboot("run", tmp_path / "fair.toml", "--out", tmp_path / "fair", "--set", "training.seeds=[0, 101]")
    assert (again.returncode, again.stderr) == (2, "`tune.seeds`: expected seeds that the study itself has not, got "
        "[101], which training.seeds has too. Choose others, such as 1_000 and the next.\n")  # fmt: skip


def test_an_interrupted_tuning_goes_on_to_the_same_choice(study, words, tmp_path, deepboot, interrupted_at_5):
    """The same command trains what is missing, and a third call nothing; both write the same file."""
    whole = deepboot(*words)
    written = (tmp_path / "fair.toml").read_bytes()
    plan = tmp_path / "plan.toml"
    plan.write_bytes(study_files.to_toml(tune.planned(study).plan))
    interrupted_at_5(plan, tmp_path / "other" / "tuning", pack_size=3)
    assert len(results.read(tmp_path / "other" / "tuning").runs) < 12
    (tmp_path / "fair.toml").unlink()
    resumed = deepboot(*words[:3], tmp_path / "other" / "tuning", *words[4:])
    assert resumed.stdout == whole.stdout
    assert (tmp_path / "fair.toml").read_bytes() == written
    rows = results.read(tmp_path / "tuning").runs
    assert deepboot(*words).stdout == whole.stdout
    assert rows.equals(results.read(tmp_path / "tuning").runs)


def test_a_dry_run_says_how_much_it_would_train(words, tmp_path, deepboot):
    """And writes nothing."""
    told = deepboot(*words, "--dry-run")
    assert told.stdout == (
        "2 arms, 2 settings each, 3 tuning seeds: 12 runs in the real world; the best by memorisation step in steps\n"
    )
    assert not (tmp_path / "tuning").exists()
    assert not (tmp_path / "fair.toml").exists()


def test_nothing_is_chosen_where_runs_are_missing(words, tmp_path, deepboot, monkeypatch):
    """A failed pack ends the command; what is there stays."""

    def failing(*_, **__):
        raise engine.TrainingError([Failure(job="j", reason="no memory", run_ids=[])])

    monkeypatch.setattr(tune.engine, "run_study", failing)
    told = deepboot(*words)
    assert told.returncode == 1
    assert told.stderr.startswith(
        "Nothing is chosen without these runs:\npack j: no memory\nThe same command tries them "
    )
    assert not (tmp_path / "fair.toml").exists()


def test_a_stop_is_a_stop(words, tmp_path, deepboot, monkeypatch):
    """As of every command that trains."""

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tune.engine, "run_study", stopped)
    told = deepboot(*words)
    assert told.returncode == 130
    assert told.stdout.splitlines()[1].startswith(
        f"Stopped. 0 finished runs are safe in {tmp_path / 'tuning'}; the same"
    )


def test_what_is_frozen_is_not_written_over(study, words, tmp_path, deepboot):
    """Another content is refused, and the place of a file that cannot be written is named."""
    (tmp_path / "fair.toml").write_text("question = 'mine'\n")
    told = deepboot(*words)
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1] == (
        f"--to: {tmp_path / 'fair.toml'} holds something else, and what is frozen is not written over. Remove it, or "
        "choose another with --to."
    )
    assert (tmp_path / "fair.toml").read_text() == "question = 'mine'\n"
    tuning = tune.planned(study)
    with pytest.raises(StudyError, match=r"^--to: .* cannot be written: .*\. Choose another file\.$"):
        tune.write(tuning, [], tmp_path / "fair.toml" / "inside.toml", tmp_path, 60)


def test_a_frozen_value_is_changed_in_the_file_only(tmp_path, deepboot):
    """An option that the frozen settings would overrule is refused."""
    raw = parity(training__ideal=False) | {"settings": [{"where": {}, "set": {"optimizer.lr": 0.02}}]}
    path = tmp_path / "frozen.toml"
    path.write_text(tomli_w.dumps(raw))
    assert [run.optimizer["lr"] for run in runs_of(study_files.load(path))] == [0.02]
    told = deepboot("run", path, "--out", tmp_path / "out", "--set", "optimizer.lr=0.1")
    own = "'settings.0.set.\"optimizer.lr\"'"
    assert (told.returncode, told.stderr) == (
        2, "`optimizer.lr`: expected a setting that `settings` leaves alone, got one of settings[0].set. Change it "
        f"there, in the file or by its own name: {own}.\n"
    )  # fmt: skip


def test_a_scale_changes_what_goes_together_by_its_own_name(tmp_path):
    """In one of the tables; the name of the setting alone is refused, with the other names as the cure."""
    frozen = [{"where": {"model.width": width}, "set": {"optimizer.lr": lr}} for width, lr in ((8, 0.02), (16, 0.03))]
    scales = {"one": {'settings.1.set."optimizer.lr"': 0.5}, "both": {"optimizer.lr": 0.5}}
    raw = parity(training__ideal=False) | {"settings": frozen, "sweep": {"model.width": [8, 16]}, "scale": scales}
    path = tmp_path / "frozen.toml"
    path.write_text(tomli_w.dumps(raw))
    assert [run.optimizer["lr"] for run in runs_of(study_files.load(path, scale="one"))] == [0.02, 0.5]
    with pytest.raises(StudyError) as caught:
        study_files.load(path, scale="both")
    own = " or ".join(f"'settings.{number}.set.\"optimizer.lr\"'" for number in (0, 1))
    assert caught.value.problems == [
        "`optimizer.lr`: expected a setting that `settings` leaves alone, got one of settings[0].set and "
        f"settings[1].set. Change it there, in the file or by its own name: {own}."
    ]


def test_what_is_wrong_beside_a_scale_is_true_in_a_process_that_has_loaded_nothing(tmp_path):
    """What is shipped is no unknown task there."""
    raw = parity() | {"scale": {"quick": 3}}
    (tmp_path / "bad.toml").write_text(tomli_w.dumps(raw))
    program = (
        "import sys\nfrom deepboot.runners import study_files\n"
        "try:\n    study_files.load(sys.argv[1], scale='quick')\nexcept ValueError as error:\n    print(error)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "bad.toml")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told == "`scale.quick`: expected a table, got 3. Change its type or value.\n"


def test_a_study_as_it_is_resolved_has_the_runs_of_its_settings(study):
    """What an output folder keeps as study.toml, and what a dry run prints."""
    tuning = tune.planned(study)
    ids = [run.run_id for run in runs_of(tuning.plan)]
    resolved = tomllib.loads(study_files.to_toml(study_files.resolved(tuning.plan)).decode())
    assert [run.run_id for run in runs_of(resolved)] == ids
    assert [run.run_id for run in runs_of(tomllib.loads(study_files.concise(tuning.plan)))] == ids


@pytest.mark.parametrize(("by", "axis", "words_of"), [
    ("stable", "samples", "stable grokking step in samples seen"), ("final_error", "step", "final test error"),
])  # fmt: skip
def test_what_decides_is_said(study, by, axis, words_of):
    """In the words of the report."""
    changes = [f"tune.by={by}", f"tune.axis={axis}"]
    assert tune.planned(study, changes=changes).by == words_of


def test_the_example_of_the_documentation_can_be_tuned(tmp_path):
    """Its two arms, with as many settings each."""
    (block,) = re.findall(r"```toml\n(# optimizers.toml.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "optimizers.toml"
    path.write_text(block)
    assert tune.planned(path).summary == ("2 arms, 6 settings each, 3 tuning seeds: 36 runs in the real world")


def test_files_go_where_nothing_is_said(study, tmp_path):
    """The tuned study beside its file, or here for a shipped one; the runs in results."""
    assert tune.default_file(study) == tmp_path / "arms-tuned.toml"
    assert str(tune.default_file("demo")) == "demo-tuned.toml"
    assert str(tune.default_folder(study)) == "results/arms-tuning"

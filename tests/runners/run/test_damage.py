"""Damaged files × commands: no traceback, the right exit status, and a sentence that names the file and the cure."""

import errno
import json
import shutil

import pandas as pd
import pytest
import tomli_w

from deepboot.bootstrap import results
from deepboot.bootstrap.results import read, write_table
from deepboot.reports.page import page
from deepboot.runners import run_study
from deepboot.runners.run import checkpoints, repair
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal

CLAIM = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}
RUNS_AGAIN = "moves it aside and makes it again from evaluations.parquet and states/; runs that these do not hold are"
CURES = {
    "runs.parquet": RUNS_AGAIN,
    "evaluations.parquet": "moves it aside and trains the runs of its rows again.",
    "study.toml": "with the file that the study came from, moves it aside and writes it anew.",
    "claims.json": "put back a copy of it. Until then every claim counts as post hoc.",
    "environment.json": "moves it aside and writes it anew.",
}
LONGER = {"training__seeds": 2, "training__max_steps": 9, "claims": [CLAIM]}
TABLES = ("runs.parquet", "evaluations.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study and a finished folder of it; tests work on copies."""
    place = tmp_path_factory.mktemp("finished")
    (place / "small.toml").write_text(tomli_w.dumps(parity(training__seeds=2, claims=[CLAIM])))
    run_study(place / "small.toml", place / "out", workers=1)
    return place


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """A folder of the study with a longer budget, trained at once."""
    place = tmp_path_factory.mktemp("longer")
    (place / "longer.toml").write_text(tomli_w.dumps(parity(**LONGER)))
    run_study(place / "longer.toml", place / "out", workers=1)
    return place / "out"


@pytest.fixture
def quick(monkeypatch):
    """Reports without a page: it takes most of the time, and no part in what a damaged file does."""
    monkeypatch.setattr(page, "_context", lambda *_: {})
    monkeypatch.setattr(page, "_write", lambda *_: None)


@pytest.fixture
def unreported(monkeypatch):
    """``deepboot run`` without the report at its end."""
    monkeypatch.setattr("deepboot.runners.cli_results.write_and_tell", lambda *_: None)


@pytest.fixture
def copy(finished, tmp_path):
    """The study and a copy of its folder."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return finished / "small.toml", tmp_path / "out"


def truncated(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def emptied(path):
    path.write_bytes(b"")


def a_folder(path):
    path.unlink()
    path.mkdir()


def binary(path):
    path.write_bytes(b"\xff\xfe\x00\x01" * 50)


def of_another_form(path):
    """A whole file that is not what its name says."""
    if path.suffix == ".parquet":
        write_table(pd.DataFrame({"other": [1, 2]}), path)
    else:
        path.write_text("[1, 2]\n" if path.suffix == ".json" else 'other = "x"\n')


RARER = (emptied, a_folder, binary, of_another_form)
DAMAGES = [truncated, *(pytest.param(one, marks=pytest.mark.slow) for one in RARER)]
ENDS = {  # exit status of report, claims, plan and export, by file
    **dict.fromkeys(TABLES, (2, 2, 2, 2)),
    "study.toml": (2, 2, 2, 2),
    "claims.json": (0, 0, 0, 0),
    "environment.json": (0, 0, 0, 0),
    "execution_plan.json": (0, 0, 0, 0),
    ".owner.json": (0, 0, 0, 0),
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ENDS)
def test_commands_that_read_name_the_damaged_file_and_the_cure(name, damage, copy, tmp_path, deepboot, quick):
    """Tables and study are needed; without the others a command goes on, and says so where it would have used them."""
    _, out = copy
    (out / name).touch()
    damage(out / name)
    commands = [("report", out), ("claims", out), ("plan", out), ("export", out, "--out", tmp_path / "tables")]
    for words, status in zip(commands, ENDS[name], strict=True):
        ran = deepboot(*words)
        assert (ran.returncode, "Traceback" in ran.stderr) == (status, False), (words, ran.stderr)
        if status == 2 or (words[0] in ("report", "claims") and name in CURES):
            assert f"{out / name} is damaged: " in ran.stderr + ran.stdout, words
            assert CURES[name] in ran.stderr + ran.stdout, words


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ENDS)
def test_run_sets_a_damaged_file_aside_and_ends_with_the_same_tables(
    name, damage, copy, finished, deepboot, unreported
):
    """What it was is kept under another name, what can be made again is, and the registered claims stay."""
    study, out = copy
    (out / name).touch()
    damage(out / name)
    ran = deepboot("run", study, "--out", out, "--workers", 1)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    equal(finished / "out", out)
    if name == "claims.json":
        assert f"{out / name} is damaged: " in ran.stderr
        assert not (out / "claims.json.damaged").exists()
    elif name != ".owner.json":
        assert f"{out / name} is damaged: " in ran.stderr
        assert (out / f"{name}.damaged").exists()
        assert results.read(out).damage == ()


def test_runs_are_told_from_their_rows_and_nothing_is_trained(copy, finished, monkeypatch):
    """Without runs.parquet all is known again but the seconds."""
    study, out = copy
    truncated(out / "runs.parquet")
    monkeypatch.setattr(
        "deepboot.runners.run.local.run_jobs", lambda jobs, **_: pytest.fail("trained again") if jobs else []
    )
    run_study(study, out, workers=1)
    equal(finished / "out", out)
    assert read(out).runs["seconds"].isna().all()


def test_only_runs_without_rows_are_trained_again(copy, finished, monkeypatch):
    """Evaluations of half the runs: the other half is trained, and both tables are kept as they were."""
    study, out = copy
    held = read(out)
    lost = held.runs.loc[held.runs["seed"] == 1, "run_id"]
    write_table(held.evaluations[~held.evaluations["run_id"].isin(lost)], out / "evaluations.parquet")
    ran = []
    jobs = repair.shards.write
    monkeypatch.setattr(
        "deepboot.runners.run.execute.shards.write", lambda *words: (ran.append(words[1]), jobs(*words))
    )
    run_study(study, out, workers=1)
    equal(finished / "out", out)
    assert ran[0] == "0-recovered"
    assert len(ran) == 2
    assert len(pd.read_parquet(out / "runs.parquet.damaged")) == 4


def test_a_second_damage_does_not_overwrite_the_first(copy):
    """Every damaged file is kept."""
    study, out = copy
    for text in ("one", "two"):
        (out / "environment.json").write_text(text)
        run_study(study, out, workers=1)
    assert (out / "environment.json.damaged").read_text() == "one"
    assert (out / "environment.json.damaged.2").read_text() == "two"


def test_a_damaged_registration_is_left_and_its_claims_are_post_hoc(copy, deepboot, unreported):
    """Claims are never registered anew as if nothing had happened."""
    study, out = copy
    assert not json.loads(deepboot("claims", out, "--json").stdout)["claims"][0]["post_hoc"]
    (out / "claims.json").write_text("{")
    assert deepboot("run", study, "--out", out, "--workers", 1).returncode == 0
    assert (out / "claims.json").read_text() == "{"
    assert json.loads(deepboot("claims", out, "--json").stdout)["claims"][0]["post_hoc"]


def test_another_study_is_refused_where_study_toml_is_damaged(copy, study, deepboot):
    """Its runs are compared instead."""
    _, out = copy
    (out / "study.toml").write_text("")
    ran = deepboot("run", study(model__width=8), "--out", out)
    assert ran.returncode == 2
    assert ran.stderr == (
        f"{out / 'study.toml'} is damaged: it is empty. The runs in {out} are not those of this study. "
        "Give the study that they came from, or choose another folder with --out.\n"
    )


def test_a_folder_named_as_the_study_says_what_helps_when_its_study_is_damaged(copy, deepboot):
    """`deepboot run DIR` cannot know the study."""
    _, out = copy
    (out / "study.toml").write_text("")
    ran = deepboot("run", out)
    assert ran.returncode == 2
    assert ran.stderr == (
        f"{out / 'study.toml'} is damaged: it is empty. `deepboot run STUDY --out {out}`, with the file that the study "
        "came from, moves it aside and writes it anew.\n"
    )


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", ["shards", "states", "checkpoints"])
def test_damaged_files_of_packs_and_runs_cost_their_own_work(place, damage, copy, longer, study, deepboot, unreported):
    """Shards, states and checkpoints that cannot be read: the runs are trained again, to the same tables."""
    _, out = copy
    names = {"shards": "abc.json", "checkpoints": "abc.safetensors"}
    path = sorted(out.glob("states/*"))[0] if place == "states" else out / place / names[place]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text('{"runs": [{')
    damage(path)
    assert deepboot("claims", out).returncode == 0
    ran = deepboot("run", study(**LONGER), "--out", out, "--workers", 1)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    if place == "states":
        assert f"{path} is damaged" in ran.stderr
        assert "Its run starts over." in ran.stderr
    equal(longer, out)


def test_files_where_folders_belong_are_set_aside(copy, study, deepboot, unreported):
    """Each is named, and a folder made in its place."""
    _, out = copy
    for name in repair.FOLDERS:
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).write_text("not a folder")
    ran = deepboot("run", study(training__seeds=3, claims=[CLAIM]), "--out", out, "--workers", 1)
    assert ran.returncode == 0, ran.stderr
    for name in repair.FOLDERS:
        sentence = f"it is a file, not a folder. It is kept as {name}.damaged. It is made anew."
        assert f"{out / name} is damaged: {sentence}" in ran.stderr
        assert (out / f"{name}.damaged").read_text() == "not a folder"


@pytest.mark.parametrize(("what", "command"), [("report.html", "run"), ("report.md", "report"), ("figures", "report")])
def test_a_report_that_cannot_be_written_is_said_and_the_runs_are_safe(what, command, copy, deepboot, monkeypatch):
    """A full disk while the report is written: one sentence and exit status 2."""
    study, out = copy
    write, save = page.write_atomically, page.Path.mkdir

    def full(path, *rest, **named):
        if what in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return (write if rest else save)(path, *rest, **named)

    monkeypatch.setattr(page, "draw_all", lambda *_: [])
    monkeypatch.setattr(page, "write_atomically", full)
    monkeypatch.setattr(page.Path, "mkdir", full)
    ran = deepboot("report", out) if command == "report" else deepboot("run", study, "--out", out, "--workers", 1)
    monkeypatch.undo()
    assert ran.returncode == 2
    assert ran.stderr == (
        f"report {out / 'report.html'} cannot be written: No space left on device. The results are whole: make room, "
        f"or give another file with --out, and write it again with `deepboot report {out}`.\n"
    )
    assert len(read(out).runs) == 4


@pytest.mark.parametrize("name", ["report.html", "report.md", "figures"])
def test_a_folder_or_file_in_the_way_of_the_report_is_named(name, copy, deepboot, monkeypatch):
    """What the system says, and of which file."""
    monkeypatch.setattr(page, "draw_all", lambda *_: [])
    _, out = copy
    if name == "figures":
        (out / name).write_text("")
    else:
        (out / name).mkdir()
    ran = deepboot("report", out)
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
    assert f"report {out / 'report.html'} cannot be written: " in ran.stderr
    assert str(out / name) in ran.stderr.partition("cannot be written")[2]


def test_an_unreadable_file_is_damage_too(copy, deepboot, monkeypatch):
    """Permission denied, in the words of the system."""
    _, out = copy

    def denied(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(pd, "read_parquet", denied)
    ran = deepboot("claims", out)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"{out / 'runs.parquet'} is damaged: Permission denied. ")


def test_who_holds_a_folder_is_told_as_far_as_it_is_known(copy):
    """An owner that cannot be read is another process, without question marks."""
    study, out = copy
    with repair.output_folder.held(out):
        for text in ("", "{}", '{"host": "there"}'):
            (out / ".owner.json").write_text(text)
            who = "another process on there" if text.endswith('there"}') else "another process"
            sentence = f"output folder {out} is being written by {who}. Wait for it, or choose another with --out."
            with pytest.raises(ValueError, match=f"^{sentence}$"):
                run_study(study, out, workers=1)


def test_a_home_that_nobody_has_is_said(study, tmp_path, deepboot):
    """Paths of tasks and of a start; folders of the command line are taken as they are."""
    task = {"name": "recording", "path": "~nouser/mine.npz"}
    for path, place in (
        (study("one.toml", task=task, data={}), "task.path"),
        (study("other.toml", start={"folder": "~nouser/out"}), "start.folder"),
    ):
        ran = deepboot("run", path, "--out", tmp_path / "out")
        assert (ran.returncode, "Traceback" in ran.stderr) == (2, False)
        assert f"`{place}`: there is no home folder ~nouser. Write the path from the root on." in ran.stderr
    shown = deepboot("show", "recording", "--set", "path=~nouser/x.npz")
    assert (shown.returncode, "there is no home folder ~nouser" in shown.stderr) == (2, True)
    assert deepboot("report", "~nouser/out").returncode == 2
    assert checkpoints.read_state(tmp_path, "none") is None

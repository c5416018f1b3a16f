"""Sinks, offline: a stub of a tracker, and the files of TensorBoard and of trackio read back."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.sinks.choice import MOST_RUNS, sink_named


@pytest.fixture
def tracker():
    """A module in place of wandb that writes down what it is told."""
    module, told = ModuleType("wandb"), []
    module.init = lambda **words: told.append(("init", words))
    module.log = lambda values, step: told.append(("log", step, values))
    module.finish = lambda: told.append(("finish",))
    module.__spec__ = ModuleSpec("wandb", None)
    with pytest.MonkeyPatch.context() as patch:  # of its own: `interrupted_at_5` undoes the test's
        patch.setitem(sys.modules, "wandb", module)
        yield module, told


def test_a_tracker_has_every_run_whole_one_after_another(study, tmp_path, tracker):
    """Settings, then each evaluation with its probes, then the end; what was not measured is left out."""
    _, told = tracker
    probed = study(training__seeds=2, probes={"layer_norms": {}})
    read = run_study(probed, tmp_path / "out", workers=1, log_to="wandb")
    begun = [entry[1] for entry in told if entry[0] == "init"]
    assert {one["project"] for one in begun} == {"out"}
    assert {one["config"]["run_id"] for one in begun} == set(read.runs["run_id"])
    assert begun[0]["config"]["optimizer.lr"] == 0.01
    assert begun[0]["name"].startswith(f"{begun[0]['config']['world']}-seed")
    kinds = [entry[0] for entry in told]
    assert kinds == 4 * ["init", *7 * ["log"], "finish"]
    rows = read.evaluations[read.evaluations["run_id"] == begun[0]["config"]["run_id"]].set_index("step")
    probes = read.probes[read.probes["run_id"] == begun[0]["config"]["run_id"]]
    assert set(probes["step"]) == set(rows.index)
    for _, step, values in told[1:8]:
        measured = rows.loc[step].drop("run_id").dropna().to_dict()
        here = probes[probes["step"] == step]
        assert values == measured | dict(zip("probes." + here["name"], here["value"], strict=True))


def test_an_interrupted_run_is_handed_over_once_by_the_command_that_finishes_it(
    study, tmp_path, tracker, interrupted_at_5
):
    """From its first evaluation on, although those up to step 4 came with a checkpoint."""
    _, told = tracker
    path, out = study(training__seeds=4, training__max_steps=12), tmp_path / "out"
    interrupted_at_5(path, out, log_to="wandb")
    assert [entry[0] for entry in told].count("init") == 2
    run_study(path, out, workers=1, log_to="wandb")
    runs = [entry[1]["config"]["run_id"] for entry in told if entry[0] == "init"]
    assert len(runs) == len(set(runs)) == 8
    assert [entry[1] for entry in told if entry[0] == "log"] == 8 * list(range(13))


def test_a_tracker_that_fails_is_left_alone_and_training_goes_on(study, tmp_path, tracker, capfd):
    """Its error is told once, and the tables are whole."""
    module, _ = tracker
    module.init = lambda **_: sys.exit("not logged in")
    read = run_study(study(training__seeds=2), tmp_path / "out", workers=1, log_to="wandb")
    assert read.runs["status"].eq("finished").all()
    assert capfd.readouterr().err.count(
        "--log-to: SystemExit: not logged in. No more is handed over; training goes on, and its folder holds every "
        "evaluation."
    ) == 1  # fmt: skip


def test_tensorboard_has_a_file_a_run_with_every_value(study, tmp_path):
    """Its events, read back, are the evaluations of the table."""
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    read = run_study(study(), tmp_path / "out", workers=1, log_to="tensorboard")
    rows = read.evaluations.set_index(["run_id", "step"])
    for run in read.runs.itertuples():
        (path,) = (tmp_path / "out" / "tensorboard").glob(f"{run.world}-seed{run.seed}-{run.run_id[:6]}/*")
        data, found = path.read_bytes(), {}
        while data:  # length in 8 bytes, its checksum in 4, the event, its checksum in 4
            length = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + length])
            found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
            data = data[16 + length :]
        own = rows.loc[run.run_id].stack().dropna()
        assert found.keys() == set(own.index)
        assert all(found[key] == pytest.approx(value) for key, value in own.items())


@pytest.mark.slow
def test_trackio_itself_holds_every_run_with_every_value(study, tmp_path):
    """Its own database, written without a network by a process of its own, has what the tables have."""
    pytest.importorskip("trackio")
    kept, out = tmp_path / "trackio", tmp_path / "out"
    words = ["run", study(training__seeds=2), "--out", out, "--workers", 1, "--train-only", "--log-to", "trackio"]
    surroundings = {"TRACKIO_DIR": str(kept), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    ran = subprocess.run(
        [sys.executable, "-m", "deepboot.runners.cli", *map(str, words)],
        env=os.environ | surroundings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, "No more is handed over" in ran.stderr) == (0, False), ran.stderr
    read = results.read(out)
    (path,) = kept.glob("*.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        configs = [json.loads(text) for (text,) in database.execute("SELECT config FROM configs")]
        found = {(name, step): json.loads(text) for name, step, text in
                 database.execute("SELECT run_name, step, metrics FROM metrics")}  # fmt: skip
    assert {config["run_id"] for config in configs} == set(read.runs["run_id"])
    rows = read.evaluations.set_index(["run_id", "step"])
    for run in read.runs.itertuples():
        name = f"{run.world}-seed{run.seed}-{run.run_id[:6]}"
        for step, row in rows.loc[run.run_id].iterrows():
            assert found.pop((name, step)) == row.dropna().to_dict()
    assert not found


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tensorbord", "--log-to tensorbord: there is no such module. Did you mean 'tensorboard'? Known: tensorboard, "
                       "trackio, wandb. A module of your own needs init, log and finish."),
        ("json", "--log-to json: expected a module with init, log and finish, got one without init and log and "
                 "finish. Known: tensorboard, trackio, wandb."),
        ("", "--log-to : there is no such module. Known: tensorboard, trackio, wandb. A module of your own needs "
             "init, log and finish."),
    ],
)  # fmt: skip
def test_a_sink_that_cannot_be_used_is_refused_before_training(deepboot, study, tmp_path, name, sentence):
    """Exit status 2, one sentence with the cure, and no folder."""
    told = deepboot("run", study(), "--out", tmp_path / "out", "--log-to", name)
    assert (told.returncode, told.stderr.splitlines()) == (2, [sentence])
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_not_installed_is_named_with_its_command(tmp_path, monkeypatch):
    """The name of the sink is not always that of the package."""
    monkeypatch.setattr("deepboot.runners.sinks.choice.find_spec", lambda name: None)
    for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("trackio", "trackio")):
        with pytest.raises(StudyError) as refused:
            sink_named(name, tmp_path, 2)
        expected = f"--log-to {name}: the package {package} is not installed. Run `pip install {package}`."
        assert refused.value.problems == [expected]


def test_a_module_that_cannot_be_imported_is_refused(tmp_path, monkeypatch):
    """With its own error."""
    (tmp_path / "own_sink.py").write_text("raise RuntimeError('no key')")
    monkeypatch.syspath_prepend(tmp_path)
    sentence = r"^--log-to own_sink: it cannot be imported \(RuntimeError: no key\)\. Mend it first\.$"
    with pytest.raises(StudyError, match=sentence):
        sink_named("own_sink", tmp_path, 2)


def test_thousands_of_runs_do_not_become_thousands_of_runs_elsewhere(tmp_path):
    """They are refused, with what can be done instead."""
    with pytest.raises(StudyError) as refused:
        sink_named("wandb", tmp_path, 10 * MOST_RUNS + 1)
    assert refused.value.problems == [
        "--log-to wandb: expected at most 200 runs, since each becomes a run of its own there, got 2,001. Train fewer, "
        f"for instance with --shard 1/11, or follow all of them with `deepboot watch {tmp_path}`."
    ]

"""Crashes cost the work since the last checkpoint, and change no bit of the tables."""

import errno
import os
import platform
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from deepboot.bootstrap import files, results
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.train import train
from deepboot.runners import run_study
from deepboot.runners.run import checkpoints, engine, output_folder
from tests.bootstrap.conftest import parity
from tests.runners.run.test_engine import equal

EXECUTION = Execution()
LONG = {"training__max_steps": 1200, "training__seeds": 2, "training__batch_size": "full", "model__width": 32}


def start(study, out, workers):
    """A study in a process of its own, with a checkpoint every tenth of a second."""
    words = ["run", str(study), "--out", str(out), "--workers", str(workers), "--checkpoint-seconds", "0.1"]
    return subprocess.Popen(
        [sys.executable, "-m", "deepboot.runners.cli", *words, "--train-only"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_again_and_again(study, out, workers, kills, seed):
    """Kill the study with SIGKILL this many times, each a random while after it began to train; then let it end."""
    chance = random.Random(seed)
    for _ in range(kills):
        process = start(study, out, workers)
        deadline = time.monotonic() + 60
        while not (out / "checkpoints").is_dir() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.0))
        process.kill()
        process.communicate()
    process = start(study, out, workers)
    said, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return said


@pytest.mark.parametrize(
    ("workers", "kills", "steps"), [(1, 1, 1200), pytest.param(2, 12, 2500, marks=pytest.mark.slow)]
)
def test_kill_9_at_any_moment_changes_no_bit_of_the_tables(study, tmp_path, workers, kills, steps):
    """Killed at random moments and run again, a study ends with the tables of one that was never killed."""
    path = study(**LONG | {"training__max_steps": steps})
    run_study(path, tmp_path / "whole", workers=workers)
    kill_again_and_again(path, tmp_path / "killed", workers, kills, seed=workers)
    equal(tmp_path / "whole", tmp_path / "killed")
    assert not (tmp_path / "killed" / "checkpoints").exists()
    assert not (tmp_path / "killed" / "shards").exists()


def test_a_stop_costs_nothing(study, tmp_path):
    """After SIGINT the checkpoint holds the step at which training stopped, and the result is the same."""
    path = study(**LONG)
    run_study(path, tmp_path / "whole", workers=1)
    process = start(path, tmp_path / "stopped", 1)
    while not (tmp_path / "stopped" / "checkpoints").is_dir() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert list((tmp_path / "stopped" / "checkpoints").glob("*.safetensors"))
    run_study(path, tmp_path / "stopped", workers=1)
    equal(tmp_path / "whole", tmp_path / "stopped")


def test_a_second_writer_is_refused_by_name_of_the_first(study, tmp_path):
    """While one holds the folder, another is told which process; when it is gone the folder is free."""
    path = study()
    with output_folder.held(tmp_path / "out"), pytest.raises(StudyError) as caught:
        run_study(path, tmp_path / "out", workers=1)
    (sentence,) = caught.value.problems
    told = f"output folder {tmp_path / 'out'} is being written by process {os.getpid()} on {platform.node()} since 20"
    assert sentence.startswith(told)
    assert sentence.endswith(". Wait for it, or choose another with --out.")
    assert len(run_study(path, tmp_path / "out", workers=1).runs) == 2


@pytest.fixture
def halfway(tmp_path):
    """Runs, and their outcomes at steps 2 and 4, both written as checkpoints of one pack."""
    runs = runs_of(parity())
    taken = []
    train(runs, on_steps=lambda steps, snapshot: taken.append(snapshot()))
    checkpoints.write_checkpoint(tmp_path, "pack", taken[1], EXECUTION)
    checkpoints.write_checkpoint(tmp_path, "pack", taken[3], EXECUTION)
    return runs


def test_a_checkpoint_holds_rows_and_state(halfway, tmp_path):
    """What is read is what was written, and training goes on from it to the uninterrupted end."""
    begun, refused = checkpoints.read_checkpoint(tmp_path, "pack", halfway)
    assert refused == []
    assert [int(outcome.state["step"]) for outcome in begun] == [4, 4]
    for one, other in zip(train(halfway), train(halfway, resume_from=begun), strict=True):
        assert torch.equal(one.state["parameters"], other.state["parameters"])


def test_a_truncated_checkpoint_is_refused_and_the_one_before_it_used(halfway, tmp_path):
    """Half a file is named, and training goes on from the previous one; without that it starts over."""
    path = tmp_path / "checkpoints" / "pack.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    begun, refused = checkpoints.read_checkpoint(tmp_path, "pack", halfway)
    assert [int(outcome.state["step"]) for outcome in begun] == [2, 2]
    assert len(refused) == 1
    assert refused[0].startswith(f"checkpoint {path} is not used: ")
    path.with_suffix(".previous.safetensors").write_bytes(b"")
    begun, refused = checkpoints.read_checkpoint(tmp_path, "pack", halfway)
    assert begun is None
    assert len(refused) == 2


def test_a_checkpoint_of_other_runs_is_refused(halfway, tmp_path):
    """The runs it holds must be those that are asked for, in their order."""
    begun, refused = checkpoints.read_checkpoint(tmp_path, "pack", halfway[::-1])
    assert begun is None
    place = tmp_path / "checkpoints"
    assert refused == [
        f"checkpoint {place / name} is not used: it belongs to other runs. An earlier one is, or the pack starts over."
        for name in ("pack.safetensors", "pack.previous.safetensors")
    ]


@pytest.mark.parametrize("what", ["states", "shards", "evaluations.parquet"])
def test_a_full_disk_ends_with_a_message_and_the_same_command_goes_on(study, tmp_path, monkeypatch, what):
    """Whatever cannot be written, the run ends with a sentence, and ends well once there is room."""
    path, out = study(training__seeds=2), tmp_path / "out"
    run_study(path, tmp_path / "whole", workers=1)
    write = files.write_atomically

    def full(target, data):
        if what in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(target, data)

    for module in (files, results, checkpoints):
        monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises((StudyError, engine.TrainingError), match="No space left on device"):
        run_study(path, out, workers=1)
    monkeypatch.undo()
    run_study(path, out, workers=1)
    equal(tmp_path / "whole", out)

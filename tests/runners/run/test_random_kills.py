"""Killed at any moment, alone or all at once, a study goes on and ends with the tables of one that never was.

``DEEPBOOT_KILLS=200 pytest -m slow tests/runners/run/test_random_kills.py`` does it 200 times.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress

import pytest

from deepboot.runners import run_study
from tests.runners.run.test_engine import equal
from tests.runners.run.test_workers import alive, children, command

KILLS = int(os.environ.get("DEEPBOOT_KILLS", "40"))
PARITY = {"training__max_steps": 2000, "training__seeds": 4, "evaluation__schedule": 100}
STUDIES = {
    "sliding": {**PARITY, "training__world": {"rule": "sliding", "shift": 2}},
    "phases": {
        **PARITY,
        "phases": [
            {"at_step": 700, "set": {"training.train_size": 48}},
            {"at_step": 1650, "set": {"optimizer.weight_decay": 0.5}},
        ],
    },
    "stop": {
        **PARITY,
        "training__train_size": [24, 64],
        "stop": {"metric": "test_loss", "at_most": 0.76, "streak": 2},
    },
    "transformer": {
        "training__max_steps": 600, "training__seeds": 4, "training__train_size": 20,
        "task": {"name": "binary_operations", "operation": "x+y", "modulus": 7}, "data": {},
        "model": {"name": "transformer", "width": 16, "layers": 1, "heads": 2},
    },
    "images": {
        "training__max_steps": 150, "training__seeds": 4,
        "task": {"name": "shapes", "size": 16}, "data": {"test_samples": 64}, "model": {"name": "cnn", "width": 4},
    },
}  # fmt: skip
MOMENTS = {"start": 0.15, "training": 0.55, "report": 0.3}  # how often each is chosen, and when it begins
SECONDS = {"start": 4.0, "training": 1.5, "report": 4.0}  # and how long after that the signal comes at most
VICTIMS = {"all": 0.75, "child": 0.125, "parent": 0.125}


def chosen(chance, weights):
    return chance.choices(list(weights), list(weights.values()))[0]


def wait_for(moment, process, out, began):
    """Wait until a moment has come, or the process has ended."""
    newer = {"start": [], "training": ["checkpoints"], "report": ["runs.parquet"]}[moment]
    while process.poll() is None and not all(changed(out / name, began) for name in newer):
        time.sleep(0.01)


def changed(path, began):
    try:
        return path.stat().st_mtime >= began
    except FileNotFoundError:
        return False


def kill(victim, process, chance):
    """Kill the command, its workers, both, or one worker; what is left of the command then ends by itself."""
    workers = children(process)
    if victim == "child" and workers:
        _kill(chance.choice(workers))
        said = process.communicate(timeout=600)
        assert process.returncode in (0, 1), said
        assert "Traceback" not in said[1]
        return
    for worker in workers if victim == "all" else ():
        _kill(worker)
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(alive, workers)), "an orphan goes on"


def _kill(number):
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def start(study, out):
    words = ("--workers", 2, "--checkpoint-seconds", 0.1, "--pack-size", 2)
    return subprocess.Popen(command(study, out, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended_well(process, whole, out):
    """An undisturbed command ends with the tables of the study that was never killed, and leaves nothing else."""
    said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    equal(whole, out)
    assert not (out / "checkpoints").exists()
    assert not (out / "shards").exists()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("name", STUDIES)
def test_killed_at_any_moment_a_study_ends_with_the_same_tables(name, study, tmp_path, record_property):
    """One signal after another into the same folder until it is done, then into a new one; the tables are equal."""
    chance, path, out = random.Random(name), study(**STUDIES[name]), tmp_path / "killed"
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    counts = Counter()
    while counts["kills"] < -(-KILLS // len(STUDIES)):
        moment, victim, began = chosen(chance, MOMENTS), chosen(chance, VICTIMS), time.time()
        process = start(path, out)
        wait_for(moment, process, out, began)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, SECONDS[moment]))
        if process.poll() is None:
            kill(victim, process, chance)
            counts.update(["kills", moment, victim])
        else:
            ended_well(process, tmp_path / "whole", out)
            counts["folders"] += 1
            shutil.rmtree(out)
    ended_well(start(path, out), tmp_path / "whole", out)
    for what, number in counts.items():
        record_property(what, number)

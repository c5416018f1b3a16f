"""Probes of whole commands: the demo, a run that is interrupted and goes on, and the tests that need a GPU."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import deepboot.runners
from deepboot.bootstrap import results
from deepboot.runners.bench.probe_studies import Found, Parts, fast_backend
from deepboot.runners.run.engine import Device, run_study
from deepboot.runners.run.execution_plan import read_plan

COMMAND_LINE = (sys.executable, "-m", "deepboot.runners.cli")
DEMO = {"cuda": (), "cpu": ("--set", "training.max_steps=100", "training.seeds=1")}
LONG = {"cuda": (20_000, 8), "cpu": (1_500, 1)}  # steps and seeds of a run that is long enough to be interrupted
INTERRUPTED = 130
REFUTED = 1  # a claim is: an answer like another
POLL_SECONDS = 0.05
TEST_PROCESSES = "4"
MARK = "@pytest.mark.gpu"


def demo(device: str) -> Parts:
    """The demo study through the command line: trained, reported and judged."""
    return {"run and claims": partial(demonstrated, device)}


def demonstrated(device: str) -> Found:
    """How long the demo takes from command to report, by which plan, and its verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = ("run", "demo", "--device", device, "--out", folder, *DEMO[device])
        status, lines = echoed([*COMMAND_LINE, *run])
        seconds, plan = time.monotonic() - began, read_plan(Path(folder))
        if status:
            return {"problem": f"deepboot run ended with status {status}: {lines[-1]}"}
        status, judged = echoed([*COMMAND_LINE, "claims", folder, "--json"])
    if status not in (0, REFUTED):
        return {"problem": f"deepboot claims ended with status {status}: {judged[-1]}"}
    verdicts = re.findall(r'"verdict": "(\w+)"', "\n".join(judged))
    return {
        "said": f"{seconds:.0f} s from command to report; {', '.join(verdicts)}",
        "seconds_to_report": seconds,
        "plan": plan.model_dump() if plan else None,
        "lines": lines,
    }


def interrupt(device: str) -> Parts:
    """A run that is interrupted after its first checkpoint and goes on, beside one that is not."""
    return {"interrupted and whole": partial(interrupted, device)}


def interrupted(device: str) -> Found:
    """Whether the tables of an interrupted run are those of a whole one, bit for bit."""
    steps, seeds = LONG[device]
    backend, changes = fast_backend(device), (f"training.max_steps={steps}", f"training.seeds={seeds}")
    words = [
        *COMMAND_LINE, "run", "demo", "--device", device, "--backend", backend, "--pack-size", "16",
        "--checkpoint-seconds", "0.2", "--set", *changes, "--out",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        cut, whole = Path(folder) / "cut", Path(folder) / "whole"
        status = stopped_at_a_checkpoint([*words, str(cut)], cut)
        if status != INTERRUPTED:
            return {"problem": f"an interrupted run ended with status {status}, not {INTERRUPTED}"}
        status, lines = echoed([*words, str(cut)])
        if status:
            return {"problem": f"deepboot run ended with status {status}: {lines[-1]}"}
        expected = run_study(
            "demo", whole, device=cast("Device", device), backend=backend, pack_size=16, changes=changes
        ).evaluations
        rows = results.read(cut).evaluations
    problem = None if rows.equals(expected) else "an interrupted run has other rows than a whole one"
    return {"said": f"{len(rows)} rows equal those of a whole run", "problem": problem, "rows": len(rows)}


def stopped_at_a_checkpoint(words: Sequence[str], out: Path) -> int:
    """Exit status of a command that is asked to stop once its folder holds a checkpoint."""
    with subprocess.Popen(words) as process:
        while process.poll() is None and not list(out.glob("checkpoints/*.safetensors")):
            time.sleep(POLL_SECONDS)
        process.send_signal(signal.SIGTERM)  # as an interrupt, which shells may have told their children to ignore
        return process.wait()


def tests(device: str, chosen: str) -> Parts:
    """The tests that need a GPU; on a CPU they are only collected.

    Args:
        device: "cpu" or "cuda".
        chosen: which of them, as ``pytest -k`` takes it.
    """
    return {chosen: partial(tested, device, chosen, Path(deepboot.runners.__file__).resolve().parents[1])}


def tested(device: str, chosen: str, root: Path) -> Found:
    """How many of the tests of a repository that need a GPU pass, and which fail."""
    if importlib.util.find_spec("pytest") is None:
        return {"skipped": "pytest is not installed"}
    if not (root / "tests").is_dir():
        return {"skipped": "there are no tests beside the package: they are in the repository"}
    files = [path for path in (root / "tests").rglob("test_*.py") if MARK in path.read_text()]  # others may need more
    several = ["-n", TEST_PROCESSES] if device == "cuda" and importlib.util.find_spec("xdist") else []
    status, lines = echoed([
        sys.executable, "-m", "pytest", "--rootdir", str(root), "-c", str(root / "pyproject.toml"), "-v",
        "-o", "addopts=", "-o", "filterwarnings=default", "--import-mode=importlib", "-p", "no:cacheprovider",
        "--continue-on-collection-errors", "-m", "gpu", "-k", chosen, *several,
        *([] if device == "cuda" else ["--collect-only", "-q"]), *map(str, sorted(files)),
    ])  # fmt: skip
    summary = lines[-1].strip("= ")
    return {
        "said": summary if device == "cuda" else f"only a GPU can answer this; {summary}",
        "problem": f"pytest ended with status {status}: {summary}" if status else None,
        "failed": [line for line in lines if line.startswith(("FAILED", "ERROR"))],
    }


def echoed(words: Sequence[str]) -> tuple[int, list[str]]:
    """Exit status and lines of a command; they go to this process's output too, and are not lost if it hangs."""
    lines = ["no output"]
    wide = {**os.environ, "COLUMNS": "240"}  # else pytest shortens its summary
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=wide) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.strip():
                lines.append(line.rstrip())
    return process.returncode, lines

"""Doing one pack: train it, keep its states, write its shard. Also the worker process that does so.

A worker is ``python -m runners.execute``: it reads one job a line and says what it did, one JSON
object a line. It is a plain subprocess, so that notebooks, scripts without a main guard and the
command line all start it alike.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from bootstrap import registry
from bootstrap.data import build_task
from bootstrap.feed import world_of
from bootstrap.run import Run
from bootstrap.train import Outcome, Snapshot, State, train
from bootstrap.worlds import usage
from runners import checkpoints, folder, shipped
from runners.process import prepare

TELL_SECONDS = 0.5
PR_SET_PDEATHSIG = 1  # prctl(2)
stopping = threading.Event()  # set by a signal: write a checkpoint and stop


class Job(BaseModel):
    """A pack and where its results go."""

    name: str
    folder: str
    runs: list[Run]
    start: int = 0
    device: str = "cpu"
    threads: int = 1
    plugins: list[str] = []
    checkpoint_seconds: float = 30.0


@dataclass(frozen=True)
class Failure:
    """Why a pack could not be done."""

    job: str
    reason: str


class Clock:
    """What happens after every step: progress is told, checkpoints are written, a stop is heeded."""

    def __init__(self, job: Job, say: Callable[[int], None]):
        self._job, self._say = job, say
        self._steps = 0
        self._told = self._written = time.monotonic()

    def __call__(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        self._steps += len(self._job.runs)
        if now - self._told >= TELL_SECONDS:
            self.tell()
        if stopping.is_set() or now - self._written >= self._job.checkpoint_seconds:
            checkpoints.write_checkpoint(Path(self._job.folder), self._job.name, snapshot())
            self._written = time.monotonic()
        if stopping.is_set():
            raise KeyboardInterrupt

    def tell(self) -> None:
        """Tell the member steps done since the last time."""
        self._say(self._steps)
        self._steps, self._told = 0, time.monotonic()


def execute(job: Job, progress: Callable[[int], None], note: Callable[[str], None]) -> Failure | None:
    """Do one job, from its last checkpoint if it has one; what it gave lies in the folder afterwards.

    Raises:
        KeyboardInterrupt: a stop was asked for; a checkpoint has been written.
    """
    place = Path(job.folder)
    prepare(job.threads)
    clock = Clock(job, progress)
    try:
        begun, refused = checkpoints.read_checkpoint(place, job.name, job.runs)
        for sentence in refused:
            note(sentence)
        if begun is not None:
            progress(sum(int(outcome.state["step"]) - job.start for outcome in begun))
        elif job.start:
            begun = [_kept(place, run) for run in job.runs]
        outcomes = train(job.runs, device=job.device, begun=begun, tick=clock)
    except Exception as error:  # whatever a plugin or a device may raise: the other packs go on
        return _failure(job, error)
    clock.tell()
    try:
        for outcome in outcomes:
            if outcome.run.keep.final_state and outcome.status == "finished":
                checkpoints.write_state(place, outcome.run.run_id, _keep(outcome))
        rows = [row for outcome in outcomes for row in outcome.rows]
        folder.write_shard(place, job.name, [_row(outcome) for outcome in outcomes], rows)
    except OSError as error:
        return _failure(job, error)
    checkpoints.remove_checkpoints(place, job.name)
    return None


def _failure(job: Job, error: Exception) -> Failure:
    """Write down why a pack failed, as far as the folder can be written; its checkpoints stay."""
    place = Path(job.folder)
    log = place / "failures.log"
    try:
        with log.open("a") as file:
            file.write(f"pack {job.name}\n{''.join(traceback.format_exception(error))}\n")
        folder.write_shard(place, job.name, [_failed(run) for run in job.runs], [])
    except OSError as unwritable:
        return Failure(job.name, f"{error}, and the folder cannot be written: {unwritable}")
    return Failure(job.name, f"{type(error).__name__}: {error} (traceback in {log})")


def _keep(outcome: Outcome) -> State:
    """A finished run's state, with the time it took."""
    return {**outcome.state, "seconds": torch.tensor(outcome.seconds, dtype=torch.float64)}


def _kept(place: Path, run: Run) -> Outcome:
    """A finished run as it was kept, to go on to a longer budget."""
    state = checkpoints.read_state(place, run.run_id)
    assert state is not None, "the pack was planned from this state"
    seconds = float(state.pop("seconds"))
    return Outcome(run, last_step=int(state["step"]), seconds=seconds, state=state)


def _row(outcome: Outcome) -> dict[str, Any]:
    """What training knows of a run; the rest of its row follows from its specification."""
    run, steps = outcome.run, outcome.last_step
    used = usage(world_of([run], build_task(run.task)), max(steps, 1))
    return {
        **_failed(run),
        "status": outcome.status,
        "last_step": steps,
        "seconds": outcome.seconds,
        "first_reuse_step": used.first_reuse_step,
        "reuse": steps * run.batch_size / used.distinct,
    }


def _failed(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": "failed", "last_step": 0,
        "seconds": None, "first_reuse_step": None, "reuse": None,
    }  # fmt: skip


def work() -> None:
    """Read jobs from standard input until it ends; tell what happens on standard output."""
    shipped.load()

    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    _die_with_parent()

    def say(**message: Any) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(1)  # whoever asked is gone: leave the pack undone rather than write beside a successor

    for line in sys.stdin:
        job = Job.model_validate_json(line)
        for plugin in job.plugins:
            registry.load_plugin(Path(plugin))
        try:
            failure = execute(job, lambda steps: say(steps=steps), lambda sentence: say(note=sentence))
        except KeyboardInterrupt:
            return
        say(done=job.name, failure=failure.reason if failure else None)


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that started it, so that no orphan writes into the folder."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    work()

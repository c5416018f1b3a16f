"""Doing one pack: train it, keep its states, write its shard. Also the worker process that does so.

A worker is ``python -m runners.execute``: it reads one job or trial a line and says what it did, one
JSON object a line. It is a plain subprocess, so that notebooks, scripts without a main guard and the
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
from bootstrap.pack import State
from bootstrap.program import Program
from bootstrap.run import Run
from bootstrap.train import Outcome, Snapshot, train
from runners import checkpoints, folder, shipped
from runners.packs import PackPlan
from runners.process import prepare
from runners.trial import Trial, measure

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
    program: Program = "eager"
    apart: bool = False
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
        self._steps = self._all = 0
        self._told = self._written = time.monotonic()

    def __call__(self, steps: int, snapshot: Snapshot) -> None:
        now = time.monotonic()
        self.count(steps)
        if now - self._told >= TELL_SECONDS:
            self.tell()
        if stopping.is_set() or now - self._written >= self._job.checkpoint_seconds:
            manner = checkpoints.Manner(self._job.program, self._job.threads, self._job.apart)
            checkpoints.write_checkpoint(Path(self._job.folder), self._job.name, snapshot(), manner)
            self._written = time.monotonic()
        if stopping.is_set():
            raise KeyboardInterrupt

    def count(self, steps: int) -> None:
        """Take note of member steps that are done."""
        self._steps += steps
        self._all += steps

    def tell(self) -> None:
        """Tell the member steps done since the last time."""
        self._say(self._steps)
        self._steps, self._told = 0, time.monotonic()

    def take_back(self) -> None:
        """Untell all member steps: they are to be done again."""
        self._steps -= self._all
        self.tell()


def execute(job: Job, progress: Callable[[int], None], note: Callable[[str], None]) -> list[Failure]:
    """Do one job, from its last checkpoint if it has one; what it gave lies in the folder afterwards.

    A pack that does not fit into memory is done in two halves, these in halves if need be, and the runs of a
    single ideal one each apart.

    Raises:
        KeyboardInterrupt: a stop was asked for; a checkpoint has been written.
    """
    place = Path(job.folder)
    manner = checkpoints.read_manner(place, job.name)
    if manner is not None:
        job = job.model_copy(update=manner._asdict())
    prepare(job.threads)
    clock = Clock(job, progress)
    try:
        begun, refused = checkpoints.read_checkpoint(place, job.name, job.runs)
        for sentence in refused:
            note(sentence)
        if begun is not None:
            clock.count(sum(int(outcome.state["step"]) - job.start for outcome in begun if not outcome.left))
        elif job.start:
            begun = [_kept(place, run) for run in job.runs]
        outcomes = train(
            job.runs, device=job.device, program=job.program, apart=job.apart, begun=begun, tick=clock,
            keep=lambda run, step, weights: checkpoints.write_weights(place, run, step, weights),
        )  # fmt: skip
    except Exception as error:  # whatever a plugin or a device may raise: the other packs go on
        smaller = _smaller(job) if out_of_memory(error) else []
        if not smaller:
            return [_failure(job, error)]
    else:
        clock.tell()
        return _written(job, outcomes)
    clock.take_back()
    how = "in two halves" if len(smaller) > 1 else "one run at a time"
    note(f"pack {job.name} of {len(job.runs)} runs does not fit into memory. It goes on {how}.")
    if job.device != "cpu":
        torch.cuda.empty_cache()
    return [failure for one in smaller for failure in execute(one, progress, note)]


def _written(job: Job, outcomes: list[Outcome]) -> list[Failure]:
    """Write what a pack gave."""
    place = Path(job.folder)
    try:
        for outcome in outcomes:
            if outcome.run.keep.final_state and outcome.status == "finished":
                checkpoints.write_state(place, outcome.run.run_id, _keep(outcome))
        rows = [row for outcome in outcomes for row in outcome.rows]
        folder.write_shard(place, job.name, [_row(outcome) for outcome in outcomes], rows)
    except OSError as error:
        return [_failure(job, error)]
    checkpoints.remove_checkpoints(place, job.name)
    return []


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def _smaller(job: Job) -> list[Job]:
    """A job as two with half of its families each; where there is one, stepping its runs apart; else none."""
    plan = PackPlan(tuple(job.runs), job.start)
    if not plan.halves():
        return [] if job.apart or len(job.runs) == 1 else [job.model_copy(update={"apart": True})]
    return [job.model_copy(update={"name": half.name, "runs": list(half.runs)}) for half in plan.halves()]


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
    return {
        **_failed(outcome.run),
        "status": outcome.status,
        "last_step": outcome.last_step,
        folder.STOPPED: outcome.stopped,
        "seconds": outcome.seconds,
        **folder.reuse_of(outcome.run, outcome.last_step),
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
        asked = json.loads(line)
        for plugin in asked["plugins"]:
            registry.load_plugin(Path(plugin))
        if "trial_seconds" in asked:
            say(**measure(Trial.model_validate_json(line)).model_dump())
            continue
        job = Job.model_validate_json(line)
        try:
            failures = execute(job, lambda steps: say(steps=steps), lambda sentence: say(note=sentence))
        except KeyboardInterrupt:
            return
        say(done=job.name, failures=[failure.reason for failure in failures])


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that started it, so that no orphan writes into the folder."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    work()

"""Doing one pack: train it, keep its states, write its shard, or write down why it failed."""

import gc
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from deepboot.bootstrap import registry
from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import reuse_of
from deepboot.bootstrap.training.backend import Program
from deepboot.bootstrap.training.pack import State
from deepboot.bootstrap.training.train import Outcome, Snapshot, train
from deepboot.runners.run import checkpoints, shards
from deepboot.runners.run.packing import PackPlan
from deepboot.runners.run.process import prepare

TELL_SECONDS = 0.5
OUT_OF_MEMORY = (  # in the messages of errors that have no class of their own
    "DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip
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


class Failure(BaseModel):
    """A pack that could not be done: its name, why, and the runs in it."""

    job: str
    reason: str
    run_ids: list[str]


class JobResult(BaseModel):
    """What came of a job, beside what is in the folder.

    Attributes:
        failures: the job itself, if it failed.
        smaller: jobs to be done in its place, because it did not fit into memory.
        device_lost: nothing more can be done on the device by this process.
    """

    failures: list[Failure] = []
    smaller: list[Job] = []
    device_lost: bool = False


class AfterSteps:
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
            manner = checkpoints.Manner(self._job.program, self._job.threads, self._job.apart, self._job.device)
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


def execute(job: Job, progress: Callable[[int], None], note: Callable[[str], None]) -> JobResult:
    """Do one job, from its last checkpoint if it has one; what it gave lies in the folder afterwards.

    A pack that does not fit into memory is to be done in two halves, these in halves if need be, and the runs of a
    single ideal one each apart. Whatever a plugin raises is a failure of its pack, the end of the program included.

    Raises:
        KeyboardInterrupt: a stop was asked for; a checkpoint has been written.
    """
    job = _as_begun(job, note)
    clock = AfterSteps(job, progress)
    try:
        outcomes = _trained(job, clock, note)
        clock.tell()
        _write(job, outcomes)
        return JobResult()
    except BaseException as error:
        if stopping.is_set() and isinstance(error, KeyboardInterrupt):
            raise
        smaller = _smaller(job) if out_of_memory(error) else []
        if not smaller:
            return JobResult(failures=[_failed_by(job, error)], device_lost=device_lost(error))
        for one in _chain(error):
            traceback.clear_frames(one.__traceback__)  # they hold the pack
    _free_memory(job.device)
    clock.take_back()
    how = "in two halves" if len(smaller) > 1 else "one run at a time"
    note(f"pack {job.name} of {len(job.runs)} runs does not fit into memory. It goes on {how}.")
    return JobResult(smaller=smaller)


def _as_begun(job: Job, note: Callable[[str], None]) -> Job:
    """The job, stepped as it was when its checkpoint was written, so that it goes on to the same bits.

    On a device of another kind, or with a program that is not believed here, it goes on as the job says.
    """
    begun = checkpoints.read_manner(Path(job.folder), job.name)
    if begun is None:
        return job
    if begun.device in (None, job.device) and begun.program in ("eager", job.program):
        return job.model_copy(update={"program": begun.program, "threads": begun.threads, "apart": begun.apart})
    note(
        f"pack {job.name} was begun on {begun.device or job.device} ({begun.program}) and goes on on {job.device} "
        f"({job.program}). Its last bits may differ."
    )
    return job


def _trained(job: Job, clock: AfterSteps, note: Callable[[str], None]) -> list[Outcome]:
    """Train a job's runs, from its last checkpoint if it has one."""
    place = Path(job.folder)
    for plugin in job.plugins:
        registry.load_plugin(Path(plugin))
    prepare(job.threads)
    begun, refused = checkpoints.read_checkpoint(place, job.name, job.runs)
    for sentence in refused:
        note(sentence)
    if begun is not None:
        clock.count(sum(int(outcome.state["step"]) - job.start for outcome in begun if not outcome.removed))
    elif job.start:
        begun = [_kept(place, run) for run in job.runs]
    return train(
        job.runs, device=job.device, program=job.program, apart=job.apart, resume_from=begun, tick=clock,
        keep=lambda run, step, weights: checkpoints.write_weights(place, run, step, weights),
    )  # fmt: skip


def _write(job: Job, outcomes: list[Outcome]) -> None:
    """Write what a pack gave; its checkpoints stay until that is in the tables."""
    place = Path(job.folder)
    for outcome in outcomes:
        if outcome.run.keep.final_state and outcome.status == "finished":
            checkpoints.write_state(place, outcome.run.run_id, _keep(outcome))
    rows = [row for outcome in outcomes for row in outcome.rows]
    shards.write(place, job.name, [_row(outcome) for outcome in outcomes], rows)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in OUT_OF_MEMORY)


def device_lost(error: BaseException) -> bool:
    """Whether this process can do nothing more on its device: after most of a GPU's errors all that follows fails."""
    accelerator: type[BaseException] | tuple[()] = getattr(torch, "AcceleratorError", ())
    return any(
        isinstance(one, accelerator) or (isinstance(one, RuntimeError) and "CUDA error" in str(one))
        for one in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _free_memory(device: str) -> None:
    """Give back what a pack held that nothing refers to any more."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def _smaller(job: Job) -> list[Job]:
    """A job as two with half of its families each; where there is one, stepping its runs apart; else none."""
    plan = PackPlan(tuple(job.runs), job.start)
    if not plan.halves():
        return [] if job.apart or len(job.runs) == 1 else [job.model_copy(update={"apart": True})]
    return [job.model_copy(update={"name": half.name, "runs": list(half.runs)}) for half in plan.halves()]


def fail(job: Job, reason: str, details: str = "") -> Failure:
    """Write down why a pack failed, as far as the folder can be written; its checkpoints stay."""
    place = Path(job.folder)
    try:
        with (place / "failures.log").open("a") as file:
            file.write(f"pack {job.name}: {reason}\n{details}\n")
        shards.write(place, job.name, [_failed(run) for run in job.runs], [])
    except OSError as unwritable:
        reason = f"{reason}, and the folder cannot be written: {unwritable}"
    return Failure(job=job.name, reason=reason, run_ids=[run.run_id for run in job.runs])


def _failed_by(job: Job, error: BaseException) -> Failure:
    """Write down the error that a pack failed by, with its traceback."""
    name, said = type(error).__name__, str(error)
    reason = f"{name}: {said}" if said else name
    log = Path(job.folder) / "failures.log"
    return fail(job, f"{reason} (traceback in {log})", "".join(traceback.format_exception(error)))


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
        STOPPED: outcome.stopped,
        "seconds": outcome.seconds,
        **reuse_of(outcome.run, outcome.last_step),
    }


def _failed(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": "failed", "last_step": 0,
        "seconds": None, "first_reuse_step": None, "reuse": None,
    }  # fmt: skip

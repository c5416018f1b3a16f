"""One job: train a pack, keep its states, write its shard, or write down why it failed."""

import gc
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.backend import BackendCache
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.members import State
from deepboot.bootstrap.training.outcome import Outcome
from deepboot.bootstrap.training.train import Snapshot, train
from deepboot.runners.run import checkpoints, shards
from deepboot.runners.run.execution_plan import short_key
from deepboot.runners.run.packing import PackPlan
from deepboot.runners.run.process import prepare

FAILURES = "failures.log"  # in the output folder: why packs failed
REPORT_SECONDS = 0.5  # between two reports of progress
OUT_OF_MEMORY = (  # in the messages of errors that have no class of their own
    "DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
)  # fmt: skip
Row = dict[str, Any]
Progress = Callable[[int, list[Row]], None]  # takes member steps, and rows of the table ``evaluations``
stopping = threading.Event()  # set by a signal: write a checkpoint and stop


class Job(Settings):
    """A pack and where its results go."""

    name: str
    folder: str
    runs: list[Run]
    start: int = 0
    execution: Execution = Execution()
    plugins: tuple[str, ...] = ()
    checkpoint_seconds: float = 30.0

    @cached_property
    def key(self) -> str:
        """The `short_key` of its runs."""
        return short_key(self.runs[0])


class Failure(BaseModel):
    """A pack that could not be done: its name, why, and the runs in it."""

    job: str
    reason: str
    run_ids: list[str]


class JobResult(BaseModel):
    """The result of a job, beside the files that it wrote.

    Attributes:
        failures: the job itself, if it failed.
        smaller: jobs to be done in its place, because it did not fit into memory.
        device_lost: nothing more can be done on the device by this process.
    """

    failures: list[Failure] = []
    smaller: list[Job] = []
    device_lost: bool = False


class AfterSteps:
    """Called after every step: reports progress and evaluations, writes checkpoints and heeds a stop."""

    def __init__(self, job: Job, say: Progress):
        self._job, self._say = job, say
        self._unreported = self._all = 0
        self._rows: list[Row] = []
        self._reported = self._written = time.monotonic()

    def __call__(self, steps: int, snapshot: Snapshot) -> None:
        now = time.monotonic()
        self.count(steps)
        if now - self._reported >= REPORT_SECONDS:
            self.report()
        if stopping.is_set() or now - self._written >= self._job.checkpoint_seconds:
            folder = Path(self._job.folder)
            checkpoints.write_checkpoint(folder, self._job.name, snapshot(), self._job.execution)
            self._written = time.monotonic()
        if stopping.is_set():
            raise KeyboardInterrupt

    def count(self, steps: int) -> None:
        """Count member steps that are done."""
        self._unreported += steps
        self._all += steps

    def evaluated(self, members: Sequence[Outcome]) -> None:
        """Keep the last evaluation of each member for the next report."""
        self._rows += [row for one in members for row in one.evaluations(-1)]

    def resumed(self, outcomes: Sequence[Outcome]) -> None:
        """Report what a checkpoint holds: member steps, and all evaluations."""
        self.count(sum(int(one.state["step"]) - self._job.start for one in outcomes if not one.removed))
        self._rows += [row for one in outcomes for row in one.evaluations()]
        self.report()

    def report(self) -> None:
        """Report the member steps done and the evaluations since the last report."""
        self._say(self._unreported, self._rows)
        self._unreported, self._rows, self._reported = 0, [], time.monotonic()

    def take_back(self) -> None:
        """Report all member steps as not done, since they are to be done again."""
        self._unreported -= self._all
        self.report()


def execute(job: Job, progress: Progress, note: Callable[[str], None], cache: BackendCache | None = None) -> JobResult:
    """Do one job, from its last checkpoint if it has one; its results lie in the folder afterwards.

    A pack that does not fit into memory is to be done in two halves, these in halves if need be, and the runs of a
    single ideal one each alone. Whatever a plugin raises is a failure of its pack, SystemExit included.

    Args:
        job: the pack, and how it is stepped.
        progress: called with member steps and evaluations as they are done.
        note: called with sentences for the person at the terminal.
        cache: of a process that does several jobs.

    Raises:
        KeyboardInterrupt: a stop was asked for; a checkpoint has been written.
    """
    job = _resumed(job, note)
    after_steps = AfterSteps(job, progress)
    try:
        outcomes = _trained(job, after_steps, note, cache)
        after_steps.report()
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
    _free_memory(job.execution.device)
    after_steps.take_back()
    how = "in two halves" if len(smaller) > 1 else "one run at a time"
    note(f"pack {job.name} of {len(job.runs)} runs does not fit into memory. It goes on {how}.")
    return JobResult(smaller=smaller)


def _resumed(job: Job, note: Callable[[str], None]) -> Job:
    """The job, stepped as it was when its checkpoint was written, so that it goes on to the same bits.

    On a device of another kind, or with a backend that is not trusted here, it goes on as the job says.
    """
    now = job.execution
    before = checkpoints.read_execution(Path(job.folder), job.name, now.device)
    if before is None:
        return job
    if before.device == now.device and before.backend in ("eager", now.backend):
        return job.model_copy(update={"execution": before})
    note(
        f"pack {job.name} was begun on {before.device} ({before.backend}) and goes on on {now.device} "
        f"({now.backend}). Its last bits may differ."
    )
    return job


def _trained(
    job: Job, after_steps: AfterSteps, note: Callable[[str], None], cache: BackendCache | None
) -> list[Outcome]:
    """Train a job's runs, from its last checkpoint if it has one."""
    folder = Path(job.folder)
    for plugin in job.plugins:
        registry.load_plugin(Path(plugin))
    prepare(job.execution.threads)
    resume_from, refusals = checkpoints.read_checkpoint(folder, job.name, job.runs)
    for sentence in refusals:
        note(sentence)
    if resume_from is not None:
        after_steps.resumed(resume_from)
    elif job.start:
        resume_from = [_kept(folder, run) for run in job.runs]
    return train(
        job.runs, job.execution, resume_from=resume_from, on_steps=after_steps,
        on_evaluation=after_steps.evaluated, cache=cache,
        keep=lambda run, step, weights: checkpoints.write_weights(folder, run, step, weights),
    )  # fmt: skip


def _write(job: Job, outcomes: list[Outcome]) -> None:
    """Write a pack's states and shard; its checkpoints stay until the rows are in the tables."""
    folder = Path(job.folder)
    for outcome in outcomes:
        if outcome.run.keep.final_state and outcome.status == "finished":
            checkpoints.write_state(folder, outcome.run.run_id, _keep(outcome))
    rows = [row for outcome in outcomes for row in outcome.rows]
    probes = [row for outcome in outcomes for row in outcome.probes]
    shards.write(folder, job.name, [_row(outcome) for outcome in outcomes], rows, probes)


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
    """Give back the memory of objects that nothing refers to any more."""
    gc.collect()
    if device != "cpu":
        torch.cuda.empty_cache()


def halves(job: Job) -> list[Job]:
    """A job as two with half of its families each; none where there is one family."""
    halves = PackPlan(tuple(job.runs), job.start).halves()
    return [job.model_copy(update={"name": half.name, "runs": list(half.runs)}) for half in halves]


def _smaller(job: Job) -> list[Job]:
    """A job in halves; of one family, the same job with sequential steps; else none."""
    parts = halves(job)
    if parts or job.execution.sequential or len(job.runs) == 1:
        return parts
    return [job.model_copy(update={"execution": job.execution.model_copy(update={"sequential": True})})]


def fail(job: Job, reason: str, details: str = "") -> Failure:
    """Write down why a pack failed, as far as the folder can be written; its checkpoints stay."""
    folder = Path(job.folder)
    try:
        with (folder / FAILURES).open("a") as file:
            file.write(f"pack {job.name}: {reason}\n{details}\n")
        shards.write(folder, job.name, [shards.failed_row(run) for run in job.runs], [])
    except OSError as unwritable:
        reason = f"{reason}, and the folder cannot be written: {unwritable}"
    return Failure(job=job.name, reason=reason, run_ids=[run.run_id for run in job.runs])


def _failed_by(job: Job, error: BaseException) -> Failure:
    """Write down the error that a pack failed by, with its traceback."""
    name, message = type(error).__name__, str(error)
    reason = f"{name}: {message}" if message else name
    log = Path(job.folder) / FAILURES
    return fail(job, f"{reason} (traceback in {log})", "".join(traceback.format_exception(error)))


def _keep(outcome: Outcome) -> State:
    """A finished run's state, with the time it took."""
    return {**outcome.state, "seconds": torch.tensor(outcome.seconds, dtype=torch.float64)}


def _kept(folder: Path, run: Run) -> Outcome:
    """A finished run as it was kept, to go on to a longer budget."""
    state = checkpoints.read_state(folder, run.run_id)
    assert state is not None, "the pack was planned from this state"
    seconds = float(state.pop("seconds"))
    return Outcome(run, last_step=int(state["step"]), seconds=seconds, state=state)


def _row(outcome: Outcome) -> dict[str, Any]:
    return shards.trained_row(
        outcome.run, outcome.status, outcome.last_step, seconds=outcome.seconds, stopped=outcome.stopped
    )

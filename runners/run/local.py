"""The local engine: one-thread worker processes on a CPU, or this process; a worker process on each visible GPU."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.training.backend import BackendCache
from deepboot.runners.run.crew import Bench, Crew, tell
from deepboot.runners.run.execute import Failure, Job, execute
from deepboot.runners.run.execution_plan import ExecutionPlan
from deepboot.runners.run.pool import Observer
from deepboot.runners.run.process import guest
from deepboot.runners.run.terminal import heed_stop, note, stoppable
from deepboot.runners.run.worker import Worker, attentive, stop


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    count = torch.cuda.device_count()
    return named[:count] if named else [str(number) for number in range(count)]


def choose_device(device: str) -> str:
    """The device to train on.

    Raises:
        StudyError: CUDA was asked for and is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            ["--device cuda: this machine has no CUDA device that torch can use. Use --device cpu or auto, "
             "or see `deepboot doctor`."]
        )  # fmt: skip
    return device


@final
class LocalEngine:
    """The machine that runs the command: its cores, or all GPUs that it sees."""

    @contextmanager
    def started(self) -> Iterator["LocalEngine"]:
        """Nothing has to be started."""
        yield self

    def device(self, asked: str) -> str:
        """The device to train on, as `choose_device` has it."""
        return choose_device(asked)

    def workers(self, device: str, asked: int | None, known: ExecutionPlan | None = None) -> int:
        """Processes: as many as were asked for or planned before, one per core, or one per GPU at most."""
        if device != "cpu":
            return max(1, min(asked or len(gpus()), len(gpus())))
        if asked is not None:
            return asked
        return known.workers if known is not None else cores()

    def threads(self, asked: int | None) -> int:
        """Threads that one process may have in place of all others."""
        return cores() if asked is None else 1

    def bench(self, device: str) -> Bench[Worker]:
        """Trials in worker processes."""
        return Bench(_processes(device))

    def run_jobs(self, jobs: list[Job], *, workers: int, observer: Observer) -> list[Failure]:
        """Do all jobs, as `run_jobs` does."""
        return run_jobs(jobs, workers=workers, observer=observer)


def run_jobs(jobs: list[Job], *, workers: int, observer: Observer) -> list[Failure]:
    """Do all jobs; the failures among them come back, in no order.

    Args:
        jobs: the longest first.
        workers: processes; one means this one, except on a GPU: a worker's context is lost after some errors, and
            this process has to outlive it. On GPUs there is a process for each.
        observer: is told of all that happens, in this thread.

    Raises:
        KeyboardInterrupt: a stop was asked for; checkpoints have been written.
    """
    count = min(workers, len(jobs))
    with stoppable():
        if count <= 1 and all(job.execution.device == "cpu" for job in jobs):
            return _here(jobs, observer)
        return Crew(jobs, observer, _processes(jobs[0].execution.device)).work(max(count, 1))


def _here(jobs: Iterable[Job], observer: Observer) -> list[Failure]:
    """Do all jobs in this process."""
    waiting, failures, cache = deque(jobs), list[Failure](), BackendCache()
    with guest():
        while waiting:
            heed_stop()
            job = waiting.popleft()
            observer.begun()
            result = execute(job, observer.progress, note, cache)
            tell(observer, job, result)
            failures += result.failures
            waiting.extendleft(reversed(result.smaller))
    return failures


@final
class Processes:
    """Worker processes of this machine; a job is tried once.

    Args:
        devices: GPUs, of which a worker sees the one that the fewest others have; none where they train on the CPU.
    """

    attempts = 1

    def __init__(self, devices: Sequence[str] = ()):
        self._devices, self._hired = devices, list[Worker]()

    def hire(self) -> Worker:
        """A new process."""
        taken = Counter(worker.device for worker in self._hired if not worker.dead)
        self._hired.append(Worker(min(self._devices, key=lambda device: taken[device], default=None)))
        return self._hired[-1]

    def attentive(self, workers: Sequence[Worker]) -> list[Worker]:
        """Those that have a message or have ended, after a short wait for one of them."""
        return attentive(workers)

    def stop(self, workers: Sequence[Worker]) -> None:
        """End them, once they have written their checkpoints; at once, if a person will not wait for that."""
        stop(workers)


def _processes(device: str) -> Processes:
    return Processes(gpus() if device != "cpu" else ())

"""The local engine: one-thread worker processes on a CPU, or this process; one worker process on a GPU."""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from deepboot.bootstrap.training.backend import BackendCache
from deepboot.runners.run import shards
from deepboot.runners.run.execute import Failure, Job, JobResult, Row, execute, fail, stopping
from deepboot.runners.run.process import guest
from deepboot.runners.run.trial import Rate, Trial
from deepboot.runners.run.worker import Worker, attentive, stop

FALSE_STARTS = 3  # workers in a row that end before they were given a job, after which no more are started


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Observer(Protocol):
    """Whoever wants to know how jobs go."""

    def progress(self, steps: int, rows: list[Row]) -> None:
        """Member steps were done, and evaluations, as rows of that table."""

    def begun(self) -> None:
        """A job was begun."""

    def ended(self, run_ids: Sequence[str], failures: Sequence[str], parts: int) -> None:
        """A job with these runs ended: it is done, it failed, or parts of it are done in its place."""


def run_jobs(jobs: list[Job], *, workers: int, observer: Observer) -> list[Failure]:
    """Do all jobs; the failures among them come back, in no order.

    Args:
        jobs: the longest first.
        workers: processes; one means this one, except on a GPU: a worker's context is lost after some errors, and
            this process has to outlive it.
        observer: is told of all that happens, in this thread.

    Raises:
        KeyboardInterrupt: a stop was asked for; checkpoints have been written.
    """
    count = min(workers, len(jobs))
    with _stoppable():
        if count <= 1 and all(job.execution.device == "cpu" for job in jobs):
            return _here(jobs, observer)
        return _Crew(jobs, observer).work(max(count, 1))


def _here(jobs: Iterable[Job], observer: Observer) -> list[Failure]:
    """Do all jobs in this process."""
    waiting, failures, cache = deque(jobs), list[Failure](), BackendCache()
    with guest():
        while waiting:
            _heed_stop()
            job = waiting.popleft()
            observer.begun()
            result = execute(job, observer.progress, note, cache)
            _tell(observer, job, result)
            failures += result.failures
            waiting.extendleft(reversed(result.smaller))
    return failures


def _tell(observer: Observer, job: Job, result: JobResult) -> None:
    """Tell an observer what came of a job."""
    run_ids, reasons = [run.run_id for run in job.runs], [failure.reason for failure in result.failures]
    observer.ended(run_ids, reasons, len(result.smaller))


class _Crew:
    """Workers, the jobs that wait for them, and the failures so far.

    A job whose worker dies is a failure and not tried again; another worker does what is left.
    """

    def __init__(self, jobs: Iterable[Job], observer: Observer):
        self._waiting, self._observer = deque(jobs), observer
        self._workers: list[Worker] = []
        self._failures: list[Failure] = []
        self._false_starts, self._last_end = 0, ""

    def work(self, count: int) -> list[Failure]:
        """Do all jobs with so many workers; the failures among them come back."""
        try:
            for _ in range(count):
                self._workers.append(Worker())
            while busy := [worker for worker in self._workers if not worker.dismissed]:
                _heed_stop()
                for worker in attentive(busy):
                    self._heed(worker, worker.message())
        finally:
            stop(self._workers)
        reason = f"no worker process could be started ({self._last_end})"
        return self._failures + [fail(job, reason) for job in self._waiting]

    def _heed(self, worker: Worker, message: dict[str, Any] | None) -> None:
        """Do what a worker's message asks for; None: it has ended."""
        if message is None:
            self._bury(worker)
        elif "steps" in message:
            self._observer.progress(message["steps"], message["rows"])
        elif "note" in message:
            note(message["note"])
        elif "result" in message:
            self._take(worker, JobResult.model_validate(message["result"]))
        else:
            self._give(worker)

    def _take(self, worker: Worker, result: JobResult) -> None:
        """Take note of what came of a worker's job."""
        assert worker.job is not None, "it reports on a job that it was given"
        _tell(self._observer, worker.job, result)
        worker.job = None
        self._false_starts = 0
        self._failures += result.failures
        self._waiting.extendleft(reversed(result.smaller))
        if result.device_lost:
            self._replace(worker)
        else:
            self._give(worker)

    def _give(self, worker: Worker) -> None:
        """Give a worker its next job, or dismiss it where there is none."""
        if not self._waiting:
            worker.dismiss()
            return
        with suppress(OSError):  # it is dead: its end is seen next, and the job waits for another
            worker.ask(self._waiting[0])
            worker.job = self._waiting.popleft()
            self._observer.begun()

    def _bury(self, worker: Worker) -> None:
        """Take note of a worker that died, and of its job, unless the job had just been done."""
        self._last_end = worker.ended()
        if worker.job is None:
            self._false_starts += 1
        else:
            done = shards.exists(Path(worker.job.folder), worker.job.name)
            failures = [] if done else [fail(worker.job, f"the worker process died ({self._last_end})")]
            _tell(self._observer, worker.job, JobResult(failures=failures))
            self._failures += failures
        self._replace(worker)

    def _replace(self, worker: Worker) -> None:
        """Let a worker go, and start another while there are jobs and workers can be started."""
        worker.kill()
        self._workers.remove(worker)
        if self._waiting and self._false_starts < FALSE_STARTS:
            self._workers.append(Worker())


class Bench:
    """Trials in worker processes, which are started for them and go when it is closed."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()

    def __call__(self, trial: Trial, workers: int) -> Rate:
        """Carry out a trial in so many processes at once; the rates are added."""
        while len(self._workers) < workers:
            self._workers.append(Worker())
        asked = self._workers[:workers]
        for worker in asked:
            with suppress(OSError):  # it is dead, which its answer tells
                worker.ask(trial)
        rates = [self._rate(worker, trial) for worker in asked]
        problems = [one.problem for one in rates if one.problem is not None]
        return Rate(
            rate=0.0 if problems else sum(one.rate for one in rates),
            member_bytes=max(one.member_bytes for one in rates),
            first_seconds=max(one.first_seconds for one in rates),
            problem=problems[0] if problems else None,
        )

    def _rate(self, worker: Worker, trial: Trial) -> Rate:
        """A worker's answer; one that died, or failed on a device and may have lost it, is not asked again."""
        message = worker.message()
        if message is not None and "ready" in message:
            message = worker.message()
        dead = message is None
        rate = Rate.model_validate(message["rate"]) if message is not None else Rate(rate=0.0)
        if dead:
            rate.problem = f"the worker process died ({worker.ended()})"
        if dead or (rate.problem is not None and trial.execution.device != "cpu"):
            worker.kill()
            self._workers.remove(worker)
        return rate


@contextmanager
def _stoppable() -> Iterator[None]:
    """A signal asks for checkpoints and a stop, a second one for a stop at once; they are as before afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        stopping.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_to_stop(*_: object) -> None:
    if stopping.is_set():
        raise KeyboardInterrupt
    stopping.set()


def _heed_stop() -> None:
    """Stop here if that was asked for."""
    if stopping.is_set():
        raise KeyboardInterrupt


def note(sentence: str) -> None:
    """Say something to the person at the terminal, beside the results."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 (said to the person at the terminal)

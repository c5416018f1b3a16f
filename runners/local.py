"""The local engine: one-thread worker processes on a CPU, this process on one device."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO

from runners.execute import Failure, Job, execute, stopping
from runners.process import guest
from runners.trial import Rate, Trial, measure

STOP_SECONDS = 60  # for a worker to end its step and write its checkpoint


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(jobs: list[Job], *, workers: int, progress: Callable[[int], None]) -> list[Failure]:
    """Do all jobs; the failures among them come back, in no order.

    Args:
        jobs: the longest first.
        workers: processes; one means this one.
        progress: told the number of member steps done.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        with _stoppable(), guest():
            return [failure for job in jobs for failure in execute(job, progress, note)]
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    failures_found: list[Failure] = []
    processes = [_start() for _ in range(workers)]
    threads = [
        threading.Thread(target=_serve, args=(process, waiting, failures_found, progress), daemon=True)
        for process in processes
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # short, so that an interrupt is seen
    finally:
        _close(processes)
    left = [Failure(waiting.get_nowait().name, "no worker was left to do it") for _ in range(waiting.qsize())]
    return failures_found + left


class Bench:
    """Trials in this process, or in worker processes that are started for them and go when it is closed."""

    def __init__(self, device: str):
        self._device = device
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        _close(self._processes)

    def __call__(self, trial: Trial, workers: int) -> Rate:
        """Carry out a trial in so many processes at once; the rates are added."""
        if self._device != "cpu":
            return measure(trial)
        while len(self._processes) < workers:
            self._processes.append(_start())
        told = []
        for process in self._processes[:workers]:
            assert process.stdin is not None
            process.stdin.write(trial.model_dump_json() + "\n")
            process.stdin.flush()
        for process in self._processes[:workers]:
            assert process.stdout is not None
            line = process.stdout.readline()
            dead = Rate(rate=0.0, problem="the process died (killed, or out of memory)")
            told.append(Rate.model_validate_json(line) if line else dead)
        problems = [one.problem for one in told if one.problem is not None]
        return Rate(
            rate=0.0 if problems else sum(one.rate for one in told),
            member_bytes=max(one.member_bytes for one in told),
            first_seconds=max(one.first_seconds for one in told),
            problem=problems[0] if problems else None,
        )


def _close(processes: list["subprocess.Popen[str]"]) -> None:
    """End worker processes, once they have written their checkpoints."""
    for process in processes:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # a dead worker has not read what was written last
            process.stdin.close()  # an idle worker waits for its next line, not for signals
        process.terminate()
    for process in processes:
        _end(process)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Signals ask the running job to write a checkpoint and stop; they are as they were afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        stopping.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: "subprocess.Popen[str]") -> None:
    """Wait for a worker that was asked to stop to write its checkpoint; kill it if it does not."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def note(sentence: str) -> None:
    """Say something to the person at the terminal, beside the results."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 (said to the person at the terminal)


def _start() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "runners.execute"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        start_new_session=True,  # an interrupt from the keyboard reaches this process alone, which then stops them
    )  # fmt: skip


def _serve(
    process: "subprocess.Popen[str]",
    waiting: "queue.SimpleQueue[Job]",
    failures: list[Failure],
    progress: Callable[[int], None],
) -> None:
    """Give one worker job after job until none is left or the worker is dead."""
    assert process.stdin is not None
    assert process.stdout is not None
    while True:
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            process.stdin.close()
            return
        try:
            process.stdin.write(job.model_dump_json() + "\n")
            process.stdin.flush()
            reasons = _listen(process.stdout, progress)
        except BrokenPipeError:
            reasons = ["the worker process died"]
        failures += [Failure(job.name, reason) for reason in reasons]
        if process.poll() is not None:
            return


def _listen(output: IO[str], progress: Callable[[int], None]) -> list[str]:
    """Follow one job to its end; why it, or parts of it, failed."""
    for line in output:
        message = json.loads(line)
        if "done" in message:
            return list(message["failures"])
        if "note" in message:
            note(message["note"])
        else:
            progress(message["steps"])
    return ["the worker process died (killed, or out of memory)"]

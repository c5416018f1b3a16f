"""What an engine is: a way to start machines, which know their devices and do jobs."""

from contextlib import AbstractContextManager
from typing import Any, Protocol

from deepboot.runners.run.crew import Bench
from deepboot.runners.run.execute import Failure, Job
from deepboot.runners.run.execution_plan import ExecutionPlan
from deepboot.runners.run.pool import Observer


class Engine(Protocol):
    """Where a study is trained: this machine, or a cluster that is to be reached."""

    def started(self) -> AbstractContextManager["Machines"]:
        """Its machines, as long as ``with`` lasts.

        Raises:
            StudyError: they cannot be reached.
        """


class Machines(Protocol):
    """The machines of an engine."""

    def device(self, asked: str) -> str:
        """The device to train on: "cpu" or "cuda"; of "auto", GPUs where there are any.

        Raises:
            StudyError: it is not there.
        """

    def workers(self, device: str, asked: int | None, known: ExecutionPlan | None = None) -> int:
        """How many workers there are to be, by what was asked for or planned for the folder before."""

    def threads(self, asked: int | None) -> int:
        """Threads that one worker may have in place of all others, where so many workers are asked for."""

    def bench(self, device: str) -> Bench[Any]:
        """Trials by its workers."""

    def run_jobs(self, jobs: list[Job], *, workers: int, observer: Observer) -> list[Failure]:
        """Do all jobs, the longest first; the failures among them come back, in no order.

        Raises:
            KeyboardInterrupt: a stop was asked for; checkpoints have been written.
        """

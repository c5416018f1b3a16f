"""Where workers come from: the seam behind which this machine's processes and a cluster's actors lie alike."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from deepboot.runners.run.execute import Job, Row
from deepboot.runners.run.trial import Trial


class Observer(Protocol):
    """Whoever wants to know how jobs go."""

    def progress(self, steps: int, rows: list[Row]) -> None:
        """Member steps were done, and evaluations, as rows of that table."""

    def worked(self, node: str, steps: int) -> None:
        """Of the member steps, so many were done on this node of a cluster."""

    def begun(self) -> None:
        """A job was begun."""

    def ended(self, run_ids: Sequence[str], failures: Sequence[str], parts: int) -> None:
        """A job with these runs ended: it is done, it failed, or parts of it are done in its place."""


class AnyWorker(Protocol):
    """Whoever does one job or trial at a time.

    Attributes:
        node: the machine that it runs on; "" where there is but one.
    """

    node: str

    def ask(self, asked: Job | Trial) -> None:
        """Hand a job or trial over.

        Raises:
            OSError: it is dead.
        """

    def message(self) -> dict[str, Any] | None:
        """Its next message, once there is one; None where it has ended and left none."""

    def ended(self) -> str:
        """How a worker that says nothing more has ended, in words."""

    def kill(self) -> None:
        """End it at once, if it has not ended yet."""


W = TypeVar("W", bound=AnyWorker)


class Pool(Protocol[W]):
    """Where workers come from.

    Attributes:
        attempts: times that a job is tried before it has failed.
    """

    attempts: int

    def hire(self) -> W | None:
        """A new worker, which says ``ready`` when it can be asked; None where there are no more to be had."""

    def attentive(self, workers: Sequence[W]) -> list[W]:
        """Workers that have a message or have ended, after a short wait for one of them."""

    def stop(self, workers: Sequence[W]) -> None:
        """End workers, once they have written their checkpoints; at once, if a person will not wait for that."""

"""Actors as a crew sees them: hired, asked, listened to, stopped, and found dead."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, final

import ray
from ray.exceptions import RayError

from deepboot.reports.text import plural
from deepboot.runners.cluster import travel
from deepboot.runners.cluster.actor import THREADS, TrainingActor
from deepboot.runners.cluster.nodes import alive, node_names, slots
from deepboot.runners.run.execute import Job
from deepboot.runners.run.terminal import note
from deepboot.runners.run.trial import Trial
from deepboot.runners.run.worker import POLL_SECONDS, STOP_SECONDS

STARTING_SECONDS = 15.0  # that an actor may take to start before it is said to wait
AGAIN_SECONDS = 60.0  # between two sentences about the same


@dataclass(frozen=True)
class Place:
    """What each actor needs of a node.

    Attributes:
        device: "cpu" or "cuda".
        threads: of an actor on CPUs.
        gpu_share: of one GPU, in (0, 1].
        wait_seconds: after which an actor that found no free device is given up.
        token: a file of the output folder, as `travel.token` makes one; of trials, which write nothing, none.
    """

    device: str
    threads: int
    gpu_share: float
    wait_seconds: float
    token: Path = Path()

    @property
    def resources(self) -> dict[str, float]:
        """The same as options of an actor."""
        if self.device == "cpu":
            return {"num_cpus": self.threads}
        return {"num_cpus": 0, "num_gpus": self.gpu_share}

    @property
    def slots(self) -> int:
        """Actors that the cluster has devices for now."""
        return slots(alive(), self.device, self.threads, self.gpu_share)


@final
class RayWorker:
    """An actor as its driver sees it.

    Attributes:
        node: the name of its node, "" before it runs.
        late: whether no device was free for it in time.
        question: the answer to the last question for messages, which Ray may have or not.
    """

    def __init__(self, place: Place):
        self.node, self.late, self._place, self._since = "", False, place, time.monotonic()
        self._told, self._death, self._sees, self._folder = deque[dict[str, Any]](), "", True, Path()
        kind = cast("Any", ray.remote(TrainingActor))  # Ray's own types know an actor's methods without `remote`
        self._actor = kind.options(max_concurrency=THREADS, **place.resources).remote()
        self._where = self._asked = self._actor.node.remote(str(place.token))
        self.question = self._actor.messages.remote()

    @property
    def waited(self) -> float:
        """Seconds that it has been waiting for a device; 0 once it runs."""
        return 0.0 if self.node or self._death else time.monotonic() - self._since

    @property
    def runs(self) -> bool:
        """Whether it has a device and is not known to be dead."""
        return bool(self.node) and not self._death

    @property
    def attentive(self) -> bool:
        """Whether it has a message or has ended; one that waited too long is given up."""
        if not self._told and not self._death:
            self._listen()
        if self.waited > self._place.wait_seconds:
            self.late = True
            self._death = f"no device was free within {self._place.wait_seconds:.0f} s"
        return bool(self._told or self._death)

    def ask(self, asked: Job | Trial) -> None:
        """Hand a job or trial over, a job with what it reads where its folder is not seen."""
        files = None
        if isinstance(asked, Job) and not self._sees:
            self._folder, files = Path(asked.folder), travel.needed(asked)
        self._asked = self._actor.ask.remote(asked.model_dump_json().encode(), files)

    def message(self) -> dict[str, Any] | None:
        """Its next message, once there is one; None where it has ended and left none."""
        while not self.attentive:
            ray.wait([self.question], timeout=POLL_SECONDS)
        return self._told.popleft() if self._told else None

    def _listen(self) -> None:
        """Take what it answered to the last question for messages, if it did, and ask again.

        Raises:
            OSError: files that came cannot be written.
        """
        if not ray.wait([self.question], timeout=0)[0]:
            return
        try:
            told, files = ray.get(self.question)
            ray.get(ray.wait([self._asked], timeout=0)[0])  # raises what a node that cannot take a job raised
            if not self.node:
                self._arrive(*ray.get(self._where))  # asked before the question
            self.question = self._actor.messages.remote()
        except RayError as error:
            self._death = _how(error)
            return
        travel.write(self._folder, files)
        self._told.extend(told or [])
        self._death = "it ended by itself" if told is None else ""

    def _arrive(self, node: str, sees: bool) -> None:
        """Take note of where it runs, and whether it sees the output folder there."""
        self.node, self._sees = node_names()[node], sees

    def ended(self) -> str:
        """How a worker that says nothing more has ended, in words."""
        return self._death

    def stop(self) -> None:
        """Ask for a checkpoint and the end."""
        if self.runs:
            self._actor.stop.remote()

    def outlast(self, until: float) -> None:
        """Wait for its end until a moment, but not for one that never ran."""
        while self.runs and time.monotonic() < until:
            ray.wait([self.question], timeout=POLL_SECONDS)
            self._listen()
            self._told.clear()

    def kill(self) -> None:
        """End it at once, if it has not ended yet."""
        with suppress(RayError):
            ray.kill(self._actor)


@final
class Actors:
    """Actors of a cluster; a job that fails is tried three times, since nodes differ and are lost.

    Args:
        place: what each needs.
    """

    attempts = 3

    def __init__(self, place: Place):
        self._place, self._given_up = place, False
        self._said, self._due = "", 0.0

    def hire(self) -> RayWorker | None:
        """A new actor, which Ray starts once a device is free; none after one was waited for in vain."""
        return None if self._given_up else RayWorker(self._place)

    def attentive(self, workers: Sequence[RayWorker]) -> list[RayWorker]:
        """Those that have a message or have ended, after a short wait for one of them."""
        heard = [worker for worker in workers if worker.attentive]
        if not heard:
            ray.wait([worker.question for worker in workers], timeout=POLL_SECONDS)
            heard = [worker for worker in workers if worker.attentive]
        self._given_up |= any(worker.late for worker in workers)
        waited = max(worker.waited for worker in workers)
        if waited > STARTING_SECONDS or (waited > 0 and self._place.slots < len(workers)):
            self._say_waiting(sum(worker.waited > 0 for worker in workers), sum(worker.runs for worker in workers))
        return heard

    def stop(self, workers: Sequence[RayWorker]) -> None:
        """End actors, once they have written their checkpoints; at once, if a person will not wait for that."""
        try:
            for worker in workers:
                worker.stop()
            until = time.monotonic() + STOP_SECONDS
            for worker in workers:
                worker.outlast(until)
        finally:
            for worker in workers:
                worker.kill()

    def _say_waiting(self, waiting: int, running: int) -> None:
        """Say how many devices are missing, when that changes and every minute."""
        sentence = f"waiting for {plural(waiting, 'more device')} (have {running})"
        if sentence != self._said or time.monotonic() >= self._due:
            self._said, self._due = sentence, time.monotonic() + AGAIN_SECONDS
            note(sentence)


def _how(error: RayError) -> str:
    """How an actor died, in one line: the last of an error's lines that Ray did not indent, without its guesses."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith(("\t", " "))]
    return lines[-1].partition(" Some common causes")[0] if lines else type(error).__name__

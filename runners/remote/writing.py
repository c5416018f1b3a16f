"""Writing at a location: its lock is held, and a local copy of it is pushed every few seconds and at the end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import final

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.remote.copy import Copy, naming
from deepboot.runners.remote.location import location
from deepboot.runners.remote.lock import Lock

PUSH_SECONDS = 10.0  # between two looks at what has changed


@final
class Pushing(threading.Thread):
    """Pushes a copy, and renews its lock, every few seconds, until it is closed; what fails is tried again.

    Args:
        copy: what is pushed.
        held: the lock.
    """

    def __init__(self, copy: Copy, held: Lock):
        super().__init__(name="push", daemon=True)
        self._copy, self._held, self._closed = copy, held, threading.Event()

    def run(self) -> None:
        """Push until the end; training goes on whatever comes of it."""
        while not self._closed.wait(PUSH_SECONDS):
            with suppress(StudyError):  # the last push says what is wrong
                self.once()

    def once(self) -> None:
        """Push what has changed, if the location is still ours.

        Raises:
            StudyError: it is not, or it cannot be reached.
        """
        with self._copy.where.reached():
            if not self._held.is_own():
                raise StudyError([f"{self._copy.where.url} was taken over by another process while it was written."])
            self._held.renew()
        self._copy.push()

    def close(self) -> None:
        """End the thread, after a push that is under way."""
        self._closed.set()
        self.join()


@contextmanager
def writing(url: str, say: Callable[[str], None]) -> Iterator[Copy]:
    """A copy of a whole location, which is ours as long as ``with`` lasts, and which is pushed every few seconds.

    However the block ends, what it wrote is pushed; where that cannot be done, the copy stays.

    Args:
        url: the location.
        say: called with a sentence where the lock of a dead process is taken over.

    Raises:
        StudyError: the location cannot be reached, another process writes there, or the last push failed.
    """
    where = location(url)
    held = Lock(where)
    if held.taken_over:
        say(held.taken_over)
    copy = Copy(where)
    pushing = Pushing(copy, held)
    try:
        copy.pull()
        pushing.start()
        try:
            with naming(copy):
                yield copy
        finally:
            _last_push(pushing, copy)
        copy.remove()
    finally:
        with where.reached():
            held.release()


def _last_push(pushing: Pushing, copy: Copy) -> None:
    """Push what is left.

    Raises:
        StudyError: that cannot be done; it says where the copy lies.
    """
    pushing.close()
    try:
        pushing.once()
    except StudyError as error:
        raise StudyError([
            *error.problems,
            f"What was trained lies in {copy.folder}: go on there with `deepboot run STUDY --out {copy.folder}`, or "
            "copy its files to the location.",
        ]) from error  # fmt: skip

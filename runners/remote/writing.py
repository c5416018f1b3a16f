"""Writing at a location: its lock is held, and a local copy of it is pushed every few seconds and at the end."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.remote.copy import Copy, naming
from deepboot.runners.remote.location import Location, location
from deepboot.runners.remote.lock import Lock

PUSH_SECONDS = 10.0  # between two looks at what has changed


@contextmanager
def writing(url: str, say: Callable[[str], None]) -> Iterator[Copy]:
    """A copy of a whole location, which is ours as long as ``with`` lasts, and which is pushed every few seconds.

    However the block ends, what it wrote is pushed; where that cannot be done, the copy stays. A push that fails before
    is tried again, and training goes on meanwhile.

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
    try:
        with _repeated(partial(_renew, where, held)):  # also while much is on its way
            copy = Copy(where)
            try:
                copy.pull()
            except BaseException:
                copy.remove()
                raise
            try:
                with _repeated(partial(_push, copy, held)), naming(copy):
                    yield copy
            finally:
                _last_push(copy, held)
            copy.remove()
    finally:
        with where.reached():
            held.release()


@contextmanager
def _repeated(deed: Callable[[], None]) -> Iterator[None]:
    """Do something every few seconds, in a thread, as long as ``with`` lasts; it may fail, and be done again."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(PUSH_SECONDS):
            with suppress(StudyError):
                deed()

    thread = threading.Thread(target=repeat, name="location", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _renew(where: Location, held: Lock) -> None:
    """Renew a lock that is still ours."""
    with where.reached():
        if held.is_own():
            held.renew()


def _push(copy: Copy, held: Lock) -> None:
    """Push what has changed, if the location is still ours.

    Raises:
        StudyError: it is not, or it cannot be reached.
    """
    with copy.where.reached():
        if not held.is_own():
            raise StudyError([f"{copy.where.url} was taken over by another process while it was written."])
    copy.push()


def _last_push(copy: Copy, held: Lock) -> None:
    """Push what is left.

    Raises:
        StudyError: that cannot be done; it says where the copy lies.
    """
    try:
        _push(copy, held)
    except StudyError as error:
        raise StudyError([
            *error.problems,
            f"What was trained lies in {copy.folder}: go on there with `deepboot run STUDY --out {copy.folder}`, or "
            "copy its files to the location.",
        ]) from error  # fmt: skip

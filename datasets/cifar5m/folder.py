"""The folder of CIFAR-5m's files: one process at a time, enough free space, and how progress is shown."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

Advance = Callable[[int], object]  # takes the number of bytes that are done since, negative where some were lost
Progress = Callable[[int], AbstractContextManager[Advance]]  # takes the number of bytes to be done


@contextmanager
def silent(total: int) -> Iterator[Advance]:
    """Progress that shows nothing."""
    yield lambda count: None


def command(action: str, root: Path, parts: Iterable[int] = ()) -> str:
    """The command line of an action, to be copied.

    >>> command("prepare", Path("data"), [0, 5])
    'deepboot data cifar5m prepare --root data --parts 0 5'
    """
    chosen = list(map(str, parts))
    words = ["deepboot", "data", "cifar5m", action, "--root", str(root)]
    return shlex.join([*words, "--parts", *chosen] if chosen else words)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Lock the folder for this process, after making it where it is missing; the lock ends with the process.

    Raises:
        ValueError: another process has locked it, or it cannot be written.
    """
    lock = FileLock(root / ".lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(f"{root}: another process is writing here. Wait for it, or stop it.") from error
    except OSError as error:
        raise ValueError(f"{root}: cannot be written: {error.strerror}. Choose another folder with --root.") from error
    try:
        yield
    finally:
        lock.release()


def check_free_space(root: Path, needed: int, leftover: int = 0) -> None:
    """Refuse to write more than fits onto the disk.

    Args:
        needed: bytes to be written.
        leftover: bytes in files that will be written over.

    Raises:
        ValueError: less is free.
    """
    free = shutil.disk_usage(root).free + leftover
    if needed > free:
        raise ValueError(
            f"{root}: {readable_size(needed)} are needed, {readable_size(free)} are free. Free some space, or choose "
            "another folder with --root."
        )


def bytes_of(file: Path) -> int:
    """Size of a file; 0 if there is none."""
    return file.stat().st_size if file.is_file() else 0


def finish(unfinished: Path, final: Path) -> None:
    """Give a finished file its name, once all of it is on the disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, final)


def readable_size(count: int) -> str:
    """A number of bytes in the unit that a person would choose.

    >>> readable_size(18_441_000_000), readable_size(3_400_000), readable_size(1_200)
    ('18.4 GB', '3.4 MB', '1.2 kB')
    """
    unit, name = next(((u, n) for u, n in ((10**9, "GB"), (10**6, "MB")) if count >= u), (10**3, "kB"))
    return f"{count / unit:.1f} {name}"

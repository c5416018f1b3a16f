"""The folder of CIFAR-5m's files: one process at a time, enough room, and what is told meanwhile."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

Tell = Callable[[int], object]  # is told how many bytes more, or fewer, are done
Progress = Callable[[int], AbstractContextManager[Tell]]  # is told how many there are to do


@contextmanager
def silent(total: int) -> Iterator[Tell]:
    """Progress that nobody watches."""
    yield lambda count: None


def command(action: str, root: Path, parts: Iterable[int] = ()) -> str:
    """What to type.

    >>> command("prepare", Path("data"), [0, 5])
    'deepboot data cifar5m prepare --root data --parts 0 5'
    """
    chosen = list(map(str, parts))
    words = ["deepboot", "data", "cifar5m", action, "--root", str(root)]
    return shlex.join([*words, "--parts", *chosen] if chosen else words)


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold the folder, which is made where it is missing, for one process; the system lets go with the process.

    Raises:
        ValueError: another process holds it, or it cannot be written.
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


def check_room(root: Path, needed: int, leftover: int = 0) -> None:
    """Refuse what does not fit onto the disk.

    Args:
        needed: bytes to be written.
        leftover: bytes in files that will be written over.

    Raises:
        ValueError: less is free.
    """
    free = shutil.disk_usage(root).free + leftover
    if needed > free:
        raise ValueError(
            f"{root}: {size(needed)} are needed, {size(free)} are free. Free some space, or choose another "
            "folder with --root."
        )


def bytes_of(file: Path) -> int:
    """Size of a file; 0 if there is none."""
    return file.stat().st_size if file.is_file() else 0


def keep(written: Path, final: Path) -> None:
    """Give a finished file its name, once all of it is on the disk."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(written, final)


def size(count: int) -> str:
    """A number of bytes as a person says it.

    >>> size(18_441_000_000), size(3_400_000), size(1_200)
    ('18.4 GB', '3.4 MB', '1.2 kB')
    """
    unit, name = next(((u, n) for u, n in ((10**9, "GB"), (10**6, "MB")) if count >= u), (10**3, "kB"))
    return f"{count / unit:.1f} {name}"

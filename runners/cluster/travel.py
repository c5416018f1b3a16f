"""How files travel where a node does not see the output folder: through Ray, as the contents of whole files.

What a job reads goes to its actor, which trains in a scratch folder of its node; what it writes there comes back with
its messages, before the message that tells of it, and the driver writes it into the output folder.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import final
from uuid import uuid4

from deepboot.bootstrap.files import write_atomically
from deepboot.runners.run import checkpoints
from deepboot.runners.run.execute import FAILURES, Job

PREFIX = "deepboot-actor-"
HELD = ".held"  # a file that the process of a scratch folder keeps locked for as long as it lives

Files = dict[str, bytes]  # contents by path inside a folder


@contextmanager
def token(folder: Path) -> Iterator[Path]:
    """A file with a name of its own in a folder, as long as ``with`` lasts: who finds it there sees the same folder."""
    path = folder / f".{uuid4().hex}.part"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def needed(job: Job) -> Files:
    """What a job reads of its output folder: checkpoints of its pack, and states from which its runs go on."""
    folder = Path(job.folder)
    paths = list(checkpoints.checkpoint_paths(folder, job.name))
    paths += [checkpoints.state_path(folder, run.run_id) for run in job.runs if job.start]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def write(folder: Path, files: Files) -> None:
    """Write files into a folder, each whole or not at all; what came of the log of failures is added to it.

    Raises:
        OSError: the folder cannot be written.
    """
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if name == FAILURES:
            with path.open("ab") as log:
                log.write(data)
        else:
            write_atomically(path, data)


@final
class Scratch:
    """A folder of a node, in place of an output folder that is not seen there; those of dead processes are removed.

    Args:
        folder: the output folder, which messages name instead.
        files: what of it is read.

    Raises:
        OSError: the node's folder for temporary files cannot be written.
    """

    def __init__(self, folder: str, files: Files):
        _remove_abandoned()
        self._folder, self.path = folder, Path(mkdtemp(prefix=PREFIX))
        self._held = os.open(self.path / HELD, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        self._logged, self._known = 0, dict[str, tuple[int, ...]]()
        write(self.path, files)
        self.written()  # what came need not go back

    def told(self, message: bytes) -> bytes:
        """A JSON message that names the output folder where it named this one."""
        own, theirs = (json.dumps(path)[1:-1].encode() for path in (str(self.path), self._folder))
        return message.replace(own, theirs)

    def written(self) -> Files:
        """Files that were written since the last call, in the order in which they were."""
        found = list[tuple[int, str, bytes]]()
        for folder, _, names in os.walk(self.path):  # which passes over a folder that is removed meanwhile
            for path in (Path(folder, name) for name in names if not name.startswith(".")):
                name = str(path.relative_to(self.path))
                try:
                    about = path.stat()
                    mark = (about.st_mtime_ns, about.st_ino, about.st_size)
                    if self._known.get(name) != mark:
                        found.append((about.st_mtime_ns, name, path.read_bytes()))
                        self._known[name] = mark
                except FileNotFoundError:  # a checkpoint became the previous one
                    continue
        return {name: self._added(data) if name == FAILURES else data for _, name, data in sorted(found)}

    def _added(self, log: bytes) -> bytes:
        """What the log of failures has more than it had at the last call."""
        added, self._logged = log[self._logged :], len(log)
        return added.replace(str(self.path).encode(), self._folder.encode())

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        os.close(self._held)
        shutil.rmtree(self.path, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the scratch folders of this node whose processes ended without doing so: nobody holds their locks."""
    for path in Path(gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (path / HELD).open("r+") as held:  # another user's, or one that just begins, has none
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)

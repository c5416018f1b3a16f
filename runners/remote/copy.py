"""A local copy of an output folder that lies elsewhere: filled from there, and what changes in it put back there.

Files are put in an order that leaves a whole folder behind wherever it is interrupted: first states and checkpoints,
then shards, then the tables that hold their rows, and files that are gone here are removed there last. An interrupted
push costs no more than what came after the one before it. A reader brings shards before tables, since that is the way
that rows take, and runs before their evaluations, which are written first.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import final

from deepboot.bootstrap.probe_values import PROBES
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.live import status
from deepboot.runners.remote.location import Location

AT_ONCE = 8  # files on their way
TABLES = (PROBES, "evaluations.parquet", "runs.parquet")  # in the order in which they are written
Mark = tuple[int, ...]


@final
class Copy:
    """A folder of this machine with the files of a location.

    Args:
        where: the location.
    """

    def __init__(self, where: Location):
        self.where = where
        self._parent = Path(mkdtemp(prefix="deepboot-"))
        self.folder = self._parent / where.name
        self._marks = dict[str, Mark]()  # of files that are the same there
        self._pulled = dict[str, str]()  # what the location said of files when they were pulled
        self.folder.mkdir()

    def pull(self, leave: Sequence[str] = ()) -> None:
        """Bring all files that are new or have changed there, and remove those that are gone, but for some folders.

        Raises:
            StudyError: the location cannot be reached.
        """
        with self.where.reached():
            self.where.system.invalidate_cache()
            found = self.where.system.find(self.where.path, detail=True)
        there = {name: str(about) for path, about in found.items() if (name := self._name(path))}
        wanted = [name for name in there if name.partition("/")[0] not in leave]
        new = [name for name in wanted if self._pulled.get(name) != there[name]]
        with self.where.reached(), ThreadPoolExecutor(AT_ONCE) as threads:
            for group in _in_order(new, ("shards", *reversed(TABLES), status.FILE)):
                list(threads.map(self._bring, group))
        for name in self._pulled.keys() - set(wanted):
            (self.folder / name).unlink(missing_ok=True)
        self._pulled = {name: there[name] for name in wanted}
        self._marks = self._files()

    def _name(self, path: str) -> str:
        """The name of a file inside the folder; nothing of those that are not ours."""
        name = path.removeprefix(self.where.path).strip("/")
        return "" if name.rpartition("/")[2].startswith(".") and name != status.FILE else name

    def _bring(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with suppress(FileNotFoundError):  # it went while others came
            self.where.system.get_file(self.where.inside(name), str(part))
            part.replace(path)

    def push(self) -> None:
        """Put there what has changed here, and remove what is gone.

        Raises:
            StudyError: the location cannot be reached.
        """
        now = self._files()
        changed = {name for name, mark in now.items() if self._marks.get(name) != mark}
        if not changed.isdisjoint(TABLES):
            changed |= now.keys() & set(TABLES)  # one that was written while these were looked at belongs to the others
        with self.where.reached():
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for group in _in_order(changed, ("shards", *TABLES, status.FILE)):
                    list(threads.map(self._put, group))
                    self._marks.update({name: now[name] for name in group})
            if self._files() == now:  # else rows may have gone into tables that are not there yet
                for name in self._marks.keys() - now.keys():
                    with suppress(FileNotFoundError):
                        self.where.system.rm_file(self.where.inside(name))
                    del self._marks[name]

    def _put(self, name: str) -> None:
        """Put one file there, as whole as the file system puts it; one that went meanwhile is for the next push."""
        try:
            data = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return
        self.where.system.pipe_file(self.where.inside(name), data)

    def _files(self) -> dict[str, Mark]:
        """The files of the folder, with what changes when they do."""
        marks = dict[str, Mark]()
        for folder, _, names in os.walk(self.folder):  # which passes over a folder that goes meanwhile
            for path in (Path(folder, name) for name in names):
                name = path.relative_to(self.folder).as_posix()
                with suppress(FileNotFoundError):
                    if self._name(self.where.inside(name)):
                        about = path.stat()
                        marks[name] = (about.st_mtime_ns, about.st_size, about.st_ino)
        return marks

    def remove(self) -> None:
        """Remove it from this machine."""
        rmtree(self._parent, ignore_errors=True)


def _in_order(names: Collection[str], late: Sequence[str]) -> list[list[str]]:
    """Names in groups, each of which is to be there before the next one comes: all others, then these, one by one."""
    groups: dict[int, list[str]] = {}
    for name in sorted(names):
        first = name.partition("/")[0]
        groups.setdefault(late.index(first) if first in late else -1, []).append(name)
    return [groups[rank] for rank in sorted(groups)]


@contextmanager
def naming(*copies: Copy) -> Iterator[None]:
    """Let messages about files name their location, not their copy here."""
    try:
        yield
    except ValueError as error:
        problems = getattr(error, "problems", None) or ([str(error)] if type(error) is ValueError else [])
        if not copies or not problems:
            raise
        raise StudyError([told(copies, problem) for problem in problems]) from error


def told(copies: Sequence[Copy], text: str) -> str:
    """A text that names locations where it named their copies."""
    for copy in copies:
        text = text.replace(str(copy.folder), copy.where.url)
    return text

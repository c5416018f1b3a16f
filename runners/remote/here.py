"""The output folders that a person names, as folders of this machine, wherever they lie."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from deepboot.runners.remote.copy import Copy, naming, told
from deepboot.runners.remote.location import is_remote, local_path, location
from deepboot.runners.remote.writing import writing

NOT_READ = ("states", "figures")  # folders that no report needs


@final
@dataclass(frozen=True)
class Here:
    """Output folders as folders of this machine.

    Attributes:
        folders: as many as there were places, in their order.
        copies: those of them that are copies of a location.
    """

    folders: tuple[Path, ...]
    copies: tuple[Copy, ...]

    def told(self, text: str) -> str:
        """A text that names locations where it named their copies."""
        return told(self.copies, text)

    def pull(self) -> None:
        """Bring what has changed since, if there is a copy among them."""
        for copy in self.copies:
            copy.pull(leave=NOT_READ)

    def push(self) -> None:
        """Put back what was written, such as a page."""
        for copy in self.copies:
            copy.push()


@contextmanager
def here(places: Sequence[str]) -> Iterator[Here]:
    """The folders that a person names, those at a location as copies to read, as long as ``with`` lasts.

    Raises:
        StudyError: a location cannot be reached.
    """
    with ExitStack() as stack:
        copies = {place: stack.enter_context(reading(place)) for place in places if is_remote(place)}
        folders = tuple(copies[place].folder if place in copies else local_path(place) for place in places)
        with naming(*copies.values()):
            yield Here(folders, tuple(copies.values()))


@contextmanager
def to_write(place: str | Path, say: Callable[[str], None]) -> Iterator[Here]:
    """The output folder that a person names; one at a location as its copy, as `writing` has it.

    Raises:
        StudyError: as in `writing`.
    """
    if not is_remote(place):
        yield Here((local_path(place),), ())
        return
    with writing(str(place), say) as copy:
        yield Here((copy.folder,), (copy,))


@contextmanager
def reading(url: str) -> Iterator[Copy]:
    """A copy of what a report needs of a location, as long as ``with`` lasts; it can be pulled again.

    Raises:
        StudyError: the location cannot be reached.
    """
    copy = Copy(location(url))
    try:
        copy.pull(leave=NOT_READ)
        yield copy
    finally:
        copy.remove()

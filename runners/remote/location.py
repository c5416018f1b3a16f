"""Where an output folder lies: on this machine's disks, or at a location that fsspec reaches."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import clipped, error_line, shown, suggestion

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
USUAL = ["abfs", "az", "file", "gcs", "gs", "hdfs", "memory", "s3", "sftp", "smb"]  # that a person may have meant
CHAINED = "::"  # fsspec's sign for a file system inside another one


@dataclass(frozen=True)
class Location:
    """A folder that fsspec reaches.

    Attributes:
        url: as a person wrote it, without a slash at its end.
        system: the file system, as fsspec has it.
        path: of the folder in it.
    """

    url: str
    system: Any
    path: str

    @property
    def name(self) -> str:
        """Its last part, by which a study's results are called."""
        return self.url.rpartition("/")[2]

    def inside(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.path}/{name}"

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Raise whatever a file system raises as one sentence.

        Raises:
            StudyError: the location cannot be reached or used.
        """
        try:
            yield
        except StudyError:
            raise
        except Exception as error:  # every file system has errors of its own, not all of which are OSError
            raise StudyError([f"{self.url}: expected a place to read and write, got {_trouble(error)}"]) from error


def is_remote(text: str | Path) -> bool:
    """Whether a person's words name a location, not a path; ``file://`` is a path."""
    found = URL.match(str(text))
    return found is not None and found[1].lower() != "file"


def local_path(text: str | Path) -> Path:
    """The path that a person's words name, ``file:///data/out`` or ``/data/out``.

    >>> local_path("file:///data/out").as_posix(), local_path("out").as_posix()
    ('/data/out', 'out')
    """
    return Path(re.sub(r"(?i)^file://", "", str(text)))


def location(url: str) -> Location:
    """The location that a URL names; nothing is asked of it yet.

    Raises:
        StudyError: fsspec or what it needs for this protocol is not installed, it knows no such protocol, or the URL
            names no folder.
    """
    found = URL.match(url)
    assert found is not None, "it is remote"
    protocol, rest = found[1].lower(), url[found.end() :].strip("/")
    if find_spec("fsspec") is None:
        raise StudyError(
            [f'{clipped(url)}: the package fsspec is not installed. Run `pip install "deep-bootstrap[remote]"`.']
        )
    if not rest or CHAINED in url:
        raise StudyError([
            f"{clipped(url)}: expected a folder at one location, got {shown(url)}. Write for instance "
            f"{protocol}://bucket/results/demo."
        ])  # fmt: skip
    import fsspec

    try:
        fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        told = f"{clipped(url)}: unknown protocol {shown(protocol)}. {suggestion(protocol, USUAL)}"
        raise StudyError([told]) from error
    except ImportError as error:
        needed = re.findall(r"[Ii]nstall (\w+)", str(error)) or [protocol]
        raise StudyError(
            [f"{clipped(url)}: the package {needed[0]} is not installed. Run `pip install {needed[0]}`."]
        ) from error
    try:
        system, path = fsspec.url_to_fs(url.rstrip("/"))
    except Exception as error:  # of its settings, which are read from its own surroundings
        raise StudyError([f"{clipped(url)}: expected a file system, got {_trouble(error)}"]) from error
    return Location(url.rstrip("/"), system, path.rstrip("/"))


def _trouble(error: Exception) -> str:
    """What a file system says, and what helps."""
    if isinstance(error, FileNotFoundError):
        return f"none there ({error_line(error)}). Make the bucket first, or correct its name."
    if isinstance(error, PermissionError):
        return f"no access ({error_line(error)}). Give these credentials the right to list, read, write and delete."
    return f"{error_line(error)}. Check the address, the network and the credentials."

"""Paths as a person writes them in a study or behind a command."""

import os
from pathlib import Path

from deepboot.bootstrap.registry import LONGEST_PATH, clipped, shown
from deepboot.bootstrap.study.messages import StudyError


def expanded(path: str | Path) -> Path:
    """A path with ``~`` and ``~name`` replaced by the home folder that they mean.

    Raises:
        ValueError: no such user has a home folder on this machine.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = clipped(Path(path).parts[0])
        raise ValueError(f"there is no home folder {home}. Write the path from the root on.") from error


def written(text: str | Path, place: str, folder: Path = Path()) -> Path:
    """The path of a text, with ``~`` for somebody's home folder.

    Args:
        place: the key that holds it, for the message.
        folder: what it is relative to.

    Raises:
        StudyError: no file can have this name, or there is no such home folder.
    """
    name = str(text)
    if "\0" in name:
        raise StudyError([f"`{place}`: expected a path, got {shown(name)}, which holds a null byte. Remove it."])
    try:
        path = expanded(name)
        os.lstat(folder / path)
    except FileNotFoundError:
        return path
    except ValueError as error:
        raise StudyError([f"`{place}`: {error}"]) from error
    except OSError as error:
        raise StudyError([f"`{place}`: {unusable(name, error)}"]) from error
    return path


def unusable(name: str, error: OSError) -> str:
    """Why a path cannot be used."""
    return f"{clipped(name, LONGEST_PATH)} cannot be used: {error.strerror}. Give another path."

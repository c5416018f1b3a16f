"""Paths as a person writes them in a study or behind a command."""

import os
from pathlib import Path

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import LONGEST_PATH, clipped, shown


def expanded(path: str | Path) -> Path:
    """A path with ``~`` and ``~name`` replaced by the home folder.

    Raises:
        ValueError: no such user has a home folder on this machine.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = clipped(Path(path).parts[0])
        raise ValueError(f"there is no home folder {home}. Write the path from the root on.") from error


def path_of(text: str | Path, key: str, folder: Path = Path()) -> Path:
    """The path in a study or behind a command, with ``~`` and ``~name`` replaced by the home folder.

    Args:
        key: its key in the study, for the message.
        folder: the folder that it is relative to.

    Raises:
        StudyError: no file can have this name, or there is no such home folder.
    """
    name = str(text)
    if "\0" in name:
        raise StudyError([f"`{key}`: expected a path, got {shown(name)}, which holds a null byte. Remove it."])
    try:
        path = expanded(name)
        os.lstat(folder / path)
    except FileNotFoundError:
        return path
    except ValueError as error:
        raise StudyError([f"`{key}`: {error}"]) from error
    except OSError as error:
        raise StudyError([f"`{key}`: {unusable(name, error)}"]) from error
    return path


def unusable(name: str, error: OSError) -> str:
    """The message about a path that cannot be used."""
    return f"{clipped(name, LONGEST_PATH)} cannot be used: {error.strerror}. Give another path."

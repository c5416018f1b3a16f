"""Files of an output folder: written whole or not at all, and what is wrong with a damaged one, and what helps.

Every file of an output folder is read through `reading`, so that whatever is wrong with it becomes one sentence that
names the file, the damage and the cure.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AGAIN = "`deepboot run {folder}` moves it aside and writes it anew."
CURES = {
    "runs.parquet": "`deepboot run {folder}` moves it aside and makes it again from evaluations.parquet and states/; "
    "runs that these do not hold are trained again.",
    "evaluations.parquet": "`deepboot run {folder}` moves it aside and trains the runs of its rows again.",
    "probes.parquet": "`deepboot run {folder}` moves it aside and trains the runs again whose values it has lost.",
    "study.toml": "`deepboot run STUDY --out {folder}`, with the file that the study came from, moves it aside and "
    "writes it anew.",
    "claims.json": "It is what was registered before the first run, so it is never written anew: put back a copy of "
    "it. Until then every claim counts as post hoc.",
    "shards": "`deepboot run {folder}` moves it aside and trains its runs again.",
    "checkpoints": "`deepboot run {folder}` goes on from the checkpoint before it, or starts these runs over.",
}


class DamagedFileError(ValueError):
    """A file of an output folder cannot be used; ``problems`` holds one sentence.

    Attributes:
        path: of the file.
        what: is wrong with it.
    """

    def __init__(self, path: Path, what: str):
        self.path, self.what = path, what
        self.problems = [f"{path} is damaged: {what}. {_cure(path)}"]
        super().__init__(*self.problems)


def _cure(path: Path) -> str:
    inner = path.parent.name in CURES
    folder = path.parent.parent if inner else path.parent
    return CURES.get(path.parent.name if inner else path.name, AGAIN).format(folder=folder)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise any error of reading a file as damage of that file.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: it is there, and cannot be read.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder, not a file")
        yield
    except (FileNotFoundError, DamagedFileError):
        raise
    except Exception as error:  # whatever a parser raises about bytes that nobody wrote
        raise DamagedFileError(path, _what(path, error)) from error


def _what(path: Path, error: Exception) -> str:
    """The damage in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if path.stat().st_size == 0:
        return "it is empty"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        FileNotFoundError, DamagedFileError: as in `reading`.
    """
    with reading(path):
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError(f"expected a JSON object, got {type(value).__name__}")
        return value


def read_study(path: Path) -> dict[str, Any]:
    """The tables of a folder's ``study.toml``.

    Raises:
        FileNotFoundError, DamagedFileError: as in `reading`.
    """
    with reading(path):
        study = tomllib.loads(path.read_text(encoding="utf-8"))
        if not {"question", "task"} & study.keys():
            raise ValueError("it holds no study")
        return study


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one move, so that a reader sees the old or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(value: Any, path: Path) -> None:
    """Write one value as readable JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())

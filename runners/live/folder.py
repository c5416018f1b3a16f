"""The view of an output folder, from its files alone: of the process that trains into it, or of what lies there."""

import os
import platform
import time
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap import results
from deepboot.bootstrap.files import DamagedFileError, read_json
from deepboot.bootstrap.study.messages import StudyError
from deepboot.reports.text import plural
from deepboot.runners.live import status
from deepboot.runners.live.pace import duration
from deepboot.runners.live.view import View, WorldView

OWNER = ".owner.json"  # of the process that holds the folder
SILENT_SECONDS = 20  # without a sign, of a process that gives one every two seconds


def view_of(folder: Path) -> View:
    """The view of a folder.

    Raises:
        StudyError: the folder is missing, or no study was run in it.
        DamagedFileError: its tables cannot be read.
    """
    if not folder.is_dir():
        raise StudyError([f"{folder}: there is no such folder. Name the output folder of `deepboot run`."])
    view = status.read(folder)
    if view is not None:
        return view
    if _owner(folder) is not None:
        return View(name=folder.resolve().name, state="preparing", worlds=())
    if not any((folder / name).exists() for name in ("runs.parquet", results.PLANNED)):
        raise StudyError([f"{folder}: no study was run here. Begin one with `deepboot run STUDY --out {folder}`."])
    return _view_of_tables(folder)


def silence(view: View) -> str:
    """A sentence where the process that wrote a view seems dead, with the age of its last sign; else nothing."""
    age = max(time.time() - view.seen, 0.0)
    if view.state != "training" or age < SILENT_SECONDS:
        return ""
    return f"process {view.process} on {view.host} seems dead: its last sign is {duration(age)} old"


def is_abandoned(folder: Path) -> bool:
    """Whether the process that took the folder ended on this machine without giving it back."""
    owner = _owner(folder) or {}
    return owner.get("host") == platform.node() and not is_alive(int(owner.get("process", 0)))


def _owner(folder: Path) -> dict[str, Any] | None:
    try:
        return read_json(folder / OWNER)
    except (FileNotFoundError, DamagedFileError):
        return None


def is_alive(process: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _view_of_tables(folder: Path) -> View:
    """The view of a folder that nothing is written to."""
    try:
        held = results.read(folder)
    except DamagedFileError:
        raise
    except ValueError:  # planned, and interrupted before the first checkpoint
        return View(name=folder.resolve().name, state="interrupted", worlds=())
    last = held.evaluations.groupby("run_id")["test_error"].last()
    runs = held.runs.assign(error=held.runs["run_id"].map(last))
    failed = int((runs["status"] == "failed").sum())
    done = runs["status"].isin(["finished", "diverged"])
    complete = done.all() and set(held.planned) <= set(runs["run_id"])
    return View(
        name=folder.resolve().name,
        state="finished" if complete else "interrupted",
        worlds=tuple(_world(str(world), own) for world, own in runs.groupby("world", sort=False)),
        failures=f"{plural(failed, 'run')} failed; failures.log says why" if failed else None,
    )


def _world(world: str, runs: pd.DataFrame) -> WorldView:
    errors = runs["error"].dropna()
    return WorldView(
        world=world,
        runs=len(runs),
        evaluated=len(errors),
        memorised=int(runs["memorization_high"].notna().sum()),
        grokked=int(runs["grokking_high"].notna().sum()),
        median_error=float(errors.median()) if len(errors) else None,
    )

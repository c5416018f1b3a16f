"""A study under way, or interrupted: what its folder knows of runs that are not in the tables yet.

While a study is unfinished its folder holds ``planned.parquet``, a row of ``runs`` for every planned run as far as its
specification gives it, the shards of packs that are done, and the checkpoints of packs that are not. All of it is read
without torch, without the lock, and while it is written: a file that vanishes after it was listed is left out.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.events import CRITERIA, run_events
from deepboot.bootstrap.files import DamagedFileError, read_json, reading

PLANNED = "planned.parquet"


@dataclass
class Underway:
    """What shards and checkpoints hold.

    Attributes:
        done: what training knows of each run, by run_id: status, last_step, seconds and more. A later entry of one run
            is kept only if it went further.
        rows: evaluated rows, by run_id.
        notes: a sentence for every file that could not be used.
    """

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, done: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        """Keep a run if it is new or went further than was known."""
        known = self.done.get(done["run_id"])
        if known is None or known["last_step"] < done["last_step"]:
            self.done[done["run_id"]], self.rows[done["run_id"]] = done, rows


def read(folder: Path) -> Underway:
    """What the folder's checkpoints and shards hold, in this order: a pack goes from one to the other."""
    found = Underway()
    for path in sorted((folder / "checkpoints").glob("*.safetensors")):
        with _noted(found.notes):
            for outcome in checkpoint_outcomes(path):
                if outcome["rows"]:
                    found.add(_so_far(outcome), outcome["rows"])
    for path in sorted((folder / "shards").glob("*.json")):
        with _noted(found.notes):
            runs, rows = read_shard(path)
            by_run: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                by_run.setdefault(row["run_id"], []).append(row)
            for run in runs:
                found.add(run, by_run.get(run["run_id"], []))
    return found


def read_shard(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The runs of one pack, as training knows them, and their evaluated rows.

    Raises:
        FileNotFoundError, DamagedFileError: as in `bootstrap.files.reading`.
    """
    shard = read_json(path)
    with reading(path):
        for table, columns in (("runs", {"run_id", "status", "last_step"}), ("evaluations", {"run_id", "step"})):
            if not all(columns <= row.keys() for row in shard[table]):
                raise ValueError(f"a row of its {table} has no {' or '.join(sorted(columns))}")
        return shard["runs"], shard["evaluations"]


def checkpoint_outcomes(path: Path) -> list[dict[str, Any]]:
    """What a checkpoint knows of its runs beside their weights: ``run, rows, status, last_step, seconds`` and more.

    It is metadata in the head of a safetensors file: its length in 8 bytes, the lowest first, then JSON.

    Raises:
        FileNotFoundError, DamagedFileError: as in `bootstrap.files.reading`.
    """
    with reading(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= path.stat().st_size - 8:
            raise ValueError("it ends in the middle of its head")
        outcomes = json.loads(json.loads(file.read(length))["__metadata__"]["outcomes"])
        if not all({"run", "rows", "status", "last_step"} <= outcome.keys() for outcome in outcomes):
            raise ValueError("its head does not hold what a checkpoint knows of its runs")
        return list(outcomes)


def _so_far(outcome: dict[str, Any]) -> dict[str, Any]:
    """What is known of a run whose pack is not done."""
    ended = outcome["status"] == "diverged" or outcome.get("stopped")
    return {
        "run_id": outcome["run"],
        "status": outcome["status"] if ended else "unfinished",
        "last_step": outcome["last_step"],
        "seconds": outcome.get("seconds"),
        STOPPED: bool(outcome.get("stopped")),
    }


@contextmanager
def _noted(notes: list[str]) -> Iterator[None]:
    """A file that vanished is left out, a damaged one is noted."""
    try:
        with suppress(FileNotFoundError):
            yield
    except DamagedFileError as damage:
        notes += damage.problems


def outcome_row(spec: dict[str, Any], done: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """One row of ``runs``: what the run is, how far training came, and the events of its evaluations.

    Args:
        spec: the row as far as the specification gives it, with the settings under ``evaluation.``.
        done: what training knows of the run; without ``first_reuse_step``, that of the specification counts as far as
            the run came.
        rows: its evaluations, sorted by step.
    """
    last_step = int(done["last_step"])
    first_reuse = done.get("first_reuse_step", _up_to(spec.get("first_reuse_step"), last_step))
    criteria = {name: spec[f"evaluation.{name}"] for name in CRITERIA}
    return {
        **spec,
        "status": done["status"],
        "last_step": last_step,
        "samples_seen": rows["samples_seen"].iloc[-1] if len(rows) else 0,
        "first_reuse_step": first_reuse,
        "reuse": done.get("reuse"),
        **run_events(rows, world=spec["world"], **criteria),
        "seconds": done["seconds"],
        **({STOPPED: done.get(STOPPED) is True} if STOPPED in spec else {}),
    }


def _up_to(step: Any, last: int) -> Any:
    return step if pd.notna(step) and step < last else None

"""A study under way, or interrupted: the outcomes of runs that are not in its tables yet.

While a study is unfinished its folder holds ``planned.parquet``, with the columns of ``runs`` that follow from the
specifications, the shards of packs that are done, and the checkpoints of packs that are not. All of it is read
without torch, without the lock, and while it is written: a file that vanishes after it was listed is left out.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.events import CRITERIA, Curves, run_events
from deepboot.bootstrap.files import DamagedFileError, read_json, reading

PLANNED = "planned.parquet"
Row = dict[str, Any]
NEEDED = {  # columns of a shard's tables, without which its rows say nothing
    "runs": {"run_id", "status", "last_step"},
    "evaluations": {"run_id", "step"},
    "probes": {"run_id", "step", "values"},
}


class Shard(NamedTuple):
    """The results of one pack.

    Attributes:
        runs: their outcomes.
        evaluations: evaluated rows.
        probes: ``run_id, step, values`` (by name); none in the shards of earlier versions.
    """

    runs: list[Row]
    evaluations: list[Row]
    probes: list[Row]


@dataclass
class Underway:
    """The contents of a folder's shards and checkpoints.

    Attributes:
        outcomes: by run_id the status, last_step, seconds and more of each run. Of two entries for one run the one
            that went further is kept.
        rows: evaluated rows, by run_id.
        probes: values of probes, ``run_id, step, values`` (by name), by run_id.
        notes: a sentence for every file that could not be used.
    """

    outcomes: dict[str, Row] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    probes: dict[str, list[Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, outcome: Row, rows: list[Row], probes: list[Row]) -> None:
        """Keep a run's outcome and rows if it is new or went further than before."""
        run_id = outcome["run_id"]
        before = self.outcomes.get(run_id)
        if before is None or before["last_step"] < outcome["last_step"]:
            self.outcomes[run_id], self.rows[run_id], self.probes[run_id] = outcome, rows, probes


def read(folder: Path) -> Underway:
    """The contents of a folder's checkpoints and shards, read in this order: a pack goes from one to the other."""
    underway = Underway()
    for path in sorted((folder / "checkpoints").glob("*.safetensors")):
        with _noting_damage(underway.notes):
            for outcome in checkpoint_outcomes(path):
                if outcome["rows"]:
                    underway.add(_unfinished_outcome(outcome), outcome["rows"], outcome.get("probes", []))
    for path in sorted((folder / "shards").glob("*.json")):
        with _noting_damage(underway.notes):
            shard = read_shard(path)
            rows, probes = _by_run(shard.evaluations), _by_run(shard.probes)
            for outcome in shard.runs:
                underway.add(outcome, rows.get(outcome["run_id"], []), probes.get(outcome["run_id"], []))
    return underway


def _by_run(rows: list[Row]) -> dict[str, list[Row]]:
    """Rows by run_id."""
    by_run: dict[str, list[Row]] = {}
    for row in rows:
        by_run.setdefault(row["run_id"], []).append(row)
    return by_run


def read_shard(path: Path) -> Shard:
    """The results of one pack.

    Raises:
        FileNotFoundError, DamagedFileError: as in `bootstrap.files.reading`.
    """
    held = read_json(path)
    with reading(path):
        shard = Shard(held["runs"], held["evaluations"], held.get("probes", []))
        for table, columns in NEEDED.items():
            if not all(columns <= row.keys() for row in getattr(shard, table)):
                raise ValueError(f"a row of its {table} has no {' or '.join(sorted(columns))}")
        return shard


def checkpoint_outcomes(path: Path) -> list[Row]:
    """The outcomes in a checkpoint, without weights: ``run, rows, status, last_step, seconds`` and more of each run.

    They are metadata in the head of a safetensors file: its length in 8 bytes, the lowest first, then JSON.

    Raises:
        FileNotFoundError, DamagedFileError: as in `bootstrap.files.reading`.
    """
    with reading(path), path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= path.stat().st_size - 8:
            raise ValueError("it ends in the middle of its head")
        outcomes = json.loads(json.loads(file.read(length))["__metadata__"]["outcomes"])
        if not all({"run", "rows", "status", "last_step"} <= outcome.keys() for outcome in outcomes):
            raise ValueError("its head does not hold the outcomes of its runs")
        return list(outcomes)


def _unfinished_outcome(outcome: Row) -> dict[str, Any]:
    """The outcome of a run in a checkpoint, in the form of a shard: it is unfinished unless it diverged or stopped."""
    ended = outcome["status"] == "diverged" or outcome.get("stopped")
    return {
        "run_id": outcome["run"],
        "status": outcome["status"] if ended else "unfinished",
        "last_step": outcome["last_step"],
        "seconds": outcome.get("seconds"),
        STOPPED: bool(outcome.get("stopped")),
    }


@contextmanager
def _noting_damage(notes: list[str]) -> Iterator[None]:
    """Leave out a file that vanished, and add a note about a damaged one."""
    try:
        with suppress(FileNotFoundError):
            yield
    except DamagedFileError as damage:
        notes += damage.problems


def outcome_row(spec: dict[str, Any], outcome: Row, rows: Curves) -> dict[str, Any]:
    """One row of ``runs``: the run's settings, its outcome, and the events of its evaluations.

    Args:
        spec: the columns that follow from the specification, with the settings under ``evaluation.``.
        outcome: the run's status, last_step, seconds and more; without ``first_reuse_step``, that of the specification
            counts, if the run got there.
        rows: its evaluations, sorted by step, of `bootstrap.events.curves_of`.
    """
    last_step = int(outcome["last_step"])
    first_reuse = outcome.get("first_reuse_step", _reached(spec.get("first_reuse_step"), last_step))
    criteria = {name: spec[f"evaluation.{name}"] for name in CRITERIA}
    return {
        **spec,
        "status": outcome["status"],
        "last_step": last_step,
        "samples_seen": int(rows["samples_seen"][-1]) if len(rows["step"]) else 0,
        "first_reuse_step": first_reuse,
        "reuse": outcome.get("reuse"),
        **run_events(rows, world=spec["world"], **criteria),
        "seconds": outcome["seconds"],
        **({STOPPED: outcome.get(STOPPED) is True} if STOPPED in spec else {}),
    }


def _reached(step: Any, last: int) -> Any:
    """A step that lies before the last one, else None."""
    return step if pd.notna(step) and step < last else None

"""Shards: the results of packs, a file each, until they are in the tables.

Nothing here loads pandas: workers are quick to start.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import reuse_of

Row = dict[str, Any]
# columns of ``runs`` that only training knows, and those by which its rows are told apart and put in order
TRAINED = ("run_id", "cell_id", "seed", "status", "last_step", STOPPED, "seconds", "first_reuse_step", "reuse")


def write(folder: Path, name: str, runs: list[Row], evaluations: list[Row], probes: Sequence[Row] = ()) -> None:
    """Write the rows of one pack, before the next one starts."""
    (folder / "shards").mkdir(exist_ok=True)
    rows = {"runs": runs, "evaluations": evaluations, "probes": list(probes)}
    write_json(rows, folder / "shards" / f"{name}.json")


def exists(folder: Path, name: str = "*") -> bool:
    """Whether a pack, or any, was written since the tables were."""
    return any((folder / "shards").glob(f"{name}.json"))


def remove(folder: Path, name: str) -> None:
    """Remove what was written of a pack that is to be done again."""
    (folder / "shards" / f"{name}.json").unlink(missing_ok=True)


def trained_row(
    run: Run, status: str, last_step: int, *, seconds: float | None, stopped: bool = False
) -> dict[str, Any]:
    """The part of a run's row that training knows; the rest follows from its specification and evaluations."""
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": status, "last_step": last_step,
        STOPPED: stopped, "seconds": seconds, **reuse_of(run, last_step),
    }  # fmt: skip


def failed_row(run: Run) -> dict[str, Any]:
    """The same of a run whose pack failed: nothing is known of its samples."""
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": "failed", "last_step": 0,
        "seconds": None, "first_reuse_step": None, "reuse": None,
    }  # fmt: skip

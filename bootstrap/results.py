"""The tables of an output folder: their columns, how they are written and read.

``runs`` has one row per run, ``evaluations`` one per run and evaluated step. Steps and counts are
nullable integers (a censored event has no upper bound), measurements are float64.
"""

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

RUN_COLUMNS = {
    "run_id": "string",
    "ideal_run_id": "string",
    "cell_id": "string",
    "world": "string",
    "seed": "Int64",
    "task": "string",
    "model": "string",
    "optimizer": "string",
    "train_size": "Int64",
    "train_fraction": "Float64",
    "batch_size": "Int64",
    "max_steps": "Int64",
    "metric": "string",  # "soft_error" or "error": in which the worlds are compared, if none is asked for
    "status": "string",
    "last_step": "Int64",
    "samples_seen": "Int64",
    "reuse": "Float64",
    "first_reuse_step": "Int64",
    "stopping_low": "Int64",
    "stopping_high": "Int64",
    "memorization_low": "Int64",
    "memorization_high": "Int64",
    "grokking_low": "Int64",
    "grokking_high": "Int64",
    "seconds": "Float64",
}
EVALUATION_COLUMNS = {
    "run_id": "string",
    "step": "Int64",
    "samples_seen": "Int64",
    **dict.fromkeys(
        (
            "train_loss",
            "train_error",
            "train_soft_error",
            "test_loss",
            "test_error",
            "test_soft_error",
            "online_loss",
            "online_error",
            "weight_norm",
        ),
        "float64",
    ),
}
CLEAN_COLUMN = "train_clean_error"  # beside train_error where labels are noisy
STATUSES = ("finished", "diverged", "failed")


@dataclass(frozen=True)
class Results:
    """Everything an output folder holds.

    Attributes:
        runs: columns ``RUN_COLUMNS``, then every setting under its dotted name.
        evaluations: columns ``EVALUATION_COLUMNS`` (and ``train_clean_error`` under label noise),
            sorted by run and step.
        study: the study as resolved, as nested dictionaries.
        environment: versions, machine and the command.
        claims: what was claimed before the first run, and its hash.
        folder: where it lies, None if only in memory.
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    study: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None


def typed(rows: list[dict[str, Any]] | pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """A table with exactly these columns first, in their types; further columns follow as they came."""
    table = pd.DataFrame(rows)
    extra = [name for name in table.columns if name not in columns]
    return table.reindex(columns=[*columns, *extra]).astype(columns)


def with_metric(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs whose ``metric`` is filled in where a table is older than this column.

    Only cross-entropy had the soft error then: no other loss could ask for it. A table without ``loss.name``, made by
    hand, is taken for cross-entropy.
    """
    losses = runs["loss.name"] if "loss.name" in runs else pd.Series(pd.NA, index=runs.index)
    plain = losses.notna() & (losses != "cross_entropy").fillna(False)
    old = pd.Series("soft_error", index=runs.index, dtype="string").mask(plain.astype(bool), "error")
    return runs.assign(metric=runs["metric"].fillna(old))


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


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write one table as parquet, atomically."""
    write_atomically(path, table.to_parquet(index=False))


def write_json(value: Any, path: Path) -> None:
    """Write one value as readable JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def write(results: Results, folder: Path) -> None:
    """Write both tables into the folder."""
    write_table(results.runs, folder / "runs.parquet")
    write_table(results.evaluations, folder / "evaluations.parquet")


def read(folder: Path | str) -> Results:
    """Read an output folder.

    Raises:
        ValueError: the folder or one of its tables is missing.
    """
    folder = Path(folder)
    for name in ("runs.parquet", "evaluations.parquet", "study.toml"):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} holds no {name}: expected the output folder of `deepboot run`. "
                "Name the folder that was given to --out."
            )
    return Results(
        runs=with_metric(typed(pd.read_parquet(folder / "runs.parquet"), RUN_COLUMNS)),
        evaluations=typed(pd.read_parquet(folder / "evaluations.parquet"), EVALUATION_COLUMNS),
        study=tomllib.loads((folder / "study.toml").read_text()),
        environment=_json(folder / "environment.json"),
        claims=_json(folder / "claims.json"),
        folder=folder,
    )


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}

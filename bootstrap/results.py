"""The tables of an output folder: their columns, how they are written and read.

``runs`` has one row per run, ``evaluations`` one per run and evaluated step, ``probes`` one per value of a probe. Steps
and counts are nullable integers (a censored event has no upper bound), measurements are float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepboot.bootstrap import probe_values, underway
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, PROBE_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.events import curves_of
from deepboot.bootstrap.files import DamagedFileError, read_json, read_study, reading, write_atomically
from deepboot.bootstrap.probe_values import PROBES
from deepboot.bootstrap.underway import PLANNED, Underway, outcome_row


@dataclass(frozen=True)
class Results:
    """Everything an output folder holds.

    Attributes:
        runs: a row per run; columns ``RUN_COLUMNS``, then every setting under its dotted name.
        evaluations: a row per run and evaluated step; columns ``EVALUATION_COLUMNS`` (and ``train_clean_error`` under
            label noise), sorted by run and step.
        study: the study as resolved, as nested dictionaries.
        environment: versions, machine and the command.
        claims: what was claimed before the first run, and its hash.
        folder: the output folder, None if only in memory.
        planned: all run_ids of a study under way or interrupted, with or without a row; else empty.
        damage: a sentence for every file of the folder that is not needed, and could not be read.
        probes: a row per run, evaluated step and value; columns ``PROBE_COLUMNS``, in the order of ``evaluations``;
            empty where no probe was measured.

    >>> results = read("results/demo")
    >>> results.study["training"]["train_size"], len(results.runs)
    (1250, 16)
    """

    runs: pd.DataFrame
    evaluations: pd.DataFrame
    study: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    planned: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    probes: pd.DataFrame = field(default_factory=lambda: probe_values.long_rows([]))


def typed(rows: list[dict[str, Any]] | pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """A table with exactly these columns first, in their types; further columns follow in their order.

    >>> table = typed([{"more": "a", "step": 3}], {"run_id": "string", "step": "Int64"})
    >>> table.columns.tolist(), str(table["step"].dtype)
    (['run_id', 'step', 'more'], 'Int64')
    """
    table = pd.DataFrame(rows)
    extra = [name for name in table.columns if name not in columns]
    table = table.reindex(columns=[*columns, *extra])
    kinds = map(pd.api.types.pandas_dtype, columns.values())
    if all(held == kind for held, kind in zip(table.dtypes, kinds, strict=False)):
        return table  # `astype` would take milliseconds to change nothing
    return table.astype(columns)


def among(names: pd.Series, known: pd.Series | pd.Index | Sequence[Any]) -> NDArray[np.bool_]:
    """Whether each name is one of those known, bool, (n,), as ``names.isin(known)`` says.

    That makes an object of Arrow of each text that is known, which takes seconds for the names of a great many runs.

    >>> among(pd.Series(["a", "b"]), ["b", "c"])
    array([False,  True])
    """
    held = pd.Index(names, dtype=object)  # by itself pandas makes texts of Arrow of them again
    return np.asarray(held.isin(pd.Index(known, dtype=object)))


def with_metric(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs with their ``metric``, which is filled in where a table is older than this column.

    Only cross-entropy was compared by the soft error then. A table without ``loss.name``, made by hand, counts as one
    of cross-entropy.

    >>> old = pd.DataFrame({"loss.name": ["cross_entropy", "mse"], "metric": [None, None]})
    >>> with_metric(old)["metric"].tolist()
    ['soft_error', 'error']
    """
    losses = runs["loss.name"] if "loss.name" in runs else pd.Series(pd.NA, index=runs.index)
    by_error = losses.notna() & (losses != "cross_entropy").fillna(False)
    metric = pd.Series("soft_error", index=runs.index, dtype="string").mask(by_error.astype(bool), "error")
    return runs.assign(metric=runs["metric"].fillna(metric))


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write one table as parquet, atomically.

    >>> write_table(pd.DataFrame({"run_id": ["a"], "status": ["finished"]}), Path("runs.parquet"))
    >>> pd.read_parquet("runs.parquet").shape
    (1, 2)
    """
    write_atomically(path, table.to_parquet(index=False))


def write(results: Results, folder: Path) -> None:
    """Write the tables of results into a folder that is there.

    >>> copy = Path("copy")
    >>> copy.mkdir()
    >>> write(read("results/demo"), copy)
    >>> sorted(path.name for path in copy.iterdir())
    ['evaluations.parquet', 'runs.parquet']
    """
    write_table(results.runs, folder / "runs.parquet")
    write_table(results.evaluations, folder / "evaluations.parquet")
    if len(results.probes):
        write_table(results.probes, folder / PROBES)


def read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """One table of an output folder, with these columns first.

    Raises:
        FileNotFoundError, DamagedFileError: as in `bootstrap.files.reading`.

    >>> runs = read_table(Path("results/demo/runs.parquet"), RUN_COLUMNS)
    >>> len(runs), runs.columns[0]
    (16, 'run_id')
    """
    with reading(path):
        table = pd.read_parquet(path)
        missing = [name for name in _needed(columns) if name not in table]
        if missing:
            raise ValueError(f"it has no column {' or '.join(missing)}")
        return typed(table, columns)


def _needed(columns: dict[str, str]) -> tuple[str, ...]:
    """The columns of a table without which its rows say nothing."""
    if columns is PROBE_COLUMNS:
        return tuple(columns)
    return ("run_id", "status") if "status" in columns else ("run_id", "step")


def read_tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Runs and evaluations of a folder; None where it does not hold both.

    Raises:
        DamagedFileError: one of them cannot be read, or they do not belong together.

    >>> [len(table["run_id"].unique()) for table in read_tables(Path("results/demo"))]
    [16, 16]
    >>> read_tables(Path("results/nothing")) is None
    True
    """
    paths = [folder / "runs.parquet", folder / "evaluations.parquet"]
    if not all(path.exists() for path in paths):
        return None
    runs, evaluations = (
        read_table(path, columns) for path, columns in zip(paths, (RUN_COLUMNS, EVALUATION_COLUMNS), strict=True)
    )
    without_rows = runs.loc[(runs["status"] == "finished") & ~among(runs["run_id"], evaluations["run_id"]), "run_id"]
    if len(without_rows):
        raise DamagedFileError(
            paths[1], f"it has no rows of {len(without_rows)} of the {len(runs)} runs, such as {without_rows.iloc[0]}"
        )
    return runs, evaluations


def read_probes(folder: Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Values of probes in a folder with these runs; empty where its study has no probes.

    Raises:
        DamagedFileError: the table cannot be read, or the study has probes and finished runs without any value.

    >>> read_probes(Path("results/demo"), read("results/demo").runs).shape  # its study has none
    (0, 4)
    """
    path, found = folder / PROBES, True
    try:
        probes = read_table(path, PROBE_COLUMNS)
    except FileNotFoundError:
        probes, found = probe_values.long_rows([]), False
    without = probe_values.unmeasured(folder, runs, probes)
    if without:
        beginning = "it has" if found else "it is missing, and there are"
        raise DamagedFileError(
            path, f"{beginning} no rows of {len(without)} of the {len(runs)} runs, such as {without[0]}"
        )
    return probes


def read(folder: Path | str) -> Results:
    """All results of an output folder, also while a study is trained into it or after that was interrupted.

    Runs that are not in the tables yet are read from shards and checkpoints; before their budget they have the status
    "unfinished". Nothing is locked or changed.

    Raises:
        ValueError: the folder or one of its tables is missing.
        DamagedFileError: one of its tables, or its study, cannot be read.

    >>> read("results/demo").runs["status"].unique().tolist()
    ['finished']
    """
    folder = Path(folder)
    unfinished = underway.read(folder)  # before the tables, into which a finished pack moves
    planned = _optional(
        folder / PLANNED, lambda path: read_table(path, RUN_COLUMNS), typed([], RUN_COLUMNS), unfinished
    )
    tables = read_tables(folder)
    if tables is None and len(planned) and not unfinished.outcomes:
        raise ValueError(
            f"{folder}: a study has begun here, but no run of it has been evaluated and saved yet. "
            "Ask again after the first checkpoint."
        )
    needed = ("study.toml",) if len(planned) else ("runs.parquet", "evaluations.parquet", "study.toml")
    for name in needed:
        if not (folder / name).exists():
            raise ValueError(
                f"{folder} holds no {name}: expected the output folder of `deepboot run`. "
                "Name the folder that was given to --out."
            )
    runs, evaluations = tables or (typed([], RUN_COLUMNS), typed([], EVALUATION_COLUMNS))
    probes = read_probes(folder, runs)
    runs, evaluations = _with_unfinished(runs, evaluations, planned, unfinished)
    measured = [row for rows in unfinished.probes.values() for row in rows]
    probes = probe_values.joined([probes, probe_values.long_rows(measured)], evaluations) if measured else probes
    return Results(
        runs=with_metric(runs),
        evaluations=evaluations,
        study=read_study(folder / "study.toml"),
        environment=_optional(folder / "environment.json", read_json, {}, unfinished),
        claims=_optional(folder / "claims.json", read_json, {}, unfinished),
        folder=folder,
        planned=tuple(planned["run_id"]),
        damage=tuple(unfinished.notes),
        probes=probes,
    )


def _optional(path: Path, reader: Callable[[Path], Any], otherwise: Any, unfinished: Underway) -> Any:
    """The content of a file that is not needed, or a value in its place; damage is added to the notes."""
    try:
        return reader(path)
    except FileNotFoundError:
        return otherwise
    except DamagedFileError as damage:
        unfinished.notes += damage.problems
        return otherwise


def _with_unfinished(
    runs: pd.DataFrame, evaluations: pd.DataFrame, planned: pd.DataFrame, unfinished: Underway
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with the outcomes of planned runs that went further since, in the order of the plan."""
    if not unfinished.outcomes:
        return runs, evaluations
    last_steps = dict(zip(runs["run_id"], runs["last_step"].fillna(0), strict=True))
    specs: dict[str, Any] = {row["run_id"]: row for row in planned.to_dict("records")}
    further = {
        run_id: outcome for run_id, outcome in unfinished.outcomes.items()
        if run_id in specs and last_steps.get(run_id, -1) < outcome["last_step"]
    }  # fmt: skip
    if not further:
        return runs, evaluations
    rows = [row for run_id in further for row in unfinished.rows[run_id]]
    parts = [part for part in (evaluations, typed(rows, EVALUATION_COLUMNS)) if len(part)]
    evaluations = pd.concat(parts or [evaluations], ignore_index=True)
    evaluations = evaluations.drop_duplicates(["run_id", "step"], keep="last")
    evaluations = evaluations.sort_values(["run_id", "step"], ignore_index=True)
    by_run = dict(list(evaluations.groupby("run_id")))
    added = [
        outcome_row(specs[run_id], outcome, curves_of(by_run.get(run_id, evaluations.iloc[:0])))
        for run_id, outcome in further.items()
    ]
    unchanged = runs[~among(runs["run_id"], list(further))]
    runs = pd.DataFrame([*unchanged.astype(object).to_dict("records"), *added])
    positions = {run_id: position for position, run_id in enumerate(specs)}
    order = runs["run_id"].map(positions).fillna(len(positions)).argsort(kind="stable")
    runs = typed(runs.iloc[order].reset_index(drop=True), RUN_COLUMNS)
    return runs, _in_order_of(runs, evaluations)


def _in_order_of(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Evaluations in the order of their runs, by step within a run."""
    positions = {run_id: position for position, run_id in enumerate(runs["run_id"])}
    keyed = evaluations.assign(_position=evaluations["run_id"].map(positions))
    return keyed.sort_values(["_position", "step"], ignore_index=True).drop(columns="_position")

"""The output folder: one writer at a time, shards merged into two tables, and the runs that are planned."""

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from deepboot.bootstrap import files, probe_values, results
from deepboot.bootstrap.columns import CLEAN_COLUMN, EVALUATION_COLUMNS, RUN_COLUMNS, probe_of
from deepboot.bootstrap.events import curves_of
from deepboot.bootstrap.files import DamagedFileError, read_json
from deepboot.bootstrap.probe_values import PROBES
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.run import Run, probe_steps, scheduled_steps
from deepboot.bootstrap.underway import PLANNED, read_shard
from deepboot.runners.run import registration
from deepboot.runners.run.extension import refuse_another
from deepboot.runners.run.rows import planned_first_reuse, planned_row, run_row, specification_row
from deepboot.runners.run.shards import TRAINED
from deepboot.runners.study_files import to_toml


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for one writer; the system lets it go with the process, however that ends.

    Raises:
        StudyError: the folder cannot be written, or another process holds it.
    """
    lock = FileLock(folder / ".lock")
    owner = folder / ".owner.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        if owner.is_dir():
            set_aside(owner)
        host = {"process": os.getpid(), "host": platform.node(), "since": datetime.now().astimezone().isoformat()}
        files.write_json(host, owner)
    except Timeout as error:
        raise StudyError(
            [f"output folder {folder} is being written by {_who(owner)}. Wait for it, or choose another with --out."]
        ) from error
    except OSError as error:
        raise StudyError(
            [f"output folder {folder} cannot be written: {error.strerror}. Choose another with --out."]
        ) from error
    try:
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _who(owner: Path) -> str:
    """The process that holds a folder, as far as it could say so."""
    try:
        recorded = read_json(owner)
    except (FileNotFoundError, DamagedFileError):
        recorded = {}
    templates = {"process": "process {}", "host": "on {}", "since": "since {}"}
    words = [template.format(recorded[key]) for key, template in templates.items() if key in recorded]
    return " ".join(words) if "process" in recorded else " ".join(["another process", *words])


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that nothing is written over it; its new path."""
    names = (f"{path.name}.damaged{number}" for number in ("", *(f".{count}" for count in range(2, 1_000))))
    return path.rename(next(free for name in names if not (free := path.with_name(name)).exists()))


def prepare(folder: Path, study: dict[str, Any], cells: Sequence[Replicates]) -> None:
    """Make a held folder ready for this study's runs, and register its claims before the first one.

    Args:
        folder: held for writing.
        study: as resolved.
        cells: all of the study's, those of other shards too.

    Raises:
        StudyError: the folder cannot be written, or holds another study.
    """
    try:
        (folder / "shards").mkdir(exist_ok=True)
        for leftover in folder.glob("**/.*.part"):  # of a process that was killed while it wrote
            leftover.unlink()
        refuse_another(folder, study)
        text, file = to_toml(study), folder / "study.toml"
        if not file.exists() or file.read_bytes() != text:  # its time says when it last changed
            files.write_atomically(file, text)
    except OSError as error:
        raise StudyError(
            [f"output folder {folder} cannot be written: {error.strerror}. Choose another with --out."]
        ) from error
    if not (folder / "claims.json").exists() and not holds_runs(folder):
        described = {cell.run.cell_id: specification_row(cell.run) for cell in cells}
        seeds = sorted(set(chain.from_iterable(cell.seeds for cell in cells)))
        files.write_json(registration.registered(study, described, seeds), folder / "claims.json")


def is_merged(folder: Path) -> bool:
    """Whether `merge` would change nothing where no run is left: nothing waits for it, and the study is older."""
    tables, waiting = folder / "runs.parquet", (*_shards(folder), folder / PLANNED)
    if any(path.exists() for path in waiting) or not (tables.exists() and (folder / "environment.json").exists()):
        return False
    return tables.stat().st_mtime_ns > (folder / "study.toml").stat().st_mtime_ns


def holds_runs(folder: Path) -> bool:
    """Whether something was trained already: what is claimed from then on is post hoc."""
    return (folder / "runs.parquet").exists() or any((folder / "shards").glob("*.json"))


def collect(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Runs, as training knows them, evaluations and probes: those of the tables and of the shards, the latest kept.

    Raises:
        DamagedFileError: one of them cannot be read.
    """
    tables = results.read_tables(folder)
    shards = [read_shard(path) for path in _shards(folder)]
    runs = ([tables[0]] if tables else []) + [pd.DataFrame(shard.runs) for shard in shards]
    evaluations = [results.typed(shard.evaluations, EVALUATION_COLUMNS) for shard in shards]
    evaluations = ([tables[1]] if tables else []) + evaluations
    known = tables[0] if tables else results.typed([], RUN_COLUMNS)
    probes = [results.read_probes(folder, known), *(probe_values.long_rows(shard.probes) for shard in shards)]
    if not runs:
        return known, results.typed([], EVALUATION_COLUMNS), probes[0]
    if tables and not shards:
        return known, tables[1], probes[0]  # in order and without duplicates, as they were merged
    rows = pd.concat([part for part in evaluations if len(part)] or evaluations[:1], ignore_index=True)
    rows = rows.drop_duplicates(["run_id", "step"], keep="last").sort_values(["run_id", "step"], ignore_index=True)
    return _latest(runs), results.typed(rows, EVALUATION_COLUMNS), probe_values.joined(probes, rows)


def known_runs(folder: Path) -> pd.DataFrame:
    """The runs of `collect`, without reading the evaluations of the tables, which are most of a folder.

    Raises:
        DamagedFileError: one of the files cannot be read.
    """
    tables = [folder / name for name in ("runs.parquet", "evaluations.parquet")]
    held = [results.read_table(tables[0], RUN_COLUMNS)] if all(path.exists() for path in tables) else []
    return _latest([*held, *(pd.DataFrame(read_shard(path).runs) for path in _shards(folder))])


def _shards(folder: Path) -> list[Path]:
    return sorted((folder / "shards").glob("*.json"))


def _latest(runs: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of runs in one, the latest row of each run kept."""
    if not runs:
        return results.typed([], RUN_COLUMNS)
    return results.typed(pd.concat(runs, ignore_index=True).drop_duplicates("run_id", keep="last"), RUN_COLUMNS)


def merge(folder: Path, runs: list[Run], facts: dict[str, dict[str, Any]]) -> None:
    """Write the tables from the earlier ones and the shards, then remove the shards.

    Args:
        runs: the study's runs, in whose order the tables are written, evaluations by step within a run; runs of
            the folder that are not among them stay as they are, and come last, by cell, seed and run_id.
        facts: further columns by run_id.
    """
    known, evaluations, probes = collect(folder)
    specs = {run.run_id: run for run in runs}
    positions = {run_id: position for position, run_id in enumerate(specs)}

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        return positions.get(row["run_id"], len(runs)), row["cell_id"], row["seed"], row["run_id"]

    planned = known["run_id"].isin(positions)
    held = records(known.loc[planned].reindex(columns=TRAINED)) + records(known.loc[~planned])
    rows, kept = [], [np.zeros(0, dtype=np.int64)]  # rows of runs, and positions of their evaluations
    curves, by_run = curves_of(evaluations), evaluations.groupby("run_id", sort=False).indices
    for row in sorted(held, key=order):
        run = specs.get(row["run_id"])
        index = np.asarray(by_run.get(row["run_id"], kept[0]), dtype=np.int64)
        if run is not None:
            on_schedule = scheduled_steps(run.evaluation, run.max_steps) | {row["last_step"]}
            index = index[[step in on_schedule for step in curves["step"][index].tolist()]]
            measured = {name: values[index] for name, values in curves.items()}
            row = run_row(run, row, measured, facts.get(run.run_id, {}))  # noqa: PLW2901 (the row as it now stands)
        kept.append(index)
        rows.append(row)
    table = results.typed(rows, RUN_COLUMNS)
    all_rows = evaluations.iloc[np.concatenate(kept)].reset_index(drop=True)
    if CLEAN_COLUMN in all_rows and all_rows[CLEAN_COLUMN].isna().all():
        all_rows = all_rows.drop(columns=CLEAN_COLUMN)
    if len(probes):  # before the runs: a finished run without its values would count as damage
        results.write_table(_due(probe_values.joined([probes], all_rows), specs, table), folder / PROBES)
    results.write_table(all_rows, folder / "evaluations.parquet")
    results.write_table(table, folder / "runs.parquet")
    for path in _shards(folder):
        path.unlink()
    close(folder)
    ended = set(table.loc[table["status"] != "unfinished", "run_id"])
    if ended >= set(positions):
        (folder / PLANNED).unlink(missing_ok=True)


def close(folder: Path) -> None:
    """Remove the place of shards, where it is empty."""
    place = folder / "shards"
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()


def _due(probes: pd.DataFrame, runs: Mapping[str, Run], table: pd.DataFrame) -> pd.DataFrame:
    """Values without those that a probe only had because a shorter budget ended there."""
    seldom = {
        run_id: probe_steps(run) for run_id, run in runs.items()
        if any(settings["every"] > 1 for settings in run.probes.values())
    }  # fmt: skip
    last_step = dict(zip(table["run_id"], table["last_step"], strict=True))
    is_due = [
        run_id not in seldom or step == last_step[run_id] or step in seldom[run_id][probe_of(name)]
        for run_id, step, name in probes[["run_id", "step", "name"]].itertuples(index=False, name=None)
    ]
    return probes[is_due] if seldom else probes


def announce(folder: Path, runs: list[Run], facts: dict[str, dict[str, Any]]) -> None:
    """Write down which runs are planned, so that a folder can be read while they are trained."""
    rows = [
        {**planned_row(run, facts.get(run.run_id, {})), "first_reuse_step": planned_first_reuse(run)} for run in runs
    ]
    results.write_table(results.typed(rows, RUN_COLUMNS), folder / PLANNED)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

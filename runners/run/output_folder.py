"""The output folder: what it holds already, what a pack adds, and how it becomes two tables."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from deepboot.bootstrap import files, results
from deepboot.bootstrap.columns import CLEAN_COLUMN, EVALUATION_COLUMNS, RUN_COLUMNS, STOPPED
from deepboot.bootstrap.files import DamagedFileError, read_json
from deepboot.bootstrap.losses import default_metric
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import Run, scheduled_steps
from deepboot.bootstrap.study.run_worlds import reuse_of
from deepboot.bootstrap.underway import PLANNED, outcome_row, read_shard
from deepboot.runners.run import registration
from deepboot.runners.run.extension import refuse_another
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
        told = read_json(owner)
    except (FileNotFoundError, DamagedFileError):
        told = {}
    words = {"process": "process {}", "host": "on {}", "since": "since {}"}
    said = [word.format(told[key]) for key, word in words.items() if key in told]
    return " ".join(said) if "process" in told else " ".join(["another process", *said])


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that nothing is written over it; its new path."""
    names = (f"{path.name}.damaged{number}" for number in ("", *(f".{count}" for count in range(2, 1_000))))
    aside = next(place for name in names if not (place := path.with_name(name)).exists())
    return path.rename(aside)


def prepare(folder: Path, study: dict[str, Any], runs: list[Run]) -> None:
    """Make a held folder ready for this study's runs, and register its claims before the first one.

    Args:
        folder: held for writing.
        study: as resolved.
        runs: all of the study's, those of other shards too.

    Raises:
        StudyError: the folder cannot be written, or holds another study.
    """
    try:
        (folder / "shards").mkdir(exist_ok=True)
        for leftover in folder.glob("**/.*.part"):  # of a process that was killed while it wrote
            leftover.unlink()
        refuse_another(folder, study)
        files.write_atomically(folder / "study.toml", to_toml(study))
    except OSError as error:
        raise StudyError(
            [f"output folder {folder} cannot be written: {error.strerror}. Choose another with --out."]
        ) from error
    if not (folder / "claims.json").exists() and not _holds_runs(folder):
        described = [specification_row(run) for run in runs]
        files.write_json(registration.registered(study, described), folder / "claims.json")


def _holds_runs(folder: Path) -> bool:
    """Whether something was trained already: what is claimed from then on is post hoc."""
    return (folder / "runs.parquet").exists() or any((folder / "shards").glob("*.json"))


def collect(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs (only what training knows of them) and evaluations: the tables' and the shards', the latest kept.

    Raises:
        DamagedFileError: one of them cannot be read.
    """
    runs, evaluations = [], []
    tables = results.read_tables(folder)
    if tables is not None:
        runs.append(tables[0])
        evaluations.append(tables[1])
    for path in sorted((folder / "shards").glob("*.json")):
        done, measured = read_shard(path)
        runs.append(pd.DataFrame(done))
        evaluations.append(results.typed(measured, EVALUATION_COLUMNS))
    if not runs:
        return results.typed([], RUN_COLUMNS), results.typed([], EVALUATION_COLUMNS)
    run_table = pd.concat(runs, ignore_index=True).drop_duplicates("run_id", keep="last")
    rows = pd.concat([part for part in evaluations if len(part)] or evaluations[:1], ignore_index=True)
    rows = rows.drop_duplicates(["run_id", "step"], keep="last").sort_values(["run_id", "step"], ignore_index=True)
    return results.typed(run_table, RUN_COLUMNS), results.typed(rows, EVALUATION_COLUMNS)


def merge(folder: Path, runs: list[Run], facts: dict[str, dict[str, Any]]) -> None:
    """Write both tables from what the folder held and what was added, then remove the shards.

    Args:
        runs: the study's runs, in whose order both tables are written, evaluations by step within a run; runs of
            the folder that are not among them stay as they are, and come last, by cell, seed and run_id.
        facts: further columns by run_id.
    """
    known, evaluations = collect(folder)
    specs = {run.run_id: run for run in runs}
    places = {run.run_id: place for place, run in enumerate(runs)}

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        return places.get(row["run_id"], len(runs)), row["cell_id"], row["seed"], row["run_id"]

    rows = []
    by_run = dict(list(evaluations.groupby("run_id", sort=False)))
    kept_evaluations = []
    for row in sorted(records(known), key=order):
        run = specs.get(row["run_id"])
        measured = by_run.get(row["run_id"], evaluations.iloc[:0])
        if run is not None:
            on_schedule = scheduled_steps(run.evaluation, run.max_steps) | {row["last_step"]}
            measured = measured[measured["step"].isin(on_schedule)]
            row = run_row(run, row, measured, facts.get(run.run_id, {}))  # noqa: PLW2901 (the row as it now stands)
        kept_evaluations.append(measured)
        rows.append(row)
    table = results.typed(rows, RUN_COLUMNS)
    all_rows = pd.concat(kept_evaluations, ignore_index=True) if kept_evaluations else evaluations
    if CLEAN_COLUMN in all_rows and all_rows[CLEAN_COLUMN].isna().all():
        all_rows = all_rows.drop(columns=CLEAN_COLUMN)
    results.write_table(all_rows, folder / "evaluations.parquet")
    results.write_table(table, folder / "runs.parquet")
    shards = folder / "shards"
    for path in shards.glob("*.json"):
        path.unlink()
    if shards.is_dir() and not any(shards.iterdir()):
        shards.rmdir()
    ended = set(table.loc[table["status"] != "unfinished", "run_id"])
    if ended >= set(places):
        (folder / PLANNED).unlink(missing_ok=True)


def announce(folder: Path, runs: list[Run], facts: dict[str, dict[str, Any]]) -> None:
    """Write down which runs are planned, so that a folder can be read while they are trained."""
    rows = [{**planned_row(run, facts.get(run.run_id, {})), "first_reuse_step": _first_reuse(run)} for run in runs]
    results.write_table(results.typed(rows, RUN_COLUMNS), folder / PLANNED)


def _first_reuse(run: Run) -> int | None:
    """The first update that uses a sample again within the budget; None where only going through all draws tells."""
    counted = run.rule in ("real", "ideal") and not run.phases
    return reuse_of(run, run.max_steps)["first_reuse_step"] if counted else None


def run_row(run: Run, done: dict[str, Any], evaluations: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    """One row of ``runs``: the specification, how training ended, and the events of its evaluations."""
    status = done["status"]
    if status not in ("diverged", "failed"):
        complete = done.get(STOPPED) is True or done["last_step"] >= run.max_steps
        status = "finished" if complete else "unfinished"
    return outcome_row(planned_row(run, facts), {**done, "status": status}, evaluations)


def planned_row(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """A row of ``runs`` as far as the specification gives it, and the data: nothing is trained yet."""
    return {
        **specification_row(run),
        "status": "unfinished",
        "last_step": 0,
        **({STOPPED: False} if run.stop is not None else {}),
        **facts,
    }


def specification_row(run: Run) -> dict[str, Any]:
    """What a row of ``runs`` holds before the run: its specification, and the metrics by which it is judged."""
    metric = default_metric(run.loss["name"])
    return {
        "run_id": run.run_id,
        "ideal_run_id": run.ideal_run_id,
        "cell_id": run.cell_id,
        "world": run.rule,
        "seed": run.seed,
        **{kind: getattr(run, kind)["name"] for kind in ("task", "model", "optimizer")},
        **{name: getattr(run, name) for name in ("train_size", "train_fraction", "batch_size", "max_steps")},
        "metric": metric,
        **run.settings(),
        "evaluation.stopping_metric": run.evaluation.stopping_metric or f"train_{metric}",
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

"""The output folder: what it holds already, what a pack adds, and how it becomes two tables."""

import json
import os
import platform
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from bootstrap import results
from bootstrap.events import run_events
from bootstrap.losses import default_metric
from bootstrap.mistakes import StudyError
from bootstrap.results import CLEAN_COLUMN, EVALUATION_COLUMNS, RUN_COLUMNS
from bootstrap.run import Run, scheduled_steps
from runners import registration
from runners.studies import to_toml

STOPPED = "facts.stopped"  # column of the runs of a study with a stop rule: ended by it

EXTENDABLE = {"claims", "keep", "plugins", "source", "sweep"}
EXTENDABLE_IN = {
    "training": {"seeds", "max_steps", "train_size", "train_fraction"},
    "evaluation": {"threshold", "streak", "stopping_metric", "stopping_threshold"},
}
POOLS = ("training", "training.train_fraction", "training.train_size")  # what a sweep that gives pools goes over


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
        host = {"process": os.getpid(), "host": platform.node(), "since": datetime.now().astimezone().isoformat()}
        results.write_json(host, owner)
    except Timeout as error:
        told = json.loads(owner.read_text()) if owner.is_file() else {}
        who = f"process {told.get('process', '?')} on {told.get('host', '?')} since {told.get('since', '?')}"
        raise StudyError(
            [f"output folder {folder} is being written by {who}. Wait for it, or choose another with --out."]
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
        _refuse_another(folder, study)
        results.write_atomically(folder / "study.toml", to_toml(study))
    except OSError as error:
        raise StudyError(
            [f"output folder {folder} cannot be written: {error.strerror}. Choose another with --out."]
        ) from error
    if not (folder / "claims.json").exists() and not _holds_runs(folder):
        described = [specification_row(run) for run in runs]
        results.write_json(registration.registered(study, described), folder / "claims.json")


def _holds_runs(folder: Path) -> bool:
    """Whether something was trained already: what is claimed from then on is post hoc."""
    return (folder / "runs.parquet").exists() or any((folder / "shards").glob("*.json"))


def _refuse_another(folder: Path, study: dict[str, Any]) -> None:
    """Refuse a folder whose study differs in more than seeds, budget, pools, sweep or claims."""
    path = folder / "study.toml"
    if not path.is_file():
        return
    try:
        held = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise StudyError([f"output folder {folder} holds a study.toml that cannot be read: {error}. "
                          "Choose another with --out."]) from error  # fmt: skip
    differences = sorted(_fixed(held).items() ^ _fixed(study).items())
    if differences:
        keys = ", ".join(dict.fromkeys(key for key, _ in differences))
        raise StudyError(
            [f"output folder {folder} holds another study: it differs in {keys}. Choose another with --out."]
        )


def _fixed(study: dict[str, Any]) -> dict[str, str]:
    """What may not change between the runs of one folder, under dotted names."""
    fixed: dict[str, str] = {}
    swept = study.get("sweep", {})
    extendable = {part: set(names) for part, names in EXTENDABLE_IN.items()}
    if study["schedule"]["shape"] != "constant":
        extendable["training"].discard("max_steps")
    if "rest" in (study["data"]["test_set"], *swept.get("data.test_set", ())):  # the largest pool decides the test
        extendable["training"] -= {"train_size", "train_fraction"}
        fixed |= {name: json.dumps(values) for name, values in swept.items() if name in POOLS}
    for part, value in study.items():
        if part in EXTENDABLE:
            continue
        inner = value if isinstance(value, dict) else {"": value}
        for name, item in inner.items():
            dotted = f"{part}.{name}".rstrip(".")
            if name not in extendable.get(part, ()) and dotted not in swept:
                fixed[dotted] = json.dumps(item, sort_keys=True)
    return fixed


def collect(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs (only what training knows of them) and evaluations: the tables' and the shards', the latest kept."""
    runs, evaluations = [], []
    if (folder / "runs.parquet").is_file() and (folder / "evaluations.parquet").is_file():
        runs.append(pd.read_parquet(folder / "runs.parquet"))
        evaluations.append(pd.read_parquet(folder / "evaluations.parquet"))
    for path in sorted((folder / "shards").glob("*.json")):
        shard = json.loads(path.read_text())
        runs.append(pd.DataFrame(shard["runs"]))
        evaluations.append(results.typed(shard["evaluations"], EVALUATION_COLUMNS))
    if not runs:
        return results.typed([], RUN_COLUMNS), results.typed([], EVALUATION_COLUMNS)
    run_table = pd.concat(runs, ignore_index=True).drop_duplicates("run_id", keep="last")
    rows = pd.concat([part for part in evaluations if len(part)] or evaluations[:1], ignore_index=True)
    rows = rows.drop_duplicates(["run_id", "step"], keep="last").sort_values(["run_id", "step"], ignore_index=True)
    return results.typed(run_table, RUN_COLUMNS), results.typed(rows, EVALUATION_COLUMNS)


def write_shard(folder: Path, name: str, runs: list[dict[str, Any]], evaluations: list[dict[str, Any]]) -> None:
    """What one pack gave, written before the next one starts."""
    (folder / "shards").mkdir(exist_ok=True)
    results.write_json({"runs": runs, "evaluations": evaluations}, folder / "shards" / f"{name}.json")


def has_shard(folder: Path, name: str = "*") -> bool:
    """Whether a pack, or any, was written since the tables were."""
    return any((folder / "shards").glob(f"{name}.json"))


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


def run_row(run: Run, done: dict[str, Any], evaluations: pd.DataFrame, facts: dict[str, Any]) -> dict[str, Any]:
    """One row of ``runs``: the specification, how training ended, and the events of its evaluations."""
    specified, judged = specification_row(run), run.evaluation
    last_step = int(done["last_step"])
    events = run_events(
        evaluations, world=run.rule, threshold=judged.threshold, streak=judged.streak,
        stopping_metric=specified["evaluation.stopping_metric"], stopping_threshold=judged.stopping_threshold,
    )  # fmt: skip
    return {
        **specified,
        "status": done["status"],
        "last_step": last_step,
        "samples_seen": run.samples_seen(last_step),
        "first_reuse_step": done["first_reuse_step"],
        "reuse": done["reuse"],
        **events,
        "seconds": done["seconds"],
        **({STOPPED: done.get(STOPPED) is True} if run.stop is not None else {}),
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

"""Repair of a damaged output folder before it is written: damaged files are set aside, whole ones are kept.

A damaged table of runs or evaluations takes the other one with it, since each is little without the other; lost values
of probes can only be measured in training, and take their runs with them. Runs that can be recovered from the
remaining files go into a shard, as if a pack had just been trained. All other runs are trained again.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap import results
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, PROBE_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.files import DamagedFileError, read_json, read_study
from deepboot.bootstrap.probe_values import PROBES, long_rows, unmeasured
from deepboot.bootstrap.results import read_table
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.underway import PLANNED, read_shard
from deepboot.runners.run import checkpoints, output_folder, shards
from deepboot.runners.run.execution_plan import PLAN_FILE

FOLDERS = ("shards", "states", "checkpoints", "weights", "figures")
RECOVERED = "0-recovered"  # before all other shards: what these hold is newer
TABLES = {"runs.parquet": RUN_COLUMNS, "evaluations.parquet": EVALUATION_COLUMNS}


def repair(folder: Path, runs: list[Run]) -> list[str]:
    """Set damaged files of a folder aside and keep the whole ones; a sentence for each damaged file.

    Args:
        folder: held for writing.
        runs: of the study that is to be trained into it.

    Raises:
        StudyError: the folder's study cannot be read, and its runs are not those of this study.
    """
    sentences = list(_repair_kinds(folder))
    sentences += _repair_study(folder, runs)
    sentences += _repair_tables(folder, runs)
    sentences += _repair_states(folder, runs)
    for path in sorted((folder / "shards").glob("*.json")):
        sentences += _repair_file(path, read_shard, "Its runs are trained again.")
    for name in ("environment.json", PLAN_FILE):
        sentences += _repair_file(folder / name, read_json, "It is written anew.")
    sentences += _repair_file(folder / PLANNED, lambda path: read_table(path, RUN_COLUMNS), "It is written anew.")
    try:
        read_json(folder / "claims.json")
    except FileNotFoundError:
        pass
    except DamagedFileError as damage:
        sentences += damage.problems
    return sentences


def _repair_kinds(folder: Path) -> Iterator[str]:
    """Set aside files where folders belong, and folders where the files of runs and packs belong."""
    for name in FOLDERS:
        path = folder / name
        if path.exists() and not path.is_dir():
            yield _set_aside(DamagedFileError(path, "it is a file, not a folder"), "It is made anew.")
    for path in sorted([*folder.glob("states/*"), *folder.glob("checkpoints/*")]):
        if path.is_dir():
            yield _set_aside(DamagedFileError(path, "it is a folder, not a file"), "What it held starts over.")


def _repair_file(path: Path, read: Callable[[Path], Any], then: str) -> list[str]:
    """Set a file aside that cannot be read; no sentence if it is whole or missing."""
    try:
        read(path)
    except FileNotFoundError:
        return []
    except DamagedFileError as damage:
        return [_set_aside(damage, then)]
    return []


def _set_aside(damage: DamagedFileError, then: str) -> str:
    aside = output_folder.set_aside(damage.path)
    return f"{damage.path} is damaged: {damage.what}. It is kept as {aside.name}. {then}"


def _repair_study(folder: Path, runs: list[Run]) -> list[str]:
    path = folder / "study.toml"
    try:
        read_study(path)
    except FileNotFoundError:
        return []
    except DamagedFileError as damage:
        held = _whole_table(folder, "runs.parquet")
        ids = {run.run_id for run in runs}
        if held is not None and len(held) and not held["run_id"].isin(ids).any():
            raise StudyError([
                f"{path} is damaged: {damage.what}. The runs in {folder} are not those of this study. "
                "Give the study that they came from, or choose another folder with --out."
            ]) from damage  # fmt: skip
        return [_set_aside(damage, "It is written anew.")]
    return []


def _repair_tables(folder: Path, runs: list[Run]) -> list[str]:
    """Set the tables aside where one is damaged, with a shard of the runs that can be recovered."""
    try:
        tables = results.read_tables(folder)
        results.read_probes(folder, tables[0] if tables else results.typed([], RUN_COLUMNS))
    except DamagedFileError as damage:
        known, rows = (_whole_table(folder, name) for name in TABLES)
        probes = _whole_table(folder, PROBES)
        kept, kept_rows = _recovered(folder, runs, known, rows, probes)
        if kept:
            (folder / "shards").mkdir(exist_ok=True)
            shards.write(folder, RECOVERED, kept, kept_rows)
        damaged = [*TABLES, *([PROBES] if probes is None else [])]  # whole values wait for their runs
        aside = [output_folder.set_aside(folder / name).name for name in damaged if (folder / name).exists()]
        tables_are = ("No table is", "One table is", "Both tables are", "All three tables are")[len(aside)]
        return [
            f"{damage.path} is damaged: {damage.what}. {tables_are} kept, as {' and '.join(aside)}. "
            f"{len(kept)} runs are whole without it; the others are trained again."
        ]
    return []


def _repair_states(folder: Path, runs: list[Run]) -> list[str]:
    """Set aside the states that cannot be read, of runs that are to go on from them to a longer budget."""
    known = _whole_table(folder, "runs.parquet")
    if known is None:
        return []
    budgets = known["run_id"].map({run.run_id: run.max_steps for run in runs if run.stop is None})
    extended = known.loc[(known["last_step"] < budgets).fillna(False), "run_id"]
    paths = [checkpoints.state_path(folder, run_id) for run_id in extended]
    return [
        sentence for path in paths for sentence in _repair_file(path, checkpoints.check_state, "Its run starts over.")
    ]


def _whole_table(folder: Path, name: str) -> pd.DataFrame | None:
    try:
        return read_table(folder / name, {**TABLES, PROBES: PROBE_COLUMNS}[name])
    except (FileNotFoundError, DamagedFileError):
        return None


def _recovered(
    folder: Path, runs: list[Run], known: pd.DataFrame | None, rows: pd.DataFrame | None, probes: pd.DataFrame | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The runs, as training knows them, and the rows that a shard of all that is whole would hold."""
    if rows is None:
        return [], []
    last = rows.groupby("run_id")["step"].max()
    if known is None:
        by_run = dict(list(rows.groupby("run_id")))
        recovered = (_recovered_row(folder, run, by_run[run.run_id]) for run in runs if run.run_id in by_run)
        kept = [row for row in recovered if row is not None]
    else:
        whole = known["last_step"].eq(known["run_id"].map(last)).fillna(False)
        kept = _plain(known[whole | (known["status"] == "failed")])
    measured = long_rows([]) if probes is None else probes
    lost = set(unmeasured(folder, pd.DataFrame(kept, columns=["run_id", "status"]), measured))
    kept = [done for done in kept if done["run_id"] not in lost]
    ids = {done["run_id"] for done in kept}
    return kept, _plain(rows[rows["run_id"].isin(ids)])


def _recovered_row(folder: Path, run: Run, rows: pd.DataFrame) -> dict[str, Any] | None:
    """The row of a shard, recovered from a run's evaluations; None where they leave open whether it had ended."""
    last = rows.iloc[-1]
    step = int(last["step"])
    finite = math.isfinite(last["test_loss"]) and math.isfinite(last["weight_norm"])
    state = checkpoints.read_state(folder, run.run_id)
    ended = step >= run.max_steps or (state is not None and int(state["step"]) == step)
    if run.stop is not None or (finite and not ended):
        return None
    return shards.trained_row(run, "finished" if finite else "diverged", step, seconds=None)


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON can hold them."""
    return output_folder.records(table.astype(object).where(table.notna(), None))

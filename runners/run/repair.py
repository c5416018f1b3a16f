"""Making a damaged output folder fit to be written: what is damaged goes aside, what is whole is kept.

A damaged table takes the other one with it, since each is little without the other; the runs that can be told from what
is left go into a shard, as if a pack had just given them. All other runs are trained again.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap import results
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS, STOPPED
from deepboot.bootstrap.files import DamagedFileError, read_json, read_study
from deepboot.bootstrap.results import read_table
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import reuse_of
from deepboot.bootstrap.underway import PLANNED, read_shard
from deepboot.runners.run import checkpoints, output_folder, shards
from deepboot.runners.run.execution_plan import PLAN_FILE

FOLDERS = ("shards", "states", "checkpoints", "weights", "figures")
RECOVERED = "0-recovered"  # before all other shards: what these hold is newer
TABLES = {"runs.parquet": RUN_COLUMNS, "evaluations.parquet": EVALUATION_COLUMNS}


def mend(place: Path, runs: list[Run]) -> list[str]:
    """Set what is damaged in a held folder aside and keep what is whole; a sentence for each file.

    Args:
        place: the folder.
        runs: of the study that is to be trained into it.

    Raises:
        StudyError: the folder's study cannot be read, and its runs are not those of this study.
    """
    said = list(_places(place))
    said += _study(place, runs)
    said += _tables(place, runs)
    said += _states(place, runs)
    for path in sorted((place / "shards").glob("*.json")):
        said += _checked(path, read_shard, "Its runs are trained again.")
    for name in ("environment.json", PLAN_FILE):
        said += _checked(place / name, read_json, "It is written anew.")
    said += _checked(place / PLANNED, lambda path: read_table(path, RUN_COLUMNS), "It is written anew.")
    try:
        read_json(place / "claims.json")
    except FileNotFoundError:
        pass
    except DamagedFileError as damage:
        said += damage.problems
    return said


def _places(place: Path) -> Iterator[str]:
    """Files where folders belong, and folders where the files of runs and packs belong."""
    for name in FOLDERS:
        path = place / name
        if path.exists() and not path.is_dir():
            yield _moved(DamagedFileError(path, "it is a file, not a folder"), "It is made anew.")
    for path in sorted([*place.glob("states/*"), *place.glob("checkpoints/*")]):
        if path.is_dir():
            yield _moved(DamagedFileError(path, "it is a folder, not a file"), "What it held starts over.")


def _checked(path: Path, read: Callable[[Path], Any], then: str) -> list[str]:
    """Nothing if a file is whole or missing; else it is set aside."""
    try:
        read(path)
    except FileNotFoundError:
        return []
    except DamagedFileError as damage:
        return [_moved(damage, then)]
    return []


def _moved(damage: DamagedFileError, then: str) -> str:
    aside = output_folder.set_aside(damage.path)
    return f"{damage.path} is damaged: {damage.what}. It is kept as {aside.name}. {then}"


def _study(place: Path, runs: list[Run]) -> list[str]:
    path = place / "study.toml"
    try:
        read_study(path)
    except FileNotFoundError:
        return []
    except DamagedFileError as damage:
        held = _whole(place, "runs.parquet")
        ids = {run.run_id for run in runs}
        if held is not None and len(held) and not held["run_id"].isin(ids).any():
            raise StudyError([
                f"{path} is damaged: {damage.what}. The runs in {place} are not those of this study. "
                "Give the study that they came from, or choose another folder with --out."
            ]) from damage  # fmt: skip
        return [_moved(damage, "It is written anew.")]
    return []


def _tables(place: Path, runs: list[Run]) -> list[str]:
    """Set both tables aside where one is damaged, with a shard of the runs that can be told from what is left."""
    try:
        results.read_tables(place)
    except DamagedFileError as damage:
        known, rows = (_whole(place, name) for name in TABLES)
        kept, kept_rows = _recovered(place, runs, known, rows)
        if kept:
            (place / "shards").mkdir(exist_ok=True)
            shards.write(place, RECOVERED, kept, kept_rows)
        aside = [output_folder.set_aside(place / name).name for name in TABLES if (place / name).exists()]
        return [
            f"{damage.path} is damaged: {damage.what}. Both tables are kept, as {' and '.join(aside)}. "
            f"{len(kept)} runs are whole without it; the others are trained again."
        ]
    return []


def _states(place: Path, runs: list[Run]) -> list[str]:
    """Set aside the states that cannot be read, of runs that are to go on from them to a longer budget."""
    known = _whole(place, "runs.parquet")
    if known is None:
        return []
    budgets = known["run_id"].map({run.run_id: run.max_steps for run in runs if run.stop is None})
    extended = known.loc[(known["last_step"] < budgets).fillna(False), "run_id"]
    paths = [checkpoints.state_path(place, run_id) for run_id in extended]
    return [said for path in paths for said in _checked(path, checkpoints.check_state, "Its run starts over.")]


def _whole(place: Path, name: str) -> pd.DataFrame | None:
    try:
        return read_table(place / name, TABLES[name])
    except (FileNotFoundError, DamagedFileError):
        return None


def _recovered(
    place: Path, runs: list[Run], known: pd.DataFrame | None, rows: pd.DataFrame | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The runs, as training knows them, and the rows that a shard of all that is whole would hold."""
    if rows is None:
        return [], []
    last = rows.groupby("run_id")["step"].max()
    if known is None:
        by_run = dict(list(rows.groupby("run_id")))
        told = (_told(place, run, by_run[run.run_id]) for run in runs if run.run_id in by_run)
        kept = [done for done in told if done is not None]
    else:
        whole = known["last_step"].eq(known["run_id"].map(last)).fillna(False)
        kept = _plain(known[whole | (known["status"] == "failed")])
    ids = {done["run_id"] for done in kept}
    return kept, _plain(rows[rows["run_id"].isin(ids)])


def _told(place: Path, run: Run, rows: pd.DataFrame) -> dict[str, Any] | None:
    """What training knows of a run, told from its rows; None where they do not tell whether it had ended."""
    last = rows.iloc[-1]
    step = int(last["step"])
    finite = math.isfinite(last["test_loss"]) and math.isfinite(last["weight_norm"])
    state = checkpoints.read_state(place, run.run_id)
    ended = step >= run.max_steps or (state is not None and int(state["step"]) == step)
    if run.stop is not None or (finite and not ended):
        return None
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": "finished" if finite else "diverged",
        "last_step": step, STOPPED: False, "seconds": None, **reuse_of(run, step),
    }  # fmt: skip


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON can hold them."""
    return output_folder.records(table.astype(object).where(table.notna(), None))

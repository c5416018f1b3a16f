"""Kept weights: the files of a study's own, and those of another study that a run starts from."""

from pathlib import Path
from typing import TYPE_CHECKING

from deepboot.bootstrap import columns
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.paths import path_of
from deepboot.bootstrap.study.run import KeptWeights, Run
from deepboot.bootstrap.study.schema import Start, Study
from deepboot.bootstrap.wording import shown

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS = "weights"  # the folder of kept weights inside an output folder


def weights_file(folder: Path, run_id: str, step: int) -> Path:
    """The file of a run's weights after a step, safetensors under the parameters' names."""
    return folder / WEIGHTS / f"{run_id}-{step}.safetensors"


def folder_problems(study: Study, faulty: set[str]) -> list[str]:
    """Problems of the folder to start from, where a study starts from one."""
    if study.start is None or study.start.folder is None or "start" in faulty:
        return []
    try:
        folder = path_of(study.start.folder, "start.folder")
    except StudyError as error:
        return error.problems
    if (folder / "runs.parquet").is_file():
        return []
    return [f'`start.folder`: {folder} holds no results. Run that study into it first, with keep.weights = "final".']


def kept_weights(start: Start, run: Run) -> KeptWeights:
    """The kept weights that a run starts from, in a folder with results.

    Raises:
        StudyError: no such run, several, or their weights were not kept.
    """
    from deepboot.bootstrap import results  # loads pandas, which no worker needs

    assert start.folder is not None, "another start is constructed"
    folder = path_of(start.folder, "start.folder")
    matching = _matching(results.read_table(folder / "runs.parquet", columns.RUN_COLUMNS), start, run)
    if len(matching) != 1:
        raise StudyError([
            f"`start`: expected one run of {folder} for the {run.rule} run of seed {run.seed}, found {len(matching)}. "
            "Narrow it down with start.where, start.world and start.seed."
        ])  # fmt: skip
    (source,) = matching.to_dict("records")
    cell_id, run_id = str(source["cell_id"]), str(source["run_id"])
    step = int(source["last_step"]) if start.step is None else start.step
    path = weights_file(folder, run_id, step)
    if not path.is_file():
        raise StudyError([
            f"`start`: the weights of run {run_id} at step {step:,} were not kept ({path} is missing). "
            'Run that study with keep.weights = "final" or "evaluations".'
        ])  # fmt: skip
    return KeptWeights(
        path=str(path), cell_id=cell_id, run_id=run_id, step=step, named_step=start.step, layers=start.layers,
        shared=start.world != "same",
    )  # fmt: skip


def _matching(runs: "pd.DataFrame", start: Start, run: Run) -> "pd.DataFrame":
    """The rows of a table of runs that a run may start from."""
    world = run.rule if start.world == "same" else start.world
    seed = run.seed if start.seed is None else start.seed
    matching = runs[(runs["world"] == world) & (runs["seed"] == seed)]
    for name, value in start.where.items():
        if name not in matching:
            raise StudyError(
                [f"`start.where`: {start.folder} has no column {shown(name)}. Use a column of its runs.parquet."]
            )
        if isinstance(value, list | dict):
            raise StudyError([f"`start.where`: expected one value of {name}, got {shown(value)}. Give one."])
        matching = matching[matching[name] == value]
    return matching

"""Kept weights of an output folder: the runs and steps that there are, and one analysis over all of them.

A study keeps weights where it says so (``keep.weights = "evaluations"``): one file for a run and a step,
``weights/<run_id>-<step>.safetensors``, under the names of the model's parameters.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from deepboot.bootstrap import results
from deepboot.bootstrap.results import Results
from deepboot.bootstrap.wording import suggestion
from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.text import listed

Weights = Mapping[str, NDArray[Any]]
Source = Path | str | Results | Comparison
Where = Mapping[str, Any]
Steps = Literal["all", "last"] | Iterable[int]
Row = dict[str, Any]
Analysis = Callable[[Weights, Mapping[Any, Any]], Iterable[Row]]

KEYS = {"run_id": "string", **dict.fromkeys(CELL, "string"), "seed": "Int64", "step": "Int64"}


def kept_table(source: Source, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """One row per file of kept weights: ``run_id, cell_id, cell, world, seed, step, path``.

    Args:
        source: an output folder, its results, or a comparison of several.
        where: columns of its table of runs, each with the value or the list of values that a run must have.
        steps: all kept steps, the last one of every run, or those named.

    Raises:
        ValueError: a column that is not there, or nothing kept at all or at one of these steps.
    """
    runs, folders = _opened(source)
    chosen = _matching(runs, where or {})
    files = pd.DataFrame(_files(folders), columns=["run_id", "step", "path"]).drop_duplicates(["run_id", "step"])
    table = chosen[[name for name in KEYS if name != "step"]].merge(files, on="run_id")
    if table.empty:
        raise ValueError(
            f"no weights of the {len(chosen)} chosen runs were kept in {listed(map(str, folders)) or 'a folder'}. "
            'Run the study with keep.weights = "evaluations", and check `where`.'
        )
    table = _at(table.sort_values("step", kind="stable"), steps)
    order = table["run_id"].map({run_id: index for index, run_id in enumerate(chosen["run_id"])})
    return table.iloc[order.argsort(kind="stable")].reset_index(drop=True).astype(KEYS)[[*KEYS, "path"]]


def has_kept(comparison: Comparison) -> bool:
    """Whether weights of any of its runs were kept."""
    _, folders = _opened(comparison)
    return bool({run_id for run_id, _, _ in _files(folders)} & set(comparison.runs["run_id"]))


def load_weights(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of one file by the parameters' names.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no whole safetensors file ({error}). Nothing makes kept weights again: "
            "choose other steps, or train this run into a new folder."
        ) from error


def over_kept(source: Source, analysis: Analysis, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """The rows that an analysis makes of every file, each after its run and step (``KEYS``).

    Args:
        source, where, steps: as in `kept_table`.
        analysis: rows from the weights of one file and the run's row, with its settings by dotted name.
    """
    settings = _opened(source)[0].set_index("run_id").to_dict("index")
    rows = []
    for file in kept_table(source, where=where, steps=steps).to_dict("records"):
        keys = {name: file[name] for name in KEYS}
        rows += [{**keys, **row} for row in analysis(load_weights(file["path"]), settings[file["run_id"]])]
    return pd.DataFrame(rows, columns=None if rows else list(KEYS)).astype(KEYS)


def _opened(source: Source) -> tuple[pd.DataFrame, list[Path]]:
    """All runs, and the folders that may hold their weights."""
    if isinstance(source, Path | str):
        source = results.read(source)
    comparison = compare(source) if isinstance(source, Results) else source
    return comparison.runs, [one.folder for one in comparison.sources if one.folder]


def _matching(runs: pd.DataFrame, where: Where) -> pd.DataFrame:
    for name, value in where.items():
        if name not in runs:
            raise ValueError(f"`where`: the runs have no column {name!r}. {suggestion(name, list(runs.columns))}")
        runs = runs[runs[name].isin(value if isinstance(value, list) else [value])]
    return runs


def _files(folders: list[Path]) -> list[tuple[str, int, Path]]:
    """Run, step and path of every file of kept weights."""
    paths = [path for folder in folders for path in sorted((folder / "weights").glob("*-*.safetensors"))]
    return [(run_id, int(step), path) for path in paths for run_id, _, step in [path.stem.rpartition("-")]]


def _at(table: pd.DataFrame, steps: Steps) -> pd.DataFrame:
    """The rows of these steps; rows are in the order of steps."""
    if isinstance(steps, str):
        return table.drop_duplicates("run_id", keep="last") if steps == "last" else table
    wanted = list(steps)
    if missing := sorted(set(wanted) - set(table["step"])):
        raise ValueError(
            f"no weights were kept at step {listed(map(str, missing))}. "
            f"Kept: {listed(map(str, np.unique(table['step'])))}."
        )
    return table[table["step"].isin(wanted)]

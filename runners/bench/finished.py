"""Output folders of many finished runs, in the real format, with invented evaluations: what reports and claims cost."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.events import curves_of
from deepboot.bootstrap.results import Results, read, typed, write
from deepboot.bootstrap.study.run import Run, evaluation_steps
from deepboot.bootstrap.study.sweep import cells_of
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.runners import study_files
from deepboot.runners.run import output_folder
from deepboot.runners.run.execution_plan import ExecutionPlan, write_plan
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.rows import run_row
from deepboot.runners.run.shards import trained_row

SIZES = (1_000, 10_000)  # runs of the folders that are timed
CURVES = 16  # different ones of a cell; its further runs repeat them
EVALUATED = tuple(name for name in EVALUATION_COLUMNS if name not in ("run_id", "step", "samples_seen"))


@dataclass(frozen=True)
class Judged:
    """What it takes to read a folder of so many finished runs and to judge its claims, in seconds of one processor."""

    runs: int
    evaluations: int
    read_seconds: float
    judge_seconds: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.runs:9,} runs   {self.evaluations:11,} evaluations   read and paired {self.read_seconds:6.1f} s   "
            f"claims {self.judge_seconds:6.1f} s"
        )


def judged_folders(sizes: Sequence[int] = SIZES) -> Iterator[Judged]:
    """Folders of the demo study with so many finished runs, read and judged one after another."""
    for size in sizes:
        with TemporaryDirectory() as folder:
            changes = [f"training.seeds={size // 2}", "evaluation.per_octave=2"]
            write_finished(Path(folder), study_files.load("demo", changes=changes))
            began = time.process_time()
            comparison = compare(read(Path(folder)))
            comparison.pairs()
            paired = time.process_time()
            judge(comparison)
            ended = time.process_time()
        yield Judged(len(comparison.runs), len(comparison.evaluations), paired - began, ended - paired)


def write_finished(folder: Path, raw: dict[str, Any]) -> int:
    """Write the folder of a study without recorded data as if all of its runs were done; their number.

    Raises:
        StudyError: the study has mistakes, or the folder cannot be written.
    """
    cells = cells_of(raw)
    runs = list(chain.from_iterable(cells))
    with output_folder.held(folder):
        output_folder.prepare(folder, study_files.resolved(raw), cells)
        write(invented(runs), folder)
        write_plan(ExecutionPlan(device="cpu"), folder)
        (folder / "shards").rmdir()
    return len(runs)


def invented(runs: list[Run]) -> Results:
    """Tables of these runs with evaluations that fall as those of runs do that memorise and then generalise."""
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        cells.setdefault((run.cell_id, run.rule), []).append(run)
    tables = [_of_cell(members, number) for number, members in enumerate(cells.values())]
    order = {run.run_id: position for position, run in enumerate(runs)}
    rows, evaluations = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    rows = rows.iloc[rows["run_id"].map(order).argsort(kind="stable")].reset_index(drop=True)
    evaluations = evaluations.iloc[evaluations["run_id"].map(order).argsort(kind="stable")].reset_index(drop=True)
    return Results(typed(rows, RUN_COLUMNS), typed(evaluations, EVALUATION_COLUMNS))


def _of_cell(runs: list[Run], number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and evaluations of the runs of one cell, of which every one after the first few repeats one of them."""
    first = runs[:CURVES]
    curves = [_curves(run, np.random.default_rng([number, index])) for index, run in enumerate(first)]
    facts = facts_of(runs[:1])[runs[0].run_id]
    rows = pd.DataFrame([
        run_row(run, trained_row(run, "finished", run.max_steps, seconds=1.0), curves_of(curve), facts)
        for run, curve in zip(first, curves, strict=True)
    ])  # fmt: skip
    copied = np.arange(len(runs)) % len(first)
    identities = {name: [getattr(run, name) for run in runs] for name in ("run_id", "ideal_run_id", "seed")}
    evaluations = pd.concat([curves[index] for index in copied], ignore_index=True)
    evaluations["run_id"] = np.repeat(np.asarray(identities["run_id"], dtype=object), len(curves[0]))
    return rows.iloc[copied].reset_index(drop=True).assign(**identities), evaluations


def _curves(run: Run, random: np.random.Generator) -> pd.DataFrame:
    """Evaluations of one run: errors are sigmoids of the logarithm of the step, later on test than on train samples."""
    steps = np.array(evaluation_steps(run.evaluation, run.max_steps))
    elapsed = np.log1p(steps) / np.log1p(run.max_steps)
    train, test = (0.5 / (1 + np.exp(30 * (elapsed - random.uniform(*when)))) for when in ((0.3, 0.5), (0.5, 1.0)))
    values = {name: np.round(train if "test" not in name else test, 3) for name in EVALUATED}
    if run.rule == "ideal":
        values |= {name: np.full(len(steps), np.nan) for name in EVALUATED if name.startswith("train")}
    return pd.DataFrame({"run_id": run.run_id, "step": steps, "samples_seen": steps * run.batch_size, **values})

"""Final bootstrap errors and test errors of groups of cells, aggregated over tasks.

A group is a world's rule with the settings that take several values within a task, and it is the same in every task.
Tasks need equally many runs, so the seeds that all tasks of a group have are kept.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import KEY, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.statistics.interquartile import interquartile_means, performance_profiles
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import setting

LEAST_TASKS = 2
SCORES = ["measure", "metric", "group", "task", "seed", "score"]
FIRST = ["measure", "metric", "left_out"]
THRESHOLDS = (0.0, 0.01, 0.1, 0.3)  # errors, of a performance profile


def score_table(comparison: Comparison) -> pd.DataFrame:
    """Final scores of every group that has at least two tasks, before seeds are matched.

    Returns:
        one row per pair (``measure`` "bootstrap error", at the last common step) and one per run ("test error", at its
        last evaluation): ``measure, metric`` (one for all tasks: the default if they share it, else the test error),
        ``group, task, seed, score``. A run that diverged or failed has an infinite error, and so has a pair whose
        real run did; the score is NaN where the ideal run did, or where there is none.
    """
    metrics = comparison.runs["metric"].unique()
    metric = f"test_{metrics[0]}" if len(metrics) == 1 else "test_error"
    labelled = comparison.runs[["run_id", "task", "seed", *KEY]].merge(_labels(comparison.runs), on=KEY)
    measured = {"bootstrap error": _bootstrap_errors(comparison, metric), "test error": _errors(comparison, metric)}
    rows = [
        labelled.merge(scores.rename("score"), left_on="run_id", right_index=True).assign(measure=measure)
        for measure, scores in measured.items()
    ]
    table = pd.concat(rows, ignore_index=True).assign(metric=metric)[SCORES]
    tasks = table.groupby(["measure", "group"])["task"].transform("nunique")
    return table[tasks >= LEAST_TASKS].reset_index(drop=True)


def task_means(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Interquartile means over tasks, one row per measure and group.

    Returns:
        ``measure, metric, left_out`` (runs or pairs without a score, or without their seed in another task), then the
        columns of `interquartile_means`. No row where no group has two tasks with a seed in common.
    """
    return _by_group(comparison, lambda scores: interquartile_means(scores, confidence))


def task_profiles(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Share of runs above each threshold: ``measure, metric, left_out``, then those of `performance_profiles`."""
    return _by_group(comparison, lambda scores: performance_profiles(scores, THRESHOLDS, confidence))


def _by_group(comparison: Comparison, summary: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """A summary of every measure's groups, on the seeds that all tasks of a group have."""
    tables = []
    groups: Any = score_table(comparison).groupby(["measure", "metric", "group"], sort=False)
    for (measure, metric, _), scores in groups:
        known = scores.dropna(subset="score")
        everywhere = known.groupby("seed")["task"].transform("nunique") == scores["task"].nunique()
        if everywhere.any():
            left_out = len(scores) - int(everywhere.sum())
            row = [measure, metric, left_out]
            tables.append(summary(known[everywhere]).assign(**dict(zip(FIRST, row, strict=True))))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=FIRST)
    return table[[*FIRST, *table.columns.difference(FIRST, sort=False)]]


def _bootstrap_errors(comparison: Comparison, metric: str) -> pd.Series:
    """Final bootstrap error by real run."""
    pairs = comparison.pairs_at("end", metric).set_index("run_id")
    broken = pairs["status"].isin(BROKEN) & (pairs["ideal_status"] == "finished").fillna(False)
    return pairs["bootstrap_error"].mask(broken, np.inf)


def _errors(comparison: Comparison, metric: str) -> pd.Series:
    """Last test error by run."""
    last = comparison.evaluations.groupby("run_id").tail(1).set_index("run_id")[metric]
    runs = comparison.runs.set_index("run_id")
    last = last.reindex(runs.index).mask((runs["status"] == "unfinished").fillna(False))
    return last.mask(runs["status"].isin(BROKEN), np.inf)


def _labels(runs: pd.DataFrame) -> pd.DataFrame:
    """The group of every cell: ``cell_id, world, group``."""
    cells = runs.drop_duplicates(KEY)
    named = [_world_groups(world, rows) for world, rows in cells.groupby("world", sort=False)]
    return pd.concat(named) if named else cells[KEY].assign(group="")


def _world_groups(world: object, cells: pd.DataFrame) -> pd.DataFrame:
    """Groups of one world's cells, named by the settings that take several values within some task."""
    several = [name for name in varied(cells) if name != "task" and _differs(cells[name], cells["task"])]
    names = [
        ", ".join([str(world), *(f"{name.rsplit('.', 1)[-1]} {setting(row[name])}" for name in several)])
        for row in cells.to_dict("records")
    ]
    return cells[KEY].assign(group=names)


def _differs(values: pd.Series, tasks: pd.Series) -> bool:
    return bool((values.map(setting, na_action=None).groupby(tasks).nunique() > 1).any())

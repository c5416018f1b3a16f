"""Tables of many tasks, as text: interquartile means and performance profiles; without rows below two tasks."""

import math
from collections.abc import Mapping
from typing import Any

from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.across_tasks import task_means, task_profiles
from deepboot.reports.tables.table import Table, bounds_of, notes_of
from deepboot.reports.text import count, measure, plural, span

Row = Mapping[Any, Any]


def tasks(comparison: Comparison) -> Table:
    """Interquartile mean of the final error of every group of cells, over all tasks."""
    table = task_means(comparison)
    rows: list[tuple[str, ...]] = [
        (
            row["measure"],
            row["group"],
            count(row["tasks"]),
            count(row["n"]),
            measure(row["mean"], None if math.isinf(row["high"]) else bounds_of(row)),
            span(bounds_of(row)) if bounds_of(row) else "none",
            notes_of(row["note"], f"{plural(row['left_out'], 'run')} left out" if row["left_out"] else ""),
        )
        for row in table.to_dict("records")
    ]
    numbers = ("tasks", "seeds", "interquartile mean", "95 % interval")
    metric = str(table["metric"].iloc[0]).replace("_", " ") if len(table) else ""
    note = (
        f"Final {metric}; bootstrap error: real − ideal of a pair. Interquartile mean: over the runs of all tasks "
        "without the lowest and the highest quarter, so that one easy or hopeless task does not decide it; a run that "
        "diverged counts as the worst. Interval: runs resampled within tasks; it speaks of these tasks, not of others. "
        "Left out: runs whose seed has no value in some task, or whose ideal partner broke."
    )
    columns = ("measure", "group", *numbers, "note")
    return Table("Final error over all tasks", columns, rows, frozenset(numbers), note).filled


def profiles(comparison: Comparison) -> Table:
    """Share of the runs over all tasks whose final error is above each of a few thresholds."""
    table = task_profiles(comparison)
    cuts = [f"above {cut:g}" for cut in dict.fromkeys(table["threshold"])] if len(table) else []
    groups: Any = table.groupby(["measure", "group"], sort=False) if len(table) else ()
    rows: list[tuple[str, ...]] = [
        (key[0], key[1], *(_share(row) for row in group.to_dict("records"))) for key, group in groups
    ]
    note = (
        "Performance profile: share of the runs of all tasks whose final error is above a threshold, with its 95 % "
        "interval: runs resampled within tasks, or Clopper and Pearson's where runs are few or all on one side."
    )
    columns = ("measure", "group", *cuts)
    return Table("Performance profile over all tasks", columns, rows, frozenset(cuts), note).filled


def _share(row: Row) -> str:
    resampled = not math.isnan(row["low"]) and row["low"] < row["high"]
    low, high = (row["low"], row["high"]) if resampled else (row["exact_low"], row["exact_high"])
    return f"{100 * row['share']:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)"

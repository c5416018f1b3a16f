"""The tables of a report, as text: every number rounded as it deserves, every row with its n and a note."""

import math
from typing import Any

import pandas as pd

from deepboot.reports.at_step import AT_STEP, When
from deepboot.reports.cells import FACTS
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.classes import outcome_table
from deepboot.reports.measures.events import delay_table, step_table
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.survival import OUTCOMES
from deepboot.reports.tables.table import Table, bounds_of
from deepboot.reports.text import (
    EVENT_WORDS,
    count,
    estimate,
    known_to,
    listed,
    measure,
    setting,
    span,
    step_estimate,
    step_span,
)
from deepboot.reports.time_axis import UNITS


def steps(comparison: Comparison) -> Table:
    """Memorisation, grokking and stopping steps of every cell."""
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            EVENT_WORDS[row["event"]].noun,
            count(row["n"]),
            *(count(row[outcome]) for outcome in OUTCOMES),
            step_estimate(row["median_low"], row["median_high"], row["budget"]),
            known_to((row["median_low"], row["median_high"])),
            step_span(row["low"], row["high"], row["budget"]),
            step_span(row["first"], row["last"], row["budget"]),
            row["note"],
        )
        for row in step_table(comparison).to_dict("records")
    ]
    counts = ("n", "reached", "not reached", "diverged", "failed")
    shown = ("median step", "known to", "95 % interval", "range")
    note = (
        "A step lies between two evaluations; “known to” is their distance. Median: the sample median of the runs, "
        "those that never reached the event behind all that did, those that diverged or failed last. Interval: order "
        "statistics, from 6 runs; “>” is open, beyond the budget. The ideal world memorises by its online error."
    )
    columns = ("cell", "event", *counts, *shown, "note")
    title = f"Memorisation, grokking and stopping {_steps_title(comparison)}"
    return Table(title, columns, rows, frozenset((*counts, *shown)), note).filled


def outcomes(comparison: Comparison) -> Table:
    """Outcome classes of every cell, by the classifiers of the studies' claims."""
    rows = [
        (
            row["cell"],
            row["world"],
            row["classifier"],
            row["outcome"],
            f"{row['n']} of {row['total']}",
        )
        for row in outcome_table(comparison).to_dict("records")
    ]
    note = (
        "A run has one class, of its evaluations from first to last; one that diverged or failed is in none of these."
    )
    return Table("Outcome classes", ("cell", "world", "classes", "class", "runs"), rows, frozenset({"runs"}), note)


def delays(comparison: Comparison) -> Table:
    """Grokking delay, relapses and transition width of every cell."""
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            count(row["n"]),
            _median(row["ratio_low"], row["ratio_high"], bounds_of(row)),
            known_to((row["ratio_low"], row["ratio_high"])),
            "none" if math.isnan(row["low"]) else span(Bounds(row["low"], row["high"])),
            _median(row["difference_low"], row["difference_high"], whole=True),
            f"{row['relapsed']} of {row['grokked']}" if row["grokked"] else "–",
            f"{count(row['width'])} ({count(row['width_low'])} to {count(row['width_high'])})"
            if row["grokked"]
            else "–",
            row["note"],
        )
        for row in delay_table(comparison).to_dict("records")
        if not math.isnan(row["ratio_low"])
    ]
    unit = UNITS[comparison.axis].plural
    numbers = (
        "n",
        "ratio",
        "known to",
        "95 % interval",
        f"difference ({unit})",
        "relapsed",
        f"transition width ({unit})",
    )
    note = (
        "Ratio and difference of the grokking to the memorisation step of the same run, medians with the bounds of "
        "both steps carried through. Relapsed: runs whose test accuracy falls below the threshold again, of those that "
        "grokked. Transition width: from 10 % to 90 % of the rise of test accuracy, median and range."
    )
    return Table("Grokking delay", ("cell", *numbers, "note"), rows, frozenset(numbers), note).filled


def _steps_title(comparison: Comparison) -> str:
    """The word "steps" in a title, with the unit where it is another one."""
    return "steps" if comparison.axis == "step" else f"steps, in {UNITS[comparison.axis].plural}"


def _largest(comparison: Comparison) -> dict[str, str]:
    """The largest mean bootstrap error of every cell, and its step."""
    table = comparison.largest()[["cell_id", "step", "bootstrap_error"]]
    return {cell: f"{measure(gap)} at {count(step)}" for cell, step, gap in table.itertuples(index=False)}


def errors(comparison: Comparison, when: When) -> Table:
    """The bootstrap error of every cell at the stopping step, or at the end."""
    table = comparison.at_stopping() if when == "stopping" else comparison.at_end()
    largest = _largest(comparison) if when == "stopping" else {}
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            row["metric"].replace("_", " "),
            f"{row['n']} of {row['pairs']}",
            _from_to(float(row["step_low"]), float(row["step_high"])) if row["n"] else "–",
            measure(row["ideal"], bounds_of(row)),
            measure(row["real"], bounds_of(row)),
            measure(row["bootstrap_error"], bounds_of(row)),
            "none" if math.isnan(row["low"]) else span(bounds_of(row)),
            "" if math.isnan(row["exact_low"]) else span(Bounds(row["exact_low"], row["exact_high"])),
            largest.get(row["cell_id"], ""),
            measure(row["generalization_gap"], bounds_of(row)),
            row["note"],
        )
        for row in table.to_dict("records")
    ]
    numbers = (
        "pairs", "step", "ideal", "real", "bootstrap error", "95 % interval", "exact", "largest at any step",
        "generalisation gap",
    )  # fmt: skip
    note = (
        "Means over pairs; step: the earliest and the latest of them. Bootstrap error: real − ideal, signed; paired t "
        "interval, from 3 pairs; exact: by sign flips, from 6. Generalisation gap: test − train in the real world."
    )
    note += " The largest mean error is only described: it is the one of many." if when == "stopping" else ""
    columns = ("cell", "metric", *numbers, "note")
    return Table(f"Bootstrap error {AT_STEP[when]}", columns, rows, frozenset(numbers), note).filled


def facts(comparison: Comparison) -> Table:
    """Facts about the data, the columns under ``facts.``, and the reuse of samples; a range where runs differ."""
    runs = comparison.runs
    names = [name for name in runs.columns if name.startswith(FACTS)]
    names += [name for name in ("first_reuse_step", "reuse", "samples_seen") if runs[name].notna().any()]
    worlds = sorted(map(str, runs["world"].unique()), key=lambda world: (world == "ideal", world))
    rows = [
        (name.removeprefix(FACTS), *(_range(runs.loc[runs["world"] == world, name]) for world in worlds))
        for name in names
    ]
    columns = ("fact", *(f"{world} world" for world in worlds))
    return Table("Data", columns, rows, frozenset(columns[1:])).filled


def environments(comparison: Comparison) -> Table:
    """Versions, machine and command of every folder."""
    rows: list[tuple[str, ...]] = []
    for source in comparison.sources:
        several = len(comparison.sources) > 1
        rows += [("folder", str(source.folder or "in memory"))] if several else []
        rows += [(name, value) for name, value in _flat(source.environment) if name != "command"]
    return Table("Environment", ("what", "value"), rows)


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, entry in value.items():
        if isinstance(entry, dict) and all(isinstance(part, str | int | float) for part in entry.values()):
            rows.append((f"{prefix}{name}", ", ".join(f"{key} {part}" for key, part in entry.items())))
        elif isinstance(entry, dict):
            rows += _flat(entry, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(entry)))
    return rows


def _range(values: pd.Series) -> str:
    known = values.dropna()
    if known.empty:
        return ""
    if known.dtype != object:  # as a list is
        known = known.drop_duplicates()
    if known.map(setting).nunique() == 1:
        return setting(known.iloc[0])
    if pd.api.types.is_numeric_dtype(known):
        return f"{setting(known.min())} to {setting(known.max())}"
    return listed(sorted(set(known.map(setting))))


def _median(low: float, high: float, interval: Bounds | None = None, *, whole: bool = False) -> str:
    """A median known by its bounds; open where its upper one is."""
    if math.isinf(high) and math.isfinite(low) and low > 0:
        return f"> {count(low) if whole else measure(low)}"
    return estimate((low, high), interval, whole=whole)


def _from_to(low: float, high: float) -> str:
    """The smallest and the largest of several steps."""
    return count(low) if low == high else f"{count(low)} to {count(high)}"

"""Tables of both worlds together, as text: the gain of pairing, test-set noise, shares of the gap, the final error.

Every function maps a comparison to a table, without rows where the comparison has nothing to show.
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.gap import gap_table, prediction_table
from deepboot.reports.measures.pairing import NEGLIGIBLE, noise_table, pairing_table
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.tables.table import Table, bounds_of, notes_of
from deepboot.reports.text import count, measure, plural, span

STEP_NAMES = {"stopping": "stopping step", "end": "end"}
CORRELATION_MIN = 4  # fewest pairs for an interval of a correlation
MANY = 10_000  # seeds beyond which "more than" is written
Row = Mapping[Any, Any]


def pairing(comparison: Comparison) -> Table:
    """Correlation between partners, and the seeds that pairing saves."""
    table = pairing_table(comparison)
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            STEP_NAMES[row["when"]],
            f"{row['n']} of {row['pairs']}",
            _correlation(row["correlation"]),
            _interval_span(row) if row["n"] >= CORRELATION_MIN else "none",
            _digits(row["variance_ratio"]),
            _seeds(row["seeds"], row["n"]),
            notes_of(row["note"], _pairing_note(row)),
        )
        for row in table[~table["negligible"].astype(bool)].to_dict("records")
    ]
    numbers = ("pairs", "correlation", "95 % interval", "variance, paired / unpaired", "seeds without pairing")
    note = (
        "A pair's two runs share initialisation, test set and first samples. Correlation: of their errors "
        f"({_metrics(table)}) over seeds, interval by Fisher's z, from {CORRELATION_MIN} pairs. Variance: of real − "
        "ideal within pairs over that of two runs that share nothing; below 1 pairing makes the bootstrap error more "
        "precise, above 1 less. Seeds without pairing: how many of each world would give an interval as narrow; few "
        "seeds tell it only roughly." + _left_out(table, "every error")
    )
    columns = ("cell", "at the", *numbers, "note")
    return Table("What pairing the worlds gives", columns, rows, frozenset(numbers), note).filled


def noise(comparison: Comparison) -> Table:
    """Binomial noise of the test set beside the spread over seeds, and which is larger; no row without its size."""
    table = noise_table(comparison)
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            row["world"],
            STEP_NAMES[row["when"]],
            count(row["n"]),
            "unknown" if math.isnan(row["test_size"]) else count(row["test_size"]),
            measure(row["error"], _rounding_interval(row)),
            "none" if row["whole"] else _digits(row["standard_error"]),
            _digits(row["seed_spread"]),
            _larger_source(row),
            _noise_note(row),
        )
        for row in table.to_dict("records")
        if table["test_size"].notna().any()
    ]
    numbers = ("seeds", "test samples", "test error", "noise of the test set", "spread over seeds")
    note = (
        "Test error: mean share of wrong labels. Noise of the test set: binomial standard error of one run's error, "
        "which more test samples would make smaller (at most this much where a sample has several labels). Spread: "
        "standard deviation over seeds, which includes that noise where every seed has its own test samples. Larger "
        f"source: of the variance over seeds, from {T_MIN} seeds; undecided where its 95 % interval holds one half."
    )
    columns = ("cell", "world", "at the", *numbers, "larger source", "note")
    return Table("Noise of the test set beside the spread over seeds", columns, rows, frozenset(numbers), note).filled


def gap_shares(comparison: Comparison) -> Table:
    """Share of the generalisation gap that is bootstrap error."""
    table = gap_table(comparison)
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            STEP_NAMES[row["when"]],
            f"{row['n']} of {row['pairs']}",
            measure(row["gap"]),
            measure(row["bootstrap_error"]),
            measure(row["share"], bounds_of(row)),
            _share_span(row),
            notes_of(row["note"], _share_note(row)),
        )
        for row in table[~table["negligible"].astype(bool)].to_dict("records")
    ]
    numbers = ("pairs", "generalisation gap", "bootstrap error", "share", "95 % interval")
    note = (
        f"Share: mean bootstrap error (real − ideal, {_metrics(table)}) over mean generalisation gap (test − train in "
        "the real world). At 1 the ideal world at the same step has no error above the real train error; at 0 it has "
        "all of the real test error, and the gap is not for want of samples. Signed, and may exceed 1. Fieller's "
        f"interval, from {T_MIN} pairs; “anything” where the gap itself may be 0." + _left_out(table, "the gap")
    )
    columns = ("cell", "at the", *numbers, "note")
    title = "Share of the generalisation gap that is bootstrap error"
    return Table(title, columns, rows, frozenset(numbers), note).filled


def predictions(comparison: Comparison) -> Table:
    """The ideal error at the stopping step as a prediction of the final real one, per cell and over cells."""
    table = prediction_table(comparison)
    several = table["metric"].nunique() > 1
    rows: list[tuple[str, ...]] = [
        (
            row["cell"] if row["unit"] == "pair" else _all_cells(row, several),
            f"{row['n']} of {plural(row['total'], row['unit'])}",
            measure(row["predicted"], bounds_of(row)),
            measure(row["actual"], bounds_of(row)),
            measure(row["error"], bounds_of(row)),
            _interval_span(row),
            measure(row["mean_absolute"], bounds_of(row)),
            _prediction_note(row),
        )
        for row in table.to_dict("records")
    ]
    numbers = ("n", "ideal at stopping", "real at the end", "difference", "95 % interval", "size of an error")
    note = (
        f"Mean {_metrics(table)}. Ideal at stopping: the ideal partner's test error at the step at which the real run "
        "has fitted its pool, as a prediction of the real run's last one. Difference: predicted − final, t interval, "
        f"from {T_MIN}; above 0 the real world ends better than predicted, as after grokking. Size of an error: mean "
        "of its absolute value. Over cells, each cell's means count once and the interval speaks of cells."
    )
    columns = ("cell", *numbers, "note")
    title = "Ideal error at the stopping step as a prediction of the final real error"
    return Table(title, columns, rows, frozenset(numbers), note).filled


def _all_cells(row: Row, several: bool) -> str:
    return f"all cells, {_words(row['metric'])}" if several else "all cells"


def _left_out(table: pd.DataFrame, what: str) -> str:
    """A sentence on the cells that a table leaves out, since their values are too small to be compared."""
    small = table[table["negligible"].astype(bool)]
    steps = [f"at the {name} in {plural(n, 'cell')}" for when, name in STEP_NAMES.items() if (n := _count(small, when))]
    return f" Left out, where {what} is below {NEGLIGIBLE:g}: {', '.join(steps)}." if steps else ""


def _count(table: pd.DataFrame, when: str) -> int:
    return int((table["when"] == when).sum())


def _pairing_note(row: Row) -> str:
    if row["n"] < CORRELATION_MIN - 2:
        return f"{plural(row['n'], 'pair')}: no correlation"
    if math.isnan(row["variance_ratio"]):
        return "neither world varies over seeds: nothing to compare"
    if row["variance_ratio"] == 0:
        return "differences do not vary: no number of unpaired seeds is as good"
    if math.isnan(row["correlation"]):
        return "one world does not vary over seeds: no correlation"
    return "" if row["n"] >= CORRELATION_MIN else f"{plural(row['n'], 'pair')}: no interval"


def _noise_note(row: Row) -> str:
    return notes_of(
        "the whole universe is tested" if row["whole"] else "",
        "no column gives the size of the test set" if math.isnan(row["test_size"]) else "",
        "" if row["own"] else "one test set for all seeds: its noise shifts them together",
        f"no wrong label: a true error up to {_digits(row['limit'])} cannot be told from 0"
        if not (math.isnan(row["limit"]) or row["whole"])
        else "",
        f"{plural(row['n'], 'seed')}: cannot be told" if row["n"] < T_MIN else "",
    )


def _larger_source(row: Row) -> str:
    if row["whole"] and row["seed_spread"] > 0:
        return "seeds"
    if math.isnan(row["low"]):
        return "–"
    return "seeds" if row["high"] < 0.5 else "test set" if row["low"] > 0.5 else "undecided"


def _share_note(row: Row) -> str:
    return f"{plural(row['n'], 'pair')}: no interval" if 0 < row["n"] < T_MIN else ""


def _share_span(row: Row) -> str:
    if math.isnan(row["excluded_low"]):
        return _interval_span(row)
    return f"anything but {span(Bounds(row['excluded_low'], row['excluded_high']))}"


def _prediction_note(row: Row) -> str:
    lost = row["total"] - row["n"]
    return notes_of(
        f"{lost} of {row['total']} without both values" if lost else "",
        f"{plural(row['n'], row['unit'])}: no interval" if 0 < row["n"] < T_MIN else "",
    )


def _correlation(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _seeds(seeds: float, n: int) -> str:
    """So many seeds instead of n."""
    if math.isnan(seeds):
        return "–"
    if math.isinf(seeds):
        return "∞"
    return f"more than {count(MANY)}" if seeds > MANY else f"{count(seeds)} instead of {n}"


def _rounding_interval(row: Row) -> Bounds | None:
    """Two standard errors of a mean over seeds to both sides, by which it is rounded."""
    reach = 2 * row["seed_spread"] / math.sqrt(row["n"])
    return Bounds(row["error"] - reach, row["error"] + reach) if reach > 0 else None


def _digits(value: float) -> str:
    """A spread, or a ratio of spreads, with two digits."""
    return "–" if math.isnan(value) else f"{value:.2g}"


def _interval_span(row: Row) -> str:
    bounds = bounds_of(row)
    return span(bounds) if bounds else "none"


def _words(metric: str) -> str:
    return str(metric).replace("_", " ")


def _metrics(table: pd.DataFrame) -> str:
    return " or ".join(map(_words, table["metric"].dropna().unique()))

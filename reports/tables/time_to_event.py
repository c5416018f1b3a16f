"""Tables of time to an event, as text: mean steps, ratios between worlds and cells, rank tests, incidences.

Every function maps a comparison to a table, without rows where the comparison has nothing to show.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.time_to_event import (
    equality_table,
    incidence_table,
    mean_table,
    ratio_table,
    time_ratio_table,
)
from deepboot.reports.statistics.intervals import T_MIN, Bounds, seeds_for_median
from deepboot.reports.tables.table import Table, bounds_of, notes_of
from deepboot.reports.text import EVENT_WORDS, count, estimate, known_to, measure, plural, span

P_MIN = 1e-3  # below it a p value's digits mean nothing
TYPICAL = "the median of the means of every two log ratios (Hodges and Lehmann)."
Row = Mapping[Any, Any]


def means(comparison: Comparison, event: str = "grokking") -> Table:
    """Restricted mean step and Weibull shape of every cell."""
    words = EVENT_WORDS[event]
    table = mean_table(comparison, event)
    budget = count(table["budget"].iloc[0]) if len(table) else ""
    rows: list[tuple[str, ...]] = [
        (
            row["cell"],
            f"{row['reached']} of {row['n']}",
            estimate((row["mean_low"], row["mean_high"]), whole=True),
            known_to((row["mean_low"], row["mean_high"])),
            "none" if math.isnan(row["low"]) else f"{count(row['low'])} to {count(row['high'])}",
            "–" if math.isnan(row["shape"]) else measure(row["shape"], bounds_of(row, "shape_")),
            span(bounds_of(row, "shape_")) if bounds_of(row, "shape_") else "none",
            _shape_kind(row),
            _mean_note(row, budget),
        )
        for row in table.to_dict("records")
    ]
    numbers = (f"{words.reached} by then", "mean step", "known to", "95 % interval", "shape", "interval of the shape")
    note = (
        f"Mean step: geometric mean of the {words.noun} steps, known between two evaluations; a run that takes "
        f"longer than {budget} steps, to which all were followed, counts as {budget}, so means of cells can be "
        "compared although some runs never got there. Interval: Student's t of log steps, or Gaffke's, which needs no "
        "normality, where runs are cut. Shape: of a Weibull law. Above 1, drift: the longer a run has trained, the "
        "likelier it gets there in the next step. At 1, escape by chance: as likely at every step. “Undecided” where "
        "the interval holds 1."
    )
    columns = ("cell", *numbers, "kind", "note")
    title = f"Mean {words.noun} step up to step {budget}, and shape"
    return Table(title, columns, rows, frozenset(numbers), note).filled


def time_ratios(comparison: Comparison, event: str = "grokking") -> Table:
    """Ratio of a real run's step to its ideal partner's, pair by pair."""
    words = EVENT_WORDS[event]
    rows = [
        (row["cell"], *_ratio(row, event, "ideal partner"))
        for row in time_ratio_table(comparison, event).to_dict("records")
    ]
    numbers = ("pairs", "over ideal", "known to", "95 % interval", "p")
    note = (
        f"Typical ratio of the {words.noun} steps of a pair: {TYPICAL} A claim's estimate is the median of the pairs' "
        f"ratios, and may differ. {_method_note()}"
    )
    title = f"How many times later {words.noun} comes than in the ideal world"
    return Table(title, ("cell", *numbers, "note"), rows, frozenset(numbers), note).filled


def ratios(comparison: Comparison, event: str = "grokking") -> Table:
    """Steps of every real cell over those of a reference cell, seed by seed."""
    words = EVENT_WORDS[event]
    table = ratio_table(comparison, event)
    reference = table["reference"].iloc[0] if len(table) else ""
    rows: list[tuple[str, ...]] = [(reference, "", "1", "", "", "", "reference")] if len(table) else []
    rows += [(row["cell"], *_ratio(row, event, "other cell")) for row in table.to_dict("records")]
    numbers = ("seeds", "ratio", "known to", "95 % interval", "p")
    note = (
        f"Typical ratio of a cell's {words.noun} steps to those of the reference with the same seed: {TYPICAL} "
        f"{_method_note()} "
        "Neither intervals nor p values are adjusted for the number of cells: a hypothesis is tested by a claim."
    )
    title = f"Ratio of {words.noun} steps to “{reference}”"
    return Table(title, ("cell", *numbers, "note"), rows, frozenset(numbers), note).filled


def equality(comparison: Comparison, event: str = "grokking") -> Table:
    """Log-rank tests over all real cells at once."""
    words = EVENT_WORDS[event]
    table = equality_table(comparison, event)
    rows: list[tuple[str, ...]] = [
        (
            "any difference (log-rank)" if row["test"] == "log-rank" else f"trend over {row['over']}",
            count(row["cells"]),
            count(row["n"]),
            _p(row["p"]),
            "" if row["test"] == "log-rank" or row["p"] > 1 - 1e-9 else "sooner" if row["sooner"] else "later",
            "" if math.isnan(row["low"]) else measure(row["exponent"], Bounds(row["low"], row["high"])),
            "" if math.isnan(row["low"]) else span(Bounds(row["low"], row["high"])),
            "exact" if row["exact"] else "by chi-squared",
        )
        for row in table.to_dict("records")
    ]
    rising = "as the setting rises"
    numbers = ("cells", "runs", "p", "exponent", "95 % interval")
    note = (
        f"p: how often cells that do not differ in {words.noun} would look as different by chance. Runs count as "
        "independent, so seeds that cells share make the tests cautious."
    )
    if table["low"].notna().any():
        note += " Exponent: of the step as a power of the setting, by regression of log on log; −1 halves the steps "
        note += "where the setting doubles."
    columns = ("test", "cells", "runs", "p", rising, "exponent", "95 % interval", "note")
    return Table(f"Do the cells differ in {words.noun}?", columns, rows, frozenset(numbers), note).filled


def incidence(comparison: Comparison, event: str = "grokking") -> Table:
    """Shares of every cell's runs that reached the event, broke or did neither, where some broke."""
    words = EVENT_WORDS[event]
    table = incidence_table(comparison, event)
    rows: list[tuple[str, ...]] = [
        (row["cell"], count(row["n"]), count(row["budget"]), *(_share(row, name) for name in SHARES))
        for row in table.to_dict("records")
    ]
    numbers = ("runs", "by step", words.reached, "diverged or failed", "neither")
    note = (
        f"Cumulative incidence: share of a cell's runs that had {words.reached}, that had diverged or failed before "
        "they did, and that had done neither, by the step up to which all were followed; with exact 95 % intervals."
    )
    title = f"What became of the runs: {words.reached}, diverged, neither"
    return Table(title, ("cell", *numbers), rows, frozenset(numbers), note).filled


SHARES = ("reached", "broken", "neither")


def _mean_note(row: Row, budget: str) -> str:
    if row["diverged"]:
        return f"{row['diverged']} of {row['n']} diverged or failed: counted as {budget}, and no shape"
    if row["n"] < T_MIN:
        return f"{plural(row['n'], 'run')}: no interval"
    if math.isnan(row["shape_low"]) and not math.isnan(row["shape"]):
        return "too few got there for an interval of the shape"
    return "" if not row["reason"] else f"no shape: {row['reason'][0].lower()}{row['reason'][1:].rstrip('.')}"


def _ratio(row: Row, event: str, other: str) -> tuple[str, ...]:
    """Pairs, ratio, interval, p and note."""
    never, owner = EVENT_WORDS[event].never, "its" if row["alone"] == 1 else "their"
    notes = notes_of(
        f"{row['censored']} of {row['n']} with a run that {never}" if row["censored"] else "",
        f"{row['diverged']} of {row['n']} with a run that diverged or failed before" if row["diverged"] else "",
        f"{plural(row['alone'], 'run')} without {owner} {other}" if row["alone"] else "",
        "" if row["paired"] else "p of unpaired runs",
        _few_pairs_note(row["n"]),
    )
    ends, p = Bounds(row["ratio_low"], row["ratio_high"]), _p(row["p"]) if row["n"] != 1 else "–"
    ratio = _ratio_text(ends, "–", "unknown", lambda known: estimate(known, bounds_of(row)))
    interval = _ratio_text(Bounds(row["low"], row["high"]), "none", "anything", span)
    return count(row["n"]), ratio, known_to(ends), interval, p, notes


def _few_pairs_note(n: int) -> str:
    """A note on the interval and p value that so few pairs cannot have."""
    if n == 1:
        return "1 pair: neither interval nor test"
    if not 1 < n < seeds_for_median():
        return ""
    return f"{plural(n, 'pair')}: no interval, and p is at least {_p(2.0 ** (1 - n))}"


def _ratio_text(bounds: Bounds, without: str, everything: str, written: Callable[[Bounds], str]) -> str:
    """A ratio of steps by its bounds; infinite where a run never reached the event."""
    low, high = bounds
    if math.isnan(low):
        return without
    if math.isinf(low) or high == 0:
        return "∞" if math.isinf(low) else "0"
    if low == 0:
        return everything if math.isinf(high) else f"at most {measure(high)}"
    return written(bounds)


def _shape_kind(row: Row) -> str:
    if math.isnan(row["shape_low"]):
        return ""
    return "drift" if row["shape_low"] > 1 else "soon or never" if row["shape_high"] < 1 else "undecided"


def _share(row: Row, name: str) -> str:
    share, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{share:.0f} % ({low:.0f} to {high:.0f} %)"


def _p(value: float) -> str:
    return f"< {P_MIN:g}" if value < P_MIN else f"{value:.2g}"


def _method_note() -> str:
    return (
        "Interval: the signed-rank test inverted, from 6 pairs, with the bounds of steps carried through; the sign "
        "test where a run diverged. p: log-rank test within pairs, in which a run that never got there counts as later."
    )

"""When runs memorise, grok and stop: counts, medians that respect censoring, and the grokking delay.

A step is known to lie between two evaluations, or beyond the budget. A run that never reached an event
ranks last, a run that diverged or failed before it ranks behind that one; none is dropped and none imputed. Every
step is in the unit of the comparison's axis: of ``comparison.over("samples")`` the tables are in samples seen.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.after_grokking import after_grokking_by_run
from deepboot.reports.statistics.intervals import UNKNOWN, median_bounds, median_interval, seeds_for_median
from deepboot.reports.statistics.survival import BROKEN, OUTCOMES
from deepboot.reports.text import EVENT_WORDS, EVENTS, plural

RULE = {"threshold": 0.99, "streak": 3}  # of events, where the table of runs has no columns for it


def event_bounds(runs: pd.DataFrame, event: str) -> pd.DataFrame:
    """Outcome of an event in every run, with bounds of its step that can be ranked.

    Args:
        runs: rows of ``runs``.
        event: "memorization", "grokking", "stable" (grokking from which the run does not fall again) or "stopping".

    Returns:
        with the index of ``runs``: ``outcome`` (reached, censored, diverged, failed; null where not measured),
        ``low`` and ``high``. Reached: between two evaluations, from step 0 where the first evaluation was
        enough. Censored: from the last evaluation to infinity. Diverged or failed before: infinite at both
        ends. Not measured: NaN. What is stable so far in a run under way may still end, so it counts as censored.
    """
    assert event in EVENTS
    low, high = (runs[f"{event}_{end}"].to_numpy(dtype=float, na_value=np.nan) for end in ("low", "high"))
    status = runs["status"].to_numpy(dtype=object, na_value="finished")
    reached, broken = np.isfinite(high), np.isin(status, BROKEN)
    unmeasured = np.isnan(low) & ~reached & ~broken
    if event == "stopping":
        unmeasured |= (runs["world"] == "ideal").to_numpy(dtype=bool, na_value=False)
    if event == "stable":
        reached &= status != "unfinished"
        unmeasured |= not np.isfinite([low, high]).any()  # the tables are older than this event
    outcome = np.where(reached, "reached", np.where(broken, status, "censored")).astype(object)
    outcome[unmeasured] = None
    low = np.where(reached, np.nan_to_num(low), np.where(broken, np.inf, low))
    high = np.where(reached, high, np.inf)
    low[unmeasured] = high[unmeasured] = np.nan
    return pd.DataFrame({"outcome": outcome, "low": low, "high": high}, index=runs.index)


def step_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Memorisation, grokking and stopping steps, one row per cell, world and event.

    Stable grokking has a row where it differs from grokking in some run: one fell below the threshold again.

    Returns:
        ``cell_id, cell, world, event, n`` (runs), ``reached, censored, diverged, failed`` (counts that sum to
        n), ``median_low, median_high`` (bounds of the sample median; infinite: not reached), ``low, high``
        (distribution-free interval of the median, NaN where there are too few seeds; infinite: open),
        ``first, last`` (range over seeds), ``budget`` (steps; the shortest of the censored runs)
        and ``note``. Events that a world does not have are
        left out.
    """
    rows: list[dict[str, Any]] = []
    for key, runs in _by_cell(comparison.runs):
        for event in EVENTS:
            bounds = event_bounds(runs, event).dropna(subset="outcome")
            if len(bounds) and not (event == "stable" and bounds.equals(event_bounds(runs, "grokking"))):
                rows.append(key | {"event": event} | _step_summary(bounds, runs, event, confidence))
    return pd.DataFrame(rows)


def event_times(comparison: Comparison) -> pd.DataFrame:
    """Every run's events, one row per run.

    Returns:
        ``run_id, cell_id, cell, world, seed, status``, and for each event ``…_outcome, …_low, …_high`` as in
        `event_bounds`.
    """
    table = comparison.runs[["run_id", *CELL, "seed", "status"]].copy()
    for event in EVENTS:
        table[[f"{event}_outcome", f"{event}_low", f"{event}_high"]] = event_bounds(comparison.runs, event)
    return table


def run_times(comparison: Comparison) -> pd.DataFrame:
    """Every run's events, grokking delay, relapses and transition width, one row per run.

    Returns:
        the columns of `event_times`, then ``delay_ratio_low, delay_ratio_high`` (grokking step over memorisation
        step), ``delay_low, delay_high`` (their difference, in steps), ``relapses`` (count) and ``transition_width``
        (steps, NaN if never grokked). Nothing is known of the delay of a run that diverged or failed before
        grokking: its bounds are 0 and infinity.
    """
    runs, table = comparison.runs, event_times(comparison)
    table[["delay_ratio_low", "delay_ratio_high"]] = ratio_bounds(runs, runs)
    table[["delay_low", "delay_high"]] = _difference(runs)
    return table.join(_after_grokking(comparison).set_index("run_id"), on="run_id")


def delay_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Grokking delay, relapses and transition widths, one row per cell and world.

    Returns:
        ``cell_id, cell, world, n, ratio_low, ratio_high`` (bounds of the median of grokking step over memorisation
        step), ``low, high`` (distribution-free interval of that median), ``difference_low, difference_high`` (bounds
        of the median difference, steps), ``grokked`` (runs), ``relapsed`` (runs), ``relapses`` (falls), ``width``
        (median transition width, steps), ``width_low, width_high`` (its range over seeds) and ``note``.
    """
    times = run_times(comparison)
    return pd.DataFrame([key | _delay_summary(cell, confidence) for key, cell in _by_cell(times)])


def ratio_bounds(
    above: pd.DataFrame, below: pd.DataFrame, over: str = "memorization", event: str = "grokking"
) -> pd.DataFrame:
    """Bounds of an event's step in one set of runs over the step of one in another, row by row: ``low, high``.

    A censored run's bound is carried through (> 4,000 over 100–200 is above 20). Both ends are open (0 and
    infinity) where a run diverged or failed before its event, both are censored, or the lower event was there at
    step 0, over which nothing has a ratio.

    Args:
        above: runs with the steps of ``event`` in the numerator.
        below: as many runs, with the steps of the event ``over`` in the denominator.
    """
    top_low, top_high = _known_bounds(above, event).to_numpy().T
    bottom_low, bottom_high = _known_bounds(below, over).to_numpy().T
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where((top_low == 0) | (bottom_high == 0) | np.isinf(bottom_high), 0, top_low / bottom_high)
        high = np.where(np.isinf(top_high) | (bottom_low == 0), np.inf, top_high / bottom_low)
    unknown = np.isnan(top_low) | np.isnan(bottom_low)
    low[unknown] = high[unknown] = np.nan
    return pd.DataFrame({"low": low, "high": high}, index=above.index)


def _known_bounds(runs: pd.DataFrame, event: str) -> pd.DataFrame:
    """Bounds of an event's step, [0, inf] where a run diverged or failed before it."""
    bounds = event_bounds(runs, event)
    bounds.loc[bounds["outcome"].isin(BROKEN), "low"] = 0.0
    return bounds[["low", "high"]]


def waits(runs: pd.DataFrame, event: str = "grokking", since: str = "memorization") -> pd.DataFrame:
    """Bounds of the steps from memorisation, or from the start, to an event: ``low, high``, low at least 0.

    Open at both ends where a run diverged or failed before the event.
    """
    if since == "start":
        return _known_bounds(runs, event)
    table = _difference(runs, event)
    return table.assign(low=table["low"].clip(lower=0.0))


def _difference(runs: pd.DataFrame, event: str = "grokking") -> pd.DataFrame:
    top, bottom = _known_bounds(runs, event), _known_bounds(runs, "memorization")
    return pd.DataFrame({"low": top["low"] - bottom["high"], "high": top["high"] - bottom["low"]}, index=runs.index)


def _after_grokking(comparison: Comparison) -> pd.DataFrame:
    """``run_id, relapses, transition_width`` of every run."""
    runs = comparison.runs[["run_id"]].assign(**{name: _rule(comparison.runs, name) for name in RULE})
    return after_grokking_by_run(comparison.evaluations, runs)


def _rule(runs: pd.DataFrame, name: str) -> pd.Series:
    """The rule of events of every run: its setting, else the default."""
    held = runs.get(f"evaluation.{name}", pd.Series(pd.NA, index=runs.index))
    return held.astype("Float64").fillna(RULE[name]).astype(float)


def _by_cell(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    for values, rows in table.groupby(CELL, sort=False, dropna=False):
        yield dict(zip(CELL, values, strict=True)), rows


def _step_summary(bounds: pd.DataFrame, runs: pd.DataFrame, event: str, confidence: float) -> dict[str, Any]:
    counts = {outcome: int((bounds["outcome"] == outcome).sum()) for outcome in OUTCOMES}
    median = median_bounds(bounds["low"], bounds["high"]) or UNKNOWN
    interval = median_interval(bounds["low"], bounds["high"], confidence) or UNKNOWN
    censored = bounds.loc[bounds["outcome"] == "censored", "low"]
    budget = censored.min() if len(censored) else runs["max_steps"].fillna(runs["last_step"]).min()
    return {
        "n": len(bounds),
        **counts,
        "median_low": median.low,
        "median_high": median.high,
        "low": interval.low,
        "high": interval.high,
        "first": bounds["low"].min(),
        "last": bounds["high"].max(),
        "budget": float(budget),
        "note": "; ".join(_step_notes(counts, len(bounds), len(runs), event, confidence)),
    }


def _step_notes(counts: dict[str, int], n: int, runs: int, event: str, confidence: float) -> Iterator[str]:
    if counts["censored"]:
        yield f"{counts['censored']} of {n} {EVENT_WORDS[event].never}"
    for outcome in BROKEN:
        if counts[outcome]:
            yield f"{counts[outcome]} of {n} {outcome} before"
    if runs > n:
        yield f"{runs - n} not measured"
    if n < seeds_for_median(confidence):
        yield f"{plural(n, 'seed')}: no interval"


def _delay_summary(times: pd.DataFrame, confidence: float) -> dict[str, Any]:
    known = times.dropna(subset=["delay_ratio_low"])
    ratio = median_bounds(known["delay_ratio_low"], known["delay_ratio_high"]) or UNKNOWN
    interval = median_interval(known["delay_ratio_low"], known["delay_ratio_high"], confidence) or UNKNOWN
    difference = median_bounds(known["delay_low"], known["delay_high"]) or UNKNOWN
    grokked = times["grokking_outcome"] == "reached"
    widths = times["transition_width"].dropna()
    return {
        "n": len(known),
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
        "low": interval.low,
        "high": interval.high,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "grokked": int(grokked.sum()),
        "relapsed": int((times["relapses"] > 0).sum()),
        "relapses": int(times["relapses"].sum()),
        "width": widths.median() if len(widths) else np.nan,
        "width_low": widths.min(),
        "width_high": widths.max(),
        "note": "; ".join(_delay_notes(times, known, confidence)),
    }


def _delay_notes(times: pd.DataFrame, known: pd.DataFrame, confidence: float) -> Iterator[str]:
    censored = int((known["grokking_outcome"] == "censored").sum())
    broken = int(known["grokking_outcome"].isin(BROKEN).sum())
    if censored:
        yield f"{censored} of {len(known)} never grokked"
    if broken:
        yield f"{broken} of {len(known)} diverged or failed: delay unknown, open at both ends"
    if len(times) > len(known):
        yield f"{len(times) - len(known)} not measured"
    if len(known) < seeds_for_median(confidence):
        yield f"{plural(len(known), 'seed')}: no interval"

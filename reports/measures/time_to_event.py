"""Cells compared in time: mean log steps, shapes, ratios and rank tests of an event, and what became of the runs.

A cell's runs are one arm. Runs of one seed share data and first weights across cells, so arms are compared in pairs
of seeds where they have them. Nothing is imputed: steps go in as bounds, and a run that diverged as one that never
reaches the event.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import CELL, KEY, varied
from deepboot.reports.comparison import BROKEN, Comparison
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.agreement import power_law
from deepboot.reports.statistics.intervals import UNKNOWN, clopper_pearson
from deepboot.reports.statistics.log_rank import log_rank, paired_log_rank, trend
from deepboot.reports.statistics.ratio import paired_ratio, weibull_shape
from deepboot.reports.statistics.survival import cumulative_incidence, restricted_mean_log_step

LEAST_ORDERED = 3  # arms that make a trend; two are a difference
RATIO = ["n", "ratio_low", "ratio_high", "low", "high", "p", "paired", "censored", "diverged", "alone"]


def mean_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Restricted mean of the log step and shape of the step's distribution, one row per cell that measures the event.

    Returns:
        ``cell_id, cell, world, n`` (runs), ``budget`` (steps, common to all cells: where the first censored run ends,
        else the longest budget), ``reached`` (runs, by the budget), ``diverged`` (runs, or failed), ``mean_low,
        mean_high`` (bounds of the geometric mean step, each step cut at the budget), ``low, high`` (its interval, NaN
        below 3 runs), ``shape`` (of a Weibull law of the steps, not cut), ``shape_low, shape_high`` and ``reason`` (why
        there is no shape; empty if there is).
    """
    groups = list(_groups(comparison, event))
    budget = _budget([runs for _, runs in groups])
    rows = [
        key | {"n": len(runs), "budget": budget} | _mean(runs, budget, confidence) | _shape(runs, confidence)
        for key, runs in groups
        if budget > 1
    ]
    measures = ["reached", "diverged", "mean_low", "mean_high", "low", "high", "shape", "shape_low", "shape_high"]
    return pd.DataFrame(rows, columns=[*CELL, "n", "budget", *measures, "reason"])


def ratio_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Steps of every real cell over those of the reference, seed by seed; no row below two cells.

    The reference is the first cell whose world is plainly real, or the first where every world has another rule.

    Returns:
        one row per cell but the reference: ``cell_id, cell, world, reference`` (its label), ``n`` (seeds that both
        have), ``ratio_low, ratio_high`` (bounds of the typical ratio, infinite: not reached), ``low, high`` (interval
        by the signed-rank test, or the sign test where a run diverged), ``p`` (of alike arms, log-rank: within pairs,
        or over all runs without a common seed), ``paired`` (which of the two), ``censored, diverged`` (pairs with such
        a run) and ``alone`` (runs without the other of their seed).
    """
    arms = _arms(comparison, event)
    if not arms:
        return pd.DataFrame(columns=[*CELL, "reference", *RATIO])
    first, reference = arms[0]
    rows = [
        key | {"reference": first["cell"]} | _against(runs, reference.set_index("seed"), confidence)
        for key, runs in arms[1:]
    ]
    return pd.DataFrame(rows, columns=[*CELL, "reference", *RATIO])


def slowdown_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Steps of every real cell over those of its ideal partners, pair by pair.

    Returns:
        one row per cell: ``cell_id, cell, world``, then as in `ratio_table` from ``n``.
    """
    bounds = _bounds(comparison, event).set_index("run_id")
    rows = []
    for key, pairs in comparison.pairs().groupby(CELL, sort=False, dropna=False):
        real = bounds.reindex(pairs["run_id"]).assign(pair=pairs["ideal_run_id"].to_numpy()).dropna(subset="outcome")
        ideal = bounds.reindex(real["pair"].unique()).dropna(subset="outcome").rename_axis("pair")
        if len(real) and len(ideal):
            rows.append(dict(zip(CELL, key, strict=True)) | _against(real, ideal, confidence, on="pair"))
    return pd.DataFrame(rows, columns=[*CELL, *RATIO])


def alike_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Log-rank tests over all real cells at once; no row below two cells.

    Returns:
        ``test`` (log-rank; trend where at least three cells differ in one numeric setting only), ``over`` (that
        setting), ``cells, n`` (runs), ``p``, ``exact``, ``sooner`` (whether runs reach the event sooner as the setting
        rises), ``exponent, low, high`` (of the step as a power of it, with its interval; NaN where it is not positive).
        Both tests take runs as independent, so seeds that cells share make them cautious.
    """
    arms = _arms(comparison, event)
    columns = ["test", "over", "cells", "n", "p", "exact", "sooner", "exponent", "low", "high"]
    if len(arms) < 2:
        return pd.DataFrame(columns=columns)
    ends = {str(place): (runs["low"], runs["high"]) for place, (_, runs) in enumerate(arms)}
    sizes: dict[str, Any] = {"cells": len(arms), "n": sum(len(runs) for _, runs in arms)}
    found = log_rank(ends)
    rows = [sizes | {"test": "log-rank", "over": "", "p": found.p_value, "exact": found.exact}]
    over, places = _order(comparison, [key for key, _ in arms])
    if over:
        scores = np.log(places) if min(places) > 0 else np.array(places)
        found = trend(ends, dict(zip(ends, scores.tolist(), strict=True)))
        tested = {"p": found.p_value, "exact": found.exact, "sooner": found.statistic > 0}
        rows.append(sizes | {"test": "trend", "over": over} | tested | _exponent(arms, places, confidence))
    return pd.DataFrame(rows, columns=columns)


def incidence_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """What had become of each cell's runs by its budget; no row unless some run diverged or failed.

    The budget of a cell is where its first censored run ends, so that no run is lost sight of before it: cumulative
    incidences are then shares, and their intervals Clopper and Pearson's.

    Returns:
        ``cell_id, cell, world, n`` (runs), ``budget`` (steps), and for ``reached``, ``broken`` (diverged or failed
        before) and ``neither`` the share, ``…_low`` and ``…_high``.
    """
    groups = list(_groups(comparison, event))
    if not any(runs["outcome"].isin(BROKEN).any() for _, runs in groups):
        return pd.DataFrame(columns=[*CELL, "n", "budget"])
    return pd.DataFrame([key | {"n": len(runs)} | _incidence(runs, confidence) for key, runs in groups])


def _bounds(comparison: Comparison, event: str) -> pd.DataFrame:
    """All runs with ``outcome, low, high`` of the event."""
    bounds = event_bounds(comparison.runs, event)
    return comparison.runs[["run_id", *CELL, "seed", "max_steps", "last_step"]].join(bounds)


def _groups(comparison: Comparison, event: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Runs of every cell that measure the event."""
    measured = _bounds(comparison, event).dropna(subset="outcome")
    for values, runs in measured.groupby(CELL, sort=False, dropna=False):
        yield dict(zip(CELL, values, strict=True)), runs


def _arms(comparison: Comparison, event: str) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Real cells that measure the event, the reference first."""
    arms = [(key, runs) for key, runs in _groups(comparison, event) if key["world"] != "ideal"]
    place = next((place for place, (key, _) in enumerate(arms) if key["world"] == "real"), 0)
    return [*arms[place : place + 1], *arms[:place], *arms[place + 1 :]]


def _budget(groups: list[pd.DataFrame]) -> float:
    """The step up to which all runs were followed: where the first censored one ends, else the longest budget."""
    runs = pd.concat(groups) if groups else pd.DataFrame({"outcome": [], "low": [], "max_steps": [], "last_step": []})
    censored = runs.loc[runs["outcome"] == "censored", "low"]
    longest = runs["max_steps"].fillna(runs["last_step"]).max()
    return float(censored.min() if len(censored) else 0 if pd.isna(longest) else longest)


def _mean(runs: pd.DataFrame, budget: float, confidence: float) -> dict[str, Any]:
    found = restricted_mean_log_step(runs["low"], runs["high"], budget, confidence)
    assert found is not None  # a group has runs
    ends = (*found.estimate, *(found.interval or UNKNOWN))
    steps = dict(zip(("mean_low", "mean_high", "low", "high"), np.exp(ends).tolist(), strict=True))
    return {"reached": found.reached, "diverged": int(runs["outcome"].isin(BROKEN).sum())} | steps


def _shape(runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    found = weibull_shape(runs["low"], runs["high"], confidence)
    low, high = found.interval or UNKNOWN
    return {"shape": found.estimate, "shape_low": low, "shape_high": high, "reason": found.reason}


def _against(top: pd.DataFrame, bottom: pd.DataFrame, confidence: float, on: str = "seed") -> dict[str, Any]:
    """One arm's runs over another's, which are indexed by what pairs them."""
    pairs = top.merge(bottom[["low", "high"]], left_on=on, right_index=True, suffixes=("", "_below"))
    both = (pairs["low"], pairs["high"]), (pairs["low_below"], pairs["high_below"])
    found = paired_ratio(*both[0], *both[1], confidence)
    paired = found.n > 0
    everyone = {"top": (top["low"], top["high"]), "bottom": (bottom["low"], bottom["high"])}
    p = (paired_log_rank(*both) if paired else log_rank(everyone)).p_value
    (ratio_low, ratio_high), (low, high) = found.estimate or UNKNOWN, found.interval or UNKNOWN
    alone = len(top) + len(bottom) - 2 * found.n
    values = (found.n, ratio_low, ratio_high, low, high, p, paired, found.censored, found.diverged, alone)
    return dict(zip(RATIO, values, strict=True))


def _order(comparison: Comparison, keys: list[dict[str, Any]]) -> tuple[str, list[float]]:
    """The one numeric setting that sets the cells apart and its values; no name where there is none."""
    first = comparison.runs.drop_duplicates(KEY).set_index(KEY, drop=False)
    cells = first.loc[[(key["cell_id"], key["world"]) for key in keys]].reset_index(drop=True)
    names = [] if cells["world"].nunique() > 1 else varied(cells)
    if len(names) != 1 or len(cells) < LEAST_ORDERED:
        return "", []
    values = cells[names[0]]
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values) or values.isna().any():
        return "", []
    return names[0], values.astype(float).tolist()


def _exponent(arms: list[tuple[dict[str, Any], pd.DataFrame]], places: list[float], confidence: float) -> Any:
    if min(places) <= 0:
        return {}
    runs = pd.concat([runs.assign(place=place) for place, (_, runs) in zip(places, arms, strict=True)])
    low = runs["low"].where(np.isfinite(runs["low"]), 0)  # of a run that diverged nothing is known
    found = power_law(runs["place"], low, runs["high"].clip(lower=1), confidence)
    return {"exponent": found.slope, "low": found.interval.low, "high": found.interval.high}


def _incidence(runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    budget = _budget([runs])
    ended = runs["last_step"].astype(float).fillna(0)
    table = cumulative_incidence(runs["low"], runs["high"], runs["outcome"], ended)
    last = table[table["step"] <= budget].iloc[-1]
    found: dict[str, Any] = {"budget": budget}
    for name, column in (("reached", "reached"), ("broken", "diverged"), ("neither", "survival")):
        number = round(last[column] * len(runs))
        assert math.isclose(number, last[column] * len(runs), abs_tol=1e-6)  # nobody is censored before the budget
        low, high = clopper_pearson(number, len(runs), confidence)
        found |= {name: number / len(runs), f"{name}_low": low, f"{name}_high": high}
    return found

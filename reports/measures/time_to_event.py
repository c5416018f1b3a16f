"""The time to an event, compared between cells: mean log steps, shapes, ratios, rank tests and incidences.

Each cell's runs are one group. Runs of one seed share data and first weights across cells, so groups are compared in
pairs of seeds where they share seeds. Nothing is imputed: a step is known by its bounds, and a run that diverged never
reaches the event.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import CELL, KEY, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import UNKNOWN, clopper_pearson
from deepboot.reports.statistics.log_rank import log_rank, paired_log_rank, trend
from deepboot.reports.statistics.ratio import paired_ratio, weibull_shape
from deepboot.reports.statistics.scaling import power_law
from deepboot.reports.statistics.survival import BROKEN, cumulative_incidence, restricted_mean_log_step

LEAST_ORDERED = 3  # groups that make a trend; two are a difference
RATIO = ["n", "ratio_low", "ratio_high", "low", "high", "p", "paired", "censored", "diverged", "alone"]


def mean_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Restricted mean log step and Weibull shape, one row per cell that measures the event.

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
    """Ratio of every real cell's steps to the reference's, seed by seed; no row below two cells.

    The reference is the first cell of the real world, or the first cell where every world has another rule.

    Returns:
        one row per cell but the reference: ``cell_id, cell, world, reference`` (its label), ``n`` (seeds that both
        have), ``ratio_low, ratio_high`` (bounds of the typical ratio, infinite: not reached), ``low, high`` (interval
        by the signed-rank test, or the sign test where a run diverged), ``p`` (of equal groups, log-rank: within pairs,
        or over all runs without a common seed), ``paired`` (which of the two), ``censored, diverged`` (pairs with such
        a run) and ``alone`` (runs without the other of their seed).
    """
    groups = _real_groups(comparison, event)
    if not groups:
        return pd.DataFrame(columns=[*CELL, "reference", *RATIO])
    first, reference = groups[0]
    rows = [
        key | {"reference": first["cell"]} | _ratio(runs, reference.set_index("seed"), confidence)
        for key, runs in groups[1:]
    ]
    return pd.DataFrame(rows, columns=[*CELL, "reference", *RATIO])


def time_ratio_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Ratio of every real cell's steps to its ideal partners', pair by pair.

    Returns:
        one row per cell: ``cell_id, cell, world``, then as in `ratio_table` from ``n``.
    """
    bounds = _bounds(comparison, event).set_index("run_id")
    rows = []
    for key, pairs in comparison.pairs().groupby(CELL, sort=False, dropna=False):
        real = bounds.reindex(pairs["run_id"]).assign(pair=pairs["ideal_run_id"].to_numpy()).dropna(subset="outcome")
        ideal = bounds.reindex(real["pair"].unique()).dropna(subset="outcome").rename_axis("pair")
        if len(real) and len(ideal):
            rows.append(dict(zip(CELL, key, strict=True)) | _ratio(real, ideal, confidence, on="pair"))
    return pd.DataFrame(rows, columns=[*CELL, *RATIO])


def equality_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Log-rank tests of equality over all real cells at once; no row below two cells.

    Returns:
        ``test`` (log-rank; trend where at least three cells differ in one numeric setting only), ``over`` (that
        setting), ``cells, n`` (runs), ``p``, ``exact``, ``sooner`` (whether runs reach the event sooner as the setting
        rises), ``exponent, low, high`` (of the step as a power of it, with its interval; NaN where it is not positive).
        Both tests take runs as independent, so seeds that cells share make them cautious.
    """
    groups = _real_groups(comparison, event)
    columns = ["test", "over", "cells", "n", "p", "exact", "sooner", "exponent", "low", "high"]
    if len(groups) < 2:
        return pd.DataFrame(columns=columns)
    bounds = {str(index): (runs["low"], runs["high"]) for index, (_, runs) in enumerate(groups)}
    sizes: dict[str, Any] = {"cells": len(groups), "n": sum(len(runs) for _, runs in groups)}
    test = log_rank(bounds)
    rows = [sizes | {"test": "log-rank", "over": "", "p": test.p_value, "exact": test.exact}]
    over, values = _ordered_setting(comparison, [key for key, _ in groups])
    if over:
        scores = np.log(values) if min(values) > 0 else np.array(values)
        test = trend(bounds, dict(zip(bounds, scores.tolist(), strict=True)))
        tested = {"p": test.p_value, "exact": test.exact, "sooner": test.statistic > 0}
        rows.append(sizes | {"test": "trend", "over": over} | tested | _exponent(groups, values, confidence))
    return pd.DataFrame(rows, columns=columns)


def incidence_table(comparison: Comparison, event: str = "grokking", confidence: float = 0.95) -> pd.DataFrame:
    """Shares of each cell's runs that reached the event, broke or did neither by its budget; no row if none broke.

    The budget of a cell is where its first censored run ends, so that every run is followed up to it: cumulative
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


def _real_groups(comparison: Comparison, event: str) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups of the real cells that measure the event, the reference first."""
    groups = [(key, runs) for key, runs in _groups(comparison, event) if key["world"] != "ideal"]
    first = next((index for index, (key, _) in enumerate(groups) if key["world"] == "real"), 0)
    return [*groups[first : first + 1], *groups[:first], *groups[first + 1 :]]


def _budget(groups: list[pd.DataFrame]) -> float:
    """The step up to which every run was followed: the end of the first censored one, else the longest budget."""
    runs = pd.concat(groups) if groups else pd.DataFrame({"outcome": [], "low": [], "max_steps": [], "last_step": []})
    censored = runs.loc[runs["outcome"] == "censored", "low"]
    longest = runs["max_steps"].fillna(runs["last_step"]).max()
    return float(censored.min() if len(censored) else 0 if pd.isna(longest) else longest)


def _mean(runs: pd.DataFrame, budget: float, confidence: float) -> dict[str, Any]:
    mean = restricted_mean_log_step(runs["low"], runs["high"], budget, confidence)
    assert mean is not None  # a group has runs
    log_steps = (*mean.estimate, *(mean.interval or UNKNOWN))
    steps = dict(zip(("mean_low", "mean_high", "low", "high"), np.exp(log_steps).tolist(), strict=True))
    return {"reached": mean.reached, "diverged": int(runs["outcome"].isin(BROKEN).sum())} | steps


def _shape(runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    shape = weibull_shape(runs["low"], runs["high"], confidence)
    low, high = shape.interval or UNKNOWN
    return {"shape": shape.estimate, "shape_low": low, "shape_high": high, "reason": shape.reason}


def _ratio(top: pd.DataFrame, bottom: pd.DataFrame, confidence: float, on: str = "seed") -> dict[str, Any]:
    """Ratio of the steps of one group to another's, paired by the column ``on`` and the second table's index."""
    pairs = top.merge(bottom[["low", "high"]], left_on=on, right_index=True, suffixes=("", "_below"))
    numerator, denominator = (pairs["low"], pairs["high"]), (pairs["low_below"], pairs["high_below"])
    ratio = paired_ratio(*numerator, *denominator, confidence)
    paired = ratio.n > 0
    all_runs = {"top": (top["low"], top["high"]), "bottom": (bottom["low"], bottom["high"])}
    p = (paired_log_rank(numerator, denominator) if paired else log_rank(all_runs)).p_value
    (ratio_low, ratio_high), (low, high) = ratio.estimate or UNKNOWN, ratio.interval or UNKNOWN
    alone = len(top) + len(bottom) - 2 * ratio.n
    values = (ratio.n, ratio_low, ratio_high, low, high, p, paired, ratio.censored, ratio.diverged, alone)
    return dict(zip(RATIO, values, strict=True))


def _ordered_setting(comparison: Comparison, keys: list[dict[str, Any]]) -> tuple[str, list[float]]:
    """The one numeric setting in which the cells differ, and its values; an empty name where there is none."""
    first = comparison.runs.drop_duplicates(KEY).set_index(KEY, drop=False)
    cells = first.loc[[(key["cell_id"], key["world"]) for key in keys]].reset_index(drop=True)
    names = [] if cells["world"].nunique() > 1 else varied(cells)
    if len(names) != 1 or len(cells) < LEAST_ORDERED:
        return "", []
    values = cells[names[0]]
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values) or values.isna().any():
        return "", []
    return names[0], values.astype(float).tolist()


def _exponent(
    groups: list[tuple[dict[str, Any], pd.DataFrame]], values: list[float], confidence: float
) -> dict[str, float]:
    """Exponent of the step as a power of the setting; empty where a value is not positive."""
    if min(values) <= 0:
        return {}
    runs = pd.concat([runs.assign(value=value) for value, (_, runs) in zip(values, groups, strict=True)])
    low = runs["low"].where(np.isfinite(runs["low"]), 0)  # the regression knows nothing of a run that diverged
    law = power_law(runs["value"], low, runs["high"].clip(lower=1), confidence)
    return {"exponent": law.slope, "low": law.interval.low, "high": law.interval.high}


def _incidence(runs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    budget = _budget([runs])
    ended = runs["last_step"].astype(float).fillna(0)
    table = cumulative_incidence(runs["low"], runs["high"], runs["outcome"], ended)
    last = table[table["step"] <= budget].iloc[-1]
    shares: dict[str, Any] = {"budget": budget}
    for name, column in (("reached", "reached"), ("broken", "diverged"), ("neither", "survival")):
        number = round(last[column] * len(runs))
        assert math.isclose(number, last[column] * len(runs), abs_tol=1e-6)  # no run is censored before the budget
        low, high = clopper_pearson(number, len(runs), confidence)
        shares |= {name: number / len(runs), f"{name}_low": low, f"{name}_high": high}
    return shares

"""The ideal world as a prediction of the real one: its share of the generalisation gap, and of the final error.

The gap of a real run, test minus train, is the sum of two parts: its ideal partner's test error at the same step
above the train error, and the bootstrap error. Deep Bootstrap's hope is that the second part is small, and that the
ideal error at the step where the real world has fitted its pool is the error at which the real world ends.
"""

from typing import Any

import pandas as pd

from deepboot.reports.at_step import missing_values
from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.pairing import NEGLIGIBLE, by_cell
from deepboot.reports.statistics.intervals import UNKNOWN
from deepboot.reports.statistics.prediction import explained_share, prediction_error


def gap_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Share of the generalisation gap that is bootstrap error, one row per cell at the stopping step and at the end.

    Returns:
        ``cell_id, cell, world, when, metric, pairs, n`` (pairs with both), the means ``gap, bootstrap_error``,
        ``share`` (NaN where the gap is below 0.001 in size), ``low, high`` (Fieller's interval, NaN below 3 pairs and
        without a share; infinite at both ends where the gap may be 0), ``excluded_low, excluded_high`` (the values that
        an open interval rules out), ``negligible`` (whether the gap is that small) and ``note``.
    """
    rows = [
        key | {"when": when, "pairs": len(pairs)} | _share(pairs, confidence) | {"note": missing_values(pairs, when)}
        for when, key, pairs in by_cell(comparison, None, "metric")
    ]
    measures = ["n", "gap", "bootstrap_error", "share", "low", "high", "excluded_low", "excluded_high", "negligible"]
    return pd.DataFrame(rows, columns=[*CELL, "when", "metric", "pairs", *measures, "note"])


def prediction_table(comparison: Comparison, confidence: float = 0.95) -> pd.DataFrame:
    """Error with which the ideal error at the stopping step predicts the final real one, per cell, then over cells.

    Over cells each cell's means are one prediction, and the interval is over cells.

    Returns:
        ``cell_id, cell, world`` (null in the rows over all cells), ``metric, unit`` (pair or cell), ``total, n`` (of
        them with both values), the means ``predicted, actual``, ``error`` (mean of predicted minus actual),
        ``low, high`` (t interval; NaN below 3) and ``mean_absolute``.
    """
    rows, over = [], []
    keys = ["run_id", *CELL, "metric"]
    stopping, end = comparison.pairs_at("stopping"), comparison.pairs_at("end")
    both = stopping[[*keys, "ideal"]].merge(end[[*keys, "real"]], on=keys)
    for metric, cells in both.groupby("metric", sort=False):
        means = cells.dropna(subset=["ideal", "real"]).groupby(CELL, sort=False, dropna=False)[["ideal", "real"]].mean()
        for key, pairs in cells.groupby(CELL, sort=False, dropna=False):
            prediction = _prediction(pairs, "pair", confidence)
            rows.append(dict(zip(CELL, key, strict=True)) | {"metric": metric} | prediction)
        total = cells.groupby(CELL, dropna=False).ngroups
        if total > 1:
            over.append({"metric": metric} | _prediction(means, "cell", confidence) | {"total": total})
    measures = ["total", "n", "predicted", "actual", "error", "low", "high", "mean_absolute"]
    return pd.DataFrame([*rows, *over], columns=[*CELL, "metric", "unit", *measures])


def _share(pairs: pd.DataFrame, confidence: float) -> dict[str, Any]:
    known = pairs.dropna(subset=["generalization_gap", "bootstrap_error"])
    if known.empty:
        return {"n": 0, "negligible": False}
    gap, error = known["generalization_gap"], known["bootstrap_error"]
    means: dict[str, Any] = {"n": len(known), "gap": gap.mean(), "bootstrap_error": error.mean()}
    means["negligible"] = bool(abs(gap.mean()) < NEGLIGIBLE)
    if means["negligible"]:
        return means
    explained = explained_share(gap, error, confidence)
    (low, high), (excluded_low, excluded_high) = explained.interval or UNKNOWN, explained.excluded or UNKNOWN
    ends = {"low": low, "high": high, "excluded_low": excluded_low, "excluded_high": excluded_high}
    return means | {"share": explained.share} | ends


def _prediction(table: pd.DataFrame, unit: str, confidence: float) -> dict[str, Any]:
    known = table.dropna(subset=["ideal", "real"])
    counts = {"unit": unit, "total": len(table), "n": len(known)}
    if known.empty:
        return counts
    prediction = prediction_error(known["ideal"], known["real"], confidence)
    low, high = prediction.interval or UNKNOWN
    means = {"predicted": known["ideal"].mean(), "actual": known["real"].mean(), "error": prediction.mean}
    return counts | means | {"low": low, "high": high, "mean_absolute": prediction.mean_absolute}

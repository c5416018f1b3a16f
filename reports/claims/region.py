"""What the figure of the bootstrap error shows beside it: what claims say of it, and the band of its whole curve."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from deepboot.reports.claims.registration import studies
from deepboot.reports.claims.where import select
from deepboot.reports.comparison import Comparison
from deepboot.reports.statistics.equivalence import max_t_band
from deepboot.reports.text import measure

FEWEST = 6  # pairs for a band of the whole curve at 95 %
WHEN = {
    "until_stopping": "at every step up to stopping",
    "stopping": "at the stopping step",
    "end": "at the last common step",
}
COLUMNS = ["cell_id", "low", "high", "said"]


def claimed_regions(comparison: Comparison, errors: pd.DataFrame) -> pd.DataFrame:
    """Where claims want the mean bootstrap error of these cells to lie, one row per cell and region.

    Args:
        comparison: whose claims, each folder's in its own cells; those of the kinds ``equivalent`` and
            ``bootstrap_error`` have a region.
        errors: rows of `Comparison.bootstrap_error`: only claims about the metric that a cell has there are kept.

    Returns:
        ``cell_id, low, high`` (infinite where open) and ``said``, a sentence.
    """
    metrics = dict(zip(errors["cell_id"].astype(str), errors["metric"].astype(str), strict=True))
    rows = [
        (cell_id, low, high, said)
        for part in studies(comparison).values()
        for claim, (low, high, said) in _claims(part.sources[0].study)
        for cell_id in select(part, claim.get("where") or {}, None)[0]["cell_id"].astype(str)
        if cell_id in metrics and claim.get("metric") in (None, metrics[cell_id])
    ]
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(ignore_index=True)


def whole_curve(errors: pd.DataFrame, cell_id: str) -> pd.DataFrame | None:
    """Band that holds a cell's whole mean bootstrap error after the first reuse: ``step, low, high``; None without one.

    It takes the steps that all pairs have, and at least six pairs.
    """
    rows = errors[(errors["cell_id"] == cell_id) & errors["after_first_reuse"]].astype({"step": float})
    curves = rows.pivot(index="step", columns="run_id", values="bootstrap_error").astype(float).dropna()
    if curves.shape[1] < FEWEST or curves.empty:
        return None
    band = max_t_band(curves.to_numpy(), steps=curves.index.to_numpy())
    return None if band is None or math.isinf(band.critical) else band.table[["step", "low", "high"]]


def _claims(study: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], tuple[float, float, str]]]:
    """Every claim of a study that has a region, with its ends and a sentence."""
    for claim in study.get("claims") or []:
        if claim.get("kind") == "equivalent":
            margin, when = float(claim["margin"]), WHEN[claim.get("at", "until_stopping")]
            yield claim, (-margin, margin, f"Shaded: the claimed margin of ±{measure(margin)} {when}.")
        elif claim.get("kind") == "bootstrap_error":
            low, high = _end(claim.get("min"), -math.inf), _end(claim.get("max"), math.inf)
            mark, when = "Green line" if math.isinf(high - low) else "Shaded", WHEN[claim.get("at", "stopping")]
            yield claim, (low, high, f"{mark}: claimed to be {_wanted(low, high)} {when}.")


def _end(value: float | None, without: float) -> float:
    return without if value is None else float(value)


def _wanted(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {measure(low)}"
    return f"at most {measure(high)}" if math.isinf(low) else f"{measure(low)} to {measure(high)}"

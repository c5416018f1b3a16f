"""Regions beside the figure of the bootstrap error: the claimed ones, and the band of the whole curve."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import ClaimedRegion, traits_of
from deepboot.reports.claims.registration import studies
from deepboot.reports.claims.where import select
from deepboot.reports.comparison import Comparison
from deepboot.reports.statistics.equivalence import max_t_band

FEWEST = 6  # pairs for a band of the whole curve at 95 %
COLUMNS = ["cell_id", "low", "high", "sentence"]


def claimed_regions(comparison: Comparison, errors: pd.DataFrame) -> pd.DataFrame:
    """Claimed regions of the mean bootstrap error, one row per cell and region.

    Args:
        comparison: with the claims of each folder, in that folder's cells; a kind declares its region (`claim_kind`).
        errors: rows of `Comparison.bootstrap_error`; claims about another metric than a cell has there are left out.

    Returns:
        ``cell_id, low, high`` (infinite where open) and ``sentence``, for the caption.
    """
    first = errors.drop_duplicates("cell_id")
    metrics = dict(zip(first["cell_id"].astype(str), first["metric"].astype(str), strict=True))
    rows = [
        (cell_id, low, high, sentence)
        for part in studies(comparison).values()
        for claim, (low, high, sentence) in _regions(part.sources[0].study)
        for cell_id in select(part, claim.get("where") or {}, None)[0]["cell_id"].astype(str)
        if cell_id in metrics and claim.get("metric") in (None, metrics[cell_id])
    ]
    return pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(ignore_index=True)


def whole_curve(errors: pd.DataFrame, cell_id: str) -> pd.DataFrame | None:
    """Band that holds a cell's whole mean bootstrap error after the first reuse: ``step, low, high``.

    Over the steps that all pairs have; None below six pairs.
    """
    rows = errors[(errors["cell_id"] == cell_id) & errors["after_first_reuse"]].astype({"step": float})
    curves = rows.pivot(index="step", columns="run_id", values="bootstrap_error").astype(float).dropna()
    if curves.shape[1] < FEWEST or curves.empty:
        return None
    band = max_t_band(curves.to_numpy(), steps=curves.index.to_numpy())
    return None if band is None or math.isinf(band.critical) else band.table[["step", "low", "high"]]


def _regions(study: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], ClaimedRegion]]:
    """Every claim of a study with a declared region of the bootstrap error, and that region."""
    for claim in study.get("claims") or []:
        region = traits_of(str(claim.get("kind"))).region
        if region is not None:
            yield claim, region(parsed(claim)[1])

"""Bootstrap error and generalisation gap of each cell at one of a pair's two steps: the stopping step, or the end."""

from typing import Any, Literal

import numpy as np
import pandas as pd

from deepboot.reports.cells import CELL
from deepboot.reports.statistics.intervals import T_MIN, t_interval
from deepboot.reports.statistics.paired import sign_flip_interval
from deepboot.reports.text import plural

When = Literal["stopping", "end"]
AT_STEP: dict[When, str] = {"stopping": "at the stopping step", "end": "at the last common step"}
STEPLESS: dict[When, str] = {"stopping": "without a stopping step", "end": "did not finish in both worlds"}


def by_cell_at(pairs: pd.DataFrame, when: When, confidence: float) -> pd.DataFrame:
    """One row per cell, as in `Comparison.at_stopping`, of rows of `Comparison.pairs_at`."""
    groups = pairs.groupby([*CELL, "metric"], sort=False, dropna=False)
    rows = [dict(zip(groups.keys, key, strict=True)) | _cell_summary(cell, when, confidence) for key, cell in groups]
    columns = [*CELL, "metric", *_cell_summary(pairs.head(0), when, confidence)]
    return pd.DataFrame(rows, columns=columns)


def _cell_summary(cell: pd.DataFrame, when: When, confidence: float) -> dict[str, Any]:
    measured = cell[cell["bootstrap_error"].notna()]
    interval = t_interval(measured["bootstrap_error"], confidence)
    values = measured["bootstrap_error"].astype(float)
    exact = sign_flip_interval(values, confidence) if len(values) else None
    gaps = cell["generalization_gap"].dropna()
    gap_interval = t_interval(gaps, confidence)
    return {
        "pairs": len(cell),
        "n": len(measured),
        "without": int(cell["step"].isna().sum()),
        "step_low": measured["step"].min() if len(measured) else pd.NA,
        "step_high": measured["step"].max() if len(measured) else pd.NA,
        **{name: _mean(measured[name]) for name in ("real", "ideal", "bootstrap_error")},
        "low": interval.low if interval else np.nan,
        "high": interval.high if interval else np.nan,
        "exact_low": exact.low if exact else np.nan,
        "exact_high": exact.high if exact else np.nan,
        "generalization_gap": _mean(gaps),
        "gap_low": gap_interval.low if gap_interval else np.nan,
        "gap_high": gap_interval.high if gap_interval else np.nan,
        "note": _cell_note(cell, len(measured), when),
    }


def _mean(values: pd.Series) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _cell_note(cell: pd.DataFrame, n: int, when: When) -> str:
    few = f"{plural(n, 'pair')}: no interval" if n < T_MIN else ""
    return "; ".join(filter(None, [missing_values(cell, when), few]))


def missing_values(pairs: pd.DataFrame, when: When) -> str:
    """How many of these rows of `Comparison.pairs_at` have no bootstrap error, and why; empty if all have one.

    >>> pairs = pd.DataFrame({"step": [100, None], "bootstrap_error": [None, None]}, dtype=float)
    >>> missing_values(pairs, "stopping")
    '1 of 2 without a stopping step; 1 of 2 without a value in both worlds there'
    """
    stepless = int(pairs["step"].isna().sum())
    unmeasured = int(pairs["bootstrap_error"].isna().sum()) - stepless
    parts = [f"{stepless} of {len(pairs)} {STEPLESS[when]}"] if stepless else []
    parts += [f"{unmeasured} of {len(pairs)} without a value in both worlds there"] if unmeasured else []
    return "; ".join(parts)

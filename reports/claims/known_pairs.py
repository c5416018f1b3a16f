"""The pairs that a verdict on the bootstrap error rests on: how many have a value, and why the others have none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from deepboot.reports.claims.kind import Evidence
from deepboot.reports.comparison import NOT_FINISHED
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import EVENT_WORDS

At = Literal["until_stopping", "stopping", "end"]
Reason = tuple[str, Callable[[pd.DataFrame], pd.Series]]


@dataclass(frozen=True)
class KnownPairs:
    """A cell's pairs at one of their steps, as they enter a verdict.

    Attributes:
        table: rows of `Comparison.pairs_at`, without pairs that reach the step before any reuse, whose worlds are
            equal by construction. Null values are missing, and may be anything within ``limits``.
        total: pairs of the cell.
        limits: smallest and largest value that a missing bootstrap error may have.
        note: how many are missing or left out, and why.
    """

    table: pd.DataFrame
    total: int
    limits: Bounds
    note: str

    @property
    def values(self) -> np.ndarray:
        """Bootstrap errors, float, (pairs,), NaN where missing."""
        return finite(self.table["bootstrap_error"])


def known_pairs(evidence: Evidence, at: At, metric: str | None) -> KnownPairs:
    """The pairs of one cell at their stopping step or at the end."""
    pairs = evidence.pairs_at("end" if at == "end" else "stopping", metric)
    pending, notes = pd.Series(True, index=pairs.index), []
    for why, fails in _reasons(at):
        failed = pending & fails(pairs)
        notes += [f"{failed.sum()} of {len(pairs)} {why}"] if failed.any() else []
        pending &= ~failed
    low, high = limits_of(evidence, pairs)
    return KnownPairs(pairs[~_unused(pairs)], len(pairs), Bounds(low - high, high - low), "; ".join(notes))


def limits_of(evidence: Evidence, pairs: pd.DataFrame) -> Bounds:
    """Smallest and largest possible value of the metric of these rows of `Comparison.pairs_at`."""
    metrics = pairs["metric"].dropna().unique()
    needed = [name for name in ("run_id", "loss.name") if name in evidence.runs]
    runs = pd.concat([evidence.runs[needed], evidence.runs_of("ideal")[needed]])
    limits = [evidence.comparison.limits(str(metric), runs) for metric in metrics] or [Bounds(0.0, 1.0)]
    return Bounds(min(low for low, _ in limits), max(high for _, high in limits))


def finite(values: pd.Series) -> np.ndarray:
    """The values as floats, NaN where they are null or not finite."""
    numbers = values.astype(float).to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _reasons(at: At) -> Iterator[Reason]:
    """Reasons why a pair has no value or is left out, each with the condition; the first that holds counts."""
    yield "without an ideal partner", lambda pairs: pairs["ideal_status"].isna()
    if at == "end":
        yield "did not finish in both worlds", lambda pairs: pairs["step"].isna()
    else:
        early = "diverged, failed or unfinished before the stopping error"
        yield early, lambda pairs: pairs["step"].isna() & pairs["status"].isin(NOT_FINISHED)
        yield EVENT_WORDS["stopping"].never, lambda pairs: pairs["step"].isna()
    yield "there before any reuse", _unused
    yield (
        "without a value in both worlds there",
        lambda pairs: pd.Series(np.isnan(finite(pairs["bootstrap_error"])), index=pairs.index),
    )


def _unused(pairs: pd.DataFrame) -> pd.Series:
    """Whether a pair has the step, and its real world has not used any sample again by then."""
    reused = (pairs["step"] > pairs["first_reuse_step"]).fillna(False).astype(bool)
    return pairs["step"].notna() & pairs["ideal_status"].notna() & ~reused

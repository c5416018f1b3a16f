"""Whether real equals ideal: equivalence within a margin, at one step or at every step, and a band for the whole curve.

A difference that is not significant is no evidence of equality. Equality is shown by an interval that lies within a
margin named before the run. Shape letters: S steps, N seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import Bounds, t_interval
from deepboot.reports.statistics.paired import ROUNDING, finite, flipped_sums, pattern_count, tail

PATTERNS = 2**14  # sign patterns of a whole curve: all of them up to 15 seeds
TABLE = ["step", "n", "mean", "low", "high"]


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of paired differences.

    Attributes:
        n: pairs.
        margin: largest difference that counts as none, in the unit of the differences.
        mean: of the differences, signed.
        interval: t interval that misses each side with probability 1 − confidence (90 % for a confidence of 0.95).
        p: the larger p value of the tests of mean ≤ −margin and of mean ≥ margin.
        confidence: one minus the level of the tests.
    """

    n: int
    margin: float
    mean: float
    interval: Bounds
    p: float
    confidence: float

    @property
    def equivalent(self) -> bool:
        """Whether the mean is shown to lie within the margin: p is small, or the interval lies inside."""
        return self.p <= 1 - self.confidence


@dataclass(frozen=True)
class EquivalenceCurve:
    """Two one-sided tests at every step.

    Attributes:
        table: ``step, n, mean, low, high, p``; interval and p as in `two_one_sided`, null where n < 3.
        margin: as in `two_one_sided`.
        worst_p: the largest p; NaN where a step has none.
        confidence: one minus the level of the tests.
    """

    table: pd.DataFrame
    margin: float
    worst_p: float
    confidence: float

    @property
    def equivalent(self) -> bool:
        """Whether the mean curve is shown to lie within the margin at every step."""
        return self.worst_p <= 1 - self.confidence


@dataclass(frozen=True)
class Band:
    """Simultaneous band of a mean curve.

    Attributes:
        table: ``step, n, mean, low, high``.
        critical: half width in standard errors, the same at every step; infinite where the seeds cannot tell.
        p: as in `different_somewhere`.
        confidence: probability that the band holds the curve at every step.
    """

    table: pd.DataFrame
    critical: float
    p: float
    confidence: float


def two_one_sided(differences: ArrayLike, margin: float, confidence: float = 0.95) -> Equivalence | None:
    """Test that the mean of paired differences lies within ±margin; None below three pairs.

    Differences that are all the same have p = 0 inside the margin and 1 elsewhere.
    Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657–680.

    Args:
        differences: float, (n,), finite, real minus ideal.
        margin: positive, in the unit of the differences.
        confidence: one minus the level of each test, in (0.5, 1).

    Raises:
        ValueError: differences, margin or confidence out of range.
    """
    differences = finite(differences, "differences")
    check_margin(margin, confidence)
    interval = t_interval(differences, 2 * confidence - 1)
    if interval is None:
        return None
    n, mean = differences.size, float(differences.mean())
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    p = float(special.stdtr(n - 1, (abs(mean) - margin) / error)) if error > 0 else float(abs(mean) >= margin)
    return Equivalence(n, margin, mean, interval, p, confidence)


def equivalent_everywhere(
    differences_SN: ArrayLike, margin: float, confidence: float = 0.95, *, steps: ArrayLike | None = None
) -> EquivalenceCurve:
    """Test that the mean curve lies within ±margin at every step.

    All steps must pass, so none needs a correction: the whole is wrong at most as often as one test (an
    intersection-union test). Source: Berger 1982, Technometrics 24, 295–300.

    Args:
        differences_SN: float, (steps, seeds), real minus ideal; NaN where a pair has no value at that step.
        margin: positive, in the unit of the differences.
        confidence: one minus the level of each test, in (0.5, 1).
        steps: (steps,), their names in the table; by default 0, 1, 2 …

    Raises:
        ValueError: differences, margin, confidence or steps out of range.
    """
    differences_SN, steps = _curve(differences_SN, steps)
    check_margin(margin, confidence)
    kept = [row[~np.isnan(row)] for row in differences_SN]
    tests = [two_one_sided(row, margin, confidence) if row.size else None for row in kept]
    means = [row.mean() if row.size else math.nan for row in kept]
    ends = [(*test.interval, test.p) if test else (math.nan,) * 3 for test in tests]
    table = pd.DataFrame({"step": steps, "n": [row.size for row in kept], "mean": means})
    table[["low", "high", "p"]] = np.array(ends)
    return EquivalenceCurve(table, margin, float(table["p"].max(skipna=False)), confidence)


def max_t_band(differences_SN: ArrayLike, confidence: float = 0.95, *, steps: ArrayLike | None = None) -> Band | None:
    """Band that holds the whole mean curve; None where no sign pattern is rare enough, at 95 % below 6 seeds.

    Half width: the largest |t| over all steps, of the residuals under sign flips, all of them up to 15 seeds and
    16,384 drawn by a fixed key beyond. Steps where the differences do not vary have a band of no width. Symmetric
    differences are supposed: where only a few seeds differ at each step, as while runs grok one by one, the band
    is much too narrow, and `median_interval` of the steps themselves is the honest answer.
    Source: Westfall and Young 1993, Resampling-based multiple testing; Winkler et al. 2014, NeuroImage 92, 381–397.

    Args:
        differences_SN: float, (steps, seeds), finite, real minus ideal.
        confidence: probability of holding the curve at every step, in (0, 1).
        steps: (steps,), their names in the table; by default 0, 1, 2 …

    Raises:
        ValueError: differences, confidence or steps out of range.
    """
    differences_SN, steps = _complete(differences_SN, steps)
    n, missed = differences_SN.shape[1], tail(confidence)
    rank = math.floor(missed * pattern_count(n, PATTERNS) * (1 + ROUNDING))
    if rank == 0:
        return None
    means, errors = differences_SN.mean(axis=1), differences_SN.std(axis=1, ddof=1) / math.sqrt(n)
    varies = errors > ROUNDING * np.abs(differences_SN).max(axis=1)
    largest = np.sort(_largest_share((differences_SN - means[:, None])[varies]))[::-1]
    critical = _student(float(largest[rank]), n)
    half = np.multiply(critical, errors, where=varies, out=np.zeros_like(errors))
    table = pd.DataFrame(dict(zip(TABLE, (steps, n, means, means - half, means + half), strict=True)))
    return Band(table, critical, different_somewhere(differences_SN), confidence)


def different_somewhere(differences_SN: ArrayLike) -> float:
    """P value, in (0, 1], of there being no difference at any step: sign-flip test of the largest |t|.

    It holds for the whole curve at once, without a correction, however the steps depend on each other; exact up
    to 15 seeds, over 16,384 patterns drawn by a fixed key beyond. A study of 5 seeds cannot have less than 0.0625.

    Args:
        differences_SN: float, (steps, seeds), finite, real minus ideal.

    Raises:
        ValueError: differences that are not a complete table of finite numbers.
    """
    differences_SN, _ = _complete(differences_SN, None)
    largest = _largest_share(differences_SN[np.abs(differences_SN).max(axis=1) > 0])
    return float(np.mean(largest >= largest[0] - ROUNDING))


def check_margin(margin: float, confidence: float) -> None:
    """Refuse a margin or a confidence that two one-sided tests cannot have.

    Raises:
        ValueError: a margin that is not positive and finite, or a confidence outside (0.5, 1).
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"the margin must be positive and finite, got {margin}. Name the largest harmless difference.")
    if not 0.5 < confidence < 1:
        raise ValueError(f"`confidence` must be in (0.5, 1), got {confidence:g}. For tests at 5 % write 0.95.")


def _curve(differences_SN: ArrayLike, steps: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """The differences as floats, and the steps' names."""
    table = np.asarray(differences_SN, dtype=float)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"`differences_SN` must be (steps, seeds), got shape {table.shape}. Give a row for each step.")
    if np.isinf(table).any():
        raise ValueError("`differences_SN` must be finite or NaN, got infinity. Write NaN where a pair has no value.")
    names = np.arange(len(table)) if steps is None else np.asarray(steps)
    if names.shape != (len(table),):
        raise ValueError(f"`steps` must name {len(table)} steps, got shape {names.shape}. Give one for each row.")
    return table, names


def _complete(differences_SN: ArrayLike, steps: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    table, names = _curve(differences_SN, steps)
    if np.isnan(table).any():
        raise ValueError(
            f"`differences_SN` must have every seed at every step, got {np.isnan(table).sum()} gaps. Keep the steps "
            "that all pairs have, or judge each step by `equivalent_everywhere`."
        )
    return table, names


def _largest_share(rows_SN: np.ndarray) -> np.ndarray:
    """Largest |mean| over root mean square of the rows under every sign pattern, in [0, 1]: it grows with |t|."""
    unit = rows_SN / np.sqrt(np.square(rows_SN).sum(axis=1, keepdims=True) * rows_SN.shape[1])
    largest = np.zeros(pattern_count(rows_SN.shape[1], PATTERNS))
    for some in np.array_split(unit, math.ceil(len(unit) / 64) or 1):  # 64 steps at a time: 8 MB
        np.maximum(largest, np.abs(flipped_sums(some.T, PATTERNS)).max(axis=1, initial=0), out=largest)
    return largest


def _student(share: float, n: int) -> float:
    """The |t| of n differences whose |mean| is this share of their root mean square."""
    return math.inf if share > 1 - ROUNDING else share * math.sqrt((n - 1) / (1 - share**2))

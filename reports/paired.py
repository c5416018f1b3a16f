"""Exact tests of paired differences, and what the pairing is worth.

A pair's two runs share their initialisation, their test set and their first samples, and give one difference per seed:
real minus ideal, signed. Where the worlds do not differ, either sign of a difference is as likely as the other,
and that is all that a sign-flip test assumes.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from reports.intervals import Bounds
from reports.wording import plural

PATTERNS = 2**15  # sign patterns looked at: all of them up to 16 differences
ROUNDING = 1e-12  # sums that differ by less than this share of their terms are equal


@dataclass(frozen=True)
class Pairing:
    """How closely the partners of pairs follow each other, and the runs that this saves.

    Attributes:
        n: pairs.
        correlation: Pearson's, between partners over seeds, in [−1, 1]; NaN where one world does not vary.
        interval: Fisher's z interval of it; None below 4 pairs and where there is no correlation.
        variance_ratio: variance of a difference of two independent runs over that of a pair's; infinite where
            the pairs' differences do not vary.
        unpaired_seeds: seeds that independent runs would need for the standard error of these n pairs.
        seeds_saved: ``unpaired_seeds`` less n; negative where partners are negatively correlated.
    """

    n: int
    correlation: float
    interval: Bounds | None
    variance_ratio: float
    unpaired_seeds: float
    seeds_saved: float


@dataclass(frozen=True)
class ErrorNoise:
    """What a finite test set adds to a test error, beside the spread over seeds.

    Attributes:
        error: mean test error, in [0, 1].
        standard_error: binomial standard error of one run's test error.
        seed_spread: standard deviation of the test error over seeds; NaN for one seed.
        share: of the variance over seeds, the part that the test set alone would give where every seed has its
            own; above 1 where the seeds vary less than that; NaN where they do not vary.
    """

    error: float
    standard_error: float
    seed_spread: float
    share: float


def finite(values: ArrayLike, name: str, least: int = 1) -> np.ndarray:
    """The values as a float row (n,) without gaps.

    Args:
        values: float, (n,).
        name: what a message calls them.
        least: fewest values that will do.

    Raises:
        ValueError: more than one axis, too few values, or one that is not finite.
    """
    row = np.asarray(values, dtype=float)
    if row.ndim != 1:
        raise ValueError(f"`{name}` must have one axis, got shape {row.shape}. Give the values of one cell and step.")
    if row.size < least:
        raise ValueError(f"`{name}` must have {plural(least, 'value')} or more, got {row.size}. Run more seeds.")
    if not np.isfinite(row).all():
        place = int(np.flatnonzero(~np.isfinite(row))[0])
        raise ValueError(f"`{name}` must be finite, got {row[place]} at position {place}. Leave out what has no value.")
    return row


def tail(confidence: float) -> float:
    """One minus the confidence, which is what an interval may miss.

    Raises:
        ValueError: the confidence is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be in (0, 1), got {confidence:g}. For 95 % write 0.95.")
    return 1 - confidence


@lru_cache(maxsize=8)
def sign_patterns(n: int, most: int = PATTERNS) -> np.ndarray:
    """Signs that n differences could have had, up to a common one; the signs that they have (all 1) come first.

    All 2^(n − 1) where that is at most ``most``, else ``most`` that are drawn by a fixed key, the same at every
    call. A p value counted over drawn patterns is valid too; its standard error at 0.05 is 0.0012.
    Source: Hemerik and Goeman 2018, TEST 27, 811–825.

    Returns:
        int8, (patterns, n), of 1 and −1; read-only.
    """
    if n - 1 <= math.log2(most):
        signs = 1 - 2 * (np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(n).choice([-1, 1], size=(most, n))
        signs *= signs[:, -1:]
        signs[0] = 1
    signs = signs.astype(np.int8)
    signs.flags.writeable = False
    return signs


def sign_flip_test(differences: ArrayLike) -> float:
    """Two-sided p value of paired differences, in (0, 1]: how often signs at random give as large a sum.

    Exact up to 16 pairs, over all signs; beyond, over 32,768 patterns drawn by a fixed key (deterministic, and still
    valid). The smallest p value of n pairs is 2^(1 − n): 0.0625 at 5, 0.031 at 6. Source: Fisher 1935, The Design
    of Experiments, section 21.

    Args:
        differences: float, (n,), finite.

    Raises:
        ValueError: differences that are not a row of finite numbers.

    >>> sign_flip_test([0.1, 0.2, 0.3])
    0.25
    """
    differences = finite(differences, "differences")
    sums = np.abs(sign_patterns(differences.size) @ differences)
    return float(np.mean(sums >= sums[0] - ROUNDING * np.abs(differences).sum()))


def sign_flip_interval(differences: ArrayLike, confidence: float = 0.95) -> Bounds | None:
    """Interval of the centre of symmetric differences: every value that `sign_flip_test` does not reject.

    Its ends are order statistics of the means of all subsets. None where no p value is small enough, at 95 %
    below 6 pairs. Source: Hartigan 1969, Journal of the American Statistical Association 64, 1303–1317.

    Args:
        differences: float, (n,), finite.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: differences that are not a row of finite numbers, or a confidence outside (0, 1).

    >>> sign_flip_interval([1, 2, 3, 4, 5, 6])
    Bounds(low=1.0, high=6.0)
    """
    differences, missed = finite(differences, "differences"), tail(confidence)
    signs = sign_patterns(differences.size)
    rank = math.floor(len(signs) * missed + ROUNDING * len(signs))
    chosen = np.concatenate([signs < 0, signs > 0])
    sizes = chosen.sum(axis=1)
    means = np.where(sizes > 0, chosen @ differences / np.maximum(sizes, 1), -np.inf)
    low = float(np.partition(means, rank)[rank])
    high = -float(np.partition(np.where(sizes > 0, -means, -np.inf), rank)[rank])
    return Bounds(low, high) if math.isfinite(low) and math.isfinite(high) else None


def paired_correlation(real: ArrayLike, ideal: ArrayLike, confidence: float = 0.95) -> Pairing:
    """Correlation between partners over seeds, and how many unpaired seeds the pairs are worth.

    The interval supposes normal values; the ratio of variances has none, and few seeds tell little of it.
    Source: Fisher 1921, Metron 1, 3–32.

    Args:
        real, ideal: float, (n,), finite, one value per seed in the same order.
        confidence: coverage of the correlation's interval, in (0, 1).

    Raises:
        ValueError: rows of different length, fewer than 2 pairs, values that are not finite, or a confidence
            outside (0, 1).
    """
    real, ideal = finite(real, "real", least=2), finite(ideal, "ideal", least=2)
    missed = tail(confidence)
    if real.size != ideal.size:
        raise ValueError(f"`real` and `ideal` must pair up, got {real.size} and {ideal.size}. Give one value per seed.")
    apart, paired = real.var(ddof=1) + ideal.var(ddof=1), (real - ideal).var(ddof=1)
    ratio = float(apart / paired) if paired > ROUNDING * apart else math.inf
    correlation = _correlation(real, ideal)
    interval = _fisher_z(correlation, real.size, missed)
    return Pairing(real.size, correlation, interval, ratio, real.size * ratio, real.size * (ratio - 1))


def noise_of_test_set(error: ArrayLike, n_test: int) -> ErrorNoise:
    """Binomial standard error of one run's test error, beside the spread of the error over seeds.

    It holds for test samples that were drawn, not for all cells of a finite universe; a soft error varies at
    most as much. Partners share their test set, so their difference varies less than two such errors.

    Args:
        error: float, one run's test error or (n,) those of all seeds, in [0, 1].
        n_test: test samples per run.

    Raises:
        ValueError: an error outside [0, 1], or no test samples.

    >>> round(noise_of_test_set(0.1, 10_000).standard_error, 6)
    0.003
    """
    errors = finite(np.atleast_1d(np.asarray(error, dtype=float)), "error")
    if n_test < 1:
        raise ValueError(f"`n_test` must be at least 1, got {n_test}. Give the size of the test set.")
    if errors.min() < 0 or errors.max() > 1:
        worst = errors[np.argmax(np.abs(errors - 0.5))]
        raise ValueError(f"`error` must be in [0, 1], got {worst:g}. Give a share of wrong labels, not percent.")
    binomial = float(np.mean(errors * (1 - errors))) / n_test
    spread = float(errors.std(ddof=1)) if errors.size > 1 else math.nan
    share = binomial / spread**2 if spread > 0 else math.nan
    return ErrorNoise(float(errors.mean()), math.sqrt(binomial), spread, share)


def _correlation(real: np.ndarray, ideal: np.ndarray) -> float:
    """Pearson's correlation, NaN where one side is constant."""
    real, ideal = real - real.mean(), ideal - ideal.mean()
    scale = math.sqrt((real @ real) * (ideal @ ideal))
    return float(np.clip(real @ ideal / scale, -1, 1)) if scale > 0 else math.nan


def _fisher_z(correlation: float, n: int, missed: float) -> Bounds | None:
    if n < 4 or math.isnan(correlation):
        return None
    if abs(correlation) == 1:
        return Bounds(correlation, correlation)
    half = special.ndtri(1 - missed / 2) / math.sqrt(n - 3)
    return Bounds(math.tanh(math.atanh(correlation) - half), math.tanh(math.atanh(correlation) + half))

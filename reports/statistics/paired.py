"""Exact tests of paired differences, and the gain of pairing.

A pair's two runs share their initialisation, their test set and their first samples, and give one difference per seed:
real minus ideal, signed. Where the worlds do not differ, either sign of a difference is as likely as the other,
and that is all that a sign-flip test assumes.
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import plural

PATTERNS = 2**15  # sign patterns that are tried: all of them up to 16 differences
MANY = 2**10  # differences beyond which sign patterns are not held, but drawn as they are added up
SUBSETS = np.array(list(itertools.product((0.0, 1.0), repeat=8)))  # of eight rows, all 256
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
    """

    n: int
    correlation: float
    interval: Bounds | None
    variance_ratio: float
    unpaired_seeds: float


def finite(values: ArrayLike, name: str, least: int = 1) -> np.ndarray:
    """The values as a float row (n,) without gaps.

    Args:
        values: float, (n,).
        name: of the values, in a message.
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
        index = int(np.flatnonzero(~np.isfinite(row))[0])
        raise ValueError(f"`{name}` must be finite, got {row[index]} at position {index}. Leave out what has no value.")
    return row


def couple(one: ArrayLike, other: ArrayLike, names: tuple[str, str], least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of equally many finite values, as arrays.

    Args:
        one, other: float, (n,).
        names: of the rows, in a message.
        least: fewest values.

    Raises:
        ValueError: as in `finite`, or rows of different length.
    """
    first, second = finite(one, names[0], least), finite(other, names[1], least)
    if first.size != second.size:
        sizes = f"got {first.size} and {second.size}"
        raise ValueError(f"`{names[0]}` and `{names[1]}` must pair up, {sizes}. Give one value of each for every cell.")
    return first, second


def tail(confidence: float) -> float:
    """One minus the confidence, the error that an interval may have.

    Raises:
        ValueError: the confidence is not in (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be in (0, 1), got {confidence:g}. For 95 % write 0.95.")
    return 1 - confidence


def pattern_count(n: int, most: int = PATTERNS) -> int:
    """How many sign patterns of n differences are tried: all 2^(n − 1), but at most ``most``."""
    return 2 ** (n - 1) if n - 1 <= math.log2(most) else most


@lru_cache(maxsize=8)
def sign_patterns(n: int, most: int = PATTERNS) -> np.ndarray:
    """Signs that n differences could have had, up to a common one; the signs that they have (all 1) come first.

    All 2^(n − 1) where that is at most ``most``, else ``most`` that are drawn by a fixed key, the same at every
    call. A p value counted over drawn patterns is valid too; its standard error at 0.05 is 0.0012.
    Source: Hemerik and Goeman 2018, TEST 27, 811–825.

    Returns:
        int8, (patterns, n), of 1 and −1; read-only.
    """
    assert n <= MANY
    if n - 1 <= math.log2(most):
        signs = 1 - 2 * (np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(n).choice([-1, 1], size=(most, n))
        signs *= signs[:, -1:].copy()
        signs[0] = 1
    signs = signs.astype(np.int8)
    signs.flags.writeable = False
    return signs


def flipped_sums(values_NS: np.ndarray, most: int = PATTERNS) -> np.ndarray:
    """Sums of the values under every sign pattern of their rows, float, (patterns, …); under their own signs first.

    Args:
        values_NS: float, (n,) or (n, S).
        most: as in `sign_patterns`.
    """
    if len(values_NS) <= MANY:
        return np.asarray(sign_patterns(len(values_NS), most) @ values_NS)
    return 2 * _drawn_sums(values_NS, most) - values_NS.sum(axis=0)


def _drawn_sums(values_NS: np.ndarray, most: int) -> np.ndarray:
    """Sums of the values over subsets of many rows, (most, …): all rows, then subsets drawn by a fixed key.

    Eight rows have 256 sums, so a byte at random looks up one of them: no pattern is held, nor multiplied.
    """
    draws, n, rest = np.random.default_rng(len(values_NS)), len(values_NS), values_NS.shape[1:]
    padded = np.concatenate([values_NS, np.zeros((-n % 8, *rest))])
    sums = np.zeros((most, *rest))
    for eight in padded.reshape(-1, 8, *rest):
        chosen = draws.integers(0, len(SUBSETS), size=most, dtype=np.uint8)
        chosen[0] = len(SUBSETS) - 1
        sums += (SUBSETS @ eight).take(chosen, axis=0)
    return sums


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
    sums = np.abs(flipped_sums(differences))
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
    # SciPy's `permutation_test` gives p values only, 2.5 ms each at 10 pairs; all subset means at once take 0.06 ms
    differences, missed = finite(differences, "differences"), tail(confidence)
    sizes, sums = _subsets(differences)
    patterns = sizes.size // 2
    rank = math.floor(patterns * missed + ROUNDING * patterns)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), -np.inf)
    low = float(np.partition(means, rank)[rank])
    high = -float(np.partition(np.where(sizes > 0, -means, -np.inf), rank)[rank])
    return Bounds(low, high) if math.isfinite(low) and math.isfinite(high) else None


def _subsets(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and sums of the differences that change their sign in each pattern, then of those that keep it."""
    if differences.size <= MANY:
        signs = sign_patterns(differences.size)
        subsets = np.concatenate([signs < 0, signs > 0])
        return subsets.sum(axis=1), subsets @ differences
    counted = np.stack([np.ones(differences.size), differences], axis=1)
    kept = _drawn_sums(counted, PATTERNS)
    sizes, sums = np.concatenate([counted.sum(axis=0) - kept, kept]).T
    return sizes, sums


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
    return Pairing(real.size, correlation, interval, ratio, real.size * ratio)


def seeds_without_pairing(real: ArrayLike, ideal: ArrayLike, confidence: float = 0.95) -> float:
    """Fewest seeds at which runs that share nothing would give as narrow a t interval as these pairs; a whole number.

    Welch's interval of the difference of two means of equally many runs, at the pairs' own variances. It has up to
    twice the degrees of freedom, so at a handful of seeds a weak correlation saves none. Infinite where the pairs'
    differences do not vary, NaN where neither world does.

    Args:
        real, ideal, confidence: as in `paired_correlation`.

    Raises:
        ValueError: as in `paired_correlation`.

    >>> seeds_without_pairing([1, 2, 3, 4, 6], [1, 2, 3, 5, 6])
    101.0
    """
    pairing = paired_correlation(real, ideal, confidence)
    spreads = np.array([np.asarray(side, dtype=float).var(ddof=1) for side in (real, ideal)])
    if math.isinf(pairing.variance_ratio):
        return math.inf if spreads.any() else math.nan
    freedom = spreads.sum() ** 2 / (spreads**2).sum()
    paired = special.stdtrit(pairing.n - 1, 1 - tail(confidence) / 2) / math.sqrt(pairing.unpaired_seeds)

    def wide(seeds: int) -> bool:
        half = special.stdtrit(freedom * (seeds - 1), 1 - tail(confidence) / 2) / math.sqrt(seeds)
        return bool(half > paired * (1 + ROUNDING))

    few, many = 1, 2
    while wide(many):
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if wide(middle) else (few, middle)
    return float(many)


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

"""The signed-rank test, inverted: which averages of two of n values enclose their center, and what they are.

There are n (n + 1) / 2 averages, each value with itself among them. Up to `EXACT` values they are all written down, and
the law of their ranks is computed; of more values, neither would fit a report.

Source: Wilcoxon's test; Hodges and Lehmann 1963; Bauer 1972.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.survival import Array

EXACT = 300  # values up to which all averages are written down, and the law of the rank sum is the exact one
HALVINGS = 100  # of the range of all averages, after which two ends are the same number or neighbours


def signed_rank(n: int, confidence: float = 0.95) -> int | None:
    """Largest k for which the k-th smallest and k-th largest average of two of n values enclose the center this often.

    None where even the smallest and the largest do not (n < 6 at 95 %). Beyond `EXACT` values the rank sum is taken as
    normal but for its fourth cumulant (Cornish and Fisher), which gives the exact k of 300 values.

    >>> signed_rank(5), signed_rank(6), signed_rank(10)
    (None, 1, 9)
    """
    if n <= EXACT:
        return int((2 * _rank_sums(n) <= 1 - confidence + 1e-12).sum()) or None
    ranks = np.arange(1, n + 1, dtype=float)
    variance, cumulant = np.sum(ranks**2) / 4, -np.sum(ranks**4) / 8
    z = special.ndtri((1 - confidence) / 2)
    z += (z**3 - 3 * z) * cumulant / variance**2 / 24
    return math.floor(n * (n + 1) / 4 + 0.5 + z * math.sqrt(variance)) or None


@cache
def _rank_sums(n: int) -> Array:
    """How often the sum of the ranks of positive values is at most 0, 1, ..., were their signs random."""
    chances = np.ones(1)
    for rank in range(1, n + 1):
        chances = (np.append(chances, np.zeros(rank)) + np.append(np.zeros(rank), chances)) / 2
    return chances.cumsum()


def averages_at(values: ArrayLike, ranks: list[int]) -> list[float]:
    """The averages of two values that have these ranks among all, from 1, the smallest, on.

    Args:
        values: float, (n,), infinite ones of one sign only.
        ranks: each from 1 to n (n + 1) / 2.

    >>> averages_at([1, 2, 8], [1, 3, 6])
    [1.0, 2.0, 8.0]
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if ordered.size <= EXACT:
        averages = np.sort(np.add.outer(ordered, ordered)[np.triu_indices(ordered.size)] / 2)
        return [float(averages[rank - 1]) for rank in ranks]
    finite = ordered[np.isfinite(ordered)]
    below = averages_of(ordered.size) - averages_of(finite.size) if ordered[0] == -np.inf else 0  # infinite ones
    return [_average_of_rank(finite, rank - below, outside=float(ordered[0 if below else -1])) for rank in ranks]


def averages_of(n: int) -> int:
    """How many averages of two, a value with itself among them, n values have."""
    return n * (n + 1) // 2


def _average_of_rank(ordered: Array, rank: int, *, outside: float) -> float:
    """The average of a rank among those of sorted finite values, by halving; of any other rank the infinity outside."""
    if not 1 <= rank <= averages_of(ordered.size):
        return outside
    low, high = float(ordered[0]), float(ordered[-1])
    if _averages_up_to(ordered, low) >= rank:
        return low
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if _averages_up_to(ordered, middle) >= rank else (middle, high)
    return high


def _averages_up_to(ordered: Array, limit: float) -> int:
    """How many averages of two of these sorted values are at most the limit."""
    with_each = np.searchsorted(ordered, 2 * limit - ordered, "right").sum()  # of two different ones both orders
    return int(with_each + np.searchsorted(ordered, limit, "right")) // 2

"""Rank correlation, exact for few values: agreement of cells in rank, and a trend over groups of runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.paired import ROUNDING, couple, tail

ARRANGEMENTS = 50_000  # ranks are rearranged in every way up to here: always for 8 values
RANK_MIN = 5  # fewest values for an interval of a rank correlation


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's rank correlation, tau-b, with its interval and test.

    Attributes:
        n: values.
        estimate: in [−1, 1]; NaN where one side does not vary.
        interval: by Fisher's z; None below 5 values and without an estimate.
        p: two-sided, of no association.
        exact: whether p counts all arrangements of the ranks, ties included; else it is normal.
    """

    n: int
    estimate: float
    interval: Bounds | None
    p: float
    exact: bool


def rank_agreement(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> RankCorrelation:
    """Kendall's tau-b between two values per cell.

    Interval by Fisher's z with variance 0.437 / (n − 4), times the factor by which ties raise it without an association
    (Fieller, Hartley and Pearson 1957, Biometrika 44); a perfect correlation is taken as halfway to the next one that
    n values can have. The p value is exact up to 8 cells.

    Args:
        x, y: float, (n,), in the same order; ``inf`` where censored: these rank last, equal to each other.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: rows of different length, fewer than 2 cells, NaN, or a confidence outside (0, 1).
    """
    x, y = couple(_ranks(x, "x"), _ranks(y, "y"), ("x", "y"), least=2)
    return _kendall(x, y, tail(confidence))


def rank_agreement_between(
    x: tuple[ArrayLike, ArrayLike], y: tuple[ArrayLike, ArrayLike], confidence: float = 0.95
) -> tuple[Bounds, Bounds | None]:
    """Bounds of Kendall's tau of values that lie between ends, and an interval that holds that of any of them.

    Two cells whose order is not known on either side count as discordant below and as concordant above. Fisher's z
    interval grows with tau, so from its lower end at the least tau to its upper end at the largest one it covers as
    often as with known values.

    Args:
        x, y: lower and upper ends, float, (n,) each, in the same order.
        confidence: coverage, in (0, 1).

    Returns:
        the interval is None below 5 values.

    >>> rank_agreement_between(([1, 2, 3], [1, 2, 3]), ([1, 2, 2], [1, 2, 4]))[0]
    Bounds(low=0.333..., high=1.0)
    """
    missed, signs = tail(confidence), []
    for low, high in (x, y):
        above, below = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
        signs.append((above[:, None] > below).astype(int) - (below[:, None] < above).astype(int))
    n = len(signs[0])
    known = (signs[0] * signs[1])[np.triu_indices(n, 1)]
    least, most = (float(np.where(known == 0, side, known).mean()) for side in (-1, 1))
    variance = 0.437 / (n - 4) if n >= RANK_MIN else math.inf
    lower, upper = (_fisher_z(tau, variance, 2 / (n * (n - 1)), missed) for tau in (least, most))
    return Bounds(least, most), None if lower is None or upper is None else Bounds(lower.low, upper.high)


def monotone_trend(groups: Sequence[ArrayLike], confidence: float = 0.95) -> RankCorrelation:
    """Whether values rise (tau > 0) or fall from group to group: the Jonckheere–Terpstra test, ties included.

    Its statistic is Kendall's between the group's index and the value, so tau-b is its effect. Exact where there
    are at most 50,000 ways to deal the values to the groups (three groups of 4, two of 8), else normal.
    Source: Jonckheere 1954, Biometrika 41, 133–145.

    Args:
        groups: float rows in the order of a setting, one value per run; ``inf`` where censored: these rank last,
            equal to each other.
        confidence: coverage of the interval, in (0, 1).

    Raises:
        ValueError: fewer than 2 groups, an empty one, NaN, or a confidence outside (0, 1).
    """
    sizes = [np.size(group) for group in groups]
    if len(sizes) < 2 or 0 in sizes:
        raise ValueError(f"`groups` must be 2 or more with values, got sizes {sizes}. Leave out empty groups.")
    values = _ranks(np.concatenate([np.asarray(group, dtype=float) for group in groups]), "groups")
    return _kendall(np.repeat(np.arange(1.0, len(sizes) + 1), sizes), values, tail(confidence))


def _ranks(values: ArrayLike, name: str) -> np.ndarray:
    """Average ranks from 1, infinities last."""
    row = np.asarray(values, dtype=float)
    if np.isnan(row).any():
        raise ValueError(f"`{name}` must not hold NaN. Write infinity where censored, and leave out what has no value.")
    return scipy.stats.rankdata(row, axis=0)


def _kendall(x: np.ndarray, y: np.ndarray, missed: float) -> RankCorrelation:
    n, pairs = x.size, x.size * (x.size - 1) / 2
    untied = math.sqrt(math.prod(np.abs(_concordance(row[None], row)).item() for row in (x, y)))
    if untied == 0:
        return RankCorrelation(n, math.nan, None, 1.0, True)
    score, spread = _concordance(x[None], y).item(), _concordance_spread(x, y)
    p = _permutation_p(x, y)
    ties = (spread / untied) ** 2 / ((2 * n + 5) / (9 * pairs))
    variance = 0.437 / (n - 4) * ties if n >= RANK_MIN else math.inf
    interval = _fisher_z(score / untied, variance, 1 / pairs, missed)
    shown = 2 * float(special.ndtr(-abs(score) / spread)) if p is None else p
    return RankCorrelation(n, score / untied, interval, shown, p is not None)


def _concordance_spread(x: np.ndarray, y: np.ndarray) -> float:
    """Standard deviation of concordant less discordant pairs over all arrangements. Source: Kendall 1970, chapter 4."""
    n = x.size
    ties = [np.unique(row, return_counts=True)[1] for row in (x, y)]
    single = n * (n - 1) * (2 * n + 5) - sum((t * (t - 1) * (2 * t + 5)).sum() for t in ties)
    double = math.prod(float((t * (t - 1)).sum()) for t in ties) / (2 * n * (n - 1))
    triple = math.prod(float((t * (t - 1) * (t - 2)).sum()) for t in ties) / (9 * n * (n - 1) * max(n - 2, 1))
    return math.sqrt(single / 18 + double + triple)


def _fisher_z(estimate: float, variance: float, finest: float, missed: float) -> Bounds | None:
    """Interval on the z scale, where an estimate of ±1 is moved by ``finest``; None where the variance is infinite."""
    if math.isinf(variance):
        return None
    middle = math.atanh(min(max(estimate, finest - 1), 1 - finest))
    half = special.ndtri(1 - missed / 2) * math.sqrt(variance)
    return Bounds(min(math.tanh(middle - half), estimate), max(math.tanh(middle + half), estimate))


def _concordance(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Concordant less discordant pairs of every row with y."""
    after = range(1, y.size)
    return sum(
        (np.sign(rows[:, i:] - rows[:, i - 1 : i]) @ np.sign(y[i:] - y[i - 1]) for i in after), np.zeros(len(rows))
    )


def _permutation_p(x: np.ndarray, y: np.ndarray) -> float | None:
    """Share of all arrangements with as large a score, two-sided; None where there are too many."""
    # SciPy's exact `kendalltau` refuses ties; its normal p value was seen to be 0.54 off at six values of four levels
    x, y = sorted((x, y), key=_ways)
    if _ways(x) > ARRANGEMENTS:
        return None
    scores, observed = np.abs(_concordance(_arrangements(x), y)), np.abs(_concordance(x[None], y))
    return float(np.mean(scores >= observed - ROUNDING * x.size**3))


def _ways(values: np.ndarray) -> int:
    """Number of different orders of the values."""
    counts = np.unique(values, return_counts=True)[1]
    return math.factorial(values.size) // math.prod(math.factorial(count) for count in counts.tolist())


def _arrangements(values: np.ndarray) -> np.ndarray:
    """Every different order of the values, (ways, n)."""
    rows, free = np.empty((1, values.size)), np.arange(values.size)[None]
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        chosen = np.array(list(combinations(range(free.shape[1]), count)))
        rest = np.ones((len(chosen), free.shape[1]), dtype=bool)
        np.put_along_axis(rest, chosen, False, axis=1)
        rows = np.repeat(rows, len(chosen), axis=0)
        np.put_along_axis(rows, free[:, chosen].reshape(len(rows), count), value, axis=1)
        free = free[:, np.nonzero(rest)[1].reshape(len(chosen), -1)].reshape(len(rows), -1)
    return rows

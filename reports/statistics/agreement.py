"""How cells agree with each other: ranks, predictions, shares, power laws, trends and thresholds.

One value per cell, or per run of ordered cells: does the ideal error predict the real one, how much of the
generalisation gap is bootstrap error, how does a step scale with a setting, and how many samples does grokking take?
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from deepboot.reports.statistics.censored_regression import NORMAL, cutoff, fit, profile_end
from deepboot.reports.statistics.intervals import Bounds, t_interval
from deepboot.reports.statistics.paired import ROUNDING, finite, tail

ARRANGEMENTS = 50_000  # ranks are rearranged in every way up to here: always for 8 values
RANK_MIN = 5  # fewest values for an interval of a rank correlation
SHARPEST = 1e-3  # smallest spread of log T that a power law tells from none
STEEPEST = 1e3  # a slope this far from the best one counts as open


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


@dataclass(frozen=True)
class PredictionError:
    """Predicted minus actual values.

    Attributes:
        n: values.
        mean: signed.
        interval: t interval of the mean; None below 3.
        mean_absolute: size of an error, in the unit of the values.
    """

    n: int
    mean: float
    interval: Bounds | None
    mean_absolute: float


@dataclass(frozen=True)
class ExplainedShare:
    """A ratio of two paired means.

    Attributes:
        n: pairs.
        share: ratio of the means; NaN where the lower one is 0.
        interval: Fieller's; infinite at both ends where the lower mean may be 0; None below 3 pairs.
        excluded: values that an open interval still rules out; None for other intervals.
    """

    n: int
    share: float
    interval: Bounds | None
    excluded: Bounds | None


@dataclass(frozen=True)
class PowerLaw:
    """T = c · x^slope, with normal scatter of log T.

    Attributes:
        slope: d log T / d log x; NaN where the interval is open at both ends.
        interval: profile-likelihood interval of the slope; infinite where open.
    """

    slope: float
    interval: Bounds


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
    x, y = _couple(_ranks(x, "x"), _ranks(y, "y"), ("x", "y"), least=2)
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


def prediction_error(predicted: ArrayLike, actual: ArrayLike, confidence: float = 0.95) -> PredictionError:
    """Error of predictions, one prediction and one outcome per cell.

    Args:
        predicted, actual: float, (n,), finite, in the same order.
        confidence: coverage of the mean error's interval, in (0, 1).

    Raises:
        ValueError: rows of different length or empty, values that are not finite, or a confidence outside (0, 1).

    >>> prediction_error([2.0, 3.0], [1.0, 5.0]).mean_absolute
    1.5
    """
    predicted, actual = _couple(predicted, actual, ("predicted", "actual"))
    tail(confidence)
    errors = predicted - actual
    interval = t_interval(errors, confidence)
    return PredictionError(errors.size, float(errors.mean()), interval, float(np.abs(errors).mean()))


def explained_share(gap: ArrayLike, bootstrap_error: ArrayLike, confidence: float = 0.95) -> ExplainedShare:
    """Share of the generalisation gap that the bootstrap error explains: the ratio of their means over pairs.

    It is signed, and may exceed 1. The interval holds every share r for which a paired t test does not tell
    bootstrap error − r · gap from 0. Source: Fieller 1954, Journal of the Royal Statistical Society B 16, 175–185.

    Args:
        gap: float, (n,), finite, generalisation gap of each real run.
        bootstrap_error: float, (n,), finite, of the same pairs.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: rows of different length or empty, values that are not finite, or a confidence outside (0, 1).
    """
    gap, error = _couple(gap, bootstrap_error, ("gap", "bootstrap_error"))
    missed, n = tail(confidence), gap.size
    nonzero = abs(gap.mean()) > ROUNDING * np.abs(gap).max()
    share = float(error.mean() / gap.mean()) if nonzero else math.nan
    if n < 3:
        return ExplainedShare(n, share, None, None)
    reach = special.stdtrit(n - 1, 1 - missed / 2) ** 2 / n
    covariance = np.cov(gap, error)
    square = gap.mean() ** 2 - reach * covariance[0, 0]
    middle = gap.mean() * error.mean() - reach * covariance[0, 1]
    constant = error.mean() ** 2 - reach * covariance[1, 1]
    return ExplainedShare(n, share, *_fieller(float(square), float(middle), float(constant)))


def power_law(x: ArrayLike, low: ArrayLike, high: ArrayLike, confidence: float = 0.95) -> PowerLaw:
    """Slope of log T against log x, for T known to lie between bounds: regression by maximum likelihood.

    The profile likelihood is cut where it is exact for known T: at Student's t with two degrees of freedom less than
    there are different bounds that were reached. Sparse evaluations and censoring so make it wide, not wrong.
    Source: Tobin 1958, Econometrica 26, 24–36; the parameters in which it is concave: Olsen 1978, Econometrica 46.

    Args:
        x: float, (n,), positive.
        low, high: float, (n,), bounds of T, 0 ≤ low ≤ high; ``inf`` above where censored. Of a run that diverged
            nothing is known: 0 and ``inf``.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: rows of different length, fewer than 3 values, one x only, bounds out of order, or a confidence
            outside (0, 1).
    """
    tail(confidence)
    x, low, high = finite(x, "x", least=3), np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    _check_law(x, low, high)
    high = np.where(high < low * (1 + 1e-9), low, high)  # as good as known
    with np.errstate(divide="ignore"):
        log_x, log_low, log_high = np.log(x) - np.log(x).mean(), np.log(low), np.log(high)
    constant = np.ones((1, x.size))
    best = fit(log_low, log_high, np.vstack([constant, log_x]), NORMAL, least_spread=SHARPEST)
    points = np.unique(np.stack([x, low, high])[:, np.isfinite(high)], axis=1)
    allowed = cutoff(max(points.shape[1] - 2, 1), confidence)

    def excess(slope: float) -> float:
        line = slope * log_x
        profile = fit(log_low - line, log_high - line, constant, NORMAL, least_spread=SHARPEST)
        return best.log_likelihood - profile.log_likelihood - allowed

    slope = float(best.coefficients[1])
    interval = Bounds(*(profile_end(excess, slope, step, STEEPEST) for step in (-0.1, 0.1)))
    return PowerLaw(math.nan if interval == Bounds(-math.inf, math.inf) else slope, interval)


def threshold_size(sizes: ArrayLike, grokked: ArrayLike, n: ArrayLike) -> Bounds:
    """Neighbouring sizes between which the share of runs that grok passes a half; 0 or infinite beyond those tried.

    Rates are estimated by isotonic regression, the rising rates that are closest to the observed ones, by pooling
    adjacent violators. Source: Ayer et al. 1955, Annals of Mathematical Statistics 26, 641–647.

    Args:
        sizes: float, (sizes,), positive, rising, at least two.
        grokked: int, (sizes,), runs that grokked.
        n: int, () or (sizes,), runs; a run that diverged did not grok.

    Raises:
        ValueError: sizes that do not rise, or counts that do not fit.

    >>> threshold_size([100, 200, 400], [0, 3, 2], 4)
    Bounds(low=100.0, high=200.0)
    """
    sizes, grokked = _couple(sizes, grokked, ("sizes", "grokked"), least=2)
    n = _checked_counts(sizes, grokked, np.asarray(n, dtype=float))
    rates = optimize.isotonic_regression(grokked / n, weights=n).x
    below = int((rates < 0.5 - ROUNDING).sum())
    return Bounds(*np.concatenate([[0.0], sizes, [math.inf]])[below : below + 2].tolist())


def _couple(one: ArrayLike, other: ArrayLike, names: tuple[str, str], least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    first, second = finite(one, names[0], least), finite(other, names[1], least)
    if first.size != second.size:
        sizes = f"got {first.size} and {second.size}"
        raise ValueError(f"`{names[0]}` and `{names[1]}` must pair up, {sizes}. Give one value of each for every cell.")
    return first, second


def _ranks(values: ArrayLike, name: str) -> np.ndarray:
    """Average ranks from 1, infinities last."""
    row = np.asarray(values, dtype=float)
    if np.isnan(row).any():
        raise ValueError(f"`{name}` must not hold NaN. Write infinity where censored, and leave out what has no value.")
    return stats.rankdata(row, axis=0)


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


def _fieller(square: float, middle: float, constant: float) -> tuple[Bounds, Bounds | None]:
    """Where square · r² − 2 · middle · r + constant is at most 0, and a stretch inside that is not."""
    everything, root = Bounds(-math.inf, math.inf), middle**2 - square * constant
    if square == 0:
        limit = constant / (2 * middle) if middle else -math.inf
        return (Bounds(limit, math.inf) if middle >= 0 else Bounds(-math.inf, limit)), None
    if square < 0 and root <= 0:
        return everything, None
    ends = sorted((middle + sign * math.sqrt(max(root, 0))) / square for sign in (-1, 1))
    return (Bounds(*ends), None) if square > 0 else (everything, Bounds(*ends))


def _check_law(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    if not x.shape == low.shape == high.shape:
        shapes = ", ".join(str(row.shape) for row in (x, low, high))
        raise ValueError(f"`x`, `low` and `high` must have one shape, got {shapes}. Give bounds of T for every x.")
    if x.min() <= 0 or np.ptp(x) == 0:
        raise ValueError(f"`x` must be positive and take 2 values, got {x.min():g} to {x.max():g}. Vary it.")
    wrong = ~((low >= 0) & (low <= high) & (high > 0) & np.isfinite(low))
    if wrong.any():
        bounds = f"got {low[wrong][0]:g} to {high[wrong][0]:g}"
        raise ValueError(f"T must have bounds 0 ≤ low ≤ high, {bounds}. Where nothing is known, write 0 and infinity.")


def _checked_counts(sizes: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Runs of each size."""
    if sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"`sizes` must be positive and rise, got {sizes.tolist()}. Sort them, each once.")
    if n.shape not in ((), sizes.shape):
        raise ValueError(f"`n` must be one number or {sizes.size}, got shape {n.shape}. Give the runs of each size.")
    n = np.broadcast_to(n, sizes.shape)
    wrong = ~((grokked >= 0) & (grokked <= n) & (n >= 1))
    if wrong.any():
        counts = f"got {grokked[wrong][0]:g} of {n[wrong][0]:g}"
        raise ValueError(f"`grokked` must be between 0 and `n`, {counts} at size {sizes[wrong][0]:g}. Count runs.")
    return n

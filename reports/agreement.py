"""How cells agree with each other: ranks, predictions, shares, power laws, trends and thresholds.

One value per cell, or per run of ordered cells: does the ideal error predict the real one, how much of the
generalisation gap is bootstrap error, how does a step scale with a setting, and how many samples does grokking take?
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from reports.intervals import Bounds, t_interval
from reports.paired import ROUNDING, finite, tail

ARRANGEMENTS = 50_000  # ranks are rearranged in every way up to here: always for 8 values
RANK_MIN = 5  # fewest values for an interval of a rank correlation
SHARPEST = 1e-3  # smallest spread of log T that a power law tells from none
STEEPEST = 1e3  # a slope this far from the best one counts as open
Terms = tuple[float, np.ndarray, np.ndarray]  # a function's value, its slope and its curvature


@dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation with its interval and test.

    Attributes:
        name: "kendall" (tau-b) or "spearman".
        n: values.
        estimate: in [−1, 1]; NaN where one side does not vary.
        interval: by Fisher's z; None below 5 values and without an estimate.
        p: two-sided, of no association.
        exact: whether p counts all arrangements of the ranks, ties included; else tau's is normal, rho's Student's t.
    """

    name: str
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
        mean_absolute, root_mean_square: size of an error, in the unit of the values.
    """

    n: int
    mean: float
    interval: Bounds | None
    mean_absolute: float
    root_mean_square: float


@dataclass(frozen=True)
class Share:
    """A ratio of two paired means.

    Attributes:
        n: pairs.
        share: ratio of the means; NaN where the lower one is 0.
        interval: Fieller's; infinite at both ends where the lower mean may be 0; None below 3 pairs.
        excluded: values that an open interval still rules out, if any; None where the interval says it all.
    """

    n: int
    share: float
    interval: Bounds | None
    excluded: Bounds | None


@dataclass(frozen=True)
class PowerLaw:
    """T = exp(intercept) · x^slope, with normal scatter of log T.

    Attributes:
        n: values.
        censored: of them, those known only from below.
        slope: d log T / d log x; NaN, as intercept and spread, where the interval is open at both ends.
        interval: profile-likelihood interval of the slope; infinite where open.
        intercept: log T at x = 1, natural logarithm.
        spread: standard deviation of log T about the line; at least 0.001.
    """

    n: int
    censored: int
    slope: float
    interval: Bounds
    intercept: float
    spread: float


@dataclass(frozen=True)
class Threshold:
    """The size at which half of the runs reach an event.

    Attributes:
        estimate: the neighbouring sizes between which the rate passes a half; 0 or infinite beyond the sizes tried.
        interval: profile-likelihood interval; 0 or infinite where it reaches beyond the sizes tried.
    """

    estimate: Bounds
    interval: Bounds


def rank_agreement(x: ArrayLike, y: ArrayLike, confidence: float = 0.95) -> tuple[RankCorrelation, RankCorrelation]:
    """Kendall's tau-b and Spearman's rho between two values per cell.

    Intervals by Fisher's z with variance 0.437 / (n − 4) for tau, times what ties add to its variance without an
    association (Fieller, Hartley and Pearson 1957, Biometrika 44), and (1 + rho² / 2) / (n − 3) for rho (Bonett and
    Wright 2000, Psychometrika 65); a perfect correlation is taken as halfway to the next one that n values can have.
    P values are exact up to 8 cells.

    Args:
        x, y: float, (n,), in the same order; ``inf`` where censored: these rank last, equal to each other.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: rows of different length, fewer than 2 cells, NaN, or a confidence outside (0, 1).
    """
    x, y = _couple(_ranks(x, "x"), _ranks(y, "y"), ("x", "y"), least=2)
    missed = tail(confidence)
    return _kendall(x, y, missed), _spearman(x, y, missed)


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

    Its statistic is Kendall's between the group's place and the value, so tau-b is its effect. Exact where there
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
    """How far predictions lie from what came, one of each per cell.

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
    size = math.sqrt(np.mean(errors**2))
    return PredictionError(errors.size, float(errors.mean()), interval, float(np.abs(errors).mean()), size)


def explained_share(gap: ArrayLike, bootstrap_error: ArrayLike, confidence: float = 0.95) -> Share:
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
    told = abs(gap.mean()) > ROUNDING * np.abs(gap).max()
    share = float(error.mean() / gap.mean()) if told else math.nan
    if n < 3:
        return Share(n, share, None, None)
    reach = special.stdtrit(n - 1, 1 - missed / 2) ** 2 / n
    covariance = np.cov(gap, error)
    square = gap.mean() ** 2 - reach * covariance[0, 0]
    middle = gap.mean() * error.mean() - reach * covariance[0, 1]
    constant = error.mean() ** 2 - reach * covariance[1, 1]
    return Share(n, share, *_fieller(float(square), float(middle), float(constant)))


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
    missed = tail(confidence)
    x, low, high = finite(x, "x", least=3), np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    _check_law(x, low, high)
    reached, high = int(np.isfinite(high).sum()), np.where(high < low * (1 + 1e-9), low, high)  # as good as known
    with np.errstate(divide="ignore"):
        place, bounds = np.log(x) - np.log(x).mean(), np.log(np.stack([low, high]))
    best, (middle, slope, precision) = _likeliest(bounds, np.stack([np.ones_like(place), place]))
    places = np.unique(np.stack([x, low, high])[:, np.isfinite(high)], axis=1)
    df = max(places.shape[1] - 2, 1)
    cut = (df + 2) / 2 * math.log1p(special.stdtrit(df, 1 - missed / 2) ** 2 / df)

    def above(value: float) -> float:
        return best - _likeliest(bounds - value * place, np.ones((1, x.size)))[0] - cut

    interval = Bounds(_slope_end(above, slope, -1), _slope_end(above, slope, 1))
    if interval == Bounds(-math.inf, math.inf):
        slope = precision = math.nan
    intercept = float(middle - slope * np.log(x).mean())
    return PowerLaw(x.size, x.size - reached, float(slope), interval, intercept, float(1 / precision))


def threshold_size(sizes: ArrayLike, grokked: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Threshold:
    """Smallest pool that groks in half of the seeds.

    Estimate: where rising rates that are closest to those observed pass a half (isotonic regression by pooling
    adjacent violators; Ayer et al. 1955, Annals of Mathematical Statistics 26, 641–647). Interval: profile likelihood
    of a logistic curve in the log of the size that does not fall, cut by chi-squared with one degree of freedom; it
    also exists where every smaller pool fails and every larger one groks. A very skewed curve costs coverage (83 % at
    20 seeds, measured in the tests). Beyond the sizes tried nothing is said.

    Args:
        sizes: float, (sizes,), positive, rising, at least two.
        grokked: int, (sizes,), runs that grokked.
        n: int, () or (sizes,), runs; a run that diverged did not grok.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: sizes that do not rise, counts that do not fit, or a confidence outside (0, 1).
    """
    missed = tail(confidence)
    sizes, grokked = _couple(sizes, grokked, ("sizes", "grokked"), least=2)
    n = _checked_counts(sizes, grokked, np.asarray(n, dtype=float))
    log_size = np.log(sizes)
    place = (log_size - log_size[0]) / (log_size[-1] - log_size[0])
    best, middle = _logistic(place, grokked, n)
    cut = special.chdtri(1, missed) / 2

    def above(half: float) -> float:
        return best - _logistic_at(half, place, grokked, n) - cut

    def end(edge: int, beyond: float) -> float:
        inner = min(max(middle, 0.0), 1.0)
        if above(edge) <= 0 or (middle < 0 if edge == 0 else middle > 1):
            return beyond
        found = inner if above(inner) > 0 else optimize.brentq(above, edge, inner)
        return float(sizes[0] ** (1 - found) * sizes[-1] ** found)

    return Threshold(_isotonic_half(sizes, grokked, n), Bounds(end(0, 0.0), end(1, math.inf)))


def _couple(one: ArrayLike, other: ArrayLike, names: tuple[str, str], least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    first, second = finite(one, names[0], least), finite(other, names[1], least)
    if first.size != second.size:
        said = f"got {first.size} and {second.size}"
        raise ValueError(f"`{names[0]}` and `{names[1]}` must pair up, {said}. Give one value of each for every cell.")
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
        return RankCorrelation("kendall", n, math.nan, None, 1.0, True)
    score, spread = _concordance(x[None], y).item(), _concordance_spread(x, y)
    p = _permutation_p(x, y, _concordance)
    ties = (spread / untied) ** 2 / ((2 * n + 5) / (9 * pairs))
    variance = 0.437 / (n - 4) * ties if n >= RANK_MIN else math.inf
    interval = _fisher_z(score / untied, variance, 1 / pairs, missed)
    shown = 2 * float(special.ndtr(-abs(score) / spread)) if p is None else p
    return RankCorrelation("kendall", n, score / untied, interval, shown, p is not None)


def _concordance_spread(x: np.ndarray, y: np.ndarray) -> float:
    """Standard deviation of concordant less discordant pairs over all arrangements. Source: Kendall 1970, chapter 4."""
    n = x.size
    ties = [np.unique(row, return_counts=True)[1] for row in (x, y)]
    single = n * (n - 1) * (2 * n + 5) - sum((t * (t - 1) * (2 * t + 5)).sum() for t in ties)
    double = math.prod(float((t * (t - 1)).sum()) for t in ties) / (2 * n * (n - 1))
    triple = math.prod(float((t * (t - 1) * (t - 2)).sum()) for t in ties) / (9 * n * (n - 1) * max(n - 2, 1))
    return math.sqrt(single / 18 + double + triple)


def _spearman(x: np.ndarray, y: np.ndarray, missed: float) -> RankCorrelation:
    n = x.size
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return RankCorrelation("spearman", n, math.nan, None, 1.0, True)
    estimate = float(np.corrcoef(x, y)[0, 1])
    p = _permutation_p(x, y, _product)
    variance = (1 + estimate**2 / 2) / (n - 3) if n >= RANK_MIN else math.inf
    interval = _fisher_z(estimate, variance, 6 / (n * (n**2 - 1)), missed)
    shown = _student_p(estimate, n) if p is None else p
    return RankCorrelation("spearman", n, estimate, interval, shown, p is not None)


def _student_p(estimate: float, n: int) -> float:
    """Two-sided p value of a correlation, by Student's t."""
    with np.errstate(divide="ignore"):
        t = abs(estimate) * np.sqrt((n - 2) / np.maximum(1 - estimate**2, 0))
    return float(2 * special.stdtr(n - 2, -t))


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


def _product(rows: np.ndarray, y: np.ndarray) -> np.ndarray:
    return rows @ (y - y.mean())


def _permutation_p(x: np.ndarray, y: np.ndarray, score: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> float | None:
    """Share of all arrangements with as large a score, two-sided; None where there are too many."""
    x, y = sorted((x, y), key=_ways)
    if _ways(x) > ARRANGEMENTS:
        return None
    scores, observed = np.abs(score(_arrangements(x), y)), np.abs(score(x[None], y))
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
        found = f"got {low[wrong][0]:g} to {high[wrong][0]:g}"
        raise ValueError(f"T must have bounds 0 ≤ low ≤ high, {found}. Where nothing is known, write 0 and infinity.")


def _likeliest(bounds: np.ndarray, design: np.ndarray) -> tuple[float, np.ndarray]:
    """Largest log-likelihood of normal values known to lie between bounds, and (coefficients …, 1 / spread).

    Args:
        bounds: (2, n), equal where the value is known.
        design: (k, n), first row 1.
    """
    ends = bounds[np.isfinite(bounds)]
    centre, scale = (ends.mean(), max(ends.std(), SHARPEST)) if ends.size else (0.0, 1.0)
    start, free = np.append(np.zeros(len(design)), 1.0), np.full(len(design), math.inf)
    limits = np.append(-free, 1e-6), np.append(free, scale / SHARPEST)
    value, found = _maximum(lambda at: _censored_normal(at, (bounds - centre) / scale, design), start, *limits)
    coefficients = scale * found[:-1] / found[-1]
    coefficients[0] += centre
    return value - int((bounds[0] == bounds[1]).sum()) * math.log(scale), np.append(coefficients, found[-1] / scale)


@np.errstate(all="ignore")  # far from the maximum, masses vanish; such steps are halved
def _censored_normal(parameters: np.ndarray, bounds: np.ndarray, design: np.ndarray) -> Terms:
    """Log-likelihood with its derivatives in (coefficients / spread, 1 / spread), where it is concave."""
    precision, known = parameters[-1], bounds[0] == bounds[1]
    z = precision * bounds - parameters[:-1] @ design
    tails = special.log_ndtr(np.where(z[0] > 0, -z[::-1], z))  # of the mirrored bounds above the line: no cancellation
    log_mass = tails[1] + np.log(-np.expm1(np.where(known, -1.0, tails[0] - tails[1])))
    log_density = -0.5 * np.square(z) - 0.5 * math.log(2 * math.pi)
    pull = np.where(known, 0.0, np.exp(log_density - log_mass))
    z = np.where(np.isfinite(z), z, 0.0)
    low, high = (np.vstack([-design, np.where(np.isfinite(row), row, 0.0)]) for row in bounds)
    value = np.where(known, log_density[1] + math.log(precision), log_mass).sum()
    slope = high @ (pull[1] - known * z[1]) - low @ pull[0]
    curve = (high * (-(z[1] * pull[1]) - pull[1] ** 2 - known)) @ high.T
    curve += (low * (z[0] * pull[0] - pull[0] ** 2)) @ low.T
    cross = (high * pull[0] * pull[1]) @ low.T
    slope[-1] += known.sum() / precision
    curve[-1, -1] -= known.sum() / precision**2
    return float(value), slope, curve + cross + cross.T


def _maximum(
    terms: Callable[[np.ndarray], Terms], at: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[float, np.ndarray]:
    """Largest value of a concave function between limits, and where: Newton's method with steps halved as needed."""
    value, slope, curve = terms(at)
    for _ in range(200):
        held = ((at <= low) & (slope < 0)) | ((at >= high) & (slope > 0))
        free = ~held[:, None] & ~held
        ridge = held + 1e-12 * (1 + np.abs(np.diag(curve)))
        step = np.linalg.solve(np.where(free, -curve, 0) + np.diag(ridge), np.where(held, 0, slope))
        tried = (np.clip(at + step * 0.5**halved, low, high) for halved in range(40))
        better = next(((place, found) for place in tried if (found := terms(place))[0] > value), None)
        if better is None:
            break
        gain, (at, (value, slope, curve)) = better[1][0] - value, better
        if gain < 1e-11:
            break
    return value, at


def _slope_end(above: Callable[[float], float], slope: float, direction: int) -> float:
    """Where the profile falls below its cut on one side of the best slope; infinite where it does not."""
    step = 0.1
    while above(slope + direction * step) < 0:
        step *= 2
        if step > STEEPEST:
            return direction * math.inf
    return float(optimize.brentq(above, slope, slope + direction * step))


def _checked_counts(sizes: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Runs of each size."""
    if sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"`sizes` must be positive and rise, got {sizes.tolist()}. Sort them, each once.")
    if n.shape not in ((), sizes.shape):
        raise ValueError(f"`n` must be one number or {sizes.size}, got shape {n.shape}. Give the runs of each size.")
    n = np.broadcast_to(n, sizes.shape)
    wrong = ~((grokked >= 0) & (grokked <= n) & (n >= 1))
    if wrong.any():
        found = f"got {grokked[wrong][0]:g} of {n[wrong][0]:g}"
        raise ValueError(f"`grokked` must be between 0 and `n`, {found} at size {sizes[wrong][0]:g}. Count runs.")
    return n


def _isotonic_half(sizes: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> Bounds:
    """Between which sizes the rising rates closest to those observed pass a half."""
    rates = optimize.isotonic_regression(grokked / n, weights=n).x
    below = int((rates < 0.5 - ROUNDING).sum())
    return Bounds(*np.concatenate([[0.0], sizes, [math.inf]])[below : below + 2].tolist())


def _logistic(place: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> tuple[float, float]:
    """Largest log-likelihood of a logistic curve that does not fall, and where it passes a half."""
    design, steepest = np.stack([np.ones_like(place), place]), 1e3 / np.diff(place).min()

    def terms(parameters: np.ndarray) -> Terms:
        line = parameters @ design
        rate = special.expit(line)
        curve = -(design * (n * rate * (1 - rate))) @ design.T
        return _binomial(line, grokked, n), design @ (grokked - n * rate), curve

    limits = np.array([-10 * steepest, 0.0]), np.array([10 * steepest, steepest])
    best, (level, slope) = _maximum(terms, np.array([0.0, 1.0]), *limits)
    flat = slope < 1e-9
    return best, float(-level / slope) if not flat else (-math.inf if level >= 0 else math.inf)


def _logistic_at(half: float, place: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> float:
    """Largest log-likelihood of a logistic curve that passes a half there."""
    limits = (math.log(1e-6), math.log(1e3 / np.diff(place).min()))
    found = optimize.minimize_scalar(
        lambda slope: -_binomial(math.exp(slope) * (place - half), grokked, n), bounds=limits, method="bounded"
    )
    return float(-found.fun)


def _binomial(line: np.ndarray, grokked: np.ndarray, n: np.ndarray) -> float:
    """Log-likelihood of counts whose log odds are given."""
    return float(-(grokked * np.logaddexp(0, -line) + (n - grokked) * np.logaddexp(0, line)).sum())

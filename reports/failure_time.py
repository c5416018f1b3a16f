"""How many times later an event comes: ratios of steps between paired runs, and over settings by regression.

Steps are known between bounds as in `reports.survival`: low < step <= high, high infinite where censored, both ends
infinite where a run diverged or failed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, special

from reports.intervals import T_MIN, Bounds, median_bounds, median_interval
from reports.survival import Array, check_bounds
from reports.wording import plural

COLUMNS = ["estimate", "low", "high", "time_ratio", "ratio_low", "ratio_high"]
STEPS = 500  # of Newton's method; ten are usual, and one by one it comes down from where a bound is absurd
HALVES = 0.5 ** np.arange(40)
DOUBLINGS = 20  # of the distance from an estimate, after which an interval counts as open
STEEP = 1e3  # where a log-likelihood is minus infinity
NEAR = 10.0  # standardised bounds at which a search may start
ENOUGH = 1e-10  # rise of the log-likelihood that is not worth a step
TINY = 1e-6  # less is nothing


@dataclass(frozen=True)
class PairedRatio:
    """Typical ratio of the steps of paired runs.

    Attributes:
        estimate: bounds of the median of all averages of two log ratios (signed rank) or of the ratios themselves
            (sign), as a ratio; infinite: not reached. None without pairs.
        interval: exact confidence interval of the ratio, open ends 0 and infinity; None for too few pairs.
        method: "signed rank" or "sign".
        n: pairs.
        censored: pairs with a censored run.
        diverged: pairs with a run that diverged or failed.
    """

    estimate: Bounds | None
    interval: Bounds | None
    method: str
    n: int
    censored: int
    diverged: int


@dataclass(frozen=True)
class FailureTime:
    """An accelerated failure time model.

    Attributes:
        coefficients: ``name`` (intercept, then the covariates), ``estimate, low, high`` (on the natural log of steps),
            ``time_ratio, ratio_low, ratio_high`` (their exponentials; for the intercept, steps).
        shape: 1 over the scale of the log step. Weibull: above 1 the event grows more likely the longer a run
            trains (drift), at 1 it does not (memoryless escape).
        shape_interval: None where there are too few events.
        log_likelihood: of the bounds as probabilities, at most 0.
        n: runs.
        events: runs that reached the event.
        converged: whether the likelihood has a maximum and it was found.
        reason: why not; empty if it was.
    """

    coefficients: pd.DataFrame
    shape: float
    shape_interval: Bounds | None
    log_likelihood: float
    n: int
    events: int
    converged: bool
    reason: str


def signed_rank(n: int, confidence: float = 0.95) -> int | None:
    """Largest k for which the k-th smallest and k-th largest average of two of n values enclose the center this often.

    None where even the smallest and the largest do not (n < 6 at 95 %). Source: Wilcoxon's test, inverted.

    >>> signed_rank(5), signed_rank(6), signed_rank(10)
    (None, 1, 9)
    """
    chances = np.ones(1)  # of every sum of the ranks of positive values, were their signs random
    for rank in range(1, n + 1):
        chances = (np.append(chances, np.zeros(rank)) + np.append(np.zeros(rank), chances)) / 2
    return int((2 * chances.cumsum() <= 1 - confidence + 1e-12).sum()) or None


def paired_ratio(
    numerator_low: ArrayLike,
    numerator_high: ArrayLike,
    denominator_low: ArrayLike,
    denominator_high: ArrayLike,
    confidence: float = 0.95,
) -> PairedRatio:
    """Typical ratio of the steps of paired runs, with an interval that inverts the signed-rank test.

    Bounds are carried through: the interval's lower end is an order statistic of the averages of two log ratios at
    their lower ends, its upper end of those at their upper ends, so it covers wherever between their bounds the steps
    lie. A censored numerator leaves a ratio open above and ranks last. The test takes log ratios to be spread evenly
    about their center. Where a ratio is itself infinite or zero, because a run diverged, they are not,
    and the sign test's order statistics take its place. If both runs diverged, or one did and the other is
    censored, nothing is known of their ratio.

    Args:
        numerator_low, numerator_high, denominator_low, denominator_high: float, (pairs,), steps.
        confidence: coverage, in (0, 1).

    Raises:
        ValueError: not as many denominators as numerators.

    Source: Hodges and Lehmann 1963; Bauer 1972.

    >>> paired_ratio([20] * 6, [40] * 6, [10] * 6, [15] * 6).estimate
    Bounds(low=1.333..., high=3.99...)
    """
    top, bottom = check_bounds(numerator_low, numerator_high), check_bounds(denominator_low, denominator_high)
    n = top[0].size
    if bottom[0].size != n:
        raise ValueError(f"Every numerator needs its denominator, got {n} and {bottom[0].size} runs.")
    lows, highs = _log_ratios(top, bottom)
    symmetric = not (np.isposinf(lows) | np.isneginf(highs)).any()
    if symmetric:
        averages = _averages(lows), _averages(highs)
        estimate, interval = median_bounds(*averages), _extremes(*averages, signed_rank(n, confidence))
    else:
        estimate, interval = median_bounds(lows, highs), median_interval(lows, highs, confidence)
    censored = sum(np.isfinite(low) & np.isinf(high) for low, high in (top, bottom)) > 0
    diverged = np.isinf(top[0]) | np.isinf(bottom[0])
    method = "signed rank" if symmetric else "sign"
    return PairedRatio(_exp(estimate), _exp(interval), method, n, int(np.sum(censored)), int(diverged.sum()))


def accelerated_failure_time(
    low: ArrayLike,
    high: ArrayLike,
    covariates: pd.DataFrame | None = None,
    distribution: str = "weibull",
    confidence: float = 0.95,
) -> FailureTime:
    """Maximum-likelihood regression of log(step) on covariates, for steps known between bounds.

    Intervals are those of the profile likelihood, with the cutoff that would make them Student's for normal errors: for
    e events and p parameters (coefficients and shape) e·log(1 + t²/(e − p)), t of e − p degrees of freedom. (That of
    chi-squared covers as little as 79 % instead of 95 % at five runs in two arms.) They need more events than
    parameters. A step known exactly counts as one between it and the step before.

    Args:
        low, high: float, (n,), steps.
        covariates: one numeric column each, (n, covariates); an intercept is added.
        distribution: "weibull" or "log_logistic".
        confidence: coverage, in (0, 1).

    Returns:
        the model. Not converged, with NaN: below three runs; no event, or none after the first evaluation; a run that
        diverged, for which this model has no place; intervals that steps without spread fit; covariates that determine
        each other. Not converged, with an infinite estimate and an interval open to that side: a covariate that
        separates censored runs from others; what else is finite there is likeliest all the same.

    Raises:
        ValueError: another distribution, or covariates that are not finite numbers for every run.

    Source: Kalbfleisch and Prentice 1980; concavity in shape and scaled coefficients: Burridge 1981.

    >>> accelerated_failure_time([90, 190, 390], [100, 200, 400]).coefficients["time_ratio"].round().tolist()
    [259.0]
    """
    low, high = _whole_steps(*check_bounds(low, high))
    if distribution not in LAWS:
        raise ValueError(f"Unknown distribution '{distribution}'. Known: {', '.join(LAWS)}.")
    table = pd.DataFrame(index=range(low.size)) if covariates is None else covariates
    design, names = _design(table, low.size), ["intercept", *map(str, table.columns)]
    reason = _hopeless(low, high)
    if reason:
        return _no_model(names, high, reason)
    return _fitted(low, high, design, names, LAWS[distribution], confidence)


def _fitted(low: Array, high: Array, design: Array, names: list[str], law: "_Law", confidence: float) -> FailureTime:
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1
    likelihood = _Likelihood.of(low, high, design / scale, law)
    falls, rises = likelihood.unbounded()
    reason = _endless(falls, rises, names)
    if reason:
        return _no_model(names, high, reason)
    peak = likelihood.peak(_start(low, high, len(names)))
    if not peak.found:
        return _no_model(names, high, "The search for the maximum did not end.")
    events = int(np.isfinite(high).sum())
    cutoff = _cutoff(events, 1 + len(names), confidence)
    ends = [_coefficient(likelihood, peak, j, cutoff, falls=falls[j], rises=rises[j]) for j in range(1, 1 + len(names))]
    shape = float(peak.point[0]), _shape_interval(likelihood, peak, cutoff)
    separate = ", ".join(np.array(names)[(falls | rises)[1:]])
    reason = f"Without bound, as it separates censored runs from others: {separate}." if separate else ""
    coefficients = _table(names, np.array(ends) / scale[:, None])
    return FailureTime(coefficients, *shape, peak.value, low.size, events, not reason, reason)


class _Law(NamedTuple):
    """Distribution of the standardised log step: log survival, log density, and the slope of the latter."""

    survival: Callable[[Array], Array]
    density: Callable[[Array], Array]
    slope: Callable[[Array], Array]


LAWS = {
    "weibull": _Law(lambda z: -np.exp(z), lambda z: z - np.exp(z), lambda z: 1 - np.exp(z)),
    "log_logistic": _Law(
        lambda z: -np.logaddexp(0, z), lambda z: z - 2 * np.logaddexp(0, z), lambda z: -np.tanh(z / 2)
    ),
}


class _Peak(NamedTuple):
    """Highest log-likelihood, where it is, and whether the search ended there."""

    value: float
    point: Array
    found: bool


@dataclass(frozen=True)
class _Likelihood:
    """Chance of the bounds of N runs at P parameters: shape, then shape times coefficients.

    In these the standardised log bounds are linear, ``offset + rows @ point``, and the log-likelihood is concave.
    """

    law: _Law
    low_N: Array
    low_NP: Array
    high_N: Array
    high_NP: Array

    @classmethod
    def of(cls, low: Array, high: Array, design: Array, law: _Law) -> "_Likelihood":
        sides = []
        for ends, known, beyond in ((low, low > 0, -np.inf), (high, np.isfinite(high), np.inf)):
            log = np.log(np.where(known, ends, 1))
            sides += [np.where(known, 0, beyond), np.column_stack([log, -design]) * known[:, None]]
        return cls(law, *sides)

    def along(self, point: Array, ways: Array) -> "_Likelihood":
        """The likelihood on the plane through a point that some ways, (P, fewer), span."""
        low, high = self._standard(point)
        return _Likelihood(self.law, low, self.low_NP @ ways, high, self.high_NP @ ways)

    def unbounded(self) -> tuple[Array, Array]:
        """Whether each parameter can fall, and can rise, for ever without making any run less likely."""
        rows = np.concatenate([self.low_NP, -self.high_NP])
        goals = np.concatenate([np.eye(rows.shape[1]), -np.eye(rows.shape[1])])
        reach = [-optimize.linprog(goal, rows, np.zeros(len(rows)), bounds=(-1, 1)).fun for goal in goals]
        falls, rises = np.split(np.array(reach) > TINY, 2)
        return falls, rises

    def peak(self, start: Array) -> _Peak:
        """Newton's method, with steps halved until they rise.

        None moves a bound by more than 2, or half of the farthest one: where the likelihood is almost a plane a whole
        step would lead far astray.
        """
        point, value = start, self._value(start)
        for _ in range(STEPS if np.isfinite(value) else 0):
            slope, curvature = self._slopes(point)
            step = np.linalg.lstsq(curvature, slope)[0]
            gain = slope @ step
            if gain < ENOUGH:
                return _Peak(value, point, True)
            move = max(np.abs(self.low_NP @ step).max(), np.abs(self.high_NP @ step).max())
            longest = min(1.0, max(2.0, self.farthest(point) / 2) / move)
            length = next((x for x in longest * HALVES if self._value(point + x * step) > value + 1e-4 * x * gain), 0.0)
            if not length:  # the rise is lost in rounding
                return _Peak(value, point, bool(gain < TINY))
            point, value = point + length * step, self._value(point + length * step)
        return _Peak(value, point, False)

    def farthest(self, point: Array) -> float:
        """Largest standardised bound, of either sign."""
        ends = np.concatenate(self._standard(point))
        return float(np.abs(ends[np.isfinite(ends)]).max())

    def _standard(self, point: Array) -> tuple[Array, Array]:
        return self.low_N + self.low_NP @ point, self.high_N + self.high_NP @ point

    def _logs(self, point: Array) -> Array:
        """Log of every run's chance."""
        low, high = self._standard(point)
        with np.errstate(all="ignore"):
            before, after = self.law.survival(low), self.law.survival(high)
            return before + np.log(-np.expm1(after - before))

    def _value(self, point: Array) -> float:
        with np.errstate(over="ignore"):
            value = self._logs(point).sum()
        return float(value) if np.isfinite(value) else -math.inf

    def _slopes(self, point: Array) -> tuple[Array, Array]:
        """Slope of the log-likelihood and its curvature, upwards."""
        low, high = self._standard(point)
        low_rate, low_slope = self._rates(low, self._logs(point))
        high_rate, high_slope = self._rates(high, self._logs(point))
        mixed = self.low_NP.T @ ((low_rate * high_rate)[:, None] * self.high_NP)
        curvature = self.low_NP.T @ ((low_rate * (low_slope + low_rate))[:, None] * self.low_NP)
        curvature -= self.high_NP.T @ ((high_rate * (high_slope - high_rate))[:, None] * self.high_NP)
        return self.high_NP.T @ high_rate - self.low_NP.T @ low_rate, curvature - mixed - mixed.T

    def _rates(self, ends: Array, log: Array) -> tuple[Array, Array]:
        known = np.isfinite(ends)
        ends = np.where(known, np.minimum(ends, 700), 0)  # beyond it the density is nothing, and exp overflows
        return np.exp(np.where(known, self.law.density(ends) - log, -np.inf)), self.law.slope(ends)


def _log_ratios(top: tuple[Array, Array], bottom: tuple[Array, Array]) -> tuple[Array, Array]:
    """Bounds of log ratios; open where neither step is known to be the smaller infinite, or zero, one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lows, highs = np.log(top[0]) - np.log(bottom[1]), np.log(top[1]) - np.log(bottom[0])
    return np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs)


def _averages(values: Array) -> Array:
    """Averages of all pairs of values, each with itself too."""
    return np.add.outer(values, values)[np.triu_indices(values.size)] / 2


def _extremes(lows: Array, highs: Array, rank: int | None) -> Bounds | None:
    return None if rank is None else Bounds(float(np.sort(lows)[rank - 1]), float(np.sort(highs)[-rank]))


def _exp(bounds: Bounds | None) -> Bounds | None:
    return None if bounds is None else Bounds(*(float(np.exp(end)) for end in bounds))


def _design(covariates: pd.DataFrame, n: int) -> Array:
    """Intercept and covariates, (n, coefficients)."""
    values = covariates.to_numpy(dtype=float)
    if len(values) != n or not np.isfinite(values).all():
        raise ValueError(f"`covariates` must be finite numbers for each of {n} runs.")
    return np.column_stack([np.ones(n), values])


def _whole_steps(low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds with a step known exactly put between it and the one before, and step 0 before step 1."""
    exact = np.isfinite(high) & (low == high)
    return np.where(exact, np.maximum(high - 1, 0), low), np.where(exact, np.maximum(high, 1), high)


def _hopeless(low: Array, high: Array) -> str:
    """Why the bounds have no model, whatever the covariates; empty if they may have one."""
    broken, reached = int(np.isinf(low).sum()), np.isfinite(high)
    if low.size < T_MIN:
        return f"{plural(low.size, 'run')}: too few."
    if broken:
        return f"{broken} of {low.size} diverged or failed: this model has no place for a step that never comes."
    if not reached.any():
        return "No run reached the event."
    if not low[reached].any():
        return "Every run that reached the event did so by its first evaluation."
    return ""


def _endless(falls: Array, rises: Array, names: list[str]) -> str:
    """Why no parameters are the likeliest, from what each may do without loss; empty if one separates at most."""
    if rises[0]:
        return "Steps without spread fit all intervals: the shape has no estimate."
    determined = ", ".join(np.array(names)[(falls & rises)[1:]])
    return f"Covariates determine each other: {determined}." if determined else ""


def _no_model(names: list[str], high: Array, reason: str) -> FailureTime:
    table = _table(names, np.full((len(names), 3), np.nan))
    return FailureTime(table, math.nan, None, math.nan, high.size, int(np.isfinite(high).sum()), False, reason)


def _table(names: list[str], ends: Array) -> pd.DataFrame:
    with np.errstate(over="ignore"):
        values = np.concatenate([ends, np.exp(ends)], axis=1)
    return pd.DataFrame(values, columns=COLUMNS).assign(name=names)[["name", *COLUMNS]]


def _start(low: Array, high: Array, coefficients: int) -> Array:
    """Shape and scaled coefficients of runs that differ by chance only."""
    middle = np.log((low + np.where(np.isfinite(high), high, low)) / 2 + 1)
    shape = 1 / max(middle.std(), 0.5)
    return np.append([shape, shape * middle.mean()], np.zeros(coefficients - 1))


def _cutoff(events: int, parameters: int, confidence: float) -> float:
    """Fall of twice the log-likelihood at the ends of an interval; NaN for too few events."""
    free = events - parameters
    t = special.stdtrit(free, (1 + confidence) / 2) if free > 0 else np.nan
    return float(events * np.log1p(t**2 / free)) if free > 0 else math.nan


def _coefficient(
    likelihood: _Likelihood, peak: _Peak, j: int, cutoff: float, *, falls: bool, rises: bool
) -> tuple[float, float, float]:
    """Estimate of the j-th coefficient and the ends of its interval."""
    estimate = peak.point[j] / peak.point[0]

    def highest(value: float) -> float:
        ways = np.delete(np.eye(peak.point.size), j, axis=1)
        ways[j, 0] = value
        plane, start = likelihood.along(np.zeros(peak.point.size), ways), np.delete(peak.point, j)
        return plane.peak(start * min(1.0, NEAR / plane.farthest(start))).value

    low, high = (_end(highest, peak.value, cutoff, estimate, step / peak.point[0]) for step in (-1, 1))
    return (-math.inf if falls else math.inf if rises else estimate), low, high


def _shape_interval(likelihood: _Likelihood, peak: _Peak, cutoff: float) -> Bounds | None:
    if math.isnan(cutoff):
        return None
    shape = np.eye(1, peak.point.size)[0]
    rest = np.eye(peak.point.size)[:, 1:]

    def highest(log: float) -> float:
        value = math.exp(log)
        return likelihood.along(value * shape, rest).peak(peak.point[1:] * value / peak.point[0]).value

    middle = math.log(peak.point[0])
    return Bounds(*(math.exp(_end(highest, peak.value, cutoff, middle, step)) for step in (-0.5, 0.5)))


def _end(highest: Callable[[float], float], top: float, cutoff: float, middle: float, step: float) -> float:
    """Where twice the log-likelihood has fallen by the cutoff, seen from the estimate; infinite if nowhere."""
    if math.isnan(cutoff):
        return math.nan

    def excess(value: float) -> float:
        return min(2 * (top - highest(value)) - cutoff, STEEP)

    for _ in range(DOUBLINGS):
        if excess(middle + step) > 0:
            return float(optimize.brentq(excess, middle, middle + step, xtol=1e-6))
        middle, step = middle + step, 2 * step
    return math.copysign(math.inf, step)

"""How many times later an event comes in paired runs, and whether it comes by drift or by chance: Weibull's shape.

Steps are known between bounds as in `survival`: low < step <= high, high infinite where censored, both ends
infinite where a run diverged or failed.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deepboot.reports.statistics.censored_regression import WEIBULL, cutoff, fit, profile_end
from deepboot.reports.statistics.intervals import T_MIN, Bounds, median_bounds, median_interval
from deepboot.reports.statistics.signed_rank import averages_at, averages_of, signed_rank
from deepboot.reports.statistics.survival import Array, check_bounds
from deepboot.reports.text import plural

FARTHEST = 100.0  # from the log of the shape, at which the search for an end gives up; there is one


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
class WeibullShape:
    """Shape of a Weibull law of the steps.

    Attributes:
        estimate: 1 over the scale of the log step. Above 1 the event grows more likely the longer a run trains (drift),
            at 1 it does not (memoryless escape). NaN where there is none.
        interval: None where there are too few events.
        reason: why there is no estimate; empty if there is one.
    """

    estimate: float
    interval: Bounds | None
    reason: str


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

    Source: Hodges and Lehmann 1963.

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
        estimate, interval = _median_average(lows, highs), _enclosing_averages(lows, highs, signed_rank(n, confidence))
    else:
        estimate, interval = median_bounds(lows, highs), median_interval(lows, highs, confidence)
    censored = sum(np.isfinite(low) & np.isinf(high) for low, high in (top, bottom)) > 0
    diverged = np.isinf(top[0]) | np.isinf(bottom[0])
    method = "signed rank" if symmetric else "sign"
    return PairedRatio(_exp(estimate), _exp(interval), method, n, int(np.sum(censored)), int(diverged.sum()))


def weibull_shape(low: ArrayLike, high: ArrayLike, confidence: float = 0.95) -> WeibullShape:
    """Shape of the Weibull law that is likeliest for steps known between bounds.

    Interval: the profile likelihood, cut as `censored_regression.cutoff` says, with the runs that reached the
    event less shape and scale as degrees of freedom. It needs three such runs. A step known exactly counts as one
    between it and the step before.

    Args:
        low, high: float, (n,), steps.
        confidence: coverage, in (0, 1).

    Returns:
        the shape. NaN, with the reason: below three runs; no event, or none after the first evaluation; a run that
        diverged, for which this law has no place; steps without spread.

    Source: Kalbfleisch and Prentice 1980, The Statistical Analysis of Failure Time Data.

    >>> round(weibull_shape([90, 190, 390], [100, 200, 400]).estimate, 2)
    1.96
    """
    low, high = _whole_steps(*check_bounds(low, high))
    reason = _no_shape(low, high)
    if reason:
        return WeibullShape(math.nan, None, reason)
    df = int(np.isfinite(high).sum()) - 2
    bounds, counts = np.unique([low, high], axis=1, return_counts=True)  # evaluations are few, runs may be many
    constant = np.ones((1, counts.size))
    with np.errstate(divide="ignore"):
        log_low, log_high = np.log(bounds)
    best = fit(log_low, log_high, constant, WEIBULL, counts=counts)
    if not best.converged:
        return WeibullShape(math.nan, None, "The search for the maximum did not end.")
    if df < 1:
        return WeibullShape(best.precision, None, "")
    allowed = cutoff(df, confidence)

    def excess(log_shape: float) -> float:
        profile = fit(log_low, log_high, constant, WEIBULL, counts=counts, precision=math.exp(log_shape))
        return best.log_likelihood - profile.log_likelihood - allowed

    middle = math.log(best.precision)
    ends = (profile_end(excess, middle, step, FARTHEST) for step in (-0.5, 0.5))
    return WeibullShape(best.precision, Bounds(*map(math.exp, ends)), "")


def _log_ratios(top: tuple[Array, Array], bottom: tuple[Array, Array]) -> tuple[Array, Array]:
    """Bounds of log ratios; open where neither step is known to be the smaller infinite, or zero, one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lows, highs = np.log(top[0]) - np.log(bottom[1]), np.log(top[1]) - np.log(bottom[0])
    return np.where(np.isnan(lows), -np.inf, lows), np.where(np.isnan(highs), np.inf, highs)


def _median_average(lows: Array, highs: Array) -> Bounds | None:
    """As `median_bounds` of the averages of two."""
    count = averages_of(lows.size)
    if not count:
        return None
    middle = [(count + 1) // 2, count // 2 + 1]
    return median_bounds(averages_at(lows, middle), averages_at(highs, middle))


def _enclosing_averages(lows: Array, highs: Array, rank: int | None) -> Bounds | None:
    if rank is None:
        return None
    count = averages_of(lows.size)
    return Bounds(*averages_at(lows, [rank]), *averages_at(highs, [count + 1 - rank]))


def _exp(bounds: Bounds | None) -> Bounds | None:
    return None if bounds is None else Bounds(*(float(np.exp(end)) for end in bounds))


def _whole_steps(low: Array, high: Array) -> tuple[Array, Array]:
    """Bounds with a step known exactly put between it and the one before, and step 0 before step 1."""
    exact = np.isfinite(high) & (low == high)
    return np.where(exact, np.maximum(high - 1, 0), low), np.where(exact, np.maximum(high, 1), high)


def _no_shape(low: Array, high: Array) -> str:
    """Why no shape is the likeliest; empty if one is."""
    broken, reached = int(np.isinf(low).sum()), np.isfinite(high)
    if low.size < T_MIN:
        return f"{plural(low.size, 'run')}: too few."
    if broken:
        return f"{broken} of {low.size} diverged or failed: this model has no place for a step that never comes."
    if not reached.any():
        return "No run reached the event."
    if not low[reached].any():
        return "Every run that reached the event did so by its first evaluation."
    if low.max() <= high.min():
        return "Steps without spread fit all intervals: the shape has no estimate."
    return ""

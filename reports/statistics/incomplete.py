"""Means of values with some missing: a missing value may be anything between two ends, and none is guessed.

A value is NaN where a run diverged, failed, is unfinished or lost its partner. Its ends are the metric's: an
error lies in [0, 1], so a bootstrap error lies in [−1, 1]; a loss has no upper end.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import T_MIN, Bounds, order_rank, seeds_for_median
from deepboot.reports.text import percent, plural

ANYTHING = Bounds(-math.inf, math.inf)
MOST_OPEN = 12  # values with ends of their own: there is one completion for each subset
STILL = 1e-12  # a spread below this share of the largest value, or of 1, is rounding


def mean_bounds(values: ArrayLike, limits: Bounds = ANYTHING) -> Bounds | None:
    """Bounds of the mean, from all missing values at their lower end to all at their upper end; None without a value.

    Args:
        values: float, (n,), NaN where missing.
        limits: the ends of a missing value, infinite where it has none.

    >>> mean_bounds([0.25, 0.75, float("nan")], Bounds(0, 1))
    Bounds(low=0.333..., high=0.666...)
    """
    values = np.asarray(values, dtype=float)
    if np.isnan(values).all():
        return None
    return Bounds(*(float(np.where(np.isnan(values), end, values).mean()) for end in limits))


def mean_interval(values: ArrayLike, confidence: float = 0.95, limits: Bounds = ANYTHING) -> Bounds | None:
    """Interval of the mean that holds Student's t interval of the complete values, whatever the missing ones are.

    The lower end of a t interval is concave in the values and its upper end convex, so over all missing values between
    the limits both are extreme where each of these is at one of its ends. The interval reaches over the t intervals of
    all such completions, so it covers at least as often as the t interval of complete values does, however it depends
    on the values which of them are missing. Infinite at both ends where a missing value has no limit.

    Values without any spread say nothing about it, and their t interval would have no width at any confidence. The sign
    test takes its place: the value itself where so many equal ones are rare enough, from 6 on at 95 %.

    Args:
        values: float, (n,), NaN where missing.
        confidence: coverage, in (0, 1).
        limits: the ends of a missing value.

    Returns:
        None below three known values, and for too few values without a spread; `no_interval` has the reason in words.

    >>> mean_interval([1.0, 2.0, 3.0]), mean_interval([1.0, 1.0, 1.0])
    (Bounds(low=-0.484..., high=4.484...), None)
    """
    values = np.asarray(values, dtype=float)
    known = values[~np.isnan(values)]
    missing = values.size - known.size
    if known.size < T_MIN:
        return None
    if missing and not all(map(math.isfinite, limits)):
        return ANYTHING
    if not missing and still(known):
        return Bounds(float(known[0]), float(known[0])) if order_rank(known.size, confidence) else None
    filled = np.where(np.arange(missing) < np.arange(missing + 1)[:, None], limits.high, limits.low)
    complete = np.concatenate([np.tile(known, (missing + 1, 1)), filled], axis=1)
    return _hull_of_t(complete, confidence)


def t_spread(values: ArrayLike) -> float | None:
    """Standard deviation of values whose `mean_interval` is Student's t interval of all of them.

    None where the interval is another one or there is none: values are missing, fewer than three, or without a spread.

    >>> t_spread([1.0, 2.0, 3.0]), t_spread([1.0, 1.0, 1.0]), t_spread([1.0, 2.0, float("nan"), 3.0])
    (1.0, None, None)
    """
    values = np.asarray(values, dtype=float)
    student = values.size >= T_MIN and not np.isnan(values).any() and not still(values)
    return float(values.std(ddof=1)) if student else None


def interval_between(lows: ArrayLike, highs: ArrayLike, confidence: float = 0.95) -> Bounds | None:
    """As `mean_interval`, of values that each lie between ends of their own; infinite where more than twelve are open.

    Args:
        lows, highs: float, (n,), equal where a value is known.
        confidence: coverage, in (0, 1).

    >>> interval_between([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    Bounds(low=-1.46..., high=6.12...)
    """
    lows, highs = np.asarray(lows, dtype=float), np.asarray(highs, dtype=float)
    opened = np.flatnonzero(lows != highs)
    if not opened.size:
        return mean_interval(lows, confidence)
    if lows.size < T_MIN or opened.size > MOST_OPEN or not np.isfinite(highs - lows).all():
        return None if lows.size < T_MIN else ANYTHING
    upper = np.arange(2**opened.size)[:, None] >> np.arange(opened.size) & 1 == 1
    complete = np.tile(lows, (len(upper), 1))
    complete[:, opened] = np.where(upper, highs[opened], lows[opened])
    return _hull_of_t(complete, confidence)


def _hull_of_t(complete: np.ndarray, confidence: float) -> Bounds:
    """From the lowest to the highest end of the t intervals of the rows, float, (completions, n)."""
    n = complete.shape[1]
    half = special.stdtrit(n - 1, (1 + confidence) / 2) * complete.std(axis=1, ddof=1) / math.sqrt(n)
    means = complete.mean(axis=1)
    return Bounds(float((means - half).min()), float((means + half).max()))


def still(values: np.ndarray) -> bool:
    """Whether values have no spread beyond rounding."""
    return values.size > 0 and bool(np.ptp(values) <= STILL * max(1.0, np.abs(values).max()))


def no_interval(values: ArrayLike, items: str, confidence: float) -> str:
    """Why `mean_interval` is None, in words.

    >>> no_interval([1.0, float("nan")], "pairs", 0.95)
    '1 pair, and a t interval needs 3'
    """
    values = np.asarray(values, dtype=float)
    known = int((~np.isnan(values)).sum())
    if known < T_MIN:
        return f"{plural(known, items.removesuffix('s'))}, and a t interval needs {T_MIN}"
    needed = f"a {percent(confidence)} interval without a spread needs {seeds_for_median(confidence)}"
    return f"all {plural(known, items.removesuffix('s'))} have the same value, and {needed}"

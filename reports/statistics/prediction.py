"""The ideal world as a prediction: its error over cells, and the share of the generalisation gap that it explains."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import Bounds, t_interval
from deepboot.reports.statistics.paired import ROUNDING, couple, tail


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
    predicted, actual = couple(predicted, actual, ("predicted", "actual"))
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
    gap, error = couple(gap, bootstrap_error, ("gap", "bootstrap_error"))
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

"""The shape of a distribution of waiting times: without memory, as of an escape, or narrow, as of a steady drift."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from deepboot.reports.statistics.censored_regression import WEIBULL, cutoff, fit, profile_end
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.paired import tail
from deepboot.reports.statistics.survival import check_bounds

SHARPEST = 1e-3  # smallest spread of the log waiting time that is told from none
FARTHEST = math.log(1e3)  # a shape a thousand times the best one counts as open
REACHED_MIN = 3  # fewest waits known to have ended, for an interval


@dataclass(frozen=True)
class WeibullShape:
    """Weibull's shape of waiting times.

    Attributes:
        shape: 1 where the chance to end within the next step does not depend on how long one has waited; larger
            where it grows with the wait, and the times lie closer together.
        interval: profile-likelihood interval of the shape; infinite where open.
    """

    shape: float
    interval: Bounds


def weibull_shape(low: ArrayLike, high: ArrayLike, confidence: float = 0.95) -> WeibullShape | None:
    """The shape k of Weibull's law P(T > t) = exp(−(t / scale)^k), for waits T known to lie between bounds.

    The profile likelihood is cut as `censored_regression.cutoff` has it, with one degree of freedom less than there are
    different waits that ended. By simulation (Weibull waits known to an eighth of an octave, a fifth of them censored)
    the 95 % interval covers a shape of 1 in 98 % of samples of 6 or 20 waits and in 97 of 100 of 200, and a shape of 4
    in 99, 98 and 93 %.
    Source: Lawless 2003, Statistical Models and Methods for Lifetime Data, chapter 5.

    Args:
        low, high: float, (n,), bounds of the waits, 0 ≤ low ≤ high; ``inf`` above where censored.
        confidence: coverage, in (0, 1).

    Returns:
        None where fewer than three different waits ended.

    Raises:
        ValueError: rows of different length, bounds out of order, or a confidence outside (0, 1).
    """
    tail(confidence)
    low, high = check_bounds(low, high)
    high = np.where(high < low * (1 + 1e-9), low, high)  # as good as known
    ended = len(np.unique(np.stack([low, high])[:, np.isfinite(high)], axis=1).T)
    if ended < REACHED_MIN:
        return None
    with np.errstate(divide="ignore"):
        log_low, log_high = np.log(low), np.log(high)
    constant = np.ones((1, low.size))
    best = fit(log_low, log_high, constant, WEIBULL, least_spread=SHARPEST)
    allowed = cutoff(ended - 1, confidence)

    def excess(log_shape: float) -> float:
        profile = fit(log_low, log_high, constant, WEIBULL, precision=math.exp(log_shape))
        return best.log_likelihood - profile.log_likelihood - allowed

    at = math.log(best.precision)
    ends = (profile_end(excess, at, step, FARTHEST) for step in (-0.1, 0.1))
    return WeibullShape(best.precision, Bounds(*map(math.exp, ends)))

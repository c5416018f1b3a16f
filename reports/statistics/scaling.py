"""How steps scale with a setting: the exponent of a power law, and the pool size at which half of the runs grok."""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from deepboot.reports.statistics.censored_regression import NORMAL, cutoff, fit, profile_end
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.paired import ROUNDING, couple, finite, tail

SHARPEST = 1e-3  # smallest spread of log T that a power law tells from none
STEEPEST = 1e3  # a slope this far from the best one counts as open


@dataclass(frozen=True)
class PowerLaw:
    """T = c · x^slope, with normal scatter of log T.

    Attributes:
        slope: d log T / d log x; NaN where the interval is open at both ends.
        interval: profile-likelihood interval of the slope; infinite where open.
    """

    slope: float
    interval: Bounds


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
    sizes, grokked = couple(sizes, grokked, ("sizes", "grokked"), least=2)
    n = _checked_counts(sizes, grokked, np.asarray(n, dtype=float))
    rates = scipy.optimize.isotonic_regression(grokked / n, weights=n).x
    below = int((rates < 0.5 - ROUNDING).sum())
    return Bounds(*np.concatenate([[0.0], sizes, [math.inf]])[below : below + 2].tolist())


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

"""What a finite test set adds to a test error, beside the spread over seeds."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.paired import finite, tail

ROUNDING = 1e-9  # by which a mean over blocks of a test set may lie outside [0, 1]


@dataclass(frozen=True)
class ErrorNoise:
    """What a finite test set adds to a test error, beside the spread over seeds.

    Attributes:
        error: mean test error, in [0, 1].
        standard_error: binomial standard error of one run's test error.
        seed_spread: standard deviation of the test error over seeds; NaN for one seed.
        share: of the variance over seeds, the part that the test set alone would give where every seed has its
            own; above 1 where the seeds vary less than that; NaN where they do not vary.
        interval: of the share, for errors that vary normally over seeds; None below 3 seeds and without a share.
    """

    error: float
    standard_error: float
    seed_spread: float
    share: float
    interval: Bounds | None


def noise_of_test_set(error: ArrayLike, n_test: int, confidence: float = 0.95) -> ErrorNoise:
    """Binomial standard error of one run's test error, beside the spread of the error over seeds.

    It holds for test samples that were drawn, not for all cells of a finite universe; a soft error varies at
    most as much. Partners share their test set, so their difference varies less than two such errors.

    Args:
        error: float, one run's test error, or (n,) of all seeds, in [0, 1].
        n_test: test samples per run.
        confidence: coverage of the share's interval, in (0, 1).

    Raises:
        ValueError: an error outside [0, 1], no test samples, or a confidence outside (0, 1).

    >>> round(noise_of_test_set(0.1, 10_000).standard_error, 6)
    0.003
    """
    errors, missed = finite(np.atleast_1d(np.asarray(error, dtype=float)), "error"), tail(confidence)
    if n_test < 1:
        raise ValueError(f"`n_test` must be at least 1, got {n_test}. Give the size of the test set.")
    if errors.min() < -ROUNDING or errors.max() > 1 + ROUNDING:
        worst = errors[np.argmax(np.abs(errors - 0.5))]
        raise ValueError(f"`error` must be in [0, 1], got {worst:g}. Give a share of wrong labels, not percent.")
    errors = errors.clip(0, 1)
    binomial = float(np.mean(errors * (1 - errors))) / n_test
    spread = float(errors.std(ddof=1)) if errors.size > 1 else math.nan
    share = binomial / spread**2 if spread > 0 else math.nan
    interval = _share_interval(share, errors.size, missed)
    return ErrorNoise(float(errors.mean()), math.sqrt(binomial), spread, share, interval)


def _share_interval(share: float, n: int, missed: float) -> Bounds | None:
    """A share whose lower part is a variance of n normal values, by chi-squared."""
    if n < T_MIN or math.isnan(share):
        return None
    return Bounds(*(share * float(special.chdtri(n - 1, level)) / (n - 1) for level in (1 - missed / 2, missed / 2)))

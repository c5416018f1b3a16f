import math
import re

import numpy as np
import pytest
from scipy import optimize, stats

from deepboot.reports.statistics.waiting import weibull_shape


def test_shape_of_known_waits_is_the_likeliest_one():
    """SciPy's maximum-likelihood fit of the same law, with its place held at 0."""
    waits = 300 * np.random.default_rng(2).weibull(1.7, 40)
    found = weibull_shape(waits, waits)
    shape, _, _ = stats.weibull_min.fit(waits, floc=0)
    assert found.shape == pytest.approx(shape, rel=1e-3)
    assert found.interval.low < found.shape < found.interval.high


def test_interval_is_where_the_profile_likelihood_has_fallen():
    """The profile of censored waits, from sums written down by hand instead of a search."""
    random = np.random.default_rng(3)
    waits = 300 * random.weibull(1.2, 12)
    ended = waits < 400
    found = weibull_shape(np.minimum(waits, 400), np.where(ended, waits, math.inf))
    low, seen = np.minimum(waits, 400), waits[ended]

    def profile(shape):  # the likeliest scale of a shape: its power is the sum of powers over the waits that ended
        power = (low**shape).sum() / len(seen)
        return len(seen) * math.log(shape / power) + (shape - 1) * np.log(seen).sum() - len(seen)

    best = optimize.minimize_scalar(lambda shape: -profile(shape), bounds=(0.1, 10), method="bounded").x
    assert found.shape == pytest.approx(best, rel=1e-3)
    df = len(seen) - 1
    fall = (df + 2) / 2 * math.log1p(stats.t.ppf(0.975, df) ** 2 / df)
    for end in found.interval:
        assert profile(best) - profile(end) == pytest.approx(fall, abs=1e-3)


def test_wider_bounds_make_a_wider_interval():
    """Waits known to within a factor of two say less than waits that are known."""
    waits = 300 * np.random.default_rng(4).weibull(3.0, 20)
    known, coarse = weibull_shape(waits, waits), weibull_shape(waits / 1.4, waits * 1.4)
    assert coarse.interval.high / coarse.interval.low > 1.2 * known.interval.high / known.interval.low


def test_equal_waits_have_a_shape_without_an_upper_end():
    """Between the same two evaluations they may lie as close together as you like."""
    found = weibull_shape([90, 90, 90, 95, 97], [100, 100, 100, 104, 110])
    assert found.interval.low > 1
    assert found.interval.high == math.inf


def test_too_few_waits_have_no_shape():
    """Two that ended, however many are censored; three that are the same."""
    assert weibull_shape([10, 20, 30, 30], [11, 21, math.inf, math.inf]) is None
    assert weibull_shape([10, 10, 10], [11, 11, 11]) is None


@pytest.mark.parametrize(
    ("low", "high", "sentence"),
    [
        ([3, 2], [1, 4], "`low` must be at least 0 and at most `high` in every run. Were the two exchanged?"),
        ([1], [1, 2], "`low` and `high` must hold one number per run, got shapes (1,) and (2,)."),
    ],
)
def test_bounds_that_are_none(low, high, sentence):
    """Out of order, or not one for each run."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        weibull_shape(low, high)

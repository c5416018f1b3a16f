import math

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.prediction import explained_share, prediction_error


def test_prediction_error_by_hand():
    """Errors 1, −2, 1 have mean 0 and mean size 4 / 3."""
    found = prediction_error([2, 3, 4], [1, 5, 3])
    assert (found.mean, found.mean_absolute) == pytest.approx((0, 4 / 3))
    assert found.interval == pytest.approx(tuple(stats.ttest_1samp([1, -2, 1], 0).confidence_interval(0.95)))
    assert prediction_error([1, 2], [1, 2]).interval is None


def test_share_is_not_rejected_at_its_ends():
    """At the ends of the interval a paired t test of bootstrap error less share times gap has p = 5 %."""
    random = np.random.default_rng(2)
    gap = random.normal(1, 0.2, 8)
    error = 0.3 * gap + random.normal(0, 0.1, 8)
    found = explained_share(gap, error)
    assert found.share == pytest.approx(error.mean() / gap.mean())
    for end in found.interval:
        assert stats.ttest_1samp(error - end * gap, 0).pvalue == pytest.approx(0.05)


def test_share_of_a_gap_that_may_be_none_is_open():
    """With a mean gap near 0 every share is possible but for a stretch, whose ends have p = 5 % too."""
    gap, error = np.array([-1.0, 1.2, -0.3, 0.4]), np.array([0.5, 0.6, 0.55, 0.52])
    found = explained_share(gap, error)
    assert found.interval == (-math.inf, math.inf)
    for end in found.excluded:
        assert stats.ttest_1samp(error - end * gap, 0).pvalue == pytest.approx(0.05)
    assert explained_share(gap, error - 0.55).excluded is None
    assert math.isnan(explained_share([0, 0, 0], [0.1, 0.2, 0.3]).share)
    assert explained_share([1, 2], [1, 1]).interval is None


def test_share_of_values_that_do_not_vary():
    """Equal gaps and equal errors have an interval of no width."""
    found = explained_share([2, 2, 2], [1, 1, 1])
    assert (found.share, found.interval) == (0.5, (0.5, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_prediction_interval_covers(n, record_property):
    """Of 4,000 samples of normal errors at least 95 % (less 3 errors) cover the mean error."""
    errors = np.random.default_rng(n).normal(0.2, 1.0, (4_000, n))
    intervals = [prediction_error(row + 1, np.ones(n)).interval for row in errors]
    coverage = float(np.mean([low <= 0.2 <= high for low, high in intervals]))
    record_property("coverage", coverage)
    assert coverage >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 4_000)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.1, 1.0])
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_share_interval_covers(n, spread, record_property):
    """Of 4,000 samples at least 95 % (less 3 errors) cover the share, whether or not the gap may be none."""
    random, covered = np.random.default_rng(n), 0
    for _ in range(4_000):
        gap = random.normal(1, spread, n)
        found = explained_share(gap, 0.3 * gap + random.normal(0, 0.2, n))
        ruled_out = found.excluded is not None and found.excluded.low < 0.3 < found.excluded.high
        covered += found.interval.low <= 0.3 <= found.interval.high and not ruled_out
    coverage = float(covered / 4_000)
    record_property("coverage", coverage)
    assert coverage >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 4_000)

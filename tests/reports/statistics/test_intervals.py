import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from deepboot.reports.statistics.intervals import (
    Bounds,
    clopper_pearson,
    median_bounds,
    median_interval,
    order_rank,
    seeds_for_rate,
    t_interval,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (3, 7), (7, 7), (1, 30), (29, 30)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.975])
def test_clopper_pearson_agrees_with_statsmodels(successes, n, confidence):
    """The exact interval is statsmodels' "beta" method."""
    expected = proportion_confint(successes, n, alpha=1 - confidence, method="beta")
    assert clopper_pearson(successes, n, confidence) == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 12])
def test_t_interval_agrees_with_scipy(n):
    """The paired t interval is SciPy's one-sample interval of the differences."""
    values = np.random.default_rng(n).normal(0.3, 2.0, n)
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.9)
    assert t_interval(values, 0.9) == pytest.approx((expected.low, expected.high))


def test_t_interval_needs_three_values():
    """Two differences have no interval, and equal ones have one of no width."""
    assert t_interval([0.1, 0.2]) is None
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


@pytest.mark.parametrize("n", range(1, 40))
def test_order_rank_is_the_narrowest_that_covers(n):
    """The rank's binomial coverage is at least 95 %, and the next rank's is not."""
    rank = order_rank(n) or 0
    coverage = [1 - 2 * stats.binom.cdf(k - 1, n, 0.5) for k in (rank, rank + 1)]
    assert coverage[0] >= 0.95
    assert coverage[1] < 0.95 or rank == n // 2


def test_median_interval_covers_under_interval_censoring():
    """Of 400 samples of 8 known only to a grid and up to a budget, at least 95 % (less 3 errors) cover the median."""
    random, grid = np.random.default_rng(1), np.array([0, 1, 2, 4, 8, 16, np.inf])
    covered = 0
    for values in random.exponential(8 / math.log(2), (400, 8)):
        place = np.searchsorted(grid, values)
        low, high = median_interval(grid[place - 1], grid[place])
        covered += low <= 8 <= high
    assert covered / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_median_interval_is_open_where_censored_runs_rank():
    """Six runs, one of them censored: the lower end is the smallest, the upper one is open."""
    lows, highs = [10, 20, 30, 40, 50, 100], [11, 21, 31, 41, 51, math.inf]
    assert median_interval(lows, highs) == (10, math.inf)
    assert median_interval(lows[:5], highs[:5]) is None


def test_median_is_not_reached_with_half_censored():
    """With half of the runs censored the median lies beyond the budget."""
    assert median_bounds([10, 20, 100, 100], [11, 21, math.inf, math.inf]) == (100, math.inf)
    assert median_bounds([10, 20, 30, 100], [11, 21, 31, math.inf]) == (25, 26)
    assert median_bounds([], []) is None


@pytest.mark.parametrize("region", [Bounds(0.5, math.inf), Bounds(-math.inf, 0.1), Bounds(0.3, 0.7)])
def test_seeds_for_rate_is_the_first_that_can_support(region):
    """At that many seeds some outcome's interval lies in the region, at one fewer none does."""

    def possible(n):
        intervals = [clopper_pearson(k, n) for k in range(n + 1)]
        return any(region.low <= low and high <= region.high for low, high in intervals)

    needed = seeds_for_rate(region)
    assert possible(needed)
    assert not possible(needed - 1)


def test_seeds_for_rate_may_be_out_of_reach():
    """No number of seeds shows that a rate is exactly a half."""
    assert seeds_for_rate(Bounds(0.5, 0.5), most=50) is None

import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.rank import monotone_trend, rank_agreement


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize("levels", [4, 1_000])
@pytest.mark.parametrize("n", [12, 40])
def test_rank_agreement_agrees_with_scipy(n, levels):
    """Estimate and large-sample p value are SciPy's, with and without ties."""
    random = np.random.default_rng(n)
    x = random.integers(0, levels, n)
    y = x + random.integers(0, levels, n)
    found, expected = rank_agreement(x, y), stats.kendalltau(x, y, method="asymptotic")
    assert (found.estimate, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert not found.exact


def test_exact_kendall_agrees_with_scipy():
    """Without ties the p value over all arrangements of 8 ranks is SciPy's exact one."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 8))
    found = rank_agreement(x, y)
    assert found.exact
    assert found.p == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue)


def test_exact_p_values_count_all_orders_with_ties():
    """With ties and a censored value the p value is a share of all 720 orders."""
    x, y = np.array([1, 1, 2, 3, 4, 4]), np.array([2, 1, 1, 5, 3, math.inf])
    ranks = stats.rankdata(y)
    orders = [ranks[list(order)] for order in itertools.permutations(range(6))]
    taus = np.abs([stats.kendalltau(x, order).statistic for order in orders])
    assert rank_agreement(x, y).p == pytest.approx(np.mean(taus >= taus[0] - 1e-9))


def test_rank_agreement_at_its_limits():
    """A perfect order has an interval up to 1 but not of no width; a constant side has none; nor have 4 values."""
    perfect = rank_agreement([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])
    assert (perfect.estimate, perfect.interval.high, perfect.p) == (1, 1, 2 / 120)
    assert perfect.interval.low < 0.5
    constant = rank_agreement([1, 2, 3, 4, 5], [7, 7, 7, 7, 7])
    assert math.isnan(constant.estimate)
    assert (constant.interval, constant.p) == (None, 1)
    assert rank_agreement(range(4), range(4)).interval is None


def test_trend_counts_all_ways_to_deal():
    """The p value is the share of the 1,680 ways to deal nine values that give as large a statistic."""
    groups = [[3, 1, 2], [2, 5, math.inf], [8, math.inf, math.inf]]
    values = np.concatenate(groups)

    def jonckheere(*parts):
        pairs = [(a, b) for one, other in itertools.combinations(parts, 2) for a in one for b in other]
        return sum(int(b > a) - int(b < a) for a, b in pairs)

    every = []
    for first in itertools.combinations(range(9), 3):
        rest = [i for i in range(9) if i not in first]
        for second in itertools.combinations(rest, 3):
            third = [i for i in rest if i not in second]
            every.append(jonckheere(values[list(first)], values[list(second)], values[third]))
    assert len(every) == 1_680
    trend = monotone_trend(groups)
    assert trend.exact
    assert trend.p == pytest.approx(np.mean(np.abs(every) >= abs(jonckheere(*groups))))
    assert trend.estimate > 0 > monotone_trend(groups[::-1]).estimate


def test_trend_of_two_groups_is_mann_and_whitney():
    """For two large groups the p value is SciPy's Mann–Whitney test without continuity correction."""
    random = np.random.default_rng(1)
    one, other = random.integers(0, 9, 25), random.integers(2, 11, 30)
    expected = stats.mannwhitneyu(one, other, use_continuity=False, method="asymptotic").pvalue
    trend = monotone_trend([one, other])
    assert trend.p == pytest.approx(expected)
    assert not trend.exact


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("`x` and `y` must pair up, got 3 and 2. Give one value of each for every cell."):
        rank_agreement([1, 2, 3], [1, 2])
    with raises("`y` must not hold NaN. Write infinity where censored, and leave out what has no value."):
        rank_agreement([1, 2], [1, math.nan])
    with raises("`groups` must be 2 or more with values, got sizes [2, 0]. Leave out empty groups."):
        monotone_trend([[1, 2], []])
    with raises("`groups` must not hold NaN. Write infinity where censored, and leave out what has no value."):
        monotone_trend([[1, 2], [math.nan]])


@pytest.mark.slow
@pytest.mark.parametrize(("correlation", "least"), [(0.0, 0.92), (0.5, 0.92), (0.8, 0.92), (0.95, 0.88)])
@pytest.mark.parametrize("n", [5, 10, 20])
def test_rank_intervals_cover(n, correlation, least, record_property):
    """Of 1,000 samples of normal values at least so many intervals cover tau."""
    random, true, covered = np.random.default_rng(n), 2 / math.pi * math.asin(correlation), 0
    for x, rest in random.normal(size=(1_000, 2, n)):
        interval = rank_agreement(x, correlation * x + math.sqrt(1 - correlation**2) * rest).interval
        covered += interval.low <= true <= interval.high
    record_property("coverage", covered / 1_000)
    assert covered / 1_000 >= least


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_trend_interval_covers(n, shift, record_property):
    """Of 800 samples of three normal groups at least 92 % of the intervals cover the expected tau."""
    random, middles = np.random.default_rng(n), shift * np.arange(3)
    concordance = sum(2 * stats.norm.cdf(shift * (j - i) / math.sqrt(2)) - 1 for i, j in [(0, 1), (0, 2), (1, 2)])
    true = concordance * n**2 / math.sqrt(3 * n**2 * 3 * n * (3 * n - 1) / 2)
    trends = [monotone_trend(random.normal(middles[:, None], 1, (3, n))) for _ in range(800)]
    coverage = float(np.mean([trend.interval.low <= true <= trend.interval.high for trend in trends]))
    record_property("coverage", coverage)
    assert coverage >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
def test_trend_holds_its_level(n, record_property):
    """Of 1,000 samples of three groups without a trend, a third of them censored, at most 7 % are rejected at 5 %."""
    random = np.random.default_rng(n)
    samples = random.normal(size=(1_000, 3, n))
    rejected = [monotone_trend(np.where(sample > 0.43, math.inf, sample)).p <= 0.05 for sample in samples]
    rate = float(np.mean(rejected))
    record_property("rate", rate)
    assert rate <= 0.07

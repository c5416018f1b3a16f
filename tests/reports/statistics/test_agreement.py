import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.agreement import (
    explained_share,
    monotone_trend,
    power_law,
    prediction_error,
    rank_agreement,
    threshold_size,
)

SIZES = [100, 200, 400, 800]


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def scaling(random, seeds, *, slope=-1.2, spread=0.3):
    """Steps T at four sizes that fall with a power of the size."""
    x = np.repeat([250.0, 500.0, 1_000.0, 2_000.0], seeds)
    return x, 3e6 * x**slope * np.exp(random.normal(0, spread, x.size))


def between(steps, evaluations, budget=math.inf):
    """Bounds of the steps between evaluations, open beyond the budget."""
    grid = np.concatenate([[0], np.geomspace(1, 50_000, evaluations), [math.inf]])
    place = np.searchsorted(grid, steps)
    high = grid[place]
    return np.minimum(grid[place - 1], budget), np.where(high > budget, math.inf, high)


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


def test_power_law_of_known_steps_is_regression():
    """Without bounds to spare, slope and interval are those of least squares on the logarithms."""
    x, steps = scaling(np.random.default_rng(3), 3)
    found, expected = power_law(x, steps, steps), stats.linregress(np.log(x), np.log(steps))
    half = stats.t.ppf(0.975, x.size - 2) * expected.stderr
    assert found.slope == pytest.approx(expected.slope, abs=1e-4)
    assert found.interval == pytest.approx((expected.slope - half, expected.slope + half), abs=1e-3)


def test_power_law_of_hardly_open_bounds():
    """Bounds that differ in the last digits alone are known values."""
    x, steps = scaling(np.random.default_rng(6), 2)
    found, known = power_law(x, steps, steps * (1 + 1e-15)), power_law(x, steps, steps)
    assert found.interval == pytest.approx(known.interval)


def test_power_law_of_censored_runs_is_open():
    """Where the larger T are censored the slope has no upper end; where all are, no end and no value."""
    rising = power_law([1, 1, 1, 2, 2, 2], [10, 11, 9, 50, 50, 50], [12, 13, 11, *[math.inf] * 3])
    assert rising.interval.low > 0
    assert rising.interval.high == math.inf
    nothing = power_law([1, 2, 4], [10, 10, 10], [math.inf] * 3)
    assert nothing.interval == (-math.inf, math.inf)
    assert math.isnan(nothing.slope)


def test_power_law_ignores_runs_of_which_nothing_is_known():
    """A diverged run, between 0 and infinity, changes nothing."""
    x, steps = scaling(np.random.default_rng(5), 2)
    low, high = between(steps, 40)
    found, alone = power_law([*x, 300], [*low, 0], [*high, math.inf]), power_law(x, low, high)
    assert found.slope == pytest.approx(alone.slope, abs=1e-4)
    assert found.interval == pytest.approx(alone.interval, abs=1e-3)


@pytest.mark.parametrize(
    ("grokked", "low", "high"),
    [
        ([0, 1, 4, 5], 200, 400),
        ([0, 0, 0, 0], 800, math.inf),
        ([5, 5, 5, 5], 0, 100),
        ([0, 3, 2, 5], 100, 200),
        ([0, 3, 1, 5], 400, 800),
    ],
)
def test_threshold_lies_between_sizes(grokked, low, high):
    """The estimate is where rates, pooled until they rise, pass a half."""
    assert threshold_size(SIZES, grokked, 5) == (low, high)
    assert threshold_size(SIZES, grokked, [5, 5, 5, 5]) == (low, high)


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
    with raises("`x`, `low` and `high` must have one shape, got (3,), (2,), (3,). Give bounds of T for every x."):
        power_law([1, 2, 3], [1, 2], [1, 2, 3])
    with raises("`x` must be positive and take 2 values, got 2 to 2. Vary it."):
        power_law([2, 2, 2], [1, 2, 3], [1, 2, 3])
    with raises("T must have bounds 0 ≤ low ≤ high, got inf to inf. Where nothing is known, write 0 and infinity."):
        power_law([1, 2, 3], [1, 2, math.inf], [1, 2, math.inf])
    with raises("`sizes` must be positive and rise, got [200.0, 100.0]. Sort them, each once."):
        threshold_size([200, 100], [0, 1], 2)
    with raises("`n` must be one number or 2, got shape (3,). Give the runs of each size."):
        threshold_size([100, 200], [0, 1], [2, 2, 2])
    with raises("`grokked` must be between 0 and `n`, got 3 of 2 at size 200. Count runs."):
        threshold_size([100, 200], [0, 3], 2)


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


@pytest.mark.slow
@pytest.mark.parametrize(("evaluations", "budget"), [(10_000, math.inf), (40, math.inf), (40, 2_000), (15, 2_000)])
@pytest.mark.parametrize("seeds", [1, 3, 5, 10, 20])
def test_power_law_interval_covers(seeds, evaluations, budget, record_property):
    """Of 200 studies of four sizes, evaluated often or rarely and half of them censored, at least 91 % cover."""
    random, covered = np.random.default_rng(seeds), []
    for _ in range(200):
        x, steps = scaling(random, seeds)
        low, high = power_law(x, *between(steps, evaluations, budget)).interval
        covered.append(low <= -1.2 <= high)
    coverage = float(np.mean(covered))
    record_property("coverage", coverage)
    assert coverage >= 0.91

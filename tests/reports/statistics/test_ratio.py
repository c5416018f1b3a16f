import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from deepboot.reports.statistics import censored_regression
from deepboot.reports.statistics.intervals import median_interval
from deepboot.reports.statistics.ratio import paired_ratio, weibull_shape

INF = math.inf
GRID = np.concatenate([[0], np.unique(np.geomspace(1, 100_000, 100).round())])
SCALE, SHAPE = 200, 1.5
FEW = [(n, cut) for n in (3, 5, 10, 20) for cut in (0, 0.3, 0.7)]  # runs, and the share of them censored at the budget


def drawn(random, n, cut, law=stats.weibull_min, grid=GRID):
    """Steps known between evaluations, up to a budget beyond which a share of them lies: low, high."""
    budget = SCALE * law.isf(cut, SHAPE) if cut else grid[-1]
    grid = np.append(grid[grid <= budget], INF)
    place = np.searchsorted(grid, SCALE * law.rvs(SHAPE, size=n, random_state=random))
    return grid[place - 1], grid[place]


def errors(share, times):
    """Three standard errors of a simulated share."""
    return 3 * math.sqrt(share * (1 - share) / times)


@pytest.mark.parametrize("n", [6, 7, 12])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_interval_of_exact_ratios_inverts_scipys_signed_rank_test(n, confidence):
    """A ratio just within the interval is not rejected, one just outside it is."""
    random = np.random.default_rng(n)
    top, bottom = random.lognormal(1, 1, n), random.lognormal(0, 1, n)
    found = paired_ratio(top, top, bottom, bottom, confidence)
    assert found.method == "signed rank"
    for end, inwards in zip(found.interval, (1, -1), strict=True):
        p_values = [
            stats.wilcoxon(np.log(top / bottom) - np.log(end) - side * inwards * 1e-9, method="exact").pvalue
            for side in (1, -1)
        ]
        assert p_values[0] > 1 - confidence >= p_values[1]


def test_estimate_of_exact_ratios_is_the_median_of_averages():
    """Hodges and Lehmann: of log ratios 0, log 2 and log 8 and their averages."""
    logs = np.log([1, 2, 8])
    expected = np.exp(np.median([(a + b) / 2 for i, a in enumerate(logs) for b in logs[i:]]))
    assert paired_ratio([1, 2, 8], [1, 2, 8], [1, 1, 1], [1, 1, 1]).estimate == pytest.approx((expected, expected))


bounds = st.tuples(st.integers(1, 50), st.integers(1, 50) | st.just(INF))


@given(st.lists(st.tuples(bounds, st.tuples(st.integers(1, 50), st.integers(0, 50))), min_size=6, max_size=10))
def test_bounds_hold_the_ratio_of_any_steps_between_them(pairs):
    """Estimate and interval of the smallest, the middle and the largest steps lie within those of the bounds."""
    (top_low, width), (bottom_low, bottom_width) = (np.array(side, dtype=float).T for side in zip(*pairs, strict=True))
    top_high, bottom_high = top_low + width, bottom_low + bottom_width
    found = paired_ratio(top_low, top_high, bottom_low, bottom_high)
    for share in (0, 0.5, 1):
        top = top_low + share * np.minimum(width, 1000)
        bottom = bottom_low + share * bottom_width
        exact = paired_ratio(top, top, bottom, bottom)
        for outer, inner in ((found.estimate, exact.estimate), (found.interval, exact.interval)):
            assert outer.low <= inner.low * (1 + 1e-9)
            assert outer.high >= inner.high * (1 - 1e-9)


def test_censored_pairs_rank_last_and_are_counted():
    """Of seven ratios two are only known to be above 10: averages with them open the upper end, not the lower."""
    found = paired_ratio([20] * 5 + [100] * 2, [20] * 5 + [INF] * 2, [10] * 7, [10] * 7)
    assert (found.method, found.n, found.censored, found.diverged) == ("signed rank", 7, 2, 0)
    assert found.interval == pytest.approx((2, INF))
    assert found.estimate == pytest.approx((2, 2))  # 15 of 28 averages have no censored pair


def test_a_pair_of_censored_runs_tells_nothing():
    """Nor does a diverged one beside a censored one, or two diverged ones: open at both ends."""
    for top, bottom in [((10, INF), (20, INF)), ((INF, INF), (20, INF)), ((INF, INF), (INF, INF))]:
        found = paired_ratio([20] * 6 + [top[0]], [40] * 6 + [top[1]], [10] * 6 + [bottom[0]], [10] * 6 + [bottom[1]])
        assert found.method == "signed rank"
        assert found.interval == (0, INF)
        assert found.estimate == pytest.approx((2, 4))


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_pairs_have_no_interval(n):
    """Below six none exists at 95 %, at 90 % five are enough; without pairs there is no estimate either."""
    found = paired_ratio([20] * n, [40] * n, [10] * n, [10] * n)
    assert found.interval is None
    assert found.estimate == (pytest.approx((2, 4)) if n else None)
    assert (paired_ratio([20] * n, [40] * n, [10] * n, [10] * n, 0.9).interval is None) == (n < 5)


@pytest.mark.parametrize(
    ("top", "bottom", "diverged"),
    [
        ((INF, INF), (10, 20), 1),  # never beside some time
        ((10, 20), (INF, INF), 1),  # some time beside never
        ((0, 0), (10, 20), 0),  # step 0 beside another
    ],
)
def test_ratios_that_are_infinite_or_zero_leave_the_sign_test(top, bottom, diverged):
    """Order statistics of the ratios themselves."""
    tops, bottoms = [(20.0 + k, 30.0 + 2 * k) for k in range(6)] + [top], [(10, 15)] * 6 + [bottom]
    (top_low, top_high), (bottom_low, bottom_high) = np.array(tops).T, np.array(bottoms).T
    found = paired_ratio(top_low, top_high, bottom_low, bottom_high)
    with np.errstate(divide="ignore"):
        ratios = top_low / bottom_high, top_high / bottom_low
    assert (found.method, found.diverged) == ("sign", diverged)
    assert found.interval == pytest.approx(median_interval(*ratios))
    assert found.estimate == pytest.approx(tuple(np.sort(side)[3] for side in ratios))


def test_pairs_that_are_none_are_refused():
    """Every numerator has its denominator."""
    with pytest.raises(ValueError, match=r"^Every numerator needs its denominator, got 1 and 2 runs\.$"):
        paired_ratio([1], [2], [1, 1], [2, 2])


@pytest.mark.parametrize("cut", [0, 0.5])
def test_shape_agrees_with_scipys_censored_fit(cut):
    """Of 40 runs, all of which reach the event or half."""
    low, high = drawn(np.random.default_rng(1), 40, cut)
    reached = np.isfinite(high)
    data = stats.CensoredData(interval=np.column_stack([low, high])[reached], right=low[~reached])
    found = weibull_shape(low, high)
    assert found.estimate == pytest.approx(stats.weibull_min.fit(data, floc=0)[0], rel=1e-3)
    assert found.interval.low < found.estimate < found.interval.high
    assert found.reason == ""


def test_ends_of_the_interval_lie_where_the_likelihood_has_fallen_enough():
    """Twice the fall of the profile is e·log(1 + t²/(e − 2)), for e runs that reached the event."""
    low, high = drawn(np.random.default_rng(3), 12, 0.3)
    found, events = weibull_shape(low, high, 0.9), int(np.isfinite(high).sum())
    cutoff = events * math.log1p(stats.t.ppf(0.95, events - 2) ** 2 / (events - 2))
    scales = np.geomspace(50, 1_000, 20_000)[:, None]

    def profile(shape):
        chances = [stats.weibull_min.cdf(ends, shape, scale=scales) for ends in (low, high)]
        with np.errstate(divide="ignore"):
            return np.log(chances[1] - chances[0]).sum(axis=1).max()

    for end in found.interval:
        assert 2 * (profile(found.estimate) - profile(end)) == pytest.approx(cutoff, abs=1e-3)


def test_shape_does_not_depend_on_the_unit():
    """Steps of 1,000 have the shape of steps of 1."""
    low, high = drawn(np.random.default_rng(4), 12, 0.3)
    one, other = weibull_shape(low, high), weibull_shape(1_000 * low, 1_000 * high)
    assert (other.estimate, *other.interval) == pytest.approx((one.estimate, *one.interval), rel=1e-7)


def test_memoryless_escape_has_a_shape_of_one():
    """Exponential steps of 300 runs: the interval is narrow and holds 1."""
    steps = np.random.default_rng(5).exponential(500, 300)
    place = np.searchsorted(GRID, steps)
    interval = weibull_shape(GRID[place - 1], GRID[place]).interval
    assert 0.85 < interval.low < 1 < interval.high < 1.15


def test_a_step_known_exactly_lies_after_the_one_before():
    """And an event at step 0 before step 1."""
    assert weibull_shape([0, 7, 30], [0, 7, 30]) == weibull_shape([0, 6, 29], [1, 7, 30])


def test_few_events_have_an_estimate_without_interval():
    """Two events, and two parameters."""
    found = weibull_shape([10, 20, 40], [20, 30, INF])
    assert found.estimate > 0
    assert (found.interval, found.reason) == (None, "")


@pytest.mark.parametrize(
    ("low", "high", "reason"),
    [
        ([], [], "0 runs: too few."),
        ([10], [20], "1 run: too few."),
        ([10, 20], [20, 30], "2 runs: too few."),
        ([10] * 3, [INF] * 3, "No run reached the event."),
        (
            [10, 20, INF],
            [20, 30, INF],
            "1 of 3 diverged or failed: this model has no place for a step that never comes.",
        ),
        ([0, 0, 5], [10, 20, INF], "Every run that reached the event did so by its first evaluation."),
        ([10] * 3, [20] * 3, "Steps without spread fit all intervals: the shape has no estimate."),
        ([10, 20, 10, 15], [20, 30, 20, INF], "Steps without spread fit all intervals: the shape has no estimate."),
    ],
)
def test_what_has_no_shape_says_why(low, high, reason):
    """No numbers, no exception."""
    found = weibull_shape(low, high)
    assert math.isnan(found.estimate)
    assert (found.interval, found.reason) == (None, reason)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100) | st.just(INF)), max_size=8))
def test_legitimate_runs_never_end_in_an_exception(runs):
    """A shape, or a reason."""
    low = np.array([float(start) for start, _ in runs])
    found = weibull_shape(low, low + np.array([float(width) for _, width in runs]))
    assert (found.estimate > 0) == (found.reason == "")


def test_a_search_that_does_not_end_says_so(monkeypatch):
    """No number from half-way."""
    monkeypatch.setattr(censored_regression, "NEWTON_STEPS", 1)
    found = weibull_shape([10, 20, 40], [20, 30, INF])
    assert math.isnan(found.estimate)
    assert found.reason == "The search for the maximum did not end."


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cut"), FEW)
def test_coverage_of_the_paired_ratio(n, cut, record_property):
    """At least 95 %, less three errors, of a ratio of 2 between runs that share their seed's part; none at 3 or 5."""
    random, times, covered, found = np.random.default_rng(n), 2000, 0, 0
    budget = SCALE * 2 * stats.lognorm.isf(cut, 1.1) if cut else GRID[-1]
    grid = np.append(GRID[budget >= GRID], INF)
    for _ in range(times):
        seeds = SCALE * random.lognormal(0, 1, n)
        bounds = []
        for steps in (2 * seeds * random.lognormal(0, 0.4, n), seeds * random.lognormal(0, 0.4, n)):
            place = np.searchsorted(grid, steps)
            bounds += [grid[place - 1], grid[place]]
        interval = paired_ratio(*bounds).interval
        found += interval is not None
        covered += interval is not None and interval.low <= 2 <= interval.high
    record_property("paired_ratio", f"{covered / max(found, 1)} of {found}")
    assert found == (times if n >= 6 else 0)
    assert covered >= found * (0.95 - errors(0.95, times))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cut"), FEW)
def test_coverage_of_the_shape(n, cut, record_property):
    """Where there is an interval at least 95 %, less three errors."""
    random = np.random.default_rng(n)
    intervals = [weibull_shape(*drawn(random, n, cut)).interval for _ in range(300)]
    known = [low <= SHAPE <= high for low, high in filter(None, intervals)]
    record_property("weibull_shape", f"{np.mean(known or [math.nan]):.3f} of {len(known)}")
    assert not known or np.mean(known) >= 0.95 - errors(0.95, len(known))

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from reports import failure_time
from reports.failure_time import accelerated_failure_time, paired_ratio, signed_rank
from reports.intervals import median_interval

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


def coefficient(model, name):
    """A row of its table."""
    return model.coefficients.set_index("name").loc[name]


@pytest.mark.parametrize(("n", "k"), [(5, None), (6, 1), (8, 4), (10, 9), (15, 26), (20, 53)])
def test_signed_rank_is_wilcoxons_table(n, k):
    """One more than the critical value, at 5 % on two sides."""
    assert signed_rank(n) == k


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


def naive(model, low, high, design, law, deviate=None):
    """Log-likelihood of a fitted model, or of other (coefficients, shape), from SciPy's distributions."""
    coefficients, shape = deviate or (model.coefficients["estimate"].to_numpy(), model.shape)
    scale = np.exp(design @ coefficients)
    return np.log(law.cdf(high, shape, scale=scale) - law.cdf(low, shape, scale=scale)).sum()


LAWS = {"weibull": stats.weibull_min, "log_logistic": stats.fisk}


@pytest.mark.parametrize("distribution", LAWS)
@pytest.mark.parametrize("cut", [0, 0.5])
def test_model_without_covariates_agrees_with_scipys_censored_fit(distribution, cut):
    """Shape, scale and likelihood."""
    low, high = drawn(np.random.default_rng(1), 40, cut)
    reached, law = np.isfinite(high), LAWS[distribution]
    data = stats.CensoredData(interval=np.column_stack([low, high])[reached], right=low[~reached])
    shape, _, scale = law.fit(data, floc=0)
    model = accelerated_failure_time(low, high, distribution=distribution)
    assert model.converged
    assert (model.n, model.events, model.reason) == (40, reached.sum(), "")
    assert model.shape == pytest.approx(shape, rel=1e-3)
    assert coefficient(model, "intercept")["time_ratio"] == pytest.approx(scale, rel=1e-3)
    assert model.log_likelihood == pytest.approx(naive(model, low, high, np.ones((40, 1)), law))


@pytest.mark.parametrize("distribution", LAWS)
def test_model_with_covariates_agrees_with_a_slow_search(distribution):
    """SciPy's simplex finds no higher likelihood, and covariates of any size come out alike."""
    random, law = np.random.default_rng(2), LAWS[distribution]
    low, high = drawn(random, 30, 0.3)
    covariates = pd.DataFrame({"arm": np.arange(30) % 2, "train_size": random.uniform(1e5, 1e6, 30)})
    design = np.column_stack([np.ones(30), covariates["arm"], covariates["train_size"] / 1e6])
    model = accelerated_failure_time(low, high, covariates, distribution)

    def loss(values):
        return -naive(None, low, high, design, law, (values[:3], math.exp(values[3])))

    start = [*model.coefficients["estimate"] * [1, 1, 1e6] + 0.1, math.log(model.shape)]
    found = optimize.minimize(
        loss, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-7, "fatol": 1e-9}
    )
    assert model.log_likelihood == pytest.approx(-found.fun, abs=1e-5)
    assert [*model.coefficients["estimate"] * [1, 1, 1e6], math.log(model.shape)] == pytest.approx(found.x, abs=1e-2)
    assert model.coefficients["name"].tolist() == ["intercept", "arm", "train_size"]


def test_ends_of_the_intervals_lie_where_the_likelihood_has_fallen_enough():
    """Twice the fall of the profile is e·log(1 + t²/(e − p)), for the shape and for the scale."""
    low, high = drawn(np.random.default_rng(3), 12, 0.3)
    model = accelerated_failure_time(low, high, confidence=0.9)
    events = model.events
    cutoff = events * math.log1p(stats.t.ppf(0.95, events - 2) ** 2 / (events - 2))
    one = np.ones((12, 1))
    for end in model.shape_interval:
        best = optimize.minimize_scalar(
            lambda x: -naive(None, low, high, one, stats.weibull_min, ([x], end)),  # noqa: B023
            bounds=(4.5, 6.5),
        )
        assert 2 * (model.log_likelihood + best.fun) == pytest.approx(cutoff, abs=1e-3)
    for end in coefficient(model, "intercept")[["low", "high"]]:
        best = optimize.minimize_scalar(
            lambda x: -naive(None, low, high, one, stats.weibull_min, ([end], math.exp(x))),  # noqa: B023
            bounds=(-2, 2),
        )
        assert 2 * (model.log_likelihood + best.fun) == pytest.approx(cutoff, abs=1e-3)
    row = coefficient(model, "intercept")
    assert np.exp(row[["estimate", "low", "high"]].to_numpy(dtype=float)) == pytest.approx(
        row[["time_ratio", "ratio_low", "ratio_high"]].to_numpy(dtype=float)
    )


def test_model_finds_the_time_ratio_and_the_drift():
    """Two arms of 200 runs, one three times as late, of a shape of 1.5."""
    random = np.random.default_rng(4)
    low, high = np.concatenate([drawn(random, 200, 0.0), drawn(random, 200, 0.0, grid=GRID / 3)], axis=1)
    times = np.repeat([1, 3], 200)
    model = accelerated_failure_time(low * times, high * times, pd.DataFrame({"late": times == 3}).astype(int))
    row = coefficient(model, "late")
    assert row["ratio_low"] < 3 < row["ratio_high"] < 4
    assert 1 < model.shape_interval.low < 1.5 < model.shape_interval.high < 2


def test_memoryless_escape_has_a_shape_of_one():
    """Exponential steps of 300 runs: the interval is narrow and holds 1."""
    steps = np.random.default_rng(5).exponential(500, 300)
    place = np.searchsorted(GRID, steps)
    interval = accelerated_failure_time(GRID[place - 1], GRID[place]).shape_interval
    assert 0.85 < interval.low < 1 < interval.high < 1.15


def test_a_step_known_exactly_lies_after_the_one_before():
    """And an event at step 0 before step 1."""
    exact, known = accelerated_failure_time([0, 7, 30], [0, 7, 30]), accelerated_failure_time([0, 6, 29], [1, 7, 30])
    assert exact.log_likelihood == pytest.approx(known.log_likelihood)


def test_few_events_have_an_estimate_without_interval():
    """Two events, and two parameters."""
    model = accelerated_failure_time([10, 20, 40], [20, 30, INF])
    assert model.converged
    assert model.shape > 0
    assert model.shape_interval is None
    assert coefficient(model, "intercept")[["low", "high", "ratio_low", "ratio_high"]].isna().all()


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
@pytest.mark.parametrize("distribution", LAWS)
def test_what_has_no_model_says_why(low, high, reason, distribution):
    """No numbers, no exception."""
    model = accelerated_failure_time(low, high, distribution=distribution)
    assert (model.converged, model.reason) == (False, reason)
    assert math.isnan(model.shape)
    assert math.isnan(model.log_likelihood)
    assert model.shape_interval is None
    assert model.coefficients.drop(columns="name").isna().all(axis=None)
    assert (model.n, model.events) == (len(low), np.isfinite(high).sum())


def test_covariates_that_determine_each_other_are_named():
    """An arm and its opposite add up to the intercept, a third one stands apart, and nothing is like nothing."""
    low, high = drawn(np.random.default_rng(6), 8, 0)
    arm = np.arange(8) % 2
    covariates = pd.DataFrame({"real": arm, "ideal": 1 - arm, "seed": np.arange(8) // 2})
    model = accelerated_failure_time(low, high, covariates)
    assert (model.converged, model.reason) == (False, "Covariates determine each other: intercept, real, ideal.")
    nothing = accelerated_failure_time(low, high, covariates[["real"]].assign(nothing=0))
    assert (nothing.converged, nothing.reason) == (False, "Covariates determine each other: nothing.")


@pytest.mark.parametrize("distribution", LAWS)
@pytest.mark.parametrize("side", [1, -1])
def test_an_arm_that_never_reaches_has_an_open_interval(distribution, side):
    """Six runs reach the event, six of another arm do not: later without bound, and at least so much."""
    low, high = drawn(np.random.default_rng(7), 6, 0)
    never = side * np.repeat([0, 1], 6)
    low, high = np.append(low, [3000] * 6), np.append(high, [INF] * 6)
    model = accelerated_failure_time(low, high, pd.DataFrame({"never": never}), distribution)
    row = coefficient(model, "never")
    assert (model.converged, model.reason) == (
        False,
        "Without bound, as it separates censored runs from others: never.",
    )
    assert (row["estimate"], row["high" if side == 1 else "low"]) == (side * INF, side * INF)
    assert 0 < side * row["low" if side == 1 else "high"] < 10
    alone = accelerated_failure_time(low[:6], high[:6], distribution=distribution)
    assert model.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-6)
    assert model.shape == pytest.approx(alone.shape, rel=1e-3)


@pytest.mark.parametrize(
    "covariates",
    [pd.DataFrame({"x": [1.0, 2.0]}), pd.DataFrame({"x": [1, 2, np.nan]}), pd.DataFrame({"x": [1, 2, INF]})],
)
def test_covariates_that_are_none_are_refused(covariates):
    """One finite number per run."""
    with pytest.raises(ValueError, match=r"^`covariates` must be finite numbers for each of 3 runs\.$"):
        accelerated_failure_time([10, 20, 30], [20, 30, 40], covariates)


def test_unknown_distributions_are_refused():
    """With the known ones."""
    with pytest.raises(ValueError, match=r"^Unknown distribution 'normal'\. Known: weibull, log_logistic\.$"):
        accelerated_failure_time([10], [20], distribution="normal")


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100) | st.just(INF)), max_size=8))
def test_legitimate_runs_never_end_in_an_exception(runs):
    """A model with a maximum, or a reason."""
    low = np.array([float(start) for start, _ in runs])
    high = low + np.array([float(width) for _, width in runs])
    covariates = pd.DataFrame({"arm": np.arange(len(runs)) % 2})
    for distribution in LAWS:
        for given_covariates in (None, covariates):
            model = accelerated_failure_time(low, high, given_covariates, distribution)
            assert model.converged == (model.reason == "")
            assert model.converged <= (model.shape > 0)


def test_a_search_that_does_not_end_says_so(monkeypatch):
    """No number from half-way."""
    monkeypatch.setattr(failure_time, "STEPS", 1)
    model = accelerated_failure_time([10, 20, 40], [20, 30, INF])
    assert (model.converged, model.reason) == (False, "The search for the maximum did not end.")
    assert math.isnan(model.shape)


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
def test_coverage_of_the_models_intervals(n, cut, record_property):
    """Of shape and scale, and of shape and ratio of two arms: where there are any at least 95 %, less three errors."""
    random, times, hits = np.random.default_rng(n), 300, []
    arm = pd.DataFrame({"arm": np.arange(n) % 2})
    for _ in range(times):
        bounds = drawn(random, n, cut)
        alone, arms = accelerated_failure_time(*bounds), accelerated_failure_time(*bounds, arm)
        intervals = [alone.shape_interval, coefficient(alone, "intercept")[["low", "high"]]]
        intervals += [arms.shape_interval, coefficient(arms, "arm")[["low", "high"]]]
        truths = SHAPE, math.log(SCALE), SHAPE, 0.0
        hits.append([held(interval, truth) for interval, truth in zip(intervals, truths, strict=True)])
    found = np.isfinite(np.array(hits)).sum(axis=0)
    coverage = np.nansum(hits, axis=0) / np.maximum(found, 1)
    record_property("accelerated_failure_time", f"{coverage.round(3)} of {found}")
    assert all(coverage[k] >= 0.95 - errors(0.95, found[k]) for k in range(4) if found[k])


def held(interval, truth):
    """1 or 0, or NaN without an interval."""
    if interval is None or any(math.isnan(end) for end in interval):
        return math.nan
    low, high = interval
    return float(low <= truth <= high)

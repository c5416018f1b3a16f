import math
from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import CumIncidenceRight, survdiff

from deepboot.reports.statistics.intervals import t_interval
from deepboot.reports.statistics.log_rank import log_rank, paired_log_rank, trend
from deepboot.reports.statistics.survival import cumulative_incidence, restricted_mean_log_step, survival_curve

INF = math.inf
GRID = np.concatenate([[0], np.unique(np.geomspace(1, 10_000, 80).round())])
SCALE, SHAPE = 200, 1.5
FEW = [(n, cut) for n in (3, 5, 10, 20) for cut in (0, 0.3, 0.7)]  # runs, and the share of them censored at the budget

runs_on_a_grid = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=12)
any_bounds = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5) | st.just(INF)), min_size=1, max_size=8)


def on_a_grid(runs):
    """Bounds of runs from (cell of a grid of tens, whether it was reached there or censored at its start)."""
    low = np.array([10.0 * cell for cell, _ in runs])
    return low, np.where([reached for _, reached in runs], low + 10, INF)


def drawn(random, n, cut, grid=GRID):
    """Weibull steps known between evaluations up to a budget beyond which a share of them lies: low, high, budget."""
    budget = grid[grid <= SCALE * (-math.log(cut)) ** (1 / SHAPE)].max() if cut else grid[-1]
    grid = np.append(grid[grid <= budget], INF)
    place = np.searchsorted(grid, SCALE * random.weibull(SHAPE, n))
    return grid[place - 1], grid[place], budget


def true_survival(step):
    return np.exp(-((step / SCALE) ** SHAPE))


def true_mean(budget):
    """Restricted mean of the log of the steps drawn, those below 1 counted as 1."""
    logs = np.linspace(0, math.log(budget), 10_001)
    return np.trapezoid(true_survival(np.exp(logs)), logs)


def at(table, step):
    """The row in force at a step."""
    return table[table["step"] <= step].iloc[-1]


def errors(share, times):
    """Three standard errors of a simulated share."""
    return 3 * math.sqrt(share * (1 - share) / times)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([1, 2], [3], "`low` and `high` must hold one number per run, got shapes (2,) and (1,)."),
        ([[1]], [[3]], "`low` and `high` must hold one number per run, got shapes (1, 1) and (1, 1)."),
        ([1, np.nan], [2, 3], "`low` or `high` is NaN, not measured, in 1 of 2 runs. Leave those out."),
        ([3], [2], "`low` must be at least 0 and at most `high` in every run. Were the two exchanged?"),
        ([-1], [2], "`low` must be at least 0 and at most `high` in every run. Were the two exchanged?"),
    ],
)
def test_bounds_that_are_none_are_refused(low, high, message):
    """Every function checks them alike."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        survival_curve(low, high)
    assert str(error.value) == message


def test_survival_curve_by_hand():
    """Five runs, a tie, one censored between events and one beyond the last: Kaplan and Meier's products."""
    table = survival_curve([0, 0, 10, 20, 20], [10, 10, INF, 30, INF])
    assert table["step"].tolist() == [0, 10, 20, 30]
    assert table["at_risk"].tolist() == [5, 5, 2, 1]
    assert table["events"].tolist() == [0, 2, 0, 1]
    assert table["survival"].tolist() == pytest.approx([1, 0.6, 0.6, 0])


@given(st.lists(st.integers(1, 20), min_size=1, max_size=15))
def test_survival_without_censoring_is_one_less_the_share_so_far(steps):
    """Steps known exactly."""
    table = survival_curve(steps, steps)
    expected = [np.mean(np.array(steps) > step) for step in table["step"]]
    assert table["survival"].to_numpy() == pytest.approx(np.array(expected), abs=1e-12)


@given(runs_on_a_grid)
def test_survival_on_one_grid_is_kaplan_and_meiers(runs):
    """SciPy's curve of the evaluations that saw the events, with its counts."""
    low, high = on_a_grid(runs)
    reached = np.isfinite(high)
    expected = stats.ecdf(stats.CensoredData(uncensored=high[reached], right=low[~reached])).sf
    table = survival_curve(low, high).set_index("step").loc[expected.quantiles]
    assert table["survival"].to_numpy() == pytest.approx(expected.probabilities, abs=1e-12)
    assert table["at_risk"].tolist() == expected._n.tolist()
    assert table["events"].tolist() == expected._d.tolist()


def test_intervals_are_scipys_log_log_greenwood():
    """Where the curve is neither 0 nor 1."""
    low, high, _ = drawn(np.random.default_rng(0), 40, 0.3)
    reached = np.isfinite(high)
    expected = stats.ecdf(stats.CensoredData(uncensored=high[reached], right=low[~reached])).sf
    interval = expected.confidence_interval(0.9, method="log-log")
    table = survival_curve(low, high, 0.9).set_index("step").loc[expected.quantiles]
    assert table["low"].to_numpy() == pytest.approx(interval.low.probabilities)
    assert table["high"].to_numpy() == pytest.approx(interval.high.probabilities)


@settings(deadline=None)
@given(any_bounds)
def test_survival_on_different_grids_is_most_likely(bounds):
    """Turnbull's curve meets the conditions of a maximum of the (concave) likelihood over all places for its mass."""
    low = np.array([float(start) for start, _ in bounds])
    high = low + np.array([float(width) for _, width in bounds])
    table = survival_curve(low, high)
    cells = np.arange(14)  # (0, 1], (1, 2], … and beyond 13, where no interval ends
    mass = -np.diff([*(at(table, step)["survival"] for step in cells), 0.0], prepend=1.0)[1:]
    held = (low[:, None] <= cells) & (cells < high[:, None])
    slopes = (held / (held @ mass)[:, None]).sum(axis=0)
    assert slopes.max() <= len(bounds) * (1 + 1e-3)
    assert slopes[mass > 1e-3] == pytest.approx(len(bounds), rel=1e-2)


def test_survival_on_different_grids_by_hand():
    """(0, 10], (5, 15] and (10, 20]: the mass sits in (5, 10] and (10, 15]; by symmetry a half each."""
    table = survival_curve([0, 5, 10], [10, 15, 20]).set_index("step")
    assert table["survival"].to_dict() == pytest.approx({0: 1, 10: 0.5, 15: 0, 20: 0}, abs=1e-6)
    assert table["events"].to_dict() == pytest.approx({0: 0, 10: 1.5, 15: 1.5, 20: 0}, abs=1e-6)


@settings(deadline=None)
@given(any_bounds.filter(lambda bounds: all(width < INF for _, width in bounds)), st.randoms(use_true_random=False))
def test_intervals_on_different_grids_hold_those_of_any_steps_between_the_bounds(bounds, random):
    """Wherever in their intervals uncensored events lie."""
    low = np.array([start for start, _ in bounds])
    high = low + np.array([width for _, width in bounds])
    steps = np.array([random.randint(int(start) + 1, int(end)) for start, end in zip(low, high, strict=True)])
    exact = survival_curve(steps, steps)
    for row in survival_curve(low, high).dropna().to_dict("records"):
        known = at(exact, row["step"])
        assert row["low"] <= known["low"] + 1e-12
        assert row["high"] >= known["high"] - 1e-12


def test_a_diverged_run_stays_at_risk_and_a_censored_one_leaves():
    """Of three runs one grokked by 20, one had left at 10: with two at risk half is left, with one nothing."""
    assert survival_curve([10, INF], [20, INF])["survival"].tolist() == [1, 0.5]
    assert survival_curve([10, 10], [20, INF])["survival"].tolist() == [1, 1, 0]
    assert survival_curve([INF, INF], [INF, INF])["at_risk"].tolist() == [2]


def test_all_censored_runs_have_the_exact_binomial_bound():
    """No event in five runs: survival is at least 0.025 to the power of a fifth; with two left, of a half."""
    table = survival_curve([10, 10, 10, 20, 20], [INF] * 5)
    assert table["survival"].tolist() == [1, 1, 1]
    assert table["low"].tolist() == pytest.approx([0.025**0.2, 0.025**0.2, 0.025**0.5])
    assert table["high"].tolist() == [1, 1, 1]


def test_all_reached_at_once_have_the_exact_binomial_bound():
    """The first evaluation saw four events of four, or the first step did."""
    for end in (10, 0):
        row = survival_curve([0] * 4, [end] * 4).iloc[-1]
        assert (row["step"], row["survival"], row["low"]) == (end, 0, 0)
        assert row["high"] == pytest.approx(1 - 0.025**0.25)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_runs_have_no_interval(n):
    """The curve stands, its interval does not; without runs there is no row."""
    table = survival_curve([10] * n, [20] * n)
    assert table["survival"].tolist() == ([1, 0] if n else [])
    assert table[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(("n", "worst"), [(3, 0.857), (5, 0.859), (10, 0.904), (20, 0.912)])
def test_exact_coverage_of_the_curves_interval(n, worst):
    """Over survival from 0.01 to 0.99, from binomial chances: 96 to 98 % on average, below 95 % at worst."""
    rows = [survival_curve([0] * k + [10] * (n - k), [10] * k + [20] * (n - k)) for k in range(n + 1)]
    low, high = np.array([at(row, 10)[["low", "high"]] for row in rows]).T[:, :, None]
    survival = np.linspace(0.01, 0.99, 197)
    chances = stats.binom.pmf(np.arange(n + 1)[:, None], n, 1 - survival)
    coverage = (chances * ((low <= survival) & (survival <= high))).sum(axis=0)
    assert 0.955 < coverage.mean() < 0.985
    assert coverage.min() == pytest.approx(worst, abs=1e-3)


def test_cumulative_incidence_by_hand():
    """Four runs: one groks by 10, one diverges at 15, one is censored at 20, one groks by 30."""
    outcome = ["reached", "diverged", "censored", "reached"]
    table = cumulative_incidence([0, INF, 20, 20], [10, INF, INF, 30], outcome, [50, 15, 20, 50])
    assert table.columns.tolist() == ["step", "at_risk", "reached", "diverged", "survival"]
    assert table["step"].tolist() == [0, 10, 15, 20, 30]
    assert table["at_risk"].tolist() == [4, 4, 3, 2, 1]
    assert table["reached"].tolist() == pytest.approx([0, 0.25, 0.25, 0.25, 0.75])
    assert table["diverged"].tolist() == pytest.approx([0, 0, 0.25, 0.25, 0.25])
    assert table["survival"].tolist() == pytest.approx([1, 0.75, 0.5, 0.5, 0])


def fates(random, n):
    """Runs of all outcomes on a grid of tens: low, high, outcome, ended."""
    cell = random.integers(0, 6, n) * 10.0
    outcome = random.choice(["reached", "censored", "diverged", "failed"], n, p=[0.4, 0.3, 0.2, 0.1])
    broken = (outcome == "diverged") | (outcome == "failed")
    high = np.where(outcome == "reached", cell + 10, INF)
    return np.where(broken, INF, cell), high, outcome, cell


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # statsmodels' error where none is left
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("seed", range(5))
def test_cumulative_incidence_agrees_with_statsmodels(seed):
    """Aalen and Johansen's shares; a failed run counts as diverged; they sum with survival to 1."""
    low, high, outcome, ended = fates(np.random.default_rng(seed), 30)
    table = cumulative_incidence(low, high, outcome, ended).set_index("step")
    cause = np.select([outcome == "reached", outcome == "censored"], [1, 0], 2)
    expected = CumIncidenceRight(np.where(cause == 1, high, ended), cause)
    assert table.loc[expected.times, "reached"].to_numpy() == pytest.approx(expected.cinc[0])
    assert table.loc[expected.times, "diverged"].to_numpy() == pytest.approx(expected.cinc[1])
    assert table[["reached", "diverged", "survival"]].sum(axis=1).to_numpy() == pytest.approx(np.ones(len(table)))


def test_incidence_without_diverged_runs_is_one_less_survival():
    """With one cause both functions tell the same."""
    low, high, _ = drawn(np.random.default_rng(3), 12, 0.3)
    outcome = np.where(np.isfinite(high), "reached", "censored")
    table, curve = cumulative_incidence(low, high, outcome, low), survival_curve(low, high)
    assert (1 - table["reached"]).tolist() == pytest.approx(curve["survival"].tolist())
    assert cumulative_incidence([], [], [], []).empty


def test_until_a_run_is_censored_a_diverged_run_counts_alike_in_both():
    """It never reaches the event: at risk for ever in one, gone to the other share in the other."""
    low, high, outcome = [0, 10, INF, 90], [10, 20, INF, INF], ["reached", "reached", "diverged", "censored"]
    table, curve = cumulative_incidence(low, high, outcome, [0, 0, 15, 90]), survival_curve(low, high)
    assert at(table, 80)["reached"] == pytest.approx(1 - at(curve, 80)["survival"])


@pytest.mark.parametrize(
    ("outcome", "ended", "message"),
    [
        (["reached"], [9, 9], "`outcome` and `ended` must hold one value for each of 2 runs."),
        (["reached", "diverged"], [9], "`outcome` and `ended` must hold one value for each of 2 runs."),
        (["reached", None], [9, 9], "`outcome` must be one of reached, censored, diverged, failed, got None."),
        (
            ["reached", "failed"],
            [9, np.nan],
            "A reached run needs a finite `high`, a diverged one a finite `ended`, others a finite `low`.",
        ),
    ],
)
def test_outcomes_that_are_none_are_refused(outcome, ended, message):
    """What is not known of a run is said."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        cumulative_incidence([0, INF], [10, INF], outcome, ended)
    assert str(error.value) == message


def test_restricted_mean_of_runs_that_all_reached_is_a_mean():
    """Bounds are the means of both ends, and the interval is Student's around them."""
    low, high = [10, 20, 40], [20, 40, 80]
    mean = restricted_mean_log_step(low, high, 1000)
    assert mean.estimate == pytest.approx((np.log(low).mean(), np.log(high).mean()))
    assert mean.interval == pytest.approx((t_interval(np.log(low)).low, t_interval(np.log(high)).high))
    assert (mean.n, mean.reached) == (3, 3)


def test_restricted_mean_cuts_every_run_at_the_budget():
    """Reached later, censored at or before the budget, or diverged: none counts more than the budget."""
    mean = restricted_mean_log_step([50, 200, 100, 20, INF], [100, 300, INF, INF, INF], 100)
    low, high = [50, 100, 100, 20, 100], [100, 100, 100, 100, 100]
    assert mean.estimate == pytest.approx((np.log(low).mean(), np.log(high).mean()))
    assert (mean.n, mean.reached) == (5, 1)


def test_restricted_mean_counts_steps_below_one_as_one():
    """The first evaluation was enough, be it step 0."""
    assert restricted_mean_log_step([0, 0], [0, 10], 100).estimate == pytest.approx((0, math.log(10) / 2))


@pytest.mark.parametrize(("early", "late"), [(4, 6), (40, 1_960)])
def test_restricted_mean_of_two_steps_has_an_interval_of_betas(early, late):
    """Gaffke's bounds of values of two kinds are quantiles of a beta law, the share of the larger ones."""
    low, high = np.r_[np.ones(early), np.full(late, 10.0)], np.r_[np.full(early, 10.0), np.full(late, INF)]
    interval = restricted_mean_log_step(low, high, 100).interval
    least = math.log(10) * stats.beta.ppf(0.025, late, early + 1)
    most = math.log(100) - math.log(10) * stats.beta.ppf(0.025, early, late + 1)
    assert interval == pytest.approx((least, most), abs=1e-6)


@pytest.mark.parametrize(("n", "runs"), [(2, 2), (1, 1)])
def test_restricted_mean_of_few_runs_has_no_interval(n, runs):
    """Two runs have a mean, none have not even that."""
    mean = restricted_mean_log_step([10] * n, [20] * n, 100)
    assert (mean.interval, mean.n) == (None, runs)
    assert restricted_mean_log_step([], [], 100) is None


@pytest.mark.parametrize("budget", [1, INF, math.nan])
def test_budgets_that_are_none_are_refused(budget):
    """Nothing lies below one step, and a mean up to infinity does not exist."""
    with pytest.raises(ValueError, match=f"^`budget` must be a finite number of steps above 1, got {budget:g}.$"):
        restricted_mean_log_step([1], [2], budget)


@pytest.mark.parametrize("n", [3, 8])
def test_interval_of_a_mean_of_runs_that_never_reached(n):
    """Few may have reached it as early as step 1: the exact binomial bound times the log budget."""
    interval = restricted_mean_log_step([100] * n, [INF] * n, 100).interval
    assert interval == pytest.approx((0.025 ** (1 / n) * math.log(100), math.log(100)))


def test_interval_of_a_cut_mean_is_a_quantile_of_randomly_weighted_means():
    """Gaffke's bounds, from 200,000 draws of weights."""
    low, high, budget = drawn(np.random.default_rng(5), 8, 0.3)
    assert np.isinf(high).sum() == 2
    weights = np.random.default_rng(6).dirichlet(np.ones(9), 200_000)
    ends = [np.append(np.log(np.clip(low, 1, budget)), 0), np.log(np.clip(np.append(high, budget), 1, budget))]
    expected = [np.quantile(weights @ values, tail) for values, tail in zip(ends, (0.025, 0.975), strict=True)]
    assert restricted_mean_log_step(low, high, budget).interval == pytest.approx(expected, abs=0.02)


def test_students_interval_does_not_hold_where_runs_are_cut():
    """Three runs, 70 % of them cut: it covers less than half the time, which is why it is not used."""
    random, covered = np.random.default_rng(7), 0
    for _ in range(500):
        low, high, budget = drawn(random, 3, 0.7)
        below, above = (t_interval(np.log(np.clip(ends, 1, budget))) for ends in (low, high))
        covered += below.low <= true_mean(budget) <= above.high
    assert covered / 500 < 0.7


def random_groups(random, sizes, grid=GRID):
    """Groups drawn from one law, of 30 % censored runs, on one grid or one each."""
    grids = grid if isinstance(grid, list) else [grid] * len(sizes)
    drawn_groups = [drawn(random, n, 0.3, own)[:2] for n, own in zip(sizes, grids, strict=True)]
    return {f"group {k}": bounds for k, bounds in enumerate(drawn_groups)}


def flat(groups):
    """Step of the evaluation that saw the event or was the last, whether it was reached, and the group."""
    low, high = np.concatenate(list(groups.values()), axis=1)
    codes = np.repeat(np.arange(len(groups)), [len(low) for low, _ in groups.values()])
    return np.where(np.isfinite(high), high, low), np.isfinite(high).astype(int), codes


@pytest.mark.parametrize("sizes", [(4, 6), (30, 30), (12, 15, 11), (3, 3, 3, 3)])
def test_log_rank_statistic_agrees_with_statsmodels(sizes):
    """Two and more groups, with ties; the p value is chi-squared's where the ways to deal are too many."""
    groups = random_groups(np.random.default_rng(sum(sizes)), sizes, GRID[::8])
    expected = survdiff(*flat(groups))
    test = log_rank(groups)
    assert test.statistic == pytest.approx(expected[0])
    assert test.exact == (sum(sizes) <= 12)
    assert test.exact or test.p_value == pytest.approx(expected[1])


def test_log_rank_statistic_agrees_with_scipy():
    """SciPy's is the deviate of two groups."""
    groups = random_groups(np.random.default_rng(0), (15, 12))
    step, reached, group = flat(groups)
    samples = [
        stats.CensoredData(uncensored=step[own & (reached == 1)], right=step[own & (reached == 0)])
        for own in (group == 0, group == 1)
    ]
    expected = stats.logrank(*samples)
    assert log_rank(groups).statistic == pytest.approx(expected.statistic**2)
    assert log_rank(groups).p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("sizes", [(3, 4), (2, 2, 3)])
def test_exact_p_values_agree_with_a_slow_count(sizes):
    """Every order of the runs, dealt to the groups in turn: two by their excess of events, more by its squares."""
    groups = random_groups(np.random.default_rng(1), sizes, GRID[::6])
    low, high = np.concatenate(list(groups.values()), axis=1)
    names, ends, weights = list(groups), np.cumsum(sizes)[:-1], np.arange(len(sizes)) ** 2

    def measures(order):
        parts = np.split(np.array(order), ends)
        table = log_rank({name: (low[part], high[part]) for name, part in zip(names, parts, strict=True)}).groups
        excess = table["reached"] - table["expected"]
        return (excess**2 / table["n"]).sum(), abs((excess * weights).sum())

    deals = {tuple(tuple(sorted(part)) for part in np.split(np.array(order), ends)): order for order in orders(sizes)}
    found = np.array([measures(order) for order in deals.values()])
    expected = (found >= np.array(measures(range(sum(sizes)))) - 1e-9).mean(axis=0)
    scores = dict(zip(names, weights, strict=True))
    assert (log_rank(groups).p_value, trend(groups, scores).p_value) == pytest.approx(tuple(expected))


def orders(sizes):
    """One order of the runs for every way to deal them."""
    everyone = range(sum(sizes))
    if len(sizes) == 2:
        yield from ((*first, *sorted(set(everyone) - set(first))) for first in combinations(everyone, sizes[0]))
    else:
        yield from permutations(everyone)


def test_log_rank_table_counts_reached_and_expected():
    """Two groups by hand: at 10 two of four reached, an event expected of each; at 20 one of one, of the second."""
    test = log_rank({"a": ([0, 0], [10, 10]), "b": ([10, 10], [20, INF])})
    assert test.groups["group"].tolist() == ["a", "b"]
    assert test.groups["n"].tolist() == [2, 2]
    assert test.groups["reached"].tolist() == [2, 1]
    assert test.groups["expected"].tolist() == pytest.approx([1, 2])
    assert test.statistic == pytest.approx(1 / (2 * (2 / 3) / 4))


def test_groups_on_different_grids_are_compared_at_shared_evaluations():
    """(0, 10] and (10, 20] of one group lie in (0, 20] of the other: no order among them is known."""
    coarse = ([0, 0, 20], [20, 20, 40])
    assert log_rank({"a": ([0, 10, 20], [10, 20, 40]), "b": coarse}).statistic == 0
    assert log_rank({"a": ([0, 10, 10], [10, 20, 20]), "b": coarse}).statistic > 0


@pytest.mark.parametrize("ends", [([10] * 3, [INF] * 3), ([INF] * 3, [INF] * 3), ([0] * 3, [10] * 3)])
def test_groups_without_any_order_do_not_differ(ends):
    """All censored, all diverged, or all reached at one evaluation; few runs or many."""
    for times in (1, 10):
        groups = {name: tuple(np.repeat(end, times) for end in ends) for name in "abc"}
        test, order = log_rank(groups), trend(groups, {"a": 1, "b": 2, "c": 3})
        assert (test.statistic, test.p_value) == (0, 1)
        assert (order.statistic, order.p_value) == (0, 1)


def test_a_diverged_group_is_later_than_a_censored_one():
    """A censored run leaves before the events of the other group, a diverged one is passed by them."""
    reached = ([20] * 8, [30] * 8)
    assert log_rank({"a": reached, "b": ([INF] * 8, [INF] * 8)}).p_value < 0.001
    assert log_rank({"a": reached, "b": ([10] * 8, [INF] * 8)}).statistic == 0


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "A log-rank test compares two or more groups, got 0."),
        ({"a": ([1], [2])}, "A log-rank test compares two or more groups, got 1."),
        ({"a": ([1], [2]), "b": ([], [])}, "Group 'b' has no runs. Leave it out."),
    ],
)
def test_groups_that_are_none_are_refused(groups, message):
    """By both tests of groups."""
    for test in (log_rank, lambda groups: trend(groups, dict.fromkeys(groups, 1.0))):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            test(groups)
        assert str(error.value) == message


def test_trend_agrees_with_coxs_score_test():
    """Without ties the trend is the score of a Cox model at a coefficient of zero."""
    random, scores = np.random.default_rng(2), {"a": 0.0, "b": 1.0, "c": 3.0}
    steps = dict(zip(scores, random.permutation(np.arange(1.0, 1000))[:27].reshape(3, 9), strict=True))
    groups = {name: (own, np.where(own < 700, own, INF)) for name, own in steps.items()}
    step, reached, group = flat(groups)
    model = PHReg(step, np.array(list(scores.values()))[group][:, None], status=reached)
    expected = model.score(np.zeros(1)) / np.sqrt(-model.hessian(np.zeros(1))[0])
    test = trend(groups, scores)
    assert test.statistic == pytest.approx(expected.item())
    assert not test.exact
    assert test.p_value == pytest.approx(2 * stats.norm.sf(abs(expected.item())))


def test_trend_of_two_groups_is_their_log_rank_test():
    """Its square is chi-squared; it is positive where the higher score is the earlier, whatever the spacing."""
    groups = {"slow": ([10, 20, 30], [20, 30, 40]), "fast": ([0, 0, 10], [10, 10, 20])}
    test = trend(groups, {"fast": 7, "slow": 5})
    assert test.statistic == pytest.approx(math.sqrt(log_rank(groups).statistic))
    assert test.p_value == log_rank(groups).p_value
    assert trend(groups, {"slow": 9, "fast": 1}).statistic == pytest.approx(-test.statistic)


def test_scores_of_other_groups_are_refused():
    """Every group has its score."""
    groups = {"a": ([1], [2]), "b": ([1], [2])}
    with pytest.raises(ValueError, match=r"^`scores` must be of the groups a, b, got a, c\.$"):
        trend(groups, {"a": 1, "c": 2})


@pytest.mark.parametrize("n", [1, 4, 9])
def test_paired_p_value_agrees_with_all_signs(n):
    """SciPy's permutation test of the differences of the log-rank scores."""
    random = np.random.default_rng(n)
    groups = random_groups(random, (n, n), GRID[::3])
    first, second = groups.values()
    step, reached, _ = flat(groups)
    grid = np.unique(step)
    hazard = np.cumsum([((step == t) & (reached == 1)).sum() / (step >= t).sum() for t in grid])
    scores = (reached - hazard[np.searchsorted(grid, step)]).reshape(2, n)
    expected = [abs(signs @ (scores[0] - scores[1])) for signs in map(np.array, product([1, -1], repeat=n))]
    test = paired_log_rank(first, second)
    assert test.exact
    assert test.p_value == pytest.approx(np.mean(np.array(expected) >= expected[0] - 1e-9))
    assert paired_log_rank(second, first).p_value == test.p_value
    assert paired_log_rank(second, first).statistic == -test.statistic


def test_paired_test_sees_what_spread_between_seeds_hides():
    """Every seed is a little earlier in the first group, and the seeds lie far apart."""
    low = np.arange(0, 1400, 100.0)
    first, second = (low, low + 10), (low + 10, low + 20)
    assert paired_log_rank(first, second).p_value == 2 / 2**14
    assert paired_log_rank(first, second).statistic > 0
    assert log_rank({"first": first, "second": second}).p_value > 0.5


def test_more_than_fourteen_pairs_have_a_normal_p_value():
    """The deviate's tails."""
    low = np.arange(0, 1500, 100.0)
    test = paired_log_rank((low, low + 10), (low + 10, low + 20))
    assert not test.exact
    assert test.p_value == pytest.approx(2 * stats.norm.sf(test.statistic))


@pytest.mark.parametrize(
    ("first", "second", "statistic"),
    [
        (([0], [10]), ([0], [10]), 0),  # tied
        (([100], [INF]), ([100], [INF]), 0),  # both censored
        (([50], [INF]), ([80], [90]), 0),  # the second came when the first was no longer followed
        (([50], [INF]), ([40], [60]), 0),  # perhaps so
        (([50], [INF]), ([20], [30]), -1),
        (([INF], [INF]), ([80], [90]), -1),  # diverged: never
        (([INF], [INF]), ([100], [INF]), 0),
    ],
)
def test_a_pair_is_compared_as_far_as_both_were_followed(first, second, statistic):
    """A single pair has the sign of what is known of it, and no more."""
    test = paired_log_rank(first, second)
    assert (test.statistic, test.p_value) == (statistic, 1)


def test_pairs_that_are_none_are_refused():
    """Every run has its partner."""
    with pytest.raises(ValueError, match=r"^Every first run needs its second one, got 1 and 2 runs\.$"):
        paired_log_rank(([1], [2]), ([1, 1], [2, 2]))
    with pytest.raises(ValueError, match=r"^Group 'first' has no runs\. Leave it out\.$"):
        paired_log_rank(([], []), ([], []))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cut"), FEW)
def test_coverage_of_the_curves_interval(n, cut, record_property):
    """At three quantiles of what the budget shows: at least 90 %, with 95 % asked for, less three errors."""
    random, times = np.random.default_rng(n), 1000
    covered = np.zeros(3)
    for _ in range(times):
        low, high, budget = drawn(random, n, cut)
        steps = np.quantile(GRID[(budget >= GRID) & (GRID < 600)], (0.6, 0.8, 1.0), method="nearest")
        rows = [at(survival_curve(low, high), step) for step in steps]
        covered += [
            row["low"] <= survival <= row["high"] for row, survival in zip(rows, true_survival(steps), strict=True)
        ]
    record_property("survival_curve", f"{covered / times}")
    assert covered.min() / times >= 0.86 - errors(0.86, times)
    assert covered.mean() / times >= 0.93 - errors(0.93, 3 * times)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cut"), FEW)
def test_coverage_of_the_restricted_mean(n, cut, record_property):
    """At least 95 %, less three errors."""
    random, times, covered = np.random.default_rng(n), 500, 0
    for _ in range(times):
        low, high, budget = drawn(random, n, cut)
        interval = restricted_mean_log_step(low, high, budget).interval
        covered += interval.low <= true_mean(budget) <= interval.high
    record_property("restricted_mean_log_step", f"{covered / times}")
    assert covered / times >= 0.95 - errors(0.95, times)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cut"), FEW)
def test_false_alarms_of_the_rank_tests(n, cut, record_property):
    """Equal groups: at most 5 % of exact p values are below 0.05, and 7 % of asymptotic ones, plus three errors."""
    random, times, alarms = np.random.default_rng(n), {5: 100, 10: 200}.get(n, 400), np.zeros(4)
    for _ in range(times):
        groups = {name: drawn(random, n, cut)[:2] for name in "abc"}
        two = {name: groups[name] for name in "ab"}
        tests = log_rank(two), log_rank(groups), trend(groups, {"a": 0, "b": 1, "c": 2}), paired_log_rank(*two.values())
        alarms += [test.p_value < 0.05 for test in tests]
    record_property("rank tests", f"{alarms / times}")
    limits = [0.05 if test.exact else 0.07 for test in tests]
    assert all(alarms / times <= [limit + errors(limit, times) for limit in limits])

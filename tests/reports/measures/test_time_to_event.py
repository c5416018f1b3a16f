import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from deepboot.reports import compare
from deepboot.reports.measures.time_to_event import (
    equality_table,
    incidence_table,
    mean_table,
    ratio_table,
    time_ratio_table,
)
from deepboot.reports.statistics.intervals import clopper_pearson, t_interval
from deepboot.reports.statistics.log_rank import log_rank, paired_log_rank, trend
from deepboot.reports.statistics.ratio import paired_ratio, weibull_shape

INF = math.inf
STEPS = [(100, 110), (120, 130), (90, 100), (200, 220), (150, 160), (170, 180)]
LATER = [(300, 330), (260, 270), (280, 300), (310, 330), (500, 550), (400, 440)]
LATEST = [(900, 990), (700, 800), (800, 900), (950, 999), (600, 700), (650, 750)]


@pytest.fixture
def make_cells(make_pairs):
    """Builder of cells from their grokking intervals (None: censored at 4,000; a status: broken), and a setting."""

    def build(*cells, name="optimizer.weight_decay", values=(0.1, 0.2, 0.4), worlds=("real",) * 3):
        results = []
        for place, (ends, value, world) in enumerate(zip(cells, values, worlds, strict=False)):
            pairs = [{"ideal_grokking": (50, 60)} | made(one) for one in ends]
            one = make_pairs(pairs, cell=f"c{place}", **{name: value})
            one.runs.loc[one.runs["world"] == "real", "world"] = world
            results.append(one)
        return compare(results)

    return build


def made(ends):
    """A pair's grokking interval, or how its real run ended."""
    if isinstance(ends, str):
        return {"status": ends}
    return {"grokking": (4_000, None) if ends is None else ends}


def ends_of(cell):
    """Lower and upper bounds, as statistics take them."""
    table = {None: (4_000, INF), "diverged": (INF, INF), "failed": (INF, INF)}
    return tuple(np.array([table.get(one, one) for one in cell], dtype=float).T)


def row_of(table, world="real"):
    return table[table["world"] == world].iloc[0]


def test_mean_is_geometric(make_cells):
    """Where every run got there, the bounds are geometric means and the interval Student's, of log steps."""
    row = row_of(mean_table(make_cells(STEPS)))
    low, high = ends_of(STEPS)
    assert (row["mean_low"], row["mean_high"]) == pytest.approx((stats.gmean(low), stats.gmean(high)))
    assert row["low"] == pytest.approx(math.exp(t_interval(np.log(low)).low))
    assert row["high"] == pytest.approx(math.exp(t_interval(np.log(high)).high))
    shape = weibull_shape(low, high)
    assert (row["shape"], row["shape_low"]) == pytest.approx((shape.estimate, shape.interval.low))
    assert (row["n"], row["reached"], row["diverged"], row["budget"], row["reason"]) == (6, 6, 0, 4_000, "")


def test_means_are_cut_where_the_first_censored_run_ends(make_cells):
    """All cells are cut at one step, and a run that got there later counts as it."""
    comparison = make_cells([*STEPS[:5], (3_000, 3_100)], STEPS)
    comparison.runs.loc[comparison.runs["run_id"] == "real-c1-0", ["grokking_low", "grokking_high"]] = [2_000, None]
    table = mean_table(comparison)
    assert (table["budget"] == 2_000).all()
    row = row_of(table)
    assert row["reached"] == 5
    assert row["mean_high"] == pytest.approx(stats.gmean([*ends_of(STEPS)[1][:5], 2_000]))


def test_mean_of_runs_that_never_got_there(make_cells):
    """All censored and all diverged: everything at the budget, no shape; one seed: no interval; unmeasured: no row."""
    for ends, diverged in ((None, 0), ("diverged", 4)):
        row = row_of(mean_table(make_cells([ends] * 4)))
        assert (row["mean_low"], row["mean_high"], row["high"]) == pytest.approx((4_000, 4_000, 4_000))
        assert (row["reached"], row["diverged"]) == (0, diverged)
        assert math.isnan(row["shape"])
        assert row["reason"]
    single = row_of(mean_table(make_cells(STEPS[:1])))
    assert np.isnan([single["low"], single["shape_low"]]).all()
    assert mean_table(make_cells(STEPS), "memorization").empty


def test_ratio_pairs_seeds_with_the_reference(make_cells):
    """The second cell's steps over the first one's, by the signed-rank test, and a log-rank test within pairs."""
    (row,) = ratio_table(make_cells(STEPS, LATER)).to_dict("records")
    expected = paired_ratio(*ends_of(LATER), *ends_of(STEPS))
    assert (row["ratio_low"], row["ratio_high"]) == pytest.approx(tuple(expected.estimate))
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected.interval))
    assert row["p"] == paired_log_rank(ends_of(LATER), ends_of(STEPS)).p_value == 2 / 2**6
    assert (row["n"], row["alone"], row["paired"], row["cell"]) == (6, 0, True, "weight_decay 0.2")
    assert row["reference"] == "weight_decay 0.1"


def test_plainly_real_cell_is_the_reference(make_cells):
    """It comes first even where another world's cell was run before it."""
    table = ratio_table(make_cells(LATER, STEPS, values=(0.1, 0.1), worlds=("fresh", "real")))
    assert table[["world", "reference"]].to_numpy().tolist() == [["fresh", "real"]]


def test_ratio_counts_pairs_by_outcome(make_cells):
    """Seeds that only one cell has stay apart; censored and diverged pairs are counted; unknown ratios are open."""
    (row,) = ratio_table(make_cells([*STEPS[:4], None, None], [LATER[0], None, "diverged", "failed", None])).to_dict(
        "records"
    )
    assert (row["n"], row["censored"], row["diverged"], row["alone"]) == (5, 2, 2, 1)
    assert math.isnan(row["low"])
    both = ratio_table(make_cells([None] * 6, [None] * 6)).iloc[0]
    assert (both["ratio_low"], both["ratio_high"], both["p"]) == (0, INF, 1)


def test_ratio_without_a_common_seed(make_cells):
    """Runs are then compared as they are, unpaired."""
    comparison = make_cells(STEPS, LATER)
    late = comparison.runs["cell_id"] == "real-c1"
    comparison.runs.loc[late, "seed"] += 10
    row = ratio_table(comparison).iloc[0]
    assert (row["n"], row["alone"], row["paired"]) == (0, 12, False)
    assert row["p"] == log_rank({"a": ends_of(LATER), "b": ends_of(STEPS)}).p_value
    assert math.isnan(row["ratio_low"])


def test_slowdown_pairs_with_ideal_partners(make_cells):
    """A real run's step over its partner's; identical worlds have a ratio about 1 and no evidence against it."""
    row = time_ratio_table(make_cells(STEPS)).iloc[0]
    expected = paired_ratio(*ends_of(STEPS), [50] * 6, [60] * 6)
    assert (row["ratio_low"], row["low"], row["high"]) == pytest.approx((expected.estimate.low, *expected.interval))
    assert (row["n"], row["alone"], row["p"]) == (6, 0, 1 / 32)
    same = time_ratio_table(make_cells([(50, 60)] * 6)).iloc[0]
    assert same["low"] < 1 < same["high"]
    assert same["p"] == 1


def test_slowdown_needs_partners(make_cells):
    """A run without its partner is counted, a cell without any is left out."""
    comparison = make_cells(STEPS)
    runs = comparison.runs[comparison.runs["run_id"] != "ideal-c0-2"]
    row = time_ratio_table(replace(comparison, runs=runs)).iloc[0]
    assert (row["n"], row["alone"]) == (5, 1)
    for world in ("real", "ideal"):
        assert time_ratio_table(replace(comparison, runs=runs[runs["world"] == world])).empty


def test_alike_tests_all_cells_and_their_order(make_cells):
    """A log-rank test over cells, and a trend over the log of the setting where one number sets them apart."""
    cells = [LATEST, LATER, STEPS]
    table = equality_table(make_cells(*cells)).set_index("test")
    groups = {str(index): ends_of(cell) for index, cell in enumerate(cells)}
    assert table.loc["log-rank", "p"] == log_rank(groups).p_value
    assert table.loc["trend", "p"] == trend(groups, dict(zip(groups, np.log([0.1, 0.2, 0.4]), strict=True))).p_value
    row = table.loc["trend"]
    assert (row["over"], row["cells"], row["n"], row["sooner"]) == ("optimizer.weight_decay", 3, 18, True)
    assert row["low"] < row["exponent"] < row["high"] < 0
    middles = np.log([np.mean(ends_of(cell), axis=0) for cell in cells]).ravel()
    slope = stats.linregress(np.log([0.1, 0.2, 0.4]).repeat(6), middles).slope
    assert row["exponent"] == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize(
    ("values", "worlds"),
    [
        ((0.1, 0.2), ("real", "real")),
        (("a", "b", "c"), ("real", "real", "real")),
        ((1, 2, 4), ("real", "fresh", "real")),
    ],
)
def test_alike_has_no_trend_without_an_order(make_cells, values, worlds):
    """Two cells, names, and worlds of different rules have none."""
    table = equality_table(make_cells(*[LATEST, LATER, STEPS][: len(values)], values=values, worlds=worlds))
    assert table["test"].tolist() == ["log-rank"]


def test_alike_at_its_limits(make_cells):
    """From zero there is no power; without an event there is no difference; one cell has no test."""
    zero = equality_table(make_cells(LATEST, LATER, STEPS, values=(0.0, 0.1, 0.2))).iloc[1]
    assert zero["sooner"]
    assert math.isnan(zero["exponent"])
    for ends in (None, "diverged"):
        never = equality_table(make_cells(*[[ends] * 4] * 3))
        assert never["p"].tolist() == [1, 1]
        assert (never.loc[1, "low"], never.loc[1, "high"]) == (-INF, INF)
    assert equality_table(make_cells(STEPS)).empty
    assert ratio_table(make_cells(STEPS)).empty


def test_incidence_counts_outcomes(make_cells):
    """Shares of the runs by the step to which all were followed, with Clopper and Pearson's intervals."""
    row = row_of(incidence_table(make_cells([*STEPS[:3], None, "diverged", "failed", (5_000, 6_000)])))
    for name, number in (("reached", 3), ("broken", 2), ("neither", 2)):
        low, high = clopper_pearson(number, 7)
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((number / 7, low, high))
    assert (row["n"], row["budget"]) == (7, 4_000)
    assert row_of(incidence_table(make_cells(["failed"])))["broken"] == 1


def test_incidence_needs_a_broken_run(make_cells):
    """Where all finished, the other tables say it all."""
    assert incidence_table(make_cells([*STEPS, None])).empty

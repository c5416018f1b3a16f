import math

import pytest

from deepboot.reports import compare
from deepboot.reports.measures.events import delay_table, event_bounds, run_times, step_table

REACHED = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}


def grokking(pairs, make_pairs, world="real"):
    """The row of the grokking steps of one world."""
    table = step_table(compare(make_pairs(pairs)))
    return table[(table["event"] == "grokking") & (table["world"] == world)].iloc[0]


def test_median_interval_and_range_of_finished_runs(make_pairs):
    """Eight runs that grok in consecutive intervals of a hundred steps."""
    row = grokking([{"grokking": (100 * k, 100 * k + 100)} for k in range(1, 9)], make_pairs)
    assert (row["n"], row["reached"], row["note"]) == (8, 8, "")
    assert (row["median_low"], row["median_high"]) == (450, 550)
    assert (row["low"], row["high"]) == (100, 900)  # n = 8: the smallest and the largest
    assert (row["first"], row["last"]) == (100, 900)


def test_censored_runs_are_counted_and_open_the_interval(make_pairs):
    """Three of eight never grokked: the median stands, the interval is open above."""
    row = grokking([REACHED] * 5 + [{"grokking": (4000, None)}] * 3, make_pairs)
    assert (row["reached"], row["censored"]) == (5, 3)
    assert (row["median_low"], row["median_high"]) == (900, 1000)
    assert math.isinf(row["high"])
    assert row["note"] == "3 of 8 never grokked"


def test_half_censored_is_not_reached(make_pairs):
    """With half of the runs censored the median is beyond the budget."""
    row = grokking([REACHED] * 3 + [{"grokking": (4000, None)}] * 3, make_pairs)
    assert (row["median_low"], row["median_high"], row["budget"]) == (4000, math.inf, 4000)


def test_diverged_and_failed_runs_rank_last_and_are_counted_apart(make_pairs):
    """They push the median as a censored run would, and further than it."""
    broken = [{"status": "diverged", "grokking": (300, None)}, {"status": "failed"}]
    row = grokking([REACHED] * 3 + [{"grokking": (4000, None)}] + broken, make_pairs)
    counts = {outcome: row[outcome] for outcome in ("reached", "censored", "diverged", "failed")}
    assert counts == {"reached": 3, "censored": 1, "diverged": 1, "failed": 1}
    assert math.isinf(row["median_high"])
    assert row["note"] == "1 of 6 never grokked; 1 of 6 diverged before; 1 of 6 failed before"


def test_a_run_that_diverged_after_grokking_has_grokked(make_pairs):
    """The event came first."""
    row = grokking([REACHED | {"status": "diverged"}], make_pairs)
    assert (row["reached"], row["diverged"]) == (1, 0)


def test_few_seeds_have_no_interval(make_pairs):
    """Five seeds: no distribution-free interval, and the note says so."""
    row = grokking([REACHED] * 5, make_pairs)
    assert math.isnan(row["low"])
    assert row["note"] == "5 seeds: no interval"


def test_ideal_world_has_no_stopping_row(make_pairs):
    """What a world does not have is left out of the table."""
    table = step_table(compare(make_pairs([REACHED | {"stopping": 10}])))
    assert table.loc[table["event"] == "stopping", "world"].tolist() == ["real"]


def test_stable_grokking_has_a_row_where_a_run_fell_again(make_pairs):
    """Where all stay, and in tables without its columns, there is none."""
    stays, falls = REACHED | {"stable": REACHED["grokking"]}, REACHED | {"stable": (4000, None)}
    for pairs, expected in (([stays, stays], 0), ([REACHED, REACHED], 0), ([stays, falls], 1)):
        table = step_table(compare(make_pairs(pairs)))
        assert (table["event"] == "stable").sum() == expected
    (row,) = table[table["event"] == "stable"].to_dict("records")
    assert (row["reached"], row["censored"], row["note"]) == (
        1,
        1,
        "1 of 2 never grokked for good; 2 seeds: no interval",
    )


def test_what_is_stable_so_far_in_a_run_under_way_is_not_known_to_last(make_pairs):
    """It may still fall: at the earliest it is stable where it is now."""
    pair = REACHED | {"stable": (900, 1000), "status": "unfinished"}
    runs = compare(make_pairs([pair])).runs
    real = event_bounds(runs, "stable")[(runs["world"] == "real").to_numpy()]
    assert real.iloc[0].tolist() == ["censored", 900.0, math.inf]


def test_event_bounds_of_a_run_that_had_it_from_the_start(make_pairs):
    """Left-censored: from step 0 to the first evaluation."""
    runs = compare(make_pairs([{"grokking": (None, 10)}])).runs
    assert event_bounds(runs, "grokking").iloc[0].tolist() == ["reached", 0.0, 10.0]


@pytest.mark.parametrize(
    ("pair", "ratio", "difference"),
    [
        (REACHED, (9.0, 1000 / 90), (800, 910)),
        (REACHED | {"grokking": (4000, None)}, (40.0, math.inf), (3900, math.inf)),
        (REACHED | {"memorization": (4000, None)}, (0.0, 0.25), (-math.inf, -3000)),
        (REACHED | {"memorization": (4000, None), "grokking": (4000, None)}, (0.0, math.inf), (-math.inf, math.inf)),
        (REACHED | {"memorization": (None, 10)}, (90.0, math.inf), (890, 1000)),
        (REACHED | {"grokking": (500, None), "status": "diverged"}, (0.0, math.inf), (-100, math.inf)),
    ],
)
def test_delay_carries_the_bounds_through(make_pairs, pair, ratio, difference):
    """Ratio and difference of the grokking to the memorisation step, from their bounds."""
    run = run_times(compare(make_pairs([pair]))).iloc[0]
    assert (run["delay_ratio_low"], run["delay_ratio_high"]) == pytest.approx(ratio)
    assert (run["delay_low"], run["delay_high"]) == pytest.approx(difference)


def test_delay_table_of_smooth_curves(make_results):
    """Real runs grok late after memorising, ideal ones at once, none relapses, and the rise has a width."""
    table = delay_table(compare(make_results(seeds=6))).set_index("world")
    assert table.loc["real", "ratio_low"] > 5
    assert table.loc["ideal", "ratio_low"] < 1 < table.loc["ideal", "ratio_high"]
    assert table["relapsed"].tolist() == [0, 0]
    assert 300 < table.loc["real", "width"] < 1200


def test_delay_table_names_censored_and_broken_runs(make_results):
    """Counts stay beside the medians."""
    table = delay_table(compare(make_results(seeds=6, censored=(0,), diverged=(1,)))).set_index("world")
    assert table.loc["real", "note"] == (
        "1 of 6 never grokked; 1 of 6 diverged or failed: delay unknown, open at both ends"
    )

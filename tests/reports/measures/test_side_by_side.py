"""Which cells of two folders compare, and their numbers."""

import math

import pytest

from deepboot.reports import compare
from deepboot.reports.measures.side_by_side import matched_cells

LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}


def test_cells_compare_where_the_settings_that_vary_are_equal(make_results):
    """A setting that varies in neither folder may differ; the ideal cells come last; a cell may have no partner."""
    first = compare(make_results(2, (750, 1500), evaluations=40, loss="mse"))
    second = compare(make_results(2, (1500, 3000), evaluations=40))
    found = matched_cells(first, second)
    assert [(one.label, one.worlds) for one in found] == [
        ("train_size 1,500", ("real", "real")), ("ideal", ("ideal", "ideal")),
    ]  # fmt: skip
    assert [one.label for one in matched_cells(first, first)] == ["train_size 750", "train_size 1,500", "ideal"]


def test_worlds_compare_where_each_folder_has_one(make_results):
    """Real runs in one folder, and another index rule in the other: that is the comparison."""
    found = matched_cells(
        compare(make_results(2, evaluations=40)), compare(make_results(2, evaluations=40, world="redraw"))
    )
    assert [one.worlds for one in found] == [("real", "redraw"), ("ideal", "ideal")]
    assert found[0].label == "real"


def test_cells_that_no_setting_tells_apart_have_no_partner(make_pairs):
    """As of one study whose plugin changed in between: either could be meant."""
    twice = compare([make_pairs([LATE], cell="a"), make_pairs([LATE], cell="b")])
    assert matched_cells(twice, twice) == []


def test_numbers_count_their_runs(make_results):
    """The median at the end with the runs that have one, and events as intervals with those that reached them."""
    whole, broken = (
        compare(make_results(4, evaluations=40)),
        compare(make_results(4, evaluations=40, censored=(0, 1, 2), failed=(3,))),
    )
    (real, _) = matched_cells(whole, broken)
    ours, theirs = real.outcomes
    assert (ours.ended, ours.runs, theirs.ended, theirs.runs) == (4, 4, 3, 4)
    assert ours.test_error == pytest.approx(whole.final()[(whole.runs["world"] == "real").to_numpy()].median())
    assert theirs.test_error == pytest.approx(0.5, abs=0.02)
    assert (ours.events["grokking"]["reached"], theirs.events["grokking"]["reached"]) == (4, 0)
    assert math.isinf(theirs.events["grokking"]["median_high"])


def test_an_event_that_is_not_measured_is_none(make_pairs):
    """And a diverged run's error is infinite."""
    comparison = compare(make_pairs([{"grokking": (90, 100), "status": "diverged"}]))
    (real, _) = matched_cells(comparison, comparison)
    assert real.outcomes[0].test_error == math.inf
    ideal = matched_cells(comparison, comparison)[1].outcomes[0]
    assert ideal.events == {"memorization": None, "grokking": None}

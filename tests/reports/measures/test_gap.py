import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.measures.gap import gap_table, prediction_table
from deepboot.reports.statistics.intervals import t_interval
from deepboot.reports.statistics.prediction import explained_share

GAPS = [0.20, 0.26, 0.24, 0.31]  # generalisation gap = real test error less 0.1


def pair(difference, stopping=20):
    """A pair whose bootstrap error is this at every step: the ideal error is 0.3, the real train error 0.1."""
    return {"stopping": stopping, "differences": [difference] * 4}


def test_share_is_the_ratio_of_means(make_pairs):
    """Mean bootstrap error over mean gap, with Fieller's interval, at both times."""
    errors = np.array(GAPS) - 0.2
    table = gap_table(compare(make_pairs([pair(error) for error in errors])))
    assert table["when"].tolist() == ["stopping", "end"]
    found, expected = table.iloc[0], explained_share(GAPS, errors)
    assert found["share"] == pytest.approx(errors.mean() / np.mean(GAPS))
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected.interval))
    assert (found["n"], found["pairs"], found["gap"]) == (4, 4, pytest.approx(np.mean(GAPS)))
    assert math.isnan(found["excluded_low"])


def test_share_of_no_gap(make_pairs):
    """A gap of nothing is not divided by; one that may be nothing leaves the share open."""
    none = gap_table(compare(make_pairs([pair(-0.2)] * 3))).iloc[0]
    assert none["negligible"]
    assert math.isnan(none["share"])
    open_ended = gap_table(compare(make_pairs([pair(error) for error in (-0.3, -0.2, 0.3)]))).iloc[0]
    assert (open_ended["low"], open_ended["high"]) == (-math.inf, math.inf)


def test_share_of_few_and_of_identical_pairs(make_pairs):
    """Two pairs have a share and no interval, none has neither; identical worlds explain nothing."""
    two = gap_table(compare(make_pairs([pair(0.1), pair(0.2, stopping=None)])))
    assert two["n"].tolist() == [1, 2]
    assert two["share"].tolist() == pytest.approx([1 / 3, 0.3 / 0.7])
    assert two["low"].isna().all()
    never = gap_table(compare(make_pairs([pair(0.1, stopping=None)]))).iloc[0]
    assert (never["n"], never["note"], never["negligible"]) == (0, "1 of 1 without a stopping step", False)
    same = gap_table(compare(make_pairs([pair(0.0)] * 3))).iloc[0]
    assert (same["share"], same["low"], same["high"]) == (0, 0, 0)


def test_prediction_per_cell(make_pairs):
    """Ideal error at the stopping step less the real one at the end, with a t interval over pairs."""
    finals = np.array([0.02, -0.05, 0.04])
    pairs = [{"stopping": 10, "differences": [0.5, 0.5, 0.5, final]} for final in finals]
    (row,) = prediction_table(compare(make_pairs(pairs))).to_dict("records")
    assert (row["predicted"], row["actual"]) == pytest.approx((0.3, 0.3 + finals.mean()))
    assert row["error"] == pytest.approx(-finals.mean())
    assert (row["low"], row["high"]) == pytest.approx(tuple(t_interval(-finals)))
    assert row["mean_absolute"] == pytest.approx(np.abs(finals).mean())
    assert (row["unit"], row["n"], row["total"]) == ("pair", 3, 3)


def test_prediction_over_cells(make_pairs):
    """Each cell's means are one prediction; other metrics have a row of their own, and one cell none."""
    cells = [make_pairs([pair(final)] * 2, cell=name, train_size=size, **{"model.width": size})
             for name, size, final in (("a", 100, 0.1), ("b", 200, -0.1), ("c", 300, 0.3))]  # fmt: skip
    for results, size in zip(cells, (100, 200, 300), strict=True):
        results.runs.loc[results.runs["world"] == "real", "train_size"] = size
    table = prediction_table(compare(cells))
    assert table["unit"].tolist() == ["pair"] * 3 + ["cell"]
    over = table.iloc[-1]
    assert (over["n"], over["total"]) == (3, 3)
    assert over["error"] == pytest.approx(-0.1)
    assert over["mean_absolute"] == pytest.approx(0.5 / 3)
    assert (over["low"], over["high"]) == pytest.approx(tuple(t_interval([-0.1, 0.1, -0.3])))
    mixed = [
        results.runs.assign(metric=metric)
        for results, metric in zip(cells, ("error", "error", "soft_error"), strict=True)
    ]
    table = prediction_table(compare([replace(one, runs=runs) for one, runs in zip(cells, mixed, strict=True)]))
    over = table[table["unit"] == "cell"]
    assert over[["metric", "total"]].to_numpy().tolist() == [["test_error", 2]]


def test_prediction_without_values(make_results):
    """Pairs that never end are counted, and a comparison without pairs has no row."""
    broken = prediction_table(compare(make_results(seeds=3, diverged=range(3)))).iloc[0]
    assert (broken["n"], broken["total"]) == (0, 3)
    assert math.isnan(broken["error"])
    alone = make_results(seeds=2)
    alone = replace(alone, runs=alone.runs[alone.runs["world"] == "ideal"])
    assert prediction_table(compare(alone)).empty
    assert gap_table(compare(alone)).empty

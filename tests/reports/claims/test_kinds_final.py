"""Claims about final test errors: their level in one world, the difference between two groups, the share of the gap."""

import numpy as np
import pytest

from deepboot.bootstrap.columns import PROBE_COLUMNS
from deepboot.reports import compare
from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.reports.claims.kind import scope_of
from deepboot.reports.statistics.intervals import Bounds, t_interval

ARMS = {"of": {"train_size": 100}, "to": {"train_size": 400}}
LESS = {"kind": "final_difference", "max": -0.05} | ARMS


def ending(*errors, **also):
    """Pairs whose real runs end with these test errors, and whose ideal ones end with 0.3."""
    return [{"differences": [0, 0, 0, error - 0.3]} | also for error in errors]


def judged(make_pairs, cells, claim):
    """The one judgement of a claim on cells that differ in their pool."""
    results = [make_pairs(pairs, cell=str(n), claims=[claim], train_size=n) for n, pairs in cells.items()]
    (one,) = judge(compare(results))
    return one


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ({"min": 0.096, "max": 0.116}, "supported"),  # 0.10 to 0.112
        ({"min": 0.096, "max": 0.110}, "inconclusive"),
        ({"max": 0.09}, "refuted"),
        ({"world": "ideal", "min": 0.29, "max": 0.31}, "inconclusive"),  # three of 0.3: no spread to go by
        ({"min": 0.096, "max": 0.116, "metric": "test_soft_error"}, "supported"),
    ],
)
def test_final_error(make_pairs, claim, expected):
    """The mean test error of one world's runs at their last evaluation."""
    one = judged(make_pairs, {100: ending(0.104, 0.106, 0.108)}, {"kind": "final_error"} | claim)
    assert (one.verdict, one.effect.n, one.effect.items) == (expected, 3, "runs")


def test_final_error_by_hand(make_pairs):
    """Mean and t interval of the values, told for the world and the metric."""
    one = judged(make_pairs, {100: ending(0.1, 0.2, 0.4)}, {"kind": "final_error", "max": 0.5})
    assert one.effect.estimate.low == pytest.approx(7 / 30)
    expected = t_interval(np.array([0.1, 0.2, 0.4]))
    assert (one.effect.interval.low, one.effect.interval.high) == pytest.approx((expected.low, expected.high))
    assert one.effect.name == "mean final test error in the real world"
    assert one.effect.region == Bounds(-np.inf, 0.5)


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_run_that_broke_is_not_left_out_of_a_mean(make_pairs, status):
    """Its error may be anything from 0 to 1, whatever the others say; of a loss nothing is judged."""
    broken = ending(0.1, 0.1, 0.1) + ending(0.1, status=status)
    one = judged(make_pairs, {100: broken}, {"kind": "final_error", "max": 0.5})
    assert (one.verdict, one.effect.n, one.effect.total, one.effect.note) == ("inconclusive", 3, 4, f"1 of 4 {status}")
    assert one.effect.estimate == pytest.approx((0.075, 0.325))
    one = judged(make_pairs, {100: broken, 400: ending(0.1, 0.2, 0.3, 0.4)}, LESS)
    note = "1 of 4 pairs with a run that diverged, failed or is unfinished"
    assert (one.verdict, one.effect.n, one.effect.note) == ("inconclusive", 3, note)
    one = judged(make_pairs, {100: broken}, {"kind": "final_error", "max": 0.5, "metric": "test_loss"})
    assert one.reason == f"1 of 4 runs without a value, which has no upper end (1 of 4 {status})"


def test_a_run_that_has_no_value_at_its_last_evaluation_is_told_as_such(make_pairs):
    """All runs finished, and a probe has nothing to measure in some, as where it was not measured there."""
    along = {"over": "train_size", "direction": "falls", "event": "final_error"}
    kinds = [{"kind": "final_error", "max": 0.5, "where": {"train_size": 100}}, LESS]
    kinds += [{"kind": "change", "max": 0.5, "where": {"train_size": 100}}, {"kind": "monotone"} | along]
    kinds += [{"kind": "trend"} | along]
    claims = [claim | {"metric": "probes.depth"} for claim in kinds]
    results = [
        make_pairs(ending(0.1, 0.2, 0.4, 0.3), cell=str(size), claims=claims, train_size=size) for size in (100, 400)
    ]
    for one in results:
        rows = one.evaluations.assign(name="depth", value=one.evaluations["test_error"])[[*PROBE_COLUMNS]]
        rows["value"] = rows["value"].mask(rows["run_id"].str.endswith("-1"))  # measured, and not a number
        object.__setattr__(one, "probes", rows[~(rows["run_id"].str.endswith("-2") & (rows["step"] == 30))])
    alone, both, changed, neighbours, ranked = judge(compare(results))
    assert alone.effect.note == "2 of 4 without a value at the last evaluation"
    assert both.effect.note == "2 of 4 pairs with a run that has no value at its last evaluation"
    assert changed.effect.note == "2 of 4 without a value at the last evaluation"
    assert (neighbours.effect.note, neighbours.effect.count_text) == (
        "4 of 8 without a value at the last evaluation", "4 of 8"
    )  # fmt: skip
    why = "where 4 of 8 runs rank is not known: they failed, are unfinished, lost or without a value"
    assert (ranked.reason, ranked.effect.count_text) == (why, "4 of 8")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"max": -0.05}, "supported"),  # -0.125 to -0.075
        ({"max": -0.1}, "inconclusive"),
        ({"min": 0.0}, "refuted"),
        ({"min": -0.2, "max": 0.0}, "supported"),
        ({"world": "ideal", "min": -0.01, "max": 0.01}, "inconclusive"),  # three times 0: no spread to go by
    ],
)
def test_final_difference(make_pairs, bounds, expected):
    """One group minus the other, paired by seed, in either world."""
    cells = {100: ending(0.2, 0.3, 0.4), 400: ending(0.31, 0.4, 0.49)}
    one = judged(make_pairs, cells, {"kind": "final_difference"} | ARMS | bounds)
    assert (one.verdict, one.effect.n, one.effect.cells) == (expected, 3, 2)


def test_final_difference_pairs_by_seed(make_pairs):
    """The scatter that groups share does not widen the interval; a seed that one group lacks bounds the mean."""
    one = judged(make_pairs, {100: ending(0.1, 0.5, 0.89), 400: ending(0.2, 0.6, 1.0)}, LESS)
    assert (one.verdict, one.effect.n, one.effect.note) == ("supported", 3, "")
    one = judged(make_pairs, {100: ending(0.1, 0.5, 0.89), 400: ending(0.2, 0.6, 1.0, 0.7)}, LESS)
    assert (one.verdict, one.effect.n, one.effect.note) == ("inconclusive", 3, "1 run without the other of its seed")
    assert one.effect.estimate == pytest.approx((-0.3275, 0.1725))


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ({"train_size": 7}, "`to`: no cell has train_size = 7"),
        ({"train_size": 100}, "`of` and `to` select the same cell (train_size 100)"),
    ],
)
def test_groups_that_cannot_be_compared(make_pairs, to, reason):
    """With what is wrong with them."""
    cells = {100: ending(0.1, 0.2, 0.3), 400: ending(0.1, 0.2, 0.3)}
    assert judged(make_pairs, cells, LESS | {"to": to}).reason == reason


@pytest.mark.parametrize(
    ("claim", "shares", "expected"),
    [
        ({"max_share": 0.5}, [0.18, 0.2, 0.22], "supported"),
        ({"max_share": 0.19}, [0.18, 0.2, 0.22], "inconclusive"),
        ({"max_share": 0.1}, [0.18, 0.2, 0.22], "refuted"),
        ({"max_share": 0.5}, [-0.22, -0.2, -0.18], "supported"),
        ({"max_share": 0.1}, [-0.22, -0.2, -0.18], "refuted"),  # in size: the real world may be the better one
        ({"max_share": 0.5}, [0.2, 0.2], "inconclusive"),
        ({"max_share": 0.5, "at": "stopping"}, [0.2, 0.2, 0.2], "inconclusive"),  # no stopping step
    ],
)
def test_gap_share(make_pairs, claim, shares, expected):
    """Real test errors end with bootstrap errors that are a share of the gap, which is 0.2 without them."""
    pairs = ending(*(0.3 + 0.2 * share / (1 - share) for share in shares))
    assert judged(make_pairs, {100: pairs}, {"kind": "gap_share"} | claim).verdict == expected


def test_gap_share_by_hand(make_pairs):
    """The ratio of the two means, not the mean of ratios; pairs without a value are counted."""
    pairs = [*ending(0.4, 0.3, 0.35), {"status": "failed"}]
    one = judged(make_pairs, {100: pairs}, {"kind": "gap_share", "max_share": 1.0})
    assert one.effect.estimate.low == pytest.approx(0.05 / 0.25)
    assert (one.effect.n, one.effect.note) == (3, "1 of 4 did not finish in both worlds")


def test_gap_share_where_the_gap_may_be_zero(make_pairs):
    """The interval is open, and nothing is decided."""
    one = judged(make_pairs, {100: ending(0.0, 0.1, 0.3)}, {"kind": "gap_share", "max_share": 10.0})
    assert (one.verdict, one.effect.interval) == ("inconclusive", Bounds(-np.inf, np.inf))


def test_what_the_kinds_need():
    """Three runs, or three pairs, for a t interval; bounds on the mean."""
    assert fewest_seeds([{"kind": "final_error", "max": 0.1}, LESS]) == [3, 3]
    assert (scope_of("final_error"), scope_of("final_difference")) == ("cell", "cells")


@pytest.mark.parametrize("claim", [{"kind": "final_error"}, {"kind": "final_difference"} | ARMS])
def test_a_claim_without_a_bound_is_refused(claim):
    """Before anything is trained."""
    with pytest.raises(ValueError, match="needs a bound on the mean, got none"):
        fewest_seeds([claim])


def test_an_unknown_metric_is_refused(make_pairs):
    """With the names that there are."""
    with pytest.raises(ValueError, match=r"unknown metric 'test_eror'\. Known: .*test_error"):
        judged(make_pairs, {100: ending(0.1, 0.2, 0.3)}, {"kind": "final_error", "max": 1.0, "metric": "test_eror"})

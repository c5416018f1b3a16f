"""Claims about the change of a metric within runs, and about where one group of cells begins to exceed another."""

import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.reports.statistics.intervals import Bounds, t_interval

CHANGE = {"kind": "change", "metric": "test_error"}
CROSSING = {
    "kind": "crossing", "over": "train_size", "metric": "test_error", "of": {"data.labels": "true"},
    "to": {"data.labels": "random"},
}  # fmt: skip


def moving(*ends, memorized=10, grokked=20, **also):
    """Pairs whose test error in the real world is 0.3 at step 0, 0.2 at 10, 0.6 at 20 and this at step 30."""
    events = {"memorization": (0, memorized), "grokking": (memorized, grokked)}
    return [events | {"differences": [0, -0.1, 0.3, end - 0.3]} | also for end in ends]


def judged(make_pairs, claim, pairs):
    (one,) = judge(compare([make_pairs(pairs, claims=[claim])]))
    return one


def test_change_by_hand(make_pairs):
    """Mean and t interval of the last values minus the first ones."""
    one = judged(make_pairs, CHANGE | {"max": 0.2}, moving(0.1, 0.2, 0.4))
    differences = np.array([-0.2, -0.1, 0.1])
    expected = t_interval(differences)
    assert one.effect.estimate.low == pytest.approx(differences.mean())
    assert one.effect.interval == pytest.approx((expected.low, expected.high))
    assert one.effect.name == "mean change of the test error from the start to the end"
    assert one.effect.region == Bounds(-math.inf, 0.2)


def test_a_ratio_is_the_geometric_mean(make_pairs):
    """With the t interval of the logarithms."""
    one = judged(make_pairs, CHANGE | {"as_ratio": True, "max": 4.0}, moving(0.1, 0.2, 0.4))
    logs = np.log(np.array([0.1, 0.2, 0.4]) / 0.3)
    expected = t_interval(logs)
    assert one.effect.estimate.low == pytest.approx(math.exp(logs.mean()))
    assert one.effect.interval == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert one.effect.region == pytest.approx((0.0, 4.0))
    assert one.verdict == "supported"


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ({"since": "memorization", "until": "grokking"}, 0.4),
        ({"since": "start", "until": "memorization"}, -0.1),
        ({"since": "grokking", "until": "end"}, -0.5),
        ({"since": "memorization"}, -0.1),
    ],
)
def test_moments_are_evaluations(make_pairs, moments, expected):
    """The one at which an event was first seen, the first, and the last."""
    one = judged(make_pairs, CHANGE | moments | {"min": -2.0}, moving(0.1, 0.1, 0.1))
    assert one.effect.estimate == pytest.approx((expected, expected))


def test_runs_that_never_came_to_a_moment_bound_the_mean(make_pairs):
    """They may have changed by anything between -1 and 1; a ratio by anything at all."""
    claim = CHANGE | {"since": "memorization", "until": "grokking"}
    never = moving(0.1, grokked=None)
    never[0]["grokking"] = (4000, None)
    one = judged(make_pairs, claim | {"min": 0.0}, moving(0.1, 0.1, 0.1) + never)
    assert (one.effect.n, one.effect.total, one.effect.note) == (3, 4, "1 of 4 never grokked")
    assert one.effect.estimate == pytest.approx(((3 * 0.4 - 1) / 4, (3 * 0.4 + 1) / 4))
    one = judged(make_pairs, claim | {"as_ratio": True, "min": 0.5}, moving(0.1, 0.1, 0.1) + never)
    assert (one.verdict, one.effect.estimate) == ("inconclusive", None)


def test_a_ratio_to_zero_is_not_known(make_pairs):
    """No error left has no logarithm."""
    one = judged(make_pairs, CHANGE | {"as_ratio": True, "max": 1.0}, moving(0.1, 0.1, 0.1, 0.0))
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 3, 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"since": "end", "max": 1.0},
            "claim `change` needs two moments, got 'end' twice. Set since to an earlier one",
        ),
        ({}, "claim `change` needs a bound on the mean, got none. Give `min`, `max` or both."),
        ({"as_ratio": True}, "claim `change` needs a bound on the ratio, got none. Give `min`, `max` or both."),
        ({"as_ratio": True, "min": 0.0}, "claim `change` with `as_ratio` needs bounds above 0, as a ratio is."),
    ],
)
def test_changes_that_cannot_be_claimed(settings, message):
    """Each with its cure."""
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        fewest_seeds([CHANGE | settings])


def ladder(make_pairs, table, claim, **also):
    """One judgement over cells of true and random labels; ``table``: pool, final errors of either by seed."""
    results = [
        make_pairs(
            [{"differences": [0, 0, 0, error - 0.3]} | also for error in errors],
            cell=f"{labels}-{size}", claims=[claim], train_size=size, **{"data.labels": labels},
        )
        for size, sides in table.items() for labels, errors in zip(("true", "random"), sides, strict=True)
    ]  # fmt: skip
    (one,) = judge(compare(results))
    return one


LADDER = {100: ([0.1] * 6, [0.2] * 6), 200: ([0.1] * 6, [0.2] * 6), 400: ([0.3] * 6, [0.2] * 6)}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({"min": 150.0, "max": 500.0}, "supported"), ({"min": 250.0}, "inconclusive"), ({"max": 100.0}, "refuted")],
)
def test_groups_cross_between_two_values(make_pairs, bounds, expected):
    """Every seed between the last value at which the one lies below, and the first from which it lies above."""
    one = ladder(make_pairs, LADDER, CROSSING | bounds)
    assert one.effect.interval == (200.0, 400.0)
    assert (one.verdict, one.effect.n, one.effect.items) == (expected, 6, "seeds")
    assert one.effect.note == "exceeds in 6 of 18 pairs of runs"


def test_groups_that_never_cross(make_pairs):
    """The crossing lies beyond the last value, and of five seeds nothing is told."""
    apart = {size: ([0.1] * 6, [0.2] * 6) for size in (100, 200)}
    one = ladder(make_pairs, apart, CROSSING | {"min": 150.0})
    assert (one.verdict, one.effect.interval) == ("supported", (200.0, math.inf))
    few = {size: ([0.1] * 5, [0.2] * 5) for size in (100, 200)}
    one = ladder(make_pairs, few, CROSSING | {"min": 150.0})
    assert one.effect.reason == "5 seeds, and a 95 % interval of a crossing needs 6"


def test_a_run_that_broke_may_lie_on_either_side(make_pairs):
    """All of them: then nothing is known."""
    one = ladder(make_pairs, LADDER, CROSSING | {"min": 150.0}, status="diverged")
    assert (one.verdict, one.effect.interval) == ("inconclusive", None)
    assert one.effect.reason == (
        "exceeds in 0 of 18 pairs of runs; 18 of 18 not known, which does not tell where they cross"
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"of": {"data.labels": "none"}}, "`of`: no cell has data.labels = none"),
        ({"over": "data.labels"}, "data.labels is true in the cell"),
        ({"of": {"train_size": 100}, "over": "train_size"}, "train_size is 100 in two cells"),
        ({"of": {"data.labels": "true", "train_size": [100, 200]}}, "`of` and `to` need the same values of train_size"),
    ],
)
def test_groups_that_cannot_cross(make_pairs, changed, reason):
    """Without cells, order, or common values."""
    one = ladder(make_pairs, LADDER, CROSSING | {"min": 150.0} | changed)
    assert one.verdict == "inconclusive"
    assert one.effect.reason.startswith(reason)


def test_trends_of_another_metric(make_pairs):
    """In the place of the final test error."""
    claim = {"kind": "trend", "over": "train_size", "direction": "falls", "event": "final_error", "metric": "test_loss"}
    cells = {n: [{"differences": [0, 0, 0, 1 / n]}] * 6 for n in (100, 200, 400)}
    results = [make_pairs(pairs, cell=str(n), claims=[claim], train_size=n) for n, pairs in cells.items()]
    (one,) = judge(compare(results))
    assert one.verdict == "supported"
    assert one.effect.name == "rank trend (tau) of the final test loss along train_size"


def test_values_of_probes_are_metrics(make_pairs):
    """Measured at the same evaluations; of a probe there are no ends that a missing run could have."""
    claim = {"kind": "change", "metric": "probes.distance.error", "since": "memorization", "max": 5.0}
    results = make_pairs(moving(0.1, 0.1, 0.1), claims=[claim])
    rows = results.evaluations[["run_id", "step"]]
    probes = rows.assign(name="distance.error", value=rows["step"] / 10 + rows["run_id"].str[-1].astype(float))
    (one,) = judge(compare([replace(results, probes=probes)]))
    assert (one.effect.estimate, one.verdict) == ((2.0, 2.0), "inconclusive")  # without a spread to go by
    assert one.effect.name == "mean change of the probe distance.error from memorisation to the end"
    broken = moving(0.1, 0.1, 0.1) + moving(0.1, status="diverged")
    results = make_pairs(broken, claims=[claim])
    (one,) = judge(compare([replace(results, probes=probes)]))
    assert (one.effect.estimate, one.effect.note) == (None, "1 of 4 diverged")

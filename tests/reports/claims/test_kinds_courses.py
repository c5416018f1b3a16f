"""Claims about the course of a metric within a run."""

import pytest

from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.reports.claims.kinds.rebounds import largest_rise
from deepboot.reports.statistics.intervals import clopper_pearson

PEAK = {"differences": [0.3, 0.0, 0.2, 0.0]}  # test errors 0.6, 0.3, 0.5, 0.3
RISES = {"differences": [0.0, 0.0, 0.0, 0.2]}
FALLS = {"differences": [0.3, 0.2, 0.1, 0.0]}
SHARE = {"kind": "rebound", "min_rise": 0.2, "min_rate": 0.5}


def judged(make_pairs, pairs, claim):
    """The judgement of one claim on one cell."""
    (one,) = judge(make_pairs(pairs, claims=[claim]))
    return one


@pytest.mark.parametrize(
    ("pair", "claim", "rebounds"),
    [
        (PEAK, {}, True),
        (PEAK, {"min_rise": 0.21}, False),
        (PEAK, {"falls_again": True}, True),
        (RISES, {}, True),
        (RISES, {"falls_again": True}, False),
        (RISES | {"differences": [0.0, 0.2, 0.1, 0.1]}, {"falls_again": True}, False),  # by half of it
        (FALLS, {"min_rise": 1e-6}, False),
        (PEAK, {"min_rise": None, "min_ratio": 1.6}, True),  # 0.5 / 0.3
        (PEAK, {"min_rise": None, "min_ratio": 1.7}, False),
        (PEAK, {"world": "ideal", "min_rise": 1e-6}, False),
        (PEAK, {"metric": "train_loss", "min_rise": 1e-6}, False),
        (PEAK | {"grokking": (10, 20)}, {"until": "grokking"}, True),
        (PEAK | {"grokking": (0, 10)}, {"until": "grokking"}, False),
        (PEAK | {"grokking": (4000, None)}, {"until": "grokking"}, False),
        ({"differences": [-0.3, -0.3 + 1e-10, -0.3, -0.3]}, {"min_rise": None, "min_ratio": 1.1}, False),  # of zero
        (PEAK | {"status": "diverged"}, {}, True),
        (FALLS | {"status": "diverged"}, {}, False),
    ],
)
def test_rebound(make_pairs, pair, claim, rebounds):
    """All six runs rebound, or none does."""
    given = {key: value for key, value in (SHARE | claim).items() if value is not None}
    assert judged(make_pairs, [pair] * 6, given).verdict == ("supported" if rebounds else "refuted")


def test_rebound_by_hand(make_pairs):
    """The exact interval of a share of runs; one that failed may be of either sort."""
    one = judged(make_pairs, [*[PEAK] * 6, FALLS, FALLS | {"status": "unfinished"}], SHARE)
    assert one.effect.interval == (clopper_pearson(6, 8).low, clopper_pearson(7, 8).high)
    assert one.effect.name == "share of runs whose test error rises by 0.2 over an earlier value"
    unmeasured = judged(make_pairs, [PEAK] * 6, SHARE | {"metric": "train_loss", "world": "ideal"})
    assert unmeasured.sentence == "Not judged: no run measures it."


def test_a_rebound_is_called_by_its_settings(make_pairs):
    """What rises, to how much, when, and in which world."""
    claim = {"kind": "rebound", "metric": "train_loss", "min_ratio": 2.0, "falls_again": True, "until": "grokking"}
    one = judged(make_pairs, [PEAK] * 6, claim | {"max_rate": 0.5})
    assert one.effect.name == (
        "share of runs whose train loss rises to 2 times an earlier value, and falls again before they grok"
    )
    assert fewest_seeds([SHARE, SHARE | {"min_rate": 0.9}]) == [6, 36]


def test_a_run_without_evaluations_has_no_rise():
    """Nor has one that never grokked, up to its grokking step."""
    assert largest_rise([]) == 0.0


@pytest.mark.parametrize("sizes", [{}, {"min_rise": 0.1, "min_ratio": 2.0}])
def test_a_rebound_has_one_size(sizes):
    """An absolute rise, or a ratio."""
    claim = {"kind": "rebound", "min_rate": 0.5} | sizes
    with pytest.raises(
        ValueError, match=r"^claim `rebound` needs one size of the rise\. Give either `min_rise` or `min_ratio`\.$"
    ):
        fewest_seeds([claim])

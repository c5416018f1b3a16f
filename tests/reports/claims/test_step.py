"""Claims about the median step of an event."""

import pytest

from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.reports.planning.before_run import prospects
from deepboot.reports.statistics.intervals import Bounds

LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
LATER = LATE | {"grokking": (1800, 2000)}
NEVER = LATE | {"grokking": (4000, None)}
DIVERGED = LATE | {"grokking": (300, None), "status": "diverged"}
FAILED = LATE | {"grokking": (300, None), "status": "failed"}


def judged(make_pairs, pairs, **settings):
    """The judgement of a claim with these settings."""
    (one,) = judge(make_pairs(pairs, claims=[{"kind": "step"} | settings]))
    return one


@pytest.mark.parametrize(
    ("pairs", "settings", "interval", "expected"),
    [
        ([LATE] * 6, {"max": 1000}, (900, 1000), "supported"),
        ([LATE] * 6, {"min": 901}, (900, 1000), "inconclusive"),  # the step may be 900
        ([LATE] * 6, {"max": 899}, (900, 1000), "refuted"),
        ([LATE] * 6, {"event": "memorization", "min": 50, "max": 100}, (90, 100), "supported"),
        ([LATE] * 6, {"world": "ideal", "max": 100}, (90, 100), "supported"),
        ([LATE] * 5 + [LATER], {"max": 2000}, (900, 2000), "supported"),
        ([LATE] * 8 + [NEVER], {"max": 1000}, (900, 1000), "supported"),  # of nine the second from each end
        ([LATE] * 5 + [NEVER], {"max": 1000}, (900, float("inf")), "inconclusive"),
        ([NEVER] * 6, {"min": 4000}, (4000, float("inf")), "supported"),
        ([NEVER] * 6, {"max": 3999}, (4000, float("inf")), "refuted"),
        ([LATE] * 5 + [FAILED], {"max": 1000}, (0, float("inf")), "inconclusive"),
        ([LATE] * 5 + [DIVERGED], {"min": 500}, (0, float("inf")), "inconclusive"),
    ],
)
def test_the_interval_is_that_of_the_median(make_pairs, pairs, settings, interval, expected):
    """By order statistics of the bounds; runs that never grok rank last, broken ones may be anywhere."""
    one = judged(make_pairs, pairs, **settings)
    assert (one.effect.interval, one.verdict) == (Bounds(*interval), expected)


def test_steps_are_written_in_full(make_pairs):
    """With the world and the event; of runs that did not get there the budget is the lower bound."""
    assert judged(make_pairs, [LATE] * 6, max=10_000).sentence == (
        "Supported: the median grokking step in the real world is about 949 (95 % interval 900 to 1,000; 6 of 6 "
        "runs); the evaluations fix it to within 11 %; claimed: at most 10,000."
    )
    one = judged(make_pairs, [NEVER] * 6, event="grokking", min=2000)
    assert one.sentence == (
        "Supported: the median grokking step in the real world is more than 4,000 (95 % interval at least 4,000; 6 of "
        "6 runs; 6 of 6 never grokked); claimed: at least 2,000."
    )
    assert judged(make_pairs, [LATE] * 2, max=5).reason == "2 runs, and a 95 % interval of a median needs 6"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "claim `step` needs a bound on the step, got none. Give `min`, `max` or both."),
        ({"min": 5, "max": 3}, "claim `step` needs `min` to be at most `max`, got 5 and 3. Exchange them."),
    ],
)
def test_a_step_needs_a_bound(make_pairs, settings, message):
    """As every kind that is bounded from two sides."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  the whole message is compared
        judged(make_pairs, [LATE] * 6, **settings)
    assert str(error.value) == message


def test_a_plan_says_how_many_seeds_a_step_takes():
    """Six, for an interval of a median at 95 %."""
    assert fewest_seeds([{"kind": "step", "max": 10}]) == [6]
    assert list(prospects([{"kind": "step", "max": 10}], 8))

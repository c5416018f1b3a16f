"""The verdict on a published number: every rule, and both sides of every edge."""

import math

import pytest

from deepboot.reports.claims.effect import Effect
from deepboot.reports.replication.verdict import OUTCOMES, outcome_of
from deepboot.reports.statistics.intervals import Bounds

INF = math.inf
TWELVE, RANGE, MORE, LESS = Bounds(12, 12), Bounds(10, 15), Bounds(10, INF), Bounds(-INF, 10)
LATER, SOONER = Bounds(1, INF), Bounds(-INF, 1)  # a direction, by a bound at no effect


def outcome(interval, published, *, evidence="solid", no_effect=1.0, estimate=None):
    """The verdict on a ratio with this interval, in the middle of which the estimate lies unless it is given."""
    middle = Bounds(*[sum(interval) / 2] * 2) if interval and all(map(math.isfinite, interval)) else Bounds(9, 9)
    effect = Effect("ratio", Bounds(1, INF), 8, "runs", estimate or middle, interval and Bounds(*interval))
    return outcome_of(effect, published, evidence=evidence, no_effect=no_effect)


TABLE = [
    ((9, 13), TWELVE, "agrees"),
    ((12, 13), TWELVE, "agrees"),  # the ends are in it
    ((9, 12), TWELVE, "agrees"),
    ((13, 14), TWELVE, "same direction"),
    ((1.1, 2), TWELVE, "same direction"),
    ((1, 2), TWELVE, "differs"),  # it holds no effect
    ((0.8, 2), TWELVE, "differs"),
    ((0.5, 0.8), TWELVE, "differs"),
    ((0.5, 0.8), Bounds(0.2, 0.2), "same direction"),
    ((1.1, 2), Bounds(0.2, 0.2), "differs"),
    ((0.9, 1.1), Bounds(1, 1), "agrees"),
    ((1.1, 2), Bounds(1, 1), "differs"),  # no effect was published, so that it has no side
    ((9, INF), TWELVE, "agrees"),  # the median is known, the interval is open above
    ((14, 20), RANGE, "agrees"),
    ((11, 12), RANGE, "agrees"),
    ((16, 20), RANGE, "same direction"),
    ((0.2, 0.3), RANGE, "differs"),
    ((2, 3), Bounds(0.5, 1.5), "differs"),  # the range holds no effect
    ((10, 13), MORE, "agrees"),
    ((9, 13), MORE, "undecided"),
    ((2, 9), MORE, "same direction"),
    ((0.5, 2), MORE, "differs"),
    ((0.2, 0.5), MORE, "differs"),
    ((2, 10), LESS, "agrees"),
    ((2, 11), LESS, "undecided"),
    ((11, 12), LESS, "differs"),  # at most 10 may be a ratio below 1
    ((1.5, 3), LATER, "agrees"),
    ((0.5, 3), LATER, "undecided"),
    ((0.2, 0.5), LATER, "differs"),
    ((0.2, 0.5), SOONER, "agrees"),
]


@pytest.mark.parametrize(("interval", "published", "expected"), TABLE)
def test_solid_evidence(interval, published, expected):
    """A value or range is met by any overlap, a bound by an interval within it."""
    assert outcome(interval, published) == expected


@pytest.mark.parametrize(
    ("interval", "published", "expected"),
    [
        ((9, 13), TWELVE, "same direction"),  # no more can be said, although it agrees
        ((1.1, 2), TWELVE, "same direction"),
        ((1, 20), TWELVE, "undecided"),
        ((0.5, 20), TWELVE, "undecided"),
        ((0.2, 0.5), TWELVE, "differs"),
        ((1.5, 3), LATER, "same direction"),
        ((0.5, 3), LATER, "undecided"),
        ((0.2, 0.5), LATER, "differs"),
        ((0.2, 0.5), SOONER, "same direction"),
        ((0.9, 3), Bounds(1, 1), "agrees"),  # no direction was published
        ((2, 3), Bounds(0.5, 1.5), "differs"),
    ],
)
def test_evidence_for_a_direction(interval, published, expected):
    """The side of no effect decides, whatever the numbers; without a side the evidence counts as solid."""
    assert outcome(interval, published, evidence="direction") == expected


@pytest.mark.parametrize("evidence", ["solid", "direction"])
@pytest.mark.parametrize(
    ("interval", "published", "expected"),
    [
        ((0.1, 0.2), Bounds(0.15, 0.15), "agrees"),
        ((0.3, 0.4), Bounds(0.1, 0.2), "differs"),
        ((0.1, 0.2), Bounds(0.15, INF), "undecided"),
        ((0.1, 0.2), Bounds(0.1, INF), "agrees"),
        ((0.1, 0.2), Bounds(0.3, INF), "differs"),
    ],
)
def test_a_quantity_without_no_effect_agrees_or_differs(interval, published, expected, evidence):
    """A rate or an error has no sides."""
    assert outcome(interval, published, evidence=evidence, no_effect=None) == expected


@pytest.mark.parametrize(
    ("interval", "expected"),
    [((0.2, 0.6), "agrees"), ((0.01, 0.1), "undecided"), ((0.9, 1.0), "undecided"), ((0.96, 1.0), "differs")],
)
def test_a_range_that_stands_for_a_word_is_agreed_with_from_within(interval, expected):
    """What is called partial is no measured range, of which an interval needs to hold a part only."""
    partial = Bounds(0.05, 0.95)
    assert outcome(interval, partial, evidence="direction", no_effect=None) == expected
    assert outcome((0.01, 0.1), partial, evidence="solid", no_effect=None) == "agrees"


def test_a_difference_has_its_sides_at_zero():
    """Where no effect is 0, a negative number has the lower side."""
    assert outcome((-0.3, -0.1), Bounds(-0.5, -0.5), no_effect=0.0) == "same direction"
    assert outcome((-0.3, 0.1), Bounds(-0.5, -0.5), no_effect=0.0) == "differs"
    assert outcome((-0.3, -0.1), Bounds(0, INF), no_effect=0.0, evidence="direction") == "differs"


@pytest.mark.parametrize("published", [TWELVE, RANGE, MORE, LESS, LATER])
@pytest.mark.parametrize("evidence", ["solid", "direction"])
def test_without_the_event_or_an_interval_nothing_is_compared(published, evidence):
    """Whatever was published: the median run did not get there, or there are too few."""
    given = {"evidence": evidence, "no_effect": 1.0}
    open_ended = Bounds(20, INF)
    assert outcome((20, INF), published, evidence=evidence, estimate=open_ended) == "not reached"
    assert outcome(None, published, evidence=evidence, estimate=open_ended) == "not reached"
    assert outcome(None, published, evidence=evidence) == "undecided"
    assert outcome_of(None, published, **given) == "undecided"
    assert outcome_of(Effect("ratio", LATER, 0, "runs", reason="none"), published, **given) == "undecided"


def test_every_word_is_explained_and_used():
    """No verdict without its meaning, and none that no rule gives."""
    given = {expected for _, _, expected in TABLE} | {"not reached"}
    assert given == set(OUTCOMES)

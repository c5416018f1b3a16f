import math

import numpy as np
import pytest
from scipy import stats

from deepboot.reports import compare
from deepboot.reports.claims.family import cases
from deepboot.reports.claims.judge import Effect, claim_kind, judge
from deepboot.reports.claims.p_values import (
    CALLS,
    LARGEST,
    Question,
    Significance,
    over_cells,
    over_many,
    over_verdicts,
    p_value,
    significance,
)
from deepboot.reports.statistics.intervals import Bounds, t_interval

ABOVE = Bounds(0.0, math.inf)
LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
SOON = LATE | {"grokking": (110, 120)}


def of_mean(values, region=ABOVE):
    """The effect of a mean at an error, as a kind with a t interval measures it."""

    def at(error):
        mean = float(np.mean(values))
        return Effect("mean", region, len(values), "pairs", Bounds(mean, mean), t_interval(values, 1 - error))

    return at


def inverted(at, error=0.05):
    """The p value of an effect that is known at every error."""
    return significance(Question(at(error), error, lambda one: at(one).verdict))


@pytest.mark.parametrize("error", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(6))
def test_p_value_of_a_mean_is_the_two_sided_t_test(seed, error):
    """Whatever the claim's own confidence: scipy's p value, and at most 1 % above it."""
    values = np.random.default_rng(seed).normal(0.5 * (-1) ** seed, 1.0, 6)
    exact = stats.ttest_1samp(values, 0).pvalue
    found = inverted(of_mean(values), error)
    if exact <= LARGEST:
        assert exact <= found.p <= 1.01 * exact
    else:
        assert found.p == 1
    assert found.towards == ("supported" if values.mean() > 0 else "refuted")


@pytest.mark.parametrize("seed", range(6))
def test_a_verdict_is_reached_exactly_at_errors_from_its_p_value_on(seed):
    """Just above p it is decided in its direction, and 2 % below it is not."""
    at = of_mean(np.random.default_rng(seed).normal(1, 1, 5))
    found = inverted(at)
    assert at(found.p).verdict == found.towards
    assert at(found.p / 1.02).verdict == "inconclusive"


def test_the_kind_is_called_a_dozen_times_at_most():
    """A slow kind costs what twelve of it cost."""
    for values in ([0.1, 0.2, 0.3], [-0.1, 0.2, 0.3, 0.1], [5.0, 5.1, 5.2, 5.1]):
        at, calls = of_mean(values), []
        Question(at(0.05), 0.05, lambda error, at=at, calls=calls: calls.append(error) or at(error).verdict).p()
        assert 1 <= len(calls) <= CALLS


def test_where_the_estimate_points_nowhere_there_is_no_p_value():
    """Bounds on both sides of the claimed value, or no estimate."""
    for estimate in (Bounds(-1, 1), None):
        effect = Effect("mean", ABOVE, 5, "pairs", estimate, Bounds(-3, 3))
        assert significance(Question(effect, 0.05, lambda _: "inconclusive")) == Significance("inconclusive", None)


def test_an_interval_that_does_not_exist_or_is_refused_is_inconclusive_there():
    """A kind may have no interval at small errors, or refuse them; its p value is where it begins to have one."""

    def with_limit(error):
        if error < 0.02:
            raise ValueError("needs more seeds")
        return "supported"

    effect = Effect("mean", ABOVE, 5, "pairs", Bounds(1, 1), Bounds(0.5, 2))
    assert significance(Question(effect, 0.05, with_limit)).p == pytest.approx(0.02, rel=0.01)
    none = Effect("mean", ABOVE, 2, "pairs", Bounds(1, 1), reason="too few")
    assert significance(Question(none, 0.05, lambda _: "inconclusive")) == Significance("supported", 1.0)


def test_p_values_of_shipped_kinds_are_those_of_their_tests(make_pairs):
    """The sign test for a delay, twice the binomial tail for a rate, Student's for a bootstrap error."""
    differences = [0.1, 0.2, 0.3, 0.25, 0.12]
    claims = [{"kind": "grokking_delay", "min_ratio": 5.0}, {"kind": "rate", "min_rate": 0.5}]
    delay, rate = judge(make_pairs([LATE] * 9, claims=claims))
    assert delay.significance.p == pytest.approx(2 * 0.5**9, rel=0.01)
    assert rate.significance.p == pytest.approx(2 * 0.5**9, rel=0.01)
    pairs = [{"stopping": 20, "differences": [0, 0, value, 0.5]} for value in differences]
    (mean,) = judge(make_pairs(pairs, claims=[{"kind": "bootstrap_error", "min": 0.15}]))
    assert mean.significance.p == pytest.approx(stats.ttest_1samp(differences, 0.15).pvalue, rel=0.01)


def test_a_users_own_kind_has_a_p_value(make_pairs):
    """Without a line of its own for it."""

    @claim_kind("own_p", figure="steps")
    def own_p(evidence) -> Effect:
        """The mean of five numbers is above 0."""
        return of_mean([0.1, 0.3, -0.1, 0.2, 0.4])(1 - evidence.confidence)

    (one,) = judge(make_pairs([LATE] * 2, claims=[{"kind": "own_p"}]))
    exact = stats.ttest_1samp([0.1, 0.3, -0.1, 0.2, 0.4], 0).pvalue
    assert one.significance.p == pytest.approx(exact, rel=0.01)


def test_p_value_over_cells():
    """One cell is enough: smallest times the number. Every cell is needed: largest."""
    up, more, down = Significance("supported", 0.01), Significance("supported", 0.03), Significance("refuted", 0.02)
    unknown = Significance("inconclusive", None)
    assert over_cells([up, more], "all") == Significance("supported", 0.03)
    assert over_cells([up, more], "any") == Significance("supported", 0.02)
    assert over_cells([up, more, down], "all") == Significance("refuted", pytest.approx(0.06))
    assert over_cells([up, more, down], "any") == Significance("supported", pytest.approx(0.03))
    assert over_cells([up, unknown], "all") == unknown
    assert over_cells([up, unknown], "any") == Significance("supported", 0.02)
    assert over_cells([], "all") == unknown


@pytest.mark.parametrize("quantifier", ["all", "any"])
@pytest.mark.parametrize("shift", [-3.0, -0.5, 0.0, 0.5, 3.0])
def test_many_cells_have_the_same_p_value_with_fewer_calls(quantifier, shift):
    """Only cells that may be the extreme one are looked at closely."""
    random, calls = np.random.default_rng(2), []
    effects = [of_mean(random.normal(shift, 1, 6)) for _ in range(60)]
    cells = [Question(at(0.05), 0.05, lambda error, at=at: calls.append(error) or at(error).verdict) for at in effects]
    found = over_many(cells, quantifier)
    used = len(calls)
    expected = over_cells([significance(cell) for cell in cells], quantifier)
    assert found.towards == expected.towards
    assert found.p == pytest.approx(expected.p, rel=0.03)
    assert used < 60 + 12 * CALLS < len(calls) - used


@pytest.mark.parametrize(("quantifier", "wrong"), [("any", "supported"), ("all", "refuted")])
def test_many_cells_are_not_many_chances(quantifier, wrong):
    """Ten cells at the edge of the claim: the overall verdict is wrong in at most 5 % of studies, not in 23 %."""
    random, studies = np.random.default_rng(0), 400
    naive, found = 0, 0
    for _ in range(studies):
        effects = [of_mean(random.normal(0, 1, 6)) for _ in range(10)]
        verdicts = [at(0.05).verdict for at in effects]
        naive += wrong in verdicts
        overall = over_verdicts(
            verdicts, quantifier, lambda place, effects=effects: effects[place](0.005).verdict == wrong
        )
        found += overall == wrong
    assert found / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)
    assert naive / studies > 0.15


@pytest.mark.parametrize(("quantifier", "wrong"), [("all", "supported"), ("any", "refuted")])
def test_every_cell_needs_no_correction(quantifier, wrong):
    """One cell at the edge and nine far on the wrong verdict's side: still at most 5 %."""
    random, studies, far = np.random.default_rng(1), 600, 50 if wrong == "supported" else -50
    found = 0
    for _ in range(studies):
        effects = [of_mean(random.normal(far if place else 0, 1, 6)) for place in range(10)]
        verdicts = [at(0.05).verdict for at in effects]
        found += over_verdicts(verdicts, quantifier, lambda _: True) == wrong
    assert 0 < found / studies <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / studies)


def test_claims_are_adjusted_over_the_primary_ones_or_over_all(make_pairs):
    """Others have no adjusted value; a claim that cannot be judged counts as one in the family."""
    delay = {"kind": "grokking_delay", "min_ratio": 5.0}
    none = delay | {"where": {"train_size": 5}}
    rate = {"kind": "rate", "min_rate": 0.9}
    every = cases(judge(make_pairs([LATE] * 9, claims=[delay, none, rate])))
    assert [case.family for case in every] == [("all", 3)] * 3
    assert every[0].holm == pytest.approx(3 * every[0].significance.p)
    assert (every[1].significance.p, every[1].holm, every[1].benjamini_hochberg) == (None, None, None)
    primary = cases(judge(make_pairs([LATE] * 9, claims=[delay | {"primary": True}, none, rate])))
    assert [case.family for case in primary] == [("primary", 1)] * 3
    assert primary[0].holm == primary[0].significance.p
    assert primary[2].holm is None
    assert primary[2].significance.p is not None


def test_p_values_wait_until_they_are_asked_for(make_pairs):
    """Judging calls a kind once in one cell; showing its p value calls it again."""
    calls = []

    @claim_kind("counted")
    def counted(evidence) -> Effect:
        """The mean of three numbers is above 0."""
        calls.append(evidence.confidence)
        return of_mean([0.1, 0.2, 0.4])(1 - evidence.confidence)

    (one,) = judge(compare(make_pairs([LATE] * 2, claims=[{"kind": "counted"}])))
    assert calls == [0.95]
    first = one.significance
    made = len(calls)
    assert 1 < made <= 1 + CALLS
    assert one.significance is first
    assert len(calls) == made


@pytest.mark.parametrize(("p", "words"), [(0.05, "0.050"), (0.5, "> 0.49"), (2e-5, "< 0.0001"), (0.1, "0.10")])
def test_p_values_in_words(p, words):
    """Two digits, and an end where nothing finer is known."""
    assert p_value(p) == words

import json
import math
import re
from typing import Annotated

import pytest
from pydantic import Field

from deepboot.bootstrap.registry import names, settings
from deepboot.reports import compare
from deepboot.reports.claims.family import cases
from deepboot.reports.claims.judge import Effect, Evidence, claim_kind, confidences, fewest_seeds, judge
from deepboot.reports.statistics.intervals import Bounds, clopper_pearson

KINDS = [
    "bootstrap_error", "change", "crossing", "difference", "equivalent", "faster", "final_difference",
    "final_error",
    "gap_share", "grokking_delay", "head_start", "monotone", "no_delay", "outcome_profile", "power_law", "predicts",
    "rank_agreement", "rate", "ratio", "rebound", "relapse", "same_memorization", "step", "threshold", "trend",
    "variance_share", "waiting_shape",
]  # fmt: skip
DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
SOON = LATE | {"grokking": (110, 120)}
NEVER = LATE | {"grokking": (4000, None)}
DIVERGED = LATE | {"grokking": (300, None), "status": "diverged"}


def judged(make_pairs, pairs, claim, **more):
    """The judgements of one claim on one cell."""
    return judge(make_pairs(pairs, claims=[claim], **more))


def side_by_side(make_pairs, cells, claim):
    """One comparison of cells, each a list of pairs, that differ in their rate."""
    made = [
        make_pairs(pairs, cell=f"c{place}", claims=[claim], **{"optimizer.lr": 0.1 * (place + 1)})
        for place, pairs in enumerate(cells)
    ]
    return compare(made)


def verdict(make_pairs, pairs, claim):
    """The verdict of one claim on one cell."""
    (one,) = judged(make_pairs, pairs, claim)
    return one.verdict


@pytest.mark.parametrize(
    ("interval", "region", "expected"),
    [
        (Bounds(2, 3), Bounds(1, math.inf), "supported"),
        (Bounds(1, 3), Bounds(1, math.inf), "supported"),
        (Bounds(0.9, 3), Bounds(1, math.inf), "inconclusive"),
        (Bounds(0.1, 0.9), Bounds(1, math.inf), "refuted"),
        (Bounds(0.1, 1), Bounds(1, math.inf), "inconclusive"),
        (Bounds(-1, 3), Bounds(0, 1), "inconclusive"),
        (Bounds(0.2, 0.3), Bounds(0, 1), "supported"),
        (Bounds(2, math.inf), Bounds(0, 1), "refuted"),
        (None, Bounds(0, 1), "inconclusive"),
    ],
)
def test_verdict_is_where_the_interval_lies(interval, region, expected):
    """Wholly inside, wholly outside, or neither."""
    assert Effect("thing", region, 8, "runs", interval=interval).verdict == expected


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([LATE] * 6, "supported"),
        ([SOON] * 6, "refuted"),
        ([LATE] * 5, "inconclusive"),  # too few seeds
        ([LATE] * 3 + [SOON] * 3, "inconclusive"),
        ([LATE] * 4 + [NEVER] * 2, "supported"),  # censored beyond 40 times
        ([NEVER] * 6, "supported"),
        ([SOON] * 5 + [NEVER], "inconclusive"),
        ([LATE] * 5 + [DIVERGED], "inconclusive"),  # nothing is known of its delay
        ([LATE] * 8 + [DIVERGED], "supported"),  # nine runs can bear one
    ],
)
def test_grokking_delay(make_pairs, pairs, expected):
    """The median ratio of grokking to memorisation step against a claim of five."""
    assert verdict(make_pairs, pairs, DELAY) == expected


def test_grokking_delay_by_hand(make_pairs):
    """Estimate and interval are the bounds 900 / 100 and 1000 / 90."""
    (one,) = judged(make_pairs, [LATE] * 6, DELAY)
    assert one.effect.estimate == pytest.approx((9, 1000 / 90))
    assert one.effect.interval == pytest.approx((9, 1000 / 90))
    assert one.sentence == (
        "Supported: the median ratio of the grokking step to the memorisation step in the real world is about "
        "10.0 (95 % interval 9.0 to 11.1; 6 of 6 runs); the evaluations fix it to within 23 %; claimed: at least 5."
    )


def test_claims_about_time_take_stable_grokking(make_pairs):
    """Runs that grok at 1,000 and stay from 3,000 on; their ideal partners stay at once."""
    pair = LATE | {"stable": (2000, 3000), "ideal_grokking": (90, 100), "ideal_stable": (90, 100)}
    delay = {"kind": "grokking_delay", "min_ratio": 15.0}
    assert [verdict(make_pairs, [pair] * 6, delay | more) for more in ({}, {"event": "stable"})] == [
        "refuted", "supported"
    ]  # fmt: skip
    faster = {"kind": "faster", "min_ratio": 15.0}
    (one,) = judged(make_pairs, [pair] * 6, faster | {"event": "stable"})
    assert one.sentence == (
        "Supported: the median ratio of the real world's stable grokking step to its ideal partner's is between "
        "20.0 and 33.3 (95 % interval 20.0 to 33.3; 6 of 6 pairs); claimed: at least 15."
    )
    (short,) = judged(
        make_pairs, [pair | {"stable": (4000, None)}] * 6, {"kind": "rate", "event": "stable", "max_rate": 0.5}
    )
    assert short.sentence.startswith("Supported: the share of runs that grok for good in the real world is 0")
    no_delay = {"kind": "no_delay", "max_ratio": 2.0, "event": "stable"}
    assert verdict(make_pairs, [pair | {"stable": (90, 100)}] * 6, no_delay) == "supported"


def test_a_claim_that_cannot_be_judged_says_why(make_pairs):
    """Two seeds are inconclusive, with the number that a verdict needs."""
    (one,) = judged(make_pairs, [LATE] * 2, DELAY)
    assert (one.verdict, one.overall) == ("inconclusive", "inconclusive")
    assert one.sentence == "Not judged: 2 runs, and a 95 % interval of a median needs 6."


@pytest.mark.parametrize(
    ("claim", "reached", "expected"),
    [
        ({"min_rate": 0.5}, 6, "supported"),
        ({"min_rate": 0.5}, 3, "inconclusive"),
        ({"max_rate": 0.5}, 0, "supported"),
        ({"min_rate": 0.5}, 0, "refuted"),
        ({"min_rate": 0.5, "world": "ideal"}, 0, "supported"),
        ({"min_rate": 0.5, "event": "memorization"}, 0, "supported"),
    ],
)
def test_rate(make_pairs, claim, reached, expected):
    """The exact interval of the share of six runs that grok, or memorise."""
    assert verdict(make_pairs, [LATE] * reached + [NEVER] * (6 - reached), {"kind": "rate"} | claim) == expected


def test_rate_counts_diverged_runs_as_not_reached(make_pairs):
    """They stay in the denominator."""
    (one,) = judged(make_pairs, [LATE] * 5 + [DIVERGED], {"kind": "rate", "min_rate": 0.5})
    assert (one.effect.n, one.effect.note) == (6, "share: 5 of 6")
    assert one.effect.interval == clopper_pearson(5, 6)


@pytest.mark.parametrize(
    ("claim", "differences", "expected"),
    [
        ({"max": 0.1}, [0.01, 0.02, 0.03], "supported"),
        ({"max": 0.1}, [0.31, 0.32, 0.33], "refuted"),
        ({"min": 0.0}, [0.31, 0.32, 0.33], "supported"),
        ({"min": -0.1, "max": 0.1}, [0.01, 0.02, 0.03], "supported"),
        ({"max": 0.1}, [0.01, 0.02], "inconclusive"),
        ({"max": 0.1, "at": "end"}, [0.01, 0.02, 0.03], "refuted"),
    ],
)
def test_bootstrap_error(make_pairs, claim, differences, expected):
    """The mean paired difference at the stopping step, 20, or at the end, where it is larger by 0.5."""
    pairs = [{"stopping": 20, "differences": [0, 0, value, 0.5 + value]} for value in differences]
    assert verdict(make_pairs, pairs, {"kind": "bootstrap_error"} | claim) == expected


def test_bootstrap_error_without_a_stopping_step_says_so(make_pairs):
    """Pairs that never stop are counted, and without any there is nothing to judge."""
    claim = {"kind": "bootstrap_error", "max": 0.1}
    (one,) = judged(make_pairs, [{}] * 4, claim)
    reason = "0 pairs, and a t interval needs 3 (4 of 4 never reached the stopping error)"
    assert (one.verdict, one.reason) == ("inconclusive", reason)
    (one,) = judged(make_pairs, [{"stopping": 20}] * 3 + [{}], claim)
    assert (one.effect.n, one.effect.total, one.effect.note) == (3, 4, "1 of 4 never reached the stopping error")


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([LATE] * 6, "supported"),
        ([SOON] * 6, "refuted"),
        ([NEVER] * 6, "supported"),  # beyond 40 times
        ([LATE] * 5 + [NEVER | {"ideal_grokking": (4000, None)}], "inconclusive"),
        ([LATE | {"ideal_grokking": (4000, None)}] * 6, "refuted"),
        ([LATE] * 5 + [DIVERGED], "inconclusive"),
    ],
)
def test_faster(make_pairs, pairs, expected):
    """The paired ratio of the worlds' grokking steps against a claim of five."""
    assert verdict(make_pairs, pairs, {"kind": "faster", "min_ratio": 5.0}) == expected


@pytest.mark.parametrize(
    ("pairs", "bounds", "expected"),
    [
        ([LATE] * 6, {"max_ratio": 5.0}, "refuted"),
        ([SOON] * 6, {"max_ratio": 5.0}, "supported"),
        ([LATE] * 6, {"min_ratio": 5.0, "max_ratio": 1_000.0}, "supported"),
        ([NEVER] * 6, {"max_ratio": 1_000.0}, "inconclusive"),  # beyond 40 times, and nobody knows how far
    ],
)
def test_faster_may_have_an_upper_end(make_pairs, pairs, bounds, expected):
    """The ideal world groks sooner, and by no more than this."""
    assert verdict(make_pairs, pairs, {"kind": "faster"} | bounds) == expected


def test_faster_refuses_ends_that_are_exchanged():
    """Before anything is trained."""
    message = "claim `faster` needs `min_ratio` to be at most `max_ratio`, got 1 and 0.5. Exchange them."
    with pytest.raises(ValueError, match=re.escape(message)):
        fewest_seeds([{"kind": "faster", "max_ratio": 0.5}])


def test_faster_counts_pairs_in_which_neither_world_grokked(make_pairs):
    """Ties say nothing, and are in the note."""
    tie = NEVER | {"ideal_grokking": (4000, None)}
    (one,) = judged(make_pairs, [LATE] * 8 + [tie], {"kind": "faster", "min_ratio": 5.0})
    assert one.verdict == "supported"
    assert one.effect.note == "1 of 9 never grokked; in 1 of 9 neither world grokked"


def test_where_selects_cells(make_results):
    """By column, by dotted name, by a list, by a nested table as TOML reads an unquoted dotted key."""
    chosen = [
        {"train_size": 750},
        {"optimizer.weight_decay": 0.3},
        {"optimizer": {"weight_decay": 0.3}, "train_size": 750},
        {"train_size": [750, 1250]},
        {},
    ]
    claims = [DELAY | {"where": where} for where in chosen]
    found = judge(make_results(6, (750, 1250), decays=(0.03, 0.3), evaluations=30, claims=claims))
    assert [sum(one.number == number for one in found) for number in (1, 2, 3, 4, 5)] == [2, 2, 1, 4, 4]


def test_claims_on_the_ideal_world_are_judged_once_per_ideal_cell(make_results):
    """Unless `where` selects by what only real runs have."""
    claim = {"kind": "rate", "world": "ideal", "min_rate": 0.5}
    claims = [claim, claim | {"where": {"train_size": 750}}]
    found = judge(make_results(6, (750, 1250), evaluations=30, claims=claims))
    assert [(one.number, one.cell, one.effect.n) for one in found] == [(1, "ideal", 6), (2, "train_size 750", 6)]


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (DELAY | {"where": {"train_size": 5}}, "no cell has train_size = 5"),
        (
            DELAY | {"where": {"train_sise": 5}},
            "`where` names no column 'train_sise'. Did you mean 'train_size'? Known: world, task, model, optimizer, "
            "train_size, train_fraction, batch_size",
        ),
        (DELAY | {"world": "fresh"}, "no cell of the fresh world (there are: ideal, real)"),
    ],
)
def test_a_where_that_selects_nothing_is_inconclusive(make_pairs, claim, reason):
    """With the reason, and without a cell."""
    (one,) = judged(make_pairs, [LATE] * 6, claim)
    assert (one.verdict, one.overall, one.cell, one.effect) == ("inconclusive", "inconclusive", None, None)
    assert one.reason == reason
    assert one.sentence == f"Not judged: {reason}."


@pytest.mark.parametrize(
    ("quantifier", "seeds", "cells", "overall"),
    [
        ("all", 7, [LATE, SOON], "refuted"),
        ("any", 7, [LATE, SOON], "supported"),
        ("all", 6, [LATE, SOON], "inconclusive"),  # 2 / 2^6 is at most 0.05, but not at most 0.05 / 2
        ("any", 6, [LATE, SOON], "inconclusive"),
        ("all", 6, [LATE, LATE], "supported"),  # every cell is needed: no correction
        ("any", 6, [SOON, SOON], "refuted"),
        ("any", 7, [LATE, SOON, SOON], "supported"),  # 2 / 2^7 is at most 0.05 / 3
        ("any", 7, [LATE, SOON, SOON, SOON], "inconclusive"),
        ("all", 8, [LATE, NEVER | {"memorization": (None, None)}], "inconclusive"),  # nothing is known of one
    ],
)
def test_quantifier_makes_the_overall_verdict(make_pairs, quantifier, seeds, cells, overall):
    """One cell decides only at the error divided by the number of cells; every cell does at the error itself."""
    found = judge(side_by_side(make_pairs, [[cell] * seeds for cell in cells], DELAY | {"quantifier": quantifier}))
    known = {id(LATE): "supported", id(SOON): "refuted"}
    assert [one.verdict for one in found] == [known.get(id(cell), "inconclusive") for cell in cells]
    assert {one.overall for one in found} == {overall}
    (case,) = cases(found)
    decided = case.significance.p is not None and case.significance.p <= 0.05
    assert (case.significance.towards if decided else "inconclusive") == overall


def test_claims_that_were_not_registered_are_post_hoc(make_pairs):
    """An added claim, and one whose threshold was changed later."""
    registered = [DELAY]
    changed = [DELAY, DELAY | {"min_ratio": 4.0}, {"kind": "faster"}]
    found = judge(make_pairs([LATE] * 6, claims=changed, registered=registered))
    assert [one.post_hoc for one in found] == [False, True, True]
    assert found[1].sentence.endswith(
        "claimed: at least 4 (post hoc: the claim was not registered before the first run)."
    )


def test_seeds_that_were_added_after_looking_make_all_claims_post_hoc(make_pairs):
    """A folder that holds more seeds than its claims were registered with says so; fewer are no matter."""
    results = make_pairs([LATE] * 6, claims=[DELAY])
    for seeds, post_hoc in ((range(6), False), (range(8), False), (range(5), True)):
        results.claims["seeds"] = list(seeds)
        (one,) = judge(results)
        assert one.post_hoc == post_hoc


def test_primary_claims_share_their_error():
    """Bonferroni over the primary claims only."""
    primary = DELAY | {"primary": True}
    assert confidences([primary, DELAY, primary]) == pytest.approx([0.975, 0.95, 0.975])
    assert fewest_seeds([primary, DELAY, primary]) == [7, 6, 7]


def test_fewest_seeds_of_each_kind():
    """Known before the first run."""
    claims = [{"kind": "bootstrap_error", "max": 0.1}, {"kind": "rate", "min_rate": 0.9}, {"kind": "faster"}]
    assert fewest_seeds(claims) == [3, 36, 6]


def test_judgement_as_json(make_pairs):
    """Open ends are null, and everything a script needs is there."""
    (one,) = judged(make_pairs, [LATE] * 4 + [NEVER] * 2, DELAY | {"text": "Grokking is late", "primary": True})
    found = json.loads(json.dumps(one.as_dict(), allow_nan=False))
    assert found["interval"] == [9.0, None]
    assert found["threshold"] == [5.0, None]
    assert (found["n"], found["verdict"], found["primary"], found["post_hoc"]) == (6, "supported", True, False)
    assert one.title == "Grokking is late"


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            {"kind": "rate", "min_rate": 2},
            "claim of kind 'rate': `min_rate`: Input should be less than or equal to 1. See `deepboot list claims`.",
        ),
        (
            {"kind": "faster", "ratio": 2},
            "claim of kind 'faster': `ratio`: Extra inputs are not permitted. See `deepboot list claims`.",
        ),
        (
            {"kind": "faster", "quantifier": "most"},
            "claim of kind 'faster': `quantifier`: Input should be 'all' or 'any'. See `deepboot list claims`.",
        ),
        (
            {"kind": "rate"},
            "claim `rate` needs a bound on the share, got none. Give `min_rate`, `max_rate` or both.",
        ),
        (
            {"kind": "bootstrap_error"},
            "claim `bootstrap_error` needs a bound on the mean, got none. Give `min`, `max` or both.",
        ),
        (
            {"kind": "fastr"},
            f"unknown claim 'fastr'. Did you mean 'faster'? Known: {', '.join(KINDS)}.",
        ),
    ],
)
def test_mistakes_in_claims(make_pairs, claim, message):
    """What a user can mend is said in one sentence."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  the whole message is compared
        judged(make_pairs, [LATE] * 6, claim)
    assert str(error.value) == message


def test_a_users_own_kind(make_pairs):
    """One decorated function: its keyword-only parameters are its settings."""

    @claim_kind("own_kind", min_seeds=2)
    def own_kind(evidence: Evidence, *, most: Annotated[int, Field(ge=0)]) -> Effect:
        """The cell has at most this many pairs, and evaluations in both worlds."""
        n = len(evidence.pairs)
        assert evidence.evaluations["run_id"].nunique() == len(evidence.runs) + len(evidence.runs_of("ideal"))
        return Effect("number of pairs", Bounds(0, most), n, "pairs", Bounds(n, n), Bounds(n, n))

    claim = {"kind": "own_kind", "most": 4}
    assert verdict(make_pairs, [LATE] * 4, claim) == "supported"
    assert verdict(make_pairs, [LATE] * 5, claim) == "refuted"
    assert fewest_seeds([claim]) == [2]
    assert settings("claim", "own_kind")(most=3).most == 3


def test_shipped_kinds_are_registered():
    """Importing the claims makes them known."""
    assert names("claim") == KINDS

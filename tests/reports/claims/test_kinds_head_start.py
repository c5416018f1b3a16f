import pytest

from deepboot.reports.claims.errors import PlannedRuns, claim_errors
from deepboot.reports.claims.judge import judge

CLAIM = {"kind": "head_start", "max_ratio": 1.0}
AT = "training.world.at_step"


def judged(make_pairs, pairs, claim=CLAIM, at=1_000):
    """The one judgement of a claim on pairs whose real run changes its world at a step."""
    (one,) = judge(make_pairs(pairs, claims=[claim], **{AT: at}))
    return one


def pair(real, ideal=500, **more):
    """A pair that groks at these steps."""
    return {"grokking": (real - 1, real), "ideal_grokking": (ideal - 1, ideal)} | more


@pytest.mark.parametrize(
    ("steps", "claim", "verdict"),
    [
        ((1_200, 1_250, 1_300, 1_220, 1_260, 1_310), CLAIM, "supported"),
        ((1_200, 1_250, 1_300, 1_220, 1_260, 1_310), {"kind": "head_start", "min_ratio": 1.0}, "refuted"),
        ((2_200, 2_250, 2_300, 2_220, 2_260, 2_310), CLAIM, "refuted"),
        ((2_200, 2_250, 2_300, 2_220, 2_260, 2_310), {"kind": "head_start", "min_ratio": 2.0, "max_ratio": 3.0},
         "supported"),
        ((1_200, 1_250, 2_300, 2_220, 1_260, 2_310), CLAIM, "inconclusive"),
    ],
)  # fmt: skip
def test_steps_count_from_the_change(make_pairs, steps, claim, verdict):
    """The 200 steps after a change at step 1,000 are fewer than the partner's 500, although 1,200 are more."""
    assert judged(make_pairs, [pair(step) for step in steps], claim).verdict == verdict


def test_the_ratio_is_that_of_the_two_counts(make_pairs):
    """With the bounds of both steps carried through: (1,249 to 1,250 - 1,000) / (499 to 500)."""
    effect = judged(make_pairs, [pair(1_250)] * 6).effect
    assert effect.estimate == pytest.approx((249 / 500, 250 / 499))
    assert effect.name == f"median ratio of the grokking step from {AT} on to the ideal partner's from the start"


def test_a_run_that_grokked_before_the_change_says_nothing(make_pairs):
    """It is counted, and its ratio may be anything."""
    one = judged(make_pairs, [pair(900)] * 2 + [pair(1_250)] * 6)
    assert "2 of 8 grokked before that step" in one.sentence
    assert one.verdict == "inconclusive"
    assert judged(make_pairs, [pair(900)] + [pair(1_250)] * 9).verdict == "supported"


def test_a_run_that_never_grokked_took_all_its_steps(make_pairs):
    """Beyond a budget of 4,000 it has taken 3,000 steps, more than the partner's 500; of two such nothing is known."""
    never = {"grokking": (4_000, None)}
    assert judged(make_pairs, [pair(1_250) | never] * 6).verdict == "refuted"
    assert judged(make_pairs, [pair(1_250) | never | {"ideal_grokking": (4_000, None)}] * 6).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("since", "settings"), [("phases.1.at_step", {}), ("optimizer.betas", {"optimizer.betas": "[0.9, 0.98]"})]
)
def test_a_setting_that_holds_no_step_is_refused(make_pairs, since, settings):
    """Before anything is trained, with the name and the cure."""
    runs = make_pairs([pair(1_250)] * 2, **{AT: 1_000}, **settings).runs
    planned = PlannedRuns.of(runs.drop(columns=["status", "last_step", "first_reuse_step"]))
    assert claim_errors([CLAIM], planned) == []
    assert claim_errors([CLAIM | {"since": since}], planned) == [
        f"`claims[0]`: `since`: {since!r} holds no step in some of the cells that `where` selects. "
        "Change the claim, or the study."
    ]

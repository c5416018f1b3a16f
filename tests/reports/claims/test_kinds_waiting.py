import numpy as np
import pytest

from deepboot.reports.claims.judge import judge

CLOSE = {"kind": "waiting_shape", "min_shape": 2.0}
MEMORIZED = {"memorization": (90, 100), "ideal_memorization": (90, 100)}
SPREAD = 1_000 * -np.log(1 - (np.arange(12) + 0.5) / 12)  # quantiles of waits without memory


def waiting(steps, **more):
    """Pairs that grok this many steps after they memorised; their ideal partners, too."""
    found = []
    for step in steps:
        at = (int(100 + step), int(101 + step))
        found.append(MEMORIZED | {"grokking": at, "ideal_grokking": at} | more)
    return found


def judged(make_pairs, pairs, claim):
    """The one judgement of a claim on one cell."""
    (one,) = judge(make_pairs(pairs, claims=[claim]))
    return one


@pytest.mark.parametrize(
    ("steps", "claim", "verdict"),
    [
        (1_000 + SPREAD / 20, CLOSE, "supported"),
        (SPREAD, CLOSE, "refuted"),
        (SPREAD, {"kind": "waiting_shape", "min_shape": 0.4, "max_shape": 2.0}, "supported"),
        (SPREAD[:5], CLOSE, "inconclusive"),
        (1_000 + SPREAD / 20, CLOSE | {"world": "ideal", "since": "start"}, "supported"),
        (SPREAD, CLOSE | {"world": "ideal"}, "refuted"),
    ],
)
def test_verdicts(make_pairs, steps, claim, verdict):
    """Waits close together, and waits spread as if each step had the same chance to end them."""
    assert judged(make_pairs, waiting(steps), claim).verdict == verdict


def test_runs_that_never_grokked_have_waited_to_their_budget(make_pairs):
    """Cut at 1,000 steps the shape stays near 1, and the sentence says how many were cut."""
    pairs = waiting(SPREAD[SPREAD < 900]) + [MEMORIZED | {"grokking": (1_000, None)}] * int((SPREAD >= 900).sum())
    one = judged(make_pairs, pairs, CLOSE)
    assert one.effect.interval.low < 1 < one.effect.interval.high < 4
    assert "of 12 never grokked" in one.sentence
    assert "Weibull shape of the waits from memorisation to grokking in the real world" in one.sentence


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([*waiting(SPREAD), MEMORIZED | {"grokking": (300, None), "status": "diverged"}],
         "1 of 13 runs diverged, failed or lost, of which no wait is known"),
        ([*waiting(SPREAD), MEMORIZED | {"grokking": (10, 20)}],
         "1 of 13 runs grokked before memorising, and did not wait"),
        ([MEMORIZED | {"grokking": (1_000, None)}] * 8, "0 waits ended, and a shape needs 3 that differ"),
    ],
)  # fmt: skip
def test_nothing_is_judged_without_waits(make_pairs, pairs, reason):
    """A run that broke may have waited for ever or hardly at all; one that grokked first did not wait."""
    one = judged(make_pairs, pairs, CLOSE)
    assert one.verdict == "inconclusive"
    assert one.effect.reason == reason

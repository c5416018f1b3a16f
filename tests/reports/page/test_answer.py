"""The answer to a question, for every kind of claim, and only as much as its verdict says."""

import math

import pytest

from deepboot.bootstrap.registry import names
from deepboot.reports import compare
from deepboot.reports.claims.family import Case, cases
from deepboot.reports.claims.judge import judge, parsed
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Effect
from deepboot.reports.claims.p_values import NOT_TESTED
from deepboot.reports.page.answer import answer
from deepboot.reports.page.summary import unreached
from deepboot.reports.statistics.intervals import Bounds

QUESTION = "Does a pool delay grokking?"
GROUPS = {"of": {"train_size": 1}, "to": {"train_size": 2}}
ABOVE = Bounds(4.0, math.inf)
KINDS = {  # one claim of each, and whether "yes" is what its support means
    "bootstrap_error": ({"min": 4.0}, True),
    "change": ({"metric": "test_error", "min": 4.0}, True),
    "crossing": (GROUPS | {"over": "train_size", "metric": "test_error", "min": 4.0}, False),
    "difference": ({"min_difference": 0.4}, False),
    "equivalent": ({"margin": 0.4}, False),
    "faster": ({"min_ratio": 4.0}, True),
    "final_difference": (GROUPS | {"min": 4.0}, True),
    "final_error": ({"min": 4.0}, False),
    "gap_share": ({"max_share": 0.4}, True),
    "grokking_delay": ({"min_ratio": 4.0}, True),
    "head_start": ({"min_ratio": 4.0}, True),
    "monotone": ({"over": "train_size", "direction": "rises"}, False),
    "no_delay": ({}, False),
    "outcome_profile": ({"outcome": "grokking", "classifier": "pair", "min_rate": 0.4}, False),
    "power_law": ({"over": "train_size", "min_slope": 4.0}, True),
    "predicts": ({"max_error": 0.4}, False),
    "rank_agreement": ({"min_tau": 0.4}, True),
    "rate": ({"event": "grokking", "min_rate": 0.4}, False),
    "ratio": (GROUPS | {"min_ratio": 4.0}, True),
    "rebound": ({"min_rise": 0.4, "min_rate": 0.4}, False),
    "relapse": ({"min_rate": 0.4}, False),
    "same_memorization": ({}, False),
    "step": ({"min": 4}, False),
    "threshold": ({"min": 4}, False),
    "trend": ({"over": "train_size", "direction": "rises"}, True),
    "variance_share": ({"over": "train_size", "beside": ["seed"], "min_share": 0.4}, False),
    "waiting_shape": ({"min_shape": 4.0}, False),
}  # fmt: skip

RATIOS = {"faster", "grokking_delay", "head_start", "ratio"}  # whose estimate is so many fold


def judged(claim, interval, region=ABOVE, estimate=None):
    """A claim with one judgement, measured as this interval around its middle."""
    middle = interval and Bounds(sum(interval) / 2, sum(interval) / 2)
    effect = Effect("number", region, 8, "runs", estimate or middle, interval)
    settings = parsed(claim)[1].model_dump()
    one = Judgement(claim, 1, "a", "real", effect, effect.verdict, effect.verdict, 0.95, False, "", settings=settings)
    return Case((one,), NOT_TESTED)


def claim_of(kind):
    """The example of a kind, with a text of its own."""
    return {"kind": kind, "text": "It is so."} | KINDS[kind][0]


def test_every_shipped_kind_has_an_example():
    """A kind that is added needs a line here: does its support answer "yes"."""
    assert set(KINDS) == set(names("claim"))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_of_every_kind(kind):
    """The claim's text, estimate, interval and number; "Yes" only where the kind knows what no effect is."""
    found = answer(QUESTION, [judged(claim_of(kind), Bounds(5.0, 7.0))], [])
    assert found.head == ("Yes" if KINDS[kind][1] else "As claimed")
    ratio = kind in RATIOS
    assert found.text.startswith(f"It is so (measured: {'6.0-fold,' if ratio else 'number 6.0,'}")
    assert found.text.endswith(", 95 % interval 5.0 to 7.0, 8 runs).")
    assert (found.verdict, found.counts, found.settles) == ("supported", "1 of 1 claim supported.", ())


@pytest.mark.parametrize(
    ("question", "interval", "head"),
    [
        (QUESTION, (5.0, 7.0), "Yes"),
        (QUESTION, (0.5, 2.0), "No"),
        (QUESTION, (2.0, 3.0), "Not as claimed"),  # there is a delay, but a shorter one
        ("Which optimizer is fastest?", (5.0, 7.0), "As claimed"),
        ("Does a pool delay grokking, and does it help?", (5.0, 7.0), "As claimed"),
        ("Does a pool delay it, or is it the noise?", (0.5, 2.0), "Not as claimed"),
        ("", (5.0, 7.0), "As claimed"),
    ],
)
def test_yes_and_no_only_where_they_cannot_mislead(question, interval, head):
    """A question for one thing, and a claim of an effect that is there, or absent."""
    assert answer(question, [judged(claim_of("grokking_delay"), Bounds(*interval))], []).head == head


def test_no_effect_claimed_and_found_is_no_yes():
    """A claim that a ratio is about 1 is supported: that is as claimed, and not "yes, it changes"."""
    around = judged(claim_of("ratio"), Bounds(0.9, 1.1), region=Bounds(0.8, 1.25))
    assert answer("Does rounding change it?", [around], []).head == "As claimed"


def test_a_ratio_is_so_many_fold():
    """Rounded by its interval, with no range between evaluations beside it."""
    case = judged(claim_of("faster"), Bounds(4.4, 9.5), estimate=Bounds(5.7, 6.3))
    assert "(measured: about 6.0-fold, 95 % interval 4.4 to 9.5, 8 runs)" in answer(QUESTION, [case], []).text


def test_a_number_that_is_no_ratio_has_its_name(make_pairs):
    """A negative bootstrap error does not stand alone after a sentence that says "ahead by"."""
    claim = {"kind": "bootstrap_error", "metric": "test_error", "at": "end", "max": 0.0, "text": "It is ahead."}
    late = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
    found = answer(QUESTION, cases(judge(make_pairs([late] * 6, claims=[claim]))), [])
    assert "(measured: mean bootstrap error at the last common step " in found.text


def test_the_primary_claim_leads_and_all_are_counted(make_pairs):
    """Whatever its place; what is missing for an undecided one is said."""
    late = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
    claims = [{"kind": "grokking_delay", "min_ratio": 5.0}, {"kind": "faster", "min_ratio": 2.0, "primary": True}]
    few = cases(judge(make_pairs([late] * 2, claims=claims)))
    found = answer(QUESTION, few, [])
    assert (found.head, found.counts) == ("Undecided", "0 of 2 claims supported, 2 undecided.")
    assert found.text.startswith("“faster (min_ratio 2)” (measured: ")  # quoted: it is not said to be so
    assert "More seeds: a verdict takes at least 6, and there are 2." in found.settles
    many = cases(judge(compare(make_pairs([late] * 6, claims=[{"kind": "faster", "min_ratio": 20.0}, *claims]))))
    assert answer(QUESTION, many, []).counts == "2 of 3 claims supported, 1 refuted."


def test_without_claims_the_finding_answers():
    """Its first sentences."""
    found = answer(QUESTION, [], ["One.", "Two.", "Three.", "Four."])
    assert (found.head, found.text, found.counts) == ("Finding", "One. Two. Three.", "")


def test_it_is_said_when_no_run_generalised(make_results):
    """Within which budget, and whether any memorised; nothing where a run did, or is still under way."""
    results = make_results(seeds=1, censored=(0,), evaluations=40)
    assert unreached(compare(results)) == "No run of the real world generalised within its 4,000 steps."
    results.runs["memorization_high"] = None
    assert unreached(compare(results)) == "No run of the real world memorised or generalised within its 4,000 steps."
    results.runs["status"] = "unfinished"
    assert unreached(compare(results)) == ""
    assert unreached(compare(make_results(seeds=1, evaluations=40))) == ""

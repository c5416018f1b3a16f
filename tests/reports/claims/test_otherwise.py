"""Verdicts by other measures: said where they differ, on runs whose events and times are made by hand."""

import pytest

from deepboot.reports.claims.explain.otherwise import otherwise
from deepboot.reports.claims.family import cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.reports.page.sections import parts

LATE = {"kind": "grokking_delay", "min_ratio": 5.0}
SOONER = {"kind": "faster", "min_ratio": 2.0}


def sentence(results):
    """The sentence on the one claim of these results."""
    comparison = compare(results)
    (case,) = cases(judge(comparison))
    return otherwise(comparison, case)


def pairs(grokking, stable):
    """Eight pairs that memorise at step 10."""
    events = {"memorization": (10, 10), "grokking": (grokking, grokking), "stable": (stable, stable)}
    return [dict(events) for _ in range(8)]


@pytest.mark.parametrize(
    ("claim", "events", "expected"),
    [
        (LATE, (30, 900), "Judged otherwise, by stable grokking: supported."),  # refuted by the first: 3 times
        ({**LATE, "event": "stable"}, (30, 900), "Judged otherwise, by first grokking: refuted."),
        (LATE, (900, 900), ""),
        (LATE, (900, None), ""),  # tables from before stable events
        ({"kind": "rate", "event": "memorization", "min_rate": 0.2}, (30, 900), ""),
    ],
)
def test_the_other_event_is_named_where_its_verdict_differs(make_pairs, claim, events, expected):
    """A verdict that stays, and one about another event, get no sentence."""
    assert sentence(make_pairs(pairs(*events), claims=[claim])) == expected


def test_a_relapse_leaves_a_stable_event_open(make_pairs):
    """Runs that fell and did not come back: at least 400 times as late, since the budget is 4,000 steps."""
    open_ended = [{**pair, "stable": (4000, None)} for pair in pairs(30, 900)]
    assert sentence(make_pairs(open_ended, claims=[LATE])) == "Judged otherwise, by stable grokking: supported."


def test_the_unit_of_time_is_named_where_its_verdict_differs(make_results):
    """Real runs whose steps take a tenth of the time; in samples all steps are alike."""
    results = make_results(seeds=8, claims=[SOONER])
    assert sentence(results) == ""
    runs = results.runs
    runs.loc[runs["world"] == "real", "seconds"] /= 10
    assert sentence(results) == "Judged otherwise, by seconds: refuted."
    runs["seconds"] = None
    assert sentence(results) == ""


def test_the_report_says_it_below_the_verdict(make_pairs):
    """After the sentence of the registered one."""
    (part,) = parts(compare(make_pairs(pairs(30, 900), claims=[LATE])))
    told = part.claims[0].sentences
    assert told[0].startswith("Refuted: ")
    assert told[1:] == ["Judged otherwise, by stable grokking: supported."]


def test_the_claims_confidence_is_kept(make_pairs):
    """Of two primary claims each has half of the error: eight pairs are then too few for none, as for the claim."""
    results = make_pairs(pairs(30, 900), claims=[{**LATE, "primary": True}, {**SOONER, "primary": True}])
    comparison = compare(results)
    late, _ = cases(judge(comparison))
    assert late.first.confidence == 0.975
    assert otherwise(comparison, late) == "Judged otherwise, by stable grokking: supported."


@pytest.mark.parametrize("kind", ["trend", "monotone"])
def test_an_order_of_cells_is_judged_by_the_other_event_too(make_pairs, kind):
    """Cells whose first grokking falls along the size, and whose stable grokking rises."""
    events = {100: (2_000, 2_000), 400: (500, 3_000)}
    for event, expected in [("grokking", "stable grokking: refuted"), ("stable", "first grokking: supported")]:
        claim = {"kind": kind, "over": "train_size", "direction": "falls", "event": event}
        comparison = compare(
            [make_pairs(pairs(*each), cell=str(n), train_size=n, claims=[claim]) for n, each in events.items()]
        )
        (case,) = cases(judge(comparison))
        assert otherwise(comparison, case) == f"Judged otherwise, by {expected}."

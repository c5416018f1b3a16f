import dataclasses
import math

import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.claims.explain.compared import compared
from deepboot.reports.claims.explain.evidence import evidence_of, weightiest
from deepboot.reports.claims.explain.missing_runs import missing_runs
from deepboot.reports.claims.explain.sensitivity import seeds_to_settle, sensitivity
from deepboot.reports.claims.family import Case, cases
from deepboot.reports.claims.judge import Across, Effect, claim_kind, judge
from deepboot.reports.claims.kind import events_of, figures_of
from deepboot.reports.statistics.intervals import Bounds

DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
SOON = LATE | {"grokking": (110, 120)}
NEVER = LATE | {"grokking": (4000, None)}
DIVERGED = LATE | {"grokking": (300, None), "status": "diverged"}
FAILED = DIVERGED | {"status": "failed"}


def judged(make_pairs, pairs, claim):
    """The one judgement of a claim on one cell."""
    (one,) = judge(make_pairs(pairs, claims=[claim]))
    return one


def across(make_pairs, cells, claim, sizes=(250, 500, 1000)):
    """The judgements of a claim on cells that differ in their pool."""
    made = []
    for place, pairs in enumerate(cells):
        results = make_pairs(pairs, cell=f"c{place}", claims=[claim])
        real = results.runs["world"] == "real"
        results.runs.loc[real, "train_size"] = sizes[place]
        made.append(results)
    return judge(compare(made))


def test_runs_that_never_reached_the_event_are_named_by_seed(make_pairs):
    """Censored, diverged and failed, each with its seeds and steps."""
    one = judged(make_pairs, [NEVER, LATE, DIVERGED, NEVER, LATE, FAILED], DELAY)
    last = one.evidence.runs.set_index("seed")["last_step"]
    assert missing_runs(one) == [
        f"Real world: seeds 0 and 3 never grokked by step 4,000; seed 2 diverged at step {last[2]:,}, before grokking; "
        f"seed 5 failed at step {last[5]:,}, before grokking.",
    ]


def test_a_claim_on_pairs_names_the_runs_of_both_worlds(make_pairs):
    """The ideal partners' seeds are said apart, and pairs without a partner too."""
    results = make_pairs([NEVER, LATE | {"ideal_grokking": (4000, None)}, LATE], claims=[{"kind": "faster"}])
    (one,) = judge(results)
    assert missing_runs(one) == [
        "Real world: seed 0 never grokked by step 4,000.",
        "Ideal world: seed 1 never grokked by step 4,000.",
    ]
    (one,) = judge(dataclasses.replace(results, runs=results.runs[results.runs["run_id"] != "ideal-a-1"]))
    assert missing_runs(one)[-1] == "Without their ideal partner in real: seed 1."


def test_where_no_run_is_missing_it_says_so(make_pairs):
    """With what all of them reached, and how many do not measure it."""
    assert missing_runs(judged(make_pairs, [LATE] * 6, DELAY)) == ["None: all 6 runs memorised and grokked."]
    pairs = [{"stopping": 20, "differences": [0, 0, 0.1, 0]}] * 3
    found = missing_runs(judged(make_pairs, pairs, {"kind": "bootstrap_error", "min": 0.0}))
    assert found == ["None: all 3 runs reached the stopping error; 3 runs of the other world do not measure it."]
    end = missing_runs(judged(make_pairs, pairs, {"kind": "bootstrap_error", "min": 0.0, "at": "end"}))
    assert end == ["None: all 6 runs finished."]


def test_long_lists_of_seeds_are_cut(make_pairs):
    """Eight names, then a number."""
    (said,) = missing_runs(judged(make_pairs, [NEVER] * 11, DELAY))
    assert said == "Real world: seeds 0, 1, 2, 3, 4, 5, 6, 7 and 3 more never grokked by step 4,000."


def test_events_follow_from_the_settings():
    """``event`` and ``at`` come before what the kind says of itself."""
    assert events_of("rate", {"event": "memorization"}) == ("memorization",)
    assert events_of("monotone", {"event": "final_error"}) == ()
    assert events_of("bootstrap_error", {"at": "end"}) == ()
    assert events_of("equivalent", {"at": "until_stopping"}) == ("stopping",)
    assert events_of("grokking_delay", {"min_ratio": 2.0}) == ("memorization", "grokking")
    assert events_of("grokking_delay", {"min_ratio": 2.0, "event": "stable"}) == ("memorization", "stable")
    assert events_of("nobody's", {}) == ()


def test_worlds_differ_in_their_index_rule_only(make_results):
    """N and reuse are said, and a setting that differs too is not hidden."""
    results = make_results(6, claims=[{"kind": "faster"}])
    results.runs["reuse"] = [1.0 if world == "ideal" else 533.3 for world in results.runs["world"]]
    (one,) = judge(results)
    (said,) = compared(one)
    assert said == (
        "A pair shares its seed and differs in the index rule, real world with N = 750 against ideal world; a sample "
        "is used 533 times on average, in the ideal world once. All other settings are the same."
    )
    results.runs.loc[results.runs["world"] == "ideal", "optimizer.lr"] = 0.5
    (one,) = judge(results)
    assert compared(one)[0].endswith("They also differ in optimizer.lr.")


def test_a_claim_on_one_cells_own_runs_compares_nothing(make_pairs):
    """A delay in the real world is compared with nothing."""
    assert compared(judged(make_pairs, [LATE] * 6, DELAY)) == []


def test_groups_are_compared_by_the_settings_that_differ(make_pairs):
    """Of a ratio, the two cells that it compares; of a trend, all of them."""
    claim = {"kind": "ratio", "of": {"train_size": 250}, "to": {"train_size": 1000}, "min_ratio": 5.0}
    (one,) = across(make_pairs, [[LATE] * 6, [LATE] * 6, [SOON] * 5 + [NEVER]], claim)
    assert compared(one) == ["The 2 cells differ in train_size (250, 1,000). All other settings are the same."]
    assert missing_runs(one) == ["Real world of train_size 1,000: seed 5 never grokked by step 4,000."]
    trend = {"kind": "trend", "over": "train_size", "direction": "falls"}
    (one,) = across(make_pairs, [[LATE] * 6, [LATE] * 6, [SOON] * 6], trend)
    assert compared(one) == ["The 3 cells differ in train_size (250, 500, 1,000). All other settings are the same."]


def test_a_ratio_of_the_ideal_world_is_explained_by_its_two_cells(make_results):
    """Of three ideal cells the third, in which nothing groks, is not part of the claim."""
    of, to = ({"optimizer.weight_decay": decay} for decay in (0.1, 0.3))
    claim = {"kind": "ratio", "of": of, "to": to, "world": "ideal", "max_ratio": 4.0}
    results = make_results(decays=(0.1, 0.3, 1.0), claims=[claim])
    third = results.runs["optimizer.weight_decay"] == 1.0
    results.runs.loc[third, "grokking_step"] = pd.NA
    (one,) = judge(results)
    two = "The 2 cells differ in optimizer.weight_decay (0.1, 0.3). All other settings are the same."
    assert compared(one) == [two]
    assert missing_runs(one) == ["None: all 16 runs grokked."]


@pytest.mark.parametrize(
    ("estimate", "interval", "region", "expected"),
    [
        (0.2, (0.0, 0.4), (0.1, math.inf), 32),  # twice as far as the bound is: four times the seeds
        (0.05, (-0.15, 0.25), (0.1, math.inf), 128),  # outside: it is to be refuted
        (0.0, (-0.2, 0.2), (-0.1, 0.1), 32),  # both sides
        (0.06, (-0.14, 0.26), (-0.1, 0.1), 200),  # the nearer side
        (0.2, (-math.inf, 0.4), (0.1, math.inf), None),  # open: no measure of spread
        (0.2, (0.0, math.inf), (0.1, math.inf), None),
        (0.1, (0.0, 0.2), (0.1, math.inf), math.inf),  # at the bound
    ],
)
def test_seeds_that_settle_it(estimate, interval, region, expected):
    """Distances of the estimate to the bound against the interval's half width, squared, of eight seeds."""
    effect = Effect("mean", Bounds(*region), 8, "pairs", Bounds(estimate, estimate), Bounds(*interval))
    assert seeds_to_settle(effect, 8) == expected


def test_as_many_seeds_as_it_says_settle_a_t_interval(make_pairs):
    """The same differences again and again until there are so many: the verdict is reached, and not at half as many."""
    claim, values = {"kind": "bootstrap_error", "min": 0.15}, [0.1, 0.3, 0.2, 0.25]

    def pairs(times):
        return [{"stopping": 20, "differences": [0, 0, value, 0]} for value in values * times]

    one = judged(make_pairs, pairs(1), claim)
    needed = int(seeds_to_settle(one.effect, 4))
    assert sensitivity(one) == [f"More seeds: with about {needed} it is supported, if the estimate stays."]
    assert judged(make_pairs, pairs(math.ceil(needed / 4)), claim).verdict == "supported"
    assert judged(make_pairs, pairs(math.ceil(needed / 8) - 1), claim).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([LATE] * 6, ["A claimed lower bound above about 9 would have made it inconclusive."]),
        ([SOON] * 6, ["A claimed lower bound of about 1.33 would have made it inconclusive."]),
        ([LATE] * 2, ["More seeds: a verdict takes at least 6, and there are 2."]),
        (
            [SOON] * 5 + [NEVER],
            [
                "More seeds may settle it; how many is unknown, with an open interval.",
                "A longer budget: 1 of 6 runs never grokked by step 4,000, and their later steps may settle it.",
            ],
        ),
        ([LATE] * 3 + [SOON] * 3, None),
        (
            [LATE] * 5 + [DIVERGED],
            ["More seeds may settle it; how many is unknown, with an open interval."],
        ),
    ],
)
def test_what_would_change_a_delay(make_pairs, pairs, expected):
    """Another bound for a decided claim; seeds and a budget for an open one."""
    found = sensitivity(judged(make_pairs, pairs, DELAY))
    if expected is None:
        assert len(found) == 1
        assert found[0].startswith("More seeds")
    else:
        assert found == expected


@pytest.mark.parametrize("claim", [{"kind": "bootstrap_error", "min": 0.0}, {"kind": "bootstrap_error", "max": 0.05}])
def test_the_bound_that_unsettles_is_the_one_named(make_pairs, claim):
    """At the end of the interval that is nearest to it, the same claim is no longer decided."""
    pairs = [{"stopping": 20, "differences": [0, 0, value, 0]} for value in (0.1, 0.12, 0.14, 0.13)]
    one = judged(make_pairs, pairs, claim)
    low = one.effect.interval.low
    decided, (name,) = one.verdict, claim.keys() - {"kind"}
    assert decided == {"min": "supported", "max": "refuted"}[name]
    (said,) = sensitivity(one)
    assert f"{low:.3g}" in said
    assert judged(make_pairs, pairs, claim | {name: low + 1e-9}).verdict == "inconclusive"
    assert judged(make_pairs, pairs, claim | {name: low - 1e-9}).verdict == decided


def test_an_interval_made_for_the_claim_says_less(make_pairs):
    """Two one-sided tests cut it off, so that its end is not the bound that would unsettle it."""
    pairs = [LATE | {"grokking": (100, 101), "memorization": (99, 100)}] * 8
    (said,) = sensitivity(judged(make_pairs, pairs, {"kind": "no_delay", "max_ratio": 2.0}))
    assert said == "The interval reaches to 1 on the lower side; a narrower claim might be inconclusive."


def test_no_number_of_seeds(make_pairs):
    """A claim that no interval can lie in."""
    one = judged(make_pairs, [LATE] * 3 + [NEVER] * 3, {"kind": "rate", "min_rate": 0.5, "max_rate": 0.5})
    assert sensitivity(one) == ["No number of seeds settles it at a confidence of 95 %."]


@pytest.mark.parametrize(
    ("kind", "event", "figures"),
    [
        ("ratio", "grokking", ("survival", "steps")),
        ("ratio", "memorization", ("steps",)),
        ("trend", "grokking", ("steps", "test_error")),
        ("trend", "final_error", ("test_error",)),
        ("power_law", "memorization", ("steps",)),
        ("unknown", "grokking", ()),
    ],
)
def test_a_kind_declares_its_figures_by_event(kind, event, figures):
    """The survival figure shows grokking alone, the figure of steps both events, and neither the final error."""
    assert figures_of(kind, {"event": event}) == figures


def test_figures_show_the_event(make_pairs):
    """A survival curve of grokking is no evidence on memorisation; a page without the best figure has the next."""
    (case,) = cases(judge(make_pairs([LATE] * 6, claims=[{"kind": "rate", "min_rate": 0.5}])))
    found = evidence_of(case, case.first)
    assert found.figures == ("survival", "steps")
    assert found.figure(["steps", "survival"]) == "survival"
    assert found.figure(["steps"]) == "steps"
    assert found.figure([]) == ""
    claim = {"kind": "rate", "min_rate": 0.5, "event": "memorization"}
    (case,) = cases(judge(make_pairs([LATE] * 6, claims=[claim])))
    assert evidence_of(case, case.first).figures == ("steps",)


def test_weightiest_cells_are_those_that_decide(make_pairs):
    """The cells against the claim first, by their p value, then the least certain of the others."""
    cells = [[LATE] * 9, [SOON] * 7, [LATE] * 6, [SOON] * 8]
    made = [
        make_pairs(pairs, cell=f"c{place}", claims=[DELAY], **{"optimizer.lr": place + 1.0})
        for place, pairs in enumerate(cells)
    ]
    (case,) = cases(judge(compare(made)))
    assert case.overall == "refuted"
    chosen = weightiest(case, 3)
    assert [one.cell for one in chosen] == ["optimizer.lr 2", "optimizer.lr 3", "optimizer.lr 4"] or [
        one.cell for one in chosen
    ] == ["lr 2", "lr 3", "lr 4"]
    assert len(weightiest(case, 9)) == 4


def test_evidence_of_a_users_own_kind(make_pairs):
    """All of it is there without a line of its own."""

    @claim_kind("own_evidence", figure="steps", events=("grokking",), scope="cells")
    def own_evidence(across: Across, *, world: str = "real") -> Effect:
        """Some run never grokked."""
        n = int(across.runs_of(world)["grokking_high"].isna().sum())
        return Effect("number of runs", Bounds(1, math.inf), n, "runs", Bounds(n, n), Bounds(n - 1, n + 1))

    claim = {"kind": "own_evidence"}
    (one,) = across(make_pairs, [[LATE] * 2, [LATE, NEVER]], claim)
    found = evidence_of(Case((one,), one.significance), one)
    assert found.figures == ("steps",)
    assert found.runs == ("Real world of train_size 500: seed 1 never grokked by step 4,000.",)
    assert found.compared == ("The 2 cells differ in train_size (250, 500). All other settings are the same.",)
    assert found.change == ("More seeds will hardly settle it: the estimate is almost at the claimed bound.",)
    assert dict(found.numbers)["n (runs)"] == "1 of 1"

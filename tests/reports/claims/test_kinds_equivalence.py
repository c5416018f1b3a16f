import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.bootstrap.registry import find
from deepboot.reports import compare
from deepboot.reports.claims.judge import fewest_seeds, judge
from deepboot.reports.claims.kind import Evidence
from deepboot.reports.claims.kinds.equivalence import worst_step
from deepboot.reports.statistics.intervals import clopper_pearson, t_interval

NAMES = ("difference", "equivalent", "no_delay", "relapse", "same_memorization")
TOGETHER = {"memorization": (90, 100), "grokking": (90, 100), "ideal_memorization": (90, 100)}
LATE = TOGETHER | {"grokking": (900, 1000)}
SLOW = TOGETHER | {"memorization": (900, 1000)}
NEVER = TOGETHER | {"grokking": (4000, None)}
DIVERGED = TOGETHER | {"grokking": (300, None), "status": "diverged"}
FORGETS = {"grokking": (None, 0), "differences": [-0.3, -0.3, -0.3, 0.0]}
KEEPS = FORGETS | {"differences": [-0.3] * 4}
NINE = (0.04, 0.05, 0.06, 0.05, 0.04, 0.06, 0.05, 0.04, 0.06)


def judged(make_pairs, pairs, claim, **more):
    """The judgement of one claim on one cell."""
    (one,) = judge(make_pairs(pairs, claims=[claim], **more))
    return one


def at_20(values, **more):
    """Pairs that stop at step 20 with these bootstrap errors there, and twice as much at the end."""
    return [{"stopping": 20, "differences": [0, 0, value, 2 * value], **more} for value in values]


def without_ideal(results):
    """The same results, as if the ideal worlds had not been run."""
    real = results.runs["world"] == "real"
    runs = results.runs[real].assign(ideal_run_id=None).astype(results.runs.dtypes)
    return replace(results, runs=runs)


def rejected(rate, runs, level=0.05):
    """Whether a rate over so many studies is at most the level, but for three standard errors."""
    return rate <= level + 3 * math.sqrt(level * (1 - level) / runs)


@pytest.mark.parametrize(
    ("claim", "values", "expected"),
    [
        ({"at": "stopping"}, [0.01, 0.02, 0.03], "supported"),
        ({"at": "stopping"}, [0.31, 0.32, 0.33], "refuted"),
        ({"at": "stopping"}, [-0.31, -0.32, -0.33], "refuted"),
        ({"at": "stopping"}, [0.01, 0.1, 0.3], "inconclusive"),
        ({"at": "end"}, [0.16, 0.17, 0.18], "refuted"),
        ({"at": "end"}, [0.01, 0.02, 0.03], "supported"),
        ({}, [0.01, 0.02, 0.03], "supported"),
        ({}, [0.31, 0.32, 0.33], "refuted"),
        ({}, [0.08, 0.10, 0.12], "inconclusive"),
        ({}, [0.01, 0.02], "inconclusive"),
        ({"metric": "train_error"}, [0.01, 0.02, 0.03], "inconclusive"),  # the ideal world has none
    ],
)
def test_equivalent(make_pairs, claim, values, expected):
    """The mean difference at step 20, at 30 where it is twice as large, or at 10 and 20, within a margin of 0.1."""
    assert judged(make_pairs, at_20(values), {"kind": "equivalent", "margin": 0.1} | claim).verdict == expected


def test_equivalent_at_one_step_by_hand(make_pairs):
    """The t interval of the claim's confidence, where it does not reach the margin."""
    one = judged(make_pairs, at_20([0.01, 0.02, 0.03]), {"kind": "equivalent", "margin": 0.1, "at": "stopping"})
    assert one.effect.interval == pytest.approx(t_interval([0.01, 0.02, 0.03]))
    assert one.sentence == (
        "Supported: the mean bootstrap error at the stopping step is 0.020 (95 % interval −0.005 to 0.045; "
        "3 of 3 pairs); claimed: −0.1 to 0.1."
    )


def test_equivalent_until_stopping_by_hand(make_pairs):
    """The sentence names the worst step and the steps that were judged; a pair that never stops counts up to there."""
    one = judged(make_pairs, [*at_20([0.01, 0.02, 0.03]), {}], {"kind": "equivalent", "margin": 0.1})
    assert one.sentence == (
        "Supported: the largest mean bootstrap error up to the earliest stopping step is 0.015 (95 % interval −0.006 "
        "to 0.036; 4 of 4 pairs; at step 20, of 2 steps from 10 to 20; 1 of 4 never reached the stopping error); "
        "claimed: −0.1 to 0.1."
    )


def test_two_one_sided_tests_cut_the_interval_off_at_the_margin(make_pairs):
    """At 0.04 the 90 % interval lies inside and the 95 % interval does not: supported, up to the margin."""
    values = [0.01, 0.02, 0.03]
    claim = {"kind": "equivalent", "margin": 0.04, "at": "stopping"}
    assert t_interval(values, 0.9).high < 0.04 < t_interval(values).high
    one = judged(make_pairs, at_20(values), claim)
    assert one.verdict == "supported"
    assert one.effect.interval == pytest.approx((t_interval(values).low, 0.04))
    assert one.effect.note == "cut off where two one-sided tests at 5 % rule out the rest"
    assert judged(make_pairs, at_20(values), claim | {"margin": 0.036}).verdict == "inconclusive"
    assert judged(make_pairs, at_20(values), claim | {"confidence": 0.99}).verdict == "inconclusive"


def test_equivalence_ends_where_the_first_pair_stops(make_pairs):
    """One pair stops at step 10, before the worlds differ; the rest at step 30."""
    pairs = at_20([0.45, 0.5, 0.55, 0.5])
    late = [pair | {"stopping": 30} for pair in pairs]
    one = judged(make_pairs, [*late, pairs[0] | {"stopping": 10}], {"kind": "equivalent", "margin": 0.1})
    assert (one.verdict, one.effect.n) == ("supported", 5)
    cut = "cut off where two one-sided tests at 5 % rule out the rest"  # five times 0 have no 95 % interval
    assert one.effect.note == f"at step 10, the only one judged; {cut}"
    assert judged(make_pairs, late, {"kind": "equivalent", "margin": 0.1}).verdict == "refuted"


def test_equivalence_is_not_judged_before_the_first_reuse(make_pairs):
    """There the worlds are equal by construction: a pair that stops by then does not enter."""
    pairs = [*at_20([0.01, 0.02, 0.03]), {"stopping": 0}]
    for at in ("stopping", "until_stopping"):
        one = judged(make_pairs, pairs, {"kind": "equivalent", "margin": 0.1, "at": at})
        assert (one.verdict, one.effect.n) == ("supported", 3)
        assert one.effect.note.endswith("1 of 4 there before any reuse")
    one = judged(make_pairs, pairs, {"kind": "equivalent", "margin": 0.1}, first_reuse_step=None)
    assert one.sentence == "Not judged: 0 pairs, and a t interval needs 3 (4 of 4 there before any reuse)."


@pytest.mark.parametrize(
    ("pairs", "at", "reason"),
    [
        ([{}] * 4, "until_stopping", "0 pairs, and a t interval needs 3 (4 of 4 never reached the stopping error)"),
        (at_20([0.1, 0.2]), "stopping", "2 pairs, and a t interval needs 3"),
        (
            [*at_20([0.1, 0.2]), *at_20([0.1], status="diverged"), *at_20([math.nan])],
            "end",
            "2 pairs, and a t interval needs 3 (1 of 4 did not finish in both worlds; "
            "1 of 4 without a value in both worlds there)",
        ),
    ],
)
def test_equivalence_that_cannot_be_judged_says_why(make_pairs, pairs, at, reason):
    """Pairs that do not enter are counted by their reason."""
    one = judged(make_pairs, pairs, {"kind": "equivalent", "margin": 0.1, "at": at})
    assert (one.verdict, one.effect.interval, one.reason) == ("inconclusive", None, reason)


def test_pairs_that_diverge_after_stopping_enter_until_then(make_pairs):
    """A run that diverged later has a stopping step and values up to it."""
    pairs = at_20([0.01, 0.02], status="finished") + at_20([0.03], status="diverged")
    assert judged(make_pairs, pairs, {"kind": "equivalent", "margin": 0.1}).effect.n == 3


def test_equivalence_without_a_common_step_says_so(make_pairs):
    """One pair was evaluated at step 20 only, and another one stopped at step 10."""
    pairs = [*at_20([0.01, 0.02, 0.03]), {"stopping": 10}]
    results = make_pairs(pairs, claims=[{"kind": "equivalent", "margin": 0.1}])
    rows = results.evaluations
    gone = (rows["run_id"] == "real-a-0") & (rows["step"] == 10)
    (one,) = judge(replace(results, evaluations=rows[~gone]))
    assert one.sentence == "Not judged: no step that all pairs evaluated between reuse and stopping."


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "equivalent", "margin": 0.1},
        {"kind": "equivalent", "margin": 0.1, "at": "end"},
        {"kind": "same_memorization"},
        {"kind": "difference", "min_difference": 0.1},
    ],
)
@pytest.mark.parametrize("partner", ["none", "missing"])
def test_paired_kinds_without_an_ideal_world(make_pairs, claim, partner):
    """Nothing to compare with is nothing to judge, with the reason."""
    results = make_pairs(at_20([0.1] * 8), claims=[claim])
    real = results.runs["world"] == "real"
    results = without_ideal(results) if partner == "none" else replace(results, runs=results.runs[real])
    (one,) = judge(results)
    assert (one.verdict, one.effect.n, one.effect.interval) == ("inconclusive", 0, None)
    assert one.reason.startswith("0 pairs, and a ")
    counted = partner == "missing" and claim["kind"] != "same_memorization"
    assert one.reason.endswith("8 of 8 without an ideal partner)") == counted


def test_worst_step_corrects_a_refutation_for_the_number_of_steps():
    """Differences that refute one step alone do not refute one of forty."""
    row = np.array([0.14, 0.20, 0.26, 0.2])
    assert t_interval(row).low > 0.1 > t_interval(row, 1 - 0.05 / 40).low
    alone, interval, _ = worst_step(row[None], 0.1, 0.95)
    assert (alone, interval) == (0, t_interval(row))
    curve = np.zeros((40, 4))
    curve[7] = row
    worst, interval, _ = worst_step(curve, 0.1, 0.95)
    assert worst == 7
    assert interval.low < 0.1 < interval.high
    curve[9] = row / 20 - 0.9  # one that does
    worst, interval, how = worst_step(curve, 0.1, 0.95)
    assert (worst, how) == (9, "corrected for 40 steps")
    assert interval == t_interval(curve[9], 1 - 0.05 / 40)
    assert interval.high < -0.1


def test_worst_step_is_inconclusive_where_all_steps_are_just_outside():
    """Each interval alone lies outside, none does when corrected: the interval reaches into the region."""
    curve = np.tile([0.14, 0.20, 0.26, 0.2], (40, 1))
    _, interval, _ = worst_step(curve, 0.1, 0.95)
    assert interval.low < 0.1 < interval.high


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([TOGETHER] * 6, "supported"),
        ([TOGETHER] * 5, "supported"),  # five are enough for one-sided tests
        ([TOGETHER] * 4, "inconclusive"),
        ([LATE] * 6, "refuted"),
        ([LATE] * 5, "inconclusive"),
        ([TOGETHER | {"grokking": (9, 10)}] * 6, "refuted"),  # long before
        ([TOGETHER] * 3 + [LATE] * 3, "inconclusive"),
        ([NEVER] * 6, "refuted"),  # beyond 40 times
        ([TOGETHER] * 7 + [NEVER], "supported"),
        ([TOGETHER] * 4 + [NEVER], "inconclusive"),
        ([TOGETHER] * 5 + [DIVERGED], "inconclusive"),  # nothing is known of its delay
        ([TOGETHER] * 7 + [DIVERGED], "supported"),  # eight runs can bear one
        ([NEVER | {"memorization": (4000, None)}] * 6, "inconclusive"),  # neither is known
    ],
)
def test_no_delay(make_pairs, pairs, expected):
    """The median ratio of grokking to memorisation step between a half and two."""
    assert judged(make_pairs, pairs, {"kind": "no_delay"}).verdict == expected


def test_no_delay_by_hand(make_pairs):
    """The bounds 90 / 100 and 100 / 90."""
    one = judged(make_pairs, [TOGETHER] * 7 + [NEVER | {"status": "failed"}], {"kind": "no_delay"})
    assert one.effect.estimate == pytest.approx((0.9, 1 / 0.9))
    assert one.effect.interval == (0.5, 2)  # the 95 % interval reaches to the run that failed
    assert one.effect.note == "cut off where two one-sided tests at 5 % rule out the rest; 1 of 8 failed"
    one = judged(make_pairs, [TOGETHER] * 6, {"kind": "no_delay"})
    assert one.effect.interval == pytest.approx((0.9, 1 / 0.9))
    assert one.sentence == (
        "Supported: the median ratio of the grokking step to the memorisation step in the real world is about "
        "1.00 (95 % interval 0.90 to 1.11; 6 of 6 runs); the evaluations fix it to within 23 %; claimed: 0.5 to 2."
    )


def test_five_runs_support_no_delay_up_to_the_claimed_ends(make_pairs):
    """They have no 95 % interval of the median, but one-sided tests rule out all beyond the region."""
    one = judged(make_pairs, [TOGETHER] * 5, {"kind": "no_delay"})
    assert one.effect.interval == (0.5, 2)
    assert one.effect.note == "cut off where two one-sided tests at 5 % rule out the rest"
    one = judged(make_pairs, [TOGETHER] * 4, {"kind": "no_delay"})
    assert one.sentence == "Not judged: 4 runs, and a 95 % interval of a median needs 6."


def test_no_delay_in_the_ideal_world(make_pairs):
    """Its runs are judged where the world is named."""
    claim = {"kind": "no_delay", "world": "ideal", "max_ratio": 1.5}
    pairs = [LATE | {"ideal_grokking": (90, 100)}] * 6
    assert judged(make_pairs, pairs, claim).verdict == "supported"
    assert judged(make_pairs, pairs, claim | {"world": "real"}).verdict == "refuted"


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([TOGETHER] * 6, "supported"),
        ([TOGETHER] * 5, "supported"),
        ([SLOW] * 6, "refuted"),
        ([TOGETHER | {"memorization": (8, 10)}] * 6, "refuted"),
        ([TOGETHER] * 3 + [SLOW] * 3, "inconclusive"),
        ([TOGETHER] * 4, "inconclusive"),
        ([SLOW | {"memorization": (4000, None)}] * 6, "refuted"),  # the real runs never memorise
        ([TOGETHER | {"memorization": (4000, None), "ideal_memorization": (4000, None)}] * 6, "inconclusive"),
        ([TOGETHER] * 7 + [TOGETHER | {"memorization": (50, None), "status": "diverged"}], "supported"),
        ([TOGETHER] * 5 + [TOGETHER | {"memorization": (50, None), "status": "diverged"}], "inconclusive"),
        ([TOGETHER | {"memorization": (None, None)}] * 6, "inconclusive"),  # not measured
    ],
)
def test_same_memorization(make_pairs, pairs, expected):
    """The paired ratio of the worlds' memorisation steps between a half and two."""
    assert judged(make_pairs, pairs, {"kind": "same_memorization"}).verdict == expected


def test_same_memorization_by_hand(make_pairs):
    """The bounds 900 / 100 and 1000 / 90, and who did not memorise."""
    never = TOGETHER | {"memorization": (4000, None), "ideal_memorization": (4000, None)}
    one = judged(make_pairs, [SLOW] * 8 + [never], {"kind": "same_memorization"})
    assert one.sentence == (
        "Refuted: the median ratio of the real world's memorisation step to its ideal partner's is about 10.0 "
        "(95 % interval 9.0 to 11.1; 9 of 9 pairs; 1 of 9 never memorised; 1 of 9 ideal partners never memorised); "
        "the evaluations fix it to within 23 %; claimed: 0.5 to 2."
    )


@pytest.mark.parametrize(
    ("claim", "fallen", "kept", "expected"),
    [
        ({"max_rate": 0.5}, 0, 6, "supported"),
        ({"max_rate": 0.5}, 6, 0, "refuted"),
        ({"max_rate": 0.5}, 3, 3, "inconclusive"),
        ({"min_rate": 0.5}, 6, 0, "supported"),
        ({"min_rate": 0.5}, 0, 6, "refuted"),
        ({"min_rate": 0.1, "max_rate": 0.9}, 20, 20, "supported"),
    ],
)
def test_relapse(make_pairs, claim, fallen, kept, expected):
    """The exact interval of the share of grokked runs that fall below the threshold at step 30."""
    pairs = [FORGETS] * fallen + [KEEPS] * kept
    assert judged(make_pairs, pairs, {"kind": "relapse"} | claim).verdict == expected


def test_relapse_by_hand(make_pairs):
    """Runs that never grokked are counted, not taken for runs without a relapse."""
    pairs = [*[FORGETS] * 6, KEEPS, NEVER, NEVER, DIVERGED]
    one = judged(make_pairs, pairs, {"kind": "relapse", "max_rate": 0.2})
    assert one.effect.interval == clopper_pearson(6, 7)
    assert one.sentence == (
        "Refuted: the share of grokked runs that relapse in the real world is 0.86 (95 % interval 0.42 to 1.00; "
        "7 of 7 runs; 6 of 7 relapsed; 2 of 10 never grokked; 1 of 10 diverged before); claimed: at most 0.2."
    )


def test_relapse_without_a_grokked_run_is_not_judged(make_pairs):
    """Whatever it claims."""
    one = judged(make_pairs, [NEVER] * 6, {"kind": "relapse", "max_rate": 0.5})
    assert (one.verdict, one.sentence) == ("inconclusive", "Not judged: none of 6 runs grokked.")


def test_relapse_counts_as_the_tables_do(make_results):
    """On curves: at the threshold and streak of the runs themselves."""
    results = make_results(6, censored=(0,), claims=[{"kind": "relapse", "max_rate": 0.9}])
    (one,) = judge(results)
    from deepboot.reports.measures.events import delay_table

    table = delay_table(compare(results))
    real = table[table["world"] == "real"].iloc[0]
    assert one.effect.n == real["grokked"] == 5
    assert one.effect.note == f"{real['relapsed']} of 5 relapsed; 1 of 6 never grokked"


@pytest.mark.parametrize(
    ("values", "least", "expected"),
    [
        (NINE, 0.01, "supported"),  # 0.1 at the end
        (NINE, 0.15, "refuted"),
        (NINE, 0.1, "inconclusive"),
        ([-value for value in NINE], 0.01, "supported"),
        (NINE[:6], 0.01, "supported"),
        (NINE[:5], 0.01, "inconclusive"),
        ([0.0] * 9, 0.01, "refuted"),
    ],
)
def test_difference(make_pairs, values, least, expected):
    """The largest mean difference after the first reuse, in size."""
    claim = {"kind": "difference", "min_difference": least}
    assert judged(make_pairs, at_20(values), claim).verdict == expected


def test_difference_by_hand(make_pairs):
    """With the signed mean and the step where it is largest; after the end of a run that diverged nothing is known."""
    pairs = [*at_20([-value for value in NINE]), *at_20([-0.05], status="diverged")]
    claim = {"kind": "difference", "min_difference": 0.01}
    one = judged(make_pairs, pairs[:9], claim)
    assert one.sentence == (
        "Supported: the largest size of the mean bootstrap error after the first reuse is 0.100 (95 % interval "
        "0.089 to 0.111; 9 of 9 pairs; −0.1 at step 30, of 3 steps); claimed: at least 0.01."
    )
    one = judged(make_pairs, pairs, claim)
    assert one.sentence == (
        "Supported: the largest size of the mean bootstrap error after the first reuse is more than 0.1 (95 % interval "
        "at least 0.0907; 9 of 10 pairs; −0.1 at step 30, of 3 steps; 1 of 10 did not finish in both worlds); claimed: "
        "at least 0.01."
    )
    assert judged(make_pairs, pairs, claim | {"min_difference": 0.3}).verdict == "inconclusive"
    one = judged(make_pairs, at_20(NINE[:5]), {"kind": "difference", "min_difference": 0.01})
    assert one.sentence == "Not judged: 5 pairs, and a 95 % band of the whole curve needs 6."


def test_difference_without_a_step_after_the_first_reuse(make_pairs):
    """Nothing was used twice: the pairs do not enter."""
    one = judged(make_pairs, at_20(NINE), {"kind": "difference", "min_difference": 0.01}, first_reuse_step=None)
    assert one.reason == "0 pairs, and a 95 % band of the whole curve needs 6 (9 of 9 there before any reuse)"


def test_fewest_seeds_of_each_kind():
    """Known before the first run; a band of the whole curve is never had at a confidence beyond its sign patterns."""
    claims = [
        {"kind": "equivalent", "margin": 0.1},
        {"kind": "no_delay"},
        {"kind": "same_memorization"},
        {"kind": "relapse", "max_rate": 0.1},
        {"kind": "relapse", "min_rate": 0.5},
        {"kind": "difference", "min_difference": 0.1},
    ]
    assert fewest_seeds(claims) == [3, 5, 5, 36, 6, 6]
    assert fewest_seeds([claim | {"confidence": 0.99} for claim in claims]) == [3, 7, 7, 51, 8, 8]
    assert fewest_seeds([claims[-1] | {"confidence": 0.99999}]) == [None]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            {"kind": "equivalent"},
            "claim of kind 'equivalent': `margin`: Field required. See `deepboot list claims`.",
        ),
        (
            {"kind": "equivalent", "margin": 0},
            "claim of kind 'equivalent': `margin`: Input should be greater than 0. See `deepboot list claims`.",
        ),
        (
            {"kind": "equivalent", "margin": 0.1, "at": "start"},
            "claim of kind 'equivalent': `at`: Input should be 'until_stopping', 'stopping' or 'end'. "
            "See `deepboot list claims`.",
        ),
        (
            {"kind": "no_delay", "max_ratio": 1},
            "claim of kind 'no_delay': `max_ratio`: Input should be greater than 1. See `deepboot list claims`.",
        ),
        (
            {"kind": "same_memorization", "max_ratio": 0.5},
            "claim of kind 'same_memorization': `max_ratio`: Input should be greater than 1. "
            "See `deepboot list claims`.",
        ),
        (
            {"kind": "relapse"},
            "claim `relapse` needs a bound on the share, got none. Give `min_rate`, `max_rate` or both.",
        ),
        (
            {"kind": "relapse", "max_rate": 20},
            "claim of kind 'relapse': `max_rate`: Input should be less than or equal to 1. See `deepboot list claims`.",
        ),
        (
            {"kind": "difference", "min_difference": 0},
            "claim of kind 'difference': `min_difference`: Input should be greater than 0. See `deepboot list claims`.",
        ),
    ],
)
def test_mistakes_in_claims(make_pairs, claim, message):
    """What a user can mend is said in one sentence."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  the whole message is compared
        judged(make_pairs, [TOGETHER] * 6, claim)
    assert str(error.value) == message


def test_an_unknown_metric_is_a_mistake(make_pairs):
    """The known ones are listed."""
    with pytest.raises(ValueError, match=r"^unknown metric 'test_eror'\. Known: train_loss, "):
        judged(make_pairs, at_20(NINE), {"kind": "equivalent", "margin": 0.1, "metric": "test_eror"})


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_says_what_it_claims_in_one_line(name):
    """It is shown by `deepboot list claims`."""
    summary = find("claim", name).summary
    assert summary.endswith(".")
    assert len(summary) < 120


def shares(make_pairs, studies, kind, **settings):
    """Shares of supported and refuted studies, each a list of as many hand-made pairs: a cell of one comparison."""
    results = make_pairs([pair for study in studies for pair in study])
    cells = "cell-" + (results.runs["seed"] // len(studies[0])).astype("string")
    comparison = compare(replace(results, runs=results.runs.assign(cell_id=cells)))
    target = find("claim", kind).target
    every = [Evidence(comparison, f"cell-{number}", "real", "real", 0.95) for number in range(len(studies))]
    found = [target(one, **settings).verdict for one in every]
    return found.count("supported") / len(found), found.count("refuted") / len(found)


def normal(random, mean_S, pairs, memory=0.8):
    """Differences (steps, pairs) of standard deviation 0.1 that follow each other from step to step."""
    noise = random.normal(size=(len(mean_S), pairs))
    for step in range(1, len(mean_S)):
        noise[step] = memory * noise[step - 1] + math.sqrt(1 - memory**2) * noise[step]
    return np.array(mean_S)[:, None] + 0.1 * noise


def curves(random, mean_S, pairs, studies, memory=0.8):
    """Studies of pairs that stop at step 30, with normal differences at steps 10, 20 and 30."""
    return [
        [{"stopping": 30, "differences": [0.0, *pair]} for pair in normal(random, mean_S, pairs, memory).T]
        for _ in range(studies)
    ]


def steps_apart(random, middle, runs, studies, event, other):
    """Studies of runs whose log ratio of two steps is normal around a median, one of them known to 10 %."""
    found = []
    for _ in range(studies):
        ratios = middle * np.exp(random.normal(0, 0.15, runs))
        below = 1.1 ** np.floor(np.log(ratios) / np.log(1.1))
        found.append([{event: (round(1000 * low), round(1100 * low)), other: (1000, 1000)} for low in below])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("at", ["until_stopping", "end"])
@pytest.mark.parametrize("pairs", [3, 8])
def test_equivalence_is_rarely_supported_on_the_margin(make_pairs, at, pairs, record_property):
    """Of 200 studies whose last step lies on the margin at most 5 % (and 3 errors) are supported."""
    studies = curves(np.random.default_rng(pairs), (0.0, 0.0, 0.3), pairs, 200)
    supported, _ = shares(make_pairs, studies, "equivalent", margin=0.3, at=at)
    record_property("supported", supported)
    assert rejected(supported, 200)


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [3, 8])
@pytest.mark.parametrize(("mean", "margin"), [(0.1, 0.1), (0.0, 1e-6)])
def test_equivalence_is_rarely_refuted_where_it_holds(pairs, mean, margin, record_property):
    """Of 500 curves of 40 steps on the margin, or within next to none, at most 5 % (and 3 errors) lie outside."""
    random = np.random.default_rng(pairs)
    intervals = [worst_step(normal(random, [mean] * 40, pairs), margin, 0.95)[1] for _ in range(500)]
    refuted = np.mean([low > margin or high < -margin for low, high in intervals])
    record_property("refuted", float(refuted))
    assert rejected(refuted, 500)


@pytest.mark.slow
def test_equal_worlds_are_shown_to_be_as_often_as_planned(make_pairs, record_property):
    """At a margin of one standard deviation eleven pairs reach 80 % at one step, twenty reach more at every step."""
    random = np.random.default_rng(0)
    one = shares(make_pairs, curves(random, (0.0,) * 3, 11, 200), "equivalent", margin=0.1, at="end")
    every = shares(make_pairs, curves(random, (0.0,) * 3, 20, 100), "equivalent", margin=0.1)
    record_property("supported", (one[0], every[0]))
    assert one[0] == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / 200) + 0.03)
    assert every[0] > 0.9
    assert one[1] == every[1] == 0


@pytest.mark.slow
def test_worlds_that_differ_are_refuted(make_pairs, record_property):
    """Eight pairs, three standard deviations beyond the margin at one step: at least nine of ten."""
    studies = curves(np.random.default_rng(1), (0.0, 0.0, 0.4), 8, 200)
    _, refuted = shares(make_pairs, studies, "equivalent", margin=0.1)
    record_property("refuted", refuted)
    assert refuted > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [3, 8])
@pytest.mark.parametrize("distance", [0.5, 1.0, 1.001, 4.0])
def test_the_cut_interval_covers(pairs, distance, record_property):
    """Of 2,000 samples at least 95 % cover the mean (less 3 errors), 92.5 % where it is just outside the margin."""
    random, mean = np.random.default_rng(pairs), 0.3 * distance
    samples = normal(random, [mean] * 2000, pairs, memory=0.0)
    intervals = [worst_step(sample[None], 0.3, 0.95)[1] for sample in samples]
    coverage = np.mean([low <= mean <= high for low, high in intervals])
    record_property("coverage", float(coverage))
    least = 0.925 if distance == 1.001 else 0.95
    assert coverage >= least - 3 * math.sqrt(least * (1 - least) / 2000)


KINDS = [("no_delay", ("grokking", "memorization")), ("same_memorization", ("memorization", "ideal_memorization"))]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "events"), KINDS)
@pytest.mark.parametrize("runs", [5, 8, 20])
def test_equal_steps_are_rarely_claimed_on_the_margin(make_pairs, kind, events, runs, record_property):
    """Of 200 studies with a median ratio of two at most 5 % (and 3 errors) are supported, and as few refuted."""
    studies = steps_apart(np.random.default_rng(runs), 2.0, runs, 200, *events)
    found = shares(make_pairs, studies, kind, max_ratio=2.0)
    record_property("shares", found)
    assert all(rejected(share, 200) for share in found)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "events"), KINDS)
def test_equal_steps_are_found(make_pairs, kind, events, record_property):
    """Eight runs with a median ratio of 1 are supported, with one of 4 refuted, nine times of ten."""
    random = np.random.default_rng(0)
    equal, _ = shares(make_pairs, steps_apart(random, 1.0, 8, 100, *events), kind, max_ratio=2.0)
    _, late = shares(make_pairs, steps_apart(random, 4.0, 8, 100, *events), kind, max_ratio=2.0)
    record_property("shares", (equal, late))
    assert min(equal, late) > 0.9


@pytest.mark.slow
def test_relapse_is_rarely_ruled_out_on_the_margin(make_pairs, record_property):
    """Of 100 studies of 20 runs that relapse as often as claimed at most 5 % are supported; of those without, all."""
    random = np.random.default_rng(0)
    studies = [[FORGETS if fallen else KEEPS for fallen in random.random(20) < 0.2] for _ in range(100)]
    found = shares(make_pairs, studies, "relapse", max_rate=0.2)
    record_property("shares", found)
    assert all(rejected(share, 100) for share in found)
    assert shares(make_pairs, [[KEEPS] * 20] * 5, "relapse", max_rate=0.2) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize("pairs", [6, 10])
def test_a_difference_is_rarely_claimed_where_it_is_smaller(make_pairs, memory, pairs, record_property):
    """Of 200 studies with a mean of 0.1 at every step at most 5 % (and 3 errors) claim more, and as few refute it."""
    studies = curves(np.random.default_rng(pairs), (0.1,) * 3, pairs, 200, memory)
    found = shares(make_pairs, studies, "difference", min_difference=0.1)
    record_property("shares", found)
    assert all(rejected(share, 200) for share in found)


@pytest.mark.slow
def test_a_difference_is_found(make_pairs, record_property):
    """Eight pairs that differ by three standard deviations at one step, a third of them claimed: nine times of ten."""
    studies = curves(np.random.default_rng(0), (0.0, 0.3, 0.0), 8, 100)
    supported, _ = shares(make_pairs, studies, "difference", min_difference=0.1)
    record_property("supported", supported)
    assert supported > 0.9

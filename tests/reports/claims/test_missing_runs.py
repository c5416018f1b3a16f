"""Verdicts where runs diverged, failed, never stopped, are unfinished or lost their partner: bounded, or open."""

import math
from dataclasses import replace

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.claims.effect import Effect
from deepboot.reports.claims.explain.missing_runs import missing_runs
from deepboot.reports.claims.explain.sensitivity import sensitivity
from deepboot.reports.claims.judge import judge
from deepboot.reports.statistics.incomplete import interval_between, mean_bounds, mean_interval
from deepboot.reports.statistics.intervals import Bounds, clopper_pearson, t_interval

SPREAD = (-0.01, -0.006, -0.002, 0.002, 0.006, 0.01, -0.004, 0.004)
LATE = {
    "memorization": (90, 100),
    "grokking": (900, 1000),
    "ideal_grokking": (90, 100),
    "ideal_memorization": (90, 100),
}
NEVER = LATE | {"grokking": (4000, None)}
FAILED = LATE | {"grokking": (None, None), "memorization": (None, None), "status": "failed"}
UNFINISHED = LATE | {"grokking": (300, None), "status": "unfinished"}


def ending(count, error=0.05, **more):
    """Pairs whose bootstrap error is about this from step 10 on, that stop at step 20."""
    values = [error + shift for shift in (SPREAD * 3)[:count]]
    return [{"stopping": 20, "differences": [0, *[value] * 3]} | more for value in values]


def judged(results):
    """The one judgement of results with one claim."""
    (one,) = judge(results)
    return one


def without_partners(results, *seeds):
    """The same results, as if these seeds' ideal runs had not been written."""
    gone = results.runs["seed"].isin(seeds) & (results.runs["world"] == "ideal")
    return replace(results, runs=results.runs[~gone])


CLAIMS = [
    {"kind": "bootstrap_error", "max": 0.2, "at": "end"},
    {"kind": "equivalent", "margin": 0.2, "at": "end"},
    {"kind": "gap_share", "max_share": 0.9},
    {"kind": "final_error", "max": 0.5},
    {"kind": "difference", "min_difference": 0.01},
]


@pytest.mark.parametrize("claim", CLAIMS[:4], ids=lambda claim: claim["kind"])
@pytest.mark.parametrize("status", ["diverged", "failed", "unfinished"])
def test_survivors_do_not_support_a_claim(make_pairs, claim, status):
    """Three of eight runs ended; the verdict of eight that ended is another one."""
    pairs = ending(8)
    assert judged(make_pairs(pairs, claims=[claim])).verdict == "supported"
    one = judged(make_pairs(pairs[:3] + [pair | {"status": status} for pair in pairs[3:]], claims=[claim]))
    assert one.verdict == "inconclusive"
    assert (one.effect.n, one.effect.total, one.effect.sample_text.split(" ")[:3]) == (3, 8, ["3", "of", "8"])
    assert "5 of 8" in one.sentence


@pytest.mark.parametrize("claim", [CLAIMS[0], CLAIMS[1], CLAIMS[2]], ids=lambda claim: claim["kind"])
def test_pairs_without_their_partner_are_missing(make_pairs, claim):
    """Three of eight ideal runs are not there."""
    one = judged(without_partners(make_pairs(ending(8), claims=[claim]), 0, 1, 2))
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 5, 8)
    assert "3 of 8 without an ideal partner" in one.sentence


@pytest.mark.parametrize("kind", ["faster", "same_memorization"])
def test_a_ratio_without_its_partner_may_be_anything(make_pairs, kind):
    """One lost pair of six opens the interval; nine pairs can bear one."""
    claim = {"kind": kind, "min_ratio": 5.0} if kind == "faster" else {"kind": kind}
    few, many = (without_partners(make_pairs([LATE] * n, claims=[claim]), 0) for n in (6, 9))
    assert judged(few).verdict == "inconclusive"
    one = judged(many)
    assert (one.verdict, one.effect.n, one.effect.total) == ("supported", 8, 9)
    assert "8 of 9 pairs" in one.sentence
    assert "1 of 9 without an ideal partner" in one.sentence


def test_a_few_missing_pairs_bound_the_mean(make_pairs):
    """One of twenty may be anything from −1 to 1: its two ends make the estimate, and a wide claim is still decided."""
    pairs = ending(19) + ending(1, status="diverged")
    one = judged(make_pairs(pairs, claims=[CLAIMS[0]]))
    assert one.verdict == "supported"
    known = [pair["differences"][3] for pair in pairs[:19]]
    assert one.effect.estimate == pytest.approx(((sum(known) - 1) / 20, (sum(known) + 1) / 20))
    low, high = (t_interval([*known, end]) for end in (-1, 1))
    assert one.effect.interval == pytest.approx((low.low, high.high))
    assert judged(make_pairs(pairs, claims=[CLAIMS[0] | {"max": 0.1}])).verdict == "inconclusive"


def test_a_missing_loss_has_no_bound(make_pairs):
    """Nothing is judged with one that is missing; of real-valued labels that holds for errors too."""
    pairs = ending(19) + ending(1, status="failed")
    loss = CLAIMS[0] | {"metric": "test_loss"}
    one = judged(make_pairs(pairs, claims=[loss]))
    reason = "1 of 20 pairs without a value, which has no upper end (1 of 20 did not finish in both worlds)"
    assert (one.effect.interval, one.reason) == (None, reason)
    squared = judged(make_pairs(pairs, claims=[CLAIMS[0]], **{"loss.name": "mse"}))
    assert (squared.effect.interval, squared.reason) == (None, reason)
    equal = judged(make_pairs(pairs, claims=[CLAIMS[1] | {"metric": "test_loss"}]))
    assert (equal.effect.interval, equal.reason) == (None, reason)


def test_runs_that_never_stop_are_missing_at_their_stopping_step(make_pairs):
    """Seventeen of twenty; up to the earliest stopping step of the others they count with what they did."""
    pairs = ending(3) + [pair | {"stopping": None} for pair in ending(17, 0.4)]
    for kind, more in (("bootstrap_error", {"max": 0.2}), ("equivalent", {"margin": 0.2, "at": "stopping"})):
        one = judged(make_pairs(pairs, claims=[{"kind": kind, **more}]))
        assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 3, 20)
        assert one.effect.note == "17 of 20 never reached the stopping error"
    one = judged(make_pairs(pairs, claims=[{"kind": "equivalent", "margin": 0.2}]))
    assert (one.verdict, one.effect.n) == ("refuted", 20)


def test_what_is_zero_by_construction_is_not_judged(make_pairs):
    """Pairs there before any reuse have equal worlds, whatever the claim."""
    pairs = [{"stopping": 0, "differences": [0, 0.3, 0.31, 0.32]}] * 8
    for kind, more in (("bootstrap_error", {"max": 0.2}), ("gap_share", {"max_share": 0.2})):
        one = judged(make_pairs(pairs, claims=[{"kind": kind, "at": "stopping", **more}]))
        assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 0, 8)
        assert one.effect.note == "8 of 8 there before any reuse"
    fresh = make_pairs(ending(8), claims=[CLAIMS[0]], first_reuse_step=None)
    assert judged(fresh).reason == "0 pairs, and a t interval needs 3 (8 of 8 there before any reuse)"


@pytest.mark.parametrize(("pair", "unknown"), [(FAILED, True), (UNFINISHED, True), (NEVER, False)])
def test_a_rate_counts_runs_that_may_have_reached_it(make_pairs, pair, unknown):
    """A crash is no run that did not grok, nor one that did: its two ends bound the rate."""
    one = judged(make_pairs([LATE] * 8 + [pair] * 2, claims=[{"kind": "rate", "min_rate": 0.4}]))
    low, high = clopper_pearson(8, 10).low, clopper_pearson(10 if unknown else 8, 10).high
    assert one.effect.interval == (low, high)
    assert (one.effect.n, one.effect.total) == (8 if unknown else 10, 10)
    assert one.effect.estimate == (0.8, 1.0 if unknown else 0.8)
    most = judged(make_pairs([NEVER] * 8 + [pair] * 2, claims=[{"kind": "rate", "max_rate": 0.4}]))
    assert most.verdict == ("inconclusive" if unknown else "supported")


def test_lost_ideal_runs_count_in_claims_on_the_ideal_world(make_pairs):
    """Rows of three of eight partners are not there."""
    rate = {"kind": "rate", "world": "ideal", "min_rate": 0.5}
    assert judged(make_pairs([LATE] * 8, claims=[rate])).verdict == "supported"
    one = judged(without_partners(make_pairs([LATE] * 8, claims=[rate]), 0, 1, 2))
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 5, 8)
    error = {"kind": "final_error", "world": "ideal", "max": 0.5}
    one = judged(without_partners(make_pairs(ending(8), claims=[error]), 0, 1, 2))
    assert (one.verdict, one.effect.note) == ("inconclusive", "3 of 8 without a row")


def test_a_relapse_may_still_come(make_pairs):
    """To a run that grokked and is unfinished, and to one that failed before it grokked."""
    kept = {"grokking": (None, 0), "differences": [-0.3] * 4}
    claim = {"kind": "relapse", "max_rate": 0.5}
    assert judged(make_pairs([kept] * 8, claims=[claim])).verdict == "supported"
    for pair in (kept | {"status": "unfinished"}, kept | {"status": "diverged"}, FAILED):
        one = judged(make_pairs([kept] * 5 + [pair] * 3, claims=[claim]))
        assert one.verdict == "inconclusive"
        assert (one.effect.n, one.effect.total) == (5, 8)
        assert one.effect.interval == (0, clopper_pearson(3, 8).high)


def test_memorised_at_step_0_has_no_ratio(make_pairs):
    """Everything is infinitely later than 0: the run may have any ratio, and if all did nothing is judged."""
    start = LATE | {"memorization": (None, 0)}
    for claim in ({"kind": "grokking_delay", "min_ratio": 5.0}, {"kind": "no_delay", "max_ratio": 2.0}):
        one = judged(make_pairs([start] * 8, claims=[claim]))
        assert one.effect.interval is None
        assert one.reason == "all 8 runs memorised at step 0, where no ratio is defined"
        one = judged(make_pairs([LATE] * 4 + [start] * 4, claims=[claim]))
        assert one.verdict == "inconclusive"
        assert "4 of 8 memorised at step 0, where no ratio is defined" in one.sentence
    soon = judged(
        make_pairs([LATE | {"memorization": (0, 10)}] * 6, claims=[{"kind": "grokking_delay", "min_ratio": 5.0}])
    )
    assert (soon.verdict, soon.effect.interval) == ("supported", (90, math.inf))


def test_a_delay_that_no_run_ended_says_so(make_pairs):
    """Lower bounds can support it, and the sentence does not speak of a grokking step."""
    one = judged(make_pairs([NEVER] * 8, claims=[{"kind": "grokking_delay", "min_ratio": 5.0}]))
    assert one.verdict == "supported"
    assert "none of 8 grokked, so that it is known from below only" in one.sentence


@pytest.mark.parametrize("claim", [*CLAIMS[:2], CLAIMS[3]], ids=lambda claim: claim["kind"])
def test_values_without_a_spread_are_not_certain(make_pairs, claim):
    """Three equal values have no verdict, and p = 2 / 2^3 by the sign test; of eight it decides, with 2 / 2^8."""
    pair = {"stopping": 20, "differences": [0, 0.05, 0.05, 0.05]}
    one = judged(make_pairs([pair] * 3, claims=[claim]))
    assert (one.verdict, one.effect.interval) == ("inconclusive", None)
    assert one.reason.startswith("all 3 ")
    assert one.significance.p == pytest.approx(2 / 2**3 if claim["kind"] != "equivalent" else 1 / 2**3, rel=0.02)
    eight = judged(make_pairs([pair] * 8, claims=[claim]))
    assert eight.verdict == "supported"
    assert eight.significance.p == pytest.approx(2 / 2**8 if claim["kind"] != "equivalent" else 1 / 2**8, rel=0.02)


def test_a_share_without_a_spread_is_not_certain(make_pairs):
    """Equal gaps and equal errors at three pairs, and no bootstrap error at all."""
    for errors in ([0.05] * 3, [0.0] * 3):
        pairs = [{"differences": [0, *[error] * 3]} for error in errors]
        one = judged(make_pairs(pairs, claims=[CLAIMS[2]]))
        assert (one.verdict, one.effect.interval) == ("inconclusive", None)
        assert one.reason == "all 3 pairs have the same share, and a 95 % interval without a spread needs 6"


def test_steps_without_a_spread_do_not_stand_in_the_way_of_equality(make_pairs):
    """Right after the first reuse test errors are often the same; a later step decides."""
    pairs = [{"stopping": 20, "differences": [0, 0, value, value]} for value in (0.01, 0.02, 0.03)]
    assert judged(make_pairs(pairs, claims=[{"kind": "equivalent", "margin": 0.1}])).verdict == "supported"


def across(make_pairs, cells, claim):
    """The one judgement of a claim over cells that differ in their pool."""
    return judged(compare([make_pairs(pairs, cell=str(n), claims=[claim], train_size=n) for n, pairs in cells.items()]))


def levels(*errors, spread=0.01):
    """Cells of eight pairs whose final errors rise or fall by these, and whose real ones are 0.01 above the ideal."""
    return {100 * (place + 1): ending(8, error) for place, error in enumerate(errors)}


FALLS = {"over": "train_size", "direction": "falls", "event": "final_error"}


@pytest.mark.parametrize(
    ("errors", "claim", "expected"),
    [
        ((0.4, 0.3, 0.2, 0.1), FALLS, "supported"),
        ((0.4, 0.2, 0.34, 0.1), FALLS, "refuted"),  # a bump of 0.14 on the way down
        ((0.1, 0.2, 0.3, 0.4), FALLS, "refuted"),
        ((0.1, 0.2, 0.3, 0.4), FALLS | {"direction": "rises"}, "supported"),
        ((0.4, 0.3, 0.3, 0.1), FALLS, "inconclusive"),  # a step of none
        ((0.4, 0.3, 0.3, 0.1), FALLS | {"tolerance": 0.05}, "supported"),
        ((0.4, 0.2, 0.34, 0.1), FALLS | {"tolerance": 0.05}, "refuted"),
        ((0.3, 0.3, 0.3, 0.3), FALLS | {"tolerance": 0.05}, "inconclusive"),  # within it throughout, and never falling
        ((0.2, 0.22, 0.24, 0.26), FALLS | {"tolerance": 0.05}, "refuted"),  # within it, and the last above the first
    ],
)
def test_monotone_has_no_bump(make_pairs, errors, claim, expected):
    """Every neighbour decides, by its own difference."""
    cells = {100 * (at + 1): ending(8, error) for at, error in enumerate(errors)}
    for at, pairs in enumerate(cells.values()):
        for pair, shift in zip(pairs, np.roll(SPREAD, at), strict=True):
            pair["differences"][3] += shift
    assert across(make_pairs, cells, {"kind": "monotone"} | claim).verdict == expected


def test_a_trend_may_have_a_bump(make_pairs):
    """On the whole it falls."""
    cells = {100 * (at + 1): ending(8, error) for at, error in enumerate((0.4, 0.2, 0.34, 0.1))}
    one = across(make_pairs, cells, {"kind": "trend"} | FALLS)
    assert (one.verdict, one.effect.name) == ("supported", "rank trend (tau) of the final test error along train_size")


def test_monotone_steps(make_pairs):
    """By ratios of paired steps, which take the seeds of a sign test; a run that failed may have had any step."""
    cells = {n: [LATE | {"grokking": (step - 1, step)}] * 8 for n, step in ((100, 4000), (200, 2000), (400, 1000))}
    claim = {"kind": "monotone", "over": "train_size", "direction": "falls"}
    one = across(make_pairs, cells, claim)
    assert (one.verdict, one.effect.n) == ("supported", 24)
    assert one.effect.name == "largest rise (as a ratio) of the grokking step between neighbours along train_size"
    assert across(make_pairs, cells | {200: [LATE | {"grokking": (5999, 6000)}] * 8}, claim).verdict == "refuted"
    broken = across(make_pairs, cells | {200: cells[200][:5] + [FAILED] * 3}, claim)
    assert (broken.verdict, broken.effect.n, broken.effect.note) == ("inconclusive", 21, "3 of 24 failed")
    few = across(make_pairs, {n: pairs[:5] for n, pairs in cells.items()}, claim)
    assert few.reason == "5 pairs, and a 95 % interval of a ratio needs 6"


@pytest.mark.parametrize("kind", ["trend", "monotone"])
def test_missing_runs_leave_an_order_open(make_pairs, kind):
    """Three of eight in one cell; where they would rank is not known."""
    cells = {100: ending(8, 0.4), 200: ending(5, 0.2) + ending(3, 0.2, status="failed")}
    one = across(make_pairs, cells, {"kind": kind} | FALLS)
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 13, 16)


def test_two_cells_of_three_seeds_have_no_trend(make_pairs):
    """Of twenty ways to deal six values two are as far apart: p is 0.1 at best."""
    cells = {100: ending(3, 0.4), 200: ending(3, 0.2)}
    one = across(make_pairs, cells, {"kind": "trend"} | FALLS)
    assert one.verdict == "inconclusive"
    cells = {100: ending(5, 0.4), 200: ending(5, 0.2)}  # two of 252
    assert across(make_pairs, cells, {"kind": "trend"} | FALLS).verdict == "supported"


def configurations(missing=0, spread=0.02):
    """Cells whose errors are in one order in both worlds; of the first ones one pair of three did not finish."""
    return {
        100 + at: [
            {"stopping": 20, "differences": [0, 0, 0, spread * at + shift]}
            | ({"status": "diverged"} if shift and shift > 0.001 and at < missing else {})
            for shift in (-0.001, 0.0, 0.002)
        ]
        for at in range(8)
    }


def test_prediction_is_bounded_by_pairs_without_a_value(make_pairs):
    """Each may be wrong by 1: a cell of three by a third."""
    claim = {"kind": "predicts", "max_error": 0.2}
    assert across(make_pairs, configurations(0, 0.005), claim).verdict == "supported"
    one = across(make_pairs, configurations(3, 0.005), claim)
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 5, 8)
    assert one.effect.note == "3 of 24 pairs without both values"


def test_ranks_are_bounded_by_pairs_without_a_value(make_pairs):
    """Cells whose order is open count for and against."""
    claim = {"kind": "rank_agreement", "min_tau": 0.5}
    cells = {n: [dict(pair) for pair in pairs] for n, pairs in configurations(0).items()}
    comparison = compare([make_pairs(p, cell=str(n), claims=[claim], train_size=n) for n, p in cells.items()])
    rows = comparison.evaluations.copy()
    place = rows["run_id"].str.split("-").str[1].astype(int) - 100
    rows[["test_error", "test_soft_error"]] += 0.03 * place.to_numpy(dtype=float)[:, None]
    assert judged(replace(comparison, evaluations=rows)).verdict == "supported"
    runs = comparison.runs.copy()
    runs.loc[(runs["seed"] == 0) & (runs["world"] == "real"), "status"] = "diverged"
    one = judged(replace(comparison, runs=runs, evaluations=rows))
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 0, 8)
    assert one.effect.note == "8 of 24 pairs without a value there"
    assert one.effect.estimate.low < one.effect.estimate.high


def test_a_threshold_is_bounded_by_runs_that_failed(make_pairs):
    """A seed whose run failed may have begun to grok there or not."""
    cells = {100: [NEVER] * 8, 200: [NEVER] * 8, 400: [LATE] * 8}
    claim = {"kind": "threshold", "max": 400}
    assert across(make_pairs, cells, claim).effect.interval == (200, 400)
    one = across(make_pairs, cells | {200: [FAILED] * 8}, claim)
    assert one.effect.interval == (100, 400)
    assert one.effect.note == "8 of 24 runs grokked; 8 of 24 not known"
    one = across(make_pairs, cells | {400: [FAILED] * 8}, claim)
    assert one.verdict == "inconclusive"


def test_a_profile_is_bounded_by_runs_that_failed(make_pairs):
    """They may end in any class."""
    soon = {"differences": [0, 0, -0.3, -0.3]}
    claim = {"kind": "outcome_profile", "classifier": "liu", "outcome": "comprehension", "min_rate": 0.5}
    assert across(make_pairs, {100: [soon] * 8, 200: [soon] * 8}, claim).verdict == "supported"
    failed = {100: [soon] * 5 + [soon | {"status": "failed"}] * 3, 200: [soon] * 5 + [soon | {"status": "failed"}] * 3}
    one = across(make_pairs, failed, claim)
    assert (one.verdict, one.effect.n, one.effect.total) == ("inconclusive", 10, 16)
    assert one.effect.estimate == (0.625, 1.0)
    made = [make_pairs([soon] * 8, cell=str(n), claims=[claim | {"world": "ideal"}], train_size=n) for n in (100, 200)]
    for results in made:
        ideal = results.evaluations["run_id"].str.startswith("ideal")
        results.evaluations["online_error"] = results.evaluations["test_error"].where(ideal)
    one = judged(compare([without_partners(made[0], 3), made[1]]))
    assert one.reason == "1 of 16 runs without a row, whose seed is not known"


def test_what_would_change_it_and_who_is_missing(make_pairs):
    """The evidence names the unfinished runs, and completing them comes before more seeds."""
    pairs = ending(5) + ending(3, status="unfinished")
    one = judged(make_pairs(pairs, claims=[CLAIMS[0]]))
    assert missing_runs(one) == ["Real world: seeds 5, 6 and 7 unfinished at step 4,000."]
    assert sensitivity(one)[0] == (
        "The missing runs: only 5 of 8 pairs are known, and the values of the others may settle it."
    )
    late = judged(make_pairs([LATE] * 6 + [UNFINISHED] * 2, claims=[{"kind": "grokking_delay", "min_ratio": 5.0}]))
    assert missing_runs(late) == ["Real world: seeds 6 and 7 unfinished at step 4,000, before grokking."]
    assert late.effect.note == "2 of 8 unfinished"


def test_numbers_of_n():
    """So many of all, also where it is all."""
    whole = Effect("mean", Bounds(0, 1), 8, "pairs")
    part = replace(whole, n=5, total=8)
    assert (whole.count_text, whole.sample_text, whole.missing) == ("8 of 8", "8 of 8 pairs", 0)
    assert (part.count_text, part.sample_text, part.missing) == ("5 of 8", "5 of 8 pairs", 3)
    assert replace(whole, n=1, total=1).sample_text == "1 of 1 pair"


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("missing", [1, 2, 4])
def test_the_interval_holds_that_of_every_completion(missing, confidence):
    """Whatever the missing values are within their limits, between their ends too."""
    random = np.random.default_rng(missing)
    for _ in range(200):
        known = random.beta(0.5, 0.5, random.integers(3, 9))
        found = mean_interval([*known, *[math.nan] * missing], confidence, Bounds(0, 1))
        for _ in range(20):
            whole = np.append(known, random.choice([0.0, 1.0, random.random()], missing))
            inner = t_interval(whole, confidence)
            assert found.low <= inner.low + 1e-12
            assert inner.high <= found.high + 1e-12
    assert mean_bounds([*known, *[math.nan] * missing], Bounds(0, 1)).low == pytest.approx(
        known.sum() / (known.size + missing)
    )


def test_values_between_ends_of_their_own():
    """As with common ends; open where too many are."""
    low, high = np.array([0.2, 0.3, 0.1, 0.0]), np.array([0.2, 0.3, 0.1, 1.0])
    assert interval_between(low, high) == pytest.approx(mean_interval([0.2, 0.3, 0.1, math.nan], 0.95, Bounds(0, 1)))
    assert interval_between(np.zeros(13), np.ones(13)) == (-math.inf, math.inf)
    assert interval_between([0.0, 0.0], [1.0, 1.0]) is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.4])
@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_interval_covers_whichever_values_are_missing(n, share, record_property):
    """Of 2,000 samples, missing at random or the largest ones, 95 % cover the mean of all, less 3 errors."""
    random, missing = np.random.default_rng(n), max(round(share * n), 1)
    for chosen in ("largest", "smallest", "any"):
        covered = 0
        for _ in range(2_000):
            values = random.normal(0.4, 0.1, n).clip(0, 1)
            order = {"largest": np.argsort(-values), "smallest": np.argsort(values), "any": random.permutation(n)}[
                chosen
            ]
            values[order[:missing]] = math.nan
            found = mean_interval(values, 0.95, Bounds(0, 1))
            covered += found is not None and found.low <= 0.4 <= found.high
        record_property(chosen, covered / 2_000)
        known = n - missing >= 3
        assert covered / 2_000 >= (0.95 - 3 * math.sqrt(0.95 * 0.05 / 2_000) if known else 0)

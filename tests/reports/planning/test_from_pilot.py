import math

import numpy as np
import pytest
from scipy import stats

from deepboot.reports import compare
from deepboot.reports.claims.judge import Effect, Evidence, claim_kind, judge
from deepboot.reports.planning.from_pilot import forecasts
from deepboot.reports.planning.resample import Pilot, drawn_seeds
from deepboot.reports.statistics.intervals import Bounds, clopper_pearson, t_interval
from deepboot.reports.statistics.power import largest_spread, seeds_for_mean

LATE = {"memorization": (90, 100), "grokking": (900, 1000), "ideal_grokking": (90, 100)}
NEVER = LATE | {"grokking": (4000, None)}
DELAY = {"kind": "grokking_delay", "min_ratio": 5.0}
SPREAD = np.array([-1.5, -0.9, -0.4, -0.1, 0.1, 0.4, 0.9, 1.5])


def pairs_of(differences):
    """Pairs with these bootstrap errors at their end."""
    return [{"differences": [0, one, one, one]} for one in differences]


def forecast(make_pairs, pairs, claim):
    """What a pilot of one cell says about one claim."""
    (one,) = forecasts(make_pairs(pairs, claims=[claim]))
    return one


def grokked(hits, n):
    """So many of n runs that grokked."""
    return [LATE] * hits + [NEVER] * (n - hits)


@pytest.mark.parametrize("mean", [0.14, 0.06])
def test_a_mean_needs_what_its_formula_says(make_pairs, mean):
    """Of a paired t interval the seeds follow from the pilot's mean and spread."""
    differences = mean + 0.1 * SPREAD
    one = forecast(make_pairs, pairs_of(differences), {"kind": "bootstrap_error", "at": "end", "min": 0.1})
    sd = differences.std(ddof=1)
    near, far = (Bounds((0.1 - mean) / spread, math.inf) for spread in (sd, sd * largest_spread(8)))
    assert (one.needed, one.cautious, one.resamples) == (seeds_for_mean(near), seeds_for_mean(far), 0)
    assert one.verdict == ("supported" if mean > 0.1 else "refuted")
    assert one.sentence == (
        f"inconclusive with 8 seeds; {one.needed} would settle it as {one.verdict} (80 % power; {one.cautious} if the "
        "spread is as large as 8 seeds allow)"
    )


def test_two_one_sided_tests_need_fewer_seeds_than_an_interval(make_pairs):
    """Equivalence declares them; a mean within bounds is shown by its interval."""
    pairs, sd = pairs_of(0.1 * SPREAD), 0.1 * SPREAD.std(ddof=1)
    equal = forecast(make_pairs, pairs, {"kind": "equivalent", "at": "end", "margin": 0.05})
    inside = forecast(make_pairs, pairs, {"kind": "bootstrap_error", "at": "end", "min": -0.05, "max": 0.05})
    region = Bounds(-0.05 / sd, 0.05 / sd)
    assert equal.needed == seeds_for_mean(region, one_sided=True)
    assert inside.needed == seeds_for_mean(region)
    assert equal.needed < inside.needed


def test_pairs_that_are_left_out_are_needed_again(make_pairs):
    """Where half of the pairs stop before any reuse, twice the seeds are needed."""
    pairs = [pair | {"stopping": 20} for pair in pairs_of(0.14 + 0.1 * SPREAD)]
    claim = {"kind": "bootstrap_error", "min": 0.1}
    all_there = forecast(make_pairs, pairs, claim)
    half = forecast(make_pairs, pairs + [{"stopping": 0}] * 8, claim)
    assert (half.seeds, half.needed) == (16, 2 * all_there.needed)


def test_missing_runs_come_first(make_pairs):
    """Seeds do not help where half of the pairs may be anything."""
    pairs, claim = pairs_of(0.14 + 0.1 * SPREAD), {"kind": "bootstrap_error", "at": "end", "min": 0.1}
    half = forecast(make_pairs, pairs + [{"status": "diverged"}] * 8, claim)
    assert (half.needed, half.sentence) == (
        None,
        "inconclusive with 16 seeds: complete the missing runs first: with 8 of 16 pairs (8 of 16 did not finish in "
        "both worlds) the estimate lies on both sides of the claim",
    )


def test_a_mean_on_its_bound_is_never_settled(make_pairs):
    """It is said how far was looked."""
    one = forecast(make_pairs, pairs_of(0.1 + 0.1 * SPREAD), {"kind": "bootstrap_error", "at": "end", "min": 0.1})
    assert one.sentence == (
        "inconclusive with 8 seeds, and not within 10,000 either: the mean lies too close to the bound"
    )


@pytest.mark.parametrize(("hits", "bound"), [(6, 0.5), (8, 0.5), (2, 0.4)])
def test_a_rate_needs_about_what_its_binomial_says(make_pairs, hits, bound):
    """The size found has 80 % power, and it is at most twice the fewest that has."""
    one = forecast(make_pairs, grokked(hits, 10), {"kind": "rate", "min_rate": bound})

    def power(n):
        ends = [clopper_pearson(count, n) for count in range(n + 1)]
        decisive = [count for count, (low, high) in enumerate(ends) if (low >= bound if hits > 5 else high < bound)]
        return stats.binom.pmf(decisive, n, hits / 10).sum()

    fewest = next(n for n in range(6, 500) if power(n) >= 0.8)
    if fewest > 120:
        assert one.sentence == "inconclusive with 10 seeds, and not within 100 either"
        return
    assert one.verdict == ("supported" if hits > 5 else "refuted")
    assert 0.9 * fewest <= one.needed <= 2 * fewest + 10
    assert 0.8 * one.resamples <= one.hits <= one.resamples <= 100
    assert f"(in {one.hits} of {one.resamples} resamples of the pilot's seeds)" in one.sentence


def test_a_decided_claim_needs_no_more(make_pairs):
    """Its verdict is told as it is."""
    one = forecast(make_pairs, [LATE] * 6, DELAY)
    assert (one.needed, one.verdict) == (6, "supported")
    assert one.sentence == "supported with 6 seeds: no more are needed"


def test_a_median_needs_its_fewest_seeds(make_pairs):
    """Three runs that agree are too few for an interval, and six are enough."""
    one = forecast(make_pairs, [LATE] * 3, DELAY)
    assert one.sentence == (
        "inconclusive with 3 seeds; 6 would settle it as supported (in 24 of 24 resamples of the pilot's seeds)"
    )


@pytest.mark.parametrize(
    ("pair", "help_first"),
    [
        (
            LATE | {"memorization": (1900, 2000), "grokking": (4000, None)},
            "a longer budget first: what was not reached (none of 6 grokked, so that it is known from below "
            "only) lies on both sides of the claim",
        ),
        (
            LATE | {"grokking": (300, None), "status": "diverged"},
            "mend the runs that diverged or failed first: what was not reached (6 of 6 diverged before) lies on both "
            "sides of the claim",
        ),
        (
            LATE | {"grokking": (400, 600)},
            "measure more finely first, by more evaluations or more cells: the estimate, between 4.0 and 6.7, lies on "
            "both sides of the claim",
        ),
    ],
)
def test_where_seeds_do_not_help_it_is_said_what_does(make_pairs, pair, help_first):
    """Censored beyond nothing, diverged, and evaluated too rarely."""
    one = forecast(make_pairs, [pair] * 6, DELAY)
    assert (one.needed, one.sentence) == (None, f"inconclusive with 6 seeds: {help_first}")


def test_two_seeds_are_no_pilot(make_pairs):
    """They know no spread."""
    said = "inconclusive with 2 seeds: a spread needs a pilot of 3 or more, and a verdict needs 6"
    assert forecast(make_pairs, [LATE] * 2, DELAY).sentence == said


def test_cells_that_are_not_there(make_pairs):
    """The reason of the verdict is the reason of the forecast."""
    one = forecast(make_pairs, [LATE] * 6, DELAY | {"where": {"train_size": 5}})
    assert one.sentence == "inconclusive with 6 seeds: no cell has train_size = 5"


def test_claims_that_share_their_error_need_more(make_pairs):
    """The confidence of a primary claim is that of its verdict."""
    claim = {"kind": "bootstrap_error", "at": "end", "min": 0.1, "primary": True}
    pairs = pairs_of(0.14 + 0.1 * SPREAD)
    alone = forecast(make_pairs, pairs, claim)
    both = forecasts(make_pairs(pairs, claims=[claim, claim | {"min": 0.11}]))
    assert both[0].needed > alone.needed


def test_a_users_own_kind_is_asked_again(make_pairs):
    """It sees whole pairs under names of their own, as many as the size drawn."""
    sizes = []

    @claim_kind("own_pilot_kind")
    def own_pilot_kind(evidence: Evidence, *, least: int) -> Effect:
        """At least so many pairs."""
        pairs = evidence.pairs
        assert pairs["run_id"].is_unique
        assert pairs["seed"].is_unique
        assert pairs["ideal_status"].notna().all()
        assert (pairs["last_common_step"] == 30).all()
        sizes.append(len(pairs))
        n = len(pairs)
        return Effect("number of pairs", Bounds(0, math.inf), n, "pairs", Bounds(n, n), Bounds(n - least, 2 * n))

    one = forecast(make_pairs, [LATE] * 4, {"kind": "own_pilot_kind", "least": 15})
    assert (one.needed, one.verdict) == (20, "supported")
    assert sizes.count(20) == 24  # enough where they all agree
    assert sorted(set(sizes)) == [4, 6, 8, 12, 20]
    assert sizes.count(12) == 4


def test_a_users_own_kind_may_declare_its_spread(make_pairs):
    """Then its seeds are calculated, as those of the shipped kind with the same interval."""
    pairs, claim = pairs_of(0.14 + 0.1 * SPREAD), {"kind": "bootstrap_error", "at": "end", "min": 0.1}

    @claim_kind("own_mean_kind")
    def own_mean_kind(evidence: Evidence, *, least: float) -> Effect:
        """The mean bootstrap error is at least this."""
        values = evidence.pairs_at("end")["bootstrap_error"].astype(float)
        mean, region = Bounds(values.mean(), values.mean()), Bounds(least, math.inf)
        interval = t_interval(values, evidence.confidence)
        return Effect("mean", region, len(values), "pairs", mean, interval, spread=values.std(ddof=1))

    shipped = forecast(make_pairs, pairs, claim)
    own = forecast(make_pairs, pairs, {"kind": "own_mean_kind", "least": 0.1})
    assert (own.needed, own.cautious, own.resamples) == (shipped.needed, shipped.cautious, 0)


@pytest.mark.parametrize(
    ("claim", "one_sided"),
    [
        ({"kind": "bootstrap_error", "at": "end", "min": 0.1}, False),
        ({"kind": "final_error", "max": 0.4}, False),
        ({"kind": "equivalent", "at": "end", "margin": 0.02}, True),
        ({"kind": "equivalent", "at": "stopping", "margin": 0.02}, True),
    ],
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_a_declared_spread_is_that_of_the_interval(make_pairs, claim, one_sided, confidence):
    """Student's t interval of n values with this standard deviation is the kind's own, at any confidence."""
    pairs = [pair | {"stopping": 20} for pair in pairs_of(0.1 * SPREAD)]
    (judgement,) = judge(make_pairs(pairs, claims=[claim]))
    effect = judgement.at(confidence)
    half = stats.t.ppf((1 + confidence) / 2, effect.n - 1) * effect.spread / math.sqrt(effect.n)
    assert effect.interval == pytest.approx((effect.estimate.low - half, effect.estimate.low + half))
    assert effect.one_sided == one_sided


@pytest.mark.parametrize(
    "pairs",
    [
        [*pairs_of(0.1 * SPREAD), {"status": "diverged"}],  # one may be anything
        pairs_of([0.1] * 8),  # no spread
        pairs_of([0.1, 0.2]),
    ],
)
def test_another_interval_declares_no_spread(make_pairs, pairs):
    """Missing values, equal ones and too few have no t interval of their own."""
    (judgement,) = judge(make_pairs(pairs, claims=[{"kind": "bootstrap_error", "at": "end", "min": 0.15}]))
    assert judgement.effect.spread is None


def test_claims_over_cells_are_asked_again(make_results):
    """Both cells are drawn with the same seeds, and the forecasts come in the order of the claims."""
    groups = {"of": {"train_size": 750}, "to": {"train_size": 1250}}
    claims = [{"kind": "ratio", "min_ratio": 2.5, **groups}, {"kind": "rate", "min_rate": 0.4}]
    found = forecasts(make_results(4, (750, 1250), evaluations=40, claims=claims))
    assert [one.judgement.number for one in found] == [1, 2, 2]
    assert [one.seeds for one in found] == [4, 4, 4]
    assert found[0].judgement.cell == "over 2 cells"
    assert (found[0].needed, found[0].verdict) == (6, "refuted")
    assert found == forecasts(make_results(4, (750, 1250), evaluations=40, claims=claims))


def test_cells_in_which_a_claim_is_judged_have_their_own_forecasts(make_results):
    """Each cell is drawn by itself, with the ideal runs that it shares with others."""
    claim = {"kind": "faster", "min_ratio": 1.5}
    found = forecasts(make_results(4, (750, 1250), evaluations=40, claims=[claim]))
    assert [one.judgement.cell for one in found] == ["train_size 750", "train_size 1,250"]
    assert [(one.needed, one.verdict) for one in found] == [(6, "supported")] * 2


def test_a_drawn_comparison_holds_whole_seeds(make_results):
    """Repeated seeds are other seeds with the same curves; ideal runs that cells share are drawn once each."""
    pilot = Pilot.of(compare(make_results(3, (750, 1250), evaluations=20)))
    drawn = pilot.resample(np.array([2, 0, 2, 1, 2]))
    assert drawn.runs["run_id"].is_unique
    assert drawn.runs.groupby("seed").size().to_dict() == dict.fromkeys(range(5), 3)
    assert drawn.runs["ideal_run_id"].dropna().isin(drawn.runs["run_id"]).all()
    errors = drawn.bootstrap_error().pivot(index=["cell", "step"], columns="seed", values="bootstrap_error")
    held = pilot.comparison.bootstrap_error().pivot(index=["cell", "step"], columns="seed", values="bootstrap_error")
    assert np.array_equal(errors.to_numpy(), held[[2, 0, 2, 1, 2]].to_numpy())


def test_draws_are_fair_and_repeat():
    """Every seed is drawn as often as any other, and the same ones at every call."""
    drawn = np.concatenate([drawn_seeds(5, 40, number) for number in range(250)])
    assert np.bincount(drawn) == pytest.approx(2_000, abs=4 * math.sqrt(2_000))
    assert np.array_equal(drawn_seeds(5, 40, 7), drawn_seeds(5, 40, 7))
    assert not np.array_equal(drawn_seeds(5, 40, 7), drawn_seeds(5, 40, 8))

import math
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.power import (
    effect_for_difference,
    largest_spread,
    largest_unseen,
    margin_for_equivalence,
    seeds_for_mean,
    share_for_count,
)


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize(("n", "margin"), [(3, 2.7), (5, 1.6), (8, 1.15), (10, 1.0)])
def test_margins_that_few_seeds_can_show(n, margin):
    """Equal worlds are shown to be equivalent in 80 % of studies at the published margins, by formula and by trial."""
    exact = margin_for_equivalence(n)
    assert exact == pytest.approx(margin, abs=0.05)
    samples = np.random.default_rng(n).normal(size=(100_000, n))
    half = stats.t.ppf(0.95, n - 1) * samples.std(axis=1, ddof=1) / math.sqrt(n)
    assert np.mean(np.abs(samples.mean(axis=1)) + half < exact) == pytest.approx(0.8, abs=0.005)


def within(margin):
    """The region around 0."""
    return Bounds(-margin, margin)


def test_seeds_and_margin_are_inverse():
    """The fewest seeds for a margin can show it, and one fewer cannot."""
    for n in (3, 7, 30, 1_000):
        assert seeds_for_mean(within(margin_for_equivalence(n) * 1.0001), one_sided=True) == n
    assert seeds_for_mean(within(margin_for_equivalence(7) * 0.9999), one_sided=True) == 8
    assert seeds_for_mean(within(0.01), one_sided=True, most=100) is None


@pytest.mark.parametrize(("effect", "power"), [(2.0, 0.8), (-1.0, 0.9), (0.3, 0.8)])
def test_seeds_for_a_difference_agree_with_statsmodels(effect, power):
    """The fewest seeds are statsmodels' solution, rounded up, whichever side of 0 the region lies on."""
    expected = TTestPower().solve_power(abs(effect), power=power, alpha=0.05)
    region = Bounds(effect, math.inf) if effect > 0 else Bounds(-math.inf, effect)
    assert seeds_for_mean(region, power) == math.ceil(expected)
    assert seeds_for_mean(Bounds(0.01, math.inf), most=50) is None


@pytest.mark.parametrize("n", [3, 5, 8, 10, 200])
def test_the_effect_that_seeds_can_show_agrees_with_statsmodels(n):
    """Margin and number of seeds are two sides of one power."""
    expected = TTestPower().solve_power(nobs=n, power=0.8, alpha=0.05)
    assert effect_for_difference(n) == pytest.approx(expected, rel=1e-4)


def test_a_mean_in_a_region_is_equivalence_or_a_difference():
    """Around the mean, above it, below it, and beside it; the ends of a two-sided interval ask for more."""
    assert (seeds_for_mean(within(1), one_sided=True), seeds_for_mean(within(1))) == (11, 13)
    assert seeds_for_mean(within(1)) == seeds_for_mean(within(1), confidence=0.975, one_sided=True)
    for bounds in (Bounds(-1, math.inf), Bounds(-math.inf, 1), Bounds(1, math.inf), Bounds(1, 9), Bounds(-9, -1)):
        assert seeds_for_mean(bounds) == 10, bounds
    assert seeds_for_mean(Bounds(0, math.inf)) is None


@pytest.mark.parametrize("region", [Bounds(-0.5, 2.0), Bounds(-1.0, math.inf), Bounds(0.7, 3.0)])
def test_power_at_the_number_of_seeds_by_trial(region):
    """At the fewest seeds 80 % of studies have the verdict, and at one fewer they do not."""
    fewest = seeds_for_mean(region)
    for n, enough in ((fewest, True), (fewest - 1, False)):
        samples = np.random.default_rng(n).normal(size=(100_000, n))
        half = stats.t.ppf(0.975, n - 1) * samples.std(axis=1, ddof=1) / math.sqrt(n)
        low, high = samples.mean(axis=1) - half, samples.mean(axis=1) + half
        beside = (high < region.low) | (low > region.high)
        power = np.mean(beside if region.low > 0 else (region.low <= low) & (high <= region.high))
        assert power > 0.796 if enough else power < 0.804


@pytest.mark.parametrize(("hits", "n"), [(8, 8), (7, 9), (1, 5)])
def test_the_share_behind_a_count(hits, n):
    """Its binomial probability of so many hits or more is the power asked for."""
    assert stats.binom.sf(hits - 1, n, share_for_count(hits, n)) == pytest.approx(0.8)
    assert share_for_count(0, n) == 0


def test_what_a_pilot_may_hide():
    """Spreads are below the bound, and outcomes of that share unseen, in the part of studies that is told."""
    samples = np.random.default_rng(0).normal(size=(100_000, 5))
    assert np.mean(samples.std(axis=1, ddof=1) * largest_spread(5) >= 1) == pytest.approx(0.8, abs=0.005)
    assert (1 - largest_unseen(5)) ** 5 == pytest.approx(0.2)


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("`power` must be in (0, 1), got 80. For 80 % write 0.8."):
        seeds_for_mean(Bounds(-1, 1), 80)
    for call in (margin_for_equivalence, effect_for_difference):
        with raises("`n` must be at least 3, got 2. A t interval needs 3 pairs."):
            call(2)
    with raises("`confidence` must be in (0.5, 1), got 95. For tests at 5 % write 0.95."):
        seeds_for_mean(Bounds(-1, 1), confidence=95)

import math
import re

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from deepboot.reports.statistics.equivalence import (
    different_somewhere,
    equivalent_everywhere,
    max_t_band,
    two_one_sided,
)
from deepboot.reports.statistics.paired import sign_flip_test


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def curves(random, steps, seeds, memory=0.9):
    """Standard normal differences, (steps, seeds), that follow their own last value."""
    noise = random.normal(size=(steps, seeds))
    for step in range(1, steps):
        noise[step] = memory * noise[step - 1] + math.sqrt(1 - memory**2) * noise[step]
    return noise


@pytest.mark.parametrize("n", [3, 8, 20])
def test_two_one_sided_agrees_with_statsmodels(n):
    """The p value is statsmodels' and the interval is SciPy's at twice the level."""
    differences = np.random.default_rng(n).normal(0.1, 1.0, n)
    found = two_one_sided(differences, 0.8)
    assert found.p == pytest.approx(DescrStatsW(differences).ttost_mean(-0.8, 0.8)[0])
    assert found.interval == pytest.approx(tuple(stats.ttest_1samp(differences, 0).confidence_interval(0.9)))


@pytest.mark.parametrize("margin", [0.2, 0.5, 1.0, 2.0])
def test_equivalent_where_the_interval_lies_inside(margin):
    """The verdict by p value is the verdict by interval."""
    found = two_one_sided([0.3, -0.2, 0.1, 0.4, 0.6], margin)
    assert found.equivalent == (-margin < found.interval.low and found.interval.high < margin)


def test_differences_that_do_not_vary():
    """Equal differences are equivalent inside the margin, and neither on it nor beyond; two pairs say nothing."""
    assert two_one_sided([0, 0, 0], 0.1).p == 0
    assert two_one_sided([0.5, 0.5, 0.5], 0.5).p == 1
    assert two_one_sided([-2, -2, -2], 0.5).p == 1
    assert two_one_sided([0, 0], 0.1) is None


def test_every_step_is_tested_by_itself():
    """Each row of the table is the test of that step, and the worst step decides."""
    differences = curves(np.random.default_rng(0), 4, 8)
    differences[0] = 0
    found = equivalent_everywhere(differences, 3.0, steps=[0, 1, 10, 100])
    single = [two_one_sided(row, 3.0) for row in differences]
    assert list(found.table.columns) == ["step", "n", "mean", "low", "high", "p"]
    assert found.table["step"].tolist() == [0, 1, 10, 100]
    assert found.table["p"].tolist() == [test.p for test in single]
    assert found.table["low"].tolist() == [test.interval.low for test in single]
    assert found.worst_p == max(test.p for test in single)
    assert found.equivalent
    assert not equivalent_everywhere(differences, 0.5).equivalent


def test_a_step_without_three_pairs_is_never_equivalent():
    """Missing pairs are counted at their step; with fewer than three there the whole is not shown."""
    differences = np.zeros((3, 4))
    differences[1, 0] = differences[2, :2] = math.nan
    found = equivalent_everywhere(differences, 0.1)
    assert found.table["n"].tolist() == [4, 3, 2]
    assert found.table["p"].isna().tolist() == [False, False, True]
    assert math.isnan(found.worst_p)
    assert not found.equivalent
    differences[2] = math.nan
    assert equivalent_everywhere(differences, 0.1).table["mean"].isna().tolist() == [False, False, True]


def test_one_step_somewhere_is_the_sign_flip_test():
    """For one step the largest |t| orders sign patterns as the sum does."""
    differences = np.random.default_rng(5).normal(0.5, 1, 9)
    assert different_somewhere(differences[None]) == sign_flip_test(differences)


def test_steps_that_do_not_vary_change_nothing():
    """Steps before the first reuse add rows of no width to the band, and nothing to its width or p value."""
    differences = curves(np.random.default_rng(1), 5, 8)
    band = max_t_band(differences)
    longer = max_t_band(np.vstack([np.zeros((3, 8)), differences, np.full((1, 8), 0.1)]), steps=range(9))
    assert longer.critical == band.critical
    assert longer.table.loc[[0, 1, 2, 8], "low"].tolist() == longer.table.loc[[0, 1, 2, 8], "high"].tolist()
    assert longer.table["low"][3:8].tolist() == band.table["low"].tolist()
    nothing = max_t_band(np.zeros((2, 8)))
    assert (nothing.critical, nothing.p) == (0, 1)
    assert different_somewhere(np.vstack([np.zeros(8), differences])) == band.p


def test_band_moves_with_the_curve():
    """Adding a curve to all differences adds it to the band; scaling a step scales its band."""
    differences = curves(np.random.default_rng(2), 6, 9)
    band, curve = max_t_band(differences), np.linspace(-3, 3, 6)
    moved, scaled = max_t_band(differences + curve[:, None]), max_t_band(differences * np.arange(1, 7)[:, None])
    assert moved.table["low"].to_numpy() == pytest.approx(band.table["low"].to_numpy() + curve)
    assert scaled.table["high"].to_numpy() == pytest.approx(band.table["high"].to_numpy() * np.arange(1, 7))


def test_band_needs_six_seeds():
    """At 95 % five seeds have no band, and the p value of a difference everywhere is 2 of 32."""
    differences = 1 + np.random.default_rng(3).random((4, 6))
    assert max_t_band(differences[:, :5]) is None
    assert different_somewhere(differences[:, :5]) == 2 / 32
    band = max_t_band(differences)
    assert band.p == 2 / 64
    assert (band.table["low"] > 0).all()
    assert band.table["n"].tolist() == [6] * 4


def test_drawn_patterns_repeat():
    """Beyond 15 seeds the band is the same at every call, and close to Student's for one step."""
    differences = np.random.default_rng(4).normal(size=(1, 40))
    assert max_t_band(differences).critical == max_t_band(differences).critical
    assert max_t_band(differences).critical == pytest.approx(stats.t.ppf(0.975, 39), rel=0.03)


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("the margin must be positive and finite, got 0. Name the largest harmless difference."):
        two_one_sided([1, 2, 3], 0)
    with raises("`confidence` must be in (0.5, 1), got 0.05. For tests at 5 % write 0.95."):
        two_one_sided([1, 2, 3], 1, 0.05)
    with raises("`differences_SN` must be (steps, seeds), got shape (3,). Give a row for each step."):
        different_somewhere([1, 2, 3])
    with raises("`differences_SN` must be finite or NaN, got infinity. Write NaN where a pair has no value."):
        equivalent_everywhere([[1, math.inf]], 1)
    with raises("`steps` must name 2 steps, got shape (3,). Give one for each row."):
        max_t_band(np.zeros((2, 8)), steps=[1, 2, 3])
    with raises(
        "`differences_SN` must have every seed at every step, got 2 gaps. Keep the steps that all pairs have, or "
        "judge each step by `equivalent_everywhere`."
    ):
        max_t_band([[1, 2, math.nan], [1, math.nan, 3]])


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_equivalence_is_not_claimed_on_the_margin(n, record_property):
    """Of 10,000 samples with a true difference on the margin at most 5 % (and 3 errors) pass."""
    samples = np.random.default_rng(n).normal(1.0, 1.0, (10_000, n)) * 0.2
    passed = np.mean([two_one_sided(sample, 0.2).equivalent for sample in samples])
    record_property("rate", float(passed))
    assert passed <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_equivalence_everywhere_is_not_claimed_where_one_step_differs(n, record_property):
    """Of 300 curves that reach a margin of four deviations at one step at most 5 % (and 3 errors) pass."""
    random, curve = np.random.default_rng(n), 4 * np.eye(12)[5][:, None]
    passed = [equivalent_everywhere(curves(random, 12, n) + curve, 4.0).equivalent for _ in range(300)]
    rate = float(np.mean(passed))
    record_property("rate", rate)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_interval_of_equivalence_covers(n, record_property):
    """Of 10,000 samples at least 90 % (less 3 errors) of the intervals at confidence 0.95 cover the mean."""
    samples = np.random.default_rng(n).normal(1.0, 1.0, (10_000, n))
    covered = [low <= 1 <= high for low, high in (two_one_sided(sample, 1.0).interval for sample in samples)]
    coverage = float(np.mean(covered))
    record_property("coverage", coverage)
    assert coverage >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize("n", [3, 5, 6, 10, 20])
def test_different_somewhere_holds_its_level(n, memory, record_property):
    """Of 500 studies without a difference at most 5 % (and 3 errors) find one somewhere on 20 steps."""
    random = np.random.default_rng(n)
    found = [different_somewhere(curves(random, 20, n, memory)) <= 0.05 for _ in range(500)]
    rate = float(np.mean(found))
    record_property("rate", rate)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [0.0, 0.9])
@pytest.mark.parametrize("n", [6, 10, 20])
def test_band_covers_the_whole_curve(n, memory, record_property):
    """Of 500 studies with a mean curve at least 95 % (less 3 errors) have it inside the band at all of 20 steps."""
    random, curve = np.random.default_rng(n), np.linspace(0, 5, 20)
    covered = []
    for _ in range(500):
        table = max_t_band(curves(random, 20, n, memory) + curve[:, None]).table
        covered.append(((table["low"] <= curve) & (curve <= table["high"])).all())
    coverage = float(np.mean(covered))
    record_property("coverage", coverage)
    assert coverage >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 10])
def test_band_is_too_narrow_where_runs_grok_one_by_one(n, record_property):
    """Fewer than half of 200 bands hold the mean of curves that fall at times of their own: a limit that is told."""
    random, steps, covered = np.random.default_rng(n), np.linspace(-4, 4, 20)[:, None], []

    def fall(seeds):
        ideal, real = random.normal(0, 1, seeds) - 1, random.normal(0, 1, seeds)
        return (1 / (1 + np.exp(8 * (steps - real))) - 1 / (1 + np.exp(8 * (steps - ideal)))) / 2

    curve = fall(100_000).mean(axis=1)
    for _ in range(200):
        table = max_t_band(fall(n)).table
        covered.append(((table["low"] <= curve + 1e-3) & (curve - 1e-3 <= table["high"])).all())
    coverage = float(np.mean(covered))
    record_property("coverage", coverage)
    assert coverage < 0.5

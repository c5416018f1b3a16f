import itertools
import math
import re

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics import paired
from deepboot.reports.statistics.equivalence import different_somewhere
from deepboot.reports.statistics.paired import (
    flipped_sums,
    paired_correlation,
    seeds_without_pairing,
    sign_flip_interval,
    sign_flip_test,
    sign_patterns,
    tail,
)


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


@pytest.mark.parametrize("n", [2, 5, 9])
def test_sign_flip_agrees_with_scipy(n):
    """The exact p value is that of SciPy's permutation test over all sign flips."""
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    expected = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(differences) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize(
    ("differences", "p"), [([0.1, 0.2, 0.3], 0.25), ([0, 0, 0], 1), ([1, 1, 0, 1, 1, 1, 1], 1 / 32)]
)
def test_sign_flip_counts_ties(differences, p):
    """Sums that are equal but for rounding count as large as the observed one; zeros change nothing."""
    assert sign_flip_test(differences) == p
    assert sign_flip_test(np.negative(differences)) == p


def test_drawn_patterns_agree_with_all():
    """Beyond 16 differences the fixed draw gives the exact p value to four standard errors, again and again."""
    differences = np.random.default_rng(3).normal(0.4, 1.0, 18)
    exact = np.array(list(itertools.product([1, -1], repeat=18))) @ differences
    p = np.mean(np.abs(exact) >= differences.sum() - 1e-9)
    found = sign_flip_test(differences)
    assert found == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / 2**15))
    sign_patterns.cache_clear()
    assert sign_flip_test(differences) == found


def test_patterns_are_all_and_observed_first():
    """Up to a common sign all 32,768 patterns of 16 differences occur once, and the observed one leads."""
    signs = sign_patterns(16)
    assert len(np.unique(signs, axis=0)) == len(signs) == 2**15
    assert (signs[0] == 1).all()
    assert (signs[:, -1] == 1).all()


@pytest.mark.parametrize(("n", "confidence"), [(6, 0.95), (7, 0.95), (10, 0.9), (12, 0.99), (20, 0.95)])
def test_interval_holds_what_the_test_does_not_reject(n, confidence):
    """Just inside its ends the test does not reject, just outside it does."""
    differences = np.random.default_rng(n).normal(0.4, 1.0, n)
    low, high = sign_flip_interval(differences, confidence)
    inside = [sign_flip_test(differences - value) for value in (low + 1e-6, high - 1e-6)]
    outside = [sign_flip_test(differences - value) for value in (low - 1e-6, high + 1e-6)]
    assert min(inside) > 1 - confidence >= max(outside)


@pytest.mark.parametrize("n", [37, 40])
def test_sums_of_many_pairs_are_those_of_the_patterns_written_out(monkeypatch, n):
    """A looked-up byte stands for the signs of eight differences, the last ones maybe fewer; the first has all."""
    monkeypatch.setattr(paired, "MANY", 20)
    values = np.random.default_rng(3).normal(0.1, 1, (n, 2))
    draws = np.random.default_rng(n)
    drawn = np.stack([draws.integers(0, 256, size=paired.PATTERNS, dtype=np.uint8) for _ in range(5)], axis=1)
    drawn[0] = 255
    signs = np.where(np.unpackbits(drawn, axis=1)[:, :n] == 1, 1, -1)
    np.testing.assert_allclose(flipped_sums(values), [row @ values for row in signs], atol=1e-12)

    differences = values[:, 0]
    sums = signs @ differences
    assert sign_flip_test(differences) == np.mean(np.abs(sums) >= abs(sums[0]) - 1e-9)
    subsets = [differences[row == sign].mean() for row in signs for sign in (1, -1) if (row == sign).any()]
    rank = math.floor(len(signs) * 0.05)  # of as many subsets as complements, 2.5 % on either side
    low, high = np.sort([-math.inf, *subsets])[rank], np.sort([*subsets, math.inf])[-rank - 1]
    assert sign_flip_interval(differences) == pytest.approx((low, high))


def test_many_pairs_agree_with_the_normal_law():
    """Of 3,000 differences no p value, no interval and no largest step of a curve is off by more than chance."""
    differences = np.random.default_rng(3).normal(0.03, 1, 3_000)
    z = differences.sum() / math.sqrt(np.square(differences).sum())
    p = 2 * stats.norm.sf(z)
    error = math.sqrt(p * (1 - p) / 2**14)
    assert sign_flip_test(differences) == pytest.approx(p, abs=4 * error)
    assert different_somewhere(differences[None]) == pytest.approx(p, abs=4 * error)
    half = stats.norm.ppf(0.975) * differences.std() / math.sqrt(differences.size)
    ends = differences.mean() - half, differences.mean() + half
    assert sign_flip_interval(differences) == pytest.approx(ends, abs=0.05 * half)


def test_interval_needs_six_seeds():
    """At 95 % six differences give their range and five nothing; at 99 % it takes eight."""
    assert sign_flip_interval([6, 1, 5, 2, 4, 3]) == (1, 6)
    assert sign_flip_interval([1, 2, 3, 4, 5]) is None
    assert sign_flip_interval(range(7), 0.99) is None
    assert sign_flip_interval(range(8), 0.99) == (0, 7)


def test_correlation_agrees_with_scipy():
    """Correlation and interval are SciPy's."""
    random = np.random.default_rng(0)
    real = random.normal(size=8)
    ideal = real + random.normal(size=8)
    pairing, expected = paired_correlation(real, ideal, 0.9), stats.pearsonr(real, ideal)
    assert pairing.correlation == pytest.approx(expected.statistic)
    assert pairing.interval == pytest.approx(tuple(expected.confidence_interval(0.9)))


def test_unpaired_seeds_have_the_same_standard_error():
    """So many unpaired seeds as are said have the pairs' standard error."""
    real, ideal = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 1.5, 3.0, 4.5])
    pairing = paired_correlation(real, ideal)
    unpaired = math.sqrt((real.var(ddof=1) + ideal.var(ddof=1)) / pairing.unpaired_seeds)
    assert unpaired == pytest.approx((real - ideal).std(ddof=1) / 2)
    assert paired_correlation(real, -ideal).unpaired_seeds < 4


def test_correlation_at_its_limits():
    """Equal partners are worth infinitely many, a constant world has no correlation, three pairs no interval."""
    equal = paired_correlation([1, 2, 3, 4], [1, 2, 3, 4])
    assert (equal.correlation, equal.interval, equal.unpaired_seeds) == (1, (1, 1), math.inf)
    constant = paired_correlation([1, 2, 3, 4], [1, 1, 1, 1])
    assert (constant.interval, constant.variance_ratio) == (None, 1)
    assert math.isnan(constant.correlation)
    assert paired_correlation([1, 2, 3], [1, 3, 2]).interval is None


@pytest.mark.parametrize("n", [3, 5, 12])
def test_seeds_without_pairing_have_an_interval_as_narrow(n):
    """At so many seeds Welch's interval, as SciPy has it, is at most as wide as the pairs'; at one less it is wider."""
    random = np.random.default_rng(n)
    real = random.normal(size=n)
    ideal = 0.5 * real + random.normal(0, 0.2, n)
    seeds = int(seeds_without_pairing(real, ideal, 0.9))
    paired = stats.ttest_1samp(real - ideal, 0).confidence_interval(0.9)

    def welch(m):
        sides = [np.resize([-1, 1], m) if m % 2 == 0 else np.append(np.resize([-1, 1], m - 1), 0) for _ in range(2)]
        sides = [side / side.std(ddof=1) * own.std(ddof=1) for side, own in zip(sides, (real, ideal), strict=True)]
        found = stats.ttest_ind(*sides, equal_var=False).confidence_interval(0.9)
        return found.high - found.low

    assert seeds > 2
    assert welch(seeds) <= paired.high - paired.low < welch(seeds - 1)


def test_seeds_without_pairing_at_its_limits():
    """Equal partners are worth any number, constant worlds none; where partners go apart fewer seeds do."""
    assert seeds_without_pairing([1, 2, 3], [2, 3, 4]) == math.inf
    assert math.isnan(seeds_without_pairing([1, 1, 1], [2, 2, 2]))
    assert seeds_without_pairing([1, 2, 3, 4, 5], [3, 5, 1, 4, 2]) == 4


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("`differences` must have one axis, got shape (1, 2). Give the values of one cell and step."):
        sign_flip_test([[1, 2]])
    with raises("`differences` must have 1 value or more, got 0. Run more seeds."):
        sign_flip_interval([])
    with raises("`differences` must be finite, got nan at position 1. Leave out what has no value."):
        sign_flip_test([0, math.nan])
    with raises("`confidence` must be in (0, 1), got 95. For 95 % write 0.95."):
        tail(95)
    with raises("`real` and `ideal` must pair up, got 3 and 2. Give one value per seed."):
        paired_correlation([1, 2, 3], [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "laplace", "two values"])
@pytest.mark.parametrize("n", [6, 10, 20])
def test_sign_flip_interval_covers(n, kind, record_property):
    """Of 1,000 samples of symmetric differences at least 95 % (less 3 errors) cover the centre."""
    random = np.random.default_rng(n)
    draw = {"normal": random.normal, "laplace": random.laplace}
    coin = kind == "two values"
    samples = random.choice([-1, 1, 1.5, -1.5], (1_000, n)) if coin else draw[kind](0, 1, (1_000, n))
    intervals = [sign_flip_interval(sample) for sample in samples]
    coverage = float(np.mean([low <= 0 <= high for low, high in intervals]))
    record_property("coverage", coverage)
    assert coverage >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 1_000)


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_sign_flip_test_holds_its_level(n, record_property):
    """Of 4,000 samples without a difference at most 5 % (and 3 errors) are rejected at 5 %."""
    samples = np.random.default_rng(n).normal(0, 1, (4_000, n))
    rejected = np.mean([sign_flip_test(sample) <= 0.05 for sample in samples])
    record_property("rate", float(rejected))
    assert rejected <= 0.05 + 3 * math.sqrt(0.95 * 0.05 / 4_000)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.95])
@pytest.mark.parametrize("n", [4, 5, 10, 20])
def test_correlation_interval_covers(n, correlation, record_property):
    """Of 4,000 samples of normal pairs at least 94 % cover the correlation."""
    random = np.random.default_rng(n)
    real, rest = random.normal(size=(2, 4_000, n))
    ideal = correlation * real + math.sqrt(1 - correlation**2) * rest
    intervals = [paired_correlation(*pair).interval for pair in zip(real, ideal, strict=True)]
    coverage = float(np.mean([low <= correlation <= high for low, high in intervals]))
    record_property("coverage", coverage)
    assert coverage >= 0.94

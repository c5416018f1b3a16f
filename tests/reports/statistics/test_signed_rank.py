"""Ranks of averages of two, of few values and of many."""

import math

import numpy as np
import pytest

from deepboot.reports.statistics import signed_rank as module
from deepboot.reports.statistics.ratio import paired_ratio
from deepboot.reports.statistics.signed_rank import EXACT, averages_at, signed_rank

INF = math.inf
ONE_OF_FOUR = np.resize([False, False, False, True], 60)


@pytest.mark.parametrize(("n", "k"), [(5, None), (6, 1), (8, 4), (10, 9), (15, 26), (20, 53)])
def test_it_is_wilcoxons_table(n, k):
    """One more than the critical value, at 5 % on two sides."""
    assert signed_rank(n) == k


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999, 1 - 1e-6])
def test_many_values_have_the_rank_of_the_exact_law(monkeypatch, confidence):
    """To one of about 19,600."""
    exact = signed_rank(EXACT, confidence)
    monkeypatch.setattr(module, "EXACT", 0)
    assert signed_rank(EXACT, confidence) == pytest.approx(exact, abs=1)


@pytest.mark.parametrize("infinite", [None, -INF, INF])
@pytest.mark.parametrize("ties", [False, True])
def test_averages_of_many_values_are_those_that_are_written_down(monkeypatch, infinite, ties):
    """At every rank, with ties and with values that are infinite."""
    values = np.random.default_rng(0).normal(3, 1, 60)
    values = values.round() if ties else values
    values = values if infinite is None else np.where(ONE_OF_FOUR, infinite, values)
    ranks = list(range(1, 60 * 61 // 2 + 1))
    written = averages_at(values, ranks)
    monkeypatch.setattr(module, "EXACT", 0)
    np.testing.assert_allclose(averages_at(values, ranks), written, rtol=1e-14)
    assert written[0] == values.min()


def test_ten_thousand_pairs_have_a_ratio():
    """Whose fifty million averages are never written down; three times later, known to a hundredth."""
    random = np.random.default_rng(0)
    bottom = random.lognormal(5, 0.3, 10_000)
    top = 3 * bottom * random.lognormal(0, 0.3, 10_000)
    found = paired_ratio(top, top, bottom, bottom)
    assert found.estimate.low == found.estimate.high == pytest.approx(3, rel=0.01)
    assert 2.9 < found.interval.low < 3 < found.interval.high < 3.1

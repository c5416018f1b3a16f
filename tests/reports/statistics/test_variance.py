import math

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.variance import variance_shares


def designs(shape, shares, seed=0):
    """Numbers with a normal effect for each level of each factor, and a rest, of these shares of the variance."""
    random = np.random.default_rng(seed)
    *of_factors, rest = np.sqrt(shares)
    values = rest * random.normal(size=shape)
    for axis, spread in enumerate(of_factors):
        values = values + spread * random.normal(size=[size if axis == at else 1 for at, size in enumerate(shape)])
    return values


def test_estimates_equate_mean_squares_by_hand():
    """Of two factors of two and three levels, from the sums of squares written down one by one."""
    values = np.array([[1.0, 2.0, 6.0], [4.0, 7.0, 10.0]])
    rows, columns = [3.0, 7.0], [2.5, 4.5, 8.0]
    of_rows = 3 * sum((row - 5) ** 2 for row in rows) / 1
    of_columns = 2 * sum((column - 5) ** 2 for column in columns) / 2
    rest = sum(
        (values[i, j] - rows[i] - columns[j] + 5) ** 2 for i in range(2) for j in range(3)
    ) / 2  # fmt: skip
    parts = [(of_rows - rest) / 3, (of_columns - rest) / 2, rest]
    found = variance_shares(values)
    assert [one.share for one in found] == pytest.approx([part / sum(parts) for part in parts[:2]])


def test_one_factor_beside_replicates_has_the_exact_interval():
    """Where the second factor carries nothing, the interval is that of the intraclass correlation by F, nearly."""
    values = designs((12, 200), (0.5, 0.0, 0.5), seed=4)
    (found, _) = variance_shares(values)
    between = 200 * values.mean(axis=1).var(ddof=1)
    within = values.var(axis=1, ddof=1).mean()
    ends = [between / within / stats.f.ppf(q, 11, 12 * 199) for q in (0.975, 0.025)]
    assert found.interval == pytest.approx([(end - 1) / (end + 199) for end in ends], abs=0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_factor_that_carries_the_spread_is_found(axis):
    """At any place, with an interval around its share; the others come to little."""
    shares = [0.04] * 4
    shares[axis] = 0.88
    found = variance_shares(designs((12, 11, 10), shares, seed=axis))
    assert found[axis].interval.low > 0.5
    assert all(one.interval.high < 0.5 for place, one in enumerate(found) if place != axis)
    assert all(one.interval.low <= one.share <= one.interval.high for one in found)


def test_without_any_spread_nothing_is_known():
    """No share of nothing."""
    assert all(math.isnan(one.share) and one.interval == (0, 1) for one in variance_shares(np.ones((3, 3))))


@pytest.mark.parametrize(
    ("shape", "confidence", "message"),
    [((5,), 0.95, "expected two factors or more"), ((5, 1), 0.95, r"got levels \(5, 1\)"), ((3, 3), 1.0, "confidence")],
)
def test_bad_input(shape, confidence, message):
    """One factor, a factor of one level, a confidence of 1."""
    with pytest.raises(ValueError, match=message):
        variance_shares(np.arange(np.prod(shape), dtype=float).reshape(shape), confidence)

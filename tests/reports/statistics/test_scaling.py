import math
import re

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.scaling import power_law, threshold_size

SIZES = [100, 200, 400, 800]


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def scaling(random, seeds, *, slope=-1.2, spread=0.3):
    """Steps T at four sizes that fall with a power of the size."""
    x = np.repeat([250.0, 500.0, 1_000.0, 2_000.0], seeds)
    return x, 3e6 * x**slope * np.exp(random.normal(0, spread, x.size))


def between(steps, evaluations, budget=math.inf):
    """Bounds of the steps between evaluations, open beyond the budget."""
    grid = np.concatenate([[0], np.geomspace(1, 50_000, evaluations), [math.inf]])
    place = np.searchsorted(grid, steps)
    high = grid[place]
    return np.minimum(grid[place - 1], budget), np.where(high > budget, math.inf, high)


def test_power_law_of_known_steps_is_regression():
    """Without bounds to spare, slope and interval are those of least squares on the logarithms."""
    x, steps = scaling(np.random.default_rng(3), 3)
    found, expected = power_law(x, steps, steps), stats.linregress(np.log(x), np.log(steps))
    half = stats.t.ppf(0.975, x.size - 2) * expected.stderr
    assert found.slope == pytest.approx(expected.slope, abs=1e-4)
    assert found.interval == pytest.approx((expected.slope - half, expected.slope + half), abs=1e-3)


def test_power_law_of_hardly_open_bounds():
    """Bounds that differ in the last digits alone are known values."""
    x, steps = scaling(np.random.default_rng(6), 2)
    found, known = power_law(x, steps, steps * (1 + 1e-15)), power_law(x, steps, steps)
    assert found.interval == pytest.approx(known.interval)


def test_power_law_of_censored_runs_is_open():
    """Where the larger T are censored the slope has no upper end; where all are, no end and no value."""
    rising = power_law([1, 1, 1, 2, 2, 2], [10, 11, 9, 50, 50, 50], [12, 13, 11, *[math.inf] * 3])
    assert rising.interval.low > 0
    assert rising.interval.high == math.inf
    nothing = power_law([1, 2, 4], [10, 10, 10], [math.inf] * 3)
    assert nothing.interval == (-math.inf, math.inf)
    assert math.isnan(nothing.slope)


def test_power_law_ignores_runs_of_which_nothing_is_known():
    """A diverged run, between 0 and infinity, changes nothing."""
    x, steps = scaling(np.random.default_rng(5), 2)
    low, high = between(steps, 40)
    found, alone = power_law([*x, 300], [*low, 0], [*high, math.inf]), power_law(x, low, high)
    assert found.slope == pytest.approx(alone.slope, abs=1e-4)
    assert found.interval == pytest.approx(alone.interval, abs=1e-3)


@pytest.mark.parametrize(
    ("grokked", "low", "high"),
    [
        ([0, 1, 4, 5], 200, 400),
        ([0, 0, 0, 0], 800, math.inf),
        ([5, 5, 5, 5], 0, 100),
        ([0, 3, 2, 5], 100, 200),
        ([0, 3, 1, 5], 400, 800),
    ],
)
def test_threshold_lies_between_sizes(grokked, low, high):
    """The estimate is where rates, pooled until they rise, pass a half."""
    assert threshold_size(SIZES, grokked, 5) == (low, high)
    assert threshold_size(SIZES, grokked, [5, 5, 5, 5]) == (low, high)


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("`x`, `low` and `high` must have one shape, got (3,), (2,), (3,). Give bounds of T for every x."):
        power_law([1, 2, 3], [1, 2], [1, 2, 3])
    with raises("`x` must be positive and take 2 values, got 2 to 2. Vary it."):
        power_law([2, 2, 2], [1, 2, 3], [1, 2, 3])
    with raises("T must have bounds 0 ≤ low ≤ high, got inf to inf. Where nothing is known, write 0 and infinity."):
        power_law([1, 2, 3], [1, 2, math.inf], [1, 2, math.inf])
    with raises("`sizes` must be positive and rise, got [200.0, 100.0]. Sort them, each once."):
        threshold_size([200, 100], [0, 1], 2)
    with raises("`n` must be one number or 2, got shape (3,). Give the runs of each size."):
        threshold_size([100, 200], [0, 1], [2, 2, 2])
    with raises("`grokked` must be between 0 and `n`, got 3 of 2 at size 200. Count runs."):
        threshold_size([100, 200], [0, 3], 2)


@pytest.mark.slow
@pytest.mark.parametrize(("evaluations", "budget"), [(10_000, math.inf), (40, math.inf), (40, 2_000), (15, 2_000)])
@pytest.mark.parametrize("seeds", [1, 3, 5, 10, 20])
def test_power_law_interval_covers(seeds, evaluations, budget, record_property):
    """Of 200 studies of four sizes, evaluated often or rarely and half of them censored, at least 91 % cover."""
    random, covered = np.random.default_rng(seeds), []
    for _ in range(200):
        x, steps = scaling(random, seeds)
        low, high = power_law(x, *between(steps, evaluations, budget)).interval
        covered.append(low <= -1.2 <= high)
    coverage = float(np.mean(covered))
    record_property("coverage", coverage)
    assert coverage >= 0.91

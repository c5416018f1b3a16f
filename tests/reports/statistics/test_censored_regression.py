import math

import numpy as np
import pytest
from scipy import optimize, stats

from deepboot.reports.statistics.censored_regression import NORMAL, WEIBULL, cutoff, fit, profile_end

INF = math.inf
LAWS = {"normal": (NORMAL, stats.norm), "weibull": (WEIBULL, stats.gumbel_l)}


def drawn(law, kind):
    """30 values on a line of slope −1.2 and spread 0.5, as bounds, and their design."""
    random = np.random.default_rng(1)
    place = np.repeat([-1.5, -0.5, 0.5, 1.5, 2.0], 6)
    values = 3 - 1.2 * place + 0.5 * law.rvs(size=30, random_state=random)
    design, grid = np.stack([np.ones(30), place]), np.concatenate([[-INF], np.linspace(-3, 6, 25), [INF]])
    at = np.searchsorted(grid, values)
    low, high = (values, values) if kind == "known" else (grid[at - 1], grid[at])
    if kind == "right censored":
        low, high = np.minimum(low, grid[15]), np.where(high > grid[15], INF, high)
    return low, high, design


def log_likelihood(law, low, high, design, coefficients, spread):
    """Written with SciPy's distributions."""
    line = np.asarray(coefficients) @ design
    masses = law.cdf(high, line, spread) - law.cdf(low, line, spread)
    return np.log(np.where(low == high, law.pdf(low, line, spread), masses)).sum()


@pytest.mark.parametrize("kind", ["known", "between", "right censored"])
@pytest.mark.parametrize("name", LAWS)
def test_fit_agrees_with_a_slow_search(name, kind):
    """SciPy's simplex on SciPy's distributions finds the same maximum."""
    law, expected = LAWS[name]
    low, high, design = drawn(expected, kind)
    found = fit(low, high, design, law)
    assert found.converged
    assert found.log_likelihood == pytest.approx(
        log_likelihood(expected, low, high, design, found.coefficients, 1 / found.precision)
    )
    slow = optimize.minimize(
        lambda at: -log_likelihood(expected, low, high, design, at[:2], math.exp(at[2])),
        [3, -1, 0],
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 2_000},
    )
    assert found.log_likelihood == pytest.approx(-slow.fun, abs=1e-7)
    assert [*found.coefficients, -math.log(found.precision)] == pytest.approx(slow.x, abs=1e-4)


@pytest.mark.parametrize("name", LAWS)
def test_precision_is_held_where_it_is_given(name):
    """At the maximum's precision the fit is the same, at others less likely."""
    low, high, design = drawn(LAWS[name][1], "between")
    best = fit(low, high, design, LAWS[name][0])
    same, other = (fit(low, high, design, LAWS[name][0], precision=factor * best.precision) for factor in (1, 20))
    assert same.log_likelihood == pytest.approx(best.log_likelihood)
    assert same.coefficients == pytest.approx(best.coefficients)
    assert other.precision == pytest.approx(20 * best.precision)
    assert other.converged
    assert other.log_likelihood < best.log_likelihood - 10


def test_values_on_a_line_have_the_least_spread():
    """Without scatter the spread is the smallest allowed."""
    place = np.arange(5.0)
    found = fit(1 + 2 * place, 1 + 2 * place, np.stack([np.ones(5), place]), NORMAL, least_spread=0.01)
    assert 1 / found.precision == pytest.approx(0.01)
    assert found.coefficients == pytest.approx([1, 2])


@pytest.mark.parametrize("name", LAWS)
def test_chances_in_the_tails_keep_their_digits(name):
    """Far from the line a narrow interval's log probability is that of its density."""
    law, expected = LAWS[name]
    for z in (-30.0, 3.0):
        ends = np.array([z]), np.array([z + 1e-6])
        assert law.log_mass(*ends)[0] == pytest.approx(expected.logpdf(z + 5e-7) + math.log(1e-6), rel=1e-6)
        assert law.log_density(ends[0])[0] == pytest.approx(expected.logpdf(z))


def test_interval_of_a_slope_through_known_normal_values_is_students():
    """The cutoff makes the profile likelihood's interval exact."""
    values, _, design = drawn(stats.norm, "known")
    best = fit(values, values, design, NORMAL)

    def excess(slope):
        rest = values - slope * design[1]
        return best.log_likelihood - fit(rest, rest, design[:1], NORMAL).log_likelihood - cutoff(28, 0.95)

    expected = stats.linregress(design[1], values)
    half = stats.t.ppf(0.975, 28) * expected.stderr
    ends = [profile_end(excess, expected.slope, step, 100) for step in (-0.1, 0.1)]
    assert ends == pytest.approx([expected.slope - half, expected.slope + half])


@pytest.mark.parametrize("kind", ["known", "interval", "right censored"])
@pytest.mark.parametrize("name", LAWS)
def test_counts_are_values_written_out(name, kind):
    """A value that counts three times is three equal values, with all parameters free and with a precision held."""
    law, _ = LAWS[name]
    low, high, design = drawn(LAWS[name][1], kind)
    counts = np.random.default_rng(2).integers(1, 4, 30)
    written = [np.repeat(column, counts, axis=-1) for column in (low, high, design)]
    for precision in (None, 1.5):
        one = fit(low, high, design, law, counts=counts, precision=precision)
        other = fit(*written, law, precision=precision)
        assert (one.log_likelihood, one.precision) == pytest.approx((other.log_likelihood, other.precision))
        assert one.coefficients == pytest.approx(other.coefficients)


def test_an_end_that_never_comes_is_infinite():
    """On either side."""
    assert [profile_end(lambda _: -1.0, 0.0, step, 100) for step in (-1, 1)] == [-INF, INF]

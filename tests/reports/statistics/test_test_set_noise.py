import math
import re

import numpy as np
import pytest
from scipy import stats

from deepboot.reports.statistics.test_set_noise import noise_of_test_set


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def test_share_of_a_test_sets_noise_has_scipys_interval():
    """The variance over seeds has a chi-squared interval, and the share is over it; two seeds have none."""
    errors = np.array([0.1, 0.13, 0.12, 0.16])
    noise = noise_of_test_set(errors, 500, 0.9)
    variance = 3 * errors.var(ddof=1) / stats.chi2.ppf([0.95, 0.05], 3)
    assert noise.interval[::-1] == pytest.approx(tuple(noise.standard_error**2 / variance))
    assert noise_of_test_set(errors[:2], 500).interval is None
    assert noise_of_test_set([0.1] * 4, 500).interval is None


def test_noise_of_a_test_set():
    """Errors that vary by the test set alone have a share of about 1; one error has no spread."""
    errors = np.random.default_rng(0).binomial(2_000, 0.1, 4_000) / 2_000
    noise = noise_of_test_set(errors, 2_000)
    assert noise.standard_error == pytest.approx(math.sqrt(0.1 * 0.9 / 2_000), rel=0.02)
    assert noise.share == pytest.approx(1, rel=0.1)
    single = noise_of_test_set(0.1, 10_000)
    assert (single.error, single.standard_error) == pytest.approx((0.1, 0.003))
    assert math.isnan(single.seed_spread)
    assert math.isnan(noise_of_test_set([0.0, 0.0], 100).share)


def test_bad_input_is_explained():
    """Each mistake has its sentence."""
    with raises("`n_test` must be at least 1, got 0. Give the size of the test set."):
        noise_of_test_set(0.1, 0)
    with raises("`error` must be in [0, 1], got 10. Give a share of wrong labels, not percent."):
        noise_of_test_set(10, 100)


def test_an_error_that_rounding_moved_beyond_1_counts_as_1():
    """As the mean over blocks of a test set may be, where all its samples are wrong."""
    beyond = [1.0, np.nextafter(1.0, 2.0)]
    assert noise_of_test_set(beyond, 100) == noise_of_test_set([1.0, 1.0], 100)

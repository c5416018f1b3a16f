import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from deepboot.reports.statistics.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize("adjust", [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@pytest.mark.parametrize("seed", range(8))
def test_adjusted_p_values_agree_with_statsmodels(adjust, seed):
    """For 1 to 30 p values with ties, ones and very small ones."""
    mine, name = adjust
    random = np.random.default_rng(seed)
    p = np.round(random.random(1 + 29 * seed // 7) ** 3, 2 + seed % 4).clip(1e-6, 1)
    assert mine(p) == pytest.approx(multipletests(p, method=name)[1], rel=1e-12)


def test_nothing_to_adjust():
    """No claims, and one claim, are left alone."""
    assert holm([]) == benjamini_hochberg([]) == []
    assert holm([0.3]) == benjamini_hochberg([0.3]) == [0.3]


def test_what_is_no_p_value_is_refused():
    """By SciPy, in its words."""
    for value in (1.2, float("nan")):
        with pytest.raises(ValueError, match=r"^`ps` must include only numbers between 0 and 1\.$"):
            benjamini_hochberg([0.5, value])


def test_holm_keeps_the_family_wise_error_and_is_stronger_than_bonferroni():
    """Of ten true hypotheses beside two false ones, one is rejected in at most 5 % of families, within the noise."""
    random = np.random.default_rng(0)
    families = random.random((2_000, 12))
    families[:, :2] **= 8
    adjusted = np.array([holm(family) for family in families])
    assert (adjusted[:, 2:] <= 0.05).any(axis=1).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2_000)
    assert (adjusted <= np.minimum(1, 12 * families)).all()
    assert (adjusted[:, :2] <= 0.05).sum() > (12 * families[:, :2] <= 0.05).sum()

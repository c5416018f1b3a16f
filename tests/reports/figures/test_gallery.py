"""The order of a report's figures: the one that the answer speaks of, then those that one interactive figure covers."""

import pytest

from deepboot.reports import compare
from deepboot.reports.figures.answering import Answering, answering, leading_claim
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.interactive.page import COVERED

GAP = {"kind": "bootstrap_error", "max": 0.5, "at": "stopping", "metric": "test_error"}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], Answering("effect_grokking", "test_error")),
        ([{"kind": "faster", "min_ratio": 2.0}, GAP], Answering("effect_grokking", "test_error")),
        ([GAP], Answering("effect_bootstrap_error", "bootstrap_error", "stopping", "test_error")),
        ([{"kind": "faster", "min_ratio": 2.0}, GAP | {"primary": True, "at": "end"}],
         Answering("effect_bootstrap_error", "bootstrap_error", "end", "test_error")),
        ([{"kind": "final_error", "max": 0.1, "metric": "test_soft_error"}],
         Answering("effect_final_error", "test_soft_error", None, "test_soft_error")),
    ],
)  # fmt: skip
def test_the_leading_claim_says_which_figure_answers(make_results, claims, expected):
    """By its kind, step and metric: the first primary claim, or the first of all."""
    assert answering(compare(make_results(3, (2000, 4000), claims=claims))) == expected


def test_a_withdrawn_claim_does_not_lead(make_results):
    """As in the page's answer."""
    held = make_results(3, claims=[GAP], registered=[{"kind": "faster", "min_ratio": 2.0}, GAP])
    assert leading_claim(compare(held)) == GAP
    assert leading_claim(compare(make_results(3))) is None


@pytest.mark.parametrize(
    ("sizes", "claims", "first"),
    [((750,), [GAP], "bootstrap_error"), ((750,), [], "test_error"), ((250, 750), [GAP], "effect_bootstrap_error")],
)
def test_the_answers_figure_is_followed_by_those_under_one_interactive_figure(make_results, sizes, claims, first):
    """So that numbers rise down the page, whether the interactive figures cover the others or are not there."""
    names = [one.name for one in draw_all(compare(make_results(3, sizes, evaluations=20, claims=claims)))]
    assert names[0] == first
    covered = [name for form in COVERED.values() for name in form]
    rest = [name not in covered for name in names if name != first]
    assert rest == sorted(rest)

import math

import numpy as np
import pytest

from deepboot.reports import compare
from deepboot.reports.claims.kind import ClaimedRegion, Effect, Evidence, claim_kind
from deepboot.reports.claims.region import claimed_regions, whole_curve
from deepboot.reports.figures.bootstrap_error import draw_bootstrap_error, gap_handles, plot_bootstrap_error
from deepboot.reports.statistics.equivalence import max_t_band

EQUIVALENT = {"kind": "equivalent", "margin": 0.05}
ABOVE = {"kind": "bootstrap_error", "min": 0.1, "where": {"train_size": 750}}


def regions(results):
    """Claimed regions of a study."""
    comparison = compare(results)
    return claimed_regions(comparison, comparison.bootstrap_error())


def test_claims_have_regions_in_the_cells_that_they_select(make_results):
    """A margin in both cells, a bound in one; other kinds of claim have none."""
    claims = (EQUIVALENT, ABOVE, {"kind": "grokking_delay", "min_ratio": 4.0})
    found = regions(make_results(seeds=1, train_sizes=(500, 750), claims=claims))
    assert found[["cell_id", "low", "high"]].to_numpy().tolist() == [
        ["real-0.3-500", -0.05, 0.05],
        ["real-0.3-750", -0.05, 0.05],
        ["real-0.3-750", 0.1, math.inf],
    ]
    assert list(dict.fromkeys(found["sentence"])) == [
        "Shaded: the claimed margin of ±0.05 at every step up to stopping.",
        "Green line: claimed to be at least 0.1 at the stopping step.",
    ]


@pytest.mark.parametrize(
    ("bounds", "region", "said"),
    [
        ({"max": 0.2, "at": "end"}, (-math.inf, 0.2), "Green line: claimed to be at most 0.2 at the last common step."),
        ({"min": -0.1, "max": 0.2}, (-0.1, 0.2), "Shaded: claimed to be −0.1 to 0.2 at the stopping step."),
    ],
)
def test_bounds_of_the_bootstrap_error(make_results, bounds, region, said):
    """One bound is a line, two are a region."""
    row = regions(make_results(seeds=1, claims=({"kind": "bootstrap_error"} | bounds,))).iloc[0]
    assert (row["low"], row["high"], row["sentence"]) == (*region, said)


def test_a_users_own_kind_may_have_a_region(make_results):
    """It is declared with the kind, in terms of its settings."""

    @claim_kind("own_region", region=lambda given: ClaimedRegion(0.0, given.most, "Shaded: mine."))
    def own_region(evidence: Evidence, *, most: float) -> Effect:
        """Nothing."""

    row = regions(make_results(seeds=1, claims=({"kind": "own_region", "most": 0.2},))).iloc[0]
    assert (row["low"], row["high"], row["sentence"]) == (0.0, 0.2, "Shaded: mine.")


def test_claims_about_another_metric_are_not_drawn(make_results):
    """The figure shows the soft error; a margin of the error is no margin of it."""
    assert regions(make_results(seeds=1, claims=(EQUIVALENT | {"metric": "test_error"},))).empty
    assert len(regions(make_results(seeds=1, claims=(EQUIVALENT | {"metric": "test_soft_error"},)))) == 1


def test_a_margin_is_shaded_and_a_bound_is_a_line(make_results):
    """Both lie where they were claimed, and the legend names them."""
    claimed = regions(make_results(seeds=1, claims=(EQUIVALENT, ABOVE)))
    ax = plot_bootstrap_error(compare(make_results(seeds=3)).bootstrap_error(), claimed=claimed)
    (band,) = [patch for patch in ax.patches if patch.get_gid() == "claimed"]
    assert (band.get_y(), band.get_height()) == pytest.approx((-0.05, 0.1))
    (bound,) = [line for line in ax.lines if line.get_gid() == "claimed"]
    assert bound.get_ydata() == [0.1, 0.1]
    names = [handle.get_label() for handle in gap_handles(claimed, band=True, outline=True)]
    assert names[:3] == ["mean of the pairs", "one pair", "95 % interval of the mean"]
    assert names[3:] == ["claimed: ±0.05", "claimed: ≥ 0.1", "whole curve, 95 %"]
    names = [handle.get_label() for handle in gap_handles(claimed.head(0), band=False, outline=False)]
    assert names == ["mean of the pairs", "one pair"]


def test_the_outline_is_the_max_t_band_after_the_first_reuse(make_results):
    """From six pairs on, over the steps that all pairs have; with fewer there is none."""
    table = compare(make_results(seeds=6)).bootstrap_error()
    curve = whole_curve(table, "real-0.3-750")
    used = table[table["after_first_reuse"]]
    expected = max_t_band(used.pivot(index="step", columns="run_id", values="bootstrap_error").to_numpy())
    assert curve["low"].to_numpy() == pytest.approx(expected.table["low"].to_numpy())
    assert curve["step"].min() == 8
    ax = plot_bootstrap_error(table, outline=curve)
    drawn = {line.get_gid(): line for line in ax.lines}
    assert np.array_equal(drawn["outline high"].get_ydata(), curve["high"])
    assert whole_curve(compare(make_results(seeds=5)).bootstrap_error(), "real-0.3-750") is None


def test_the_caption_names_claims_and_the_outline(make_results):
    """What is drawn is said; without claims and with few pairs neither is."""
    drawing = draw_bootstrap_error(compare(make_results(seeds=6, claims=(EQUIVALENT,))))
    assert "Shaded: the claimed margin of ±0.05 at every step up to stopping." in drawing.caption
    assert "Dashed outline: 95 % band that holds the whole mean curve at once" in drawing.caption
    plain = draw_bootstrap_error(compare(make_results(seeds=3)))
    assert "Shaded" not in plain.caption
    assert "outline" not in plain.caption


def test_there_is_no_bootstrap_error_over_seconds(make_results):
    """Pairs have no common times; the message says what to draw instead."""
    message = "^the bootstrap error has no mean over seconds. Draw it of the comparison in steps or samples.$"
    with pytest.raises(ValueError, match=message):
        draw_bootstrap_error(compare(make_results(seeds=1)).over("seconds"))

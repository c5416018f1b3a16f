import numpy as np
import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.figures.events import draw_incidence, plot_incidence, plot_steps
from deepboot.reports.figures.facets import facets, folded
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.measures.events import event_times
from deepboot.reports.statistics.survival import cumulative_incidence


def test_incidence_has_a_staircase_per_outcome():
    """Two of four grok, one diverges at step 5: a cross there, and the shares of four."""
    low, high = [0, 10, np.inf, 20], [10, 20, np.inf, np.inf]
    outcome = ["reached", "reached", "diverged", "censored"]
    table = cumulative_incidence(low, high, outcome, [40, 40, 5, 40]).assign(world="real")
    ax = plot_incidence(table)
    lines = {line.get_label(): line for line in ax.lines}
    assert lines["real"].get_xydata()[-1].tolist() == [20, 0.5]
    (broken,) = [line for line in ax.lines if line.get_gid() == "broken real"]
    assert broken.get_xydata().tolist()[:2] == [[0, 0], [5, 0.25]]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xydata().tolist() == [[5, 0.25]]


def test_incidence_is_drawn_only_where_a_run_broke(make_results):
    """Without a diverged or failed run survival says it all; the caption counts those that did."""
    assert draw_incidence(compare(make_results(seeds=3, censored=(1,)))) is None
    drawing = draw_incidence(compare(make_results(seeds=4, diverged=(1,), failed=(2,))))
    assert drawing.name == "incidence"
    assert "4 real and 4 ideal runs, of which 2 diverged or failed" in drawing.caption


def test_worlds_without_a_broken_run_have_one_staircase(make_results):
    """The ideal world's share that broke is not drawn as a line at zero."""
    table = cumulative_incidence([0], [10], ["reached"], [40]).assign(world="ideal")
    assert len(plot_incidence(table).lines) == 1


@pytest.mark.parametrize(
    ("axis", "label"),
    [("samples", "samples seen"), ("seconds", "time (seconds)"), ("step", "step (optimiser updates)")],
)
def test_every_figure_of_time_names_its_unit(make_results, axis, label):
    """Axes and captions; the bootstrap error has samples, and in seconds stays on steps and says so."""
    drawings = {one.name: one for one in draw_all(compare(make_results(seeds=3, diverged=(1,), evaluations=40)), axis)}
    for name in ("test_error", "test_soft_error", "steps", "survival", "incidence"):
        assert label in drawings[name].svg.decode(), name
        assert {"step": "", "samples": "in samples seen.", "seconds": "wall time"}[axis] in drawings[name].caption
    bootstrap = drawings["bootstrap_error"]
    assert ("step (optimiser" if axis == "seconds" else label) in bootstrap.svg.decode()
    assert bootstrap.caption.endswith("not at the same seconds.") == (axis == "seconds")


def test_the_axis_of_steps_names_numbers_in_a_short_range(make_pairs):
    """Events within one decade leave two decades at most: what lies between them is named too."""
    times = event_times(compare(make_pairs([{"memorization": (90, 100), "grokking": (300, 400)}])))
    ax = plot_steps(times)
    low, high = ax.get_xlim()
    assert (low, high) == pytest.approx((60, 540))
    assert [place for place in ax.get_xticks() if low < place < high] == [100, 200, 500]


def test_a_run_that_had_it_from_the_start_keeps_a_place_for_zero(make_pairs):
    """Its bar begins at step 0."""
    ax = plot_steps(event_times(compare(make_pairs([{"memorization": (None, 10), "grokking": (300, 400)}]))))
    assert ax.get_xlim()[0] < 0


def test_panels_of_unequal_budgets_share_an_axis_that_holds_both():
    """The longer cell is not cut off at the end of the shorter one."""
    table = pd.DataFrame({"cell_id": ["a", "b"], "cell": ["a", "b"], "step": [5000, 50]})
    axes = []
    facets("x", table, ["a", "b"], plot=lambda rows, ax: axes.append(ax), handles=[], caption="")
    assert [ax.get_xlim()[1] for ax in axes] == [5300, 5300]


def test_titles_break_between_settings():
    """A name that fits stays in one line; a setting is not torn from its value while there is another way."""
    assert folded("train_size 500", 28) == "train_size 500"
    assert folded("train_size 500, weight_decay 0.03", 28) == "train_size 500,\nweight_decay 0.03"
    assert folded("a_setting_with_a_name 0.123456789", 28) == "a_setting_with_a_name\n0.123456789"

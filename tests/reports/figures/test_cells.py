import numpy as np
import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.figures.cells import (
    _means,
    draw_scatter,
    draw_survival,
    plot_scale,
    plot_scatter,
    plot_survival,
)
from deepboot.reports.figures.maps import _error, draw_phase_map, plot_phase_map
from deepboot.reports.statistics.intervals import t_interval
from deepboot.reports.statistics.survival import survival_curve


def test_survival_is_a_staircase_per_world_with_its_band():
    """Each world falls at its events from 1, and goes on level to the last step of the figure."""
    curves = [
        survival_curve([0, 10, 10], [10, 20, np.inf]).assign(world="real"),
        survival_curve([0, 0, 0], [10, 10, 10]).assign(world="ideal"),
    ]
    ax = plot_survival(pd.concat(curves))
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["ideal"] == [[0, 1], [10, 0], [20, 0]]
    assert [share for _, share in lines["real"]] == pytest.approx([1, 2 / 3, 1 / 6, 1 / 6], abs=0.2)
    assert len(ax.collections) == 2


def test_survival_counts_what_diverged_as_never(make_results):
    """The caption says how many; the curve of eight runs with one censored and one diverged ends at a quarter."""
    drawing = draw_survival(compare(make_results(seeds=8, censored=(1,), diverged=(2,))))
    assert "8 real and 8 ideal runs" in drawing.caption
    assert "leaves there; 1 that diverged or failed count as never." in drawing.caption
    assert draw_survival(compare(make_results(seeds=2, evaluations=3))) is None  # no streak of three


def test_the_scatter_has_a_dot_per_pair_and_the_line_of_equality(make_results):
    """Ideal across, real up, one colour per cell; a single cell or few pairs have no scatter."""
    table = pd.DataFrame(
        {"cell": list("aab"), "real": [0.1, 0.2, 0.3], "ideal": [0.1, 0.1, 0.2], "metric": "test_error"}
    )
    ax = plot_scatter(table)
    dots = [tuple(dot) for group in ax.collections for dot in group.get_offsets()]
    assert sorted(dots) == [(0.1, 0.1), (0.1, 0.2), (0.2, 0.3)]
    (line,) = [line for line in ax.lines if line.get_gid() == "equal"]
    assert np.array_equal(*line.get_xydata().T)
    assert draw_scatter(compare(make_results(seeds=8))) is None
    drawing = draw_scatter(compare(make_results(seeds=4, train_sizes=(500, 750))))
    assert drawing.caption.startswith("Test soft error of the real world against its ideal partner's at their last")
    assert "8 pairs" in drawing.caption
    assert "Rank agreement of the means of 2 cells: Kendall's tau" in drawing.caption
    assert "(too few cells for an interval)" in drawing.caption


def test_the_scatter_has_a_cross_per_cell(make_results):
    """Its arms are the t intervals of both worlds' means at the last common step."""
    comparison = compare(make_results(seeds=4, train_sizes=(500, 750)))
    table = comparison.pairs_at("end")
    ax = plot_scatter(table, means=_means(table))
    arms = [line.get_xydata() for line in ax.lines if line.get_gid() == "mean"]
    assert len(arms) == 4
    first = table[table["cell_id"] == table["cell_id"].iloc[0]]
    assert tuple(arms[0][:, 0]) == pytest.approx(t_interval(first["ideal"]))
    assert tuple(arms[1][:, 1]) == pytest.approx(t_interval(first["real"]))


def test_the_phase_map_has_a_square_per_pair_of_settings(make_results):
    """Two swept settings make a map with counts and median steps; one swept setting makes none."""
    comparison = compare(make_results(seeds=4, train_sizes=(500, 750), decays=(0.1, 0.3), censored=(1,)))
    drawing = draw_phase_map(comparison)
    assert "over train_size and optimizer.weight_decay." in drawing.caption
    assert drawing.caption.endswith("16 real runs.")
    assert drawing.figure.axes[-1].get_xlabel() == "share of the runs that grokked"
    assert drawing.svg.decode().count("3 of 4") == 4
    assert draw_phase_map(compare(make_results(seeds=4, train_sizes=(500, 750)))) is None
    table = pd.DataFrame({"a": [1, 2, 1], "b": [1, 1, 2], "value": [0.0, 0.5, 1.0], "text": ["x", "y", "z"]})
    ax = plot_phase_map(table, over=("a", "b"))
    assert [text.get_text() for text in ax.texts] == ["x", "y", "z"]
    assert [text.get_position() for text in ax.texts] == [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")


def test_where_none_groks_the_map_shows_errors(make_results):
    """A map of shares would be blank; of runs of which one diverged there is no mean, and the square says so."""
    comparison = compare(make_results(3, (500, 750), decays=(0.1, 0.3), censored=(0, 1, 2), evaluations=12))
    drawing = draw_phase_map(comparison)
    maps, bar = drawing.figure.axes
    assert bar.get_xlabel() == "mean test error at the end"
    final = comparison.runs["run_id"].map(comparison.final("test_error"))
    first = (comparison.runs["train_size"] == 500) & (comparison.runs["optimizer.weight_decay"] == 0.1)
    assert maps.collections[0].get_array().ravel()[0] == pytest.approx(final[first].mean())
    assert maps.collections[0].norm.vmax == pytest.approx(maps.collections[0].get_array().max())
    broken = compare(make_results(3, (500, 750), decays=(0.1, 0.3), censored=(0, 1), diverged=(2,), evaluations=12))
    assert draw_phase_map(broken) is None
    assert _error(pd.DataFrame({"error": [0.1, np.nan]}))["text"] == "1 of 2\nwithout value"


def test_scale_is_a_line_per_benchmark_on_two_log_axes():
    """Every rate stands over its number of members."""
    table = pd.DataFrame({"name": ["a"] * 3 + ["b"] * 2, "members": [1, 2, 4, 1, 2], "rate": [10.0, 18, 30, 5, 9]})
    ax = plot_scale(table)
    drawn = [line.get_xydata().tolist() for line in ax.lines if len(line.get_xydata())]
    assert drawn[:2] == [[[1, 10], [2, 18], [4, 30]], [[1, 5], [2, 9]]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")

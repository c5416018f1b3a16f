import numpy as np
import pandas as pd
import pytest

from deepboot.reports import compare
from deepboot.reports.figures.delays import delay_handles, draw_delays, plot_delays
from deepboot.reports.figures.style import COLORS


def table(*bounds, world="real", cell="a"):
    """Runs with these bounds of their ratios."""
    rows = [
        {"cell": cell, "world": world, "run_id": f"{world}-{k}", "low": b[0], "high": b[1]}
        for k, b in enumerate(bounds)
    ]
    return pd.DataFrame(rows)


def lines(ax, gid):
    """Lines of that name."""
    return [line for line in ax.lines if line.get_gid() == gid]


def numbers(ax):
    """What is written at the right of the rows."""
    return [text.get_text() for text in ax.texts if text.get_gid() == "numbers"]


def test_a_dot_stands_in_the_middle_of_its_bounds():
    """The geometric middle, in the colour of the world; the line of no delay is at 1."""
    ax = plot_delays(table((4, 9)))
    (dot,) = lines(ax, "delay real-0")
    assert (dot.get_xdata(), dot.get_marker(), dot.get_markerfacecolor()) == ([6], "o", COLORS["real"])
    assert lines(ax, "no delay")[0].get_xdata() == [1, 1]
    assert ax.get_xscale() == "log"
    low, high = ax.get_xlim()
    assert low < 1
    assert high > 9


def test_open_bounds_have_marks_of_their_own():
    """Triangles point to where the ratio may lie; a cross at the edge has no bound at all."""
    ax = plot_delays(table((5, np.inf), (0, 0.5), (0, np.inf)))
    marks = [lines(ax, f"delay real-{k}")[0] for k in range(3)]
    assert [mark.get_marker() for mark in marks] == [">", "<", "x"]
    assert [mark.get_xdata()[0] for mark in marks] == [5, 0.5, ax.get_xlim()[1]]
    assert [mark.get_markerfacecolor() for mark in marks[:2]] == ["white", "white"]
    names = [handle.get_label() for handle in delay_handles(table((5, np.inf), (0, 0.5), (0, np.inf)))]
    assert names[1:4] == ["at least: not grokked by the budget", "at most: not memorised", "nothing known"]
    names = [handle.get_label() for handle in delay_handles(table((4, 9)))]
    assert names == ["real world", "one run, and its bar", "median, 95 % interval"]


def test_the_median_and_its_interval_are_drawn_and_written():
    """Six runs: the interval reaches from the smallest lower to the largest upper bound."""
    ax = plot_delays(table((2, 3), (3, 4), (4, 6.25), (4, 6.25), (7, 8), (8, 9)))
    assert lines(ax, "median")[0].get_xdata() == [5]
    assert list(lines(ax, "interval")[0].get_xdata()) == [2, 9]
    assert numbers(ax) == ["5.0\n(2.0 to 9.0), n = 6"]
    assert not lines(ax, "open")


def test_an_interval_that_is_open_has_an_arrow():
    """One of six censored: the upper end is open; a median among censored runs is a lower bound."""
    ax = plot_delays(table(*[(2, 3)] * 5, (9, np.inf)))
    assert [line.get_marker() for line in lines(ax, "open")] == [">"]
    assert numbers(ax) == ["2.45\n(at least 2), n = 6"]
    ax = plot_delays(table((2, 3), (9, np.inf), (9, np.inf)))
    assert (lines(ax, "median")[0].get_marker(), lines(ax, "median")[0].get_xdata()) == (">", [9])
    assert numbers(ax) == ["> 9\n(no interval), n = 3"]


def test_runs_of_which_nothing_is_known_open_both_ends():
    """Neither interval nor median is drawn where there is none."""
    ax = plot_delays(table(*[(2, 3)] * 5, (0, np.inf)))
    assert numbers(ax)[0].endswith("(open at both ends), n = 6")
    assert not lines(ax, "interval")
    ax = plot_delays(table((0, 2), (0, np.inf), (0, np.inf)))
    assert numbers(ax) == ["unknown\n(no interval), n = 3"]
    assert not lines(ax, "median")


def test_cells_and_worlds_have_rows_of_their_own():
    """Two cells with two worlds: four rows, the real above the ideal one, and a heading each."""
    rows = [table((4, 9), world=world, cell=cell) for cell in "ab" for world in ("ideal", "real")]
    ax = plot_delays(pd.concat(rows))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real", "ideal", "real", "ideal"]
    assert [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"] == ["a", "b"]
    heights = [line.get_ydata()[0] for line in (*lines(ax, "delay real-0"), *lines(ax, "delay ideal-0"))]
    assert len({round(height, 3) for height in heights}) == 4


def test_the_caption_counts_what_is_unknown(make_results):
    """It names n, the interval, and the runs that broke; a study without any bound has no figure."""
    drawing = draw_delays(compare(make_results(seeds=8, censored=(1,), diverged=(2,))))
    assert drawing.name == "delays"
    assert "8 real and 8 ideal runs" in drawing.caption
    assert "distribution-free 95 % interval (from 6 runs)" in drawing.caption
    assert "of 1 that diverged or failed nothing is known (crosses)" in drawing.caption
    assert draw_delays(compare(make_results(seeds=2, evaluations=3))) is None


@pytest.mark.parametrize("axis", ["samples", "seconds"])
def test_the_delays_have_one_picture_on_every_axis(make_results, axis):
    """A ratio within a run does not depend on the unit; the axis says which were divided."""
    comparison = compare(make_results(seeds=3))
    assert (
        f"ratio of {'samples seen' if axis == 'samples' else axis}" in draw_delays(comparison.over(axis)).svg.decode()
    )

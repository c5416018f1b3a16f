"""The numbers that figures draw, against the marks in the figures themselves."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from deepboot.reports import compare
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.figures.numbers import numbers_of, points_of

CURVES = {"test_error", "test_soft_error", "bootstrap_error"}


@pytest.fixture(scope="module")
def drawings(make_results):
    """The figures of a small sweep with runs that never grok and one that diverged."""
    results = make_results(4, (1000, 2000), decays=(0.1, 0.3), evaluations=20, censored=(1,), diverged=(2,))
    return {one.name: one for one in draw_all(compare(results))}


def columns(drawing):
    """Its numbers, read back from their CSV."""
    return pd.read_csv(io.StringIO(drawing.numbers.csv))


def test_every_figure_but_the_curves_has_its_numbers(drawings):
    """Curves are in a page once, in the interactive figure, which makes their file."""
    assert {name for name, one in drawings.items() if one.numbers is None} == CURVES
    assert len(drawings) >= 10


def test_the_numbers_of_an_effect_plot_are_its_small_marks(drawings):
    """Every run's or pair's value, and no mean."""
    for name in ("effect_final_error", "effect_bootstrap_error"):
        (column,) = [one for one in columns(drawings[name]) if "error" in one]
        marks = [line for ax in drawings[name].figure.axes for line in ax.lines if line.get_linestyle() == "None"]
        drawn = sorted(float(value) for line in marks for value in line.get_ydata())
        assert np.allclose(sorted(columns(drawings[name])[column]), drawn, rtol=1e-3)


def test_the_numbers_of_a_map_are_those_of_its_squares(drawings):
    """And what is written in them."""
    (mesh,) = [one for ax in drawings["phase_map"].figure.axes[:1] for one in ax.collections]
    table = columns(drawings["phase_map"])
    assert np.allclose(sorted(table.iloc[:, 2]), sorted(np.ma.compressed(mesh.get_array())), rtol=1e-3)
    words = {text.get_text().replace("\n", ", ") for text in drawings["phase_map"].figure.axes[0].texts}
    assert words == set(table["written in"])


def test_numbers_are_whole_or_have_four_digits():
    """Nothing where there is none, and a bound that is open is called so."""
    rows = pd.DataFrame({"step": [1_500.0, math.inf], "share": [0.123456, math.nan], "cell": ["a, b", "c"]})
    table = numbers_of("two_rows", rows, {"cell": "cell", "step": "by step", "share": "share"})
    assert table.title == "Numbers of two rows"
    assert list(csv.reader(io.StringIO(table.csv))) == [
        ["cell", "by step", "share"], ["a, b", "1500", "0.1235"], ["c", "open", ""]]  # fmt: skip
    assert table.numbers == {"by step", "share"}


def test_points_of_a_figure_are_those_of_its_lines_and_dots():
    """Panel by panel, with the names of the marks."""
    figure = Figure()
    first, second = figure.subplots(1, 2)
    first.set_title("spectrum")
    first.plot([1, 2], [0.5, 0.25], label="key")
    second.scatter([3.0], [4.0], label="token")
    assert points_of(figure).to_numpy().tolist() == [
        ["spectrum", "key", 1.0, 0.5], ["spectrum", "key", 2.0, 0.25], ["panel 2", "token", 3.0, 4.0]]  # fmt: skip

"""Outcome classes of a sweep, as a map and as a table."""

import pandas as pd

from deepboot.reports import compare
from deepboot.reports.figures.outcomes import draw_outcome_map, plot_outcomes
from deepboot.reports.measures.classes import named_classifiers, outcome_table
from deepboot.reports.tables.cells import outcomes

CLAIM = {
    "kind": "outcome_profile",
    "classifier": "liu",
    "outcome": "grokking",
    "settings": {"min_delay": 1},
    "min_rate": 0.1,
}
SWEPT = {"seeds": 4, "train_sizes": (500, 750), "decays": (0.1, 0.3)}


def parts(ax):
    """Left end, width and class of every part of the bars."""
    return [(bar.get_x(), bar.get_width(), bar.get_gid().removeprefix("share ").split(" (")[0]) for bar in ax.patches]


def test_a_bar_is_the_runs_of_a_square():
    """Three runs of one class and one of another, side by side; a square without runs stays empty."""
    table = pd.DataFrame({"a": [1] * 4 + [2], "b": [5] * 4 + [6], "outcome": ["x", "x", "x", "z", "z"]})
    ax = plot_outcomes(table, over=("a", "b"), outcomes=["x", "y", "z"], color="#0072b2")
    assert [round(left, 6) for left, _, _ in parts(ax)] == [0.1, 0.7, 1.1]
    assert [(round(width, 6), name) for _, width, name in parts(ax)] == [(0.6, "x"), (0.2, "z"), (0.8, "z")]
    assert [text.get_text() for text in ax.texts] == ["3 of 4", "1 of 1"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2"]


def test_the_map_has_a_square_per_cell_and_a_world_per_map(make_results):
    """One run of four never groks on its pool, and one diverged; each class has a line in the legend."""
    comparison = compare(make_results(**SWEPT, censored=(1,), diverged=(2,), claims=[CLAIM]))
    drawing = draw_outcome_map(comparison)
    pool, ideal = drawing.figure.axes
    assert (pool.get_title(loc="left"), ideal.get_title(loc="left")) == ("on a pool", "ideal world")
    widths = {name: [round(width, 6) for _, width, own in parts(pool) if own == name] for _, _, name in parts(pool)}
    assert widths == {"grokking": [0.4] * 4, "memorisation": [0.2] * 4, "diverged": [0.2] * 4}
    assert {name for _, _, name in parts(ideal)} <= {"comprehension", "grokking"}
    (legend,) = drawing.figure.legends
    shown = {text.get_text() for text in legend.get_texts()}
    assert {"grokking", "grokking, ideal", "diverged", "memorisation"} <= shown
    assert drawing.caption.endswith("16 runs on a pool.")


def test_without_a_class_or_a_map_there_is_no_figure(make_results):
    """No claim about classes, or one swept setting."""
    assert draw_outcome_map(compare(make_results(**SWEPT))) is None
    assert draw_outcome_map(compare(make_results(4, (500, 750), claims=[CLAIM]))) is None
    assert not outcomes(compare(make_results(4, (500, 750)))).rows


def test_the_table_counts_every_class_of_every_cell(make_results):
    """By each classifier once, however many claims name it; counts of a cell add up to its runs."""
    other = CLAIM | {"settings": {"min_delay": 10_000}}
    comparison = compare(make_results(4, (500, 750), censored=(1,), claims=[CLAIM, CLAIM | {"min_rate": 0.2}, other]))
    assert named_classifiers(comparison) == [("liu", {"min_delay": 1}), ("liu", {"min_delay": 10_000})]
    table = outcome_table(comparison)
    real = table[(table["world"] == "real") & (table["outcome"] == "memorisation")]
    assert real[["n", "total"]].to_numpy().tolist() == [[1, 4]] * 4
    sums = table.groupby(["classifier", "cell", "world"])["n"].sum()
    assert (sums % 4 == 0).all()
    rows = outcomes(comparison).rows
    assert any(row[1:] == ("real", "Liu's, min_delay 1", "grokking", "3 of 4") for row in rows)
    assert any(row[1:] == ("real", "Liu's, min_delay 10,000", "comprehension", "3 of 4") for row in rows)
    assert len(rows) == len(table)

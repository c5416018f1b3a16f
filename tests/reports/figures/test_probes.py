"""Figures of probes: what is drawn where, in which colours, and what the captions say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from deepboot.bootstrap.columns import PROBE_COLUMNS
from deepboot.reports import compare
from deepboot.reports.figures import gallery, probes
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.figures.style import COLORS

DEFINED = {"environment": {"probes": {"norms": "Length of each thing.", "scale": "Size of the rest."}}}


@pytest.fixture
def probed(make_results):
    """Results with a probe of two values and one of one, which the ideal world lacks."""

    def make(**changes):
        held = make_results(seeds=3, evaluations=20, **changes)
        rows = held.evaluations[["run_id", "step"]]
        parts = [rows.assign(name=name, value=rows["step"] * factor) for name, factor in
                 (("norms.a", 1.0), ("norms.b", 2.0), ("scale", 3.0))]  # fmt: skip
        table = pd.concat(parts, ignore_index=True)[list(PROBE_COLUMNS)].astype(PROBE_COLUMNS)
        ideal = held.runs.loc[held.runs["world"] == "ideal", "run_id"]
        table.loc[(table["name"] == "scale") & table["run_id"].isin(ideal), "value"] = np.nan
        return dataclasses.replace(held, probes=table, **DEFINED)

    return make


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, by name."""
    figures, render = {}, probes.rendered

    def rendered(name, figure, *rest):
        figures[name] = figure
        return render(name, figure, *rest)

    monkeypatch.setattr(probes, "rendered", rendered)
    return figures


def test_a_probe_of_several_values_has_a_figure_and_all_others_share_one(probed, drawn):
    """A panel for each value, with the worlds in their colours and the first reuse."""
    made = probes.draw_probes(compare(probed()))
    assert [drawing.name for drawing in made] == ["probe-norms", "probes"]
    panels = drawn["probe-norms"].axes
    assert [ax.get_title(loc="left") for ax in panels] == ["a", "b"]
    for ax, factor in zip(panels, (1, 2), strict=True):
        means = {line.get_label(): line for line in ax.lines if line.get_label() in COLORS}
        assert {world: to_hex(line.get_color()) for world, line in means.items()} == COLORS
        assert means["real"].get_linestyle() == "-"
        assert means["ideal"].get_linestyle() == "--"
        assert np.array_equal(means["real"].get_ydata(), factor * means["real"].get_xdata())
        assert ax.get_xscale() == "symlog"
    (ax,) = drawn["probes"].axes
    assert {line.get_label() for line in ax.lines} & set(COLORS) == {"real"}
    assert ax.get_ylabel() == "scale"


def test_captions_define_the_probes(probed):
    """By the first line of their documentation, with the runs that have values."""
    norms, rest = (drawing.caption for drawing in probes.draw_probes(compare(probed())))
    assert norms.startswith(
        "norms over steps, 3 real and 3 ideal runs. norms: Length of each thing. Each thin line is a seed. "
    )
    assert rest.startswith("scale over steps, 3 real runs. scale: Size of the rest. Each thin line is a seed. ")
    unknown = dataclasses.replace(probed(), environment={})
    assert probes.draw_probes(compare(unknown))[1].caption.startswith(
        "scale over steps, 3 real runs. Each thin line is a seed. "
    )


def test_several_cells_are_columns(probed, drawn):
    """Values are rows, on one axis in all cells; what does not fit is counted."""
    made = probes.draw_probes(compare(probed(train_sizes=(250, 500, 750, 1_000))))
    axes = drawn["probe-norms"].axes
    assert len(axes) == 2 * 3
    assert [ax.get_title(loc="left") for ax in axes] == [f"train_size {size}" for size in (250, 500, 750)] + [""] * 3
    assert [ax.get_ylabel() for ax in axes] == ["a", "", "", "b", "", ""]
    assert made[0].caption.endswith(" The first 3 of 4 cells are drawn; the others are in the tables.")


def test_of_many_values_the_first_are_drawn(probed, drawn):
    """And the caption says so."""
    held = probed()
    one = held.probes[held.probes["name"] == "norms.a"]
    many = pd.concat([one.assign(name=f"norms.{number}") for number in range(20)], ignore_index=True)
    (made,) = probes.draw_probes(compare(dataclasses.replace(held, probes=many)))
    assert len(drawn["probe-norms"].axes) == 12
    assert made.caption.endswith(" The first 12 of 20 values are drawn; probes.parquet has all.")


def test_probes_stand_under_the_errors_on_the_same_axis(probed, drawn, monkeypatch):
    """In samples seen if that is asked for; over seconds they stay on steps."""
    comparison = compare(probed())
    names = [drawing.name for drawing in draw_all(comparison)]
    assert names[:5] == ["test_error", "test_soft_error", "probe-norms", "probes", "bootstrap_error"]
    monkeypatch.setattr(gallery, "paged", lambda draw, comparison: [])  # the other figures need no second drawing
    draw_all(comparison, "samples")
    (real,) = [line for line in drawn["probe-norms"].axes[0].lines if line.get_label() == "real"]
    assert np.array_equal(real.get_xdata(), 100 * real.get_ydata())
    by_name = {drawing.name: drawing.caption for drawing in draw_all(comparison, "seconds")}
    assert by_name["probes"].endswith(
        " It stays on steps: runs are evaluated at the same steps, not at the same seconds."
    )


def test_without_probes_there_is_no_figure(make_results):
    """Nor where no value is a number."""
    assert probes.draw_probes(compare(make_results(seeds=2))) == []


def test_a_run_in_two_folders_counts_once(probed):
    """Its values are the same."""
    held = probed()
    assert len(probes.probe_curves(compare([held, held]))) == len(probes.probe_curves(compare(held)))

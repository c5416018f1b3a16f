import numpy as np
import pandas as pd
import pytest

from deepboot.reports.figures.representation import (
    plot_bits,
    plot_chain,
    plot_circle,
    plot_cosets,
    plot_interpolation,
    plot_neurons,
    plot_spectrum,
)


def points(tokens=7):
    angle = 2 * np.pi * np.arange(tokens) / tokens
    return pd.DataFrame(
        {"position": range(tokens), "token": range(10, 10 + tokens), "x": np.cos(angle), "y": np.sin(angle)}
    )


def named(ax, gid):
    return [artist for artist in [*ax.lines, *ax.collections] if artist.get_gid() == gid]


def test_spectra_are_a_map_of_frequency_over_step():
    """Frequency 1 is at the bottom, steps ascend as numbers, and colours begin at a share of 0."""
    table = pd.DataFrame({"step": [20, 20, 100, 100], "frequency": [1, 2, 1, 2], "share": [0.25, 0.75, 0.0, 1.0]})
    ax = plot_spectrum(table)
    values = ax.collections[0].get_array().reshape(2, 2)
    assert values.tolist() == [[0.75, 1.0], [0.25, 0.0]]
    assert ax.collections[0].get_clim() == (0, 1)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["20", "100"]


def test_chains_join_each_token_to_the_one_a_stride_on():
    """A link per token, from n to n + 3, whatever the order of rows; tokens carry their own numbers."""
    ax = plot_chain(points().sample(frac=1, random_state=0), stride=3)
    links = named(ax, "link")
    place = points()[["x", "y"]].to_numpy()
    assert [link.get_xydata().tolist() for link in links] == [
        [place[n].tolist(), place[(n + 3) % 7].tolist()] for n in range(7)
    ]
    assert sorted(text.get_text() for text in ax.texts) == [str(token) for token in range(10, 17)]


def test_the_ring_of_a_circle_goes_around_once():
    """At frequency 2 neighbours on the ring are the tokens 4 apart, since 2 · 4 = 8 = 1 modulo 7."""
    table = points().assign(frequency=2, r_squared=0.987)
    (ring,) = named(plot_circle(table), "ring")
    assert ring.get_xydata() == pytest.approx(table.loc[[0, 4, 1, 5, 2, 6, 3, 0], ["x", "y"]].to_numpy())


def test_cosets_have_a_colour_each():
    """Elements are found by their token, not by their row."""
    table = points(4).assign(token=[3, 2, 1, 0])
    ax = plot_cosets(table, part=[0, 0, 1, 1])
    (first,), (second,) = named(ax, "coset 0"), named(ax, "coset 1")
    assert np.asarray(first.get_offsets()) == pytest.approx(table.loc[[2, 3], ["x", "y"]].to_numpy())
    assert first.get_facecolor().tolist() != second.get_facecolor().tolist()


def test_units_are_rays_of_their_norm():
    """One of length 2 straight up."""
    ax = plot_neurons(pd.DataFrame({"phase": [np.pi / 2], "input_norm": [2.0]}))
    assert ax.lines[0].get_xydata()[1] == pytest.approx([0, 2])


def test_relevant_bits_stand_out():
    """A line per bit, of which one of each kind is in the legend."""
    table = pd.DataFrame({"step": [0, 10] * 3, "bit": [0, 0, 1, 1, 2, 2], "relevant": [True] * 2 + [False] * 4})
    ax = plot_bits(table.assign(norm=[1, 2, 1, 0.5, 1, 0.5]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["other bits", "relevant bits"]
    (relevant,) = named(ax, "bit 0")
    assert relevant.get_ydata().tolist() == [1, 2]
    assert relevant.get_color() != named(ax, "bit 1")[0].get_color()


def test_metrics_run_from_one_checkpoint_to_the_other():
    """A line per metric over the share of the second checkpoint."""
    ax = plot_interpolation(pd.DataFrame({"share": [0, 0.5, 1], "train": [0, 1, 0], "test": [2, 3, 1]}))
    assert [line.get_ydata().tolist() for line in ax.lines[:2]] == [[0, 1, 0], [2, 3, 1]]

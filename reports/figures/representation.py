"""Figures of what a network holds: spectra, circles, chains, cosets, hidden units, bits, and lines between checkpoints.

Each draws a table of `reports.representation` for one run (and, but for spectra and bits, one step).
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from deepboot.reports.figures.style import GREY, INK, OTHERS, PALE, new_axes, step_axis
from deepboot.reports.text import measure

MARKERS = "osD^vP*X"


def plot_spectrum(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Share of every frequency in a layer's power, as a map of frequency over kept steps.

    Args:
        table: ``step, frequency, share`` of `spectra.spectrum_table`, of one run and layer.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    share = table.pivot(index="frequency", columns="step", values="share").sort_index(ascending=False)
    every_x, every_y = (max(1, size // 12) for size in share.shape[::-1])
    sns.heatmap(
        share.astype(float), vmin=0, cmap="mako_r", ax=ax,
        xticklabels=every_x, yticklabels=every_y, cbar_kws={"label": "share of power"},
    )  # fmt: skip
    ax.set(xlabel="kept step", ylabel="frequency")
    return ax


def plot_circle(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Tokens in the plane of one frequency, joined by a line in the order of their angles on the circle.

    Args:
        table: ``frequency, r_squared, position, token, x, y`` of `circles.circle_points`, of one frequency.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    tokens, frequency = len(table), int(table["frequency"].iloc[0])
    around = table.assign(turn=table["position"] * frequency % tokens).sort_values("turn")
    ring = pd.concat([around, around.head(1)])
    ax.plot(ring["x"], ring["y"], color=GREY, linewidth=0.8, gid="ring")
    _tokens(ax, table)
    ax.set_title(f"frequency {frequency}, R² {measure(float(table['r_squared'].iloc[0]))}")
    return ax


def plot_chain(table: pd.DataFrame, *, stride: int, ax: Axes | None = None) -> Axes:
    """Tokens in the plane, with a line from each n to n + k.

    Args:
        table: ``position, token, x, y`` of `embeddings.point_table`.
        stride: k, as in `chains.best_chain`.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    points_P2 = table.sort_values("position")[["x", "y"]].to_numpy(float)
    for start, end in zip(points_P2, np.roll(points_P2, -stride, axis=0), strict=True):
        ax.plot(*zip(start, end, strict=True), color=INK, linewidth=0.8, alpha=0.7, gid="link", zorder=1)
    _tokens(ax, table)
    ax.set_title(f"n joined to n + {stride}")
    return ax


def plot_cosets(table: pd.DataFrame, *, part: Any, ax: Axes | None = None) -> Axes:
    """Elements of a group in the plane, in the colour and mark of their coset.

    Args:
        table: ``token, x, y`` of `embeddings.point_table`.
        part: the coset of every token, as in `cosets.coset_parts`.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    part_G = np.asarray(part)
    coset = table["token"].map(lambda token: part_G[token])
    colors = sns.color_palette("husl", int(part_G.max()) + 1)
    for number, rows in table.groupby(coset):
        marks: Any = {"color": colors[int(number)], "marker": MARKERS[int(number) % len(MARKERS)]}
        ax.scatter(rows["x"], rows["y"], s=16, linewidth=0, gid=f"coset {number}", **marks)
    return _bare(ax)


def plot_neurons(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Hidden units as rays from 0: direction their phase, length the norm of their input weights.

    Args:
        table: ``phase, input_norm`` of `neurons.neuron_table`, of one frequency.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    for phase, norm in table[["phase", "input_norm"]].to_numpy(float):
        end = norm * np.cos(phase), norm * np.sin(phase)
        ax.plot([0, end[0]], [0, end[1]], color=INK, linewidth=1.2, marker="o", markevery=[1], markersize=3)
    ax.plot(0, 0, color=INK, marker="+", markersize=6)
    return _bare(ax)


def plot_bits(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Norm of every bit's input weights over kept steps: the relevant bits black, the others grey and dashed.

    Args:
        table: ``step, bit, relevant, norm`` of `bits.bit_table`, of one run.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    for (relevant, bit), rows in table.sort_values("step").groupby(["relevant", "bit"]):
        style: Any = {"color": INK} if relevant else {"color": GREY, "linestyle": (0, (5, 2)), "alpha": 0.6}
        label = ("relevant bits" if relevant else "other bits") if bit in _first_bits(table) else None
        ax.plot(rows["step"].astype(float), rows["norm"], linewidth=1.1, label=label, gid=f"bit {bit}", **style)
    step_axis(ax, table["step"])
    ax.set(ylabel="norm of input weights")
    ax.set_ylim(bottom=0)
    ax.legend(title="")
    return ax


def plot_interpolation(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The metrics of `interpolation.interpolation_table` on the line between two checkpoints.

    Args:
        table: ``share``, then a column per metric.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    long = table.melt("share", var_name="metric")
    colors = dict(zip(long["metric"].unique(), itertools.cycle([INK, *(color for color, _ in OTHERS)]), strict=False))
    sns.lineplot(long, x="share", y="value", hue="metric", style="metric", palette=colors, ax=ax)
    ax.set(xlabel="share of the second checkpoint", ylabel="")
    ax.legend(title="")
    return ax


def _first_bits(table: pd.DataFrame) -> set[int]:
    """The first relevant bit and the first of the others, which carry the legend."""
    return set(table.groupby("relevant")["bit"].min())


def _tokens(ax: Axes, table: pd.DataFrame) -> None:
    """A number at the place of every token, on a pale disc."""
    ax.scatter(table["x"], table["y"], s=60, color=PALE, linewidth=0, zorder=2, gid="tokens")
    for token, x, y in zip(table["token"], table["x"], table["y"], strict=True):
        ax.text(x, y, str(token), fontsize=5, color=INK, ha="center", va="center", zorder=3)
    _bare(ax)


def _bare(ax: Axes) -> Axes:
    """A plane whose two axes have one scale and no meaning of their own."""
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.08)
    ax.set(xticks=[], yticks=[])
    sns.despine(ax=ax, left=True, bottom=True)
    return ax

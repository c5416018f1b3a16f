"""What is drawn of whole cells rather than of curves: survival, real against ideal, maps of two settings, scale."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from reports.clocks import Axis
from reports.figures import COLORS, GREY, INK, OTHERS, look, new_axes, ordered, step_axis, to_the_last_step


def plot_survival(
    table: pd.DataFrame, *, ax: Axes | None = None, worlds: list[str] | None = None, axis: Axis = "step"
) -> Axes:
    """Share of the runs that have not grokked by a step, one staircase per world with its pointwise interval.

    Args:
        table: ``world``, then the columns of `reports.survival.survival_curve`.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels: they decide the looks of other rules.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    for world, curve in to_the_last_step(table):
        color, dash = look(world, worlds)
        steps, share, low, high = (curve[name].to_numpy(float) for name in ("step", "survival", "low", "high"))
        ax.fill_between(steps, low, high, step="post", color=color, alpha=0.13, linewidth=0)
        ax.step(steps, share, where="post", color=color, linestyle=dash, linewidth=1.6, label=world)
    step_axis(ax, table["step"], axis)
    ax.set(ylabel="share not grokked yet", ylim=(-0.02, 1.02))
    return ax


def plot_scatter(table: pd.DataFrame, *, means: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """The real world against the ideal one, a dot per pair; on the line both are equal.

    Args:
        table: ``cell, real, ideal, metric``, one row per pair.
        means: ``real, real_low, real_high, ideal, ideal_low, ideal_high``, a cross for each row.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    cells = list(table["cell"].unique())
    colors = [COLORS["real"], COLORS["ideal"], *(color for color, _ in OTHERS), GREY]
    ends = table[["real", "ideal"]].to_numpy(float)
    edge = (min(float(np.nanmin(ends)), 0.0), float(np.nanmax(ends)) * 1.05 or 1.0)
    ax.plot(edge, edge, color=GREY, linewidth=0.8, gid="equal")
    for place, cell in enumerate(cells):
        rows = table[table["cell"] == cell]
        color = colors[place % len(colors)]
        ax.scatter(rows["ideal"], rows["real"], s=14, color=color, alpha=0.8, linewidth=0, label=str(cell), zorder=3)
    for row in [] if means is None else means.to_dict("records"):
        across, up = ([row[f"{world}_{end}"] for end in ("low", "high")] for world in ("ideal", "real"))
        ax.plot(across, [row["real"]] * 2, color=INK, linewidth=0.9, gid="mean", zorder=4)
        ax.plot([row["ideal"]] * 2, up, color=INK, linewidth=0.9, gid="mean", zorder=4)
    name = str(table["metric"].iloc[0]).replace("_", " ")
    ax.set(xlabel=f"ideal world, {name}", ylabel=f"real world, {name}", xlim=edge, ylim=edge)
    ax.set_aspect("equal")
    if 1 < len(cells) <= len(colors):
        ax.legend(title="", fontsize=7)
    return ax


def plot_phase_map(table: pd.DataFrame, *, over: tuple[str, str], ax: Axes | None = None) -> Axes:
    """Share of the real runs that grokked, for every pair of two settings, with their median step written in.

    Args:
        table: the two settings, ``share`` and ``text``, one row per cell.
        over: the settings across and up.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    across, up = over
    shape: dict[str, Any] = {"index": up, "columns": across}
    share = table.pivot(values="share", **shape).sort_index(ascending=False)
    text = table.pivot(values="text", **shape).reindex_like(share).fillna("")
    sns.heatmap(
        share.astype(float), annot=text.to_numpy(), fmt="", vmin=0, vmax=1, cmap="crest", linewidths=0.6,
        annot_kws={"fontsize": 7}, cbar_kws={"label": "share that grokked"}, ax=ax,
    )  # fmt: skip
    ax.set(xlabel=across, ylabel=up)
    return ax


def plot_scale(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Model steps a second of one process against the members of its pack, a line per benchmark.

    Args:
        table: ``name, members, rate``, one row per benchmark and number of members.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    sns.lineplot(table, x="members", y="rate", hue="name", style="name", markers=True, dashes=False, ax=ax)
    ax.set(xscale="log", yscale="log", xlabel="members stepped together", ylabel="model steps per second")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.legend(title="")
    return ax

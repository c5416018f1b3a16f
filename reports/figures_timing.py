"""What is drawn of events: when runs memorise and grok, and what becomes of those that do not."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.clocks import Axis
from reports.figures import GREY, PALE, look, new_axes, ordered, step_axis, to_the_last_step

GROUP = 2.8  # height of a cell in the figure of steps: two rows and its name
BROKEN = ("diverged", "failed")
BROKEN_DASH = (0, (1, 1.2))
DOT: dict[str, Any] = {"linestyle": "", "markersize": 4.5}  # of a legend


def plot_steps(table: pd.DataFrame, *, ax: Axes | None = None, axis: Axis = "step") -> Axes:
    """When every run memorised and grokked: a dot at the first evaluation that shows it, a bar back to the last before.

    Censored runs are open circles at their last evaluation; runs that diverged or failed before are crosses at
    the right edge.

    Args:
        table: rows of `reports.timing.event_times`.
        ax: where to draw; new axes otherwise.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = ordered(table["world"])
    cells = list(table["cell"].unique())
    ends = table[["memorization_low", "memorization_high", "grokking_low", "grokking_high"]].to_numpy(dtype=float)
    known = ends[np.isfinite(ends)]
    last = float(np.max(known, initial=0.0)) or 1.0
    for (group, cell), (row, event) in itertools.product(enumerate(cells), enumerate(("memorization", "grokking"))):
        place = group * GROUP + row
        for world in worlds:
            runs = table[(table["cell"] == cell) & (table["world"] == world)].dropna(subset=f"{event}_outcome")
            heights = place + _offset(worlds.index(world), len(worlds)) + spread(len(runs), 0.42 / len(worlds))
            _dots(ax, runs, event, heights, color=look(world, worlds)[0], edge=last)
    positive = known[known > 0]
    first = float(np.min(positive)) / 1.5 if len(positive) and (known > 0).all() else None
    step_axis(ax, pd.Series(known), axis, low=first, high=1.35)
    rows = [group * GROUP + row for group in range(len(cells)) for row in (0, 1)]
    name_rows(ax, rows, ["memorisation", "grokking"] * len(cells))
    headings(ax, [(group * GROUP, str(cell)) for group, cell in enumerate(cells)], (len(cells) - 1) * GROUP + 1.6)
    return ax


def plot_incidence(
    table: pd.DataFrame, *, ax: Axes | None = None, worlds: list[str] | None = None, axis: Axis = "step"
) -> Axes:
    """Shares of the runs that have grokked, and that have diverged or failed before, by a step.

    Args:
        table: ``world``, then the columns of `reports.survival.cumulative_incidence`.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels: they decide the looks of other rules.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    for world, curve in to_the_last_step(table):
        color, dash = look(world, worlds)
        steps, reached, broken = (curve[name].to_numpy(float) for name in ("step", "reached", "diverged"))
        ax.step(steps, reached, where="post", color=color, linestyle=dash, linewidth=1.8, label=world)
        if broken[-1] > 0:
            rises = np.diff(broken, prepend=0.0) > 0
            ax.step(
                steps, broken, where="post", color=color, linestyle=BROKEN_DASH, linewidth=1.3, gid=f"broken {world}"
            )
            ax.plot(steps[rises], broken[rises], color=color, marker="x", linestyle="", markersize=4, zorder=3)
    step_axis(ax, table["step"], axis)
    ax.set(ylabel="share of runs", ylim=(-0.02, 1.02))
    return ax


def step_handles(worlds: list[str], outcomes: set[str]) -> list[Line2D]:
    """Legend entries of `plot_steps`: worlds, and the outcomes that occur."""
    handles = world_dots(worlds)
    if "censored" in outcomes:
        handles.append(
            Line2D([], [], marker="o", color=GREY, markerfacecolor="white", label="not by the budget", **DOT)
        )
    if outcomes & set(BROKEN):
        handles.append(Line2D([], [], marker="x", color=GREY, label="diverged or failed before", **DOT))
    return handles


def broken_handle() -> Line2D:
    """Legend entry of the runs that broke in `plot_incidence`."""
    return Line2D([], [], color=GREY, linestyle=BROKEN_DASH, marker="x", markersize=4, label="diverged or failed")


def world_dots(worlds: list[str]) -> list[Line2D]:
    """Legend entries of worlds that are drawn as dots."""
    return [
        Line2D([], [], marker="o", color=look(world, worlds)[0], label=f"{world} world", **DOT)
        for world in ordered(worlds)
    ]


def name_rows(ax: Axes, places: list[float], names: list[str]) -> None:
    """Names of the rows, without an axis beside them."""
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def headings(ax: Axes, cells: list[tuple[float, str]], bottom: float) -> None:
    """The cells' names above their first rows, where there is more than one cell."""
    ax.set_ylim(bottom, -1.0 if len(cells) > 1 else -0.6)
    for place, cell in cells if len(cells) > 1 else []:
        across, top = ax.get_yaxis_transform(), place - 0.72
        over: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(0.005, top, cell, transform=across, fontweight="bold", va="center", fontsize=8, bbox=over)
        if place:
            ax.axhline(top - 0.36, color=PALE, linewidth=0.7, zorder=0)


def _dots(ax: Axes, runs: pd.DataFrame, event: str, heights: np.ndarray, *, color: str, edge: float) -> None:
    for run, height in zip(runs.to_dict("records"), heights, strict=True):
        low, high, outcome = run[f"{event}_low"], run[f"{event}_high"], run[f"{event}_outcome"]
        style: dict[str, Any] = {"color": color, "gid": f"{event} {run['run_id']}", "zorder": 3, "linestyle": ""}
        if outcome == "reached":
            ax.plot([low, high], [height, height], color=color, linewidth=0.9, alpha=0.6, zorder=2)
            ax.plot([high], [height], marker="o", markersize=3.2, **style)
        elif outcome == "censored":
            ax.plot([low], [height], marker="o", markersize=3.6, markerfacecolor="white", markeredgewidth=0.9, **style)
        else:
            ax.plot([edge * 1.15], [height], marker="x", markersize=3.6, markeredgewidth=0.9, **style)


def _offset(place: int, worlds: int) -> float:
    return (place - (worlds - 1) / 2) * 0.7 / worlds


def spread(n: int, width: float) -> np.ndarray:
    """Heights of n runs in a row, around its middle."""
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(n)

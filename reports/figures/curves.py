"""Marks of curves: each function draws a table onto axes, and computes no more than a mean and its band.

Worlds keep their colour and dash in every figure, so that print and the colour-blind can tell them apart.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deepboot.reports.figures.facets import some_of
from deepboot.reports.figures.style import (
    CHANCE_LINE,
    TRAIN_DASH,
    mark_step,
    new_axes,
    ordered,
    round_ticks,
    step_axis,
    world_style,
)
from deepboot.reports.statistics.intervals import T_MIN, t_interval
from deepboot.reports.time_axis import Axis


def plot_worlds(
    table: pd.DataFrame,
    *,
    metric: str,
    ax: Axes | None = None,
    worlds: list[str] | None = None,
    axis: Axis = "step",
    chance: Iterable[float] = (),
) -> Axes:
    """One metric over steps: a thin line per seed, under each world's mean and its band.

    Real is solid, ideal dashed, every other rule has a dash of its own; where the metric has a train side, the
    mean of the real world's is dotted. The grey line is the first reuse: the worlds are identical up to it.
    Mean and band (95 % t interval of the mean at each step, at least 3 seeds) are drawn where every seed has a value.

    Args:
        table: rows of `Comparison.curves` of one cell: ``run_id, world, step``, the metric, ``first_reuse_step``.
        metric: its column.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels, so that a rule has one colour in all of them.
        axis: the unit of the steps.
        chance: levels of guessing, a dotted line each.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    bounded = (0.0, 1.0) if metric.endswith("error") else (-math.inf, math.inf)
    for world in reversed(ordered(table["world"])):
        color, dash = world_style(world, worlds)
        wide = by_run(table[table["world"] == world], metric)
        thin_lines(ax, wide, color=color, dash=dash)
        _divergence_marks(
            ax, wide, set(table.loc[table["status"] == "diverged", "run_id"]) if "status" in table else set(), color
        )
        mean_and_band(ax, wide, color=color, dash=dash, label=world, limits=bounded)
        train = metric.replace("test_", "train_")
        if world != "ideal" and train != metric and train in table:
            _mean_line(ax, by_run(table[table["world"] == world], train), color=color, dash=TRAIN_DASH, width=1.1)
    for level in chance:
        ax.axhline(level, gid="chance", zorder=1, **CHANCE_LINE)
    step_axis(ax, table["step"], axis)
    round_ticks(ax)
    mark_step(ax, table["first_reuse_step"], "first reuse", high=False)
    ax.set_ylabel(f"{metric.replace('_', ' ')}{' (share)' if metric.endswith('_error') else ''}")
    if metric.endswith("error"):
        ax.set_ylim(min(-0.02, ax.get_ylim()[0]), max(0.1, ax.get_ylim()[1]))
    return ax


def to_the_last_step(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every world's staircase, drawn on to the last step of all; the real world comes last and lies on top."""
    last = float(table["step"].max())
    for world in reversed(ordered(table["world"])):
        curve = table[table["world"] == world].sort_values("step")
        yield world, pd.concat([curve, curve.tail(1).assign(step=last)], ignore_index=True)


def by_run(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column by step (rows) and run (columns)."""
    return table.astype({"step": float}).pivot(index="step", columns="run_id", values=column).astype(float)


def thin_lines(ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any) -> None:
    """A line per run, the paler the more there are; of a great many some."""
    alpha = min(0.5, max(0.12, 3 / max(wide.shape[1], 1)))
    seed_style: dict[str, Any] = {"color": color, "linestyle": dash, "linewidth": 0.6, "alpha": alpha, "zorder": 2}
    run_ids = sorted(wide.columns)
    for run_id in (run_ids[index] for index in some_of(len(run_ids))):
        kept = wide[run_id].dropna()
        if len(kept):
            ax.plot(kept.index.to_numpy(), kept.to_numpy(), gid=f"seed {run_id}", **seed_style)


def _divergence_marks(ax: Axes, wide: pd.DataFrame, diverged: set[Any], color: str) -> None:
    """A cross where the curve of a run that diverged ends."""
    for run_id in sorted(diverged & set(wide.columns)):
        kept = wide[run_id].dropna()
        ax.plot(
            kept.index[-1:], kept.iloc[-1:], color=color, marker="x", markersize=4, gid=f"diverged {run_id}", zorder=4
        )


def mean_and_band(
    ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any, label: str, limits: tuple[float, float]
) -> None:
    """The mean of all runs and, from three on, its t interval at each step, cut off at the limits."""
    whole = _mean_line(ax, wide, color=color, dash=dash, width=1.9, label=label)
    if wide.shape[1] >= T_MIN and len(whole):
        low, high = np.clip([t_interval(values) for values in whole.to_numpy()], *limits).T
        ax.fill_between(whole.index.to_numpy(), low, high, color=color, alpha=0.16, linewidth=0, zorder=1.5)


def _mean_line(
    ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any, width: float, label: str | None = None
) -> pd.DataFrame:
    """Draw the mean of all runs at the steps where every one of them has a value; the values of these steps."""
    whole = wide.dropna()
    mean_style: dict[str, Any] = {"color": color, "linestyle": dash, "linewidth": width, "zorder": 3}
    if not whole.empty:
        ax.plot(whole.index.to_numpy(), whole.to_numpy().mean(axis=1), label=label, **mean_style)
    return whole

"""Marks on the curves of a figure: both worlds' median memorisation and grokking steps, and the chance level."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from deepboot.bootstrap.results import among
from deepboot.reports.figures.style import CHANCE_LINE, INK, ordered, world_style
from deepboot.reports.statistics.intervals import median_bounds

EVENTS = {"memorization": ("o", "memorised"), "grokking": ("D", "grokked")}  # marker and word in the legend
MARKED = "Circle: median step of memorising. Diamond: median step of grokking. Each is drawn if at least half of the "
MARKED += "runs get there. The distance between the worlds' diamonds is the delay. "
CHANCE = "Dotted grey line: chance, the error of guessing evenly among the labels. "


def mark_medians(ax: Axes, table: pd.DataFrame, times: pd.DataFrame, *, metric: str, worlds: list[str]) -> None:
    """A mark on each world's mean curve where the median run has memorised, and where it has grokked.

    A world with a pool memorises on its train curve. An event that half of the runs do not reach has no mark.

    Args:
        ax: axes with the curves of `plot_worlds`.
        table: the rows that these were drawn from.
        times: ``run_id`` and the bounds of every run's events, as in `reports.measures.events.event_times`.
        metric: the column that was drawn.
        worlds: all worlds of the figure.
    """
    for world in ordered(table["world"]):
        rows = table[table["world"] == world]
        runs = _times_of(rows, times)
        for event, (marker, _) in EVENTS.items():
            train = metric.replace("test_", "train_")
            column = train if event == "memorization" and world != "ideal" and train in rows else metric
            at = _median_step(runs, event)
            mean = _mean(rows, column) if at is not None else pd.Series(dtype=float)
            if at is not None and len(mean):
                style: dict[str, Any] = {"color": world_style(world, worlds)[0], "markeredgecolor": INK}
                height = float(np.interp(at, mean.index.to_numpy(), mean.to_numpy()))
                ax.plot([at], [height], marker=marker, markersize=6, zorder=5, gid=f"median {event} {world}", **style)


def mark_handles(table: pd.DataFrame, times: pd.DataFrame) -> list[Line2D]:
    """Legend entries of the events that half of some world's runs reach."""
    handles = []
    by_world = [_times_of(rows, times) for _, rows in table[["run_id", "world"]].drop_duplicates().groupby("world")]
    for event, (marker, word) in EVENTS.items():
        if any(_median_step(runs, event) is not None for runs in by_world):
            style: dict[str, Any] = {"color": "none", "markerfacecolor": "none", "markeredgecolor": INK}
            handles.append(Line2D([], [], marker=marker, markersize=5, label=word, **style))
    return handles


def chance_handle() -> Line2D:
    """Legend entry of the chance level in `plot_worlds`."""
    return Line2D([], [], label="chance", **CHANCE_LINE)


def _mean(rows: pd.DataFrame, column: str) -> pd.Series:
    """The mean of a column over all runs, by step, where each of them has a value."""
    values = rows[column].astype(float).groupby(rows["step"].astype(float)).agg(["mean", "count"])
    return values.loc[values["count"] == rows["run_id"].nunique(), "mean"]


def _times_of(rows: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The times of the runs of these rows."""
    return times[among(times["run_id"], rows["run_id"].drop_duplicates())]


def _median_step(runs: pd.DataFrame, event: str) -> float | None:
    """The median step of an event; None where it is not measured or half of the runs do not reach it."""
    known = runs[[f"{event}_low", f"{event}_high"]].astype(float).dropna()
    median = median_bounds(known[f"{event}_low"], known[f"{event}_high"])
    if median is None or math.isinf(median.high):
        return None
    return math.sqrt(median.low * median.high) if median.low > 0 else median.high

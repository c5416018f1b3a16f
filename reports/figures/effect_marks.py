"""Marks of an effect plot: single runs, their medians or means joined over a swept setting, and intervals."""

import math
from itertools import product
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deepboot.reports.figures.style import GREY
from deepboot.reports.figures.theme import MARKERS, tone
from deepboot.reports.statistics.intervals import median_bounds, median_interval, t_interval
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import count, setting

Steps = TypeVar("Steps", float, pd.Series)
Styles = dict[str, tuple[str, Any]]  # hue and dash of every world
WIDE = 8  # ratio of the largest to the smallest positive number from which their axis is logarithmic
DODGE = 0.018  # of the axis, between colours


def plot_grokking(table: pd.DataFrame, *, colors: list[str], styles: Styles, ax: Axes) -> Axes:
    """Grokking steps over ``x``: a small mark per run, a line through the medians, and their intervals from six runs.

    A run that never grokked is an open triangle at its last step, one that diverged or failed a cross there.

    Args:
        table: ``x, color, world, outcome, low, high, budget``, one row per run.
        colors: all values of the second setting in the figure, a tone and a marker each.
        styles: of all worlds in the figure.
        ax: where to draw.
    """
    for x, rows, style in _groups(table, colors, styles):
        reached = rows["outcome"] == "reached"
        steps = middle(rows["low"], rows["high"])[reached]
        ax.plot(x[reached], steps, **style["runs"])
        for broken, marker in ((False, "^"), (True, "x")):
            ends = rows[~reached & (rows["outcome"].isin(BROKEN) == broken)]
            open_style = style["runs"] | {"marker": marker, "markerfacecolor": "none", "markersize": 6, "alpha": 0.9}
            ax.plot(x[ends.index], ends["budget"], gid="never" if not broken else "broken", **open_style)
        medians = [(at, median_bounds(cell["low"], cell["high"]), cell) for at, cell in rows.groupby(x[rows.index])]
        known = [(at, middle(one.low, one.high)) for at, one, _ in medians if one and math.isfinite(one.high)]
        ax.plot(*zip(*known, strict=True), **style["line"]) if known else None
        for at, _, cell in medians:
            interval = median_interval(cell["low"], cell["high"])
            if interval and math.isfinite(interval.low):
                high = min(interval.high, float(cell["budget"].max()))
                ax.plot([at, at], [max(interval.low, 1), high], **style["interval"])
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return ax


def middle(low: Steps, high: Steps) -> Steps:
    """Where a step between two bounds is drawn: half-way on a log axis, whose first step is 1."""
    return np.sqrt(np.maximum(low, 1) * high)


def plot_means(table: pd.DataFrame, *, colors: list[str], styles: Styles, ax: Axes) -> Axes:
    """A value over ``x``: a small mark per run or pair, a line through the means, and 95 % t intervals from three.

    Args:
        table: ``x, color, world, value, measure``, one row per run or pair; no interval of an error goes below 0.
        colors: all values of the second setting in the figure, a tone and a marker each.
        styles: of all worlds in the figure.
        ax: where to draw.
    """
    least = 0.0 if (table["value"] >= 0).all() and table["measure"].iloc[0].startswith("test") else -math.inf
    ax.axhline(0, color=GREY, linewidth=0.7, zorder=1, gid="zero")
    for x, rows, style in _groups(table, colors, styles):
        ax.plot(x, rows["value"], **style["runs"])
        cells = [(at, cell.astype(float)) for at, cell in rows["value"].groupby(x)]
        ax.plot([at for at, _ in cells], [float(cell.mean()) for _, cell in cells], **style["line"])
        for at, cell in cells:
            if interval := t_interval(cell):
                ax.plot([at, at], np.maximum(interval, least), **style["interval"])
    return ax


def _groups(
    table: pd.DataFrame, colors: list[str], styles: Styles
) -> list[tuple[pd.Series, pd.DataFrame, dict[str, Any]]]:
    """Every world and second value of a panel: places across, moved a little apart, its rows, and its marks' style."""
    places = _numbers(table["x"].tolist())
    span = _is_wide(table["x"].tolist())
    groups = []
    for (index, color), world in product(enumerate(colors), styles):
        rows = table[(table["color"] == color) & (table["world"] == world)]
        if rows.empty:
            continue
        shift = (index - (len(colors) - 1) / 2) * DODGE
        at = pd.Series([places[value] for value in rows["x"]], index=rows.index, dtype=float)
        width = np.ptp(list(places.values())) or 1.0
        at = at * (max(places.values()) / min(places.values())) ** shift if span else at + shift * width
        hue, dash = styles[world]
        ink, marker = tone(hue, index, len(colors)), MARKERS[index % len(MARKERS)]
        groups.append((at, rows, _style(ink, dash, marker, hollow=world == "ideal")))
    return groups


def _style(ink: str, dash: Any, marker: str, *, hollow: bool) -> dict[str, Any]:
    """Marks of single runs, the line, and intervals."""
    return {
        "runs": {"color": ink, "linestyle": "", "marker": marker, "markersize": 2.6, "alpha": 0.55, "zorder": 2},
        "line": {"color": ink, "linestyle": dash, "marker": marker, "markersize": 4.6, "linewidth": 1.4, "zorder": 3}
        | ({"markerfacecolor": "white"} if hollow else {}),
        "interval": {"color": ink, "linewidth": 1.1, "zorder": 2.5, "solid_capstyle": "butt"},
    }


def _is_wide(values: list[Any]) -> bool:
    numbers = [value for value in values if isinstance(value, int | float | np.number)]
    return len(numbers) == len(values) and bool(min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE)


def _numbers(values: list[Any]) -> dict[Any, float]:
    """The place of every value: itself if it is a number, else its position."""
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_) for value in distinct):
        return {value: float(value) for value in distinct}
    return {value: float(n) for n, value in enumerate(distinct)}


def number_axis(ax: Axes, values: list[Any], name: str) -> None:
    """An axis with a tick at every swept value, and room at both ends."""
    places = _numbers(values)
    low, high = min(places.values()), max(places.values())
    if _is_wide(values):
        ax.set_xscale("log")
        ax.set_xlim(low * (low / high) ** 0.07, high * (high / low) ** 0.07)
    else:
        room = 0.07 * (high - low) or 1.0
        ax.set_xlim(low - room, high + room)
    labelled = _apart(ax, list(places.values()))
    ax.set_xticks(list(places.values()), [setting(value) if at in labelled else "" for value, at in places.items()])
    ax.minorticks_off()
    ax.set_xlabel(name)


def _apart(ax: Axes, places: list[float], least: float = 0.08) -> set[float]:
    """Those of the places, from the left, that lie at least this share of the axis from the last one kept."""
    kept: dict[float, float] = {}
    for at in sorted(places):
        share = ax.transAxes.inverted().transform(ax.transData.transform((at, 1.0)))[0]
        if not kept or share - max(kept.values()) >= least:
            kept[at] = share
    return set(kept)

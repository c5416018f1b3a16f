"""The figure of the grokking delay: the ratio of every run's grokking step to its memorisation step."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from deepboot.reports.cells import KEY
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.events import DOT, headings, in_panels, name_rows, spread, unknown_runs, world_dots
from deepboot.reports.figures.facets import (
    WIDTH,
    Drawing,
    legend,
    rc_style,
    rendered,
    seed_counts,
    shown_cells,
    singled,
    singly,
    some_of,
)
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import GREY, INK, SMALLEST, new_axes, ordered, world_style
from deepboot.reports.measures.events import event_bounds, ratio_bounds
from deepboot.reports.statistics.intervals import Bounds, median_bounds, median_interval
from deepboot.reports.text import measure, span
from deepboot.reports.time_axis import UNITS, Axis


def draw_delays(comparison: Comparison) -> Drawing | None:
    """Ratio of every run's grokking step to its memorisation step; None where no run has a known one."""
    runs = comparison.runs
    ratios = ratio_bounds(runs, runs).assign(run_id=runs["run_id"], outcome=event_bounds(runs, "grokking")["outcome"])
    panels = in_panels(comparison, ratios.dropna(subset=["low", "high"]))
    cells, rest = shown_cells(panels)
    shown = panels[panels["cell_id"].isin(cells)]
    if not ((shown["low"] > 0) | (shown["high"] < float("inf"))).any():
        return None
    unknown = shown[(shown["low"] == 0) & (shown["high"] == float("inf"))].drop_duplicates("run_id")
    unit = UNITS[comparison.axis]
    caption = (
        f"Grokking over memorisation, the ratio of their {unit.plural} in the same run, {seed_counts(shown)}. "
        f"{singly(shown)}Bar: what the evaluations leave possible; dot: its middle. Diamond and black bar: median and "
        "its distribution-free 95 % interval (from 6 runs), also in numbers; a run that did not grok by the budget "
        "counts with all that "
        f"lies above its bound{unknown_runs(unknown)}. Grey line: no delay. The ideal world memorises by its online "
        f"error.{unit.note}{rest}"
    )
    height = 0.8 + 0.44 * len(shown[KEY].drop_duplicates()) + (0.34 * len(cells) if len(cells) > 1 else 0)
    with mpl.rc_context(rc_style("delays")):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        plot_delays(shown, ax=figure.add_subplot(), axis=comparison.axis)
        legend(figure, delay_handles(shown), length=1.4)
        drawn = singled(shown.sort_values(["low", "high"], kind="stable")).sort_index()
        named = {"cell": "cell", "world": "world", "run_id": "run", "low": "ratio from", "high": "ratio to"}
        return rendered("delays", figure, caption, numbers_of("delays", drawn, named))


WIDEST = 1_000  # range of ratios beyond which only decades are named
# By what is known of a run's delay: marker, whether it is filled, and its name in the legend.
DELAYS = {
    "known": ("o", True, "one run, and its bar"),
    "least": (">", False, "at least: not grokked by the budget"),
    "most": ("<", False, "at most: not memorised"),
    "unknown": ("x", True, "nothing known"),
}


def plot_delays(table: pd.DataFrame, *, ax: Axes | None = None, axis: Axis = "step") -> Axes:
    """Ratio of every run's grokking step to its memorisation step, with the median and its interval, a row per world.

    A run's bar is the range that its evaluations leave possible, its dot the middle. An open triangle points away from
    the one known bound of a ratio; a cross at the right edge is an unknown ratio. On the grey line a run groks as it
    memorises.

    Args:
        table: ``cell, world, run_id, low, high``: bounds of each run's ratio, 0 and infinity where open.
        ax: where to draw; new axes otherwise.
        axis: the unit of the steps that are divided.
    """
    ax = ax or new_axes()
    worlds = ordered(table["world"])
    edges = _ratio_axis(ax, table[["low", "high"]].to_numpy(dtype=float), axis)
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1, gid="no delay")
    heights: list[float] = []
    names: list[str] = []
    named: list[tuple[float, str]] = []
    for index, cell in enumerate(table["cell"].unique()):
        rows = table[table["cell"] == cell]
        named.append((top := index * 0.75 + len(heights), str(cell)))
        for row, world in enumerate(ordered(rows["world"])):
            runs = rows[rows["world"] == world].sort_values(["low", "high"], kind="stable")
            _draw_row(ax, runs, top + row, color=world_style(world, worlds)[0], edges=edges)
            heights.append(top + row)
            names.append(world)
    name_rows(ax, heights, names)
    headings(ax, named, heights[-1] + 0.6)
    return ax


def delay_handles(table: pd.DataFrame) -> list[Line2D]:
    """Legend entries of `plot_delays`: worlds, marks of ratios by what is known of them, and the median."""
    kinds = set(map(_knowledge, table["low"].astype(float), table["high"].astype(float)))
    handles = world_dots(list(table["world"].unique()))
    for kind, (marker, filled, name) in DELAYS.items():
        if kind in kinds:
            handles.append(
                Line2D(
                    [], [], marker=marker, color=GREY, markerfacecolor=GREY if filled else "white", label=name, **DOT
                )
            )
    return [*handles, Line2D([], [], color=INK, marker="D", linewidth=1.6, markersize=4, label="median, 95 % interval")]


def _knowledge(low: float, high: float) -> str:
    """The key of `DELAYS` for a ratio between these bounds."""
    if math.isinf(high):
        return "least" if low > 0 else "unknown"
    return "known" if low > 0 else "most"


def _mark(low: float, high: float, edge: float) -> tuple[float, str, bool]:
    """Position of a ratio's mark, its shape, and whether it is filled."""
    kind = _knowledge(low, high)
    marker, filled, _ = DELAYS[kind]
    if kind == "known":
        return math.sqrt(low * high), marker, filled
    return {"least": low, "most": high, "unknown": edge}[kind], marker, filled


def _draw_row(ax: Axes, runs: pd.DataFrame, row: float, *, color: str, edges: tuple[float, float]) -> None:
    """One row: the runs in the order of their ratios, then their median below and in numbers at the right."""
    alpha = min(0.9, max(0.45, 12 / max(len(runs), 1)))
    drawn = some_of(len(runs))
    for run, height in zip(runs.iloc[drawn].to_dict("records"), row - 0.12 + spread(len(drawn), 0.42), strict=True):
        low, high = float(run["low"]), float(run["high"])
        if _knowledge(low, high) == "known":
            ax.plot([low, high], [height] * 2, color=color, linewidth=0.8 * alpha, alpha=0.4 * alpha, zorder=2)
        at, marker, filled = _mark(low, high, edges[1])
        style: dict[str, Any] = {"marker": marker, "color": color, "markersize": 3.4, "markeredgewidth": 0.9}
        style |= {"markerfacecolor": color if filled else "white", "alpha": alpha, "gid": f"delay {run['run_id']}"}
        ax.plot([at], [height], linestyle="", zorder=3, clip_on=False, **style)
    lows, highs = (runs[end].to_numpy(dtype=float) for end in ("low", "high"))
    median, interval = median_bounds(lows, highs), median_interval(lows, highs)
    assert median is not None, "a row has runs"
    _draw_median(ax, median, interval, row + 0.26, edges)
    text: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "xytext": (8, 0), "textcoords": "offset points"}
    numbers = f"{_median_text(median, interval)}\n({_interval_text(interval)}), n = {len(runs)}"
    ax.annotate(numbers, (1, row), va="center", fontsize=SMALLEST, annotation_clip=False, gid="numbers", **text)


def _draw_median(ax: Axes, median: Bounds, interval: Bounds | None, height: float, edges: tuple[float, float]) -> None:
    """The median and its interval as far as the axis goes, with an arrow where an end is open; else nothing."""
    ink: dict[str, Any] = {"color": INK, "markersize": 4, "clip_on": False}
    if interval and _knowledge(*interval) != "unknown":
        low, high = np.clip(interval, *edges)
        ax.plot([low, high], [height] * 2, linewidth=1.6, zorder=4, gid="interval", solid_capstyle="butt", **ink)
        for end, marker, opens in ((low, "<", interval.low == 0), (high, ">", math.isinf(interval.high))):
            if opens:
                ax.plot([end], [height], marker=marker, zorder=4, gid="open", **ink)
    if _knowledge(*median) != "unknown":
        at, marker, filled = _mark(*median, edges[1])
        face = INK if filled else "white"
        ax.plot([at], [height], marker="D" if filled else marker, markerfacecolor=face, zorder=5, gid="median", **ink)


def _median_text(median: Bounds, interval: Bounds | None) -> str:
    """A median in numbers: its middle, or the bound that is known."""
    kind = _knowledge(*median)
    if kind == "known":
        closed = interval if interval and math.isfinite(interval.high) else None
        return measure(math.sqrt(median.low * median.high), closed)
    return {"least": f"> {measure(median.low)}", "most": f"< {measure(median.high)}", "unknown": "unknown"}[kind]


def _interval_text(interval: Bounds | None) -> str:
    """An interval of a ratio in numbers."""
    if interval is None or _knowledge(*interval) != "unknown":
        return span(interval)
    return "open at both ends"


def _ratio_axis(ax: Axes, ends: np.ndarray, axis: Axis) -> tuple[float, float]:
    """The two ends of a log axis of ratios that holds these and 1, with room at the right for unknown ones."""
    known = np.append(ends[np.isfinite(ends) & (ends > 0)], 1.0)
    low, high = float(known.min()) / 1.3, float(known.max()) * 1.5
    ax.set_xscale("log")
    ax.set_xlim(low, high)
    decades = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    named = (1,) if high / low > WIDEST else (1, 2, 5)
    ax.xaxis.set_major_locator(FixedLocator([digit * ten for ten in decades for digit in named]))
    ax.xaxis.set_minor_locator(FixedLocator([digit * ten for ten in decades for digit in range(2, 10)]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(f"grokking over memorisation (ratio of {UNITS[axis].plural})")
    return low, high

"""The effect of what a study swept: grokking step, bootstrap error and final error against the first swept number.

The first swept number is across, the second setting is the colour, every further one makes panels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deepboot.reports.cells import KEY, varied
from deepboot.reports.claims.registration import studies
from deepboot.reports.comparison import AT_STEP, Comparison, When
from deepboot.reports.figures.facets import WIDTH, Drawing, folded, legend, rc_style, rendered, seed_counts
from deepboot.reports.figures.style import DASHES, GREY, INK, world_style
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import median_bounds, median_interval, t_interval
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import count, setting
from deepboot.reports.time_axis import UNITS

# Of one lightness, so that they can be read on light and on dark pages; the marker tells them apart without colour.
PALETTE = ["#3f6fc4", "#c9622f", "#2f9367", "#8a5fb8", "#9a8419", "#b84d7a", "#1f8fa8", "#7a7a7a"]
MARKERS = ["o", "s", "D", "v", "P", "X", "p", "h"]
WIDE = 8  # ratio of the largest to the smallest positive number from which their axis is logarithmic
MOST_PANELS = 12
DODGE = 0.018  # of the axis, between colours


@dataclass(frozen=True)
class Layout:
    """Which setting is where: ``x``, then perhaps a colour, then the settings that make panels."""

    x: str
    color: str | None
    panels: tuple[str, ...]


def layout_of(comparison: Comparison) -> Layout | None:
    """The places of the settings that differ between the real cells; None where none does, or between two studies.

    Studies side by side may differ in more than what is swept, which a line between their cells would hide.
    """
    if len(studies(comparison)) > 1:
        return None
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    cells = real.groupby(KEY, sort=False).head(1)
    names = varied(cells)
    if not names:
        return None
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(cells[name]) and cells[name].notna().all()]
    x = next((name for name in numbers if cells[name].dtype != bool), names[0])
    rest = [name for name in names if name != x]
    return Layout(x, rest[0] if rest else None, tuple(rest[1:]))


def draw_effects(comparison: Comparison) -> list[Drawing]:
    """Grokking step, bootstrap error and final error over what was swept; the grokking step last where none groks."""
    layout = layout_of(comparison)
    if layout is None:
        return []
    drawings = [
        _draw(comparison, layout, "effect_grokking", _grokking(comparison, layout), plot_grokking),
        _draw(comparison, layout, "effect_bootstrap_error", _bootstrap_error(comparison, layout), plot_means),
        _draw(comparison, layout, "effect_final_error", _final_error(comparison, layout), plot_means),
    ]
    none_groks = not (event_bounds(comparison.runs, "grokking")["outcome"] == "reached").any()
    return [one for one in ([*drawings[1:], drawings[0]] if none_groks else drawings) if one]


def _draw(
    comparison: Comparison, layout: Layout, name: str, table: pd.DataFrame, plot: Callable[..., Axes]
) -> Drawing | None:
    """One measure over the settings, a panel for each combination of the further ones; None without a value."""
    if table.empty:
        return None
    colors = list(dict.fromkeys(table["color"]))
    panels = list(dict.fromkeys(table["panel"]))[:MOST_PANELS]
    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = -(-len(panels) // columns)
    with mpl.rc_context(rc_style(name)):
        figure = Figure(figsize=(WIDTH, 3.4 if rows == 1 else 0.4 + 2.5 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
            plot(table[table["panel"] == panel], colors=colors, ax=ax)
            _number_axis(ax, table["x"].tolist(), layout.x)
            ax.set_title(folded(panel, 84 // columns))
            ax.set_ylabel(str(table["measure"].iloc[0]) if index % columns == 0 else "")
            ax.set_xlabel(ax.get_xlabel() if index + columns >= len(panels) else "")
            ax.tick_params(labelbottom=index + columns >= len(panels))
        for ax in axes[len(panels) :]:
            ax.remove()
        legend(figure, _handles(layout, colors, table), length=1.8)
        return rendered(name, figure, _caption(comparison, layout, name))


def _places(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every run in its panels, as in `Comparison.panels`, with its cell's ``x``, ``color`` and ``panel``."""
    panels = comparison.panels()
    panels = panels[panels["cell_id"].isin(comparison.runs.loc[comparison.runs["world"] != "ideal", "cell_id"])]
    names = [layout.x, *([layout.color] if layout.color else []), *layout.panels]
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    values = real.drop_duplicates("cell_id").set_index("cell_id")[names]
    words = {
        "x": values[layout.x],
        "color": values[layout.color].map(setting) if layout.color else "",
        "panel": [", ".join(f"{name} {setting(row[name])}" for name in layout.panels) for _, row in values.iterrows()],
    }
    return panels.join(pd.DataFrame(words, index=values.index), on="cell_id").reset_index(drop=True)


def _grokking(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Bounds of every run's grokking step, with its place."""
    bounds = event_bounds(comparison.runs, "grokking").assign(run_id=comparison.runs["run_id"])
    bounds["budget"] = comparison.runs["last_step"].astype(float)
    table = _places(comparison, layout).merge(bounds.dropna(subset="outcome"), on="run_id")
    return table.assign(measure=f"grokking ({UNITS[comparison.axis].plural})")


def _final_error(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every finished run's last test error, as ``value``, with its place."""
    table = _places(comparison, layout).assign(measure="test error at the end")
    table["value"] = table["run_id"].map(comparison.final("test_error"))
    return table[np.isfinite(table["value"].astype(float))]


def _bootstrap_error(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every pair's bootstrap error at the stopping step, or at the end where some cell has no pair that reaches it."""
    stopping = comparison.pairs_at("stopping").dropna(subset="bootstrap_error")
    when: When = "stopping" if stopping["cell_id"].nunique() == comparison.pairs()["cell_id"].nunique() else "end"
    pairs = comparison.pairs_at(when).dropna(subset="bootstrap_error")[["run_id", "bootstrap_error"]]
    table = _places(comparison, layout).merge(pairs, on="run_id").rename(columns={"bootstrap_error": "value"})
    return table.assign(measure=f"bootstrap error {AT_STEP[when]}")


def plot_grokking(table: pd.DataFrame, *, colors: list[str], ax: Axes) -> Axes:
    """Grokking steps over ``x``: a small mark per run, a line through the medians, and their intervals from six runs.

    A run that never grokked is an open triangle at its last step, one that diverged or failed a cross there.

    Args:
        table: ``x, color, world, outcome, low, high, budget``, one row per run.
        colors: all values of the colour in the figure.
        ax: where to draw.
    """
    for x, rows, style in _groups(ax, table, colors):
        reached = rows["outcome"] == "reached"
        steps = np.sqrt(rows["low"].clip(lower=1) * rows["high"])[reached]
        ax.plot(x[reached], steps, **style["runs"])
        for broken, marker in ((False, "^"), (True, "x")):
            ends = rows[~reached & (rows["outcome"].isin(BROKEN) == broken)]
            open_style = style["runs"] | {"marker": marker, "markerfacecolor": "none", "markersize": 6, "alpha": 0.9}
            ax.plot(x[ends.index], ends["budget"], gid="never" if not broken else "broken", **open_style)
        medians = [(at, median_bounds(cell["low"], cell["high"]), cell) for at, cell in rows.groupby(x[rows.index])]
        known = [
            (at, math.sqrt(max(one.low, 1) * one.high)) for at, one, _ in medians if one and math.isfinite(one.high)
        ]
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


def plot_means(table: pd.DataFrame, *, colors: list[str], ax: Axes) -> Axes:
    """A value over ``x``: a small mark per run or pair, a line through the means, and 95 % t intervals from three.

    Args:
        table: ``x, color, world, value, measure``, one row per run or pair; no interval of an error goes below 0.
        colors: all values of the colour in the figure.
        ax: where to draw.
    """
    least = 0.0 if (table["value"] >= 0).all() and table["measure"].iloc[0].startswith("test") else -math.inf
    ax.axhline(0, color=GREY, linewidth=0.7, zorder=1, gid="zero")
    for x, rows, style in _groups(ax, table, colors):
        ax.plot(x, rows["value"], **style["runs"])
        cells = [(at, cell.astype(float)) for at, cell in rows["value"].groupby(x)]
        ax.plot([at for at, _ in cells], [float(cell.mean()) for _, cell in cells], **style["line"])
        for at, cell in cells:
            if interval := t_interval(cell):
                ax.plot([at, at], np.maximum(interval, least), **style["interval"])
    return ax


def _groups(ax: Axes, table: pd.DataFrame, colors: list[str]) -> list[tuple[pd.Series, pd.DataFrame, dict[str, Any]]]:
    """Every world and colour of a panel: places across, moved a little apart, its rows, and the style of its marks."""
    places = _numbers(table["x"].tolist())
    span = _is_wide(table["x"].tolist())
    groups = []
    worlds = [str(world) for world in table["world"].unique()]
    for (index, color), world in product(enumerate(colors), worlds):
        rows = table[(table["color"] == color) & (table["world"] == world)]
        if rows.empty:
            continue
        shift = (index - (len(colors) - 1) / 2) * DODGE
        at = pd.Series([places[value] for value in rows["x"]], index=rows.index, dtype=float)
        width = np.ptp(list(places.values())) or 1.0
        at = at * (max(places.values()) / min(places.values())) ** shift if span else at + shift * width
        groups.append((at, rows, _style(index, color, world, worlds)))
    return groups


def _style(index: int, color: str, world: str, worlds: list[str]) -> dict[str, Any]:
    """Marks of single runs, the line, and intervals; without a second setting, in the colour of the world."""
    ink = PALETTE[index % len(PALETTE)] if color else world_style(world, worlds)[0]
    dash, marker = world_style(world, worlds)[1], MARKERS[index % len(MARKERS)]
    hollow = {"markerfacecolor": "white"} if world == "ideal" else {}
    return {
        "runs": {"color": ink, "linestyle": "", "marker": marker, "markersize": 2.6, "alpha": 0.55, "zorder": 2},
        "line": {"color": ink, "linestyle": dash, "marker": marker, "markersize": 4.6, "linewidth": 1.4, "zorder": 3}
        | hollow,
        "interval": {"color": ink, "linewidth": 1.1, "zorder": 2.5, "solid_capstyle": "butt"},
    }


def _is_wide(values: list[Any]) -> bool:
    numbers = [value for value in values if isinstance(value, int | float | np.number)]
    return len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) >= WIDE


def _numbers(values: list[Any]) -> dict[Any, float]:
    """The place of every value: itself if it is a number, else its position."""
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_) for value in distinct):
        return {value: float(value) for value in distinct}
    return {value: float(n) for n, value in enumerate(distinct)}


def _number_axis(ax: Axes, values: list[Any], name: str) -> None:
    """An axis with a tick at every swept value, and room at both ends."""
    places = _numbers(values)
    low, high = min(places.values()), max(places.values())
    if _is_wide(values):
        ax.set_xscale("log")
        ax.set_xlim(low * (low / high) ** 0.07, high * (high / low) ** 0.07)
    else:
        room = 0.07 * (high - low) or 1.0
        ax.set_xlim(low - room, high + room)
    ax.set_xticks(list(places.values()), [setting(value) for value in places])
    ax.minorticks_off()
    ax.set_xlabel(name)


def _handles(layout: Layout, colors: list[str], table: pd.DataFrame) -> list[Line2D]:
    """Legend entries: colours by their setting, worlds by their dash, and runs that never grokked."""
    short = (layout.color or "").rsplit(".", 1)[-1]
    handles = [
        Line2D(
            [],
            [],
            color=PALETTE[n % len(PALETTE)],
            marker=MARKERS[n % len(MARKERS)],
            markersize=5,
            label=f"{short} {value}",
        )
        for n, value in enumerate(colors)
        if value
    ]
    worlds = [str(world) for world in table["world"].unique()]
    if len(worlds) > 1 or not layout.color:
        for world in worlds:
            ink = INK if layout.color else world_style(world, worlds)[0]
            dash = DASHES.get(world, world_style(world, worlds)[1])
            handles.append(Line2D([], [], color=ink, linestyle=dash, linewidth=1.4, label=f"{world} world"))
    if "outcome" in table and (table["outcome"] == "censored").any():
        style: dict[str, Any] = {"color": GREY, "linestyle": "", "markerfacecolor": "none"}
        handles.append(Line2D([], [], marker="^", markersize=6, label="never grokked", **style))
    return handles


def _caption(comparison: Comparison, layout: Layout, name: str) -> str:
    what = {
        "effect_grokking": "Grokking step of every run, with the medians joined and 95 % intervals of the median from "
        "6 runs. Open triangles are runs that had not grokked by their last step: their step lies above. Look at "
        "how far the solid lines (pool) lie above the dashed ones (fresh samples).",
        "effect_bootstrap_error": "Bootstrap error of every pair, with the means joined and 95 % t intervals from 3 "
        "pairs. Above the grey line the pool costs something; on it, it costs nothing.",
        "effect_final_error": "Test error at the end in both worlds, with the means joined and 95 % t intervals from 3 "
        "runs. Look at where the worlds part, and whether a line has a bump.",
    }[name]
    color = f", coloured by {layout.color}" if layout.color else ""
    panels = f", a panel for each {' and '.join(layout.panels)}" if layout.panels else ""
    return f"{what} Over {layout.x}{color}{panels}; {seed_counts(comparison.panels())}.{UNITS[comparison.axis].note}"

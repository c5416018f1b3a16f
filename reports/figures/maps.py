"""A map of two swept settings: in how many runs each square groks, and when; a panel for every other setting.

Where none groks, a map of that share would be blank, and the map is of the test error at the end.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from deepboot.reports.cells import KEY, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.facets import NARROW, TITLE, WIDTH, Drawing, folded, rc_style, rendered, seed_counts
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import COLORS, PALE, SMALLEST, new_axes
from deepboot.reports.figures.theme import shades
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import median_bounds
from deepboot.reports.text import count, measure, setting
from deepboot.reports.time_axis import UNITS

LEAST_SIDE = 2  # values of each setting that make a map
MOST_MAPS = 12
DARK = 0.55  # share of the colours from which a square is dark enough for light letters
LIGHT_INK, DARK_INK = "#fefefe", "#111111"  # on coloured squares, whatever the theme of the page
Square = dict[str, float | str]


def draw_phase_map(comparison: Comparison) -> Drawing | None:
    """Grokking over the first two settings that differ between the real cells; None where fewer do, with two values.

    Where no run groks, their test error at the end instead.
    """
    runs = comparison.runs[comparison.runs["world"] != "ideal"]
    over = map_settings(runs)
    if not over:
        return None
    outcomes = event_bounds(runs, "grokking").join(runs[over])
    outcomes["error"] = runs["run_id"].map(comparison.final("test_error"))
    outcomes = outcomes.dropna(subset="outcome")
    if outcomes.empty:
        return None
    quantity = GROKKED if (outcomes["outcome"] == "reached").any() else ERROR
    table = pd.DataFrame([
        dict(zip(over, values, strict=True)) | quantity.square(group) | {"panel": panel_name(over[2:], values[2:])}
        for values, group in outcomes.groupby(over, sort=True)
    ])  # fmt: skip
    if table["value"].isna().all():
        return None
    caption = f"{quantity.caption.format(*over)} {seed_counts(runs)}.{UNITS[comparison.axis].note}"
    named = {name: name for name in over} | {"value": quantity.name, "text": "written in"}
    numbers = numbers_of("phase_map", table.assign(text=table["text"].str.replace("\n", ", ")), named)
    with mpl.rc_context(rc_style("phase_map")):
        wide, narrow = (
            rendered("phase_map", _figure(table, over, quantity, width), caption, numbers) for width in (WIDTH, NARROW)
        )
    return wide.with_narrow(narrow)


def _figure(table: pd.DataFrame, over: list[str], quantity: "Quantity", width: float) -> Figure:
    """A map for every value of the further settings, under one bar of their colours."""
    panels = dict(islice(((str(name), part) for name, part in table.groupby("panel", sort=False)), MOST_MAPS))
    columns = min(len(panels), 2 if width == WIDTH else 1)
    rows = -(-len(panels) // columns)
    height = 0.9 + 0.55 * table[over[1]].nunique() + (0.3 if len(panels) > 1 else 0)
    limits = (0.0, quantity.most or table["value"].max() or 1.0)
    figure = Figure(figsize=(width, 0.6 + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for (name, part), ax in zip(panels.items(), axes, strict=False):
        plot_phase_map(part, over=(over[0], over[1]), ax=ax, limits=limits)
        ax.set_title(folded(name, int(TITLE * width / WIDTH) // columns))
    for ax in axes[len(panels) :]:
        ax.remove()
    colors = ScalarMappable(Normalize(*limits), shades(COLORS["real"]))
    bar = figure.colorbar(colors, ax=list(axes[: len(panels)]), location="top", aspect=60, label=quantity.name)
    bar.outline.set_visible(False)
    return figure


def map_settings(runs: pd.DataFrame) -> list[str]:
    """The settings that differ between these runs' cells, those across and up first; none where no map can be made."""
    cells = runs.groupby(KEY, sort=False).head(1)
    over = [name for name in varied(cells) if not cells[name].isna().any() and cells[name].map(_is_plain).all()]
    return over if len(over) >= LEAST_SIDE and cells[over[:2]].nunique().min() >= LEAST_SIDE else []


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool) or not hasattr(value, "__len__")


def panel_name(names: list[str], values: tuple[Any, ...]) -> str:
    """The further settings of a map, in words."""
    return ", ".join(f"{name} {setting(value)}" for name, value in zip(names, values, strict=True))


def _grokked(runs: pd.DataFrame) -> Square:
    """One square of the map: the share that grokked, and in words with their median step."""
    reached = int((runs["outcome"] == "reached").sum())
    median = median_bounds(runs["low"], runs["high"])
    step = f"\n{count(median.high)}" if median and median.high < float("inf") else ""
    return {"value": reached / len(runs), "text": f"{reached} of {len(runs)}{step}"}


def _error(runs: pd.DataFrame) -> Square:
    """One square of the map: the mean test error at the end, none where a run has none."""
    errors = runs["error"].astype(float)
    lost = int((~np.isfinite(errors)).sum())
    mean = math.nan if lost else float(errors.mean())
    return {"value": mean, "text": f"{lost} of {len(runs)}\nwithout value" if lost else measure(mean)}


@dataclass(frozen=True)
class Quantity:
    """What a map shows: its name, its largest possible value or None, its caption, and a square of a cell's runs."""

    name: str
    most: float | None
    caption: str
    square: Callable[[pd.DataFrame], Square]


GROKKED = Quantity(
    "share of the runs that grokked",
    1.0,
    "Where runs on a pool grok, over {0} and {1}. Written in: how many of how many grokked, and their median step. "
    "Look for the border between dark and light.",
    _grokked,
)
ERROR = Quantity(
    "mean test error at the end",
    None,
    "Test error of runs on a pool at their last step, over {0} and {1}, since none of them grokked. Written in: its "
    "mean. Look for the border between dark and light.",
    _error,
)


def plot_phase_map(
    table: pd.DataFrame, *, over: tuple[str, str], ax: Axes | None = None, limits: tuple[float, float] = (0.0, 1.0)
) -> Axes:
    """A square of one world's tone for every pair of two settings, with a text written in; grey without a value.

    Args:
        table: the two settings, ``value`` and ``text``, one row per cell.
        over: the settings across and up.
        ax: where to draw; new axes otherwise.
        limits: the values with the palest and the darkest tone.
    """
    ax = ax or new_axes()
    across, up = over
    value = table.pivot(index=up, columns=across, values="value").astype(float)
    low, high = limits
    colors = shades(COLORS["real"])
    ax.set_facecolor(PALE)
    ax.pcolormesh(value.to_numpy(), vmin=low, vmax=high, cmap=colors, edgecolor="white", linewidth=1.2)
    places = {
        name: {value: n + 0.5 for n, value in enumerate(side)}
        for name, side in ((across, value.columns), (up, value.index))
    }
    for row in table.to_dict("records"):
        color = LIGHT_INK if row["value"] > low + DARK * (high - low) else DARK_INK
        at = places[across][row[across]], places[up][row[up]]
        ax.text(*at, row["text"], color=color, ha="center", va="center", fontsize=SMALLEST)
    ax.set_xticks(list(places[across].values()), [setting(value) for value in places[across]])
    ax.set_yticks(list(places[up].values()), [setting(value) for value in places[up]])
    ax.tick_params(length=0)
    ax.set(xlabel=across, ylabel=up)
    return ax

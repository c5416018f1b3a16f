"""A map of two swept settings: in how many runs each square groks, and when; a panel for every other setting."""

from itertools import islice
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepboot.reports.cells import KEY, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.facets import WIDTH, Drawing, folded, rc_style, rendered, seed_counts
from deepboot.reports.figures.style import SMALLEST, new_axes
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import median_bounds
from deepboot.reports.text import count, setting
from deepboot.reports.time_axis import UNITS

LEAST_SIDE = 2  # values of each setting that make a map
MOST_MAPS = 12
DARK = 0.55  # share from which a square is dark enough for light letters
LIGHT_INK, DARK_INK = "#fefefe", "#111111"  # on coloured squares, whatever the theme of the page


def draw_phase_map(comparison: Comparison) -> Drawing | None:
    """Grokking over the first two settings that differ between the real cells; None where fewer do, with two values."""
    runs = comparison.runs[comparison.runs["world"] != "ideal"]
    cells = runs.groupby(KEY, sort=False).head(1)
    over = [name for name in varied(cells) if not cells[name].isna().any() and cells[name].map(_is_plain).all()]
    if len(over) < LEAST_SIDE or cells[over[:2]].nunique().min() < LEAST_SIDE:
        return None
    bounds = event_bounds(runs, "grokking").join(runs[over]).dropna(subset="outcome")
    rows = [
        dict(zip(over, values, strict=True)) | _square(group) | {"panel": _panel(over[2:], values[2:])}
        for values, group in bounds.groupby(over, sort=True)
    ]
    if not rows:
        return None
    table = pd.DataFrame(rows)
    panels = dict(islice(((str(name), part) for name, part in table.groupby("panel", sort=False)), MOST_MAPS))
    columns = min(len(panels), 2)
    height = 0.9 + 0.55 * table[over[1]].nunique() + (0.3 if len(panels) > 1 else 0)
    caption = (
        f"Where runs on a pool grok, over {over[0]} and {over[1]}, {seed_counts(runs)}. Written in: how many of how "
        f"many grokked, and their median step. Look for the border between dark and light.{UNITS[comparison.axis].note}"
    )
    with mpl.rc_context(rc_style("phase_map")):
        figure = Figure(figsize=(WIDTH, height * -(-len(panels) // columns)), layout="constrained")
        axes = figure.subplots(-(-len(panels) // columns), columns, squeeze=False).ravel()
        for (name, part), ax in zip(panels.items(), axes, strict=False):
            plot_phase_map(part, over=(over[0], over[1]), ax=ax)
            ax.set_title(folded(name, 84 // columns))
        for ax in axes[len(panels) :]:
            ax.remove()
        return rendered("phase_map", figure, caption)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool) or not hasattr(value, "__len__")


def _panel(names: list[str], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {setting(value)}" for name, value in zip(names, values, strict=True))


def _square(runs: pd.DataFrame) -> dict[str, float | str]:
    """One square of the map: share and text."""
    reached = int((runs["outcome"] == "reached").sum())
    median = median_bounds(runs["low"], runs["high"])
    step = f"\n{count(median.high)}" if median and median.high < float("inf") else ""
    return {"share": reached / len(runs), "text": f"{reached} of {len(runs)}{step}"}


def plot_phase_map(table: pd.DataFrame, *, over: tuple[str, str], ax: Axes | None = None) -> Axes:
    """Share of the real runs that grokked, for every pair of two settings, with their median step written in.

    Args:
        table: the two settings, ``share`` and ``text``, one row per cell.
        over: the settings across and up.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    across, up = over
    share = table.pivot(index=up, columns=across, values="share").astype(float)
    ax.pcolormesh(share.to_numpy(), vmin=0, vmax=1, cmap="Blues", edgecolor="white", linewidth=1.2)
    places = {
        name: {value: n + 0.5 for n, value in enumerate(side)}
        for name, side in ((across, share.columns), (up, share.index))
    }
    for row in table.to_dict("records"):
        color = LIGHT_INK if row["share"] > DARK else DARK_INK
        at = places[across][row[across]], places[up][row[up]]
        ax.text(*at, row["text"], color=color, ha="center", va="center", fontsize=SMALLEST)
    ax.set_xticks(list(places[across].values()), [setting(value) for value in places[across]])
    ax.set_yticks(list(places[up].values()), [setting(value) for value in places[up]])
    ax.tick_params(length=0)
    ax.set(xlabel=across, ylabel=up)
    return ax

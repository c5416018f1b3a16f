"""Curves of probes: a panel for each value, or for each value in each cell."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepboot.bootstrap.columns import probe_of
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.curves import plot_worlds
from deepboot.reports.figures.facets import (
    BAND,
    WIDTH,
    Drawing,
    folded,
    legend,
    rc_style,
    rendered,
    seed_counts,
    shown_cells,
)
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import step_axis, world_handles
from deepboot.reports.time_axis import UNITS, Axis

MOST_VALUES = 12  # of one probe that are drawn
COLUMNS = 3  # of panels
LETTERS = 28  # of a panel's title in a line


def draw_probes(comparison: Comparison) -> list[Drawing]:
    """All probes of one value in one figure, and one for each of several; none where nothing was measured."""
    table = probe_curves(comparison)
    table = table[np.isfinite(table["value"])]
    families: dict[str, list[str]] = {}
    for name in map(str, table["name"].unique()):
        families.setdefault("probes" if name == probe_of(name) else f"probe-{probe_of(name)}", []).append(name)
    return [_draw(figure, names, table[table["name"].isin(names)], comparison) for figure, names in families.items()]


def probe_curves(comparison: Comparison) -> pd.DataFrame:
    """Values of probes to draw: the columns of `Comparison.panels`, then ``step, name, value``, run by run."""
    probes = pd.concat([source.probes for source in comparison.sources], ignore_index=True)
    probes = probes.drop_duplicates(["run_id", "step", "name"])
    update = "step" if comparison.axis == "step" else "update"
    times = comparison.evaluations[["run_id", *dict.fromkeys((update, "step"))]]
    timed = times.merge(probes.rename(columns={"step": update}), on=["run_id", update])
    return comparison.panels().merge(timed, on="run_id")


def _draw(name: str, values: list[str], table: pd.DataFrame, comparison: Comparison) -> Drawing:
    """The figure of some values."""
    cells, rest = shown_cells(table[table["world"] != "ideal"] if (table["world"] != "ideal").any() else table, COLUMNS)
    drawn = values[:MOST_VALUES]
    shown = table[table["cell_id"].isin(cells) & table["name"].isin(drawn)]
    worlds = [str(world) for world in shown["world"].unique()]
    if len(values) > MOST_VALUES:
        rest += f" The first {MOST_VALUES} of {len(values)} values are drawn; probes.parquet has all."
    with mpl.rc_context(rc_style(name)):
        figure = _panels(shown, cells, drawn, worlds, comparison.axis)
        legend(figure, world_handles(worlds))
        means = (
            shown.groupby(["cell", "world", "name", "step"], sort=False)["value"].agg(["mean", "size"]).reset_index()
        )
        numbers = numbers_of(name, means, {"cell": "cell", "world": "world", "name": "value of", "step": "step",
                                           "mean": "mean", "size": "runs"})  # fmt: skip
        return rendered(name, figure, _caption(drawn, shown, comparison) + rest, numbers)


def _panels(table: pd.DataFrame, cells: list[str], names: list[str], worlds: list[str], axis: Axis) -> Figure:
    """A row of panels per value and a column per cell; the values of a single cell side by side."""
    panels = [(name, cell) for name in names for cell in cells]
    columns = len(cells) if len(cells) > 1 else 2 if len(panels) == 4 else min(len(panels), COLUMNS)
    height = -(-len(panels) // columns)
    size = (WIDTH, 3.3) if len(panels) == 1 else (WIDTH, 0.5 + 1.9 * height)
    figure = Figure(figsize=size, layout="constrained")
    shared: Any = "row" if len(cells) > 1 else False
    axes = figure.subplots(height, columns, sharex=True, sharey=shared, squeeze=False).ravel()
    for index, ((name, cell), ax) in enumerate(zip(panels, axes, strict=False)):
        rows = table[(table["name"] == name) & (table["cell_id"] == cell)]
        if len(rows):
            plot_worlds(rows, metric="value", ax=ax, worlds=worlds, axis=axis)
        part = folded(name.partition(".")[2] or name, LETTERS)
        title = part
        if len(cells) > 1:
            title = folded(str(rows["cell"].iloc[0]), LETTERS) if index < columns and len(rows) else ""
        ax.set_title(title if len(panels) > 1 else "")
        ax.set_ylabel(part if (len(cells) > 1 and index % columns == 0) or len(panels) == 1 else "")
    for ax in axes[len(panels) :]:
        ax.remove()
    step_axis(axes[0], table["step"], axis)
    for index, ax in enumerate(axes[: len(panels)]):
        bottom = index + columns >= len(panels)
        ax.tick_params(labelbottom=bottom)
        ax.set_xlabel(UNITS[axis].label if bottom else "")
    return figure


def _caption(values: list[str], shown: pd.DataFrame, comparison: Comparison) -> str:
    """What the values are, by their probes' own definitions, and of how many runs."""
    unit = UNITS[comparison.axis]
    known = {
        probe: line for source in comparison.sources for probe, line in source.environment.get("probes", {}).items()
    }
    probes = dict.fromkeys(map(probe_of, values))
    definitions = " ".join(f"{probe}: {known[probe]}" for probe in probes if probe in known)
    names = ", ".join(probes)
    return f"{names} over {unit.plural}, {seed_counts(shown)}. {definitions} {BAND}{unit.note}".replace(".  ", ". ")

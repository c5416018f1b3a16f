"""The figure of both worlds' curves: one metric over steps, with events and the chance level marked."""

import pandas as pd
from matplotlib.axes import Axes

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.curves import plot_worlds
from deepboot.reports.figures.facets import BAND, Drawing, facets, seed_counts, shown_cells, singly
from deepboot.reports.figures.marks import CHANCE, MARKED, chance_handle, mark_handles, mark_medians
from deepboot.reports.figures.style import curve_handles, world_handles
from deepboot.reports.measures.chance import chance_of, is_guessed
from deepboot.reports.statistics.intervals import T_MIN
from deepboot.reports.time_axis import UNITS


def draw_worlds(comparison: Comparison, metric: str, times: pd.DataFrame) -> Drawing | None:
    """One metric in both worlds, a panel per cell; None without a value.

    Args:
        comparison: of the cells to draw.
        metric: a column of ``evaluations``.
        times: bounds of every run's events, as in `reports.measures.events.event_times`.
    """
    table = comparison.curves({metric, metric.replace("test_", "train_"), "test_error"}).dropna(subset="test_error")
    cells, rest = shown_cells(table.loc[table["world"] != "ideal"] if (table["world"] != "ideal").any() else table)
    if not cells or table[metric].isna().all():
        return None
    shown = table[table["cell_id"].isin(cells)]
    worlds = [str(world) for world in shown["world"].unique()]
    chance = chance_of(comparison.runs).dropna() if is_guessed(metric) else pd.Series(dtype=float)
    marks = mark_handles(shown, times) if metric.startswith("test_") else []
    handles = [*world_handles(worlds, train=set(worlds) != {"ideal"} and metric.startswith("test_")), *marks]
    handles += curve_handles("run", band=bool(shown.groupby(["cell_id", "world"])["run_id"].nunique().max() >= T_MIN))
    handles += [chance_handle()] if len(chance) else []
    name = metric.replace("_", " ").capitalize()
    unit = UNITS[comparison.axis]
    explained = f"{MARKED if marks else ''}{CHANCE if len(chance) else ''}{BAND}"
    caption = f"{name} over {unit.plural}, {seed_counts(shown)}. {singly(shown)}{explained}{unit.note}{rest}"

    def plot(rows: pd.DataFrame, ax: Axes) -> None:
        levels = sorted(set(chance.reindex(rows["run_id"].unique()).dropna()))
        plot_worlds(rows, metric=metric, ax=ax, worlds=worlds, axis=comparison.axis, chance=levels)
        if marks:
            mark_medians(ax, rows, times, metric=metric, worlds=worlds)

    return facets(metric, shown, cells, plot=plot, handles=handles, caption=caption, axis=comparison.axis)

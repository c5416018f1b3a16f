"""Figures of whole cells: which they show, and their captions."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from reports.agreement import rank_agreement
from reports.cells import varied
from reports.clocks import UNITS
from reports.compare import Comparison
from reports.figures import world_handles
from reports.figures_across import plot_phase_map, plot_scatter, plot_survival
from reports.intervals import T_MIN, median_bounds, t_interval
from reports.panels import Drawing, drawn, facets, seed_counts, shown_cells, style
from reports.survival import survival_curve
from reports.timing import event_bounds
from reports.wording import count, measure, plural, span

LEAST_SCATTERED = 3  # pairs below which a scatter says nothing
LEAST_SIDE = 2  # values of each setting that make a map


def draw_survival(comparison: Comparison) -> Drawing | None:
    """The share that has not grokked by a step, a panel per cell; None without any event."""
    panels = comparison.panels()[["run_id", "cell_id", "cell", "world"]]
    bounds = event_bounds(comparison.runs, "grokking").assign(run_id=comparison.runs["run_id"])
    runs = panels.merge(bounds, on="run_id").dropna(subset="outcome")
    cells, rest = shown_cells(runs)
    if not cells or not (runs["outcome"] == "reached").any():
        return None
    shown = runs[runs["cell_id"].isin(cells)]
    key = ["cell_id", "cell", "world"]
    curves = [
        survival_curve(group["low"], group["high"]).assign(**dict(zip(key, map(str, values), strict=True)))
        for values, group in shown.groupby(key, sort=False)
    ]
    table = pd.concat(curves, ignore_index=True)
    worlds = [str(world) for world in shown["world"].unique()]
    broken = int(shown["outcome"].isin(("diverged", "failed")).sum())
    unit = UNITS[comparison.axis]
    caption = (
        f"Share of runs that have not grokked by a step (Kaplan–Meier, or Turnbull where evaluations differ), "
        f"{seed_counts(shown)}. Band: 95 % interval at each step (from 3 runs). A run that never grokked by its last "
        f"evaluation leaves there{f'; {broken} that diverged or failed count as never' if broken else ''}."
        f"{unit.note}{rest}"
    )
    return facets(
        "survival",
        table,
        cells,
        plot=lambda rows, ax: plot_survival(rows, ax=ax, worlds=worlds, axis=comparison.axis),
        handles=world_handles(worlds),
        caption=caption,
        axis=comparison.axis,
    )


def draw_scatter(comparison: Comparison) -> Drawing | None:
    """Real against ideal at the last common step, a dot per pair; None for few pairs or one cell."""
    table = comparison.pairs_at("end").dropna(subset=["real", "ideal"])
    metrics = table["metric"].unique()
    if len(table) < LEAST_SCATTERED or table["cell_id"].nunique() < LEAST_SIDE or len(metrics) != 1:
        return None
    caption = (
        f"{str(metrics[0]).replace('_', ' ').capitalize()} of the real world against its ideal partner's at their last "
        f"common step, {plural(len(table), 'pair')}. Line: both are equal. Cross: 95 % t intervals of a cell's two "
        f"means (from {T_MIN} pairs). {_agreement(table)}"
    )
    with mpl.rc_context(style("scatter")):
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        plot_scatter(table, means=_means(table), ax=figure.add_subplot())
        return drawn("scatter", figure, caption)


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Both worlds' means of every cell with their t intervals; cells of too few pairs are left out."""
    rows = []
    for _, cell in table.groupby("cell_id", sort=False):
        ends = {world: t_interval(cell[world]) for world in ("real", "ideal")}
        if all(ends.values()):
            rows.append({
                **{world: cell[world].mean() for world in ends},
                **{f"{world}_{end}": getattr(held, end) for world, held in ends.items() for end in ("low", "high")},
            })  # fmt: skip
    return pd.DataFrame(rows)


def _agreement(table: pd.DataFrame) -> str:
    """How far the worlds rank the cells alike, in words."""
    means = table.groupby("cell_id", sort=False)[["ideal", "real"]].mean()
    tau = rank_agreement(means["ideal"], means["real"])
    known = f"95 % interval {span(tau.interval)}" if tau.interval else "too few cells for an interval"
    return (
        f"Rank agreement of the means of {plural(len(means), 'cell')}: Kendall's tau {measure(tau.estimate)} ({known})."
    )


def draw_phase_map(comparison: Comparison) -> Drawing | None:
    """Grokking over two settings, where the real cells differ in exactly two; else None."""
    runs = comparison.runs[comparison.runs["world"] != "ideal"]
    cells = runs.groupby(["cell_id", "world"], sort=False).head(1)
    over = varied(cells)
    if len(over) != LEAST_SIDE or cells[over].nunique().min() < LEAST_SIDE:
        return None
    bounds = event_bounds(runs, "grokking").assign(**{name: runs[name] for name in over})
    rows = [
        {**dict(zip(over, values, strict=True)), **_square(group)}
        for values, group in bounds.dropna(subset="outcome").groupby(over, sort=True)
    ]
    if not rows:
        return None
    caption = (
        f"Share of the runs on a pool that grokked, over {over[0]} and {over[1]}, {seed_counts(runs)}; written in: how "
        f"many of how many, and the median step.{UNITS[comparison.axis].note}"
    )
    with mpl.rc_context(style("phase_map")):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        plot_phase_map(pd.DataFrame(rows), over=(over[0], over[1]), ax=figure.add_subplot())
        return drawn("phase_map", figure, caption)


def _square(runs: pd.DataFrame) -> dict[str, float | str]:
    """One square of the map: share and text."""
    reached = int((runs["outcome"] == "reached").sum())
    median = median_bounds(runs["low"], runs["high"])
    step = f"\n{count(median.high)}" if median and median.high < float("inf") else ""
    return {"share": reached / len(runs), "text": f"{reached} of {len(runs)}{step}"}

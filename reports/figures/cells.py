"""Figures of whole cells rather than of curves: survival, real against ideal, maps of two settings, scale."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.curves import to_the_last_step
from deepboot.reports.figures.facets import WIDTH, Drawing, facets, rc_style, rendered, seed_counts, shown_cells
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import (
    GAP_COLOR,
    GREY,
    INK,
    SMALLEST,
    band_handle,
    new_axes,
    ordered,
    step_axis,
    world_handles,
    world_style,
)
from deepboot.reports.figures.theme import MARKERS, tone
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import T_MIN, t_interval
from deepboot.reports.statistics.rank import rank_agreement
from deepboot.reports.statistics.survival import BROKEN, survival_curve
from deepboot.reports.text import measure, plural, span
from deepboot.reports.time_axis import UNITS, Axis

LEAST_SCATTERED = 3  # pairs for a scatter plot
LEAST_CELLS = 2


def draw_survival(comparison: Comparison) -> Drawing | None:
    """The share that has not grokked by a step, a panel per cell; None without any event."""
    panels = comparison.panels()[["run_id", *CELL]]
    bounds = event_bounds(comparison.runs, "grokking").assign(run_id=comparison.runs["run_id"])
    runs = panels.merge(bounds, on="run_id").dropna(subset="outcome")
    cells, rest = shown_cells(runs)
    if not cells or not (runs["outcome"] == "reached").any():
        return None
    shown = runs[runs["cell_id"].isin(cells)]
    curves = [
        survival_curve(group["low"], group["high"]).assign(**dict(zip(CELL, map(str, values), strict=True)))
        for values, group in shown.groupby(CELL, sort=False)
    ]
    table = pd.concat(curves, ignore_index=True)
    worlds = [str(world) for world in shown["world"].unique()]
    broken = int(shown["outcome"].isin(BROKEN).sum())
    unit = UNITS[comparison.axis]
    bands = [band_handle("95 % interval at each step")] if table["low"].notna().any() else []
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
        handles=[*world_handles(worlds), *bands],
        caption=caption,
        axis=comparison.axis,
        numbers=numbers_of("survival", table, ["cell", "world", "step", "survival", "low", "high"]),
    )


def draw_scatter(comparison: Comparison) -> Drawing | None:
    """Real against ideal at the last common step, a dot per pair; None for few pairs or one cell."""
    table = comparison.pairs_at("end").dropna(subset=["real", "ideal"])
    metrics = table["metric"].unique()
    if len(table) < LEAST_SCATTERED or table["cell_id"].nunique() < LEAST_CELLS or len(metrics) != 1:
        return None
    caption = (
        f"{str(metrics[0]).replace('_', ' ').capitalize()} of the real world against its ideal partner's at their last "
        f"common step, {plural(len(table), 'pair')}. Line: both are equal. Cross: 95 % t intervals of a cell's two "
        f"means (from {T_MIN} pairs). {_agreement(table)}"
    )
    with mpl.rc_context(rc_style("scatter")):
        named = table["cell_id"].nunique() <= len(MARKERS)
        figure = Figure(figsize=(WIDTH if named else 4.6, 4.2), layout="constrained")
        plot_scatter(table, means=_means(table), ax=figure.add_subplot())
        return rendered("scatter", figure, caption, numbers_of("scatter", table, ["cell", "seed", "ideal", "real"]))


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """Both worlds' means of every cell with their t intervals; cells of too few pairs are left out."""
    rows = []
    for _, cell in table.groupby("cell_id", sort=False):
        ends = {world: t_interval(cell[world]) for world in ("real", "ideal")}
        if all(ends.values()):
            rows.append({
                **{world: cell[world].mean() for world in ends},
                **{f"{world}_{end}": getattr(mean, end) for world, mean in ends.items() for end in ("low", "high")},
            })  # fmt: skip
    return pd.DataFrame(rows)


def _agreement(table: pd.DataFrame) -> str:
    """The rank agreement of the two worlds over cells, in words."""
    means = table.groupby("cell_id", sort=False)[["ideal", "real"]].mean()
    tau = rank_agreement(means["ideal"], means["real"])
    known = f"95 % interval {span(tau.interval)}" if tau.interval else "too few cells for an interval"
    return (
        f"Rank agreement of the means of {plural(len(means), 'cell')}: Kendall's tau {measure(tau.estimate)} ({known})."
    )


def plot_survival(
    table: pd.DataFrame, *, ax: Axes | None = None, worlds: list[str] | None = None, axis: Axis = "step"
) -> Axes:
    """Share of the runs that have not grokked by a step, one staircase per world with its pointwise interval.

    Args:
        table: ``world``, then the columns of `reports.statistics.survival.survival_curve`.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels, so that a rule has one colour in all of them.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    for world, curve in to_the_last_step(table):
        color, dash = world_style(world, worlds)
        steps, share, low, high = (curve[name].to_numpy(float) for name in ("step", "survival", "low", "high"))
        ax.fill_between(steps, low, high, step="post", color=color, alpha=0.13, linewidth=0)
        ax.step(steps, share, where="post", color=color, linestyle=dash, linewidth=1.6, label=world)
    step_axis(ax, table["step"], axis)
    ax.set(ylabel="share not grokked yet", ylim=(-0.02, 1.02))
    return ax


def plot_scatter(table: pd.DataFrame, *, means: pd.DataFrame | None = None, ax: Axes | None = None) -> Axes:
    """The real world against the ideal one, a dot per pair in its cell's tone; on the line both are equal.

    Args:
        table: ``cell, real, ideal, metric``, one row per pair.
        means: ``real, real_low, real_high, ideal, ideal_low, ideal_high``, a cross for each row.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    cells = list(table["cell"].unique())
    ends = table[["real", "ideal"]].to_numpy(float)
    edge = (min(float(np.nanmin(ends)), 0.0), float(np.nanmax(ends)) * 1.05 or 1.0)
    ax.plot(edge, edge, color=GREY, linewidth=0.8, gid="equal")
    for index, cell in enumerate(cells):
        rows = table[table["cell"] == cell]
        color, marker = tone(GAP_COLOR, index, len(cells)), MARKERS[index % len(MARKERS)]
        ax.scatter(
            rows["ideal"],
            rows["real"],
            s=14,
            alpha=0.8,
            linewidth=0,
            label=str(cell),
            zorder=3,
            color=color,
            marker=marker,
        )
    for row in [] if means is None else means.to_dict("records"):
        across, up = ([row[f"{world}_{end}"] for end in ("low", "high")] for world in ("ideal", "real"))
        ax.plot(across, [row["real"]] * 2, color=INK, linewidth=0.9, gid="mean", zorder=4)
        ax.plot([row["ideal"]] * 2, up, color=INK, linewidth=0.9, gid="mean", zorder=4)
    name = str(table["metric"].iloc[0]).replace("_", " ")
    ax.set(xlabel=f"ideal world, {name}", ylabel=f"real world, {name}", xlim=edge, ylim=edge)
    ax.set_aspect("equal")
    if 1 < len(cells) <= len(MARKERS):
        ax.legend(title="", fontsize=SMALLEST, loc="upper left", bbox_to_anchor=(1.02, 1))
    return ax


def plot_scale(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Model steps a second of one process against the members of its pack, a line per benchmark.

    Args:
        table: ``name, members, rate``, one row per benchmark and number of members.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    import seaborn as sns  # only `deepboot bench` needs it here

    sns.lineplot(table, x="members", y="rate", hue="name", style="name", markers=True, dashes=False, ax=ax)
    ax.set(xscale="log", yscale="log", xlabel="members stepped together", ylabel="model steps per second")
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.legend(title="")
    return ax

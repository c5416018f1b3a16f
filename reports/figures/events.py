"""Figures of events: the steps at which runs memorise and grok, and the shares that grok or break."""

import itertools
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepboot.reports.cells import CELL
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.curves import to_the_last_step
from deepboot.reports.figures.facets import (
    WIDTH,
    Drawing,
    facets,
    legend,
    rc_style,
    rendered,
    seed_counts,
    shown_cells,
    singled,
    singly,
)
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import (
    GREY,
    PALE,
    SMALLEST,
    new_axes,
    ordered,
    step_axis,
    world_handles,
    world_style,
)
from deepboot.reports.measures.events import event_bounds, event_times
from deepboot.reports.statistics.survival import BROKEN, cumulative_incidence
from deepboot.reports.text import EVENT_WORDS
from deepboot.reports.time_axis import UNITS, Axis


def draw_steps(comparison: Comparison) -> Drawing | None:
    """Memorisation and grokking steps of every run; None without any."""
    times = event_times(comparison).dropna(subset=["memorization_outcome", "grokking_outcome"], how="all")
    panels = in_panels(comparison, times.drop(columns=[*CELL, "seed", "status"]))
    cells, rest = shown_cells(panels)
    if not cells:
        return None
    shown = panels[panels["cell_id"].isin(cells)]
    worlds = [str(world) for world in shown["world"].unique()]
    *nouns, last = (EVENT_WORDS[event].noun for event in event_rows(shown))
    outcomes = {outcome for event in event_rows(shown) for outcome in shown[f"{event}_outcome"].dropna()}
    caption = (
        f"{', '.join(nouns).capitalize()} and {last} steps, {seed_counts(shown)}. {singly(shown)}"
        "Dot: first evaluation of the streak; bar: back to the evaluation before it. "
        "Open circle: not reached by the last evaluation."
        f"{UNITS[comparison.axis].note}{rest}"
    )
    with mpl.rc_context(rc_style("steps")):
        height = 0.25 + 0.18 * len(event_rows(shown)) * len(worlds)
        figure = Figure(figsize=(WIDTH, 0.75 + height * len(cells)), layout="constrained")
        plot_steps(shown, ax=figure.add_subplot(), axis=comparison.axis)
        legend(figure, step_handles(worlds, outcomes), length=1.0)
        bounds = [f"{event}_{part}" for event in event_rows(shown) for part in ("outcome", "low", "high")]
        return rendered(
            "steps", figure, caption, numbers_of("steps", singled(shown), ["cell", "world", "run_id", *bounds])
        )


def draw_incidence(comparison: Comparison) -> Drawing | None:
    """Shares that have grokked, and that diverged or failed before, a panel per cell; None where no run did."""
    runs = comparison.runs
    bounds = event_bounds(runs, "grokking").assign(run_id=runs["run_id"], ended=runs["last_step"].astype(float))
    panels = in_panels(comparison, bounds.fillna({"ended": 0.0})).dropna(subset="outcome")
    cells, rest = shown_cells(panels)
    shown = panels[panels["cell_id"].isin(cells)]
    single = shown.drop_duplicates("run_id")
    broken = int(single["outcome"].isin(BROKEN).sum())
    if not broken:
        return None
    curves = [
        cumulative_incidence(group["low"], group["high"], group["outcome"], group["ended"]).assign(
            **dict(zip(CELL, map(str, values), strict=True))
        )
        for values, group in shown.groupby(CELL, sort=False)
    ]
    worlds = [str(world) for world in shown["world"].unique()]
    caption = (
        "Shares of the runs that have grokked, and that diverged or failed before, by a step: cumulative incidence of "
        f"outcomes of which a run has one (Aalen–Johansen), {seed_counts(shown)}, of which {broken} diverged or failed "
        "(dotted, a cross at each rise). An event counts from the evaluation that saw it; censored runs leave after "
        f"their last one. No interval is drawn.{UNITS[comparison.axis].note}{rest}"
    )
    table = pd.concat(curves, ignore_index=True)
    return facets(
        "incidence",
        table,
        cells,
        plot=lambda rows, ax: plot_incidence(rows, ax=ax, worlds=worlds, axis=comparison.axis),
        handles=[*world_handles(worlds), broken_handle()],
        caption=caption,
        axis=comparison.axis,
        numbers=numbers_of("incidence", table, ["cell", "world", "step", "reached", "diverged"]),
    )


def in_panels(comparison: Comparison, table: pd.DataFrame) -> pd.DataFrame:
    """These rows of runs in every panel that shows them."""
    return comparison.panels()[["run_id", *CELL]].merge(table, on="run_id")


def unknown_runs(runs: pd.DataFrame) -> str:
    """The end of a caption's sentence, on runs with unknown ratios."""
    if runs.empty:
        return ""
    broken = int(runs["outcome"].isin(BROKEN).sum())
    neither = len(runs) - broken
    parts = [f"{broken} that diverged or failed"] if broken else []
    parts += [f"{neither} with neither event"] if neither else []
    return f"; of {' and '.join(parts)} nothing is known (crosses), and they open both ends"


NAME_ROWS = 0.8  # height of a cell's name in the figure of steps, in rows
BROKEN_DASH = (0, (1, 1.2))
DOT: dict[str, Any] = {"linestyle": "", "markersize": 4.5}  # of a legend


def event_rows(table: pd.DataFrame) -> list[str]:
    """The events of the figure of steps, a row each: stable grokking only where some run fell again after grokking."""
    parts = ("outcome", "low", "high")
    grokking, stable = (table[[f"{event}_{part}" for part in parts]] for event in ("grokking", "stable"))
    same = stable.set_axis(grokking.columns, axis=1).equals(grokking)
    return ["memorization", "grokking", *([] if same else ["stable"])]


def plot_steps(table: pd.DataFrame, *, ax: Axes | None = None, axis: Axis = "step") -> Axes:
    """Steps at which runs memorised and grokked: a dot at the first evaluation that shows it, a bar to the one before.

    Censored runs are open circles at their last evaluation; runs that diverged or failed before are crosses at
    the right edge.

    Args:
        table: rows of `reports.measures.events.event_times`.
        ax: where to draw; new axes otherwise.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = ordered(table["world"])
    cells = list(table["cell"].unique())
    events = event_rows(table)
    group_rows = len(events) + NAME_ROWS
    ends = table[[f"{event}_{end}" for event in events for end in ("low", "high")]].to_numpy(dtype=float)
    known = ends[np.isfinite(ends)]
    last = float(np.max(known, initial=0.0)) or 1.0
    drawn = singled(table)
    for (group, cell), (row, event) in itertools.product(enumerate(cells), enumerate(events)):
        top = group * group_rows + row
        for world in worlds:
            runs = drawn[(drawn["cell"] == cell) & (drawn["world"] == world)].dropna(subset=f"{event}_outcome")
            heights = top + _offset(worlds.index(world), len(worlds)) + spread(len(runs), 0.42 / len(worlds))
            _draw_dots(ax, runs, event, heights, color=world_style(world, worlds)[0], edge=last)
    positive = known[known > 0]
    first = float(np.min(positive)) / 1.5 if len(positive) and (known > 0).all() else None
    step_axis(ax, pd.Series(known), axis, low=first, high=1.35)
    rows = [group * group_rows + row for group in range(len(cells)) for row in range(len(events))]
    name_rows(ax, rows, [EVENT_WORDS[event].noun for event in events] * len(cells))
    tops = [group * group_rows for group in range(len(cells))]
    headings(ax, list(zip(tops, map(str, cells), strict=True)), tops[-1] + len(events) - 0.4)
    return ax


def plot_incidence(
    table: pd.DataFrame, *, ax: Axes | None = None, worlds: list[str] | None = None, axis: Axis = "step"
) -> Axes:
    """Shares of the runs that have grokked, and that have diverged or failed before, by a step.

    Args:
        table: ``world``, then the columns of `reports.statistics.survival.cumulative_incidence`.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels, so that a rule has one colour in all of them.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    for world, curve in to_the_last_step(table):
        color, dash = world_style(world, worlds)
        steps, reached, broken = (curve[name].to_numpy(float) for name in ("step", "reached", "diverged"))
        ax.step(steps, reached, where="post", color=color, linestyle=dash, linewidth=1.8, label=world)
        if broken[-1] > 0:
            rises = np.diff(broken, prepend=0.0) > 0
            ax.step(
                steps, broken, where="post", color=color, linestyle=BROKEN_DASH, linewidth=1.3, gid=f"broken {world}"
            )
            ax.plot(steps[rises], broken[rises], color=color, marker="x", linestyle="", markersize=4, zorder=3)
    step_axis(ax, table["step"], axis)
    ax.set(ylabel="share of runs", ylim=(-0.02, 1.02))
    return ax


def step_handles(worlds: list[str], outcomes: set[str]) -> list[Line2D]:
    """Legend entries of `plot_steps`: worlds, and the outcomes that occur."""
    handles = world_dots(worlds)
    if "censored" in outcomes:
        handles.append(
            Line2D([], [], marker="o", color=GREY, markerfacecolor="white", label="not by the budget", **DOT)
        )
    if outcomes & set(BROKEN):
        handles.append(Line2D([], [], marker="x", color=GREY, label="diverged or failed before", **DOT))
    return handles


def broken_handle() -> Line2D:
    """Legend entry of the runs that broke in `plot_incidence`."""
    return Line2D([], [], color=GREY, linestyle=BROKEN_DASH, marker="x", markersize=4, label="diverged or failed")


def world_dots(worlds: list[str]) -> list[Line2D]:
    """Legend entries of worlds that are drawn as dots."""
    return [
        Line2D([], [], marker="o", color=world_style(world, worlds)[0], label=f"{world} world", **DOT)
        for world in ordered(worlds)
    ]


def name_rows(ax: Axes, heights: list[float], names: list[str]) -> None:
    """Names of the rows, without an axis beside them."""
    ax.set_yticks(heights, names)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def headings(ax: Axes, cells: list[tuple[float, str]], bottom: float) -> None:
    """The cells' names above their first rows, where there is more than one cell."""
    ax.set_ylim(bottom, -1.0 if len(cells) > 1 else -0.6)
    for row, cell in cells if len(cells) > 1 else []:
        across, top = ax.get_yaxis_transform(), row - 0.72
        over: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        ax.text(0.005, top, cell, transform=across, fontweight="bold", va="center", fontsize=SMALLEST, bbox=over)
        if row:
            ax.axhline(top - 0.36, color=PALE, linewidth=0.7, zorder=0)


def _draw_dots(ax: Axes, runs: pd.DataFrame, event: str, heights: np.ndarray, *, color: str, edge: float) -> None:
    for run, height in zip(runs.to_dict("records"), heights, strict=True):
        low, high, outcome = run[f"{event}_low"], run[f"{event}_high"], run[f"{event}_outcome"]
        style: dict[str, Any] = {"color": color, "gid": f"{event} {run['run_id']}", "zorder": 3, "linestyle": ""}
        if outcome == "reached":
            ax.plot([low, high], [height, height], color=color, linewidth=0.9, alpha=0.6, zorder=2)
            ax.plot([high], [height], marker="o", markersize=3.2, **style)
        elif outcome == "censored":
            ax.plot([low], [height], marker="o", markersize=3.6, markerfacecolor="white", markeredgewidth=0.9, **style)
        else:
            ax.plot([edge * 1.15], [height], marker="x", markersize=3.6, markeredgewidth=0.9, **style)


def _offset(index: int, worlds: int) -> float:
    return (index - (worlds - 1) / 2) * 0.7 / worlds


def spread(n: int, width: float) -> np.ndarray:
    """Heights of n runs in a row, around its middle."""
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(n)

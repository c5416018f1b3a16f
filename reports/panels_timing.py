"""Figures of events: which runs and cells they show, and their captions."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from reports.clocks import UNITS
from reports.compare import Comparison
from reports.figures import world_handles
from reports.figures_delays import delay_handles, plot_delays
from reports.figures_timing import BROKEN, broken_handle, plot_incidence, plot_steps, step_handles
from reports.panels import WIDTH, Drawing, drawn, facets, legend, seed_counts, shown_cells, style
from reports.survival import cumulative_incidence
from reports.timing import event_bounds, event_times, ratio_bounds


def draw_steps(comparison: Comparison) -> Drawing | None:
    """Memorisation and grokking steps of every run; None without any."""
    times = event_times(comparison).dropna(subset=["memorization_outcome", "grokking_outcome"], how="all")
    panels = _pictured(comparison, times.drop(columns=["cell_id", "cell", "world", "seed", "status"]))
    cells, rest = shown_cells(panels)
    if not cells:
        return None
    shown = panels[panels["cell_id"].isin(cells)]
    worlds = [str(world) for world in shown["world"].unique()]
    outcomes = set(shown["memorization_outcome"].dropna()) | set(shown["grokking_outcome"].dropna())
    caption = (
        f"Memorisation and grokking steps, {seed_counts(shown)}. Dot: first evaluation of the streak; bar: back to "
        f"the evaluation before it. Open circle: not reached by the last evaluation.{UNITS[comparison.axis].note}{rest}"
    )
    with mpl.rc_context(style("steps")):
        figure = Figure(figsize=(WIDTH, 0.75 + (0.25 + 0.36 * len(worlds)) * len(cells)), layout="constrained")
        plot_steps(shown, ax=figure.add_subplot(), axis=comparison.axis)
        legend(figure, step_handles(worlds, outcomes), length=1.0)
        return drawn("steps", figure, caption)


def draw_delays(comparison: Comparison) -> Drawing | None:
    """How many times later than it memorised each run grokked; None where that is known of no run."""
    runs = comparison.runs
    ratios = ratio_bounds(runs, runs).assign(run_id=runs["run_id"], outcome=event_bounds(runs, "grokking")["outcome"])
    panels = _pictured(comparison, ratios.dropna(subset=["low", "high"]))
    cells, rest = shown_cells(panels)
    shown = panels[panels["cell_id"].isin(cells)]
    if not ((shown["low"] > 0) | (shown["high"] < float("inf"))).any():
        return None
    unknown = shown[(shown["low"] == 0) & (shown["high"] == float("inf"))].drop_duplicates("run_id")
    unit = UNITS[comparison.axis]
    caption = (
        f"Grokking over memorisation, the ratio of their {unit.plural} in the same run, {seed_counts(shown)}. Bar: "
        "what the evaluations leave possible; dot: its middle. Diamond and black bar: median and its distribution-free "
        "95 % interval (from 6 runs), also in numbers; a run that did not grok by the budget counts with all that "
        f"lies above its bound{_unknown(unknown)}. Grey line: no delay. The ideal world memorises by its online "
        f"error.{unit.note}{rest}"
    )
    height = (
        0.8 + 0.44 * len(shown[["cell_id", "world"]].drop_duplicates()) + (0.34 * len(cells) if len(cells) > 1 else 0)
    )
    with mpl.rc_context(style("delays")):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        plot_delays(shown, ax=figure.add_subplot(), axis=comparison.axis)
        legend(figure, delay_handles(shown), length=1.4)
        return drawn("delays", figure, caption)


def draw_incidence(comparison: Comparison) -> Drawing | None:
    """Shares that have grokked, and that diverged or failed before, a panel per cell; None where no run did."""
    runs = comparison.runs
    bounds = event_bounds(runs, "grokking").assign(run_id=runs["run_id"], ended=runs["last_step"].astype(float))
    panels = _pictured(comparison, bounds.fillna({"ended": 0.0})).dropna(subset="outcome")
    cells, rest = shown_cells(panels)
    shown = panels[panels["cell_id"].isin(cells)]
    single = shown.drop_duplicates("run_id")
    broken = int(single["outcome"].isin(BROKEN).sum())
    if not broken:
        return None
    key = ["cell_id", "cell", "world"]
    curves = [
        cumulative_incidence(group["low"], group["high"], group["outcome"], group["ended"]).assign(
            **dict(zip(key, map(str, values), strict=True))
        )
        for values, group in shown.groupby(key, sort=False)
    ]
    worlds = [str(world) for world in shown["world"].unique()]
    caption = (
        "Shares of the runs that have grokked, and that diverged or failed before, by a step: cumulative incidence of "
        f"outcomes of which a run has one (Aalen–Johansen), {seed_counts(shown)}, of which {broken} diverged or failed "
        "(dotted, a cross at each rise). An event counts from the evaluation that saw it; censored runs leave after "
        f"their last one. No interval is drawn.{UNITS[comparison.axis].note}{rest}"
    )
    return facets(
        "incidence",
        pd.concat(curves, ignore_index=True),
        cells,
        plot=lambda rows, ax: plot_incidence(rows, ax=ax, worlds=worlds, axis=comparison.axis),
        handles=[*world_handles(worlds), broken_handle()],
        caption=caption,
        axis=comparison.axis,
    )


def _pictured(comparison: Comparison, table: pd.DataFrame) -> pd.DataFrame:
    """These rows of runs in every picture that shows them."""
    return comparison.panels()[["run_id", "cell_id", "cell", "world"]].merge(table, on="run_id")


def _unknown(runs: pd.DataFrame) -> str:
    if runs.empty:
        return ""
    broken = int(runs["outcome"].isin(BROKEN).sum())
    neither = len(runs) - broken
    parts = [f"{broken} that diverged or failed"] if broken else []
    parts += [f"{neither} with neither event"] if neither else []
    return f"; of {' and '.join(parts)} nothing is known (crosses), and they open both ends"

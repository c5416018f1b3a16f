"""Marks only: each function draws a table onto axes, and computes no more than a mean and its band.

Worlds keep their colour and dash in every figure, so that print and the colour-blind can tell them apart.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from reports.intervals import T_MIN, t_interval

INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"
# Okabe and Ito's palette, which the common kinds of colour blindness can tell apart.
COLORS = {"real": "#0072b2", "ideal": "#d55e00"}
DASHES: dict[str, Any] = {"real": "-", "ideal": (0, (5, 2))}
OTHERS = [("#009e73", (0, (7, 1.5, 1.5, 1.5))), ("#cc79a7", (0, (3, 1, 1, 1, 1, 1))), ("#e69f00", (0, (9, 3)))]
GAP_COLOR = "#5b3a8e"
GROUP = 2.8  # height of a cell in the figure of steps: two rows and its name
TRAIN_DASH = (0, (1, 1.4))
EDGES = ((np.max, 1.0), (np.min, np.inf))  # the last and the first step that a table of events shows
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.xmargin": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.6,
    "xtick.minor.width": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def look(world: str, worlds: list[str]) -> tuple[str, Any]:
    """Colour and dash of a world; rules other than real and ideal take theirs in alphabetical order."""
    if world in COLORS:
        return COLORS[world], DASHES[world]
    others = sorted(set(worlds) - set(COLORS))
    return OTHERS[others.index(world) % len(OTHERS)]


def ordered(worlds: Iterable[str]) -> list[str]:
    """Worlds in the order in which they are named: real, other rules, ideal.

    >>> ordered(["ideal", "fresh", "real", "real"])
    ['real', 'fresh', 'ideal']
    """
    return sorted(map(str, set(worlds)), key=lambda world: (world == "ideal", world != "real", world))


def plot_worlds(table: pd.DataFrame, *, metric: str, ax: Axes | None = None, worlds: list[str] | None = None) -> Axes:
    """One metric over steps: a thin line per seed, under each world's mean and its band.

    Real is solid, ideal dashed, every other rule has a dash of its own; where the metric has a train side, the
    mean of the real world's is dotted. The grey line is the first reuse: the worlds are identical up to it.
    Mean and band (95 % t interval of the mean at each step, at least 3 seeds) are drawn where every seed has a value.

    Args:
        table: rows of `Comparison.curves` of one cell: ``run_id, world, step``, the metric, ``first_reuse_step``.
        metric: its column.
        ax: where to draw; new axes otherwise.
        worlds: all worlds of the figure, where it has further panels: they decide the looks of other rules.
    """
    ax = ax or new_axes()
    worlds = worlds or ordered(table["world"])
    bounded = (0.0, 1.0) if metric.endswith("error") else (-math.inf, math.inf)
    for world in reversed(ordered(table["world"])):
        color, dash = look(world, worlds)
        wide = _wide(table[table["world"] == world], metric)
        _seeds(ax, wide, color=color, dash=dash)
        _ends(ax, wide, set(table.loc[table["status"] == "diverged", "run_id"]) if "status" in table else set(), color)
        _mean(ax, wide, color=color, dash=dash, label=world, limits=bounded)
        train = metric.replace("test_", "train_")
        if world != "ideal" and train != metric and train in table:
            _mean_line(ax, _wide(table[table["world"] == world], train), color=color, dash=TRAIN_DASH, width=1.1)
    step_axis(ax, table["step"])
    _mark_step(ax, table["first_reuse_step"], "first reuse", high=False)
    ax.set_ylabel(f"{metric.replace('_', ' ')}{' (share)' if metric.endswith('_error') else ''}")
    if metric.endswith("error"):
        ax.set_ylim(min(-0.02, ax.get_ylim()[0]), max(0.1, ax.get_ylim()[1]))
    return ax


def plot_bootstrap_error(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Bootstrap error over steps: a thin line per pair under the mean and its band, with the zero line.

    The grey lines are the first reuse, up to which the error is zero by construction, and the stopping step.

    Args:
        table: rows of `Comparison.bootstrap_error` of one cell; ``first_reuse_step`` and ``stopping_step`` are
            marked where it has them.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1, gid="zero")
    wide = _wide(table, "bootstrap_error")
    _seeds(ax, wide, color=GAP_COLOR, dash="-")
    _mean(ax, wide, color=GAP_COLOR, dash="-", label="mean of the pairs", limits=(-math.inf, math.inf))
    step_axis(ax, table["step"])
    if "first_reuse_step" in table:
        _mark_step(ax, table["first_reuse_step"], "first reuse")
    if "stopping_step" in table:
        _mark_step(ax, table["stopping_step"], "stopping", high=False)
    metric = ", ".join(sorted(table["metric"].unique())) if "metric" in table else "error"
    world = ", ".join(ordered(table["world"]))
    ax.set_ylabel(f"bootstrap error\n({metric.replace('_', ' ')}, {world} − ideal)")
    return ax


def plot_steps(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """When every run memorised and grokked: a dot at the first evaluation that shows it, a bar back to the last before.

    Censored runs are open circles at their last evaluation; runs that diverged or failed before are crosses at
    the right edge.

    Args:
        table: rows of `reports.timing.event_times`.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    worlds = ordered(table["world"])
    cells = list(table["cell"].unique())
    ends = table[["memorization_low", "memorization_high", "grokking_low", "grokking_high"]].to_numpy(dtype=float)
    last, first = (float(get(ends[np.isfinite(ends) & (ends > 0)], initial=start)) for get, start in EDGES)
    for (group, cell), (row, event) in itertools.product(enumerate(cells), enumerate(("memorization", "grokking"))):
        place = group * GROUP + row
        for world in worlds:
            runs = table[(table["cell"] == cell) & (table["world"] == world)].dropna(subset=f"{event}_outcome")
            heights = place + _offset(worlds.index(world), len(worlds)) + _spread(len(runs), 0.42 / len(worlds))
            _dots(ax, runs, event, heights, color=look(world, worlds)[0], edge=last)
    step_axis(ax, pd.Series([0, last]), most=last * 1.35)
    ax.set_xlim(left=first / 1.5 if first > 2 else None)
    rows = [group * GROUP + row for group in range(len(cells)) for row in (0, 1)]
    ax.set_yticks(rows, ["memorisation", "grokking"] * len(cells))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    _headings(ax, cells)
    return ax


def world_handles(worlds: list[str], *, train: bool = False) -> list[Line2D]:
    """Legend entries of worlds, real first; with ``train``, one for the dotted train curve."""
    order = ordered(worlds)
    handles = []
    for world in order:
        color, dash = look(world, worlds)
        handles.append(Line2D([], [], color=color, linestyle=dash, linewidth=2, label=f"{world} world"))
    if train:
        pooled = [world for world in order if world != "ideal"]
        color, label = (
            (look(pooled[0], worlds)[0], f"{pooled[0]}, on train") if len(pooled) == 1 else (GREY, "on train")
        )
        handles.append(Line2D([], [], color=color, linestyle=TRAIN_DASH, linewidth=1.1, label=label))
    return handles


def step_handles(worlds: list[str], outcomes: set[str]) -> list[Line2D]:
    """Legend entries of `plot_steps`: worlds, and the outcomes that occur."""
    order = ordered(worlds)
    dot: dict[str, Any] = {"linestyle": "", "markersize": 4.5}
    handles = [
        Line2D([], [], marker="o", color=look(world, worlds)[0], label=f"{world} world", **dot) for world in order
    ]
    if "censored" in outcomes:
        handles.append(
            Line2D([], [], marker="o", color=GREY, markerfacecolor="white", label="not by the budget", **dot)
        )
    if outcomes & {"diverged", "failed"}:
        handles.append(Line2D([], [], marker="x", color=GREY, label="diverged or failed before", **dot))
    return handles


def _headings(ax: Axes, cells: list[Any]) -> None:
    """The cells' names above their two rows, where there is more than one cell."""
    ax.set_ylim((len(cells) - 1) * GROUP + 1.6, -1.0 if len(cells) > 1 else -0.6)
    for group, cell in enumerate(cells if len(cells) > 1 else []):
        across, top = ax.get_yaxis_transform(), group * GROUP - 0.72
        ax.text(0.005, top, str(cell), transform=across, fontweight="bold", va="center", fontsize=8)
        if group:
            ax.axhline(top - 0.36, color=PALE, linewidth=0.7, zorder=0)


def new_axes() -> Axes:
    """Axes of the usual size on a figure of their own."""
    return Figure(figsize=(5.5, 3.4), layout="constrained").add_subplot()


def _wide(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Steps down, runs across."""
    return table.pivot(index="step", columns="run_id", values=column).astype(float)


def _seeds(ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any) -> None:
    alpha = min(0.5, max(0.12, 3 / max(wide.shape[1], 1)))
    rows, drawn = _long(wide), len(ax.lines)
    look_of_seed: dict[str, Any] = {"color": color, "linestyle": dash, "linewidth": 0.6, "alpha": alpha, "zorder": 2}
    sns.lineplot(rows, x="step", y="value", units="run_id", estimator=None, legend=False, ax=ax, **look_of_seed)
    for line, run_id in zip(ax.lines[drawn:], sorted(rows["run_id"].unique()), strict=True):
        line.set_gid(f"seed {run_id}")


def _ends(ax: Axes, wide: pd.DataFrame, diverged: set[Any], color: str) -> None:
    """A cross where the curve of a run that diverged ends."""
    for run_id in diverged & set(wide.columns):
        kept = wide[run_id].dropna()
        ax.plot(
            kept.index[-1:], kept.iloc[-1:], color=color, marker="x", markersize=4, gid=f"diverged {run_id}", zorder=4
        )


def _mean(ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any, label: str, limits: tuple[float, float]) -> None:
    def band(values: pd.Series) -> tuple[float, float]:
        interval = t_interval(values.to_numpy())
        assert interval is not None, "a band is asked for from three runs on"
        low, high = np.clip(interval, *limits)
        return float(low), float(high)

    _mean_line(ax, wide, color=color, dash=dash, width=1.9, label=label, band=band if wide.shape[1] >= T_MIN else None)


def _mean_line(
    ax: Axes, wide: pd.DataFrame, *, color: str, dash: Any, width: float, label: str | None = None, band: Any = None
) -> None:
    """The mean of all runs and its band, at the steps where every one of them has a value."""
    look_of_mean: dict[str, Any] = {"color": color, "linestyle": dash, "linewidth": width, "zorder": 3}
    shade = {"alpha": 0.16, "linewidth": 0, "zorder": 1.5}
    rows = _long(wide.dropna())
    sns.lineplot(
        rows, x="step", y="value", errorbar=band, err_kws=shade, label=label, legend=False, ax=ax, **look_of_mean
    )


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    """One row per step and run that has a value: ``step, run_id, value``."""
    return wide.rename_axis(columns="run_id").reset_index().melt("step", value_name="value").dropna()


def _mark_step(ax: Axes, steps: pd.Series, text: str, *, high: bool = True) -> None:
    """A grey line at the median of these steps, with its name beside it."""
    known = steps.dropna().astype(float)
    if known.empty:
        return
    place = float(known.groupby(level=0).first().median())
    ax.axvline(place, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1, gid=text)
    height, align = (0.985, "top") if high else (0.015, "bottom")
    beside: Any = {"xycoords": ax.get_xaxis_transform(), "xytext": (2.5, 0), "textcoords": "offset points"}
    ax.annotate(text, (place, height), va=align, fontsize=7, color=GREY, **beside)


def _dots(ax: Axes, runs: pd.DataFrame, event: str, heights: np.ndarray, *, color: str, edge: float) -> None:
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


def _offset(place: int, worlds: int) -> float:
    return (place - (worlds - 1) / 2) * 0.7 / worlds


def _spread(n: int, width: float) -> np.ndarray:
    return np.linspace(-width / 2, width / 2, n) if n > 1 else np.zeros(n)


def step_axis(ax: Axes, steps: pd.Series, most: float | None = None) -> None:
    """A log axis of steps on which step 0, the untrained network, has a place."""
    last = max(float(steps.max()), 10.0)
    ax.set_xscale("symlog", linthresh=1, linscale=0.3)
    ax.set_xlim(-0.05, most or last * 1.06)
    decades = [10**k for k in range(math.ceil(math.log10(last)) + 1)]
    ax.xaxis.set_major_locator(FixedLocator([0, *decades]))
    ax.xaxis.set_minor_locator(FixedLocator([digit * ten for ten in decades for digit in range(2, 10)]))
    ax.xaxis.set_major_formatter(FuncFormatter(_step_label))
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.set_xlabel("step (optimiser updates)")


def _step_label(value: float, _: Any) -> str:
    if value < 100_000:
        return f"{value:,.0f}"
    return f"$10^{{{round(math.log10(value))}}}$"

"""The pictures of docs/findings.md, one for each finding, small enough for README's gallery.

python docs/draw_findings.py dose-of-reuse docs/figures/dose-of-reuse.svg results/dose-of-reuse

Each is drawn from the output folders of its studies, named in the order of `FOLDERS` where there are several. World
colours and dashes are those of the report.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from deepboot.reports.claims.where import same
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.figures.cells import plot_survival
from deepboot.reports.figures.curves import by_run, mean_and_band
from deepboot.reports.figures.effect_marks import middle
from deepboot.reports.figures.events import spread
from deepboot.reports.figures.facets import rc_style
from deepboot.reports.figures.style import GAP_COLOR, INK, SMALLEST, world_style
from deepboot.reports.figures.theme import tone
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.notebook import load
from deepboot.reports.statistics.intervals import Bounds, median_bounds, median_interval, t_interval
from deepboot.reports.statistics.survival import survival_curve
from deepboot.reports.text import count

WIDTH, HEIGHT = 3.0, 2.5  # inches, so that the smallest letters have 11 pixels in a column of 280
CENTRE: dict[str, Any] = {"markersize": 5.5, "linestyle": "", "zorder": 4}
RUNS: dict[str, Any] = {"markersize": 2.8, "linestyle": "", "alpha": 0.5, "markeredgewidth": 0.6, "zorder": 2}
RULE, WHOLE, SHARE = "training.world.rule", "training.world.whole_batches", "training.world.share"
START = "training.streams.init"
Measure = Literal["grokking", "final"]


@final
@dataclass(frozen=True)
class Row:
    """One row of a picture: real runs whose settings have these values, or their ideal partners.

    Args:
        name: what a reader calls them.
        where: columns of the table of runs, and their values.
        ideal: the partners instead.
        after: a column with the step from which steps are counted.
        folder: from which of several folders, by its place.
        beside: on the row before, and without a name of its own.
    """

    name: str
    where: dict[str, Any]
    ideal: bool = False
    after: str = ""
    folder: int = 0
    beside: bool = False

    def runs(self, comparison: Comparison) -> pd.DataFrame:
        """Its rows of the table of runs; an AssertionError where there are none."""
        runs = comparison.runs
        fits = runs["world"] != "ideal"
        for column, value in self.where.items():
            fits &= np.array([same(held, value) for held in runs[column]])
        chosen = runs[runs["run_id"].isin(runs.loc[fits, "ideal_run_id"])] if self.ideal else runs[fits]
        assert len(chosen), f"no run for {self.name}"
        return chosen

    def bounds(self, comparison: Comparison, measure: Measure) -> pd.DataFrame:
        """``low, high`` of every run: between which steps it groks, or twice its final test error; ``last`` step."""
        runs = self.runs(comparison)
        if measure == "final":
            errors = runs["run_id"].map(comparison.final("test_error")).to_numpy(dtype=float)
            return pd.DataFrame({"low": errors, "high": errors, "last": errors})
        since = runs[self.after].to_numpy(dtype=float) if self.after else 0.0
        bounds = event_bounds(runs, "grokking")
        assert bounds["outcome"].isin(["reached", "censored"]).all()
        return pd.DataFrame(
            {
                "low": bounds["low"] - since,
                "high": bounds["high"] - since,
                "last": runs["last_step"].astype(float) - since,
            }
        )


def draw_rows(ax: Axes, comparisons: Sequence[Comparison], rows: Sequence[Row], measure: Measure) -> None:
    """Draw every run of each row, their median or mean and its 95 % interval, one row below the other.

    Of grokking steps it is the median with its distribution-free interval, of final errors the mean with its t
    interval. A run that never grokked is an open triangle at its last step.
    """
    height = -1
    for row in rows:
        comparison = comparisons[row.folder]
        height += not row.beside
        table = row.bounds(comparison, measure)
        worlds = list(comparison.runs["world"].unique())
        hue, _ = world_style(str(row.runs(comparison)["world"].iloc[0]), worlds)
        known = np.isfinite(table["high"])
        at = height + spread(len(table), 0.26)
        places = middle(table["low"], table["high"]) if measure == "grokking" else table["low"]
        ax.plot(places[known], at[known], marker="o", color=hue, **RUNS)
        ax.plot(table["last"][~known], at[~known], marker="^", color=hue, markerfacecolor="none", **RUNS)
        centre, interval = summary(table, measure)
        if interval:
            end = min(interval.high, float(table["last"].max())) if math.isinf(interval.high) else interval.high
            ax.plot([interval.low, end], [height] * 2, color=hue, linewidth=2.2, zorder=3, solid_capstyle="butt")
        if math.isfinite(centre):
            ax.plot([centre], [height], marker="o", color=hue, markerfacecolor="white" if row.ideal else hue, **CENTRE)
        if not row.beside:
            name_of: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "bottom", "fontsize": SMALLEST}
            ax.text(0.0, height - 0.22, row.name, color=INK, **name_of)
    ax.set(ylim=(height + 0.45, -0.75), yticks=[])
    ax.spines["left"].set_visible(False)


def summary(table: pd.DataFrame, measure: Measure) -> tuple[float, Bounds | None]:
    """The median, infinite where it is not reached, and its interval; of final errors the mean."""
    if measure == "final":
        return float(table["low"].mean()), t_interval(table["low"])
    median = median_bounds(table["low"], table["high"])
    assert median is not None
    return float(middle(median.low, median.high)), median_interval(table["low"], table["high"])


def steps_axis(ax: Axes, which: Literal["x", "y"] = "x") -> None:
    """Make an axis of steps logarithmic, with round numbers."""
    ax.set(**{f"{which}scale": "log"})
    axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axis.set_minor_formatter(NullFormatter())


@final
@dataclass(frozen=True)
class Rows:
    """A picture of rows.

    Args:
        rows: from the top down.
        measure: of every run, the step at which it groks, or its final test error.
        label: of the axis.
    """

    rows: tuple[Row, ...]
    measure: Measure = "grokking"
    label: str = "grokking (step)"

    def __call__(self, ax: Axes, comparisons: Sequence[Comparison]) -> None:
        draw_rows(ax, comparisons, self.rows, self.measure)
        if self.measure == "grokking":
            steps_axis(ax)
        ax.margins(x=0.04)
        ax.set_xlabel(self.label)


def waiting(ax: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw the share of the runs that have not grokked yet, in both worlds."""
    (comparison,) = comparisons
    bounds = event_bounds(comparison.runs, "grokking").assign(world=comparison.runs["world"])
    curves = [survival_curve(runs["low"], runs["high"]).assign(world=world) for world, runs in bounds.groupby("world")]
    table = pd.concat(curves, ignore_index=True)
    plot_survival(table.assign(step=table["step"].clip(lower=300)), ax=ax)  # no run groks before
    ax.set(xlim=(300, 6_300), xlabel="step")
    ax.text(800, 0.45, "fresh\nsamples", color=world_style("ideal", [])[0])
    ax.text(2_800, 0.72, "the pool", color=world_style("real", [])[0])


def sign(ax: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw the bootstrap error of three pools over passes: mean, 95 % band, and a mark where they are fitted."""
    (comparison,) = comparisons
    table = comparison.bootstrap_error("test_error").merge(
        comparison.runs[["run_id", "train_size", "batch_size", "stopping_high"]], on="run_id"
    )
    table = table[(table["train_size"] == table["batch_size"]) & (table["step"] > 0)]
    for place, (size, pool) in enumerate(table.groupby("train_size")):
        hue, wide = tone(GAP_COLOR, place, 3), by_run(pool, "bootstrap_error")
        mean_and_band(ax, wide, color=hue, dash="-", label=f"{size}", limits=(-math.inf, math.inf))
        mean = wide.mean(axis=1)
        fitted = float(pool.groupby("run_id")["stopping_high"].first().median())
        ax.plot([fitted], np.interp([fitted], mean.index, mean), marker="o", color=hue, **CENTRE)
        ax.annotate(f"{size}", (mean.index[-1], mean.iloc[-1]), xytext=(3, 0), textcoords="offset points", color=hue)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    steps_axis(ax)
    ax.set(xlim=(100, 1_500), ylim=(-0.45, 0.6), xlabel="passes over the pool", ylabel="bootstrap error (test error)")
    ax.text(0.02, 0.98, "pools of 150, 300, 600\ndot: when fitted", transform=ax.transAxes, va="top", fontsize=SMALLEST)


def start(ax: Axes, comparisons: Sequence[Comparison]) -> None:
    """Draw the grokking steps of every start, in a column each, from the one that is first with fresh samples."""
    (comparison,) = comparisons
    runs = comparison.runs.assign(**event_bounds(comparison.runs, "grokking"))
    runs = runs[(runs["world"] != "ideal") | (runs["training.streams.order"] == 0)]  # the others are copies
    runs["at"] = middle(runs["low"], runs["high"])
    first = runs[runs["world"] == "ideal"].groupby(START)["at"].median().sort_values().index
    for world, shift in (("real", 0.14), ("ideal", -0.14)):
        chosen = runs[runs["world"] == world]
        hue = world_style(world, [])[0]
        ax.plot(chosen[START].map(first.get_loc) + shift, chosen["at"], color=hue, marker="o", **RUNS)
        medians = chosen.groupby(START)["at"].median().loc[first]
        ax.plot(np.arange(len(first)) + shift, medians, marker="_", color=hue, **CENTRE | {"markersize": 9})
    steps_axis(ax, "y")
    ax.set(xlabel=f"{len(first)} starts", ylabel="grokking (step)", xticks=[], xlim=(-0.6, len(first) - 0.4))
    ax.text(0.02, 0.98, "the pool", transform=ax.transAxes, va="top", color=world_style("real", [])[0])
    ax.text(0.98, 0.03, "fresh samples", transform=ax.transAxes, ha="right", color=world_style("ideal", [])[0])


def both(name: str, where: dict[str, Any], folder: int) -> tuple[Row, Row]:
    """Rows of both worlds, on one height."""
    return Row(name, where, folder=folder), Row(name, where, ideal=True, folder=folder, beside=True)


ZERO, INIT = {"optimizer.decay_to": "zero"}, {"optimizer.decay_to": "init"}
FOLDERS = {"power-arms": ["power-arms", "power-arms-noise", "power-arms-full-batch"]}
FINDINGS: dict[str, Callable[[Axes, Sequence[Comparison]], None]] = {
    "waiting-time": waiting,
    "dose-of-reuse": Rows(
        (
            Row("the pool alone", {RULE: "real"}),
            Row("1 of 1,250 redrawn from the pool", {RULE: "redraw", SHARE: 0.000_8}),
            Row("2 % redrawn from the pool", {RULE: "redraw", SHARE: 0.02}),
            Row("1 of 1,250 fresh", {RULE: "fresh", SHARE: 0.000_8}),
            Row("2 % fresh", {RULE: "fresh", SHARE: 0.02}),
            Row("all fresh", {RULE: "real"}, ideal=True),
        )
    ),
    "place-of-fresh": Rows(
        (
            Row("one whole fresh batch in 1,250", {SHARE: 0.000_8, WHOLE: True}),
            Row("one fresh sample in every batch of 1,250", {SHARE: 0.000_8, WHOLE: False}),
            Row("one whole fresh batch in 50", {SHARE: 0.02, WHOLE: True}),
            Row("2 % of every batch fresh", {SHARE: 0.02, WHOLE: False}),
            Row("all fresh", {SHARE: 0.02, WHOLE: False}, ideal=True),
        )
    ),
    "spacing-of-reuse": Rows(
        (
            Row("every batch once in a pass", {"training.world.times": 1}),
            Row("four times, five steps apart", {"training.world.times": 4, "training.world.gap": 5}),
            Row("four times in a row", {"training.world.times": 4, "training.world.gap": 1}),
            Row("always fresh", {"training.world.times": 1}, ideal=True),
        )
    ),
    "sign-of-reuse": sign,
    "repeated-beats-fresh": Rows(
        (
            Row("300 in a quarter of every batch, rest fresh", {"train_size": 300}),
            Row("a pool of 3,000", {"train_size": 3_000}),
            Row("all fresh", {"train_size": 300}, ideal=True),
        ),
        "final",
        "test error at the end",
    ),
    "equal-orbits": Rows(
        (
            Row("84 % of the orbits, mirror images in it", {"data.split": "cells"}),
            Row("84 % of the orbits, no mirror images", {"data.split": "orbits", "train_fraction": 0.84}),
            Row("60 % of the orbits, no mirror images", {"data.split": "orbits", "train_fraction": 0.6}),
            Row("fresh samples, no mirror images", {"data.split": "orbits", "train_fraction": 0.84}, ideal=True),
        )
    ),
    "spread-of-grokking": start,
    "switch-of-world": Rows(
        (
            Row("new", {"data.labels": "true", "phases.1.at_step": 200}, ideal=True),
            *(
                Row(name, {"data.labels": labels, "phases.1.at_step": step}, after="phases.1.at_step")
                for name, labels, step in (
                    ("after 200 steps on a pool", "true", 200),
                    ("after 800 steps on a pool", "true", 800),
                    ("after 800 steps on random labels", "random", 800),
                )
            ),
        ),
        label="fresh batches until it groks",
    ),
    "power-arms": Rows(
        (
            *both("full batch", {"training.update_noise": 0.0}, 2),
            *both("full batch, noise on updates", {"training.update_noise": 1.0}, 2),
            *both("minibatches", {"model.dropout": 0.0, "training.weight_noise": 0.0}, 1),
            *both("minibatches, noise on weights", {"model.dropout": 0.0, "training.weight_noise": 0.01}, 1),
            *both("minibatches, dropout", {"model.dropout": 0.1, "training.weight_noise": 0.0}, 1),
            *both("no decay, longer", {"optimizer.name": "adam", "optimizer.lr": 1e-2}, 0),
            *both("decay to the start, longer", INIT, 0),
            *both("decay to zero, longer", ZERO, 0),
        ),
        "final",
        "test error at the end",
    ),
}


def draw(name: str, path: Path, folders: Sequence[Path]) -> None:
    """Draw one finding from the folders of its studies.

    Raises:
        ValueError: another number of folders than the finding has studies.
    """
    wanted = FOLDERS.get(name, [name])
    if len(folders) != len(wanted):
        raise ValueError(f"{name} is drawn from {len(wanted)} folders ({', '.join(wanted)}), got {len(folders)}.")
    with mpl.rc_context(rc_style(name)):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        FINDINGS[name](figure.subplots(), [compare(load(folder)) for folder in folders])
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]), [Path(folder) for folder in sys.argv[3:]])

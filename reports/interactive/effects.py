"""What every cell comes to in each world: the numbers of an effect plot or of a heat map of swept settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.at_step import AT_STEP, When
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.effect import bootstrap_pairs, effect_order, final_metric
from deepboot.reports.figures.effect_marks import middle
from deepboot.reports.figures.facets import some_of
from deepboot.reports.figures.style import ordered
from deepboot.reports.interactive.curves import rounded
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import clopper_pearson, median_bounds, median_interval, t_interval
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import count, measure, plural, span, step_span

Outcome = list[Any]  # value, low and high end of its interval, text; None where there is none
REACHED, NEVER, BROKE = 0, 1, 2  # kinds of single runs


@dataclass(frozen=True)
class Quantity:
    """One quantity of cells.

    Attributes:
        figure: name of the static figure that shows it.
        name: in words.
        outcome: of a cell's runs, by their ids.
        singles: value and kind of each of these runs; none where it is of all together.
        log: whether its usual axis is logarithmic.
        difference: whether it is a difference of two worlds.
    """

    figure: str
    name: str
    outcome: Callable[[list[str]], Outcome]
    singles: Callable[[list[str]], list[list[Any]]]
    log: bool = False
    difference: bool = False


def effects_of(comparison: Comparison) -> list[dict[str, Any]]:
    """One layer per quantity and world: ``figure, quantity, world, log`` (its axis), ``difference``, ``cells, runs``.

    The quantities are in the order of the static figures. The cells are those of `curves.panel_cells`, in their order,
    each with a value, the ends of its 95 % interval and a text, or None where it has no run of this world, and with
    its single runs, a value and a kind each, evenly spread where there are a great many. Layers without any value are
    left out.
    """
    panels = comparison.panels()
    layers = [
        _layer(panels, quantity, world)
        for quantity in _quantities(comparison)
        for world in ordered(panels["world"])
        if not (world == "ideal" and quantity.difference)
    ]
    return [layer for layer in layers if any(one and one[:2] != [None, None] for one in layer["cells"])]


def _quantities(comparison: Comparison) -> list[Quantity]:
    """Those of the static figures, and the share of runs that grokked."""
    runs, metric = comparison.runs.set_index("run_id"), final_metric(comparison)
    bounds = event_bounds(runs, "grokking").assign(budget=runs["last_step"].astype(float))
    final = comparison.final(metric)

    def grokked(ids: list[str]) -> pd.DataFrame:
        return bounds.loc[ids].dropna(subset="outcome")

    by_figure = {
        "effect_grokking": [
            Quantity("effect_grokking", "grokking step", lambda ids: _median(grokked(ids)),
                     lambda ids: _steps(grokked(ids)), log=True),
            Quantity("phase_map", "share of runs that grokked", lambda ids: _share(grokked(ids)), lambda _: []),
        ],
        "effect_bootstrap_error": [_gaps(when, pairs) for when, pairs in bootstrap_pairs(comparison).items()],
        "effect_final_error": [
            Quantity("effect_final_error", f"final {metric.replace('_', ' ')}", lambda ids: _mean(final.reindex(ids)),
                     lambda ids: _values(final.reindex(ids))),
        ],
    }  # fmt: skip
    return [quantity for figure in effect_order(comparison) for quantity in by_figure[figure]]


def _gaps(when: When, pairs: pd.DataFrame) -> Quantity:
    """The bootstrap error at one of its steps."""
    gaps = pairs.set_index("run_id")["bootstrap_error"].astype(float)
    metrics = " and ".join(sorted(str(name).replace("_", " ") for name in pairs["metric"].dropna().unique()))
    return Quantity(
        "effect_bootstrap_error",
        f"bootstrap error {AT_STEP[when]} ({metrics})",
        lambda ids: _mean(gaps.reindex(ids)),
        lambda ids: _values(gaps.reindex(ids)),
        difference=True,
    )


def _layer(panels: pd.DataFrame, quantity: Quantity, world: str) -> dict[str, Any]:
    groups = panels[panels["world"] == world].groupby("cell_id", sort=False)["run_id"].unique()
    own = {cell: [str(run_id) for run_id in groups[cell]] for cell in groups.index}
    cells = panels["cell_id"].unique()
    return {
        "figure": quantity.figure,
        "quantity": quantity.name,
        "world": world,
        "log": quantity.log,
        "difference": quantity.difference,
        "cells": [quantity.outcome(own[cell]) if cell in own else None for cell in cells],
        "runs": [quantity.singles(own[cell]) if cell in own else [] for cell in cells],
    }


def _steps(bounds: pd.DataFrame) -> list[list[Any]]:
    """Every run's grokking step; its last step where it never grokked, or broke."""
    steps = middle(bounds["low"], bounds["high"]).where(bounds["outcome"] == "reached", bounds["budget"])
    kinds = np.select([bounds["outcome"] == "reached", bounds["outcome"].isin(BROKEN)], [REACHED, BROKE], NEVER)
    rows = [[rounded(step), int(kind)] for step, kind in zip(steps, kinds, strict=True)]
    return [rows[place] for place in some_of(len(rows))]


def _values(values: pd.Series) -> list[list[Any]]:
    """Every finite value."""
    known = [[rounded(value), REACHED] for value in values.to_numpy(dtype=float) if np.isfinite(value)]
    return [known[place] for place in some_of(len(known))]


def _mean(values: pd.Series) -> Outcome:
    """The mean and its t interval; no value where a run has none, since a mean of the others says something else."""
    known = values.to_numpy(dtype=float)
    lost = int((~np.isfinite(known)).sum())
    if lost or not known.size:
        return [None, None, None, f"{lost} of {plural(known.size, 'run')} without a value"]
    interval = t_interval(known)
    text = (
        f"{measure(known.mean(), interval)} ({f'95 % interval {span(interval)}, ' if interval else ''}n = {known.size})"
    )
    ends = (interval.low, interval.high) if interval else (np.nan, np.nan)
    return [rounded(known.mean()), *map(rounded, ends), text]


def _median(bounds: pd.DataFrame) -> Outcome:
    """The median step and its interval; only its lower bound, the last evaluation, where half or more never grokked."""
    reached = int((bounds["outcome"] == "reached").sum())
    median = median_bounds(bounds["low"], bounds["high"])
    so_many = f"{reached} of {plural(len(bounds), 'run')}"
    if median is None or not np.isfinite(median.high):
        return [None, rounded(median.low) if median else None, None, f"median not reached: {so_many} grokked"]
    step, budget = middle(median.low, median.high), float(bounds["budget"].max())
    interval = median_interval(bounds["low"], bounds["high"])
    words = f" (95 % interval {step_span(*interval, budget)})" if interval else ""
    ends = (interval.low, min(interval.high, budget)) if interval else (np.nan, np.nan)
    return [rounded(step), *map(rounded, ends), f"median about {count(step)}{words}, {so_many} grokked"]


def _share(bounds: pd.DataFrame) -> Outcome:
    """The share of runs that grokked, with its exact interval."""
    n, reached = len(bounds), int((bounds["outcome"] == "reached").sum())
    if not n:
        return [None, None, None, "not measured"]
    interval = clopper_pearson(reached, n)
    return [rounded(reached / n), rounded(interval.low), rounded(interval.high), f"{reached} of {plural(n, 'run')}"]

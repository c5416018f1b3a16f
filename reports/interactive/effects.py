"""What every cell comes to in each world: the numbers of an effect plot or of a heat map of swept settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.effect import claims_by_effect
from deepboot.reports.figures.effect_marks import middle
from deepboot.reports.figures.style import ordered
from deepboot.reports.interactive.curves import rounded
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import clopper_pearson, median_bounds, median_interval, t_interval
from deepboot.reports.text import count, measure, plural, span, step_span

Outcome = list[Any]  # value, low and high end of its interval, text; None where there is none


def effects_of(comparison: Comparison) -> list[dict[str, Any]]:
    """One layer per quantity and world: ``quantity, world, log`` (its usual axis), ``difference`` of worlds, ``cells``.

    The quantity that most claims are about comes first. The cells are those of `curves.panel_cells`, in their order,
    each with a value, the ends of its 95 % interval and a text, or None where it has no run of this world. Layers
    without any value are left out.
    """
    panels = comparison.panels()
    runs = comparison.runs.set_index("run_id")
    bounds = event_bounds(runs, "grokking").assign(budget=runs["last_step"].astype(float))
    final = comparison.final("test_error")
    ends = comparison.pairs_at("end")
    gaps = ends.set_index("run_id")["bootstrap_error"].astype(float)
    metrics = " and ".join(sorted(str(name).replace("_", " ") for name in ends["metric"].dropna().unique()))
    claimed = claims_by_effect(comparison)
    makers: list[tuple[str, str, bool, Callable[[list[str]], Outcome]]] = [
        ("effect_grokking", "grokking step", True, lambda ids: _median(bounds.loc[ids].dropna(subset="outcome"))),
        ("effect_final_error", "final test error", False, lambda ids: _mean(final.reindex(ids))),
        ("", "share of runs that grokked", False, lambda ids: _share(bounds.loc[ids].dropna(subset="outcome"))),
        ("effect_bootstrap_error", f"bootstrap error at the end ({metrics})", False,
         lambda ids: _mean(gaps.reindex(ids))),
    ]  # fmt: skip
    layers = [
        _layer(panels, quantity, world, log, maker)
        for _, quantity, log, maker in sorted(makers, key=lambda one: -claimed[one[0]])
        for world in ordered(panels["world"])
        if not (world == "ideal" and quantity.startswith("bootstrap error"))
    ]
    return [layer for layer in layers if any(one and one[:2] != [None, None] for one in layer["cells"])]


def _layer(
    panels: pd.DataFrame, quantity: str, world: str, log: bool, maker: Callable[[list[str]], Outcome]
) -> dict[str, Any]:
    own = panels[panels["world"] == world].groupby("cell_id", sort=False)["run_id"].unique()
    cells = [maker([str(run_id) for run_id in own[cell]]) if cell in own else None
             for cell in panels["cell_id"].unique()]  # fmt: skip
    difference = quantity.startswith("bootstrap error")
    return {"quantity": quantity, "world": world, "log": log, "difference": difference, "cells": cells}


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

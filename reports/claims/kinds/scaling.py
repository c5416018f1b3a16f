"""Kinds of claim about scaling: the exponent of a power law, and the pool size from which runs grok."""

import math
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from deepboot.reports.claims.kind import Across, Effect, Quantity, claim_kind
from deepboot.reports.claims.kinds.ordering import no_order, setting_values
from deepboot.reports.claims.kinds.shared import Event, JudgedWorld, Number, notes_of, region_of, undecided, within
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics import scaling
from deepboot.reports.statistics.intervals import Bounds, median_interval, seeds_for_median
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import EVENT_WORDS, count, percent, plural, setting

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
POWER_MIN = 3  # fewest runs for a power law


def _for_slope(settings: Any, _: float) -> int:
    region_of("power_law", "slope", min_slope=settings.min_slope, max_slope=settings.max_slope)
    return 1


def _for_size(settings: Any, confidence: float) -> int:
    region_of("threshold", "size", min=settings.min, max=settings.max)
    return seeds_for_median(confidence)


@claim_kind(
    "power_law",
    min_seeds=_for_slope,
    scope="cells",
    figure="steps",
    unjudgeable=no_order,
    quantity=Quantity({"min_slope": 0.0, "max_slope": None}, no_effect=0.0),
)
def power_law(
    across: Across,
    *,
    over: str,
    event: Event = "grokking",
    world: JudgedWorld = "real",
    min_slope: Number | None = None,
    max_slope: Number | None = None,
) -> Effect:
    """The step of an event follows a power of one setting, whose exponent is within bounds.

    Regression of the log step on the log setting with normal scatter, for steps known between two evaluations or
    beyond the budget. It has no place for a run that diverged or failed before, or whose row is lost: with one of these
    nothing is judged. Shared seeds and ``over`` as in `trend`, ``over`` positive.

    Args:
        over: the setting that differs between the cells, by its column of the runs, such as "train_size".
        min_slope: smallest exponent that is claimed.
        max_slope: largest exponent that is claimed; give one of the two, or both.
    """
    region = region_of("power_law", "slope", min_slope=min_slope, max_slope=max_slope)
    name = f"exponent of the {EVENT_WORDS[event].step} as a power of {over}{within(world)}"
    values, why = setting_values(across, over)
    runs = across.runs_of(world)
    bounds = event_bounds(runs, event).assign(cell_index=runs["cell_index"]).dropna(subset="outcome")
    reached, n = int((bounds["outcome"] == "reached").sum()), len(bounds)
    if not why and min(values.values()) <= 0:
        why = f"a power law needs positive values, and {over} is {setting(min(values.values()))}"
    if why or n < POWER_MIN or bounds["cell_index"].nunique() < 2:
        reason = (
            why or f"{plural(n, 'run')} in {plural(bounds['cell_index'].nunique(), 'cell')}, and a power law needs "
        )
        return Effect(name, region, n, "runs", reason=reason if why else f"{reason}{POWER_MIN} in 2")
    total = n + across.lost(world)
    lacking = int(bounds["outcome"].isin(BROKEN).sum()) + total - n
    note = notes_of((int((bounds["outcome"] == "censored").sum()), f"of {n} {EVENT_WORDS[event].never}"))
    if lacking:
        reason = f"{lacking} of {plural(total, 'run')} diverged, failed or lost, for which a power law has no place"
        return Effect(name, region, total - lacking, "runs", reason=reason, note=note, total=total)
    law = scaling.power_law(
        bounds["cell_index"].map(values), bounds["low"], bounds["high"].clip(lower=1), across.confidence
    )
    if math.isnan(law.slope):
        reason = f"{reached} of {n} runs {EVENT_WORDS[event].reached}, which does not tell an exponent"
        return Effect(name, region, n, "runs", reason=reason)
    return Effect(name, region, n, "runs", Bounds(law.slope, law.slope), law.interval, note=note)


@claim_kind(
    "threshold",
    min_seeds=_for_size,
    scope="cells",
    figure="steps",
    unjudgeable=no_order,
    quantity=Quantity({"min": 1.0, "max": None}),
)
def threshold(
    across: Across,
    *,
    min: Size | None = None,
    max: Size | None = None,
    budget: Annotated[int, Field(gt=0)] | None = None,
    event: Event = "grokking",
    world: JudgedWorld = "real",
) -> Effect:
    """The smallest pool on which half of the seeds grok (or memorise) has at least, or at most, so many samples.

    An event later than ``budget``, in steps, counts as not reached, so two claims compare two budgets. Runs that
    diverged before count as not reached; one that failed, or ended before its budget, as either. Estimate: where
    isotonic rates pass a half. Interval: the sign test on seeds, each known between the largest pool below its first
    success and the smallest from which all succeed. It holds however runs of one seed, whose pools are nested, depend
    on each other; a curve fitted to runs as if they did not covers 77 % instead of 95 % at seven sizes, 53 % at 25.

    Args:
        min: smallest size that is claimed, in samples.
        max: largest size that is claimed, in samples; give one of the two, or both.
        budget: step up to which an event counts; the runs' whole budget where it is not given.
    """
    region = region_of("threshold", "size", min=min, max=max)
    by = f" by step {count(budget)}" if budget else ""
    name = f"pool on which half of the seeds {EVENT_WORDS[event].verb}{by}{within(world)}"
    sizes, why = setting_values(across, "train_size")
    runs = across.runs_of(world)
    bounds = event_bounds(runs, event).assign(cell_index=runs["cell_index"], seed=runs["seed"]).dropna(subset="outcome")
    n, seeds = len(bounds), bounds["seed"].nunique()
    short = bounds.loc[(bounds["outcome"] == "censored") & (bounds["low"] < (budget or 0)), "low"]
    if not why and len(short):
        ended = f"{len(short)} of {n} runs ended before, at step {count(short.min())} the first"
        why = f"what would have come by step {count(budget or 0)} is not known: {ended}"
    if why or bounds["cell_index"].nunique() < 2:
        reason = why or f"{plural(bounds['cell_index'].nunique(), 'size')} with a run that measures it"
        return Effect(name, region, seeds, "seeds", reason=reason, whole=True)
    table = bounds.assign(
        reached=bounds["high"] <= (budget or np.finfo(float).max), size=bounds["cell_index"].map(sizes)
    )
    perhaps = undecided(runs.loc[table.index], bounds) if budget is None else bounds["outcome"] == "failed"
    least, most = (
        half_size(table.assign(reached=reached)) for reached in (table["reached"] | perhaps, table["reached"])
    )
    estimate = Bounds(least.low, most.high)
    soonest, latest = (
        [threshold_of(seed) for _, seed in table.assign(reached=reached).groupby("seed")]
        for reached in (table["reached"] | perhaps, table["reached"])
    )
    interval = median_interval([low for low, _ in soonest], [high for _, high in latest], across.confidence)
    note = f"{int(table['reached'].sum())} of {n} runs {EVENT_WORDS[event].reached}"
    note = "; ".join(filter(None, (note, notes_of((int(perhaps.sum()), f"of {n} not known")))))
    few = f"{plural(seeds, 'seed')}, and a {percent(across.confidence)} interval of a threshold needs "
    reason = "" if interval else f"{few}{seeds_for_median(across.confidence)}"
    if interval == Bounds(0.0, math.inf):
        interval, reason = None, f"{note}, which does not tell the threshold"
    return Effect(name, region, seeds, "seeds", estimate, interval, reason, note, whole=True)


def half_size(table: pd.DataFrame) -> Bounds:
    """The size at which half of the runs reach an event, from ``size`` and ``reached`` of each."""
    counts = table.groupby("size")["reached"].agg(["sum", "size"])
    return scaling.threshold_size(counts.index, counts["sum"], counts["size"])


def threshold_of(runs: pd.DataFrame) -> Bounds:
    """Pool sizes between which one seed's runs begin to reach an event; 0 or infinite beyond the pools tried."""
    runs = runs.sort_values("size")
    sizes, reached = np.concatenate([[0.0], runs["size"], [math.inf]]), runs["reached"].to_numpy(dtype=bool)
    first = int(reached.argmax()) if reached.any() else reached.size
    last = int(reached[::-1].argmin()) if not reached.all() else reached.size
    return Bounds(float(sizes[first]), float(sizes[sizes.size - 1 - last]))

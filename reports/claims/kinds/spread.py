"""A kind of claim about what the spread of grokking times comes from: the pool, the start or the order."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from deepboot.reports.claims.kind import Across, Effect, Quantity, claim_kind
from deepboot.reports.claims.kinds.shared import Event, JudgedWorld, Rate, counts, region_of, within
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.variance import variance_shares
from deepboot.reports.text import EVENT_WORDS, listed, plural

Beside = Annotated[list[str], Field(min_length=1, description="the other settings that are swept, by dotted name.")]


def _for_share(settings: Any, _: float) -> int:
    region_of("variance_share", "share", min_share=settings.min_share, max_share=settings.max_share)
    return 1


def _levels_clause(settings: Any, seeds: int, confidence: float) -> str:
    return "of each cell it has enough; its interval narrows with more values of the settings that it names"


def _not_crossed(across: Across, settings: Mapping[str, Any]) -> str:
    """Why these cells are not every combination of the settings' values, once each."""
    factors = [settings["over"], *settings["beside"]]
    return _levels(across.runs_of(settings["world"]), factors)[1]


def _levels(runs: pd.DataFrame, factors: list[str]) -> tuple[tuple[int, ...], str]:
    """How many values each setting has, or why the runs are not all of their combinations."""
    unknown = [name for name in factors if name not in runs or runs[name].isna().any()]
    if unknown:
        return (), f"{listed(unknown)} has no value in some run"
    if len(set(factors)) < len(factors):
        return (), f"a setting is named twice among {listed(factors)}"
    levels = tuple(int(runs[name].nunique()) for name in factors)
    single = [name for name, count in zip(factors, levels, strict=True) if count < 2]
    if single:
        return levels, f"{listed(single)} has one value in the cells that `where` selects, and needs two"
    if len(runs) != np.prod(levels) or runs.duplicated(factors).any():
        combinations = " × ".join(map(str, levels))
        return levels, f"{plural(len(runs), 'run')} are not one for each of {combinations} values of {listed(factors)}"
    return levels, ""


@claim_kind(
    "variance_share",
    min_seeds=_for_share,
    scope="cells",
    figure="steps",
    events=("grokking",),
    unjudgeable=_not_crossed,
    clause=_levels_clause,
    levels=True,
    quantity=Quantity({"min_share": 0.0, "max_share": None}),
)
def variance_share(
    across: Across,
    *,
    over: str,
    beside: Beside,
    event: Event = "grokking",
    world: JudgedWorld = "real",
    min_share: Rate | None = None,
    max_share: Rate | None = None,
) -> Effect:
    """One setting carries at least, or at most, this share of the variance of the log step of an event.

    For cells with one seed that are every combination of the values of some settings, as of the streams: the pool
    (``training.streams.data``), the start (``training.streams.init``) and the order (``training.streams.order``). What
    is left to the rest are the interactions. A step counts as the middle, by its logarithm, of the evaluations that it
    lies between. Without the step of every run nothing is judged. Interval: generalised, of a sum of random effects
    (`reports.statistics.variance`, which has its coverage).

    Args:
        over: the setting whose share is claimed, by its dotted name.
        min_share: smallest share that is claimed.
        max_share: largest share that is claimed; give one of the two, or both.
    """
    region = region_of("variance_share", "share", min_share=min_share, max_share=max_share)
    name = f"share of {over} in the variance of the log {EVENT_WORDS[event].step}{within(world)}"
    runs, factors = across.runs_of(world), [over, *beside]
    total, note = len(runs) + across.lost(world), counts(runs, event)
    bounds = event_bounds(runs, event)
    known = (bounds["outcome"] == "reached").to_numpy()
    levels, why = _levels(runs, factors)
    if not why and not (known.all() and total == len(runs)):
        why = f"{total - int(known.sum())} of {plural(total, 'run')} have no step, and a variance needs all"
    if why:
        return Effect(name, region, int(known.sum()), "runs", reason=why, note=note, total=total)
    low, high = bounds[["low", "high"]].clip(lower=1.0).to_numpy(dtype=float).T
    order = runs.reset_index(drop=True).sort_values(factors).index
    (share, *_) = variance_shares((np.log(low * high) / 2)[order].reshape(levels), across.confidence)
    estimate = Bounds(share.share, share.share)
    return Effect(name, region, total, "runs", estimate, share.interval, note=note, total=total)

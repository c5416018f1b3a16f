"""Kinds of claim about when runs reach an event, and how many do: a step, a delay, one world being faster, a rate."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import PositiveInt

from deepboot.reports.claims.kind import Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import median_clause, share_clause
from deepboot.reports.claims.kinds.shared import (
    FIGURES_OF_EVENT,
    Event,
    Grokking,
    JudgedWorld,
    Rate,
    Ratio,
    alone,
    counts,
    delay_notes,
    for_median,
    for_rate,
    median_effect,
    neither_reached,
    opened,
    region_of,
    share_effect,
    undecided,
    unless_at_start,
)
from deepboot.reports.measures.events import event_bounds, ratio_bounds, run_times
from deepboot.reports.statistics.intervals import (
    Bounds,
    clopper_pearson,
    seeds_for_median,
)
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import EVENT_WORDS, plural


def _for_faster(settings: Any, confidence: float) -> int:
    region_of("faster", "ratio", min_ratio=settings.min_ratio, max_ratio=settings.max_ratio)
    return seeds_for_median(confidence)


def _for_step(settings: Any, confidence: float) -> int:
    region_of("step", "step", min=settings.min, max=settings.max)
    return seeds_for_median(confidence)


@claim_kind(
    "grokking_delay",
    min_seeds=for_median,
    figure=("delays", "steps"),
    events=("memorization", "grokking"),
    clause=median_clause,
    quantity=Quantity({"min_ratio": 1.0}, no_effect=1.0),
)
def grokking_delay(
    evidence: Evidence, *, min_ratio: Ratio, world: JudgedWorld = "real", event: Grokking = "grokking"
) -> Effect:
    """Grokking comes at least ``min_ratio`` times as late as memorisation, if at all, in the median run.

    The bounds of each run's two steps are carried through its ratio; a run that never grokked ranks last, with its
    budget as lower bound. So a cell in which no run grokked can support the claim, by lower bounds alone, and it says
    so. Nothing is known of a run that diverged or failed before, nor of one that memorised at step 0, where no ratio
    is defined; where all runs did, nothing is judged. With ``event = "stable"`` it is the step from which the run does
    not fall below the threshold again. Interval: sign test, inverted, on the conservative bounds.

    Args:
        min_ratio: how many times as late as memorisation grokking comes, at least.
    """
    runs = evidence.runs_of(world)
    effect = median_effect(
        f"median ratio of the {EVENT_WORDS[event].step} to the memorisation step in the {world} world",
        ratio_bounds(runs, runs, event=event),
        Bounds(min_ratio, math.inf),
        items="runs",
        confidence=evidence.confidence,
        note=delay_notes(runs, event),
        lost=evidence.lost(world),
    )
    return unless_at_start(effect, runs)


@claim_kind(
    "faster",
    min_seeds=_for_faster,
    figure=("survival", "steps"),
    events=("grokking",),
    pairs=True,
    clause=median_clause,
    quantity=Quantity({"min_ratio": 1.0, "max_ratio": None}, no_effect=1.0),
)
def faster(
    evidence: Evidence, *, min_ratio: Ratio = 1.0, max_ratio: Ratio | None = None, event: Grokking = "grokking"
) -> Effect:
    """The ideal world groks at least ``min_ratio`` times sooner than its real partner, in the median pair.

    A real run that never grokked counts as beyond its budget; a pair in which neither world grokked says
    nothing and counts against both verdicts, as does one without its ideal run. ``event`` as in `grokking_delay`.

    Args:
        min_ratio: how many times sooner the ideal world groks, at least.
        max_ratio: how many times sooner it groks, at most; without it there is no such end.
    """
    region = region_of("faster", "ratio", min_ratio=min_ratio, max_ratio=max_ratio)
    pairs, ideal = evidence.partners()
    ratios, words = ratio_bounds(pairs, ideal, over=event, event=event), EVENT_WORDS[event]
    tied = neither_reached(pairs, ideal, event) & ratios["low"].notna()
    neither = f"in {tied.sum()} of {len(pairs)} neither world {words.reached}" if tied.any() else ""
    notes = [counts(pairs, event), neither, alone(ideal)]
    return median_effect(
        f"median ratio of the {evidence.world} world's {words.step} to its ideal partner's",
        # nothing is known of a pair's ratio where neither world grokked, whatever their budgets
        opened(ratios, tied),
        region,
        items="pairs",
        confidence=evidence.confidence,
        note="; ".join(filter(None, notes)),
    )


@claim_kind(
    "step",
    min_seeds=_for_step,
    figure=FIGURES_OF_EVENT,
    events=("grokking",),
    quantity=Quantity({"min": 1, "max": None}),
)
def step(
    evidence: Evidence,
    *,
    event: Event = "grokking",
    world: JudgedWorld = "real",
    min: PositiveInt | None = None,
    max: PositiveInt | None = None,
) -> Effect:
    """The median run groks (or memorises) no sooner, or no later, than at this step.

    A run that never did ranks last, with its budget as lower bound; nothing is known of one that diverged or failed
    before. Interval: sign test, inverted, on the conservative bounds of the steps.

    Args:
        min: earliest step that is claimed.
        max: latest step that is claimed; give one of the two, or both.
    """
    region = region_of("step", "step", min=min, max=max)
    runs = evidence.runs_of(world)
    bounds = event_bounds(runs, event)
    return median_effect(
        f"median {EVENT_WORDS[event].step} in the {world} world",
        bounds.assign(low=bounds["low"].mask(bounds["outcome"].isin(BROKEN), 0.0)),
        region,
        items="runs",
        confidence=evidence.confidence,
        note=counts(runs, event),
        lost=evidence.lost(world),
        whole=True,
    )


@claim_kind(
    "rate",
    min_seeds=for_rate("rate"),
    figure=FIGURES_OF_EVENT,
    clause=share_clause,
    refutable_early=True,
    quantity=Quantity({"min_rate": 0.0, "max_rate": None}),
)
def rate(
    evidence: Evidence,
    *,
    event: Event = "grokking",
    world: JudgedWorld = "real",
    min_rate: Rate | None = None,
    max_rate: Rate | None = None,
) -> Effect:
    """The share of runs that grok (or memorise) within the budget is at least or at most this.

    A run that diverged before counts as not reached. Of one that failed, that ended before its budget or whose row is
    lost it is not known: the interval reaches from Clopper and Pearson's lower end if none of these reach it to the
    upper end if all do, so it holds their exact interval of the complete runs.

    Args:
        min_rate: smallest share that is claimed.
        max_rate: largest share that is claimed; give one of the two, or both.
    """
    region = region_of("rate", "share", min_rate=min_rate, max_rate=max_rate)
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    bounds = event_bounds(runs, event)
    name = f"share of runs that {EVENT_WORDS[event].verb} in the {world} world"
    reached, total = int((bounds["outcome"] == "reached").sum()), len(runs) + lost
    unknown = int(undecided(runs, bounds).sum()) + lost
    if total == unknown:
        return Effect(name, region, 0, "runs", reason="no run measures it", total=total)
    return share_effect(name, region, reached, unknown, total, evidence.confidence)


@claim_kind(
    "relapse",
    min_seeds=for_rate("relapse"),
    figure="test_error",
    events=("grokking",),
    clause=share_clause,
    refutable_early=True,
    quantity=Quantity({"min_rate": 0.0, "max_rate": None}),
)
def relapse(
    evidence: Evidence, *, world: JudgedWorld = "real", min_rate: Rate | None = None, max_rate: Rate | None = None
) -> Effect:
    """Of the runs that grokked, at least or at most this share falls below the threshold again within the budget.

    Runs that never grokked, or diverged before, cannot relapse and do not enter; they are counted, and without any that
    grokked nothing is judged. A run that grokked and then broke, or ended before its budget without a relapse, may have
    one; a run that failed or ended before its budget without grokking may be of either sort, or of neither. Interval:
    from Clopper and Pearson's lower end where all of these grok and keep it to the upper end where all relapse. A late
    grokking leaves few steps to relapse in.

    Args:
        min_rate: smallest share that is claimed.
        max_rate: largest share that is claimed; give one of the two, or both.
    """
    region = region_of("relapse", "share", min_rate=min_rate, max_rate=max_rate)
    runs = evidence.runs_of(world)
    rows = evidence.comparison.evaluations
    times = run_times(replace(evidence.comparison, runs=runs, evaluations=rows[rows["run_id"].isin(runs["run_id"])]))
    grokked = (times["grokking_outcome"] == "reached").to_numpy(dtype=bool)
    name, n, fallen = f"share of grokked runs that relapse in the {world} world", int(grokked.sum()), _relapsed(times)
    early = (runs["last_step"] < runs["max_steps"]).fillna(False).to_numpy(dtype=bool)
    open_ended = grokked & ~fallen & ((runs["status"] != "finished").to_numpy(dtype=bool) | early)
    perhaps = undecided(runs, event_bounds(runs, "grokking")).to_numpy(dtype=bool)
    unknown = int((open_ended | perhaps).sum()) + evidence.lost(world)
    total = n + int(perhaps.sum()) + evidence.lost(world)
    if not n:
        return Effect(name, region, 0, "runs", reason=f"none of {plural(len(runs), 'run')} grokked", total=total)
    least = clopper_pearson(int(fallen.sum()), total, evidence.confidence)
    most = clopper_pearson(int(fallen.sum()) + unknown, total, evidence.confidence)
    share = Bounds(fallen.sum() / total, (fallen.sum() + unknown) / total)
    notes = [f"{fallen.sum()} of {n} relapsed", f"{unknown} not known" if unknown else "", counts(runs, "grokking")]
    interval, note = Bounds(least.low, most.high), "; ".join(filter(None, notes))
    return Effect(name, region, total - unknown, "runs", share, interval, note=note, total=total)


def _relapsed(times: pd.DataFrame) -> np.ndarray:
    """Whether each run grokked and then fell below the threshold."""
    return ((times["grokking_outcome"] == "reached") & (times["relapses"] > 0)).to_numpy(dtype=bool)

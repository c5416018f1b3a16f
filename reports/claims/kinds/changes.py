"""A kind of claim about what happens within a run: the change of a metric from one moment to another."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from deepboot.reports.claims.kind import Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import POWERED, deviations, mean_clause
from deepboot.reports.claims.kinds.shared import (
    AnyEvent,
    JudgedWorld,
    Number,
    broken,
    for_mean,
    mean_effect,
    notes_of,
    region_of,
    within,
    without_value,
)
from deepboot.reports.claims.known_pairs import finite
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.incomplete import ANYTHING
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.power import effect_for_difference
from deepboot.reports.text import EVENT_WORDS, metric_words

Moment = Literal["start", "memorization", "grokking", "stable", "end"]
EVENTS: tuple[str, ...] = get_args(AnyEvent)
WORDS = {"start": "the start", "end": "the end"} | {event: EVENT_WORDS[event].noun for event in EVENTS}


def _for_change(settings: Any, confidence: float) -> int:
    if settings.since == settings.until:
        raise ValueError(
            f"claim `change` needs two moments, got {settings.since!r} twice. Set since to an earlier one than until."
        )
    if settings.as_ratio:
        _log_region(settings.min, settings.max)
        return T_MIN
    return for_mean("change")(settings, confidence)


def _clause(given: Any, n: int, confidence: float) -> str:
    """As of any mean; of a ratio in standard deviations of its logarithm."""
    if not given.as_ratio:
        return mean_clause("runs")(given, n, confidence)
    distance = deviations(effect_for_difference(n, confidence=confidence), "logarithms")
    return f"settled if the ratio is at least {distance} away from what is claimed {POWERED}"


def _no_change(settings: Mapping[str, Any]) -> float:
    return 1.0 if settings["as_ratio"] else 0.0


@claim_kind(
    "change",
    min_seeds=_for_change,
    figure=("test_error", "test_soft_error"),
    clause=_clause,
    quantity=Quantity({"min": 1.0, "max": None}, no_effect=_no_change),
)
def change(
    evidence: Evidence,
    *,
    metric: str,
    since: Moment = "start",
    until: Moment = "end",
    as_ratio: bool = False,
    world: JudgedWorld = "real",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """The mean change of a metric within a run, from one moment to another, is within bounds.

    Moments are the first evaluation (``start``), the evaluation at which an event is first seen (``memorization``,
    ``grokking``, ``stable``) and the last one (``end``). The change is a difference, or with ``as_ratio`` the later
    value over the earlier one, averaged geometrically. A run that never reached a moment, failed, diverged or is
    unfinished is missing, and bounds the mean by the ends of the metric; a ratio has none, and then nothing is judged.
    Interval: `incomplete.mean_interval`, over runs, of the logarithms for a ratio.

    Args:
        metric: column of the table of evaluations, such as test_error or weight_norm.
        since: the earlier moment.
        until: the later moment.
        as_ratio: whether the change is the later value over the earlier one, not their difference.
        min: smallest change that is claimed.
        max: largest change that is claimed; give one of the two, or both.
    """
    region = _log_region(min, max) if as_ratio else region_of("change", "mean", min=min, max=max)
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    earlier, later = (_values(evidence, runs, metric, moment) for moment in (since, until))
    if as_ratio:
        with np.errstate(divide="ignore", invalid="ignore"):
            changes, limits = np.log(later) - np.log(earlier), ANYTHING
    else:
        low, high = evidence.comparison.limits(metric, runs)
        changes, limits = later - earlier, Bounds(low - high, high - low)
    changes = np.append(np.where(np.isfinite(changes), changes, np.nan), np.full(lost, np.nan))
    what = "ratio of the" if as_ratio else "change of the"
    name = f"mean {what} {metric_words(metric)} from {WORDS[since]} to {WORDS[until]}{within(world)}"
    valueless = without_value(runs, np.isnan(later)) if until == "end" else ""
    note = "; ".join(filter(None, (broken(runs, lost), _unreached(runs, since, until), valueless)))
    effect = mean_effect(name, region, changes, "runs", evidence.confidence, limits, note=note)
    return _as_ratio(effect) if as_ratio else effect


def _values(evidence: Evidence, runs: pd.DataFrame, metric: str, moment: Moment) -> np.ndarray:
    """Every run's value of a metric at a moment, float, (runs,), NaN where it never came or is not known."""
    if moment == "end":
        return finite(runs["run_id"].map(evidence.comparison.final(metric)))
    rows = evidence.comparison.evaluations
    rows = rows[rows["run_id"].isin(runs["run_id"])]
    if moment == "start":
        values = rows.groupby("run_id").head(1).set_index("run_id")[metric]
        return finite(runs["run_id"].map(values))
    bounds = event_bounds(runs, moment)
    steps = bounds["high"].where(bounds["outcome"] == "reached").astype(float)
    wanted = pd.DataFrame({"run_id": runs["run_id"], "step": steps})
    found = wanted.merge(rows[["run_id", "step", metric]].astype({"step": float}), how="left", on=["run_id", "step"])
    return finite(found[metric])


def _unreached(runs: pd.DataFrame, *moments: Moment) -> str:
    """How many of the runs never came to one of these moments."""
    events = [moment for moment in dict.fromkeys(moments) if moment in EVENTS]
    missed = {event: int((event_bounds(runs, event)["outcome"] == "censored").sum()) for event in events}
    return notes_of(*((number, f"of {len(runs)} {EVENT_WORDS[event].never}") for event, number in missed.items()))


def _log_region(low: float | None, high: float | None) -> Bounds:
    """The claimed ratios, by their logarithms.

    Raises:
        ValueError: no bound, bounds out of order, or one that no ratio can have.
    """
    bounds = region_of("change", "ratio", min=low, max=high)
    if any(bound is not None and bound <= 0 for bound in (low, high)):
        raise ValueError("claim `change` with `as_ratio` needs bounds above 0, as a ratio is. 1 is no change.")
    return Bounds(*(math.log(bound) if math.isfinite(bound) else bound for bound in bounds))


def _as_ratio(effect: Effect) -> Effect:
    """An effect of logarithms as one of ratios."""
    region, estimate, interval = (
        None if bounds is None else Bounds(*(math.exp(bound) for bound in bounds))
        for bounds in (effect.region, effect.estimate, effect.interval)
    )
    assert region is not None
    return replace(effect, region=region, estimate=estimate, interval=interval, spread=None)

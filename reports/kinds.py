"""The kinds of claim that ship: a delay, a rate, a bootstrap error, and one world faster than the other."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from reports.agreement import explained_share
from reports.compare import When
from reports.evidence import Effect, Evidence, claim_kind
from reports.incomplete import ANYTHING, mean_bounds, mean_interval, no_interval, still
from reports.intervals import (
    T_MIN,
    Bounds,
    clopper_pearson,
    median_bounds,
    median_interval,
    order_rank,
    seeds_for_median,
    seeds_for_rate,
)
from reports.known_pairs import finite, known_pairs
from reports.timing import NEVER, event_bounds, ratio_bounds
from reports.wording import percent, plural, setting

Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
PLACES = {"stopping": "at the stopping step", "end": "at the last common step"}
NOUNS = {"grokking": "grok", "memorization": "memorise"}


def _for_median(_: Any, confidence: float) -> int:
    return seeds_for_median(confidence)


def for_rate(kind: str) -> Callable[[Any, float], int | None]:
    """Fewest seeds of a kind that bounds a share by ``min_rate`` and ``max_rate``."""

    def fewest(settings: Any, confidence: float) -> int | None:
        region = region_of(kind, "share", min_rate=settings.min_rate, max_rate=settings.max_rate)
        return seeds_for_rate(region, confidence)

    return fewest


def for_mean(kind: str) -> Callable[[Any, float], int]:
    """Fewest seeds of a kind that bounds a mean by ``min`` and ``max``."""

    def fewest(settings: Any, _: float) -> int:
        region_of(kind, "mean", min=settings.min, max=settings.max)
        return T_MIN

    return fewest


@claim_kind("grokking_delay", min_seeds=_for_median, figure=("delays", "steps"), events=("memorization", "grokking"))
def grokking_delay(evidence: Evidence, *, min_ratio: Ratio, world: str = "real") -> Effect:
    """Grokking comes at least ``min_ratio`` times as late as memorisation, if at all, in the median run.

    The bounds of each run's two steps are carried through its ratio; a run that never grokked ranks last, with its
    budget as lower bound. So a cell in which no run grokked can support the claim, by lower bounds alone, and it says
    so. Nothing is known of a run that diverged or failed before, nor of one that memorised at step 0, where no ratio
    is defined; where all runs did, nothing is judged. Interval: sign test, inverted, on the conservative bounds.
    """
    runs = evidence.runs_of(world)
    effect = _median_ratio(
        f"median ratio of the grokking step to the memorisation step in the {world} world",
        ratio_bounds(runs, runs),
        Bounds(min_ratio, math.inf),
        items="runs",
        confidence=evidence.confidence,
        note=delay_notes(runs),
        lost=evidence.lost(world),
    )
    return effect if not len(runs) or at_start(runs) < len(runs) else no_ratio(effect)


@claim_kind("faster", min_seeds=_for_median, figure=("survival", "steps"), events=("grokking",), pairs=True)
def faster(evidence: Evidence, *, min_ratio: Ratio = 1.0) -> Effect:
    """The ideal world groks at least ``min_ratio`` times sooner than its real partner, in the median pair.

    A real run that never grokked counts as beyond its budget; a pair in which neither world grokked says
    nothing and counts against both verdicts, as does one without its ideal run.
    """
    pairs, ideal = evidence.partners()
    ratios = ratio_bounds(pairs, ideal, over="grokking")
    neither = int((pairs["grokking_high"].isna() & ideal["grokking_high"].isna() & ratios["low"].notna()).sum())
    notes = [counts(pairs), f"in {neither} of {len(pairs)} neither world grokked" if neither else "", alone(ideal)]
    return _median_ratio(
        f"median ratio of the {evidence.world} world's grokking step to its ideal partner's",
        _unless_tied(ratios, pairs, ideal),
        Bounds(min_ratio, math.inf),
        items="pairs",
        confidence=evidence.confidence,
        note="; ".join(filter(None, notes)),
    )


@claim_kind("rate", min_seeds=for_rate("rate"), figure=("survival", "steps"))
def rate(
    evidence: Evidence,
    *,
    event: Literal["grokking", "memorization"] = "grokking",
    world: str = "real",
    min_rate: Rate | None = None,
    max_rate: Rate | None = None,
) -> Effect:
    """The share of runs that grok (or memorise) within the budget is at least or at most this.

    A run that diverged before counts as not reached. Of one that failed, that ended before its budget or whose row is
    lost it is not known: the interval reaches from Clopper and Pearson's lower end if none of these reach it to the
    upper end if all do, so it holds their exact interval of the complete runs.
    """
    region = region_of("rate", "share", min_rate=min_rate, max_rate=max_rate)
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    bounds = event_bounds(runs, event)
    name = f"share of runs that {NOUNS[event]} in the {world} world"
    reached, total = int((bounds["outcome"] == "reached").sum()), len(runs) + lost
    unknown = int(undecided(runs, bounds).sum()) + lost
    if total == unknown:
        return Effect(name, region, 0, "runs", reason="no run measures it", total=total)
    return share_effect(name, region, reached, unknown, total, evidence.confidence)


@claim_kind("bootstrap_error", min_seeds=for_mean("bootstrap_error"), figure="bootstrap_error", pairs=True)
def bootstrap_error(
    evidence: Evidence,
    *,
    at: When = "stopping",
    min: Number | None = None,
    max: Number | None = None,
    metric: str | None = None,
) -> Effect:
    """The mean bootstrap error (real minus ideal, signed) at the stopping step or at the end is within bounds.

    Pairs without a value there are missing, and bound the mean: it may be anything within the ends of the metric
    (−1 and 1 for errors; for a loss, which has none, nothing is judged). Pairs there before any reuse are left out, and
    counted: their error is zero by construction. Interval: `reports.incomplete.mean_interval`, of paired differences.
    """
    region = region_of("bootstrap_error", "mean", min=min, max=max)
    pairs = known_pairs(evidence, at, metric)
    name = f"mean bootstrap error {PLACES[at]}"
    return mean_effect(
        name, region, pairs.values, "pairs", evidence.confidence, pairs.limits, note=pairs.note, total=pairs.total
    )


@claim_kind("gap_share", min_seeds=T_MIN, figure="bootstrap_error", pairs=True)
def gap_share(evidence: Evidence, *, max_share: Ratio, at: When = "end", metric: str | None = None) -> Effect:
    """The bootstrap error is at most a share of the generalisation gap in size, in the mean over pairs.

    The other part of the gap, test minus train error, is what the ideal world's test error has above the train error.
    Pairs there before any reuse are left out. A ratio of two means takes all others: with one that lacks a value
    nothing is judged. Interval: Fieller's, of the ratio of the two means; open, and so inconclusive, where the gap may
    be 0.
    """
    name = f"share of the generalisation gap that is bootstrap error, {PLACES[at]}"
    region = Bounds(-max_share, max_share)
    pairs = known_pairs(evidence, at, metric)
    both = np.stack([finite(pairs.table[column]) for column in ("generalization_gap", "bootstrap_error")])
    gap, error = both[:, np.isfinite(both).all(axis=0)]
    n, note, total = len(gap), pairs.note, pairs.total
    if n < T_MIN:
        reason = no_interval(gap, "pairs", evidence.confidence)
        return Effect(name, region, n, "pairs", reason=reason, note=note, total=total)
    found = explained_share(gap, error, evidence.confidence)
    estimate = None if math.isnan(found.share) else Bounds(found.share, found.share)
    reason = "" if found.interval else "the gap may be 0, and any share of it the bootstrap error"
    if n < both.shape[1]:
        reason = (
            f"{both.shape[1] - n} of {plural(both.shape[1], 'pair')} without a value, and a share takes all ({note})"
        )
    elif still(error - found.share * gap) and not order_rank(n, evidence.confidence):
        reason = no_interval(np.zeros(n), "pairs", evidence.confidence).replace("value", "share")
    interval = None if reason else found.interval
    return Effect(name, region, n, "pairs", estimate, interval, reason, note, total=total)


@claim_kind("final_error", min_seeds=for_mean("final_error"), figure=("test_error", "test_soft_error"))
def final_error(
    evidence: Evidence,
    *,
    world: str = "real",
    metric: str = "test_error",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """The mean final test error of one world's runs is within bounds.

    Each run counts at its own last evaluation. Runs that diverged, failed or are unfinished are missing, and bound the
    mean: each may be anything within the ends of the metric (0 and 1 for errors; for a loss, which has none, nothing is
    judged). Interval: `reports.incomplete.mean_interval`, over runs.
    """
    region = region_of("final_error", "mean", min=min, max=max)
    name = f"mean final {metric.replace('_', ' ')} in the {world} world"
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    values = finite(runs["run_id"].map(evidence.comparison.final(metric)))
    values, limits = np.append(values, np.full(lost, np.nan)), evidence.comparison.limits(metric, runs)
    return mean_effect(name, region, values, "runs", evidence.confidence, limits, note=broken(runs, lost))


def mean_effect(
    name: str,
    region: Bounds,
    values: ArrayLike,
    items: str,
    confidence: float,
    limits: Bounds = ANYTHING,
    *,
    note: str = "",
    total: int | None = None,
    cells: int | None = None,
) -> Effect:
    """The mean of some values, NaN where missing and then within the limits, with its interval where it has one."""
    values = np.asarray(values, dtype=float)
    n, estimate = int(np.isfinite(values).sum()), mean_bounds(values, limits)
    interval, total = mean_interval(values, confidence, limits), values.size if total is None else total
    reason = "" if interval else no_interval(values, items, confidence)
    if estimate and not all(map(math.isfinite, estimate)):
        estimate, interval, lacking = None, None, values.size - n
        reason = f"{lacking} of {plural(values.size, items.removesuffix('s'))} without a value, which has no upper end"
    if not interval and note:
        reason = f"{reason} ({note})"
    return Effect(name, region, n, items, estimate, interval, reason, note, cells=cells, total=total)


def share_effect(name: str, region: Bounds, hits: int, unknown: int, total: int, confidence: float) -> Effect:
    """A share of runs of which some may be hits or not, with the exact intervals of both ends."""
    estimate = Bounds(hits / total, (hits + unknown) / total)
    least, most = (clopper_pearson(number, total, confidence) for number in (hits, hits + unknown))
    note = f"share: {hits} of {total}" + (f", {unknown} not known" if unknown else "")
    interval = Bounds(least.low, most.high)
    return Effect(name, region, total - unknown, "runs", estimate, interval, note=note, total=total)


def undecided(runs: pd.DataFrame, bounds: pd.DataFrame) -> pd.Series:
    """Whether a run may still have reached an event: it failed, ended before its budget, or was not measured."""
    short = (bounds["low"] < runs["max_steps"].astype(float)).fillna(False).astype(bool)
    early = (bounds["outcome"] == "censored") & (short | (runs["status"] == "unfinished").fillna(False).astype(bool))
    return early | (bounds["outcome"] == "failed") | bounds["outcome"].isna()


def broken(runs: pd.DataFrame, lost: int = 0) -> str:
    """How many of the runs have no end of their own, and why: "1 of 8 diverged"."""
    found = {status: int((runs["status"] == status).sum()) for status in ("diverged", "failed", "unfinished")}
    found["without a row"] = lost
    return "; ".join(f"{number} of {len(runs) + lost} {words}" for words, number in found.items() if number)


def alone(partners: pd.DataFrame) -> str:
    """How many pairs are without their ideal run."""
    number = int(partners["status"].isna().sum())
    return f"{number} of {len(partners)} without an ideal partner" if number else ""


def at_start(runs: pd.DataFrame) -> int:
    """How many runs had memorised at step 0."""
    return int((runs["memorization_high"] == 0).sum())


def delay_notes(runs: pd.DataFrame) -> str:
    """Which runs never grokked, and of which the ratio of grokking to memorisation is not defined."""
    bounds = event_bounds(runs, "grokking")
    none = len(runs) > 0 and bool((bounds["outcome"] == "censored").all())
    start = at_start(runs)
    notes = [
        f"none of {len(runs)} grokked, so that it is known from below only" if none else counts(runs),
        f"{start} of {len(runs)} memorised at step 0, where no ratio is defined" if start else "",
    ]
    return "; ".join(filter(None, notes))


def no_ratio(effect: Effect) -> Effect:
    """A ratio that is defined in no run."""
    reason = f"all {plural(effect.n, 'run')} memorised at step 0, where no ratio is defined"
    return replace(effect, estimate=None, interval=None, reason=reason)


def _median_ratio(
    name: str, bounds: pd.DataFrame, region: Bounds, *, items: str, confidence: float, note: str, lost: int = 0
) -> Effect:
    known, total = int(bounds["low"].notna().sum()), len(bounds) + lost
    low, high = open_where_unknown(bounds, lost)
    estimate = median_bounds(low, high)
    interval = median_interval(low, high, confidence)
    needed = f"a {percent(confidence)} interval of a median needs {seeds_for_median(confidence)}"
    reason = "" if interval else f"{plural(known, items.removesuffix('s'))}, and {needed}"
    return Effect(name, region, known, items, estimate, interval, reason, note=note, total=total)


def open_where_unknown(bounds: pd.DataFrame, lost: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of ratios, from 0 to infinity where nothing is known of a row, or it is lost; empty where none is known."""
    if not bounds["low"].notna().any():
        return np.zeros(0), np.zeros(0)
    low, high = bounds["low"].fillna(0.0).to_numpy(dtype=float), bounds["high"].fillna(math.inf).to_numpy(dtype=float)
    return np.append(low, np.zeros(lost)), np.append(high, np.full(lost, math.inf))


def _unless_tied(bounds: pd.DataFrame, real: pd.DataFrame, ideal: pd.DataFrame) -> pd.DataFrame:
    """Nothing is known of a pair's ratio where neither world grokked, whatever their budgets."""
    tied = real["grokking_high"].isna() & ideal["grokking_high"].isna() & bounds["low"].notna()
    return bounds.assign(low=bounds["low"].mask(tied, 0.0), high=bounds["high"].mask(tied, math.inf))


def counts(runs: pd.DataFrame, event: str = "grokking", whose: str = "") -> str:
    """How many of the runs did not reach an event, and why: "1 of 8 never grokked"."""
    bounds = event_bounds(runs, event)
    under_way = (bounds["outcome"] == "censored") & (runs["status"] == "unfinished").fillna(False).astype(bool)
    outcomes = bounds["outcome"].mask(under_way, "unfinished")
    said = {"censored": NEVER[event], "unfinished": "unfinished", "diverged": "diverged before", "failed": "failed"}
    found = {words: int((outcomes == outcome).sum()) for outcome, words in said.items()}
    return "; ".join(f"{number} of {len(runs)} {whose}{words}" for words, number in found.items() if number)


def region_of(kind: str, what: str, **bounds: float | None) -> Bounds:
    """The claimed values, from the lower and the upper bound that a study gives.

    Raises:
        ValueError: neither is given, or the lower one is above the upper one.
    """
    (lower, low), (upper, high) = bounds.items()
    if low is None and high is None:
        both = f"`{lower}`, `{upper}` or both"
        raise ValueError(f"claim `{kind}` needs a bound on the {what}, got none. Give {both}.")
    if low is not None and high is not None and low > high:
        got = f"got {setting(low)} and {setting(high)}"
        raise ValueError(f"claim `{kind}` needs `{lower}` to be at most `{upper}`, {got}. Exchange them.")
    return Bounds(-math.inf if low is None else low, math.inf if high is None else high)

"""The kinds of claim that ship: a delay, a rate, a bootstrap error, and one world faster than the other."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reports.agreement import explained_share
from reports.compare import When
from reports.evidence import Effect, Evidence, claim_kind
from reports.intervals import (
    T_MIN,
    Bounds,
    clopper_pearson,
    median_bounds,
    median_interval,
    seeds_for_median,
    seeds_for_rate,
    t_interval,
)
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
    """Grokking comes at least ``min_ratio`` times as late as memorisation, in the median run.

    The bounds of each run's two steps are carried through its ratio; a run that never grokked ranks last, with
    its budget as lower bound. Interval: sign test, inverted, on the conservative bounds.
    """
    runs = evidence.runs_of(world)
    return _median_ratio(
        f"median ratio of the grokking step to the memorisation step in the {world} world",
        ratio_bounds(runs, runs),
        Bounds(min_ratio, math.inf),
        items="runs",
        confidence=evidence.confidence,
        note=counts(runs),
    )


@claim_kind("faster", min_seeds=_for_median, figure=("survival", "steps"), events=("grokking",), pairs=True)
def faster(evidence: Evidence, *, min_ratio: Ratio = 1.0) -> Effect:
    """The ideal world groks at least ``min_ratio`` times sooner than its real partner, in the median pair.

    A real run that never grokked counts as beyond its budget; a pair in which neither world grokked says
    nothing and counts against both verdicts.
    """
    pairs, ideal = evidence.partners()
    neither = int((pairs["grokking_high"].isna() & ideal["grokking_high"].isna()).sum())
    notes = [counts(pairs), f"in {neither} of {len(pairs)} neither world grokked" if neither else ""]
    return _median_ratio(
        f"median ratio of the {evidence.world} world's grokking step to its ideal partner's",
        _unless_tied(ratio_bounds(pairs, ideal, over="grokking"), pairs, ideal),
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

    Runs that diverged or failed before count as not reached. Interval: Clopper and Pearson's, exact.
    """
    region = region_of("rate", "share", min_rate=min_rate, max_rate=max_rate)
    outcomes = event_bounds(evidence.runs_of(world), event)["outcome"].dropna()
    name = f"share of runs that {NOUNS[event]} in the {world} world"
    n, reached = len(outcomes), int((outcomes == "reached").sum())
    if not n:
        return Effect(name, region, 0, "runs", reason="no run measures it")
    share, interval = reached / n, clopper_pearson(reached, n, evidence.confidence)
    return Effect(name, region, n, "runs", Bounds(share, share), interval, note=f"{reached} of {n}")


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

    Pairs that have no such step do not enter the mean; they are counted beside it. Interval: paired t.
    """
    region = region_of("bootstrap_error", "mean", min=min, max=max)
    pairs = evidence.pairs_at(at, metric)
    values = pairs["bootstrap_error"].dropna()
    name = f"mean bootstrap error {PLACES[at]}"
    missing = len(pairs) - len(values)
    note = f"{missing} of {len(pairs)} without a value there" if missing else ""
    return mean_effect(name, region, values, "pairs", evidence.confidence, note=note)


@claim_kind("gap_share", min_seeds=T_MIN, figure="bootstrap_error", pairs=True)
def gap_share(evidence: Evidence, *, max_share: Ratio, at: When = "end", metric: str | None = None) -> Effect:
    """The bootstrap error is at most a share of the generalisation gap in size, in the mean over pairs.

    The other part of the gap, test minus train error, is what the ideal world's test error has above the train error.
    Interval: Fieller's, of the ratio of the two means; open, and so inconclusive, where the gap may be 0.
    """
    name = f"share of the generalisation gap that is bootstrap error, {PLACES[at]}"
    region = Bounds(-max_share, max_share)
    pairs = evidence.pairs_at(at, metric)
    known = pairs.dropna(subset=["generalization_gap", "bootstrap_error"])
    n, missing = len(known), len(pairs) - len(known)
    note = f"{missing} of {len(pairs)} without a value there" if missing else ""
    if n < T_MIN:
        return Effect(name, region, n, "pairs", reason=f"{plural(n, 'pair')}, and an interval needs {T_MIN}", note=note)
    found = explained_share(known["generalization_gap"], known["bootstrap_error"], evidence.confidence)
    estimate = None if math.isnan(found.share) else Bounds(found.share, found.share)
    reason = "" if found.interval else "the gap may be 0, and any share of it the bootstrap error"
    return Effect(name, region, n, "pairs", estimate, found.interval, reason, note)


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

    Each run counts at its own last evaluation. A mean over runs that diverged or failed is none: then nothing is
    judged. Interval: t, over runs.
    """
    region = region_of("final_error", "mean", min=min, max=max)
    name = f"mean final {metric.replace('_', ' ')} in the {world} world"
    values = evidence.runs_of(world)["run_id"].map(evidence.comparison.final(metric)).dropna()
    broken = int(np.isinf(values).sum())
    if broken:
        return Effect(name, region, len(values), "runs", reason=f"{broken} of {len(values)} diverged or failed")
    return mean_effect(name, region, values, "runs", evidence.confidence)


def mean_effect(
    name: str,
    region: Bounds,
    values: pd.Series,
    items: str,
    confidence: float,
    *,
    note: str = "",
    cells: int | None = None,
) -> Effect:
    """The mean of some values, with its t interval where there are enough."""
    estimate = Bounds(values.mean(), values.mean()) if len(values) else None
    interval = t_interval(values, confidence)
    reason = "" if interval else f"{plural(len(values), items.removesuffix('s'))}, and a t interval needs {T_MIN}"
    return Effect(name, region, len(values), items, estimate, interval, reason, note, cells=cells)


def _median_ratio(
    name: str, bounds: pd.DataFrame, region: Bounds, *, items: str, confidence: float, note: str
) -> Effect:
    known = bounds.dropna()
    estimate = median_bounds(known["low"], known["high"])
    interval = median_interval(known["low"], known["high"], confidence)
    needed = f"a {percent(confidence)} interval of a median needs {seeds_for_median(confidence)}"
    reason = "" if interval else f"{plural(len(known), items.removesuffix('s'))}, and {needed}"
    return Effect(name, region, len(known), items, estimate, interval, reason, note=note)


def _unless_tied(bounds: pd.DataFrame, real: pd.DataFrame, ideal: pd.DataFrame) -> pd.DataFrame:
    """Nothing is known of a pair's ratio where neither world grokked, whatever their budgets."""
    tied = real["grokking_high"].isna() & ideal["grokking_high"].isna() & bounds["low"].notna()
    return bounds.assign(low=bounds["low"].mask(tied, 0.0), high=bounds["high"].mask(tied, math.inf))


def counts(runs: pd.DataFrame, event: str = "grokking", whose: str = "") -> str:
    """How many of the runs did not reach an event, and why: "1 of 8 never grokked"."""
    outcomes = event_bounds(runs, event)["outcome"]
    said = {"censored": NEVER[event], "diverged": "diverged before", "failed": "failed"}
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

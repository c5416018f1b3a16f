"""Parts that kinds of claim share: claimed regions, effects of means and shares, and notes on the runs."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from deepboot.reports.at_step import AT_STEP
from deepboot.reports.claims.kind import ClaimedRegion, Effect
from deepboot.reports.comparison import NOT_FINISHED
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.incomplete import ANYTHING, mean_bounds, mean_interval, no_interval, t_spread
from deepboot.reports.statistics.intervals import (
    T_MIN,
    Bounds,
    clopper_pearson,
    median_bounds,
    median_interval,
    seeds_for_median,
    seeds_for_rate,
)
from deepboot.reports.text import EVENT_WORDS, measure, percent, plural, setting, span

Ratio = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
AnyEvent = Literal["grokking", "memorization", "stable"]
Event = Annotated[
    AnyEvent, Field(description="what a run has to reach; stable is grokking after which it never falls back.")
]
Grokking = Annotated[
    Literal["grokking", "stable"],
    Field(description="grokking, or stable: the step from which the run does not fall below the threshold again."),
]
JudgedWorld = Annotated[
    str, Field(description='world whose runs are judged, by its index rule: "real", "ideal", "fresh", …')
]
FinalMetric = Annotated[
    str, Field(description="column of the table of evaluations that is judged, at each run's last evaluation.")
]
PairMetric = Annotated[
    str | None,
    Field(
        description="column of the table of evaluations whose difference is judged. Where it is not given: the test "
        "soft error under cross-entropy, else the test error."
    ),
]
FIGURES_OF_EVENT = dict.fromkeys(get_args(AnyEvent), ("steps",)) | {"grokking": ("survival", "steps")}


def for_median(_: Any, confidence: float) -> int:
    """Fewest seeds for an interval of a median, with the parameters that `claim_kind` expects."""
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
    """The effect of a mean, with its interval if there is one; a value that is missing, NaN, lies within the limits."""
    values = np.asarray(values, dtype=float)
    n, estimate = int(np.isfinite(values).sum()), mean_bounds(values, limits)
    interval, total = mean_interval(values, confidence, limits), values.size if total is None else total
    reason = "" if interval else no_interval(values, items, confidence)
    if estimate and not all(map(math.isfinite, estimate)):
        estimate, interval, lacking = None, None, values.size - n
        reason = f"{lacking} of {plural(values.size, items.removesuffix('s'))} without a value, which has no upper end"
    if not interval and note:
        reason = f"{reason} ({note})"
    spread = t_spread(values)
    return Effect(name, region, n, items, estimate, interval, reason, note, cells=cells, total=total, spread=spread)


def share_effect(name: str, region: Bounds, hits: int, unknown: int, total: int, confidence: float) -> Effect:
    """A share of runs, some of them unknown: exact from the lower end without them to the upper end with them."""
    estimate = Bounds(hits / total, (hits + unknown) / total)
    least, most = (clopper_pearson(number, total, confidence) for number in (hits, hits + unknown))
    note = f"share: {hits} of {total}" + (f", {unknown} not known" if unknown else "")
    interval = Bounds(least.low, most.high)
    return Effect(name, region, total - unknown, "runs", estimate, interval, note=note, total=total)


def claimed_mean(given: Any) -> ClaimedRegion:
    """The region of a claim that bounds the mean bootstrap error by ``min`` and ``max``, as a figure marks it."""
    low, high = -math.inf if given.min is None else given.min, math.inf if given.max is None else given.max
    mark = "Green line" if math.isinf(high - low) else "Shaded"
    bounds = span(Bounds(low, high)) if math.isinf(high - low) else f"{measure(low)} to {measure(high)}"
    return ClaimedRegion(low, high, f"{mark}: claimed to be {bounds} {AT_STEP[given.at]}.")


def undecided(runs: pd.DataFrame, bounds: pd.DataFrame) -> pd.Series:
    """Whether a run may still have reached an event: it failed, ended before its budget, or was not measured."""
    short = (bounds["low"] < runs["max_steps"].astype(float)).fillna(False).astype(bool)
    early = (bounds["outcome"] == "censored") & (short | (runs["status"] == "unfinished").fillna(False).astype(bool))
    return early | (bounds["outcome"] == "failed") | bounds["outcome"].isna()


def broken(runs: pd.DataFrame, lost: int = 0) -> str:
    """How many of the runs did not finish, and why: "1 of 8 diverged"."""
    numbers = {status: int((runs["status"] == status).sum()) for status in NOT_FINISHED}
    numbers["without a row"] = lost
    return "; ".join(f"{number} of {len(runs) + lost} {words}" for words, number in numbers.items() if number)


def without_value(runs: pd.DataFrame, lacking: np.ndarray) -> str:
    """How many of the runs that lack a value at their last evaluation are finished, as where a probe has none."""
    number = int(((runs["status"] == "finished").to_numpy(dtype=bool) & lacking).sum())
    return f"{number} of {len(runs)} without a value at the last evaluation" if number else ""


def alone(partners: pd.DataFrame) -> str:
    """How many pairs lack their ideal run, from the rows of their partners."""
    number = int(partners["status"].isna().sum())
    return f"{number} of {len(partners)} without an ideal partner" if number else ""


def at_start(runs: pd.DataFrame) -> int:
    """How many runs had memorised at step 0."""
    return int((runs["memorization_high"] == 0).sum())


def delay_notes(runs: pd.DataFrame, event: str = "grokking") -> str:
    """How many runs never grokked, and how many have no ratio of grokking to memorisation."""
    bounds = event_bounds(runs, event)
    none = len(runs) > 0 and bool((bounds["outcome"] == "censored").all())
    start = at_start(runs)
    notes = [
        f"none of {len(runs)} {EVENT_WORDS[event].reached}, so that it is known from below only"
        if none
        else counts(runs, event),
        f"{start} of {len(runs)} memorised at step 0, where no ratio is defined" if start else "",
    ]
    return "; ".join(filter(None, notes))


def unless_at_start(effect: Effect, runs: pd.DataFrame) -> Effect:
    """The effect of a ratio to the memorisation step; without a verdict where all runs memorised at step 0."""
    if not len(runs) or at_start(runs) < len(runs):
        return effect
    reason = f"all {plural(effect.n, 'run')} memorised at step 0, where no ratio is defined"
    return replace(effect, estimate=None, interval=None, reason=reason)


def open_where_unknown(bounds: pd.DataFrame, lost: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Ends of ratios, 0 and infinity where a ratio is unknown or its row is lost; empty where none is known."""
    if not bounds["low"].notna().any():
        return np.zeros(0), np.zeros(0)
    low, high = bounds["low"].fillna(0.0).to_numpy(dtype=float), bounds["high"].fillna(math.inf).to_numpy(dtype=float)
    return np.append(low, np.zeros(lost)), np.append(high, np.full(lost, math.inf))


def counts(runs: pd.DataFrame, event: str = "grokking", whose: str = "") -> str:
    """How many of the runs did not reach an event, and why: "1 of 8 never grokked"."""
    bounds = event_bounds(runs, event)
    under_way = (bounds["outcome"] == "censored") & (runs["status"] == "unfinished").fillna(False).astype(bool)
    outcomes = bounds["outcome"].mask(under_way, "unfinished")
    words_of = {
        "censored": EVENT_WORDS[event].never,
        "unfinished": "unfinished",
        "diverged": "diverged before",
        "failed": "failed",
    }
    numbers = {words: int((outcomes == outcome).sum()) for outcome, words in words_of.items()}
    return "; ".join(f"{number} of {len(runs)} {whose}{words}" for words, number in numbers.items() if number)


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


def within(world: str) -> str:
    """The world, where it is not the real one, as the end of a phrase."""
    return "" if world == "real" else f" in the {world} world"


def notes_of(*counts: tuple[int, str]) -> str:
    """A note of the counts that are not 0."""
    return "; ".join(f"{number} {words}" for number, words in counts if number)


def cut_note(confidence: float) -> str:
    """A note on an interval that is cut off at the ends of the claimed region."""
    return f"cut off where two one-sided tests at {percent(1 - confidence)} rule out the rest"


def median_effect(
    name: str,
    bounds: pd.DataFrame,
    region: Bounds,
    *,
    items: str,
    confidence: float,
    note: str,
    lost: int = 0,
    whole: bool = False,
) -> Effect:
    """The effect of a median of numbers that are known between bounds, by the sign test's interval.

    Args:
        bounds: ``low`` and ``high`` of every number; NaN where it was not measured.
        lost: numbers of which not even a row is known.
    """
    known, total = int(bounds["low"].notna().sum()), len(bounds) + lost
    low, high = open_where_unknown(bounds, lost)
    estimate = median_bounds(low, high)
    interval = median_interval(low, high, confidence)
    needed = f"a {percent(confidence)} interval of a median needs {seeds_for_median(confidence)}"
    reason = "" if interval else f"{plural(known, items.removesuffix('s'))}, and {needed}"
    return Effect(name, region, known, items, estimate, interval, reason, note=note, total=total, whole=whole)


def opened(bounds: pd.DataFrame, unknown: pd.Series) -> pd.DataFrame:
    """Bounds of numbers from 0 up, with 0 and infinity where nothing is known of one."""
    return bounds.assign(low=bounds["low"].mask(unknown, 0.0), high=bounds["high"].mask(unknown, math.inf))


def neither_reached(real: pd.DataFrame, ideal: pd.DataFrame, event: str) -> pd.Series:
    """Whether neither run of a pair has reached an event."""
    outcomes = (event_bounds(runs, event)["outcome"] for runs in (real, ideal))
    return ~np.logical_or.reduce([outcome == "reached" for outcome in outcomes])

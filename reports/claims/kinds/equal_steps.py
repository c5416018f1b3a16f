"""Kinds of claim about equal steps: no delay of grokking after memorisation, the same memorisation in both worlds.

The ratio of two steps is claimed to lie around 1 and tested from both sides, by two one-sided sign tests; the interval
is cut off at the claimed ends as in `equivalence`.
"""

import math
from typing import Annotated, Any

import pandas as pd
from pydantic import Field

from deepboot.reports.claims.kind import Effect, Evidence, claim_kind
from deepboot.reports.claims.kinds.clauses import all_of
from deepboot.reports.claims.kinds.shared import (
    Grokking,
    JudgedWorld,
    alone,
    counts,
    cut_note,
    delay_notes,
    open_where_unknown,
    unless_at_start,
)
from deepboot.reports.measures.events import ratio_bounds
from deepboot.reports.statistics.intervals import Bounds, median_bounds, median_interval, order_rank, seeds_for_median
from deepboot.reports.statistics.power import POWER, share_for_count
from deepboot.reports.text import EVENT_WORDS, measure, percent, plural

MaxRatio = Annotated[float, Field(gt=1, allow_inf_nan=False)]


def _for_median(_: Any, confidence: float) -> int:
    return seeds_for_median(2 * confidence - 1)


def _runs_within_ratio(given: Any, n: int, confidence: float) -> str:
    needed = n + 1 - (order_rank(n, 2 * confidence - 1) or 1)
    ends, share = f"{measure(1 / given.max_ratio)} to {measure(given.max_ratio)}", percent(share_for_count(needed, n))
    return f"supported if {all_of(needed, n)} lie within {ends} ({percent(POWER)} power where {share} of all runs do)"


@claim_kind(
    "no_delay",
    min_seeds=_for_median,
    figure=("delays", "steps"),
    events=("memorization", "grokking"),
    tailored=True,
    clause=_runs_within_ratio,
)
def no_delay(
    evidence: Evidence, *, max_ratio: MaxRatio = 2.0, world: JudgedWorld = "real", event: Grokking = "grokking"
) -> Effect:
    """Grokking comes with memorisation: neither step is more than ``max_ratio`` times the other, in the median run.

    The bounds of each run's two steps are carried through its ratio; a run that never grokked ranks last, nothing is
    known of one that diverged or failed before, nor of one that memorised at step 0, where no ratio is defined.
    ``event`` as in `grokking_delay`. Two one-sided sign tests, inverted, on the conservative bounds.

    Args:
        max_ratio: how many times later one of the two steps may be than the other.
    """
    runs = evidence.runs_of(world)
    effect = _median_ratio_near_1(
        f"median ratio of the {EVENT_WORDS[event].step} to the memorisation step in the {world} world",
        ratio_bounds(runs, runs, event=event),
        max_ratio,
        items="runs",
        evidence=evidence,
        note=delay_notes(runs, event),
        lost=evidence.lost(world),
    )
    return unless_at_start(effect, runs)


@claim_kind(
    "same_memorization",
    min_seeds=_for_median,
    figure="steps",
    events=("memorization",),
    tailored=True,
    pairs=True,
    clause=_runs_within_ratio,
)
def same_memorization(evidence: Evidence, *, max_ratio: MaxRatio = 2.0) -> Effect:
    """A run and its ideal partner memorise at steps that are within ``max_ratio`` of each other, in the median pair.

    The ideal world has no pool: it memorises by its error on the batches before it trains on them. A run that never
    memorised counts as beyond its budget; the ratio of a pair is unknown if a run diverged or failed before, neither
    memorised, or there is no ideal run. Two one-sided sign tests, inverted: unlike signed ranks they ask for no
    symmetry, and one such pair among nine does not open the interval.

    Args:
        max_ratio: how many times later one of the two steps may be than the other.
    """
    pairs, ideal = evidence.partners()
    notes = [counts(pairs, "memorization"), counts(ideal, "memorization", "ideal partners "), alone(ideal)]
    return _median_ratio_near_1(
        f"median ratio of the {evidence.world} world's memorisation step to its ideal partner's",
        ratio_bounds(pairs, ideal, over="memorization", event="memorization"),
        max_ratio,
        items="pairs",
        evidence=evidence,
        note="; ".join(filter(None, notes)),
    )


def _median_ratio_near_1(
    name: str, bounds: pd.DataFrame, max_ratio: float, *, items: str, evidence: Evidence, note: str, lost: int = 0
) -> Effect:
    """The effect of a median ratio that is claimed to lie within 1 / max_ratio and max_ratio."""
    region, confidence, known = Bounds(1 / max_ratio, max_ratio), evidence.confidence, int(bounds["low"].notna().sum())
    low, high = open_where_unknown(bounds, lost)
    tested = median_interval(low, high, 2 * confidence - 1)
    interval, how = median_interval(low, high, confidence), ""
    if tested and region.low <= tested.low and tested.high <= region.high:
        whole = interval or Bounds(0.0, math.inf)
        interval = Bounds(max(whole.low, region.low), min(whole.high, region.high))
        how = cut_note(confidence) if interval != whole else ""
    needed = f"a {percent(confidence)} interval of a median needs {seeds_for_median(confidence)}"
    reason = "" if interval else f"{plural(known, items.removesuffix('s'))}, and {needed}"
    notes, total = "; ".join(filter(None, [how, note])), len(bounds) + lost
    return Effect(name, region, known, items, median_bounds(low, high), interval, reason, note=notes, total=total)

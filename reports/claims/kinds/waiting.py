"""A kind of claim about how the waiting times of runs are spread: without memory, or close together."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from deepboot.reports.claims.kind import Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.shared import Grokking, JudgedWorld, Ratio, counts, region_of
from deepboot.reports.measures.events import event_bounds, waits
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.statistics.waiting import REACHED_MIN, weibull_shape
from deepboot.reports.text import EVENT_WORDS, plural

Since = Annotated[
    Literal["memorization", "start"], Field(description="when the wait begins: at memorisation, or at step 0.")
]


def _for_shape(settings: Any, _: float) -> int:
    region_of("waiting_shape", "shape", min_shape=settings.min_shape, max_shape=settings.max_shape)
    return REACHED_MIN


@claim_kind(
    "waiting_shape",
    min_seeds=_for_shape,
    figure=("survival", "steps"),
    events=("memorization", "grokking"),
    quantity=Quantity({"min_shape": 1.0, "max_shape": None}),
)
def waiting_shape(
    evidence: Evidence,
    *,
    since: Since = "memorization",
    event: Grokking = "grokking",
    world: JudgedWorld = "real",
    min_shape: Ratio | None = None,
    max_shape: Ratio | None = None,
) -> Effect:
    """The waits from memorisation to grokking have a Weibull shape of at least, or at most, so much.

    With a shape of 1 a run's chance to grok within the next step does not depend on how long it has waited, as when it
    escapes by luck. With a larger shape the chance grows and the waits lie closer together, as when every run drifts
    steadily to its end. A run that never grokked has waited at least to its budget. Nothing is judged where a run
    diverged or failed before, or grokked before it memorised: then it has no wait. Interval: profile likelihood
    (`reports.statistics.waiting`, which has its coverage).

    Args:
        min_shape: smallest shape that is claimed.
        max_shape: largest shape that is claimed; give one of the two, or both.
    """
    region = region_of("waiting_shape", "shape", min_shape=min_shape, max_shape=max_shape)
    runs = evidence.runs_of(world)
    begin = "memorisation" if since == "memorization" else "the start"
    name = f"Weibull shape of the waits from {begin} to {EVENT_WORDS[event].moment} in the {world} world"
    bounds = waits(runs, event, since=since)
    total, note = len(runs) + evidence.lost(world), counts(runs, event)
    ends = event_bounds(runs, event)["outcome"]
    lacking = int(ends.isin(BROKEN).sum() + ends.isna().sum()) + evidence.lost(world)
    if lacking:
        reason = f"{lacking} of {plural(total, 'run')} diverged, failed or lost, of which no wait is known"
        return Effect(name, region, total - lacking, "runs", reason=reason, note=note, total=total)
    early = int((bounds["high"] <= 0).sum())
    if early:
        reason = f"{early} of {plural(total, 'run')} {EVENT_WORDS[event].reached} before memorising, and did not wait"
        return Effect(name, region, total - early, "runs", reason=reason, note=note, total=total)
    law = weibull_shape(bounds["low"], bounds["high"], evidence.confidence)
    if law is None:
        ended = int(np.isfinite(bounds["high"]).sum())
        reason = f"{plural(ended, 'wait')} ended, and a shape needs {REACHED_MIN} that differ"
        return Effect(name, region, total, "runs", reason=reason, note=note, total=total)
    return Effect(name, region, total, "runs", Bounds(law.shape, law.shape), law.interval, note=note, total=total)

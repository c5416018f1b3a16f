"""A kind of claim about runs whose world changes on the way: what they had learned before, counted in later steps."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from deepboot.reports.claims.kind import Across, Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import median_clause
from deepboot.reports.claims.kinds.shared import (
    Grokking,
    Ratio,
    alone,
    counts,
    median_effect,
    neither_reached,
    opened,
    region_of,
)
from deepboot.reports.measures.events import event_bounds, ratio_bounds
from deepboot.reports.statistics.intervals import seeds_for_median
from deepboot.reports.text import EVENT_WORDS

Since = Annotated[
    str,
    Field(description="setting that holds the step from which the real run's steps count; `phases.1.at_step` is one."),
]


def _for_head_start(settings: Any, confidence: float) -> int:
    region_of("head_start", "ratio", min_ratio=settings.min_ratio, max_ratio=settings.max_ratio)
    return seeds_for_median(confidence)


def _no_step(across: Across, settings: Mapping[str, Any]) -> str:
    """Why the setting holds no step in some of these cells."""
    name, runs = settings["since"], pd.concat([cell.runs for cell in across.per_cell])
    if name in runs and pd.to_numeric(runs[name], errors="coerce").notna().all():
        return ""
    return f"`since`: {name!r} holds no step in some of the cells that `where` selects"


@claim_kind(
    "head_start",
    min_seeds=_for_head_start,
    figure=("survival", "steps"),
    events=("grokking",),
    pairs=True,
    unjudgeable=_no_step,
    clause=median_clause,
    quantity=Quantity({"min_ratio": None, "max_ratio": 1.0}, no_effect=1.0),
)
def head_start(
    evidence: Evidence,
    *,
    since: Since = "training.world.at_step",
    event: Grokking = "grokking",
    min_ratio: Ratio | None = None,
    max_ratio: Ratio | None = None,
) -> Effect:
    """From a step on, a run needs at most, or at least, so many times the steps to grok that its partner needs in all.

    For runs that change their world at that step, as by the rule ``switch``. Below 1, what a run learned before spares
    it steps of the new world; above 1 it costs it some. Of a run that grokked before the step nothing is known, nor of
    a pair in which neither world grokked or one broke. Interval: sign test, inverted, on the conservative bounds.

    Args:
        min_ratio: smallest ratio that is claimed.
        max_ratio: largest ratio that is claimed; give one of the two, or both.
    """
    region = region_of("head_start", "ratio", min_ratio=min_ratio, max_ratio=max_ratio)
    pairs, ideal = evidence.partners()
    start, ends = pairs[since].to_numpy(dtype=float), [f"{event}_low", f"{event}_high"]
    early = event_bounds(pairs, event)["high"] <= start
    later = pairs.assign(**{name: np.maximum(pairs[name].to_numpy(dtype=float, na_value=np.nan) - start, 0.0)
                            for name in ends})  # fmt: skip
    ratios, words = ratio_bounds(later, ideal, over=event, event=event), EVENT_WORDS[event]
    unknown = early | (neither_reached(pairs, ideal, event) & ratios["low"].notna())
    before = f"{early.sum()} of {len(pairs)} {words.reached} before that step" if early.any() else ""
    notes = [before, counts(pairs, event), alone(ideal)]
    return median_effect(
        f"median ratio of the {words.step} from {since} on to the ideal partner's from the start",
        opened(ratios, unknown),
        region,
        items="pairs",
        confidence=evidence.confidence,
        note="; ".join(filter(None, notes)),
    )

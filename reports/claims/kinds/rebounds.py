"""A kind of claim about the course of a metric within a run: whether it rises again."""

import math
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field

from deepboot.reports.claims.kind import Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import share_clause
from deepboot.reports.claims.kinds.shared import (
    FinalMetric,
    JudgedWorld,
    Rate,
    for_rate,
    region_of,
    share_effect,
    within,
)
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.text import measure, metric_words

Rise = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Growth = Annotated[float, Field(gt=1, allow_inf_nan=False)]
FLOOR = 1e-8  # what smaller losses count as where they are compared by their ratio; in float32 they become 0


def largest_rise(values: ArrayLike, falls_again: bool = False) -> float:
    """The largest rise over an earlier value, 0 without any; of a peak, by which it both rises before and falls after.

    Args:
        values: float, (evaluations,), in the order of their steps.
        falls_again: whether a rise counts by no more than what is lost again after it.

    >>> largest_rise([5, 1, 4, 2]), largest_rise([5, 1, 4, 2], falls_again=True), largest_rise([3, 2, 1])
    (3.0, 2.0, 0.0)
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        return 0.0
    rises = values - np.minimum.accumulate(values)
    falls = values - np.minimum.accumulate(values[::-1])[::-1]
    return float((np.minimum(rises, falls) if falls_again else rises).max())


def _for_share(settings: Any, confidence: float) -> int | None:
    if (settings.min_rise is None) == (settings.min_ratio is None):
        raise ValueError("claim `rebound` needs one size of the rise. Give either `min_rise` or `min_ratio`.")
    return for_rate("rebound")(settings, confidence)


@claim_kind(
    "rebound",
    min_seeds=_for_share,
    figure=("test_error", "test_soft_error"),
    clause=share_clause,
    quantity=Quantity({"min_rate": 0.0, "max_rate": None}),
)
def rebound(
    evidence: Evidence,
    *,
    metric: FinalMetric = "test_error",
    min_rise: Rise | None = None,
    min_ratio: Growth | None = None,
    falls_again: bool = False,
    until: Literal["grokking", "end"] = "end",
    world: JudgedWorld = "real",
    min_rate: Rate | None = None,
    max_rate: Rate | None = None,
) -> Effect:
    """The share of runs in which a metric rises again over a value that it had before is at least or at most this.

    It rises by ``min_rise``, or to ``min_ratio`` times that value, where what is below 1e-8 counts as 1e-8; with
    ``falls_again`` it then comes down by as much. ``until = "grokking"`` looks at evaluations up to the grokking step,
    and a run that never groks has no rebound. Scatter between evaluations is a rise, too: claim a larger one. A run
    that diverged counts by what it did before; one that failed, or ended before its budget without a rebound, may still
    have one. Interval: as in `rate`.

    Args:
        min_rise: how far the metric rises, in its unit.
        min_ratio: how many times an earlier value it rises to; give this or min_rise.
        falls_again: whether it also has to come down again by as much.
        until: the last evaluation that is looked at: that of grokking, or the end of the budget.
        min_rate: smallest share that is claimed.
        max_rate: largest share that is claimed; give one of the two, or both.
    """
    region = region_of("rebound", "share", min_rate=min_rate, max_rate=max_rate)
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    size, logarithms = (math.log(min_ratio), True) if min_ratio else (min_rise or 0.0, False)
    rises = np.array([largest_rise(curve, falls_again) for curve in _curves(evidence, runs, metric, until, logarithms)])
    hits = rises >= size * (1 - 1e-9)
    over = "an earlier value" if not min_ratio else f"{measure(min_ratio)} times an earlier value"
    rise = f"rises to {over}" if min_ratio else f"rises by {measure(size)} over {over}"
    again = ", and falls again" if falls_again else ""
    when = " before they grok" if until == "grokking" else ""
    name = f"share of runs whose {metric_words(metric)} {rise}{again}{when}{within(world)}"
    short = (runs["last_step"] < runs["max_steps"]).fillna(True) & (runs["status"] != "diverged")
    open_ended = short | runs["status"].isin(("failed", "unfinished"))
    open_ended |= ~runs["run_id"].isin(_measured(evidence, metric)["run_id"])
    unknown, total = int((open_ended.to_numpy(dtype=bool) & ~hits).sum()) + lost, len(runs) + lost
    if unknown == total:
        return Effect(name, region, 0, "runs", reason="no run measures it", total=total)
    return share_effect(name, region, int(hits.sum()), unknown, total, evidence.confidence)


def _measured(evidence: Evidence, metric: str) -> pd.DataFrame:
    """Evaluations with a value of a metric, by their steps."""
    return evidence.comparison.evaluations.dropna(subset=metric).sort_values("step", kind="stable")


def _curves(evidence: Evidence, runs: pd.DataFrame, metric: str, until: str, logarithms: bool) -> list[np.ndarray]:
    """Every run's values, or their logarithms, up to its grokking step or its end; empty where it never grokked."""
    last = event_bounds(runs, "grokking")["high"] if until == "grokking" else runs["last_step"]
    ends = last.astype(float).replace(math.inf, -1.0).fillna(-1.0)
    rows = _measured(evidence, metric).merge(
        runs[["run_id"]].assign(order=np.arange(len(runs)), end=ends.to_numpy()), on="run_id"
    )
    rows = rows[rows["step"] <= rows["end"]]
    values = rows[metric].to_numpy(dtype=float)
    values = np.log(np.maximum(values, FLOOR)) if logarithms else values
    return [values[(rows["order"] == order).to_numpy()] for order in range(len(runs))]

"""Kinds of claim about one cell's errors: the bootstrap error, its share of the generalisation gap, the final error."""

import math

import numpy as np

from deepboot.reports.at_step import AT_STEP, When
from deepboot.reports.claims.kind import Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import mean_clause
from deepboot.reports.claims.kinds.shared import (
    FinalMetric,
    JudgedWorld,
    Number,
    PairMetric,
    Ratio,
    broken,
    claimed_mean,
    for_mean,
    mean_effect,
    region_of,
    without_value,
)
from deepboot.reports.claims.known_pairs import finite, known_pairs
from deepboot.reports.statistics.incomplete import no_interval, still
from deepboot.reports.statistics.intervals import T_MIN, Bounds, order_rank
from deepboot.reports.statistics.prediction import explained_share
from deepboot.reports.text import metric_words, plural


@claim_kind(
    "bootstrap_error",
    min_seeds=for_mean("bootstrap_error"),
    figure="bootstrap_error",
    pairs=True,
    clause=mean_clause("pairs"),
    region=claimed_mean,
    quantity=Quantity({"min": 0.0, "max": None}, no_effect=0.0),
)
def bootstrap_error(
    evidence: Evidence,
    *,
    at: When = "stopping",
    min: Number | None = None,
    max: Number | None = None,
    metric: PairMetric = None,
) -> Effect:
    """The mean bootstrap error (real minus ideal, signed) at the stopping step or at the end is within bounds.

    Pairs without a value there are missing, and bound the mean: it may be anything within the ends of the metric
    (−1 and 1 for errors; for a loss, which has none, nothing is judged). Pairs there before any reuse are left out, and
    counted: their error is zero by construction. Interval: `incomplete.mean_interval`, of paired differences.

    Args:
        at: whether it is judged at the stopping step or at the end of the budget.
        min: smallest mean that is claimed.
        max: largest mean that is claimed; give one of the two, or both.
    """
    region = region_of("bootstrap_error", "mean", min=min, max=max)
    pairs = known_pairs(evidence, at, metric)
    name = f"mean bootstrap error {AT_STEP[at]}"
    return mean_effect(
        name, region, pairs.values, "pairs", evidence.confidence, pairs.limits, note=pairs.note, total=pairs.total
    )


@claim_kind(
    "gap_share",
    min_seeds=T_MIN,
    figure="bootstrap_error",
    pairs=True,
    quantity=Quantity({"max_share": 1.0}, no_effect=0.0),
)
def gap_share(evidence: Evidence, *, max_share: Ratio, at: When = "end", metric: PairMetric = None) -> Effect:
    """The bootstrap error is at most a share of the generalisation gap in size, in the mean over pairs.

    The other part of the gap, test minus train error, is the ideal world's test error above the train error.
    Pairs there before any reuse are left out. A ratio of two means takes all others: with one that lacks a value
    nothing is judged. Interval: Fieller's, of the ratio of the two means; open, and so inconclusive, where the gap may
    be 0.

    Args:
        max_share: largest share of the gap; 0.5 is half of it.
        at: whether it is judged at the stopping step or at the end of the budget.
    """
    name = f"share of the generalisation gap that is bootstrap error, {AT_STEP[at]}"
    region = Bounds(-max_share, max_share)
    pairs = known_pairs(evidence, at, metric)
    both = np.stack([finite(pairs.table[column]) for column in ("generalization_gap", "bootstrap_error")])
    gap, error = both[:, np.isfinite(both).all(axis=0)]
    n, note, total = len(gap), pairs.note, pairs.total
    if n < T_MIN:
        reason = no_interval(gap, "pairs", evidence.confidence)
        return Effect(name, region, n, "pairs", reason=reason, note=note, total=total)
    share = explained_share(gap, error, evidence.confidence)
    estimate = None if math.isnan(share.share) else Bounds(share.share, share.share)
    reason = "" if share.interval else "the gap may be 0, and any share of it the bootstrap error"
    if n < both.shape[1]:
        reason = (
            f"{both.shape[1] - n} of {plural(both.shape[1], 'pair')} without a value, and a share takes all ({note})"
        )
    elif still(error - share.share * gap) and not order_rank(n, evidence.confidence):
        reason = no_interval(np.zeros(n), "pairs", evidence.confidence).replace("value", "share")
    interval = None if reason else share.interval
    return Effect(name, region, n, "pairs", estimate, interval, reason, note, total=total)


@claim_kind(
    "final_error",
    min_seeds=for_mean("final_error"),
    figure=("test_error", "test_soft_error"),
    clause=mean_clause("runs"),
    quantity=Quantity({"min": 0.0, "max": None}),
)
def final_error(
    evidence: Evidence,
    *,
    world: JudgedWorld = "real",
    metric: FinalMetric = "test_error",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """The mean final test error of one world's runs is within bounds.

    Each run counts at its own last evaluation. Runs that diverged, failed, are unfinished or have no value there are
    missing, and bound the mean: each may be anything within the ends of the metric (0 and 1 for errors; for a loss,
    which has none, nothing is judged). Interval: `incomplete.mean_interval`, over runs.

    Args:
        min: smallest mean that is claimed.
        max: largest mean that is claimed; give one of the two, or both.
    """
    region = region_of("final_error", "mean", min=min, max=max)
    name = f"mean final {metric_words(metric)} in the {world} world"
    runs, lost = evidence.runs_of(world), evidence.lost(world)
    values = finite(runs["run_id"].map(evidence.comparison.final(metric)))
    note = "; ".join(filter(None, (broken(runs, lost), without_value(runs, np.isnan(values)))))
    values, limits = np.append(values, np.full(lost, np.nan)), evidence.comparison.limits(metric, runs)
    return mean_effect(name, region, values, "runs", evidence.confidence, limits, note=note)

"""Kinds of claim about equality: equal worlds, no delay, the same memorisation, no relapse; and their opposite.

Equality is claimed as a region around it and tested from both sides (two one-sided tests, TOST). An interval is that
of the claim's confidence, and is cut off at the claimed ends where the two tests rule out all beyond them: it lies
in the region exactly where they reject. So a claim that is false, and a claim that is true, are each judged wrongly
at most as often as one minus the confidence. A cut interval covers a bit less where the truth is just outside the
region (92.5 % instead of 95 % at worst). Shape letters: S steps, N pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from reports.equivalence import PATTERNS, equivalent_everywhere, max_t_band
from reports.evidence import Effect, Evidence, claim_kind
from reports.intervals import (
    T_MIN,
    Bounds,
    clopper_pearson,
    median_bounds,
    median_interval,
    seeds_for_median,
    t_interval,
)
from reports.kinds import Rate, counts, for_rate, region_of
from reports.timing import NEVER, ratio_bounds, run_times
from reports.wording import count, measure, percent, plural

Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
MaxRatio = Annotated[float, Field(gt=1, allow_inf_nan=False)]
At = Literal["until_stopping", "stopping", "end"]
NAMES: dict[At, str] = {
    "until_stopping": "largest mean bootstrap error up to the earliest stopping step",
    "stopping": "mean bootstrap error at the stopping step",
    "end": "mean bootstrap error at the last common step",
}


def _for_median(_: Any, confidence: float) -> int:
    return seeds_for_median(2 * confidence - 1)


def _for_band(_: Any, confidence: float) -> int | None:
    patterns = math.ceil(1 / (1 - confidence) - 1e-9)
    return max(1 + (patterns - 1).bit_length(), T_MIN) if patterns <= PATTERNS else None


@claim_kind("equivalent", min_seeds=T_MIN, figure="bootstrap_error", tailored=True, pairs=True)
def equivalent(evidence: Evidence, *, margin: Margin, at: At = "until_stopping", metric: str | None = None) -> Effect:
    """The mean bootstrap error is at most ``margin`` in size, at every step until stopping, at stopping or at the end.

    Until stopping: every step after the first reuse that all pairs evaluated, up to the earliest stopping step of the
    cell, so that each pair counts at each step and none is past its own. Supported if both one-sided tests reject at
    every step (intersection-union: no correction is needed); refuted if the interval of a single step, with
    Bonferroni's correction for the number of steps, lies wholly outside; the estimate is then that step's mean, else
    the largest in size, and the interval reaches over all steps' t intervals. Pairs without a value after the first
    reuse, such as those that never stop, do not enter; they are counted. The t interval knows only the spread it sees:
    a difference that is large and rare, as where one run in ten never groks, is missed by a few pairs; claim a `rate`.
    Source: Schuirmann 1987; Berger 1982.
    """
    name, region = NAMES[at], Bounds(-margin, margin)
    differences_SN, steps, left_out = _differences(evidence, at, metric)
    n = differences_SN.shape[1]
    if n < T_MIN:
        reason = f"{plural(n, 'pair')}, and a t interval needs {T_MIN}{f' ({left_out})' if left_out else ''}"
        return Effect(name, region, n, "pairs", reason=reason)
    if not len(steps):
        return Effect(name, region, n, "pairs", reason="no step that all pairs evaluated between reuse and stopping")
    worst, interval, how = worst_step(differences_SN, margin, evidence.confidence)
    mean = float(differences_SN[worst].mean())
    notes = [_place(steps, worst) if at == "until_stopping" else "", how, left_out]
    return Effect(name, region, n, "pairs", Bounds(mean, mean), interval, note="; ".join(filter(None, notes)))


@claim_kind(
    "no_delay", min_seeds=_for_median, figure=("delays", "steps"), events=("memorization", "grokking"), tailored=True
)
def no_delay(evidence: Evidence, *, max_ratio: MaxRatio = 2.0, world: str = "real") -> Effect:
    """Grokking comes with memorisation: neither step is more than ``max_ratio`` times the other, in the median run.

    The bounds of each run's two steps are carried through its ratio; a run that never grokked ranks last, nothing is
    known of one that diverged or failed before. Two one-sided sign tests, inverted, on the conservative bounds.
    """
    runs = evidence.runs_of(world)
    return _same(
        f"median ratio of the grokking step to the memorisation step in the {world} world",
        ratio_bounds(runs, runs),
        max_ratio,
        items="runs",
        evidence=evidence,
        note=counts(runs, "grokking"),
    )


@claim_kind(
    "same_memorization", min_seeds=_for_median, figure="steps", events=("memorization",), tailored=True, pairs=True
)
def same_memorization(evidence: Evidence, *, max_ratio: MaxRatio = 2.0) -> Effect:
    """A run and its ideal partner memorise at steps that are within ``max_ratio`` of each other, in the median pair.

    The ideal world has no pool: it memorises by its error on the batches before it trains on them. A run that never
    memorised counts as beyond its budget; nothing is known of a pair in which a run diverged or failed before, or
    neither memorised. Two one-sided sign tests, inverted: unlike signed ranks they ask for no symmetry, and
    one such pair among nine does not open the interval.
    """
    pairs, ideal = evidence.partners()
    memorized = pairs.assign(grokking_low=pairs["memorization_low"], grokking_high=pairs["memorization_high"])
    notes = [counts(pairs, "memorization"), counts(ideal, "memorization", "ideal partners ")]
    return _same(
        f"median ratio of the {evidence.world} world's memorisation step to its ideal partner's",
        ratio_bounds(memorized, ideal, over="memorization"),
        max_ratio,
        items="pairs",
        evidence=evidence,
        note="; ".join(filter(None, notes)),
    )


@claim_kind("relapse", min_seeds=for_rate("relapse"), figure="test_error", events=("grokking",))
def relapse(
    evidence: Evidence, *, world: str = "real", min_rate: Rate | None = None, max_rate: Rate | None = None
) -> Effect:
    """Of the runs that grokked, at least or at most this share falls below the threshold again within the budget.

    Runs that never grokked cannot relapse and do not enter; they are counted, and without any that grokked nothing is
    judged. A late grokking leaves few steps to relapse in. Interval: Clopper and Pearson's, exact.
    """
    region = region_of("relapse", "share", min_rate=min_rate, max_rate=max_rate)
    runs = evidence.runs_of(world)
    rows = evidence.comparison.evaluations
    times = run_times(replace(evidence.comparison, runs=runs, evaluations=rows[rows["run_id"].isin(runs["run_id"])]))
    grokked = times[times["grokking_outcome"] == "reached"]
    name, n = f"share of grokked runs that relapse in the {world} world", len(grokked)
    if not n:
        return Effect(name, region, 0, "runs", reason=f"none of {plural(len(runs), 'run')} grokked")
    fallen = int((grokked["relapses"] > 0).sum())
    notes = [f"{fallen} of {n}", counts(runs, "grokking")]
    interval = clopper_pearson(fallen, n, evidence.confidence)
    share = Bounds(fallen / n, fallen / n)
    return Effect(name, region, n, "runs", share, interval, note="; ".join(filter(None, notes)))


@claim_kind("difference", min_seeds=_for_band, figure="bootstrap_error", pairs=True)
def difference(evidence: Evidence, *, min_difference: Margin, metric: str | None = None) -> Effect:
    """The mean bootstrap error reaches ``min_difference`` in size at some step after the first reuse.

    Interval of the largest mean over all steps that all finished pairs evaluated: from the point of the simultaneous
    band that is surely farthest from zero to the point that is possibly farthest. Its lower end is zero where the
    exact sign-flip test finds no difference anywhere. The band supposes symmetric differences: where single seeds
    differ at a step, as while runs grok one by one, it is too narrow, and a claim on the steps is the better one.
    """
    name, region = "largest size of the mean bootstrap error after the first reuse", Bounds(min_difference, math.inf)
    differences_SN, steps, left_out = _differences(evidence, "end", metric, everywhere=True)
    n, needed = differences_SN.shape[1], _for_band(None, evidence.confidence)
    if needed is None or n < needed:
        cannot = "cannot be had" if needed is None else f"needs {needed}"
        reason = f"{plural(n, 'pair')}, and a {percent(evidence.confidence)} band of the whole curve {cannot}"
        return Effect(name, region, n, "pairs", reason=f"{reason}{f' ({left_out})' if left_out else ''}")
    band = max_t_band(differences_SN, evidence.confidence) if len(steps) else None
    if band is None:
        return Effect(name, region, n, "pairs", reason="no step that all pairs evaluated after the first reuse")
    low, high, mean = (band.table[column].to_numpy() for column in ("low", "high", "mean"))
    surely = np.maximum(np.maximum(low, -high), 0).max() if band.p <= 1 - evidence.confidence + 1e-12 else 0.0
    possibly = np.maximum(-low, high).max()
    worst = int(np.abs(mean).argmax())
    place = f"{measure(mean[worst])} at step {count(steps[worst])}, of {plural(len(steps), 'step')}"
    estimate, interval = Bounds(abs(mean[worst]), abs(mean[worst])), Bounds(float(surely), float(possibly))
    return Effect(name, region, n, "pairs", estimate, interval, note="; ".join(filter(None, [place, left_out])))


def worst_step(differences_SN: np.ndarray, margin: float, confidence: float) -> tuple[int, Bounds, str]:
    """Where the mean curve is judged against ±margin, the interval, and what was done to it if anything.

    The interval lies inside exactly where two one-sided tests reject at every step, and wholly outside exactly where
    one step's interval does after Bonferroni's correction; then the step is the one farthest out.

    Args:
        differences_SN: float, (steps, pairs), finite, at least three pairs.
        margin: positive.
        confidence: in (0.5, 1).
    """
    each = 1 - (1 - confidence) / len(differences_SN)
    pointwise = [t_interval(row, confidence) or Bounds(-math.inf, math.inf) for row in differences_SN]
    corrected = [t_interval(row, each) or Bounds(-math.inf, math.inf) for row in differences_SN]
    gaps = [max(low, -high) - margin for low, high in corrected]
    if max(gaps) > 0:
        farthest = int(np.argmax(gaps))
        return farthest, corrected[farthest], f"corrected for {len(gaps)} steps" if len(gaps) > 1 else ""
    worst = int(np.abs(differences_SN.mean(axis=1)).argmax())
    if equivalent_everywhere(differences_SN, margin, confidence).equivalent:
        whole = _hull(pointwise)
        kept = Bounds(max(whole.low, -margin), min(whole.high, margin))
        return worst, kept, _cut(confidence) if kept != whole else ""
    return worst, _hull([*pointwise, corrected[worst]]), ""  # with it, not wholly outside


def _differences(
    evidence: Evidence, at: At, metric: str | None, *, everywhere: bool = False
) -> tuple[np.ndarray, np.ndarray, str]:
    """Bootstrap errors (steps, pairs) after the first reuse, the steps, and which pairs were left out and why.

    At one step per pair there is one row, unless ``everywhere`` asks for all up to it.
    """
    pairs = evidence.pairs_at("end" if at == "end" else "stopping", metric)
    reuse = pairs["run_id"].map(evidence.pairs.set_index("run_id")["first_reuse_step"])
    pending, notes = pd.Series(True, index=pairs.index), []
    missing = {"end": "did not finish in both worlds"}.get(at, NEVER["stopping"])
    for why, fails in (
        ("without an ideal partner", pairs["ideal_status"].isna()),
        (missing, pairs["step"].isna()),
        ("without a value in both worlds there", ~np.isfinite(pairs["bootstrap_error"].astype(float))),
        ("there before any reuse", ~(pairs["step"] > reuse).fillna(False).astype(bool)),
    ):
        failed = pending & fails
        notes += [f"{failed.sum()} of {len(pairs)} {why}"] if failed.any() else []
        pending &= ~failed
    kept = pairs[pending]
    if not (everywhere or at == "until_stopping"):
        return kept["bootstrap_error"].to_numpy(dtype=float)[None], np.zeros(1, dtype=int), "; ".join(notes)
    table = evidence.comparison.bootstrap_error(metric)
    inside = table["run_id"].isin(kept["run_id"]) & table["after_first_reuse"] & (table["step"] <= kept["step"].min())
    curves = table[inside.fillna(False).astype(bool)].pivot(index="step", columns="run_id", values="bootstrap_error")
    curves = curves.reindex(columns=kept["run_id"]).astype(float)
    curves = curves[np.isfinite(curves).all(axis=1)]
    return curves.to_numpy(), curves.index.to_numpy(dtype=int), "; ".join(notes)


def _same(name: str, bounds: pd.DataFrame, max_ratio: float, *, items: str, evidence: Evidence, note: str) -> Effect:
    """Whether a median ratio lies within 1 / max_ratio and max_ratio."""
    known, region, confidence = bounds.dropna(), Bounds(1 / max_ratio, max_ratio), evidence.confidence
    tested = median_interval(known["low"], known["high"], 2 * confidence - 1)
    interval, how = median_interval(known["low"], known["high"], confidence), ""
    if tested and region.low <= tested.low and tested.high <= region.high:
        whole = interval or Bounds(0.0, math.inf)
        interval = Bounds(max(whole.low, region.low), min(whole.high, region.high))
        how = _cut(confidence) if interval != whole else ""
    needed = f"a {percent(confidence)} interval of a median needs {seeds_for_median(confidence)}"
    reason = "" if interval else f"{plural(len(known), items.removesuffix('s'))}, and {needed}"
    notes = "; ".join(filter(None, [how, note]))
    estimate = median_bounds(known["low"], known["high"])
    return Effect(name, region, len(known), items, estimate, interval, reason, note=notes)


def _hull(intervals: Sequence[Bounds]) -> Bounds:
    return Bounds(min(low for low, _ in intervals), max(high for _, high in intervals))


def _cut(confidence: float) -> str:
    return f"cut off where two one-sided tests at {percent(1 - confidence)} rule out the rest"


def _place(steps: np.ndarray, worst: int) -> str:
    if len(steps) == 1:
        return f"at step {count(steps[0])}, the only one judged"
    return f"at step {count(steps[worst])}, of {len(steps)} steps from {count(steps[0])} to {count(steps[-1])}"

"""Kinds of claim about equal and different worlds: the bootstrap error within a margin, and beyond one.

Equality is claimed as a region around it and tested from both sides (two one-sided tests, TOST). The interval has the
claim's confidence, and is cut off at the claimed ends where the two tests rule out all values beyond them: it lies in
the region exactly where they reject. So a claim that is false, and a claim that is true, are each judged wrongly at
most as often as one minus the confidence. A cut interval covers a bit less where the truth is just outside the region
(92.5 % instead of 95 % at worst). Shape letters: S steps, N pairs.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from deepboot.reports.at_step import AT_STEP
from deepboot.reports.claims.kind import ClaimedRegion, Effect, Evidence, claim_kind
from deepboot.reports.claims.kinds.clauses import deviations, spread_below
from deepboot.reports.claims.kinds.shared import PairMetric, cut_note
from deepboot.reports.claims.known_pairs import At, KnownPairs, known_pairs
from deepboot.reports.statistics.equivalence import PATTERNS, max_t_band
from deepboot.reports.statistics.incomplete import ANYTHING, mean_bounds, mean_interval, no_interval, t_spread
from deepboot.reports.statistics.intervals import T_MIN, Bounds
from deepboot.reports.statistics.power import POWER, effect_for_difference, margin_for_equivalence
from deepboot.reports.text import count, measure, percent, plural

Margin = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NAMES: dict[At, str] = {
    "until_stopping": "largest mean bootstrap error up to the earliest stopping step",
    "stopping": f"mean bootstrap error {AT_STEP['stopping']}",
    "end": f"mean bootstrap error {AT_STEP['end']}",
}


def _for_band(_: Any, confidence: float) -> int | None:
    patterns = math.ceil(1 / (1 - confidence) - 1e-9)
    return max(1 + (patterns - 1).bit_length(), T_MIN) if patterns <= PATTERNS else None


def _spread_within_margin(given: Any, n: int, confidence: float) -> str:
    return spread_below(given.margin, margin_for_equivalence(n, confidence=confidence))


def _claimed_margin(given: Any) -> ClaimedRegion:
    when = "at every step up to stopping" if given.at == "until_stopping" else AT_STEP[given.at]
    sentence = f"Shaded: the claimed margin of ±{measure(given.margin)} {when}."
    return ClaimedRegion(-given.margin, given.margin, sentence)


def _mean_beyond(given: Any, n: int, confidence: float) -> str:
    away, bound = deviations(effect_for_difference(n, confidence=confidence)), measure(given.min_difference)
    return (
        f"supported if the mean is {away} beyond {bound} at a step ({percent(POWER)} power; of many steps a bit more)"
    )


@claim_kind(
    "equivalent",
    min_seeds=T_MIN,
    figure="bootstrap_error",
    tailored=True,
    pairs=True,
    clause=_spread_within_margin,
    region=_claimed_margin,
)
def equivalent(evidence: Evidence, *, margin: Margin, at: At = "until_stopping", metric: PairMetric = None) -> Effect:
    """The mean bootstrap error is at most ``margin`` in size, at every step until stopping, at stopping or at the end.

    Until stopping: every step after the first reuse up to the earliest stopping step of the cell, so that no pair is
    past its own; a pair that never stops counts up to there. Supported if both one-sided tests reject at every step
    (intersection-union: no correction is needed); refuted if the interval of a single step, with Bonferroni's
    correction for the number of steps, lies wholly outside; the estimate is then that step's mean, else the largest in
    size, and the interval reaches over all steps' intervals. A pair without a value at a step is missing there and
    bounds the mean, by `incomplete.mean_interval`; one whose own stopping step lies before any reuse is left
    out. The t interval knows only the spread it sees: a difference that is large and rare, as where one run in ten
    never groks, is missed by a few pairs; claim a `rate`. Source: Schuirmann 1987; Berger 1982.

    Args:
        margin: largest size of the mean bootstrap error, in the metric's unit.
        at: where it is judged: every step until stopping, the stopping step, or the end of the budget.
    """
    name, region = NAMES[at], Bounds(-margin, margin)
    pairs = known_pairs(evidence, at, metric)
    values_SN, steps = _until_stopping(evidence, pairs, metric) if at == "until_stopping" else (pairs.values[None], [0])
    n = int(np.isfinite(values_SN).sum(axis=1).min()) if len(values_SN) else 0
    also: dict[str, Any] = {"note": pairs.note, "total": pairs.total}
    whys = f" ({pairs.note})" if pairs.note else ""
    if len(values_SN) and n < T_MIN:
        reason = no_interval(np.zeros(n), "pairs", evidence.confidence)
        return Effect(name, region, n, "pairs", reason=f"{reason}{whys}", **also)
    if not len(values_SN):
        why = "no step that all pairs evaluated between reuse and stopping"
        return Effect(name, region, len(pairs.table), "pairs", reason=why, **also)
    worst, interval, how = worst_step(values_SN, margin, evidence.confidence, pairs.limits)
    estimate = mean_bounds(values_SN[worst], pairs.limits)
    also["note"] = "; ".join(
        filter(None, [_step_note(steps, worst) if at == "until_stopping" else "", how, pairs.note])
    )
    if interval is None or not all(map(math.isfinite, interval)):
        lacking = "without a value, which has no upper end"
        reason = how if interval is None else f"{pairs.total - n} of {plural(pairs.total, 'pair')} {lacking}{whys}"
        return Effect(name, region, n, "pairs", estimate if interval is None else None, reason=reason, **also)
    spread = t_spread(values_SN[0]) if len(values_SN) == 1 else None
    return Effect(name, region, n, "pairs", estimate, interval, spread=spread, one_sided=True, **also)


@claim_kind("difference", min_seeds=_for_band, figure="bootstrap_error", pairs=True, clause=_mean_beyond)
def difference(evidence: Evidence, *, min_difference: Margin, metric: PairMetric = None) -> Effect:
    """The mean bootstrap error reaches ``min_difference`` in size at some step after the first reuse.

    Interval of the largest mean over all steps that all pairs evaluated: from the point of the simultaneous band that
    is surely farthest from zero to the point that is possibly farthest. Its lower end is zero where the exact
    sign-flip test finds no difference anywhere. Where a run diverged, failed or is unfinished, the steps up to the
    first such end are judged, and the interval is open above: later steps are not known, so this can support the
    claim and not refute it. The band supposes symmetric differences: where single seeds differ at a step, as while
    runs grok one by one, it is too narrow, and a claim on the steps is the better one.

    Args:
        min_difference: size that the mean bootstrap error reaches at some step, in the metric's unit.
    """
    name, region = "largest size of the mean bootstrap error after the first reuse", Bounds(min_difference, math.inf)
    pairs = known_pairs(evidence, "end", metric)
    values_SN, steps, everyone = _curves(evidence, pairs, metric, math.inf)
    n, needed = int(np.isfinite(values_SN).any(axis=0).sum()), _for_band(None, evidence.confidence)
    values_SN, steps = values_SN[everyone], steps[everyone]
    also: dict[str, Any] = {"total": pairs.total}
    whys = f" ({pairs.note})" if pairs.note else ""
    if needed is None or n < needed:
        cannot = "cannot be had" if needed is None else f"needs {needed}"
        reason = f"{plural(n, 'pair')}, and a {percent(evidence.confidence)} band of the whole curve {cannot}{whys}"
        return Effect(name, region, n, "pairs", reason=reason, **also)
    band = max_t_band(values_SN, evidence.confidence) if len(steps) else None
    if band is None:
        reason = f"no step that all pairs evaluated after the first reuse{whys}"
        return Effect(name, region, n, "pairs", reason=reason, **also)
    low, high, mean = (band.table[column].to_numpy() for column in ("low", "high", "mean"))
    surely = np.maximum(np.maximum(low, -high), 0).max() if band.p <= 1 - evidence.confidence + 1e-12 else 0.0
    possibly = math.inf if np.isnan(pairs.values).any() else float(np.maximum(-low, high).max())
    worst = int(np.abs(mean).argmax())
    largest_at = f"{measure(mean[worst])} at step {count(steps[worst])}, of {plural(len(steps), 'step')}"
    largest = float(abs(mean[worst]))
    estimate = Bounds(largest, math.inf if math.isinf(possibly) else largest)
    note = "; ".join(filter(None, [largest_at, pairs.note]))
    n = int(np.isfinite(pairs.values).sum())
    return Effect(name, region, n, "pairs", estimate, Bounds(float(surely), possibly), note=note, **also)


def worst_step(
    differences_SN: np.ndarray, margin: float, confidence: float, limits: Bounds = ANYTHING
) -> tuple[int, Bounds | None, str]:
    """The step at which the mean curve is judged against ±margin, the interval, and a note on its correction or cut.

    The interval lies inside exactly where two one-sided tests reject at every step, and wholly outside exactly where
    one step's interval does after Bonferroni's correction; then the step is the one farthest out. A step within the
    margin at which too few pairs have all the same difference is passed over, since they show no spread to be tested
    against; if that is every step there is no interval, and the last entry says why.

    Args:
        differences_SN: float, (steps, pairs), NaN where missing, at least three pairs known at each step.
        margin: positive.
        confidence: in (0.5, 1).
        limits: ends of a missing difference.
    """
    bonferroni, one_sided = 1 - (1 - confidence) / len(differences_SN), 2 * confidence - 1
    corrected = [mean_interval(row, bonferroni, limits) or ANYTHING for row in differences_SN]
    gaps = [max(low, -high) - margin for low, high in corrected]
    if max(gaps) > 0:
        farthest = int(np.argmax(gaps))
        return farthest, corrected[farthest], f"corrected for {len(gaps)} steps" if len(gaps) > 1 else ""
    tested = [mean_interval(row, one_sided, limits) for row in differences_SN]
    sizes = [max(map(abs, mean_bounds(row, limits) or ANYTHING)) for row in differences_SN]
    kept = [step for step, test in enumerate(tested) if test is not None or sizes[step] >= margin]
    worst = int(np.argmax(sizes))
    if not kept:
        return worst, None, no_interval(differences_SN[worst], "pairs", confidence)
    pointwise = [mean_interval(differences_SN[step], confidence, limits) or ANYTHING for step in kept]
    if all(-margin <= low and high <= margin for low, high in (tested[step] or ANYTHING for step in kept)):
        whole = _hull(pointwise)
        cut = Bounds(max(whole.low, -margin), min(whole.high, margin))
        return worst, cut, cut_note(confidence) if cut != whole else ""
    return worst, _hull([*pointwise, corrected[worst]]), ""  # with it, not wholly outside


def _until_stopping(
    evidence: Evidence, pairs: KnownPairs, metric: str | None
) -> tuple[np.ndarray, np.ndarray | Sequence[int]]:
    """Bootstrap errors (steps, pairs) after the first reuse up to the earliest stopping step, NaN where missing.

    Where no pair stops after it there is one row, of pairs without a value.
    """
    first = pairs.table["step"].min()
    if pd.isna(first):
        return np.full((1, len(pairs.table)), np.nan), [0]
    values_SN, steps, _ = _curves(evidence, pairs, metric, float(first))
    if not np.isfinite(values_SN).any():
        return (
            (np.full((1, len(pairs.table)), np.nan), [0]) if not np.isfinite(pairs.values).any() else (values_SN, steps)
        )
    return values_SN, steps


def _curves(
    evidence: Evidence, pairs: KnownPairs, metric: str | None, last: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bootstrap errors (steps, pairs) after the first reuse up to a step, the steps, and whether all pairs are there.

    A pair's value is NaN after its own last one; steps that a pair passed without a value are left out.
    """
    table = evidence.comparison.bootstrap_error(metric)
    table = table[table["run_id"].isin(pairs.table["run_id"]) & table["after_first_reuse"]]
    curves = table.pivot(index="step", columns="run_id", values="bootstrap_error").reindex(
        columns=pairs.table["run_id"]
    )
    values_SN, steps = curves.to_numpy(dtype=float, na_value=np.nan), curves.index.to_numpy(dtype=int)
    values_SN = np.where(np.isfinite(values_SN), values_SN, np.nan)
    known = np.isfinite(values_SN)
    later = np.flip(np.maximum.accumulate(np.flip(known, axis=0), axis=0), axis=0)  # known at this step or a later one
    whole = (known | ~later).all(axis=1) & known.any(axis=1) & (steps <= last)
    return values_SN[whole], steps[whole], known[whole].all(axis=1)


def _hull(intervals: Sequence[Bounds]) -> Bounds:
    return Bounds(min(low for low, _ in intervals), max(high for _, high in intervals))


def _step_note(steps: np.ndarray | Sequence[int], worst: int) -> str:
    if len(steps) == 1:
        return f"at step {count(steps[0])}, the only one judged"
    return f"at step {count(steps[worst])}, of {len(steps)} steps from {count(steps[0])} to {count(steps[-1])}"

"""The kinds of claim that compare cells: ratios, trends, power laws, thresholds, agreement, prediction and outcomes.

Each is judged once over all cells that ``where`` selects. Seeds are the replicates; a run that never reaches its event
is counted, and never given the budget as its step.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from bootstrap.registry import suggestion
from reports import agreement
from reports.agreement import RANK_MIN
from reports.cells import settings_of
from reports.compare import When
from reports.evidence import Across, Effect, Evidence, claim_kind
from reports.failure_time import PairedRatio, paired_ratio
from reports.incomplete import ANYTHING, interval_between, mean_bounds, mean_interval, no_interval
from reports.intervals import T_MIN, Bounds, median_interval, seeds_for_median
from reports.kinds import NOUNS, PLACES, Number, Rate, Ratio, broken, for_mean, mean_effect, region_of, undecided
from reports.known_pairs import finite, limits_of
from reports.outcomes import CLASSIFIERS, classify, seeds_for_share, share_interval, thresholds
from reports.selection import select
from reports.timing import event_bounds
from reports.wording import count, percent, plural, setting

Event = Literal["grokking", "memorization"]
Tau = Annotated[float, Field(ge=-1, le=1)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Direction = Literal["rises", "falls"]
Ordered = Literal["grokking", "memorization", "final_error"]
STEPS = {"grokking": "grokking step", "memorization": "memorisation step"}
REACHED = {"grokking": "grokked", "memorization": "memorised"}
POWER_MIN = 3  # fewest runs for a power law
ABOVE_ZERO = math.ulp(0.0)  # the end of a region that zero is not in


def _for_ratio(settings: Any, confidence: float) -> int:
    region_of("ratio", "ratio", min_ratio=settings.min_ratio, max_ratio=settings.max_ratio)
    return seeds_for_median(confidence)


def _for_slope(settings: Any, _: float) -> int:
    region_of("power_law", "slope", min_slope=settings.min_slope, max_slope=settings.max_slope)
    return 1


def _for_neighbours(settings: Any, confidence: float) -> int:
    return T_MIN if settings.event == "final_error" else seeds_for_median(confidence)


def _for_size(settings: Any, confidence: float) -> int:
    region_of("threshold", "size", min=settings.min, max=settings.max)
    return seeds_for_median(confidence)


def _for_share(settings: Any, confidence: float) -> int | None:
    _check_outcome(settings.classifier, settings.outcome)
    thresholds(settings.classifier, settings.settings)
    region = region_of("outcome_profile", "share", min_rate=settings.min_rate, max_rate=settings.max_rate)
    return seeds_for_share(region, confidence)


def _no_arms(across: Across, given: Mapping[str, Any]) -> str:
    return _arms(across, given["of"], given["to"], given["world"])[1]


def _no_order(across: Across, given: Mapping[str, Any]) -> str:
    return _places(across, given.get("over", "train_size"))[1]


@claim_kind("ratio", min_seeds=_for_ratio, scope="cells", figure=("survival", "steps"), unjudgeable=_no_arms)
def ratio(
    across: Across,
    *,
    of: dict[str, Any],
    to: dict[str, Any],
    event: Event = "grokking",
    world: str = "real",
    min_ratio: Ratio | None = None,
    max_ratio: Ratio | None = None,
) -> Effect:
    """One arm groks (or memorises) at least, or at most, so many times as late as another.

    ``of`` and ``to`` select one cell each, as ``where`` does. Their runs are paired by seed. A run that never reached
    the event ranks last, one that diverged before it behind that; where neither run of a pair reached it, one failed,
    or a seed has no other run, nothing is known of their ratio. Interval: the signed-rank test, inverted, on the
    conservative bounds of the log ratios, which it takes to be spread evenly about their center; the sign test where a
    run diverged.
    """
    region = region_of("ratio", "ratio", min_ratio=min_ratio, max_ratio=max_ratio)
    arms, why = _arms(across, of, to, world)
    if arms is None:
        return Effect(f"typical ratio of {STEPS[event]}s", region, 0, "pairs", reason=why)
    late, soon = arms
    name = f"typical ratio of the {STEPS[event]} with {late.cell} to that with {soon.cell}{_within(world)}"
    found, both, unpaired = _ratio_of(late, soon, world, event, across.confidence)
    few = f"{plural(both, 'pair')}, and a {percent(across.confidence)} interval of a ratio needs "
    reason = "" if found.interval else few + str(seeds_for_median(across.confidence))
    note = _notes(
        (found.censored, f"of {found.n} with a run that never {REACHED[event]}"),
        (found.diverged, f"of {found.n} with a run that diverged before"),
        (unpaired, f"{'run' if unpaired == 1 else 'runs'} without the other of its seed"),
    )
    return Effect(
        name, region, both, "pairs", found.estimate, found.interval, reason, note, cells=2, total=both + unpaired
    )


@claim_kind("trend", scope="cells", figure=("steps", "test_error"), unjudgeable=_no_order)
def trend(
    across: Across, *, over: str, direction: Direction, event: Ordered = "grokking", world: str = "real"
) -> Effect:
    """The step of an event, or the final test error, rises or falls along one setting on the whole.

    A trend may have bumps: `monotone` has none. Runs are ranked by the evaluation at which they reached the event.
    Those that never did, or later than the shortest budget of those, rank last and equal, as do those that diverged;
    where one that failed, or whose end is not known, ranks is not known, and then nothing is judged. Effect: tau of
    Jonckheere and Terpstra's test of a trend; seeds that the cells share make its interval wide, not wrong. Where that
    test, exact for few runs, does not reject at the claim's error, the interval reaches to both sides of 0. ``over``
    is a setting by its dotted name, a number, another one in every cell.
    """
    rises = direction == "rises"
    region = Bounds(ABOVE_ZERO, math.inf) if rises else Bounds(-math.inf, -ABOVE_ZERO)
    what = STEPS.get(event, "final test error")
    name, words = f"rank trend (tau) of the {what} along {over}{_within(world)}", f"{'above' if rises else 'below'} 0"
    places, why = _places(across, over)
    runs, lost = across.runs_of(world), across.lost(world)
    values, note, failed = _final_errors(across, runs) if event == "final_error" else _event_ranks(runs, event)
    total, unknown = int((values.notna() | failed).sum()) + lost, int(failed.sum()) + lost
    runs = runs.assign(value=values).dropna(subset="value")
    n = len(runs)
    if not why and unknown:
        why = f"where {unknown} of {plural(total, 'run')} rank is not known: they failed, are unfinished or lost"
    if why or runs["place"].nunique() < 2:
        reason = why or f"{plural(runs['place'].nunique(), 'cell')} with a run that measures it"
        return Effect(name, region, n, "runs", reason=reason, words=words, total=total)
    groups = [group["value"].to_numpy() for _, group in runs.groupby(runs["place"].map(places))]
    found = agreement.monotone_trend(groups, across.confidence)
    estimate = None if math.isnan(found.estimate) else Bounds(found.estimate, found.estimate)
    few = f"{plural(n, 'run')}, and an interval of a rank trend needs {RANK_MIN}"
    reason = "" if found.interval else few if estimate else f"the {what} is the same in all {n} runs"
    interval = found.interval
    if interval and found.p > 1 - across.confidence:
        interval = Bounds(min(interval.low, -ABOVE_ZERO), max(interval.high, ABOVE_ZERO))
    return Effect(name, region, n, "runs", estimate, interval, reason, note, words=words, total=total)


@claim_kind("monotone", min_seeds=_for_neighbours, scope="cells", figure=("steps", "test_error"), unjudgeable=_no_order)
def monotone(
    across: Across,
    *,
    over: str,
    direction: Direction,
    event: Ordered = "grokking",
    world: str = "real",
    tolerance: Tolerance = 0.0,
) -> Effect:
    """The step of an event, or the final test error, rises or falls along one setting throughout, without a bump.

    Every cell is compared with the next one along ``over``, seed by seed: final errors by the mean difference and its
    t interval, steps by the typical ratio as in `ratio`. Judged is the largest move in the wrong direction, over all
    neighbours. Its upper end is the largest of their upper ends: every neighbour must do, so none needs a correction
    (intersection-union); its lower end is the largest of their lower ends with Bonferroni's correction, since any one
    neighbour may refute. With a ``tolerance`` (an error; of steps, a share) neighbours may move the wrong way by as
    much, and the last cell must then have moved the right way from the first. Final errors that are missing bound
    their differences as in `final_difference`; seeds without a step, as in `ratio`. ``over`` as in `trend`.
    """
    rises, errors = direction == "rises", event == "final_error"
    what, wrong = STEPS.get(event, "final test error"), "fall" if rises else "rise"
    allowed = f", beyond {setting(tolerance)}" if tolerance else ""
    measured = f"largest {wrong}" if errors else f"largest {wrong} (as a ratio)"
    name = f"{measured} of the {what} between neighbours along {over}{allowed}{_within(world)}"
    region = Bounds(-math.inf, 0.0 if errors else 1.0)
    places, why = _places(across, over)
    cells = [across.each[place] for place in sorted(places, key=lambda place: places[place])]
    runs, lost = across.runs_of(world), across.lost(world)
    total = runs["run_id"].nunique() + lost
    if why:
        return Effect(name, region, 0, "runs", reason=why, total=total)
    steps = [(one, other, tolerance) for one, other in pairwise(cells)]
    steps += [(cells[0], cells[-1], 0.0)] if tolerance else []
    each, found = 1 - (1 - across.confidence) / len(steps), []
    for one, other, room in steps:
        before, after = (other, one) if rises else (one, other)
        levels = (across.confidence, each)
        if errors:
            found.append(_moved_by_error(before, after, world, room, levels))
        else:
            found.append(_moved_by_ratio(before, after, world, event, room, levels))
    reason = next((one.reason for one in found if one.reason), "")
    n, note = int((~_unknown(across, runs, event)).sum()), broken(runs, lost)
    if reason:
        return Effect(name, region, n, "runs", reason=reason, note=note, total=total)
    estimate, interval = (
        Bounds(max(low for low, _ in ends), max(high for _, high in ends))
        for ends in ([one.estimate for one in found], [one.interval for one in found])
    )
    return Effect(name, region, n, "runs", estimate, interval, note=note, total=total)


@dataclass(frozen=True)
class _Move:
    """How far one cell is beyond another in the wrong direction, less what is allowed; or why that is not known."""

    estimate: Bounds = ANYTHING
    interval: Bounds = ANYTHING
    reason: str = ""


def _moved_by_error(one: Evidence, other: Evidence, world: str, room: float, levels: tuple[float, float]) -> _Move:
    """Mean difference of the final errors, other minus one, less the room."""
    confidence, each = levels
    differences, limits, _ = _differences(other, one, world, "test_error")
    above, below = (mean_interval(differences, level, limits) for level in (confidence, each))
    middle = mean_bounds(differences, limits)
    if above is None or middle is None:
        return _Move(reason=no_interval(differences, "pairs", confidence))
    low = -math.inf if below is None else below.low
    return _Move(Bounds(middle.low - room, middle.high - room), Bounds(low - room, above.high - room))


def _moved_by_ratio(
    one: Evidence, other: Evidence, world: str, event: str, room: float, levels: tuple[float, float]
) -> _Move:
    """Typical ratio of the steps, other over one, over one and the room."""
    (found, both, _), (corrected, _, _) = (_ratio_of(other, one, world, event, level) for level in levels)
    if found.interval is None or found.estimate is None:
        needed = f"a {percent(levels[0])} interval of a ratio needs {seeds_for_median(levels[0])}"
        return _Move(reason=f"{plural(both, 'pair')}, and {needed}")
    low, less = corrected.interval.low if corrected.interval else 0.0, 1 + room
    ends = Bounds(low / less, found.interval.high / less)
    return _Move(Bounds(found.estimate.low / less, found.estimate.high / less), ends)


def _differences(one: Evidence, other: Evidence, world: str, metric: str) -> tuple[np.ndarray, Bounds, str]:
    """Final values of one cell minus those of another, seed by seed, NaN where missing; their limits; what lacks."""
    final, comparison = one.comparison.final(metric), one.comparison
    runs = [arm.runs_of(world) for arm in (one, other)]
    rows = [arm.set_index("seed")["run_id"].map(final).rename(place) for place, arm in enumerate(runs)]
    pairs = pd.concat(rows, axis=1).reindex(_seeds(one, other))
    unpaired = len(pairs) - len(set(rows[0].index) & set(rows[1].index))
    differences = finite(pairs[0]) - finite(pairs[1])
    low, high = comparison.limits(metric, pd.concat(runs))
    note = _notes(
        (int(np.isnan(differences).sum()) - unpaired,
         f"of {plural(len(pairs), 'pair')} with a run that diverged, failed or is unfinished"),
        (unpaired, f"{'run' if unpaired == 1 else 'runs'} without the other of its seed"),
    )  # fmt: skip
    return differences, Bounds(low - high, high - low), note


@claim_kind(
    "final_difference",
    min_seeds=for_mean("final_difference"),
    scope="cells",
    figure=("test_error", "test_soft_error"),
    unjudgeable=_no_arms,
)
def final_difference(
    across: Across,
    *,
    of: dict[str, Any],
    to: dict[str, Any],
    world: str = "real",
    metric: str = "test_error",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """The final test error of one arm, minus that of another, is in the mean within bounds.

    ``of`` and ``to`` select one cell each, as ``where`` does. Their runs are paired by seed, each at its own last
    evaluation. A pair in which a run diverged, failed, is unfinished or has no other is missing and bounds the mean,
    as in `bootstrap_error`. Interval: `reports.incomplete.mean_interval`, of paired differences.
    """
    region = region_of("final_difference", "mean", min=min, max=max)
    name = f"mean difference of the final {metric.replace('_', ' ')}{_within(world)}"
    arms, why = _arms(across, of, to, world)
    if arms is None:
        return Effect(name, region, 0, "pairs", reason=why)
    one, other = arms
    name = f"{name}, {one.cell} minus {other.cell}"
    differences, limits, note = _differences(one, other, world, metric)
    return mean_effect(name, region, differences, "pairs", across.confidence, limits, note=note, cells=2)


@claim_kind("power_law", min_seeds=_for_slope, scope="cells", figure="steps", unjudgeable=_no_order)
def power_law(
    across: Across,
    *,
    over: str,
    event: Event = "grokking",
    world: str = "real",
    min_slope: Number | None = None,
    max_slope: Number | None = None,
) -> Effect:
    """The step of an event goes with a power of one setting, whose exponent is within bounds.

    Regression of the log step on the log setting with normal scatter, for steps known between two evaluations or
    beyond the budget. It has no place for a run that diverged or failed before, or whose row is lost: with one of these
    nothing is judged. Shared seeds and ``over`` as in `trend`, ``over`` positive.
    """
    region = region_of("power_law", "slope", min_slope=min_slope, max_slope=max_slope)
    name = f"exponent of the {STEPS[event]} as a power of {over}{_within(world)}"
    places, why = _places(across, over)
    runs = across.runs_of(world)
    bounds = event_bounds(runs, event).assign(place=runs["place"]).dropna(subset="outcome")
    reached, n = int((bounds["outcome"] == "reached").sum()), len(bounds)
    if not why and min(places.values()) <= 0:
        why = f"a power law needs positive values, and {over} is {setting(min(places.values()))}"
    if why or n < POWER_MIN or bounds["place"].nunique() < 2:
        reason = why or f"{plural(n, 'run')} in {plural(bounds['place'].nunique(), 'cell')}, and a power law needs "
        return Effect(name, region, n, "runs", reason=reason if why else f"{reason}{POWER_MIN} in 2")
    total = n + across.lost(world)
    lacking = int(bounds["outcome"].isin(("diverged", "failed")).sum()) + total - n
    note = _notes((int((bounds["outcome"] == "censored").sum()), f"of {n} never {REACHED[event]}"))
    if lacking:
        reason = f"{lacking} of {plural(total, 'run')} diverged, failed or lost, for which a power law has no place"
        return Effect(name, region, total - lacking, "runs", reason=reason, note=note, total=total)
    found = agreement.power_law(
        bounds["place"].map(places), bounds["low"], bounds["high"].clip(lower=1), across.confidence
    )
    if math.isnan(found.slope):
        reason = f"{reached} of {n} runs {REACHED[event]}, which does not tell an exponent"
        return Effect(name, region, n, "runs", reason=reason)
    return Effect(name, region, n, "runs", Bounds(found.slope, found.slope), found.interval, note=note)


@claim_kind("threshold", min_seeds=_for_size, scope="cells", figure="steps", unjudgeable=_no_order)
def threshold(
    across: Across,
    *,
    min: Size | None = None,
    max: Size | None = None,
    budget: Annotated[int, Field(gt=0)] | None = None,
    event: Event = "grokking",
    world: str = "real",
) -> Effect:
    """The smallest pool on which half of the seeds grok (or memorise) has at least, or at most, so many samples.

    An event later than ``budget``, in steps, counts as not reached, so two claims compare two budgets. Runs that
    diverged before count as not reached; one that failed, or ended before its budget, as either. Estimate: where
    isotonic rates pass a half. Interval: the sign test on seeds, each known between the largest pool below its first
    success and the smallest from which all succeed. It holds however runs of one seed, whose pools are nested, depend
    on each other; a curve fitted to runs as if they did not covers 77 % instead of 95 % at seven sizes, 53 % at 25.
    """
    region = region_of("threshold", "size", min=min, max=max)
    by = f" by step {count(budget)}" if budget else ""
    name = f"pool on which half of the seeds {NOUNS[event]}{by}{_within(world)}"
    places, why = _places(across, "train_size")
    runs = across.runs_of(world)
    bounds = event_bounds(runs, event).assign(place=runs["place"], seed=runs["seed"]).dropna(subset="outcome")
    n, seeds = len(bounds), bounds["seed"].nunique()
    short = bounds.loc[(bounds["outcome"] == "censored") & (bounds["low"] < (budget or 0)), "low"]
    if not why and len(short):
        ended = f"{len(short)} of {n} runs ended before, at step {count(short.min())} the first"
        why = f"what would have come by step {count(budget or 0)} is not known: {ended}"
    if why or bounds["place"].nunique() < 2:
        reason = why or f"{plural(bounds['place'].nunique(), 'size')} with a run that measures it"
        return Effect(name, region, seeds, "seeds", reason=reason, whole=True)
    table = bounds.assign(reached=bounds["high"] <= (budget or np.finfo(float).max), size=bounds["place"].map(places))
    perhaps = undecided(runs.loc[table.index], bounds) if budget is None else bounds["outcome"] == "failed"
    least, most = (_sizes(table.assign(reached=reached)) for reached in (table["reached"] | perhaps, table["reached"]))
    estimate = Bounds(least.low, most.high)
    soonest, latest = (
        [_threshold_of(seed) for _, seed in table.assign(reached=reached).groupby("seed")]
        for reached in (table["reached"] | perhaps, table["reached"])
    )
    interval = median_interval([low for low, _ in soonest], [high for _, high in latest], across.confidence)
    said = f"{int(table['reached'].sum())} of {n} runs {REACHED[event]}"
    said = "; ".join(filter(None, (said, _notes((int(perhaps.sum()), f"of {n} not known")))))
    few = f"{plural(seeds, 'seed')}, and a {percent(across.confidence)} interval of a threshold needs "
    reason = "" if interval else f"{few}{seeds_for_median(across.confidence)}"
    if interval == Bounds(0.0, math.inf):
        interval, reason = None, f"{said}, which does not tell the threshold"
    return Effect(name, region, seeds, "seeds", estimate, interval, reason, said, whole=True)


def _sizes(table: pd.DataFrame) -> Bounds:
    """The size at which half of the runs reach an event, from ``size`` and ``reached`` of each."""
    counts = table.groupby("size")["reached"].agg(["sum", "size"])
    return agreement.threshold_size(counts.index, counts["sum"], counts["size"])


@claim_kind("rank_agreement", scope="cells", figure="scatter", pairs=True)
def rank_agreement(across: Across, *, min_tau: Tau, at: When = "end", metric: str | None = None) -> Effect:
    """Configurations that are better in the ideal world are better in the real one: their errors agree in rank.

    Kendall's tau between the cells' mean real and mean ideal test error at the last common step, or at the stopping
    step. A pair without a value bounds the means of its cell; cells whose order this leaves open count for and against,
    by `reports.agreement.rank_agreement_between`. The interval speaks of configurations like these; the spread between
    seeds is in it only as it moves ranks.
    """
    pairs = across.pairs_at(at, metric)
    ends, total = _cell_means(across, pairs, ["real", "ideal"]), len(across.cells)
    whole = ~pairs[["real", "ideal"]].isna().any(axis=1).groupby(pairs["place"]).any()
    there = pairs.dropna(subset=["real", "ideal"])["place"].nunique()
    n, lacking = int(whole.sum()), int(pairs[["real", "ideal"]].isna().any(axis=1).sum())
    name, region = f"rank agreement (tau) of the real with the ideal test error {PLACES[at]}", Bounds(min_tau, math.inf)
    note = _notes((total - there, f"of {total} without a value there"), (lacking, f"of {plural(len(pairs), 'pair')}"))
    note = f"{note} without a value there" if lacking else note
    few = f"{plural(there, 'cell')} with a value there, and an interval of a rank agreement needs {RANK_MIN}"
    if there < RANK_MIN:
        return Effect(name, region, there, "cells", reason=few, note=note, total=total)
    if lacking:
        real, ideal = ((ends[f"{world}_low"], ends[f"{world}_high"]) for world in ("real", "ideal"))
        between, interval = agreement.rank_agreement_between(real, ideal, across.confidence)
        return Effect(name, region, n, "cells", between, interval, note=note, total=total)
    found = agreement.rank_agreement(ends["real_low"], ends["ideal_low"], across.confidence)
    if found.interval is None:
        return Effect(name, region, n, "cells", reason=f"one of the errors is the same in all {n} cells", note=note)
    estimate = Bounds(found.estimate, found.estimate)
    return Effect(name, region, n, "cells", estimate, found.interval, note=note, total=total)


@claim_kind("predicts", scope="cells", figure=("test_soft_error", "test_error"), events=("stopping",), pairs=True)
def predicts(
    across: Across,
    *,
    max_error: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    signed: bool = False,
    metric: str | None = None,
) -> Effect:
    """The ideal world's test error at the real world's stopping step predicts the real one's final test error.

    Both are means over a cell's pairs, one prediction per cell. A pair without both values, such as one that never
    stops, bounds the error of its cell; the interval then reaches over all errors in these bounds, and is open where
    they are so in more than twelve cells. Judged is the mean absolute error of the prediction, or with ``signed`` the
    mean of predicted minus final, in which errors on both sides cancel. Interval: t, over cells. Absolute errors are
    skewed: at five cells with normal errors the upper end lies too low in 7.5 % of studies instead of 2.5 %, at 20 in
    4.7 %.
    """
    stopping = across.pairs_at("stopping", metric)[["run_id", "place", "ideal", "metric"]]
    end = across.pairs_at("end", metric)[["run_id", "place", "real"]]
    pairs = stopping.merge(end, on=["run_id", "place"], how="left")
    pairs = pairs.assign(error=finite(pairs["ideal"]) - finite(pairs["real"]))
    ends, total = _cell_means(across, pairs, ["error"], difference=True), len(across.cells)
    there, lacking = pairs.dropna(subset=["error"])["place"].nunique(), int(pairs["error"].isna().sum())
    n = int((ends["error_low"] == ends["error_high"]).sum())
    size = "mean error (predicted minus final)" if signed else "mean absolute error"
    name = f"{size} with which the ideal test error at the stopping step predicts the final real one"
    region = Bounds(-max_error if signed else -math.inf, max_error)
    note = _notes((total - there, f"of {total} without both values"), (lacking, f"of {len(pairs)} pairs"))
    note = f"{note} without both values" if lacking else note
    if there < T_MIN:
        reason = f"{plural(there, 'cell')} with both values, and a t interval needs {T_MIN}"
        return Effect(name, region, there, "cells", reason=reason, note=note, total=total)
    low, high = ends["error_low"].to_numpy(), ends["error_high"].to_numpy()
    if not signed:
        low, high = (
            np.where((low < 0) & (high > 0), 0, np.minimum(abs(low), abs(high))),
            np.maximum(abs(low), abs(high)),
        )
    interval, estimate = interval_between(low, high, across.confidence), Bounds(float(low.mean()), float(high.mean()))
    if interval is None or not np.isfinite(interval).all():
        reason = f"{total - n} of {plural(total, 'cell')} without both values in all pairs" if interval else ""
        reason = reason or no_interval(low, "cells", across.confidence)
        return Effect(name, region, n, "cells", None if interval else estimate, reason=reason, note=note, total=total)
    interval = interval if signed else Bounds(max(interval.low, 0.0), interval.high)
    return Effect(name, region, n, "cells", estimate, interval, note=note, total=total)


def _cell_means(across: Across, pairs: pd.DataFrame, columns: list[str], *, difference: bool = False) -> pd.DataFrame:
    """Bounds of every cell's means, ``…_low`` and ``…_high`` by its place; missing values lie within the metric's."""
    rows = {}
    for place, one in enumerate(across.each):
        cell = pairs[pairs["place"] == place]
        low, high = limits_of(one, cell)
        limits = Bounds(low - high, high - low) if difference else Bounds(low, high)
        means = {column: mean_bounds(finite(cell[column]), limits) or limits for column in columns}
        rows[place] = {f"{column}_{end}": getattr(held, end) for column, held in means.items() for end in held._fields}
    return pd.DataFrame.from_dict(rows, orient="index")


@claim_kind("outcome_profile", min_seeds=_for_share, scope="cells")
def outcome_profile(
    across: Across,
    *,
    classifier: Literal["pair", "liu"],
    outcome: str,
    min_rate: Rate | None = None,
    max_rate: Rate | None = None,
    world: str = "real",
    settings: dict[str, float] | None = None,
) -> Effect:
    """The share of runs that end in one outcome class of a paper is at least, or at most, this.

    The classes and their thresholds, which ``settings`` changes by name, are those of `reports.outcomes`. Runs that
    diverged are in none of them and count; one that failed, is unfinished or was not measured may be in any. Interval:
    exact, over the shares of the seeds, since runs of one seed are not independent; from its lower end where none of
    the runs that are not known ends so, to its upper end where all do.
    """
    _check_outcome(classifier, outcome)
    region = region_of("outcome_profile", "share", min_rate=min_rate, max_rate=max_rate)
    runs = across.runs_of(world).drop_duplicates("run_id")  # cells may share their ideal partners
    found = classify(across.comparison, classifier, settings).set_index("run_id")["outcome"]
    runs = runs.assign(outcome=runs["run_id"].map(found))
    unknown = runs["outcome"].isna() | runs["status"].isin(("failed", "unfinished"))
    hits = (runs["outcome"] == outcome).fillna(False).astype(bool) & ~unknown
    total, n, lost = len(runs), int((~unknown).sum()), across.lost(world)
    name = f"share of runs that end as “{outcome}” ({CLASSIFIERS[classifier].source} classes){_within(world)}"
    if not n:
        return Effect(name, region, 0, "runs", reason="no run measures it", total=total)
    if lost:
        reason = f"{lost} of {plural(total + lost, 'run')} without a row, whose seed is not known"
        return Effect(name, region, n, "runs", reason=reason, total=total + lost)
    least, most = (held.groupby(runs["seed"]).mean() for held in (hits, hits | unknown))
    diverged = int((runs["outcome"] == "diverged").sum())
    note = f"share: {int(hits.sum())} of {total}, in {plural(len(least), 'seed')}"
    rest = _notes((diverged, f"of {total} diverged"), (total - n, f"of {total} not known"))
    note = "; ".join(filter(None, (note, rest)))
    interval = Bounds(share_interval(least, across.confidence).low, share_interval(most, across.confidence).high)
    return Effect(name, region, n, "runs", Bounds(least.mean(), most.mean()), interval, note=note, total=total)


def _ratio_of(
    top: Evidence, bottom: Evidence, world: str, event: str, confidence: float
) -> tuple[PairedRatio, int, int]:
    """Steps of one cell's runs over another's, seed by seed; how many pairs are there, and how many lack a run."""
    sides = []
    for one in (top, bottom):
        runs = one.runs_of(world)
        bounds = event_bounds(runs, event).assign(seed=runs["seed"]).dropna(subset="outcome")
        bounds.loc[bounds["outcome"] == "failed", ["low", "high"]] = [0.0, math.inf]
        sides.append(bounds.set_index("seed"))
    table = pd.concat(sides, axis=1, keys=["top", "bottom"]).reindex(_seeds(top, bottom))
    both = int(table.notna().all(axis=1).sum())
    table = table if both else table.head(0)
    (top_low, top_high), (bottom_low, bottom_high) = (
        (table[side, "low"].fillna(0.0), table[side, "high"].fillna(math.inf)) for side in ("top", "bottom")
    )
    outcomes = pd.concat([table["top", "outcome"], table["bottom", "outcome"]], axis=1)
    found = paired_ratio(top_low, top_high, bottom_low, bottom_high, confidence)
    found = replace(found, censored=int((outcomes == "censored").any(axis=1).sum()))
    return found, both, len(_seeds(top, bottom)) - both


def _seeds(one: Evidence, other: Evidence) -> pd.Index:
    """Seeds that either cell has."""
    return pd.Index(pd.concat([one.runs["seed"], other.runs["seed"]]).unique(), name="seed")


def _unknown(across: Across, runs: pd.DataFrame, event: str) -> pd.Series:
    """Whether what a run comes to is not known."""
    if event == "final_error":
        return runs["run_id"].map(across.comparison.final()).replace([np.inf], np.nan).isna()
    bounds = event_bounds(runs, event)
    return (bounds["outcome"] == "failed") | bounds["outcome"].isna()


def _arms(
    across: Across, of: Mapping[str, Any], to: Mapping[str, Any], world: str
) -> tuple[tuple[Evidence, Evidence] | None, str]:
    """The two cells that a claim sets against each other, or why there are none."""
    one, why = _arm(across, "of", of, world)
    other, why_not = _arm(across, "to", to, world)
    if one is None or other is None:
        return None, why or why_not
    if (one.cell_id, one.world) == (other.cell_id, other.world):
        return None, f"`of` and `to` select the same cell ({one.cell})"
    return (one, other), ""


def _arm(across: Across, key: str, where: Mapping[str, Any], world: str) -> tuple[Evidence | None, str]:
    """The one cell that an arm selects of those compared, or why there is none."""
    runs = pd.concat([one.runs for one in across.each])
    cells, why = select(replace(across.comparison, runs=runs), where, world if world == "ideal" else None)
    if cells.empty:
        return None, why.replace("`where`", f"`{key}`") if "`where`" in why else f"`{key}`: {why}"
    if len(cells) > 1:
        return None, f"`{key}` selects {len(cells)} cells ({'; '.join(cells['cell'])}), and an arm is one"
    ((cell_id, rule, cell),) = cells[["cell_id", "world", "cell"]].itertuples(index=False)
    return Evidence(across.comparison, cell_id, rule, cell, across.confidence), ""


def _places(across: Across, over: str) -> tuple[dict[int, float], str]:
    """Every cell's value of a setting, by the cell's place, or why they cannot be put in order."""
    known = settings_of(across.comparison.runs)
    if over not in known:
        return {}, f"`over` names no setting {over!r}. {suggestion(over, known).removesuffix('.')}"
    places: dict[int, float] = {}
    for place, one in enumerate(across.each):
        held = one.runs[over].iloc[0]
        try:
            value = float(held)
        except (TypeError, ValueError):
            value = math.nan
        if math.isnan(value):
            return {}, f"{over} is {setting(held)} in the cell {one.cell}, and an order needs numbers"
        if value in places.values():
            first = next(other for other, taken in places.items() if taken == value)
            both = f"{across.each[first].cell}; {one.cell}"
            return {}, f"{over} is {setting(held)} in two cells ({both}): hold the other settings fixed in `where`"
        places[place] = value
    return places, ""


def _threshold_of(runs: pd.DataFrame) -> Bounds:
    """Between which pools one seed's runs begin to reach an event; 0 or infinite beyond the pools tried."""
    runs = runs.sort_values("size")
    sizes, reached = np.concatenate([[0.0], runs["size"], [math.inf]]), runs["reached"].to_numpy(dtype=bool)
    first = int(reached.argmax()) if reached.any() else reached.size
    last = int(reached[::-1].argmin()) if not reached.all() else reached.size
    return Bounds(float(sizes[first]), float(sizes[sizes.size - 1 - last]))


def _event_ranks(runs: pd.DataFrame, event: str) -> tuple[pd.Series, str, pd.Series]:
    """Steps that can be ranked, infinite where not reached by the shortest budget of those that did not; who failed."""
    bounds = event_bounds(runs, event)
    censored, failed = bounds["outcome"] == "censored", bounds["outcome"] == "failed"
    budget = bounds.loc[censored, "low"].min() if censored.any() else math.inf
    late = (bounds["outcome"] == "reached") & (bounds["high"] > budget)
    n = int(bounds["outcome"].notna().sum())
    note = _notes(
        (int(censored.sum()), f"of {n} never {REACHED[event]}"),
        (int(late.sum()), f"of {n} later than the shortest budget"),
        (int((bounds["outcome"] == "diverged").sum()), f"of {n} diverged before"),
    )
    return bounds["high"].mask(late, math.inf).mask(failed), note, failed


def _final_errors(across: Across, runs: pd.DataFrame) -> tuple[pd.Series, str, pd.Series]:
    """Every run's test error at its last evaluation, infinite where it diverged; and where it is not known."""
    values = runs["run_id"].map(across.comparison.final())
    note = _notes((int(np.isinf(values).sum()), f"of {int(values.notna().sum())} diverged"))
    return values, note, values.isna()


def _check_outcome(classifier: str, outcome: str) -> None:
    known = CLASSIFIERS[classifier].outcomes
    if outcome not in known:
        hint = suggestion(outcome, list(known))
        raise ValueError(f"claim `outcome_profile`: classifier {classifier!r} has no outcome {outcome!r}. {hint}")


def _within(world: str) -> str:
    return "" if world == "real" else f" in the {world} world"


def _notes(*counts: tuple[int, str]) -> str:
    return "; ".join(f"{number} {words}" for number, words in counts if number)

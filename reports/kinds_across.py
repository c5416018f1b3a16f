"""The kinds of claim that compare cells: ratios, trends, power laws, thresholds, agreement, prediction and outcomes.

Each is judged once over all cells that ``where`` selects. Seeds are the replicates; a run that never reaches its event
is counted, and never given the budget as its step.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
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
from reports.failure_time import paired_ratio
from reports.intervals import T_MIN, Bounds, median_interval, seeds_for_median
from reports.kinds import NOUNS, PLACES, Number, Rate, Ratio, for_mean, mean_effect, region_of
from reports.outcomes import CLASSIFIERS, classify, seeds_for_share, share_interval, thresholds
from reports.selection import select
from reports.timing import event_bounds
from reports.wording import count, percent, plural, setting

Event = Literal["grokking", "memorization"]
Tau = Annotated[float, Field(ge=-1, le=1)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
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
    the event ranks last, one that diverged or failed before it behind that; where neither run of a pair reached it,
    nothing is known of their ratio. Interval: the signed-rank test, inverted, on the conservative bounds of the log
    ratios, which it takes to be spread evenly about their center; the sign test where a run diverged or failed.
    """
    region = region_of("ratio", "ratio", min_ratio=min_ratio, max_ratio=max_ratio)
    arms, why = _arms(across, of, to, world)
    if arms is None:
        return Effect(f"typical ratio of {STEPS[event]}s", region, 0, "pairs", reason=why)
    late, soon = arms
    name = f"typical ratio of the {STEPS[event]} with {late.cell} to that with {soon.cell}{_within(world)}"
    top, bottom = (
        event_bounds(runs, event).assign(seed=runs["seed"]).dropna(subset="outcome")
        for runs in (late.runs_of(world), soon.runs_of(world))
    )
    pairs = top.merge(bottom, on="seed", suffixes=("_of", "_to"))
    found = paired_ratio(pairs["low_of"], pairs["high_of"], pairs["low_to"], pairs["high_to"], across.confidence)
    few = f"{plural(found.n, 'pair')}, and a {percent(across.confidence)} interval of a ratio needs "
    reason = "" if found.interval else few + str(seeds_for_median(across.confidence))
    alone = len(top) + len(bottom) - 2 * found.n
    unpaired = f"{plural(alone, 'run')} without the other of its seed" if alone else ""
    note = _notes(
        (found.censored, f"of {found.n} with a run that never {REACHED[event]}"),
        (found.diverged, f"of {found.n} with a run that diverged or failed before"),
    )
    note = "; ".join(filter(None, (note, unpaired)))
    return Effect(name, region, found.n, "pairs", found.estimate, found.interval, reason, note, cells=2)


@claim_kind("monotone", scope="cells", figure=("steps", "test_error"), unjudgeable=_no_order)
def monotone(
    across: Across,
    *,
    over: str,
    direction: Literal["rises", "falls"],
    event: Literal["grokking", "memorization", "final_error"] = "grokking",
    world: str = "real",
) -> Effect:
    """The step of an event, or the final test error, rises or falls along one setting.

    Runs are ranked by the evaluation at which they reached the event. Those that never did, or later than the
    shortest budget of those, rank last and equal, as do those that diverged or failed. Effect: tau of Jonckheere and
    Terpstra's test of a trend; seeds that the cells share make its interval wide, not wrong. ``over`` is a setting by
    its dotted name, a number, another one in every cell.
    """
    rises = direction == "rises"
    region = Bounds(ABOVE_ZERO, math.inf) if rises else Bounds(-math.inf, -ABOVE_ZERO)
    what = STEPS.get(event, "final test error")
    name, words = f"rank trend (tau) of the {what} along {over}{_within(world)}", f"{'above' if rises else 'below'} 0"
    places, why = _places(across, over)
    runs = across.runs_of(world)
    values, note = _final_errors(across, runs) if event == "final_error" else _event_ranks(runs, event)
    runs = runs.assign(value=values).dropna(subset="value")
    n = len(runs)
    if why or runs["place"].nunique() < 2:
        reason = why or f"{plural(runs['place'].nunique(), 'cell')} with a run that measures it"
        return Effect(name, region, n, "runs", reason=reason, words=words)
    groups = [group["value"].to_numpy() for _, group in runs.groupby(runs["place"].map(places))]
    found = agreement.monotone_trend(groups, across.confidence)
    estimate = None if math.isnan(found.estimate) else Bounds(found.estimate, found.estimate)
    few = f"{plural(n, 'run')}, and an interval of a rank trend needs {RANK_MIN}"
    reason = "" if found.interval else few if estimate else f"the {what} is the same in all {n} runs"
    return Effect(name, region, n, "runs", estimate, found.interval, reason, note, words=words)


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
    evaluation. A mean over a run that diverged or failed is none: then nothing is judged. Interval: paired t.
    """
    region = region_of("final_difference", "mean", min=min, max=max)
    name = f"mean difference of the final {metric.replace('_', ' ')}{_within(world)}"
    arms, why = _arms(across, of, to, world)
    if arms is None:
        return Effect(name, region, 0, "pairs", reason=why)
    one, other = arms
    name = f"{name}, {one.cell} minus {other.cell}"
    final = across.comparison.final(metric)
    top, bottom = (
        arm.runs_of(world).set_index("seed")["run_id"].map(final).dropna().rename(place)
        for place, arm in enumerate(arms)
    )
    pairs = pd.concat([top, bottom], axis=1, join="inner")
    broken, unpaired = int(np.isinf(pairs).any(axis=1).sum()), len(top) + len(bottom) - 2 * len(pairs)
    note = f"{plural(unpaired, 'run')} without the other of its seed" if unpaired else ""
    if broken:
        reason = f"{broken} of {plural(len(pairs), 'pair')} with a run that diverged or failed have no difference"
        return Effect(name, region, len(pairs), "pairs", reason=reason, note=note, cells=2)
    return mean_effect(name, region, pairs[0] - pairs[1], "pairs", across.confidence, note=note, cells=2)


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
    beyond the budget. Of a run that diverged or failed before, nothing is known. Shared seeds and ``over`` as in
    `monotone`, ``over`` positive.
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
    low, high = bounds["low"].where(np.isfinite(bounds["low"]), 0), bounds["high"].clip(lower=1)
    found = agreement.power_law(bounds["place"].map(places), low, high, across.confidence)
    note = _notes(
        (int((bounds["outcome"] == "censored").sum()), f"of {n} never {REACHED[event]}"),
        (int(bounds["outcome"].isin(("diverged", "failed")).sum()), f"of {n} diverged or failed before"),
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
    diverged or failed before count as not reached. Estimate: where isotonic rates pass a half. Interval: the sign test
    on seeds, each known between the largest pool below its first success and the smallest from which all succeed. It
    holds however runs of one seed, whose pools are nested, depend on each other; a curve fitted to runs as if they did
    not covers 77 % instead of 95 % at seven sizes, 53 % at 25.
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
    counts = table.groupby("size")["reached"].agg(["sum", "size"])
    found = agreement.threshold_size(counts.index, counts["sum"], counts["size"], across.confidence)
    ends = np.array([_threshold_of(seed) for _, seed in table.groupby("seed")])
    interval = median_interval(ends[:, 0], ends[:, 1], across.confidence)
    said = f"{int(counts['sum'].sum())} of {n} runs {REACHED[event]}"
    few = f"{plural(seeds, 'seed')}, and a {percent(across.confidence)} interval of a threshold needs "
    reason = "" if interval else f"{few}{seeds_for_median(across.confidence)}"
    if interval == Bounds(0.0, math.inf):
        interval, reason = None, f"{said}, which does not tell the threshold"
    return Effect(name, region, seeds, "seeds", found.estimate, interval, reason, said, whole=True)


@claim_kind("rank_agreement", scope="cells", figure="scatter", pairs=True)
def rank_agreement(across: Across, *, min_tau: Tau, at: When = "end", metric: str | None = None) -> Effect:
    """Configurations that are better in the ideal world are better in the real one: their errors agree in rank.

    Kendall's tau between the cells' mean real and mean ideal test error at the last common step, or at the stopping
    step. The interval speaks of configurations like these; the spread between seeds is in it only as it moves ranks.
    """
    pairs = across.pairs_at(at, metric).dropna(subset=["real", "ideal"])
    means = pairs.groupby("place")[["real", "ideal"]].mean()
    n, total = len(means), len(across.cells)
    name, region = f"rank agreement (tau) of the real with the ideal test error {PLACES[at]}", Bounds(min_tau, math.inf)
    note = _notes((total - n, f"of {total} without a value there"))
    few = f"{plural(n, 'cell')} with a value there, and an interval of a rank agreement needs {RANK_MIN}"
    if n < RANK_MIN:
        return Effect(name, region, n, "cells", reason=few, note=note)
    found, _ = agreement.rank_agreement(means["real"], means["ideal"], across.confidence)
    if found.interval is None:
        return Effect(name, region, n, "cells", reason=f"one of the errors is the same in all {n} cells", note=note)
    estimate = Bounds(found.estimate, found.estimate)
    return Effect(name, region, n, "cells", estimate, found.interval, note=note)


@claim_kind("predicts", scope="cells", figure=("test_soft_error", "test_error"), events=("stopping",), pairs=True)
def predicts(
    across: Across,
    *,
    max_error: Annotated[float, Field(gt=0, allow_inf_nan=False)],
    signed: bool = False,
    metric: str | None = None,
) -> Effect:
    """The ideal world's test error at the real world's stopping step predicts the real one's final test error.

    Both are means over the pairs that have both, one prediction per cell. Judged is the mean absolute error of the
    prediction, or with ``signed`` the mean of predicted minus final, in which errors on both sides cancel. Interval: t,
    over cells. Absolute errors are skewed: at five cells with normal errors the upper end lies too low in 7.5 % of
    studies instead of 2.5 %, at 20 in 4.7 %.
    """
    stopping = across.pairs_at("stopping", metric)[["run_id", "place", "ideal"]]
    end = across.pairs_at("end", metric)[["run_id", "place", "real"]]
    pairs = stopping.merge(end, on=["run_id", "place"]).dropna(subset=["real", "ideal"])
    means = pairs.groupby("place")[["ideal", "real"]].mean()
    n, total = len(means), len(across.cells)
    size = "mean error (predicted minus final)" if signed else "mean absolute error"
    name = f"{size} with which the ideal test error at the stopping step predicts the final real one"
    region = Bounds(-max_error if signed else -math.inf, max_error)
    note = _notes(
        (total - n, f"of {total} without both values"),
        (len(stopping) - len(pairs), f"of {len(stopping)} pairs without both values"),
    )
    if n < T_MIN:
        reason = f"{plural(n, 'cell')} with both values, and a t interval needs {T_MIN}"
        return Effect(name, region, n, "cells", reason=reason, note=note)
    errors = means["ideal"] - means["real"]
    entering = errors if signed else errors.abs()
    found = agreement.prediction_error(entering, np.zeros(n), across.confidence)
    assert found.interval is not None
    interval = found.interval if signed else Bounds(max(found.interval.low, 0.0), found.interval.high)
    return Effect(name, region, n, "cells", Bounds(found.mean, found.mean), interval, note=note)


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
    diverged or failed are in none of them and count. Interval: exact, over the shares of the seeds, since runs of one
    seed are not independent.
    """
    _check_outcome(classifier, outcome)
    region = region_of("outcome_profile", "share", min_rate=min_rate, max_rate=max_rate)
    runs = across.runs_of(world).drop_duplicates("run_id")  # cells may share their ideal partners
    found = classify(across.comparison, classifier, settings).set_index("run_id")["outcome"]
    runs = runs.assign(outcome=runs["run_id"].map(found)).dropna(subset="outcome")
    n, hits = len(runs), runs["outcome"] == outcome
    name = f"share of runs that end as “{outcome}” ({CLASSIFIERS[classifier].source} classes){_within(world)}"
    if not n:
        return Effect(name, region, 0, "runs", reason="no run measures it")
    shares = hits.groupby(runs["seed"]).mean()
    broken = runs["outcome"].isin(("diverged", "failed"))
    note = f"{int(hits.sum())} of {n}, in {plural(len(shares), 'seed')}"
    note = "; ".join(filter(None, (note, _notes((int(broken.sum()), f"of {n} diverged or failed")))))
    interval = share_interval(shares, across.confidence)
    return Effect(name, region, n, "runs", Bounds(shares.mean(), shares.mean()), interval, note=note)


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


def _event_ranks(runs: pd.DataFrame, event: str) -> tuple[pd.Series, str]:
    """Steps that can be ranked: infinite where not reached by the shortest budget of those that did not."""
    bounds = event_bounds(runs, event)
    censored, broken = bounds["outcome"] == "censored", bounds["outcome"].isin(("diverged", "failed"))
    budget = bounds.loc[censored, "low"].min() if censored.any() else math.inf
    late = (bounds["outcome"] == "reached") & (bounds["high"] > budget)
    n = int(bounds["outcome"].notna().sum())
    note = _notes(
        (int(censored.sum()), f"of {n} never {REACHED[event]}"),
        (int(late.sum()), f"of {n} later than the shortest budget"),
        (int(broken.sum()), f"of {n} diverged or failed before"),
    )
    return bounds["high"].mask(late, math.inf), note


def _final_errors(across: Across, runs: pd.DataFrame) -> tuple[pd.Series, str]:
    """Every run's test error at its last evaluation, infinite where it diverged or failed."""
    values = runs["run_id"].map(across.comparison.final())
    return values, _notes((int(np.isinf(values).sum()), f"of {int(values.notna().sum())} diverged or failed"))


def _check_outcome(classifier: str, outcome: str) -> None:
    known = CLASSIFIERS[classifier].outcomes
    if outcome not in known:
        hint = suggestion(outcome, list(known))
        raise ValueError(f"claim `outcome_profile`: classifier {classifier!r} has no outcome {outcome!r}. {hint}")


def _within(world: str) -> str:
    return "" if world == "real" else f" in the {world} world"


def _notes(*counts: tuple[int, str]) -> str:
    return "; ".join(f"{number} {words}" for number, words in counts if number)

"""Kinds of claim that compare two groups of runs: the ratio of their steps, the difference of their final errors."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import KEY
from deepboot.reports.claims.kind import Across, Effect, Evidence, Quantity, claim_kind
from deepboot.reports.claims.kinds.clauses import mean_clause
from deepboot.reports.claims.kinds.shared import (
    FIGURES_OF_EVENT,
    Event,
    FinalMetric,
    JudgedWorld,
    Number,
    Ratio,
    for_mean,
    mean_effect,
    notes_of,
    region_of,
    within,
)
from deepboot.reports.claims.known_pairs import finite
from deepboot.reports.claims.where import select
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import Bounds, seeds_for_median
from deepboot.reports.statistics.ratio import PairedRatio, paired_ratio
from deepboot.reports.text import EVENT_WORDS, metric_words, percent, plural


def _for_ratio(settings: Any, confidence: float) -> int:
    region_of("ratio", "ratio", min_ratio=settings.min_ratio, max_ratio=settings.max_ratio)
    return seeds_for_median(confidence)


def _no_groups(across: Across, given: Mapping[str, Any]) -> str:
    return _two_groups(across, given["of"], given["to"], given["world"])[1]


@claim_kind(
    "ratio",
    min_seeds=_for_ratio,
    scope="cells",
    figure=FIGURES_OF_EVENT,
    unjudgeable=_no_groups,
    quantity=Quantity({"min_ratio": 1.0, "max_ratio": None}, no_effect=1.0),
)
def ratio(
    across: Across,
    *,
    of: dict[str, Any],
    to: dict[str, Any],
    event: Event = "grokking",
    world: JudgedWorld = "real",
    min_ratio: Ratio | None = None,
    max_ratio: Ratio | None = None,
) -> Effect:
    """One group groks (or memorises) at least, or at most, so many times as late as another.

    ``of`` and ``to`` select one cell each, as ``where`` does. Their runs are paired by seed. A run that never reached
    the event ranks last, one that diverged before it behind that; where neither run of a pair reached it, one failed,
    or a seed has no other run, their ratio is unknown. Interval: the signed-rank test, inverted, on the
    conservative bounds of the log ratios, which it takes to be spread evenly about their center; the sign test where a
    run diverged.

    Args:
        of: settings of the one cell that is compared, by dotted name.
        to: settings of the cell that it is compared with.
        min_ratio: smallest ratio of the two steps that is claimed.
        max_ratio: largest ratio that is claimed; give one of the two, or both.
    """
    region = region_of("ratio", "ratio", min_ratio=min_ratio, max_ratio=max_ratio)
    groups, why = _two_groups(across, of, to, world)
    if groups is None:
        return Effect(f"typical ratio of {EVENT_WORDS[event].step}s", region, 0, "pairs", reason=why)
    late, soon = groups
    step = f"{EVENT_WORDS[event].step} with {late.settings_label}"
    name = f"typical ratio of the {step} to that with {soon.settings_label}{within(world)}"
    typical, both, unpaired = ratio_of(late, soon, world, event, across.confidence)
    few = f"{plural(both, 'pair')}, and a {percent(across.confidence)} interval of a ratio needs "
    reason = "" if typical.interval else few + str(seeds_for_median(across.confidence))
    note = notes_of(
        (typical.censored, f"of {typical.n} with a run that {EVENT_WORDS[event].never}"),
        (typical.diverged, f"of {typical.n} with a run that diverged before"),
        (unpaired, _without_other(unpaired)),
    )
    return Effect(
        name, region, both, "pairs", typical.estimate, typical.interval, reason, note, cells=2, total=both + unpaired
    )


def differences_of(one: Evidence, other: Evidence, world: str, metric: str) -> tuple[np.ndarray, Bounds, str]:
    """Final values of one cell minus another's, by seed, NaN where missing; their limits; a note on missing ones."""
    final, comparison = one.comparison.final(metric), one.comparison
    runs = [cell.runs_of(world) for cell in (one, other)]
    values = [table.set_index("seed")["run_id"].map(final).rename(column) for column, table in enumerate(runs)]
    pairs = pd.concat(values, axis=1).reindex(seeds_of(one, other))
    unpaired = len(pairs) - len(set(values[0].index) & set(values[1].index))
    differences = finite(pairs[0]) - finite(pairs[1])
    low, high = comparison.limits(metric, pd.concat(runs))
    ended = set.intersection(*(set(table.loc[table["status"] == "finished", "seed"]) for table in runs))
    unmeasured = int((np.isnan(differences) & pairs.index.isin(ended)).sum())
    of = f"of {plural(len(pairs), 'pair')} with a run that"
    note = notes_of(
        (int(np.isnan(differences).sum()) - unpaired - unmeasured, f"{of} diverged, failed or is unfinished"),
        (unmeasured, f"{of} has no value at its last evaluation"),
        (unpaired, _without_other(unpaired)),
    )
    return differences, Bounds(low - high, high - low), note


@claim_kind(
    "final_difference",
    min_seeds=for_mean("final_difference"),
    scope="cells",
    figure=("test_error", "test_soft_error"),
    unjudgeable=_no_groups,
    clause=mean_clause("pairs"),
    quantity=Quantity({"min": 0.0, "max": None}, no_effect=0.0),
)
def final_difference(
    across: Across,
    *,
    of: dict[str, Any],
    to: dict[str, Any],
    world: JudgedWorld = "real",
    metric: FinalMetric = "test_error",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """The final test error of one group, minus another's, is in the mean within bounds.

    ``of`` and ``to`` select one cell each, as ``where`` does. Their runs are paired by seed, each at its own last
    evaluation. A pair in which a run diverged, failed, is unfinished, has no value there or no other is missing and
    bounds the mean, as in `bootstrap_error`. Interval: `incomplete.mean_interval`, of paired differences.

    Args:
        of: settings of the one cell that is compared, by dotted name.
        to: settings of the cell that it is compared with.
        min: smallest mean difference that is claimed.
        max: largest mean difference that is claimed; give one of the two, or both.
    """
    region = region_of("final_difference", "mean", min=min, max=max)
    name = f"mean difference of the final {metric_words(metric)}{within(world)}"
    groups, why = _two_groups(across, of, to, world)
    if groups is None:
        return Effect(name, region, 0, "pairs", reason=why)
    one, other = groups
    name = f"{name}, {one.cell} minus {other.cell}"
    differences, limits, note = differences_of(one, other, world, metric)
    return mean_effect(name, region, differences, "pairs", across.confidence, limits, note=note, cells=2)


def ratio_of(
    top: Evidence, bottom: Evidence, world: str, event: str, confidence: float
) -> tuple[PairedRatio, int, int]:
    """Ratio of one cell's steps to another's, seed by seed; the number of pairs, and of seeds that lack a run."""
    sides = []
    for one in (top, bottom):
        runs = one.runs_of(world)
        bounds = event_bounds(runs, event).assign(seed=runs["seed"]).dropna(subset="outcome")
        bounds.loc[bounds["outcome"] == "failed", ["low", "high"]] = [0.0, math.inf]
        sides.append(bounds.set_index("seed"))
    table = pd.concat(sides, axis=1, keys=["top", "bottom"]).reindex(seeds_of(top, bottom))
    both = int(table.notna().all(axis=1).sum())
    table = table if both else table.head(0)
    (top_low, top_high), (bottom_low, bottom_high) = (
        (table[side, "low"].fillna(0.0), table[side, "high"].fillna(math.inf)) for side in ("top", "bottom")
    )
    outcomes = pd.concat([table["top", "outcome"], table["bottom", "outcome"]], axis=1)
    typical = paired_ratio(top_low, top_high, bottom_low, bottom_high, confidence)
    typical = replace(typical, censored=int((outcomes == "censored").any(axis=1).sum()))
    return typical, both, len(seeds_of(top, bottom)) - both


def _without_other(runs: int) -> str:
    """The note on runs of seeds that only one of the groups has, without their number."""
    return f"{'run' if runs == 1 else 'runs'} without the other of its seed"


def seeds_of(one: Evidence, other: Evidence) -> pd.Index:
    """Seeds that either cell has."""
    return pd.Index(pd.concat([one.runs["seed"], other.runs["seed"]]).unique(), name="seed")


def _two_groups(
    across: Across, of: Mapping[str, Any], to: Mapping[str, Any], world: str
) -> tuple[tuple[Evidence, Evidence] | None, str]:
    """The two cells that a claim compares, or why there are none."""
    one, why = _group(across, "of", of, world)
    other, why_not = _group(across, "to", to, world)
    if one is None or other is None:
        return None, why or why_not
    if (one.cell_id, one.world) == (other.cell_id, other.world):
        return None, f"`of` and `to` select the same cell ({one.cell})"
    return (one, other), ""


def cells_of_group(across: Across, key: str, where: Mapping[str, Any], world: str) -> tuple[pd.DataFrame, str]:
    """The cells that ``of`` or ``to`` selects (``cell_id, world, cell``), or why there are none."""
    asked = json.dumps([key, where, world], sort_keys=True, default=str)
    if asked not in across.groups:
        across.groups[asked] = _looked_up(across, key, where, world)
    return across.groups[asked]


def _looked_up(across: Across, key: str, where: Mapping[str, Any], world: str) -> tuple[pd.DataFrame, str]:
    cells, why = select(across.comparison, where, world if world == "ideal" else None, within=across.cells)
    if cells.empty:
        return cells, why.replace("`where`", f"`{key}`") if "`where`" in why else f"`{key}`: {why}"
    return cells, ""


def _group(across: Across, key: str, where: Mapping[str, Any], world: str) -> tuple[Evidence | None, str]:
    """The one cell that ``of`` or ``to`` selects, or why there is none."""
    cells, why = cells_of_group(across, key, where, world)
    if why:
        return None, why
    if len(cells) > 1:
        return None, f"`{key}` selects {len(cells)} cells ({'; '.join(cells['cell'])}), and must select one"
    ((cell_id, rule, cell),) = cells[[*KEY, "cell"]].itertuples(index=False)
    return Evidence(across.comparison, cell_id, rule, cell, across.confidence), ""

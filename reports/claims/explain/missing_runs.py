"""Runs that are missing from a verdict, by seed: never reached its event, diverged, failed, or without a partner.

A claim with the setting ``world`` is about the runs of that world; without it, and with an effect in pairs or cells,
about both worlds. `reports.claims.kind.events_of` has its events.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from deepboot.bootstrap.results import among
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import GROUPS, Across, Evidence, events_of
from deepboot.reports.claims.kinds.groups import cells_of_group
from deepboot.reports.comparison import NOT_FINISHED
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import EVENT_WORDS, MOST_NAMES, count, plural


def judged_cells(judgement: Judgement) -> list[Evidence]:
    """The cells that a verdict is about, one by one: of a kind that compares two groups, these two."""
    evidence = judgement.evidence
    if not isinstance(evidence, Across):
        return [evidence] if evidence else []
    world = str(judgement.settings.get("world", "real"))
    conditions = {group: judgement.settings.get(group) for group in GROUPS}
    selected = [
        cell for group, where in conditions.items() if isinstance(where, Mapping)
        for cell in _of_group(evidence, group, where, world)
    ]  # fmt: skip
    return selected or evidence.per_cell


def both_worlds(judgement: Judgement) -> bool:
    """Whether a verdict compares runs with their ideal partners."""
    in_pairs = judgement.effect is not None and judgement.effect.items in ("pairs", "cells")
    return "world" not in judgement.settings and in_pairs


def groups(judgement: Judgement) -> list[tuple[str, pd.DataFrame]]:
    """The runs that a verdict is about, by world and cell, each group with its name; a run is in one group only."""
    named: list[tuple[str, pd.DataFrame]] = []
    taken: set[str] = set()
    claimed, several = str(judgement.settings.get("world", "")), len(judged_cells(judgement)) > 1
    for cell in judged_cells(judgement):
        ideal = both_worlds(judgement) and cell.world != "ideal"
        for world in [cell.world, "ideal"] if ideal else [claimed or cell.world]:
            runs = cell.runs_of(world)
            runs = runs[~among(runs["run_id"], list(taken))]
            taken |= set(runs["run_id"])
            named.append((_group_name(cell, world, several=several), runs))
    return [(name, runs) for name, runs in named if len(runs)]


def missing_runs(judgement: Judgement) -> list[str]:
    """A sentence per group on the seeds that are missing and why, or one that none is; nothing without runs."""
    events = events_of(judgement.claim["kind"], judgement.settings)
    named = groups(judgement)
    reasons = {name: list(_reasons(runs, events)) for name, runs in named}
    sentences = [f"{name}: {'; '.join(several)}." for name, several in reasons.items() if several]
    if both_worlds(judgement):
        sentences += [sentence for cell in judged_cells(judgement) for sentence in _without_partner(cell)]
    if not sentences and named:
        sentences = [_none_missing(pd.concat([runs for _, runs in named]), events)]
    rest = len(sentences) - MOST_NAMES
    more = [f"{plural(rest, 'more sentence')} like these left out; the tables have the counts."] if rest > 0 else []
    return sentences[:MOST_NAMES] + more


def never_reached(judgement: Judgement) -> tuple[int, int, str]:
    """Number of runs censored before the last of the claim's events, number of runs, and the censoring in words."""
    events = events_of(judgement.claim["kind"], judgement.settings)
    runs = pd.concat([runs for _, runs in groups(judgement)] or [pd.DataFrame()])
    if not events or runs.empty:
        return 0, len(runs), ""
    bounds = event_bounds(runs, events[-1]).dropna(subset="outcome")
    censored = bounds.loc[bounds["outcome"] == "censored", "low"]
    return (
        len(censored),
        len(bounds),
        f"{EVENT_WORDS[events[-1]].never} by step {_steps(censored)}" if len(censored) else "",
    )


def seeds_of(runs: pd.DataFrame) -> str:
    """The seeds of runs in words: "seed 3", "seeds 3, 7 and 9".

    >>> seeds_of(pd.DataFrame({"seed": [7, 3, 9]})), seeds_of(pd.DataFrame({"seed": [3]}))
    ('seeds 3, 7 and 9', 'seed 3')
    """
    seeds = [str(seed) for seed in sorted(runs["seed"].dropna().unique())]
    rest = len(seeds) - MOST_NAMES
    seeds = [*seeds[:MOST_NAMES], f"{rest} more"] if rest > 0 else seeds
    listed = " and ".join(filter(None, [", ".join(seeds[:-1]), *seeds[-1:]]))
    return f"seed{'s' if len(seeds) > 1 else ''} {listed}"


def _none_missing(runs: pd.DataFrame, events: tuple[str, ...]) -> str:
    if not events:
        return f"None: all {plural(len(runs), 'run')} finished."
    measured = sum(map(all, zip(*(event_bounds(runs, event)["outcome"].notna() for event in events), strict=True)))
    others = (
        f"; {plural(len(runs) - measured, 'run')} of the other world do not measure it" if measured < len(runs) else ""
    )
    return (
        f"None: all {plural(measured, 'run')} {' and '.join(EVENT_WORDS[event].reached for event in events)}{others}."
    )


def _of_group(across: Across, group: str, where: Mapping[str, Any], world: str) -> list[Evidence]:
    """The cells of a claim that belong to one of its groups."""
    chosen, _ = cells_of_group(across, group, where, world)
    keys = set(zip(chosen["cell_id"], chosen["world"], strict=True))
    return [cell for cell in across.per_cell if (cell.cell_id, cell.world) in keys]


def _group_name(cell: Evidence, world: str, *, several: bool) -> str:
    name = f"{world.capitalize()} world"
    return f"{name} of {cell.settings_label}" if several else name


def _reasons(runs: pd.DataFrame, events: tuple[str, ...]) -> Iterator[str]:
    """Reasons in the order of the events; a run that diverged or failed is named once."""
    broken: set[str] = set()
    for event in events:
        bounds = event_bounds(runs, event)
        under_way = (bounds["outcome"] == "censored") & (runs["status"] == "unfinished").fillna(False).astype(bool)
        never = runs[(bounds["outcome"] == "censored") & ~under_way]
        if len(never):
            yield f"{seeds_of(never)} {EVENT_WORDS[event].never} by step {_steps(bounds.loc[never.index, 'low'])}"
        broken |= set(runs.loc[bounds["outcome"].isin(BROKEN) | under_way, "run_id"])
    lost = runs[among(runs["run_id"], list(broken))] if events else runs
    for status in NOT_FINISHED:
        ended = lost[lost["status"] == status]
        if len(ended):
            before = f", before {EVENT_WORDS[events[-1]].moment}" if events else ""
            yield f"{seeds_of(ended)} {status} at step {_steps(ended['last_step'])}{before}"


def _without_partner(cell: Evidence) -> Iterator[str]:
    pairs = cell.pairs[cell.pairs["ideal_status"].isna()]
    if len(pairs):
        yield f"Without their ideal partner in {cell.cell}: {seeds_of(pairs)}."


def _steps(values: pd.Series) -> str:
    known = values.dropna().astype(float)
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    return count(low) if low == high else f"{count(low)} to {count(high)}"

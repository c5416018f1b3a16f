"""The runs that a verdict has to do without, by seed: never reached its event, diverged, failed, without a partner.

Which runs a claim speaks of is read off its settings: those of its ``world``; without that setting, and with an effect
in pairs or cells, both worlds. Which event: see `reports.claims.kind.events_of`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import GROUPS, Across, Evidence, events_of
from deepboot.reports.claims.where import select
from deepboot.reports.comparison import BROKEN, NOT_FINISHED
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.text import EVENT_WORDS, MOST_NAMES, count, plural


def places(judgement: Judgement) -> list[Evidence]:
    """The cells that a verdict speaks of, each on its own: of a kind with arms, those two."""
    evidence = judgement.evidence
    if not isinstance(evidence, Across):
        return [evidence] if evidence else []
    each = evidence.each
    arms = [judgement.settings[arm] for arm in GROUPS if isinstance(judgement.settings.get(arm), Mapping)]
    chosen = [one for arm in arms for one in _selected(each, arm)]
    return chosen or each


def both_worlds(judgement: Judgement) -> bool:
    """Whether a verdict compares runs with their ideal partners."""
    in_pairs = judgement.effect is not None and judgement.effect.items in ("pairs", "cells")
    return "world" not in judgement.settings and in_pairs


def groups(judgement: Judgement) -> list[tuple[str, pd.DataFrame]]:
    """The runs that a verdict speaks of, in groups with their place in words; a run is in one group only."""
    found: list[tuple[str, pd.DataFrame]] = []
    taken: set[str] = set()
    world, several = str(judgement.settings.get("world", "")), len(places(judgement)) > 1
    for one in places(judgement):
        ideal = both_worlds(judgement) and one.world != "ideal"
        for asked in [one.world, "ideal"] if ideal else [world or one.world]:
            runs = one.runs_of(asked)
            runs = runs[~runs["run_id"].isin(taken)]
            taken |= set(runs["run_id"])
            found.append((_named(one, asked, several=several), runs))
    return [(name, runs) for name, runs in found if len(runs)]


def absent(judgement: Judgement) -> list[str]:
    """A sentence per group, naming the seeds and why, or one that says that there are none; empty without runs."""
    events = events_of(judgement.claim["kind"], judgement.settings)
    every = groups(judgement)
    found = [(name, list(_reasons(runs, events))) for name, runs in every]
    said = [f"{name}: {'; '.join(reasons)}." for name, reasons in found if reasons]
    if both_worlds(judgement):
        said += [sentence for one in places(judgement) for sentence in _alone(one)]
    if not said and every:
        said = [_none(pd.concat([runs for _, runs in every]), events)]
    rest = len(said) - MOST_NAMES
    more = [f"{plural(rest, 'more sentence')} like these left out; the tables have the counts."] if rest > 0 else []
    return said[:MOST_NAMES] + more


def never_reached(judgement: Judgement) -> tuple[int, int, str]:
    """How many of the runs were censored before the last of the claim's events, of how many, and this in words."""
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
    """Seeds in words: "seed 3", "seeds 3, 7 and 9".

    >>> seeds_of(pd.DataFrame({"seed": [7, 3, 9]})), seeds_of(pd.DataFrame({"seed": [3]}))
    ('seeds 3, 7 and 9', 'seed 3')
    """
    seeds = [str(seed) for seed in sorted(runs["seed"].dropna().unique())]
    rest = len(seeds) - MOST_NAMES
    seeds = [*seeds[:MOST_NAMES], f"{rest} more"] if rest > 0 else seeds
    listed = " and ".join(filter(None, [", ".join(seeds[:-1]), *seeds[-1:]]))
    return f"seed{'s' if len(seeds) > 1 else ''} {listed}"


def _none(runs: pd.DataFrame, events: tuple[str, ...]) -> str:
    if not events:
        return f"None: all {plural(len(runs), 'run')} finished."
    measured = sum(map(all, zip(*(event_bounds(runs, event)["outcome"].notna() for event in events), strict=True)))
    others = (
        f"; {plural(len(runs) - measured, 'run')} of the other world do not measure it" if measured < len(runs) else ""
    )
    return (
        f"None: all {plural(measured, 'run')} {' and '.join(EVENT_WORDS[event].reached for event in events)}{others}."
    )


def _selected(each: list[Evidence], where: Mapping[str, Any]) -> list[Evidence]:
    """The cells of a claim that an arm selects."""
    kept = [(one.cell_id, one.world) for one in each]
    comparison = each[0].comparison
    cells, _ = select(comparison, where, None)
    chosen = set(zip(cells["cell_id"], cells["world"], strict=True))
    return [one for one, key in zip(each, kept, strict=True) if key in chosen]


def _named(one: Evidence, world: str, *, several: bool) -> str:
    name = f"{world.capitalize()} world"
    return f"{name} of {one.cell}" if several else name


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
    lost = runs[runs["run_id"].isin(broken)] if events else runs
    for status in NOT_FINISHED:
        found = lost[lost["status"] == status]
        if len(found):
            before = f", before {EVENT_WORDS[events[-1]].moment}" if events else ""
            yield f"{seeds_of(found)} {status} at step {_steps(found['last_step'])}{before}"


def _alone(one: Evidence) -> Iterator[str]:
    without = one.pairs[one.pairs["ideal_status"].isna()]
    if len(without):
        yield f"Without their ideal partner in {one.cell}: {seeds_of(without)}."


def _steps(values: pd.Series) -> str:
    known = values.dropna().astype(float)
    low, high = (known.min(), known.max()) if len(known) else (0.0, 0.0)
    return count(low) if low == high else f"{count(low)} to {count(high)}"

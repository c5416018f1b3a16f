"""What is wrong with a study's claims, told before the first run from the runs that it plans.

A claim whose names and values fit no planned run, or that compares worlds of which one is not trained, would pass all
training and then be judged on nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from deepboot.bootstrap.columns import CLEAN_COLUMN, EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.registry import suggestion
from deepboot.bootstrap.results import Results, typed
from deepboot.reports.cells import KEY, settings_of
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import GROUPS, Across, seeds_needed, traits_of
from deepboot.reports.claims.where import flat, same, select
from deepboot.reports.comparison import PLACES, Comparison, compare
from deepboot.reports.text import listed, setting

METRICS = [name for name in EVALUATION_COLUMNS if name not in PLACES]


def claim_errors(claims: list[dict[str, Any]], runs: pd.DataFrame) -> list[str]:
    """One sentence per mistake: which claim by its number from 0, what was expected, what came, what to do.

    Settings of a kind that are called ``world``, ``metric`` and ``where`` are held against the runs; what else a kind
    needs it says itself (`reports.claims.kind.claim_kind`).

    Args:
        claims: of kinds that are known, with settings that these take.
        runs: all that a study plans, and those of its folder; columns of ``runs`` that are known beforehand.

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    nothing = typed([], EVALUATION_COLUMNS)
    comparison = compare(Results(typed(runs, RUN_COLUMNS), nothing))
    known = set(runs.columns)
    return [
        sentence for number, claim in enumerate(claims)
        for sentence in dict.fromkeys(_errors(claim, f"claims[{number}]", comparison, known))
    ]  # fmt: skip


def _errors(claim: dict[str, Any], place: str, comparison: Comparison, known: set[str]) -> Iterator[str]:
    common, given = parsed(claim)
    values, runs = given.model_dump(), comparison.runs
    try:
        seeds_needed(common.kind, values)
    except ValueError as error:  # a bound is missing, or the bounds are exchanged
        yield f"`{place}`: {error}"
    wrong = list(_wrong_where(common.where, f"{place}.where", runs, known))
    for arm in GROUPS:
        if isinstance(values.get(arm), Mapping):
            wrong += _wrong_where(values[arm], f"{place}.{arm}", runs, known)
    wrong += _wrong_world(values.get("world"), f"{place}.world", runs)
    yield from wrong
    yield from _wrong_metric(common.kind, values, f"{place}.metric", runs)
    if not wrong:
        yield from _unjudgeable(common.kind, common.where, values, place, comparison)


def _wrong_where(where: Mapping[str, Any], place: str, runs: pd.DataFrame, known: set[str]) -> Iterator[str]:
    """Columns that no run has, and values that no run has there."""
    for name, value in flat(where).items():
        if name in RUN_COLUMNS and name not in known:
            yield f"`{place}.{name}`: this is known only after the runs. Select by a setting instead."
            continue
        if name not in known:
            yield f"`{place}.{name}`: no setting of the runs has this name. {suggestion(name, settings_of(runs))}"
            continue
        held = list(dict.fromkeys(runs[name]))
        for one in _parts(value, held):
            if not any(same(each, one) for each in held):
                yield f"`{place}.{name}`: no planned run has {setting(one)}. Known: {_values(held)}."


def _parts(value: Any, held: list[Any]) -> list[Any]:
    """The values that a list asks for, each of which some run must have; a list may also be a run's one value."""
    if not isinstance(value, list):
        return [value]
    return [] if any(setting(each) == setting(value) for each in held) else value


def _values(held: list[Any]) -> str:
    known = list(dict.fromkeys(setting(value) for value in held if setting(value) != "none"))
    return listed(known) or "none"


def _wrong_world(world: Any, place: str, runs: pd.DataFrame) -> Iterator[str]:
    worlds = sorted(runs["world"].dropna().unique())
    if world is not None and world not in worlds:
        cure = "Set training.ideal = true. " if world == "ideal" else ""
        yield f"`{place}`: no run of the world {str(world)!r} is planned. {cure}Known: {', '.join(worlds)}."


def _wrong_metric(kind: str, values: Mapping[str, Any], place: str, runs: pd.DataFrame) -> Iterator[str]:
    metric = values.get("metric")
    if metric is None:
        return
    known = [*METRICS, *([CLEAN_COLUMN] if _noisy(runs) else [])]
    if metric not in known:
        yield f"`{place}`: unknown metric {str(metric)!r}. {suggestion(str(metric), known)}"
    elif metric.startswith("train_") and (traits_of(kind).pairs or values.get("world") == "ideal"):
        tests = [name for name in known if name.startswith("test_")]
        yield f"`{place}`: the ideal world has no pool, and so no {metric}. Choose one of {', '.join(tests)}."


def _noisy(runs: pd.DataFrame) -> bool:
    """Whether some runs are trained on other labels than the true ones."""
    true = {"data.labels": "true", "data.label_noise": 0.0, "data.swapped_answers": 0}
    return any(name in runs and not runs[name].map(lambda held, value=value: same(held, value)).all()
               for name, value in true.items())  # fmt: skip


def _unjudgeable(
    kind: str, where: Mapping[str, Any], values: Mapping[str, Any], place: str, comparison: Comparison
) -> Iterator[str]:
    """Why the cells that a claim selects cannot be judged, whatever the runs do."""
    chosen, why = select(comparison, where, values.get("world"))
    if chosen.empty:
        yield f"`{place}.where`: {why}. Change one of these."
        return
    runs, traits = comparison.runs, traits_of(kind)
    own = runs.merge(chosen[KEY], on=KEY)
    partners = own["ideal_run_id"].isin(runs["run_id"]) | ((own["world"] == "ideal") & (values.get("world") == "ideal"))
    if (traits.pairs or values.get("world") == "ideal") and not partners.any():
        yield (
            f"`{place}`: the kind {kind} looks at the ideal world, which no cell that it selects has. "
            "Set training.ideal = true, or change `where`."
        )
    if traits.scope == "cells" and len(chosen) == 1:
        yield f"`{place}.where`: it selects one cell ({chosen['cell'].iloc[0]}), and this kind compares two or more."
    elif traits.scope == "cells" and traits.unjudgeable is not None:
        cells = chosen[KEY].merge(comparison.cells(), on=KEY)
        why = traits.unjudgeable(Across(comparison, cells, 0.95), values)
        if why:
            yield f"`{place}`: {why}. Change the claim, or the study."

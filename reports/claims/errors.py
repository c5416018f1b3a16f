"""Errors in a study's claims that show before the first run, in the runs that it plans.

A claim whose names and values fit no planned run, or that compares worlds without training both, would only fail after
all training, judged on nothing.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from deepboot.bootstrap.columns import CLEAN_COLUMN, EVALUATION_COLUMNS, RUN_COLUMNS, probe_of
from deepboot.bootstrap.results import Results, among, typed
from deepboot.bootstrap.wording import suggestion
from deepboot.reports.cells import KEY, settings_of
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import GROUPS, Across, seeds_needed, traits_of
from deepboot.reports.claims.where import flat, same, same_list, select
from deepboot.reports.comparison import NOT_METRICS, Comparison, compare
from deepboot.reports.text import PROBE_PREFIX, listed, setting

ProbeValues = Mapping[str, Collection[str]]

NO_PROBES: ProbeValues = {}
METRICS = [name for name in EVALUATION_COLUMNS if name not in NOT_METRICS]


@dataclass(frozen=True)
class PlannedRuns:
    """Runs before their time, as claims and published numbers are compared with them.

    Attributes:
        comparison: of the runs, without any evaluation.
        known: the columns of ``runs`` that are known beforehand.
        probes: names of the values of each of the study's probes, which are metrics too.
    """

    comparison: Comparison
    known: frozenset[str]
    probes: ProbeValues

    @classmethod
    def of(cls, runs: pd.DataFrame, probes: ProbeValues = NO_PROBES) -> "PlannedRuns":
        """Runs that a study plans, or that are already in its folder.

        Args:
            runs: the columns of ``runs`` that are known beforehand.
            probes: as of the class; none where they are not known.
        """
        comparison = compare(Results(typed(runs, RUN_COLUMNS), typed([], EVALUATION_COLUMNS)))
        return cls(comparison, frozenset(runs.columns), probes)


def claim_errors(claims: list[dict[str, Any]], planned: PlannedRuns) -> list[str]:
    """One sentence per error: the claim by its number from 0, what was expected, what came, and the cure.

    Settings called ``world``, ``metric``, ``where``, ``of`` and ``to`` are compared with the runs; a kind declares any
    other condition itself (`reports.claims.kind.claim_kind`).

    Args:
        claims: of kinds that are known, with settings that these take.
        planned: the runs that they will be judged on.

    Raises:
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    return errors_by_key({f"claims[{number}]": claim for number, claim in enumerate(claims)}, planned)


def errors_by_key(claims: Mapping[str, dict[str, Any]], planned: PlannedRuns) -> list[str]:
    """As `claim_errors`, of claims by the keys by which the sentences name them."""
    return [sentence for key, claim in claims.items() for sentence in dict.fromkeys(_errors(claim, key, planned))]


def _errors(claim: dict[str, Any], path: str, planned: PlannedRuns) -> Iterator[str]:
    common, given = parsed(claim)
    values, runs, known = given.model_dump(), planned.comparison.runs, planned.known
    try:
        seeds_needed(common.kind, values)
    except ValueError as error:  # a bound is missing, or the bounds are exchanged
        yield f"`{path}`: {error}"
    selection = list(_where_errors(common.where, f"{path}.where", runs, known))
    for group in GROUPS:
        if isinstance(values.get(group), Mapping):
            selection += _where_errors(values[group], f"{path}.{group}", runs, known)
    selection += _world_errors(values.get("world"), f"{path}.world", runs)
    yield from selection
    yield from _metric_errors(common.kind, values, f"{path}.metric", runs, planned.probes)
    if not selection:
        yield from _unjudgeable(common.kind, common.where, values, path, planned.comparison)


def _where_errors(where: Mapping[str, Any], path: str, runs: pd.DataFrame, known: frozenset[str]) -> Iterator[str]:
    """Names that are no setting of the runs, and values that no run has."""
    for name, value in flat(where).items():
        if name in RUN_COLUMNS and name not in known:
            yield f"`{path}.{name}`: this is known only after the runs. Select by a setting instead."
            continue
        if name not in known:
            yield f"`{path}.{name}`: no setting of the runs has this name. {suggestion(name, settings_of(runs))}"
            continue
        planned = list(dict.fromkeys(runs[name]))
        for wanted in _wanted(value, planned):
            if not any(same(held, wanted) for held in planned):
                yield f"`{path}.{name}`: no planned run has {setting(wanted)}. Known: {_values(planned)}."


def _wanted(value: Any, planned: list[Any]) -> list[Any]:
    """The values that some run must have: each of a list, unless the list itself is a run's value."""
    if not isinstance(value, list):
        return [value]
    return [] if any(same_list(held, value) for held in planned) else value


def _values(planned: list[Any]) -> str:
    known = list(dict.fromkeys(setting(value) for value in planned if setting(value) != "none"))
    return listed(known) or "none"


def _world_errors(world: Any, path: str, runs: pd.DataFrame) -> Iterator[str]:
    worlds = sorted(runs["world"].dropna().unique())
    if world is not None and world not in worlds:
        cure = "Set training.ideal = true. " if world == "ideal" else ""
        yield f"`{path}`: no run of the world {str(world)!r} is planned. {cure}Known: {', '.join(worlds)}."


def _metric_errors(
    kind: str, values: Mapping[str, Any], path: str, runs: pd.DataFrame, probes: ProbeValues
) -> Iterator[str]:
    metric = values.get("metric")
    if metric is None:
        return
    of_probes = [PROBE_PREFIX + name for probe, parts in probes.items() for name in (parts or [probe])]
    known = [*METRICS, *([CLEAN_COLUMN] if _noisy(runs) else []), *sorted(of_probes)]
    if str(metric).startswith(PROBE_PREFIX):
        value = str(metric).removeprefix(PROBE_PREFIX)
        parts = probes.get(probe_of(value))
        if parts is None:
            yield f"`{path}`: the study has no such probe. {suggestion(str(metric), known)}"
        elif parts and value not in parts:
            yield f"`{path}`: the probe has no value {str(metric)!r}. {suggestion(str(metric), sorted(of_probes))}"
    elif metric not in known:
        yield f"`{path}`: unknown metric {str(metric)!r}. {suggestion(str(metric), known)}"
    elif metric.startswith("train_") and (traits_of(kind).pairs or values.get("world") == "ideal"):
        tests = [name for name in known if name.startswith("test_")]
        yield f"`{path}`: the ideal world has no pool, and so no {metric}. Choose one of {', '.join(tests)}."


def _noisy(runs: pd.DataFrame) -> bool:
    """Whether some runs train on labels that differ from the true ones."""
    true = {"data.labels": "true", "data.label_noise": 0.0, "data.swapped_answers": 0}
    return any(name in runs and not runs[name].map(lambda held, value=value: same(held, value)).all()
               for name, value in true.items())  # fmt: skip


def _unjudgeable(
    kind: str, where: Mapping[str, Any], values: Mapping[str, Any], path: str, comparison: Comparison
) -> Iterator[str]:
    """Why the cells that a claim selects cannot be judged, whatever the runs do."""
    chosen, why = select(comparison, where, values.get("world"))
    if chosen.empty:
        yield f"`{path}.where`: {why}. Change one of these."
        return
    runs, traits = comparison.runs, traits_of(kind)
    selected = runs[[*KEY, "ideal_run_id"]].merge(chosen[KEY], on=KEY)
    of_ideal = values.get("world") == "ideal"
    ideal = among(selected["ideal_run_id"], runs["run_id"]) | ((selected["world"] == "ideal") & of_ideal)
    if (traits.pairs or of_ideal) and not ideal.any():
        yield (
            f"`{path}`: the kind {kind} looks at the ideal world, which no cell that it selects has. "
            "Set training.ideal = true, or change `where`."
        )
    if traits.scope == "cells" and len(chosen) < traits.fewest_cells:
        yield f"`{path}.where`: it selects one cell ({chosen['cell'].iloc[0]}), and this kind compares two or more."
    elif traits.unjudgeable is not None:
        cells = chosen[KEY].merge(comparison.cells(), on=KEY)
        why = traits.unjudgeable(Across(comparison, cells, 0.95), values)
        if why:
            yield f"`{path}`: {why}. Change the claim, or the study."

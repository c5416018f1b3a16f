"""The claims that an output folder registered before its first run, and the changes since.

``claims.json`` holds the claims and everything that their verdicts depend on: the cells with the settings that may
change in a folder, the seeds, the pools and the sweep, and the code of the users' own kinds of claim.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepboot.bootstrap.registry import find
from deepboot.bootstrap.results import Results
from deepboot.reports.cells import CELL, KEY
from deepboot.reports.claims.where import same
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.text import listed, plural, setting

PLANNED = (("training", "train_size"), ("training", "train_fraction"), ("training", "seeds"), ("sweep",), ("settings",))
SHARD_KEYS = ("registered_at", "sha256")  # these differ between shards of one study


class StudyClaim(NamedTuple):
    """A claim of a folder: whether it was registered before the first run, and whether it is withdrawn since."""

    claim: dict[str, Any]
    registered: bool
    withdrawn: bool


@dataclass(frozen=True)
class Registration:
    """The registration of one folder.

    Attributes:
        claims: in the study's order then.
        seeds: of the study; None where an older version did not record them. So are ``cells`` and ``plan``.
        cells: by ``cell_id``, the settings that may be changed later, by column of ``runs``.
        plan: pools, seeds and sweep, as the study had them.
        kinds: hash of the code of the users' own kinds of claim, by kind.
        problem: why the registration cannot be relied on; empty if it can.
    """

    claims: list[dict[str, Any]]
    seeds: list[int] | None
    cells: dict[str, dict[str, Any]] | None
    plan: dict[str, Any] | None
    kinds: dict[str, Any]
    problem: str

    @classmethod
    def of(cls, source: Results) -> "Registration":
        """The registration of a folder; damaged entries count as not recorded."""
        held = source.claims
        claims, seeds = held.get("registered"), held.get("seeds")
        cells, plan, kinds = (
            value if isinstance(value, dict) else None for value in map(held.get, ("cells", "plan", "kinds"))
        )
        return cls(
            [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else [],
            seeds if isinstance(seeds, list) else None,
            None if cells is None else {cell: was for cell, was in cells.items() if isinstance(was, dict)},
            plan,
            kinds or {},
            _problem(source),
        )

    def claims_of(self, study: Mapping[str, Any]) -> list[StudyClaim]:
        """The registered claims, in their order, then the claims that a study has added since."""
        now = study.get("claims") or []
        old = [StudyClaim(claim, registered=True, withdrawn=claim not in now) for claim in self.claims]
        return old + [StudyClaim(claim, registered=False, withdrawn=False) for claim in now if claim not in self.claims]

    def changes(
        self, claim: StudyClaim, study: Mapping[str, Any], rows: np.ndarray, all_runs: pd.DataFrame
    ) -> Iterator[str]:
        """Differences from the registration, one clause each.

        Args:
            claim: of this folder.
            study: as it is now.
            rows: labels of the runs in the cells that the claim is judged on, and of their ideal partners.
            all_runs: of the folder.
        """
        if self.problem:
            yield self.problem
        if not claim.registered:
            yield "the claim was not registered before the first run"
            return
        settings = {name for cell in (self.cells or {}).values() for name in cell}
        runs = all_runs.loc[rows, [*CELL, "seed", *(name for name in all_runs if name in settings - {*CELL, "seed"})]]
        yield from _changed_settings(self.cells or {}, runs)
        yield from self._added(runs)
        if self.plan is not None and self.plan != plan_of(study):
            yield from self._missing(claim.claim, runs, all_runs)
        kind = str(claim.claim.get("kind"))
        if kind in self.kinds and self.kinds[kind] != kind_source(kind):
            yield f"the code of the kind {kind} was another when the claim was registered"

    def _added(self, runs: pd.DataFrame) -> Iterator[str]:
        seeds = sorted(set(runs["seed"].dropna()) - set(self.seeds)) if self.seeds is not None else []
        if seeds:
            yield f"{plural(len(seeds), 'seed')} {_were(seeds)} added ({listed(map(str, seeds))})"
        new = runs[~runs["cell_id"].isin(self.cells)] if self.cells is not None else runs.head(0)
        names = new.drop_duplicates(KEY)["cell"].tolist()
        if names:
            yield f"{plural(len(names), 'cell')} {_were(names)} added ({listed(names, '; ')})"

    def _missing(self, claim: Mapping[str, Any], runs: pd.DataFrame, all_runs: pd.DataFrame) -> Iterator[str]:
        """Registered seeds and cells without a run, where the study plans others now: they may never have one.

        Only the id of such a cell is known, so for a claim with ``where`` it is unknown whether it selects the cell.
        """
        seeds = set(self.seeds or ()) - set(runs["seed"].dropna())
        cells = set() if claim.get("where") else set(self.cells or ()) - set(all_runs["cell_id"])
        for word, without in (("seed", seeds), ("cell", cells)):
            if without:
                yield f"{plural(len(without), f'registered {word}')} {_were(list(without))} taken out before any run"


def studies(comparison: Comparison) -> dict[str, Comparison]:
    """One comparison for each study, by its folder; by an empty name if there is one only.

    Folders that are shards of one study make one comparison: they have one study and, but for its time, registration.
    """
    groups: dict[str, list[Results]] = {}
    for source in comparison.sources:
        registered = {name: value for name, value in source.claims.items() if name not in SHARD_KEYS}
        groups.setdefault(json.dumps([source.study, registered], sort_keys=True, default=str), []).append(source)
    if len(groups) == 1:
        return {"": comparison}
    comparisons: dict[str, Comparison] = {}
    for group in groups.values():
        name = ", ".join(dict.fromkeys(str(source.folder or "results in memory") for source in group))
        comparisons[f"{name} ({len(comparisons) + 1})" if name in comparisons else name] = compare(group)
    return comparisons


def digest(registered: Mapping[str, Any]) -> str:
    """The hash of a registration, 64 hexadecimal digits."""
    text = json.dumps({name: value for name, value in registered.items() if name != "sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def plan_of(study: Mapping[str, Any]) -> dict[str, Any]:
    """The pools, seeds and sweep of a resolved study, by dotted name."""
    plan: dict[str, Any] = {}
    for names in PLANNED:
        value: Any = study
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value:
            plan[".".join(names)] = value
    return plan


def kind_source(kind: str) -> str | None:
    """The hash of the plugin that defines a kind of claim; None for shipped and for unknown kinds."""
    try:
        return find("claim", kind).source
    except ValueError:
        return None


def _problem(source: Results) -> str:
    held = source.claims
    if "problem" in held:
        return str(held["problem"]).rstrip(".")
    if not held:
        return "claims.json is missing or cannot be read" if source.folder is not None else ""
    if "sha256" not in held and source.folder is None:
        return ""  # results made in memory
    older = hashlib.sha256(json.dumps(held.get("registered"), sort_keys=True).encode()).hexdigest()
    expected = digest(held) if "cells" in held else older  # the first versions registered nothing but claims and seeds
    return "" if held.get("sha256") == expected else "claims.json was edited after registration"


def _changed_settings(cells: Mapping[str, Mapping[str, Any]], runs: pd.DataFrame) -> Iterator[str]:
    names = dict.fromkeys(name for cell in runs["cell_id"].unique() for name in cells.get(cell, ()))
    for name in names:
        if name in runs:
            pairs = [
                (cells[cell][name], now)
                for cell, now in runs[["cell_id", name]].drop_duplicates().itertuples(index=False)
                if name in cells.get(cell, ()) and not same(now, cells[cell][name])
            ]
            if pairs:
                was, now = ({_all_digits(value): None for value in values} for values in zip(*pairs, strict=True))
                yield f"{name} was {listed(was)} when the claim was registered, now {listed(now)}"


def _all_digits(value: Any) -> str:
    """A value as `setting` writes it, or with all its digits where that would round it."""
    return str(value) if isinstance(value, float) and float(f"{value:g}") != value else setting(value)


def _were(items: list[Any]) -> str:
    return "was" if len(items) == 1 else "were"

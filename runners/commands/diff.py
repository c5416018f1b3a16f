"""``deepboot diff``: how two studies differ, given as output folders, study files or names, and what came of each."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepboot.bootstrap import results
from deepboot.bootstrap.results import Results
from deepboot.bootstrap.study.defaults import flat
from deepboot.bootstrap.study.difference import Difference, StudyDifference, difference, unequal
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.reports.comparison import compare
from deepboot.reports.measures.side_by_side import MatchedCells, Outcome, matched_cells
from deepboot.reports.replication.published import entry_of, published_text
from deepboot.reports.tables import side_by_side, terminal
from deepboot.reports.tables.side_by_side import NAMES, JudgedClaim
from deepboot.reports.tables.table import Table
from deepboot.reports.text import count, setting
from deepboot.runners import builtins, study_files
from deepboot.runners.run.execution_plan import read_plan

OF_THE_COMMAND = ("command", "finished_at", "seconds")  # in the environment of a folder, and no two have the same


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: as it was given.
        study: with all its defaults.
        run_ids: that it plans or holds; None where a study file alone does not tell.
        unknown: why it does not; else empty.
        results: of an output folder; None of a study file.
    """

    name: str
    study: dict[str, Any]
    run_ids: frozenset[str] | None
    unknown: str = ""
    results: Results | None = None


@dataclass(frozen=True)
class Diff:
    """How two sides differ.

    Attributes:
        study: settings, sweeps, claims and published numbers.
        environment: versions, machine and plan of execution; empty unless both sides are folders, as are the others.
        tables: of results and verdicts.
        matched: the cells that compare.
        judged: the claims of both.
    """

    sides: tuple[Side, Side]
    study: StudyDifference
    environment: list[Difference]
    tables: list[Table]
    matched: list[MatchedCells]
    judged: list[JudgedClaim]


def side(given: str) -> Side:
    """One side of a difference.

    Raises:
        StudyError: no such study, or one with mistakes.
        ValueError: a folder without results, or with damaged ones.
    """
    builtins.load()
    if Path(given).is_dir():
        held = results.read(given)
        return Side(given, held.study, frozenset((*held.runs["run_id"], *held.planned)), results=held)
    raw = study_files.load(given)
    study = study_files.resolved(raw)
    try:
        return Side(given, study, frozenset(run.run_id for run in runs_of(raw)))
    except StudyError as error:  # it needs data or weights that are not here
        return Side(given, study, None, error.problems[0])


def diff(first: Side, second: Side) -> Diff:
    """How two sides differ, with what came of them where both are folders.

    Raises:
        ValueError: a folder's claim is of a kind that is not known.
    """
    study = difference(first.study, second.study)
    if first.results is None or second.results is None:
        return Diff((first, second), study, [], [], [], [])
    one, other = compare(first.results), compare(second.results)
    matched, judged = matched_cells(one, other), side_by_side.judged_claims(one, other)
    tables = [side_by_side.results(one, other, matched), side_by_side.verdicts(judged)]
    environments = unequal(_environment(first.results), _environment(second.results))
    return Diff((first, second), study, environments, tables, matched, judged)


def lines(found: Diff) -> Iterator[str]:
    """Lines for a terminal of 100 columns; what does not differ is one sentence."""
    for name, one in zip(NAMES, found.sides, strict=True):
        yield from _wrapped(f"{name}  {one.name}: {one.study.get('question', '')}", "   ")
    yield ""
    sections = {
        "settings": _differences("Settings", "setting", found.study.settings),
        "sweeps": _differences("Sweeps", "setting", found.study.sweep),
        "claims": _only("Claims", [[_claim(claim) for claim in claims] for claims in found.study.claims]),
        "published numbers": _only("Published", [[_published(raw) for raw in held] for held in found.study.published]),
    }
    if found.tables:
        sections["environments"] = _differences("Environments", "what", found.environment)
    yield from _sections(sections)
    yield from _wrapped(_runs(*found.sides), "  ")
    for table in found.tables:
        yield from ["", f"{table.title}:", *terminal.lines(table)] if table.rows else []
        yield from _wrapped(table.note, "")


def as_dict(found: Diff) -> dict[str, Any]:
    """For JSON: values that no JSON has, as of a run that diverged, are null."""
    one, other = found.sides
    known = one.run_ids is not None and other.run_ids is not None
    runs = {name.replace(" ", "_").lower(): sorted(ids) for name, ids in _shared(one, other).items()} if known else None
    return {
        "a": one.name,
        "b": other.name,
        "settings": [_as_dict(one) for one in found.study.settings],
        "sweep": [_as_dict(one) for one in found.study.sweep],
        "claims": dict(zip(("only_in_a", "only_in_b"), found.study.claims, strict=True)),
        "published": dict(zip(("only_in_a", "only_in_b"), found.study.published, strict=True)),
        "runs": runs,
        "environment": [_as_dict(one) for one in found.environment],
        "cells": [_cells(one) for one in found.matched],
        "verdicts": [
            {"claim": claim, "a": [one.as_dict() for one in ours], "b": [one.as_dict() for one in theirs]}
            for claim, (ours, theirs) in found.judged
        ],
    }


def _environment(held: Results) -> dict[str, Any]:
    """Versions and machine by name, and how the runs were carried out."""
    told = {name: value for name, value in flat(held.environment).items() if name not in OF_THE_COMMAND}
    plan = read_plan(held.folder) if held.folder is not None else None
    return told if plan is None else told | {"execution": plan.summary}


def _sections(sections: dict[str, list[str]]) -> Iterator[str]:
    """The sections that say something, after a sentence that names the others."""
    equal = [name for name, said in sections.items() if not said]
    if equal:
        yield f"The {' and '.join(filter(None, (', '.join(equal[:-1]), equal[-1])))} are equal."
    for said in sections.values():
        yield from ["", *said] if said else []
    yield ""


def _differences(title: str, what: str, found: Sequence[Difference]) -> list[str]:
    rows: list[tuple[str, ...]] = [(one.name, *_texts(one)) for one in found]
    return [f"{title} that differ:", *terminal.lines(Table(title, (what, *NAMES), rows))] if rows else []


def _texts(one: Difference) -> tuple[str, str]:
    """Both values as a reader would write them, or with all digits where they would look the same."""
    values = (one.first, one.second)
    first, second = ("–" if value is None else setting(value) for value in values)
    return (first, second) if first != second else (str(one.first), str(one.second))


def _only(title: str, texts: Sequence[Sequence[str]]) -> list[str]:
    return [
        line for name, own in zip(NAMES, texts, strict=True) if own
        for line in (f"{title} only in {name}:", *(part for text in own for part in _wrapped(f"  {text}", "    ")))
    ]  # fmt: skip


def _claim(claim: dict[str, Any]) -> str:
    """A claim with all that it says: kind, settings and text."""
    given = {name: value for name, value in claim.items() if name not in ("kind", "text")}
    settings = ", ".join(f"{name} {setting(value)}" for name, value in flat(given).items())
    return f"{claim.get('kind')}{f' ({settings})' if settings else ''}{': ' * ('text' in claim)}{claim.get('text', '')}"


def _published(raw: dict[str, Any]) -> str:
    entry = entry_of(raw)
    return f"{entry.quantity} {published_text(entry)} ({entry.source})"


def _runs(first: Side, second: Side) -> str:
    """How many runs the two share, and have alone."""
    for name, one in zip(NAMES, (first, second), strict=True):
        if one.run_ids is None:
            return f"Runs: those of {name} are not known. {one.unknown}"
    counts = {name: count(len(run_ids)) for name, run_ids in _shared(first, second).items()}
    return f"Runs: {', '.join(f'{number} {name}' for name, number in counts.items())}."


def _shared(first: Side, second: Side) -> dict[str, frozenset[str]]:
    one, other = first.run_ids, second.run_ids
    assert one is not None
    assert other is not None
    return {"in both": one & other, "only in A": one - other, "only in B": other - one}


def _as_dict(one: Difference) -> dict[str, Any]:
    return {"name": one.name, "a": one.first, "b": one.second}


def _cells(matched: MatchedCells) -> dict[str, Any]:
    sides = zip(("a", "b"), matched.worlds, matched.outcomes, strict=True)
    return {"cell": matched.label, **{name: {"world": world, **_outcome(outcome)} for name, world, outcome in sides}}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    kept = ("median_low", "median_high", "reached", "n")
    events = {
        name: None if row is None else {key: _finite(row[key]) for key in kept} for name, row in outcome.events.items()
    }
    return {"test_error": _finite(outcome.test_error), "ended": outcome.ended, "runs": outcome.runs, **events}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, terminal.WIDTH, subsequent_indent=indent, break_on_hyphens=False)

"""The same cells in two folders: which compare, and what came of each in numbers.

Cells compare where every setting that varies inside one of the two folders has the same value in both. Settings that
vary in neither may differ: that is what the two folders are compared for.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from deepboot.reports.cells import KEY, labels_of, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.events import step_table
from deepboot.reports.text import setting

EVENTS = ("memorization", "grokking")


@dataclass(frozen=True)
class Outcome:
    """What came of one cell.

    Attributes:
        test_error: the median of the runs at their end; infinite where that run diverged, NaN where none has one.
        ended, runs: the runs with a test error at their end, and all of them.
        events: by event, a row of `step_table`; None where it is not measured.
    """

    test_error: float
    ended: int
    runs: int
    events: dict[str, dict[Any, Any] | None]


@dataclass(frozen=True)
class MatchedCells:
    """Two cells that compare, one of each folder.

    Attributes:
        label: by the settings that vary in one of the folders.
        worlds, outcomes: of the first folder's cell and of the second's.
    """

    label: str
    worlds: tuple[str, str]
    outcomes: tuple[Outcome, Outcome]


def matched_cells(first: Comparison, second: Comparison) -> list[MatchedCells]:
    """The cells of two folders that compare, those of the ideal world last.

    A cell has no partner where another cell of its own folder has the same settings.
    """
    found, others = _outcomes(first), _outcomes(second)
    return [
        MatchedCells(label, (one[1], other[1]), (found[one], others[other]))
        for ideal in (False, True)
        for label, one, other in _matched(_first_runs(first, ideal=ideal), _first_runs(second, ideal=ideal), ideal)
    ]


def _outcomes(comparison: Comparison) -> dict[Any, Outcome]:
    """The outcome of every cell, by cell_id and world."""
    rows: dict[Any, Any] = {
        (row["cell_id"], row["world"], row["event"]): row for row in step_table(comparison).to_dict("records")
    }
    final = comparison.runs[KEY].assign(value=comparison.runs["run_id"].map(comparison.final()))
    return {
        (cell_id, world): _outcome(runs["value"], {event: rows.get((cell_id, world, event)) for event in EVENTS})
        for (cell_id, world), runs in final.groupby(KEY, sort=False)
    }


def _outcome(final: pd.Series, events: dict[str, dict[Any, Any] | None]) -> Outcome:
    known = final.dropna()
    return Outcome(float(known.median()) if len(known) else math.nan, len(known), len(final), events)


def _matched(cells: pd.DataFrame, others: pd.DataFrame, ideal: bool) -> list[tuple[str, Any, Any]]:
    """Label and keys of the cells that compare."""
    names = list(dict.fromkeys((*varied(cells), *varied(others))))
    labels = labels_of(cells.reindex(columns=["world", *names]), names, "ideal" if ideal else None)
    found, partners = _by_values(cells, names), _by_values(others, names)
    return [
        (labels[found[values]], _key(cells, found[values]), _key(others, partners[values]))
        for values in found if values in partners
    ]  # fmt: skip


def _first_runs(comparison: Comparison, *, ideal: bool) -> pd.DataFrame:
    """One run of every cell of the ideal world, or of the others."""
    first = comparison.runs.groupby(KEY, sort=False, dropna=False).head(1)
    return first[(first["world"] == "ideal").fillna(False).astype(bool) == ideal].reset_index(drop=True)


def _by_values(cells: pd.DataFrame, names: list[str]) -> dict[tuple[str, ...], int]:
    """The index of every cell by its values of these settings, of those that no other cell has."""
    values = [tuple(setting(row.get(name)) for name in names) for row in cells.to_dict("records")]
    counts = Counter(values)
    return {one: index for index, one in enumerate(values) if counts[one] == 1}


def _key(cells: pd.DataFrame, index: int) -> tuple[Any, ...]:
    return tuple(cells.loc[index, KEY])

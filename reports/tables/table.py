"""A table of a report: text in rows and columns, as page and Markdown print it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepboot.reports.statistics.intervals import Bounds


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what it shows.
        columns: headings; those in ``numbers`` hold numbers and are set flush right.
        rows: as many cells as headings.
        note: how to read it.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: frozenset[str] = frozenset()
    note: str = ""

    @property
    def filled(self) -> "Table":
        """The same without columns that are empty in every row."""
        kept = [place for place in range(len(self.columns)) if any(row[place] for row in self.rows)]
        rows = [tuple(row[place] for place in kept) for row in self.rows]
        return Table(self.title, tuple(self.columns[place] for place in kept), rows, self.numbers, self.note)


def bounds_of(row: Mapping[Any, Any], prefix: str = "") -> Bounds | None:
    """The interval in a row's columns ``low`` and ``high``; None where it has none."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return None if math.isnan(low) else Bounds(low, high)


def notes_of(*parts: str) -> str:
    """What there is to say in a row's note."""
    return "; ".join(filter(None, parts))

"""A table of a report: text in rows and columns, for the page and for Markdown."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepboot.reports.statistics.intervals import Bounds


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: of the table.
        columns: headings.
        rows: as many cells as headings.
        numbers: headings of the columns that are set flush right.
        note: how to read the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    numbers: frozenset[str] = frozenset()
    note: str = ""

    @property
    def filled(self) -> "Table":
        """The table without columns that are empty, or hold nothing but dashes, in every row."""
        kept = [index for index in range(len(self.columns)) if any(row[index] not in ("", "–") for row in self.rows)]
        rows = [tuple(row[index] for index in kept) for row in self.rows]
        return Table(self.title, tuple(self.columns[index] for index in kept), rows, self.numbers, self.note)

    @property
    def markdown(self) -> str:
        """The columns and rows in Markdown."""
        rule = ["--:" if name in self.numbers else "---" for name in self.columns]
        cells = [
            [in_markdown(str(cell)).replace("|", "\\|") for cell in line] for line in (self.columns, rule, *self.rows)
        ]
        return "\n".join("| " + " | ".join(line) + " |" for line in cells)

    @property
    def csv(self) -> str:
        """The columns and rows as comma-separated values, with the texts of the table."""
        text = io.StringIO()
        csv.writer(text).writerows([self.columns, *self.rows])
        return text.getvalue()


def in_markdown(text: str) -> str:
    """A text on one line, without the HTML and the links that Markdown would make of a name."""
    return text.replace("\n", " ").replace("<", "&lt;").replace("](", "]\\(")


def bounds_of(row: Mapping[Any, Any], prefix: str = "") -> Bounds | None:
    """The interval in a row's columns ``low`` and ``high``; None where it has none."""
    low, high = row[f"{prefix}low"], row[f"{prefix}high"]
    return None if math.isnan(low) else Bounds(low, high)


def notes_of(*parts: str) -> str:
    """A row's note of the parts that are not empty."""
    return "; ".join(filter(None, parts))

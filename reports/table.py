"""A table of a report: text in rows and columns, as page and Markdown print it."""

from dataclasses import dataclass


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

"""A table as lines of plain text, as wide as a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from deepboot.reports.tables.table import Table

WIDTH = 100  # characters of a line
BETWEEN = "  "  # columns


def lines(table: Table, width: int = WIDTH) -> Iterator[str]:
    """The headings, a rule, and the rows, whose texts are wrapped where they do not fit."""
    widths = _widths([table.columns, *table.rows], width)
    yield from row_lines(table.columns, widths)
    yield rule(widths)
    for row in table.rows:
        yield from row_lines(row, widths)


def row_lines(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row, every cell wrapped to its width.

    >>> list(row_lines(("lr", "one two three"), (3, 7)))
    ['lr   one two', '     three']
    """
    wrapped = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        parts = [part[number] if number < len(part) else "" for part in wrapped]
        yield BETWEEN.join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True)).rstrip()


def rule(widths: Sequence[int]) -> str:
    """The line below the headings."""
    return "-" * (sum(widths) + len(BETWEEN) * (len(widths) - 1))


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The widths of the columns: of their longest text, or less for the widest ones until all fit."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    while sum(widths) + len(BETWEEN) * (len(widths) - 1) > width:
        widths[widths.index(max(widths))] -= 1
    return widths

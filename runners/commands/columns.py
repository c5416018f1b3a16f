"""Rows of a table for a terminal, whose cells are wrapped."""

import textwrap
from collections.abc import Iterator, Sequence


def row(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of one row: columns of these widths with two spaces between them.

    >>> list(row(("a", "two words"), (3, 5)))
    ['a    two', '     words']
    """
    wrapped = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""] for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, wrapped))):
        parts = [part[number] if number < len(part) else "" for part in wrapped]
        yield "  ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True)).rstrip()


def rule(widths: Sequence[int]) -> str:
    """The line below a table's head."""
    return "-" * (sum(widths) + 2 * (len(widths) - 1))

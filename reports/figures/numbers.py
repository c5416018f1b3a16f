"""The numbers that a figure draws, as a table: for those who do not see it, and for those who draw it anew."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepboot.reports.tables.table import Table

DIGITS = 4  # significant ones of a number that is not whole
POINTS = ["panel", "mark", "x", "y"]


def numbers_of(name: str, rows: pd.DataFrame, columns: Mapping[str, str] | list[str]) -> Table:
    """These columns of what a figure draws, whole numbers in full, others with four digits.

    Args:
        name: of the figure.
        rows: what it draws, a row per mark.
        columns: the heading of each, or names that are their own headings.
    """
    headings = dict(columns) if isinstance(columns, Mapping) else dict(zip(columns, columns, strict=True))
    texts = [[_text(value) for value in rows[column]] for column in headings]
    numbers = frozenset(heading for column, heading in headings.items() if pd.api.types.is_numeric_dtype(rows[column]))
    title = f"Numbers of {name.replace('_', ' ')}"
    return Table(title, tuple(headings.values()), list(zip(*texts, strict=True)), numbers)


def points_of(figure: Figure) -> pd.DataFrame:
    """Every point of the lines and dots of a figure whose panels show different things: ``panel, mark, x, y``."""
    rows: list[tuple[str, str, float, float]] = []
    for number, ax in enumerate(figure.axes, start=1):
        panel = str(ax.get_title(loc="left") or ax.get_title() or f"panel {number}").replace("\n", " ")
        for line in ax.lines:
            across, up = (np.asarray(side, dtype=float).tolist() for side in line.get_data())
            rows += [(panel, _mark(line), x, y) for x, y in zip(across, up, strict=True)]
        for dots in ax.collections:
            rows += [(panel, _mark(dots), float(x), float(y)) for x, y in np.asarray(dots.get_offsets(), dtype=float)]
    return pd.DataFrame(rows, columns=POINTS)


def _mark(artist: Any) -> str:
    """The name of a mark, empty where it has none."""
    label = str(artist.get_label())
    return str(artist.get_gid() or ("" if label.startswith("_") else label))


def _text(value: Any) -> str:
    """A value in a table of numbers; nothing where there is none.

    >>> _text(1_500.0), _text(0.123456), _text(math.nan), _text(math.inf), _text("real")
    ('1500', '0.1235', '', 'open', 'real')
    """
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        return str(value)
    if math.isinf(value):
        return "open"
    return str(int(value)) if value == int(value) else f"{float(value):.{DIGITS}g}"

"""Cells in the order of one setting, for kinds of claim about a quantity along it."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from deepboot.bootstrap.wording import suggestion
from deepboot.reports.cells import settings_of
from deepboot.reports.claims.kind import Across
from deepboot.reports.claims.kinds.shared import AnyEvent
from deepboot.reports.text import EVENT_WORDS, metric_words, setting

Ordered = Literal["grokking", "memorization", "stable", "final_error"]
FIGURES = dict.fromkeys(get_args(AnyEvent), ("steps", "test_error")) | {"final_error": ("test_error",)}


def setting_values(across: Across, over: str) -> tuple[dict[int, float], str]:
    """Every cell's value of a setting, by the cell's index, or why they cannot be put in order."""
    known = settings_of(across.comparison.runs)
    if over not in known:
        return {}, f"`over` names no setting {over!r}. {suggestion(over, known).removesuffix('.')}"
    values: dict[int, float] = {}
    for index, cell in enumerate(across.per_cell):
        held = cell.runs[over].iloc[0]
        try:
            value = float(held)
        except (TypeError, ValueError):
            value = math.nan
        if math.isnan(value):
            return {}, f"{over} is {setting(held)} in the cell {cell.cell}, and an order needs numbers"
        if value in values.values():
            first = next(other for other, taken in values.items() if taken == value)
            both = f"{across.per_cell[first].cell}; {cell.cell}"
            return {}, f"{over} is {setting(held)} in two cells ({both}): hold the other settings fixed in `where`"
        values[index] = value
    return values, ""


def no_order(across: Across, given: Mapping[str, Any]) -> str:
    """Why the cells of a claim have no order along its setting, for `claim_kind`; empty if they have one."""
    return setting_values(across, given.get("over", "train_size"))[1]


def quantity_of(event: str, metric: str) -> str:
    """The quantity that is judged along a setting, in words."""
    return f"final {metric_words(metric)}" if event == "final_error" else EVENT_WORDS[event].step

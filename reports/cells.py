"""Cells and their labels: a cell is one configuration with all its seeds, labelled by the settings that differ."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from deepboot.reports.text import setting

LEADING = ("world", "task", "model", "optimizer", "train_size", "train_fraction", "batch_size")
FACTS = "facts."  # columns of facts about the data, not settings
KEY = ["cell_id", "world"]  # columns that tell cells apart
CELL = ["cell_id", "cell", "world"]  # the same with the label between them, as tables begin


def cell_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per cell: ``cell_id, world, cell`` (its label), ``runs``, then every setting that differs.

    A label names the settings that differ between the cells of its kind (ideal or not), but for settings that follow
    from those before them, as the train fraction does from the train size.
    """
    first = runs.loc[~runs.duplicated(KEY), list(dict.fromkeys((*KEY, *settings_of(runs))))].reset_index(drop=True)
    differing = varied(first)  # of some of these cells, no further setting differs
    first = first[list(dict.fromkeys((*KEY, *differing)))]
    ideal = (first["world"] == "ideal").fillna(False).astype(bool)
    kinds = [(first[ideal], "ideal"), (first[~ideal], None)]
    labels = pd.concat(
        [labels_of(cells, varied(cells), name) for cells, name in kinds if len(cells)] or [first["world"]]
    )
    counts = runs.groupby(KEY, sort=False, dropna=False).size().to_numpy()
    table = first[KEY].assign(cell=labels.reindex(first.index).astype("string"), runs=counts)
    return pd.concat([table, first[[name for name in differing if name != "world"]]], axis=1)


def settings_of(runs: pd.DataFrame) -> list[str]:
    """Columns that hold settings: the leading ones, then dotted names that are not facts about data."""
    dotted = [name for name in runs.columns if "." in name and not name.startswith(FACTS)]
    return [name for name in LEADING if name in runs] + dotted


def varied(cells: pd.DataFrame) -> list[str]:
    """Settings that tell cells apart, but for settings that follow from the ones before them."""
    chosen: list[str] = []
    names, groups = settings_of(cells), [0] * len(cells)
    columns = cells[names].to_dict("list")  # plain lists: pandas is slow on so many short columns
    for name in names:
        if _is_constant(columns[name]):
            continue  # most settings of most studies
        seen: dict[tuple[int, str], int] = {}
        finer = [seen.setdefault(both, len(seen)) for both in zip(groups, map(setting, columns[name]), strict=True)]
        if len(seen) > len(set(groups)):
            chosen, groups = [*chosen, name], finer
    return chosen


def _is_constant(values: list[Any]) -> bool:
    """Whether there is one value only, of one type: a quick look, which lists never pass."""
    try:
        return len({(type(value), value) for value in values}) == 1
    except TypeError:  # a list has no hash
        return False


def labels_of(cells: pd.DataFrame, names: list[str], prefix: str | None) -> pd.Series:
    """Labels of cells, from these settings after a prefix; from their world where there are no settings."""
    shorts = {name: _short(name, names) for name in names}
    texts = [_label(row, shorts, prefix) for row in cells[list(dict.fromkeys(("world", *names)))].to_dict("records")]
    return pd.Series(texts, index=cells.index)


def _label(row: Mapping[Any, Any], shorts: dict[str, str], prefix: str | None) -> str:
    parts = [prefix] if prefix else []
    for name, short in shorts.items():
        parts.append(setting(row[name]) if name in ("world", "task", "model", "optimizer") else _pair(short, row[name]))
    return ", ".join(parts) or str(row["world"])


def _pair(name: str, value: Any) -> str:
    return f"{name} {setting(value)}"


def _short(name: str, names: list[str]) -> str:
    """The last part of a dotted name, if no other name ends so; ``loss.name`` is written "loss"."""
    if name.endswith(".name"):
        return name.removesuffix(".name")
    last = name.rsplit(".", 1)[-1]
    return last if sum(other.rsplit(".", 1)[-1] == last for other in names) == 1 else name

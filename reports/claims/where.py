"""The cells that a claim's ``where`` selects."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from deepboot.bootstrap.wording import suggestion
from deepboot.reports.cells import KEY, settings_of
from deepboot.reports.comparison import Comparison
from deepboot.reports.text import setting


def select(
    comparison: Comparison, where: Mapping[str, Any], world: str | None, *, within: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, str]:
    """Cells that a claim is judged in (``cell_id, world, cell``), or why there are none; of all, or those ``within``.

    A claim about the ideal world is judged in the ideal cells that ``where`` selects; where it selects by a setting
    that only real runs have, such as the train size, in the ideal partners of the cells selected. A condition must
    hold in all of a cell's runs.
    """
    runs, where = comparison.runs, flat(where)
    unknown = [name for name in where if name not in runs]
    if unknown:
        near = suggestion(unknown[0], settings_of(runs)).removesuffix(".")
        return runs.head(0), f"`where` names no column {unknown[0]!r}. {near}"
    fits = np.ones(len(runs), dtype=bool)
    for name, value in where.items():
        fits &= [same(held, value) for held in runs[name].tolist()]
    failing = set(runs.loc[~fits, KEY].itertuples(index=False, name=None))
    cells = comparison.labels if within is None else within[[*KEY, "cell"]]
    chosen = cells[[cell not in failing for cell in cells[KEY].itertuples(index=False, name=None)]]
    ideal = chosen["world"] == "ideal"
    if "world" in where:
        selected = chosen
    elif world == "ideal":
        selected = chosen[ideal] if ideal.any() else chosen
    else:
        selected = chosen[~ideal] if world is None else chosen[chosen["world"] == world]
    listed = ", ".join(f"{name} = {setting(value)}" for name, value in where.items())
    worlds = ", ".join(sorted(cells["world"].dropna().unique()))
    why = f"no cell has {listed}" if listed else f"no cell of the {world or 'real'} world (there are: {worlds})"
    return selected, why


def same(held: Any, wanted: Any) -> bool:
    """Whether a value of a table equals the value that a study writes, or one of a list of them."""
    if isinstance(wanted, list):
        single = isinstance(held, str) or not hasattr(held, "__len__")
        return same_list(held, wanted) or (single and any(same(held, value) for value in wanted))
    if isinstance(held, bool) or isinstance(wanted, bool | str) or held is pd.NA or held is None:
        return setting(held) == setting(wanted)
    try:
        return math.isclose(float(held), float(wanted), rel_tol=1e-9)
    except (TypeError, ValueError):
        return False


def same_list(held: Any, wanted: list[Any]) -> bool:
    """Whether a value of a table is this whole list: JSON there, or nothing at all where a list is empty.

    >>> same_list('["clip"]', ["clip"]), same_list(None, []), same_list(1.0, [])
    (True, True, False)
    """
    return setting(held) in (setting(wanted), json.dumps(wanted, default=str), *([] if wanted else [setting(None)]))


def flat(where: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Conditions by dotted name: TOML reads an unquoted ``optimizer.lr = 1`` as ``{optimizer = {lr = 1}}``."""
    conditions: dict[str, Any] = {}
    for key, value in where.items():
        conditions |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return conditions

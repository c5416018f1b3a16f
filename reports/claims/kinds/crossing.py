"""A kind of claim on two groups of cells along one setting: where one's final metric begins to exceed the other's."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from deepboot.reports.cells import KEY
from deepboot.reports.claims.kind import Across, Effect, Quantity, claim_kind
from deepboot.reports.claims.kinds.groups import cells_of_group
from deepboot.reports.claims.kinds.ordering import setting_values
from deepboot.reports.claims.kinds.scaling import half_size, threshold_of
from deepboot.reports.claims.kinds.shared import JudgedWorld, Number, notes_of, region_of, within
from deepboot.reports.claims.known_pairs import finite
from deepboot.reports.statistics.intervals import Bounds, median_interval, seeds_for_median
from deepboot.reports.text import metric_words, percent, plural


def _for_crossing(settings: Any, confidence: float) -> int:
    region_of("crossing", "value", min=settings.min, max=settings.max)
    return seeds_for_median(confidence)


def _groups_along(
    across: Across, over: str, of: Mapping[str, Any], to: Mapping[str, Any], world: str
) -> tuple[list[Across], str]:
    """The cells of both groups, at the same values of a setting; or why they cannot be compared."""
    groups: list[Across] = []
    for key, where in (("of", of), ("to", to)):
        cells, why = cells_of_group(across, key, where, world)
        if why:
            return [], why
        groups.append(replace(across, cells=across.cells.merge(cells[KEY], on=KEY)))
    values = []
    for group in groups:
        own, why = setting_values(group, over)
        if why:
            return [], why
        values.append(set(own.values()))
    if values[0] != values[1] or len(values[0]) < 2:
        return [], f"`of` and `to` need the same values of {over}, two or more"
    return groups, ""


def _no_groups(across: Across, given: Mapping[str, Any]) -> str:
    return _groups_along(across, given["over"], given["of"], given["to"], given["world"])[1]


@claim_kind(
    "crossing",
    min_seeds=_for_crossing,
    scope="cells",
    figure=("test_error", "test_soft_error"),
    unjudgeable=_no_groups,
    quantity=Quantity({"min": 0.0, "max": None}),
)
def crossing(
    across: Across,
    *,
    over: str,
    of: dict[str, Any],
    to: dict[str, Any],
    metric: str,
    world: JudgedWorld = "real",
    min: Number | None = None,
    max: Number | None = None,
) -> Effect:
    """Along a setting, one group's final metric comes to exceed another's at a value at least, or at most, this.

    ``of`` and ``to`` select cells along ``over``, at the same values of it, as ``where`` does. Every seed tells between
    which values its runs of ``of`` begin to exceed those of ``to``. A run that diverged, failed or is unfinished may
    lie on either side. Estimate: where isotonic rates pass a half. Interval: the sign test on seeds, as in `threshold`.

    Args:
        over: the setting along which groups cross, by its column of the runs, such as "train_size".
        of: settings of the cells that come to have the larger metric, by dotted name.
        to: settings of the cells that they are compared with.
        metric: column of the table of evaluations, at each run's last evaluation.
        min: smallest value of the setting that is claimed.
        max: largest value that is claimed; give one of the two, or both.
    """
    region = region_of("crossing", "value", min=min, max=max)
    name = f"{over} from which the final {metric_words(metric)} of one group exceeds the other's{within(world)}"
    groups, why = _groups_along(across, over, of, to, world)
    if why:
        return Effect(name, region, 0, "seeds", reason=why)
    table = pd.concat([_finals(group, over, metric, world) for group in groups], axis=1, keys=["of", "to"])
    excess = (table["of"] - table["to"]).rename("excess").reset_index()
    seeds, known = excess["seed"].nunique(), np.isfinite(excess["excess"])
    sides = [excess.assign(reached=(excess["excess"] > 0).where(known, unknown)) for unknown in (True, False)]
    soonest, latest = ([threshold_of(seed) for _, seed in side.groupby("seed")] for side in sides)
    interval = median_interval([low for low, _ in soonest], [high for _, high in latest], across.confidence)
    estimate = Bounds(half_size(sides[0]).low, half_size(sides[1]).high)
    note = f"exceeds in {int(sides[1]['reached'].sum())} of {len(excess)} pairs of runs"
    note = "; ".join(filter(None, (note, notes_of((int((~known).sum()), f"of {len(excess)} not known")))))
    few = f"{plural(seeds, 'seed')}, and a {percent(across.confidence)} interval of a crossing needs "
    reason = "" if interval else f"{few}{seeds_for_median(across.confidence)}"
    if interval == Bounds(0.0, math.inf):
        interval, reason = None, f"{note}, which does not tell where they cross"
    return Effect(name, region, seeds, "seeds", estimate, interval, reason, note)


def _finals(group: Across, over: str, metric: str, world: str) -> pd.Series:
    """Final values of a group's runs, by seed and by the setting's value, ``size``; NaN where not known."""
    sizes, _ = setting_values(group, over)
    runs = group.runs_of(world)
    values = finite(runs["run_id"].map(group.comparison.final(metric)))
    index = pd.MultiIndex.from_arrays([runs["seed"], runs["cell_index"].map(sizes)], names=["seed", "size"])
    return pd.Series(values, index=index)

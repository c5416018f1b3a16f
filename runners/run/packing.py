"""Which runs are stepped together: a real run always beside the ideal run that it is compared with.

A *family* is an ideal run with all real runs that are compared with it, as far as they can be stepped together.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.roles import fields_where
from deepboot.bootstrap.study.run import PER_MEMBER, Run
from deepboot.bootstrap.study.schema import ModelScales
from deepboot.bootstrap.transforms import choices

PER_MEMBER_SCALES = fields_where(lambda role: role.per_member, ModelScales)


@dataclass(frozen=True)
class PackPlan:
    """Runs to be stepped together, all from the same step on.

    Attributes:
        runs: real runs before ideal ones, so that members under one rule are neighbours.
        start: step they start from, 0 unless finished runs are given a longer budget.
    """

    runs: tuple[Run, ...]
    start: int = 0

    @property
    def name(self) -> str:
        """A name for its files, the same whenever the same runs are packed."""
        return f"{self.runs[0].run_id}-{len(self.runs)}-{self.start}"

    @property
    def steps(self) -> int:
        """Member steps to be done."""
        return sum(run.max_steps - self.start for run in self.runs)

    def halves(self) -> list["PackPlan"]:
        """Two packs of half the families each; none where there is one family."""
        families = families_of(self.runs)
        middle = len(families) // 2
        halves = (families[:middle], families[middle:]) if middle else ()
        return [PackPlan(ordered_members(run for family in half for run in family), self.start) for half in halves]


def families_of(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs by family, in the order in which their first runs come."""
    return list(_families((run, pack_key(run)) for run in runs).values())


def _families(keyed: Iterable[tuple[Run, str]]) -> dict[tuple[str, str], list[Run]]:
    """Runs with their pack keys, by the id of the ideal run of their family and by pack key."""
    families: dict[tuple[str, str], list[Run]] = {}
    for run, key in keyed:
        families.setdefault((run.ideal_run_id or run.run_id, key), []).append(run)
    return families


def ordered_members(runs: Iterable[Run]) -> tuple[Run, ...]:
    """The members of a pack in their order: real runs before ideal ones, runs under one rule beside each other."""
    return tuple(sorted(runs, key=lambda run: (run.rule == "ideal", str(run.world))))


def plan_packs(
    cells: Iterable[Replicates], start: dict[str, int], pack_size: Callable[[Run], int] = lambda run: 1
) -> list[PackPlan]:
    """Packs of all runs that are not done, the longest first.

    Packs are cut from all runs of the study, done or not, so that what is left of it is packed as
    before. A pack is one family, or as many families as fit into ``pack_size``.

    Args:
        cells: every run of the study.
        start: the step each run starts from, by run_id; 0 where it has none, its budget where it is done.
        pack_size: members of a run's pack at most, unless one family has more.
    """
    by_key: dict[str, list[list[Run]]] = {}
    keyed = ((run, key) for cell in cells for key in [pack_key(cell.run)] for run in cell)
    for (_, key), family in _families(keyed).items():
        by_key.setdefault(key, []).append(family)
    packs = [pack for families in by_key.values() for pack in _evenly_packed(families, pack_size(families[0][0]))]
    plans = [plan for members in packs for plan in _unfinished(members, start)]
    return sorted(plans, key=lambda plan: -plan.steps)


def _evenly_packed(families: list[list[Run]], pack_size: int) -> list[list[Run]]:
    """Families in packs of at most this size, as few as that takes and as equal as they can be."""
    members = sum(map(len, families))
    return _packed_in_turn(families, math.ceil(members / len(_packed_in_turn(families, pack_size))))


def _packed_in_turn(families: list[list[Run]], pack_size: int) -> list[list[Run]]:
    """Families put into one pack after another, each filled before the next."""
    packs: list[list[Run]] = []
    for family in families:
        if packs and len(packs[-1]) + len(family) <= pack_size:
            packs[-1] += family
        else:
            packs.append(list(family))
    return packs


def _unfinished(members: list[Run], start: dict[str, int]) -> list[PackPlan]:
    """The members of a pack that are not done, as one plan per step to start from."""
    ordered = ordered_members(members)
    steps = {run.run_id: start.get(run.run_id, 0) for run in ordered}
    starts = sorted({steps[run.run_id] for run in ordered if steps[run.run_id] < run.max_steps})
    return [PackPlan(tuple(run for run in ordered if steps[run.run_id] == step), step) for step in starts]


def pack_key(run: Run) -> str:
    """All that the members of a pack have in common: every setting that is not each member's own.

    Numbers of an optimizer, of a penalty, of transforms and of layers are each member's own; all else in them chooses
    what is computed for all members.
    """
    common = run.as_json(PER_MEMBER)
    common["model"] = {name: value for name, value in common["model"].items() if name not in PER_MEMBER_SCALES}
    for kind in ("optimizer", "penalty"):
        if kind in common:
            common[kind] = {name: value for name, value in common[kind].items() if isinstance(value, str)}
    if "transforms" in common:
        common["transforms"] = [choices(one) for one in run.transforms]
    if "layers" in common:
        common["layers"] = sorted(run.layers)
    common["phases"] = [[phase.at_step, pack_key(phase.run)] for phase in run.phases]
    return json.dumps(common, sort_keys=True)

"""Which runs are stepped together: a real run always beside the ideal run it is compared with."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from deepboot.bootstrap.study.roles import fields_where
from deepboot.bootstrap.study.run import PER_MEMBER, Run
from deepboot.bootstrap.study.schema import ModelScales

SCALES = fields_where(lambda role: role.per_member, ModelScales)


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
        parts = (families[:middle], families[middle:]) if middle else ()
        return [PackPlan(in_order(run for family in part for run in family), self.start) for part in parts]


def families_of(runs: Iterable[Run]) -> list[list[Run]]:
    """Real runs with the ideal run they share, and of one shape."""
    families: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        families.setdefault((run.ideal_run_id or run.run_id, shape(run)), []).append(run)
    return list(families.values())


def in_order(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Real runs before ideal ones, runs under one rule beside each other."""
    return tuple(sorted(runs, key=lambda run: (run.rule == "ideal", str(run.world))))


def plan_packs(
    runs: Iterable[Run], start: dict[str, int], pack_size: Callable[[Run], int] = lambda run: 1
) -> list[PackPlan]:
    """Packs of all runs that are not done, the longest first.

    Packs are cut from all runs of the study, done or not, so that what is left of it is packed as
    before. A pack is one ideal run with its real runs, or as many of these as fit into ``pack_size``.

    Args:
        runs: every run of the study.
        start: the step each run starts from, by run_id; 0 where it has none, its budget where it is done.
        pack_size: members of a run's pack at most, unless one ideal run has more partners.
    """
    kinds: dict[str, list[list[Run]]] = {}
    for family in families_of(runs):
        kinds.setdefault(shape(family[0]), []).append(family)
    packs = [pack for families in kinds.values() for pack in _evenly(families, pack_size(families[0][0]))]
    plans = [plan for members in packs for plan in _left(members, start)]
    return sorted(plans, key=lambda plan: -plan.steps)


def _evenly(families: list[list[Run]], pack_size: int) -> list[list[Run]]:
    """Families in packs of at most this size, as few as that takes and as equal as they can be."""
    members = sum(map(len, families))
    return _filled(families, math.ceil(members / len(_filled(families, pack_size))))


def _filled(families: list[list[Run]], pack_size: int) -> list[list[Run]]:
    """Families put into one pack after another, each filled before the next."""
    packs: list[list[Run]] = []
    for family in families:
        if packs and len(packs[-1]) + len(family) <= pack_size:
            packs[-1] += family
        else:
            packs.append(list(family))
    return packs


def _left(members: list[Run], start: dict[str, int]) -> list[PackPlan]:
    """What is left of a pack, one plan per step to start from."""
    ordered = in_order(members)
    steps = {run.run_id: start.get(run.run_id, 0) for run in ordered}
    begins = sorted({steps[run.run_id] for run in ordered if steps[run.run_id] < run.max_steps})
    return [PackPlan(tuple(run for run in ordered if steps[run.run_id] == begin), begin) for begin in begins]


def shape(run: Run) -> str:
    """What the members of a pack have in common: all but seeds, worlds, pools, scales and numeric hyperparameters."""
    full = run.model_dump(mode="json", exclude=PER_MEMBER)
    full["model"] = {key: value for key, value in run.model.items() if key not in SCALES}
    full["optimizer"] = {key: value for key, value in run.optimizer.items() if isinstance(value, str)}
    full["phases"] = [[phase.at_step, shape(phase.run)] for phase in run.phases]
    return json.dumps(full, sort_keys=True)

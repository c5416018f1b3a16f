"""Which runs are stepped together: a real run always beside the ideal run it is compared with."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bootstrap.run import Run

# what members of a pack may each have their own of
OWN: set[Any] = {"seed", "streams", "world", "train_size", "train_fraction", "largest_pool", "ideal_run_id", "code"}


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


def plan_packs(runs: Iterable[Run], start: dict[str, int], pack_size: int = 1) -> list[PackPlan]:
    """Packs of all runs that are not done, the longest first.

    Packs are cut from all runs of the study, done or not, so that what is left of it is packed as
    before. A pack is one ideal run with its real runs, or as many of these as fit into ``pack_size``.

    Args:
        runs: every run of the study.
        start: the step each run starts from, by run_id; 0 where it has none, its budget where it is done.
        pack_size: members of a pack at most, unless one ideal run has more partners.
    """
    pairs: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        pairs.setdefault((run.ideal_run_id or run.run_id, shape(run)), []).append(run)
    packed: dict[str, list[list[Run]]] = {}
    for (_, kind), members in pairs.items():
        packs = packed.setdefault(kind, [])
        if packs and len(packs[-1]) + len(members) <= pack_size:
            packs[-1] += members
        else:
            packs.append(members)
    plans = [plan for packs in packed.values() for members in packs for plan in _left(members, start)]
    return sorted(plans, key=lambda plan: -plan.steps)


def _left(members: list[Run], start: dict[str, int]) -> list[PackPlan]:
    """What is left of a pack, one plan per step to start from."""
    ordered = sorted(members, key=lambda run: (run.rule == "ideal", str(run.world)))
    steps = {run.run_id: start.get(run.run_id, 0) for run in ordered}
    begins = sorted({steps[run.run_id] for run in ordered if steps[run.run_id] < run.max_steps})
    return [PackPlan(tuple(run for run in ordered if steps[run.run_id] == begin), begin) for begin in begins]


def shape(run: Run) -> str:
    """What the members of a pack have in common: all but seeds, worlds, pools, scales and numeric hyperparameters."""
    full = run.model_dump(mode="json", exclude=OWN)
    full["model"] = {key: value for key, value in run.model.items() if key not in ("init_scale", "output_scale")}
    full["optimizer"] = {key: value for key, value in run.optimizer.items() if isinstance(value, str)}
    return json.dumps(full, sort_keys=True)

"""Which runs are stepped together: a real run always beside the ideal run it is compared with."""

from collections.abc import Iterable
from dataclasses import dataclass

from bootstrap.run import Run


@dataclass(frozen=True)
class PackPlan:
    """Runs to be stepped together, all from the same step on.

    Attributes:
        runs: real runs before their ideal partner, so that members under one rule are neighbours.
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


def plan_packs(runs: Iterable[Run], start: dict[str, int]) -> list[PackPlan]:
    """One pack per ideal run and starting step, the longest first.

    Args:
        runs: the runs that are still to be done.
        start: the step each run starts from, by run_id; 0 where it has none.
    """
    groups: dict[tuple[str, int, int], list[Run]] = {}
    for run in runs:
        group = (run.ideal_run_id or run.run_id, run.batch_size, start.get(run.run_id, 0))
        groups.setdefault(group, []).append(run)
    packs = [
        PackPlan(tuple(sorted(members, key=lambda run: (run.rule == "ideal", str(run.world)))), step)
        for (_, _, step), members in groups.items()
    ]
    return sorted(packs, key=lambda pack: -pack.steps)

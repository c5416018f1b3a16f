"""The outcome of a run so far: its rows, how it ended, and the state to go on from."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.members import State


@dataclass
class Outcome:
    """A run as far as it has been trained.

    Attributes:
        rows: of the table ``evaluations``.
        probes: ``run_id, step, values`` (by name) of every evaluation at which a probe was measured.
        status: "diverged" or, as far as is known, "finished".
        last_step: the last evaluated step.
        seconds: its share of the time that its pack took.
        state: as ``Pack.states`` gives it.
        stopped: ended by its stop rule.
        removed: no longer stepped with its pack; it ended before.
    """

    run: Run
    rows: list[dict[str, Any]] = field(default_factory=list)
    status: str = "finished"
    last_step: int = 0
    seconds: float = 0.0
    state: State = field(default_factory=dict)
    stopped: bool = False
    removed: bool = False
    probes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether nothing is to be added to it."""
        return self.stopped or self.status == "diverged"

    def record(self, row: dict[str, Any], step: int) -> None:
        """Add an evaluation; a loss or a norm that is not finite ends the run as diverged."""
        self.rows.append({"run_id": self.run.run_id, **row, "samples_seen": self.run.samples_seen(step)})
        self.last_step = step
        finite = math.isfinite(row["test_loss"]) and math.isfinite(row["weight_norm"])
        self.status = "finished" if finite else "diverged"

    def record_probes(self, values: dict[str, float], step: int) -> None:
        """Add the values of probes at the evaluation that was recorded last, if it is of this step."""
        if values and step == self.last_step:
            self.probes.append({"run_id": self.run.run_id, "step": step, "values": values})

    def ends_at(self, step: int) -> bool:
        """Whether a step is that of its last evaluation, as far as is known: its budget's, or the one that ended it."""
        return step == self.last_step and (self.ended or step == self.run.max_steps)

    def evaluations(self, start: int = 0) -> list[dict[str, Any]]:
        """Its rows from a place on, each with the values of probes measured then, as ``probes.<name>``."""
        values = {one["step"]: one["values"] for one in self.probes[start:]}
        return [
            {**row, **{f"probes.{name}": value for name, value in values.get(row["step"], {}).items()}}
            for row in self.rows[start:]
        ]

    @property
    def meets_stop_rule(self) -> bool:
        """Whether it has met its stop rule at as many evaluations in a row as that asks for."""
        stop, in_a_row = self.run.stop, 0
        if stop is None:
            return False
        for row in self.rows:
            in_a_row = in_a_row + 1 if row[stop.metric] <= stop.at_most else 0
            if in_a_row == stop.streak:
                return True
        return False


def stop_pairs(outcomes: Iterable[Outcome]) -> None:
    """End every real run and its ideal partner together, once both of them have met their stop rule."""
    pairs: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        pairs.setdefault(outcome.run.ideal_run_id or outcome.run.run_id, []).append(outcome)
    for pair in pairs.values():
        waiting = [outcome for outcome in pair if outcome.status != "diverged"]
        if all(outcome.meets_stop_rule for outcome in waiting):
            for outcome in waiting:
                outcome.stopped = True

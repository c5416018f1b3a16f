"""The one training loop: a pack of members stepped together and evaluated on schedule."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap.study.run import Run, evaluation_steps, scheduled_steps
from deepboot.bootstrap.training.backend import Program
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, State


@dataclass
class Outcome:
    """What a run gave so far: its evaluated rows, how it ended, and the state to go on from.

    Attributes:
        rows: of the table ``evaluations``.
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

    @property
    def ended(self) -> bool:
        """Whether nothing is to be added to it."""
        return self.stopped or self.status == "diverged"


Snapshot = Callable[[], list[Outcome]]
Tick = Callable[[int, Snapshot], None]
Keep = Callable[[Run, int, dict[str, Tensor]], None]


def train(
    runs: Sequence[Run],
    *,
    device: torch.device | str = "cpu",
    program: Program = "eager",
    apart: bool = False,
    resume_from: Sequence[Outcome] | None = None,
    tick: Tick = lambda steps, snapshot: None,
    keep: Keep = lambda run, step, weights: None,
) -> list[Outcome]:
    """Train a pack of runs to their budget, or to where their stop rule ends them.

    Args:
        runs: of one shape: all but world, pool size, streams' seeds and numeric hyperparameters is equal.
        device: where everything is computed.
        program: how steps are carried out.
        apart: whether members are stepped one after another instead of at once.
        resume_from: what the runs gave so far, all up to one step; None starts at step 0.
        tick: called after every few steps with the member steps done since the last call, and a function that
            gives the outcomes so far. Training goes on from these, at any step, exactly as it would have.
        keep: called with a run, a step and its weights by name, for runs that keep them.
    """
    cohort = Cohort(runs, resume_from, device=device, program=program, apart=apart)
    first = runs[0]
    evaluated = set(evaluation_steps(first.evaluation, first.max_steps))
    edges = {phase.at_step for phase in first.phases if phase.at_step < first.max_steps}
    for stop in sorted(evaluated | edges):
        if stop < cohort.pack.step:
            continue
        train_steps(cohort.pack, stop, lambda steps: tick(steps * len(cohort.pack), cohort.snapshot))
        if stop in evaluated and stop > cohort.evaluated:
            cohort.evaluate(keep)
        if cohort.over:
            break
        if stop in edges or cohort.should_repack:
            cohort.repack(stop + 1)
    return cohort.snapshot()


def train_steps(pack: Pack, stop: int, tick: Callable[[int], None] = lambda steps: None) -> None:
    """Train every member of a pack up to step ``stop``."""
    while pack.step < stop:
        for steps in pack.advance(pack.block(stop)):
            tick(steps)


class Cohort:
    """The runs of one pack from their first step to their last: those still stepped, and what all of them gave.

    Members that diverged, and pairs that their stop rule ended, leave at evaluations; nobody joins.

    Attributes:
        pack: the members still stepped.
        evaluator: measures them.
        evaluated: the last step that was evaluated, -1 before the first.
    """

    def __init__(
        self, runs: Sequence[Run], resume_from: Sequence[Outcome] | None, *,
        device: torch.device | str, program: Program, apart: bool,
    ):  # fmt: skip
        self._began = time.perf_counter()
        self._device, self._program, self._apart = device, program, apart
        self._outcomes = [replace(outcome, rows=[*outcome.rows]) for outcome in resume_from or map(Outcome, runs)]
        self._seconds = [outcome.seconds for outcome in self._outcomes]
        self._scheduled = scheduled_steps(runs[0].evaluation, runs[0].max_steps)
        self.evaluated = max(outcome.last_step for outcome in self._outcomes) if resume_from else -1
        self._stacked = [place for place, outcome in enumerate(self._outcomes) if not outcome.removed]
        states = [self._outcomes[place].state for place in self._stacked] if resume_from else None
        self._stack(int(states[0]["step"]) if states else 0, states)

    def _stack(self, update: int, states: Sequence[State] | None) -> None:
        """Stack the members that are still stepped, under the specification that is in force at this update."""
        runs = [self._outcomes[place].run.in_force(update) for place in self._stacked]
        self.pack = Pack(runs, self._device, states, self._program, self._apart)
        self.evaluator = Evaluator(self.pack)

    @property
    def _going(self) -> list[int]:
        return [place for place in self._stacked if not self._outcomes[place].ended]

    @property
    def over(self) -> bool:
        """Whether all members have ended."""
        return not self._going

    @property
    def should_repack(self) -> bool:
        """Whether enough members have ended for the others to go on without them.

        A compiled pack is made anew at a price, and therefore only when half of it has ended.
        """
        left = len(self._stacked) - len(self._going)
        return left > 0 if self._program == "eager" else left * 2 >= len(self._stacked)

    def repack(self, update: int) -> None:
        """Let ended members leave, and give the others what is in force from this update on."""
        going, states = self._going, self.pack.states()
        del self.pack, self.evaluator  # so that a device never holds two packs
        for place, state in zip(self._stacked, states, strict=True):
            outcome = self._outcomes[place]
            if outcome.ended:
                outcome.removed, outcome.state = True, state
        kept = [state for place, state in zip(self._stacked, states, strict=True) if place in going]
        self._stacked = going
        self._stack(update, kept)

    def evaluate(self, keep: Keep) -> None:
        """Add a row to every run that is still going, and see which of them end here."""
        step = self.pack.step
        for member, (place, row) in enumerate(zip(self._stacked, self.evaluator.rows(), strict=True)):
            outcome = self._outcomes[place]
            if outcome.ended:
                continue
            outcome.rows.append({"run_id": outcome.run.run_id, **row, "samples_seen": outcome.run.samples_seen(step)})
            outcome.last_step = step
            finite = math.isfinite(row["test_loss"]) and math.isfinite(row["weight_norm"])
            outcome.status = "finished" if finite else "diverged"
            if outcome.run.keep.weights == "evaluations":
                keep(outcome.run, step, self.pack.weights(member))
        self._stop_pairs()
        for member, place in enumerate(self._stacked):
            outcome = self._outcomes[place]
            last = outcome.last_step == step and (outcome.ended or step == outcome.run.max_steps)
            if last and outcome.run.keep.weights == "final":
                keep(outcome.run, step, self.pack.weights(member))
        if step in self._scheduled:
            self.pack.members.sums_3E.zero_()
        self.evaluated = step

    def _stop_pairs(self) -> None:
        """End every real run and its ideal partner together, once both of them have fulfilled their stop rule."""
        pairs: dict[str, list[Outcome]] = {}
        for outcome in self._outcomes:
            pairs.setdefault(outcome.run.ideal_run_id or outcome.run.run_id, []).append(outcome)
        for pair in pairs.values():
            waiting = [outcome for outcome in pair if outcome.status != "diverged"]
            if all(fulfilled(outcome) for outcome in waiting):
                for outcome in waiting:
                    outcome.stopped = True

    def snapshot(self) -> list[Outcome]:
        """What every run gave so far, and the state it can go on from."""
        elapsed = (time.perf_counter() - self._began) / len(self._outcomes)
        states = dict(zip(self._stacked, self.pack.states(), strict=True))
        return [
            replace(outcome, rows=[*outcome.rows], seconds=before + elapsed, state=states.get(place, outcome.state))
            for place, (outcome, before) in enumerate(zip(self._outcomes, self._seconds, strict=True))
        ]


def fulfilled(outcome: Outcome) -> bool:
    """Whether a run has met its stop rule for as many evaluations in a row as that asks for."""
    stop, met = outcome.run.stop, 0
    if stop is None:
        return False
    for row in outcome.rows:
        met = met + 1 if row[stop.metric] <= stop.at_most else 0
        if met == stop.streak:
            return True
    return False

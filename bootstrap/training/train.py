"""The one training loop: a pack of members stepped together and evaluated on schedule."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from deepboot.bootstrap.study.run import Run, evaluation_steps, scheduled_steps
from deepboot.bootstrap.training.backend import BackendCache
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import ON_CPU, Execution, torch_settings
from deepboot.bootstrap.training.members import State
from deepboot.bootstrap.training.outcome import Outcome, stop_pairs
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.training.prober import Prober

Snapshot = Callable[[], list[Outcome]]
OnSteps = Callable[[int, Snapshot], None]
OnEvaluation = Callable[[Sequence[Outcome]], None]
Keep = Callable[[Run, int, dict[str, Tensor]], None]


def train(
    runs: Sequence[Run],
    execution: Execution = ON_CPU,
    *,
    resume_from: Sequence[Outcome] | None = None,
    on_steps: OnSteps = lambda steps, snapshot: None,
    on_evaluation: OnEvaluation = lambda members: None,
    keep: Keep = lambda run, step, weights: None,
    cache: BackendCache | None = None,
) -> list[Outcome]:
    """Train a pack of runs to their budget, or to where their stop rule ends them.

    Members that diverged, and pairs that their stop rule ended, leave the pack at evaluations; nobody joins.

    Args:
        runs: of one pack key: all but world, pool size, streams' seeds and numeric hyperparameters is equal.
        execution: how steps are carried out.
        resume_from: the runs' outcomes so far, all up to one step; None starts at step 0.
        on_steps: called after every few steps with the member steps done since the last call, and a function that
            returns the outcomes so far. Training goes on from these, at any step, exactly as it would have.
        on_evaluation: called after every evaluation with the outcomes of the members that were stepped up to it; it
            only reads them.
        keep: called with a run, a step and its weights by name, for runs that keep them.
        cache: of whoever trains other packs too.
    """
    started, cache = time.perf_counter(), cache or BackendCache()
    outcomes = [replace(one, rows=[*one.rows], probes=[*one.probes]) for one in resume_from or map(Outcome, runs)]
    evaluated = max(one.last_step for one in outcomes) if resume_from else -1
    members = [one for one in outcomes if not one.removed]
    states = [one.state for one in members] if resume_from else None
    start = int(states[0]["step"]) if states else 0

    def snapshot() -> list[Outcome]:
        """Every run's outcome so far."""
        return _with_states(outcomes, pack.states(), time.perf_counter() - started)

    with torch_settings(runs[0], execution):
        pack = Pack([one.run.in_force(start) for one in members], execution, states, cache)
        evaluator = Evaluator(pack)
        prober = Prober(evaluator, [one.run for one in members])
        for boundary in boundaries(runs[0], start):
            for batch in pack.batches(until=boundary.step):
                pack.update(batch)
                on_steps(batch.steps * len(pack), snapshot)
            if boundary.is_evaluation and boundary.step > evaluated:
                for outcome, row in zip(members, evaluator.rows(), strict=True):
                    if not outcome.ended:
                        outcome.record(row, boundary.step)
                stop_pairs(outcomes)
                last = [one.ends_at(boundary.step) for one in members]
                for outcome, values in zip(members, prober.values(last), strict=True):
                    outcome.record_probes(values, boundary.step)
                on_evaluation(members)
                _keep_weights(pack, members, keep)
                if boundary.is_scheduled:  # else a longer budget, which has no evaluation here, would differ
                    pack.members.sums_3E.zero_()
            if all(one.ended for one in members):
                break
            if boundary.ends_phase or _should_repack(members, execution):
                states = pack.states()
                del pack, evaluator, prober  # so that a device never holds two packs
                members, states = _without_ended(members, states)
                pack = Pack([one.run.in_force(boundary.step + 1) for one in members], execution, states, cache)
                evaluator = Evaluator(pack)
                prober = Prober(evaluator, [one.run for one in members])
                del states
        return snapshot()


class Boundary(NamedTuple):
    """A step at which training pauses.

    Attributes:
        step: updates done by then.
        is_evaluation: whether the pack is evaluated.
        is_scheduled: whether that is so whatever the budget.
        ends_phase: whether another specification is in force from the next update on.
    """

    step: int
    is_evaluation: bool
    is_scheduled: bool
    ends_phase: bool


def boundaries(run: Run, start: int) -> list[Boundary]:
    """The boundaries of a run and of all that share its pack, from a step on, in order."""
    scheduled = scheduled_steps(run.evaluation, run.max_steps)
    evaluations = set(evaluation_steps(run.evaluation, run.max_steps))
    phase_ends = {phase.at_step for phase in run.phases if phase.at_step < run.max_steps}
    return [
        Boundary(step, step in evaluations, step in scheduled, step in phase_ends)
        for step in sorted(evaluations | phase_ends)
        if step >= start
    ]


def _should_repack(members: Sequence[Outcome], execution: Execution) -> bool:
    """Whether enough members have ended for the others to go on without them.

    A compiled pack is made anew at a price, and therefore only when half of it has ended.
    """
    ended = sum(one.ended for one in members)
    return ended > 0 if execution.backend == "eager" else ended * 2 >= len(members)


def _without_ended(members: list[Outcome], states: list[State]) -> tuple[list[Outcome], list[State]]:
    """The members that go on, with their states; the others keep theirs and are removed."""
    for outcome, state in zip(members, states, strict=True):
        if outcome.ended:
            outcome.removed, outcome.state = True, {name: tensor.clone() for name, tensor in state.items()}
    going = [(outcome, state) for outcome, state in zip(members, states, strict=True) if not outcome.removed]
    return [outcome for outcome, _ in going], [state for _, state in going]


def _with_states(outcomes: list[Outcome], states: list[State], seconds: float) -> list[Outcome]:
    """Copies of the outcomes with the states of those that are still stacked, and their shares of a time."""
    stacked = iter(states)
    return [
        replace(
            one, rows=[*one.rows], probes=[*one.probes], seconds=one.seconds + seconds / len(outcomes),
            state=one.state if one.removed else next(stacked),
        )
        for one in outcomes
    ]  # fmt: skip


def _keep_weights(pack: Pack, members: Sequence[Outcome], keep: Keep) -> None:
    """Hand over the weights of the members that were evaluated now, as their studies ask for."""
    for member, outcome in enumerate(members):
        if outcome.last_step != pack.step:
            continue
        if outcome.run.keep.weights == "evaluations" or (
            outcome.run.keep.weights == "final" and outcome.ends_at(pack.step)
        ):
            keep(outcome.run, pack.step, pack.weights(member))

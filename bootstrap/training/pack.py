"""A pack: members stacked along a leading axis, stepped together, with one step counter.

Shapes: E members, S steps of a block, B samples of a batch, P parameters of one member.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from deepboot.bootstrap.samples.batches import Batches
from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.task import Task
from deepboot.bootstrap.torch_optimizers import rule
from deepboot.bootstrap.training.backend import BackendCache, Batch, MemberGroup, backend_of
from deepboot.bootstrap.training.coefficients import Schedules
from deepboot.bootstrap.training.execution import ON_CPU, Execution
from deepboot.bootstrap.training.members import State, initial_members, restored_members
from deepboot.bootstrap.training.step import MemberStep


class Pack:
    """Runs of one pack key, stacked.

    Args:
        runs: all but world, pool size, streams' seeds and numeric hyperparameters is equal.
        execution: how steps are carried out.
        states: where they go on from, all at one step; None: step 0.
        cache: of whoever trains other packs too; None: of its own.

    Attributes:
        step: updates done so far.
        data: its training data.
        member_step: model, loss and optimizer of all members.
        members: their tensors.
        schedules: the optimizer's coefficients of any steps.
        groups: the members that are stepped together: all of them, or each alone.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        execution: Execution = ON_CPU,
        states: Sequence[State] | None = None,
        cache: BackendCache | None = None,
    ):
        self.runs, self.execution = runs, execution
        self.device = torch.device(execution.device)
        task = build_task(runs[0].task)
        _refuse_another_recording(runs[0], task)
        self.source = SampleSource(task, runs, self.device)
        self.data = Batches(self.source, runs, getattr(torch, runs[0].dtype))
        self.member_step = MemberStep(runs[0], task, self.device)
        optimizers = [rule(run.optimizer["name"], own_settings(run.optimizer)) for run in runs]
        if states is None:
            self.step = 0
            self.members = initial_members(runs, self.member_step.stack, optimizers)
        else:
            self.step = int(states[0]["step"])
            assert all(int(state["step"]) == self.step for state in states), "members of a pack share one step counter"
            self.members = restored_members(runs, states, self.member_step.stack, optimizers)
        one_by_one = bool(self.members.torch_optimizers)
        host = one_by_one or (execution.device == "cpu" and execution.backend == "eager")
        self.schedules = Schedules(runs, optimizers, noisy=self.members.noisy, host=host, device=self.device)
        self.groups = self.groups_of(slice(0, len(runs)))
        self._backend = backend_of(execution, self.groups, self.member_step, cache or BackendCache())

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def param_EP(self) -> Tensor:
        """Parameters of all members, (E, P)."""
        return self.members.param_EP

    @property
    def stride(self) -> int:
        """Steps that the backend does at once, as long as no step before their end is asked for."""
        return self._backend.stride(self.data.longest)

    def groups_of(self, members: slice) -> list[MemberGroup]:
        """Some members as they are computed together: all at once, or each alone."""
        if members == slice(0, len(self)) and (not self.execution.sequential or len(self) == 1):
            return [MemberGroup(None, self.members)]
        ranges = [members]
        if self.execution.sequential:
            ranges = [slice(member, member + 1) for member in range(members.start, members.stop)]
        return [MemberGroup(one, self.members.subset(one)) for one in ranges]

    def batches(self, until: int) -> Iterator[Batch]:
        """Data and coefficients of the steps up to ``until``, each to be trained on before the next is asked for."""
        while self.step < until:
            steps = self._backend.block_steps(min(until - self.step, self.data.longest))
            block = self.data.block(self.step, self.step + steps)
            yield from self._backend.batches(block, self.schedules.coefficients(self.step, self.step + block.steps))
            self.flush_online_sums()  # the next block takes this one's memory

    def update(self, batch: Batch) -> None:
        """Train every member on a batch."""
        self._backend.update(batch)
        self.step += batch.steps

    def logits(self, members: slice, x: Tensor) -> Tensor:
        """Logits of some members in evaluation mode, (M, B * answers, V), of inputs as the task stores them."""
        groups = self.groups_of(members)
        pieces = [x] if len(groups) == 1 else x.split(1)
        logits = [self.member_step.evaluate(group.members, own) for group, own in zip(groups, pieces, strict=True)]
        return torch.cat(logits) if len(logits) > 1 else logits[0]

    def flush_online_sums(self) -> None:
        """Bring the sums of the batches' losses and errors up to date."""
        self._backend.flush_online_sums()

    def states(self) -> list[State]:
        """Every member's state, from which training goes on exactly as it would have."""
        self.flush_online_sums()
        return self.members.states(self.step)

    def weights(self, member: int) -> dict[str, Tensor]:
        """One member's parameters and statistics under their names; in float32 for bfloat16, which NumPy lacks."""
        weights = self.member_step.stack.weights(self.param_EP, self.members.buffers)
        dtype = torch.float32 if self.param_EP.dtype == torch.bfloat16 else self.param_EP.dtype
        return {name: tensor[member].to(dtype, copy=True) for name, tensor in weights.items()}


def train_steps(pack: Pack, until: int) -> None:
    """Train every member of a pack up to a step, without evaluations."""
    for batch in pack.batches(until):
        pack.update(batch)


def _refuse_another_recording(run: Run, task: Task) -> None:
    """Refuse a recording that was changed since the run was planned: its identity names other data."""
    if run.code.get("data") != getattr(task, "fingerprint", None):
        raise ValueError("the recording of `task` was changed while the study ran. Run the study again.")

"""Backends: member steps one operation after another, compiled, or replayed as CUDA graphs.

All do the same mathematics; only rounding may differ, so the one that a run was begun with is kept with its
checkpoints. Shapes: E members, S steps, B samples of a batch, V classes.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap.models.stacked import BoundStack, Objective
from deepboot.bootstrap.samples.batches import Block
from deepboot.bootstrap.training.coefficients import Coefficients
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.members import Members, aligned
from deepboot.bootstrap.training.step import Gradient, MemberStep, accumulate

NOTED_NUMBERS = {"cpu": 1 << 17, "cuda": 1 << 26}  # logits noted before their errors are counted
GRAPH_STEPS = 64  # steps of the longest CUDA graph
WARM_UP_STEPS = 3  # before a capture, as torch asks

# a step of some members, with its losses and errors added to their sums
WholeStep = Callable[[Members, Tensor, Tensor, Mapping[str, Tensor]], None]


class Batch(NamedTuple):
    """Data and coefficients of one step, or of all steps of a block for a backend that does these at once.

    Attributes:
        x: inputs, (E, B, ...), or (E, S, B, ...).
        labels: (E, B), or (E, S, B).
        coefficients: the optimizer's, each (E, 1), or (S, E, 1).
        steps: how many they are.
    """

    x: Tensor
    labels: Tensor
    coefficients: Coefficients
    steps: int = 1


class MemberGroup(NamedTuple):
    """Members of a pack that are stepped together.

    Attributes:
        range: their indices in the pack; None: they are all of it.
        members: in the pack's own memory.
    """

    range: slice | None
    members: Members

    def own(self, x_EB: Tensor, label_EB: Tensor, coefficients: Coefficients) -> tuple[Tensor, Tensor, Coefficients]:
        """These members' part of a step's inputs, labels and coefficients."""
        if self.range is None:
            return x_EB, label_EB, coefficients
        own = {n: row_E1[self.range] if len(row_E1) == len(x_EB) else row_E1 for n, row_E1 in coefficients.items()}
        return x_EB[self.range], label_EB[self.range], own


class BackendCache:
    """What packs that follow each other on one device share: a compiled step, and the stream of graph captures.

    Whoever trains several packs keeps one. It holds one compiled step at most: what was compiled for another
    architecture is let go.
    """

    def __init__(self) -> None:
        self._compiled: tuple[str, WholeStep] | None = None
        self._stream: torch.cuda.Stream | None = None

    def compiled(self, step: MemberStep) -> WholeStep:
        """The whole step, compiled once for all packs of one architecture that follow each other."""
        if self._compiled is None or self._compiled[0] != step.key:
            self._compiled = None
            torch.compiler.reset()
            self._compiled = (
                step.key,
                torch.compile(_whole_step(step, _pure_gradient(step)), fullgraph=True, dynamic=False),
            )
        return self._compiled[1]

    def stream(self, device: torch.device) -> torch.cuda.Stream:
        """The stream on which graphs are warmed up and captured: one, since each has workspaces that stay."""
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)
        return self._stream


class Backend(ABC):
    """Carries out the steps of one pack, group after group.

    Args:
        groups: members that are stepped together.
        step: the one that they share.
    """

    def __init__(self, groups: Sequence[MemberGroup], step: MemberStep):
        self.groups, self.step = groups, step

    def block_steps(self, remaining: int) -> int:
        """How many of the remaining steps to make a block of data for."""
        return remaining

    def stride(self, longest: int) -> int:
        """Steps that are done at once, of blocks of so many at most."""
        return 1

    def batches(self, block: Block, coefficients: Coefficients) -> Iterator[Batch]:
        """A block and its coefficients as `update` takes them: step by step."""
        rows = {name: table.unbind(0) for name, table in coefficients.items()}
        for number, (x_EB, label_EB) in enumerate(zip(*block.batches(), strict=True)):
            yield Batch(x_EB, label_EB, {name: row[number] for name, row in rows.items()})

    @abstractmethod
    def update(self, batch: Batch) -> None:
        """Train every member on a batch."""

    def flush_online_sums(self) -> None:  # noqa: B027 (a backend that notes nothing has nothing to add)
        """Add the batches noted so far to the members' sums; their memory may be used again afterwards."""


def backend_of(execution: Execution, groups: Sequence[MemberGroup], step: MemberStep, cache: BackendCache) -> Backend:
    """The backend that an execution names, for one pack."""
    if execution.backend == "eager":
        return Eager(groups, step)
    if execution.compiles:
        steps = [cache.compiled(step)] * len(groups)
    else:
        steps = [_whole_step(step, torch.enable_grad()(_bound_gradient(group.members, step))) for group in groups]
    return Graphed(groups, step, steps, cache) if execution.replays else Compiled(groups, step, steps)


class Eager(Backend):
    """One operation after another. Errors of batches are counted several batches at a time.

    As many as fit a core's cache, since their logits are read again.
    """

    def __init__(self, groups: Sequence[MemberGroup], step: MemberStep):
        super().__init__(groups, step)
        self._gradients = [_bound_gradient(group.members, step) for group in groups]
        self._noted: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in groups]
        self._numbers = 0
        self._most = NOTED_NUMBERS[groups[0].members.param_EP.device.type]

    def update(self, batch: Batch) -> None:
        for group, gradient, noted in zip(self.groups, self._gradients, self._noted, strict=True):
            x_EB, label_EB, coefficients = group.own(batch.x, batch.labels, batch.coefficients)
            logits_EBV, loss_E = self.step.update(group.members, gradient, x_EB, label_EB, coefficients)
            noted.append((logits_EBV, label_EB, loss_E))
            self._numbers += logits_EBV.numel()
        if self._numbers >= self._most:
            self.flush_online_sums()

    def flush_online_sums(self) -> None:
        for group, noted in zip(self.groups, self._noted, strict=True):
            if noted:
                logits_SEBV, label_SEB, loss_SE = (torch.stack(pieces) for pieces in zip(*noted, strict=True))
                accumulate(group.members.sums_3E, logits_SEBV, label_SEB, loss_SE, self.step.reading)
                noted.clear()
        self._numbers = 0


class Compiled(Backend):
    """Each step one call of a compiled function."""

    def __init__(self, groups: Sequence[MemberGroup], step: MemberStep, steps: Sequence[WholeStep]):
        super().__init__(groups, step)
        self._steps = steps

    @torch.no_grad()
    def update(self, batch: Batch) -> None:
        for group, whole_step in zip(self.groups, self._steps, strict=True):
            whole_step(group.members, *group.own(batch.x, batch.labels, batch.coefficients))


class Graphed(Compiled):
    """Many steps replayed as one CUDA graph, which reads data and coefficients where they always lie."""

    def __init__(
        self, groups: Sequence[MemberGroup], step: MemberStep, steps: Sequence[WholeStep], cache: BackendCache
    ):
        super().__init__(groups, step, steps)
        self._cache = cache
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._coefficients: Coefficients = {}
        self._pool: Any = None

    def block_steps(self, remaining: int) -> int:
        """The largest power of two that is not too long, so that few graphs serve all."""
        return 1 << (min(remaining, GRAPH_STEPS).bit_length() - 1)

    def stride(self, longest: int) -> int:
        return self.block_steps(longest)

    def batches(self, block: Block, coefficients: Coefficients) -> Iterator[Batch]:
        yield Batch(block.x, block.y, coefficients, block.steps)

    def update(self, batch: Batch) -> None:
        for name, table in batch.coefficients.items():
            if name not in self._coefficients:
                self._coefficients[name] = table.new_zeros(GRAPH_STEPS, *table.shape[1:])
            self._coefficients[name][: len(table)].copy_(table)
        if batch.steps not in self._graphs:
            self._graphs[batch.steps] = self._captured(Block(batch.x, batch.labels))
        self._graphs[batch.steps].replay()

    def _captured(self, block: Block) -> torch.cuda.CUDAGraph:
        """All steps of a block as a graph. Warming up trains, so the members are put back as they were."""
        coefficients = {name: table[: block.steps] for name, table in self._coefficients.items()}
        changing = [tensor for group in self.groups for tensor in group.members.changing]
        before = [tensor.clone() for tensor in changing]
        side = self._cache.stream(self.groups[0].members.param_EP.device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for single in itertools.islice(Backend.batches(self, block, coefficients), WARM_UP_STEPS):
                Compiled.update(self, single)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, old in zip(changing, before, strict=True):
            tensor.copy_(old)
        graph = torch.cuda.CUDAGraph()
        # other threads read ahead meanwhile, so their calls are allowed
        with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
            for single in Backend.batches(self, block, coefficients):
                Compiled.update(self, single)
        self._pool = graph.pool()
        return graph


def _bound_gradient(members: Members, step: MemberStep) -> Gradient:
    """These members' gradient by a module bound to their parameters, or to noisy ones, which are copied to it."""
    with_noise = "weight_noise" in members.member_options
    bound = BoundStack(
        step.stack, aligned(members.param_EP.clone()) if with_noise else members.param_EP, members.buffers
    )

    def gradient(members: Members, param_EP: Tensor, x: Tensor, objective: Objective) -> tuple[Tensor, Any]:
        if param_EP is not bound.param_EP:
            bound.param_EP.copy_(param_EP)
        return bound.gradient(x, objective)

    return gradient


def _pure_gradient(step: MemberStep) -> Gradient:
    """Any members' gradient as a function of tensors alone, which a compiler can fuse."""

    def gradient(members: Members, param_EP: Tensor, x: Tensor, objective: Objective) -> tuple[Tensor, Any]:
        return step.stack.gradient(param_EP, members.buffers, x, objective)

    return gradient


def _whole_step(step: MemberStep, gradient: Gradient) -> WholeStep:
    """The step with its counting, for a compiler or a graph that sees all of it at once."""

    def whole_step(members: Members, x_EB: Tensor, label_EB: Tensor, coefficients: Mapping[str, Tensor]) -> None:
        logits_EBV, loss_E = step.update(members, gradient, x_EB, label_EB, coefficients)
        accumulate(members.sums_3E, logits_EBV[None].clone(), label_EB[None], loss_E[None], step.reading)

    return whole_step

"""How member steps are carried out: one operation after another, compiled, or replayed as CUDA graphs.

A program does the same mathematics whichever it is; only rounding may differ, so the one that a run
was begun with is kept with its checkpoints. Shapes: E members, S steps, B samples of a batch, V classes.
"""

import itertools
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from deepboot.bootstrap.samples.batches import Block
from deepboot.bootstrap.training.step import Members, MemberStep, accumulate

Program = Literal["eager", "compiled", "graphed", "compiled_graphed"]
PROGRAMS: tuple[Program, ...] = get_args(Program)
NOTED_NUMBERS = {"cpu": 1 << 17, "cuda": 1 << 26}  # logits noted before their errors are counted
GRAPH_STEPS = 64  # steps of the longest CUDA graph
VARIANTS = 64  # numbers of members, say, that one architecture is compiled for
WARM_UP_STEPS = 3  # before a capture, as torch asks

Tables = Mapping[str, Tensor]  # the optimizer's coefficients, each (S, E, 1)
WholeStep = Callable[[Members, Tensor, Tensor, Tables], None]


class StepGroup(NamedTuple):
    """Members of a pack that are stepped together.

    Attributes:
        place: where they are in the pack; None: they are all of it.
        step: theirs alone.
        members: in the pack's own memory.
    """

    place: slice | None
    step: MemberStep
    members: Members

    def batch(self, x_EB: Tensor, label_EB: Tensor, at: Tables) -> tuple[Tensor, Tensor, Tables]:
        """What these members are given of the whole pack's inputs, labels and coefficients."""
        if self.place is None:
            return x_EB, label_EB, at
        own = {name: row_E1[self.place] if len(row_E1) == len(x_EB) else row_E1 for name, row_E1 in at.items()}
        return x_EB[self.place], label_EB[self.place], own


class Steps(ABC):
    """Carries out the steps of one pack, part after part."""

    def __init__(self, parts: Sequence[StepGroup]):
        self.parts = parts

    @abstractmethod
    def __call__(self, block: Block, tables: Tables) -> Iterator[int]:
        """Train on a block; gives the number of steps each time that some are done."""

    def flush_online_sums(self) -> None:  # noqa: B027 (a program that notes nothing has nothing to add)
        """Add the batches noted so far to the members' sums; their memory may be used again afterwards."""

    def stride(self, steps: int) -> int:
        """How many of the next steps to make a block for."""
        return steps


def program_of(name: Program, parts: Sequence[StepGroup]) -> Steps:
    """The program of this name for one pack."""
    if name == "eager":
        return Eager(parts)
    wholes = [compiled(part.step) if name.startswith("compiled") else _whole_step(part.step) for part in parts]
    return Graphed(parts, wholes) if name.endswith("graphed") else Compiled(parts, wholes)


class Eager(Steps):
    """One operation after another. Errors of batches are counted several batches at a time.

    As many as fit a core's cache, since their logits are read again.
    """

    def __init__(self, parts: Sequence[StepGroup]):
        super().__init__(parts)
        self._noted: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in parts]
        self._numbers = 0
        self._most = NOTED_NUMBERS[parts[0].members.param_EP.device.type]

    def __call__(self, block: Block, tables: Tables) -> Iterator[int]:
        for batch in _batches(block, tables):
            for part, noted in zip(self.parts, self._noted, strict=True):
                x_EB, label_EB, at = part.batch(*batch)
                logits_EBV, loss_E = part.step.update(part.members, x_EB, label_EB, at)
                noted.append((logits_EBV, label_EB, loss_E))
                self._numbers += logits_EBV.numel()
            if self._numbers >= self._most:
                self.flush_online_sums()
            yield 1
        self.flush_online_sums()

    def flush_online_sums(self) -> None:
        for part, noted in zip(self.parts, self._noted, strict=True):
            if noted:
                accumulate(part.members.sums_3E, *(torch.stack(pieces) for pieces in zip(*noted, strict=True)))
                noted.clear()
        self._numbers = 0


class Compiled(Steps):
    """Each step one call of a compiled function."""

    def __init__(self, parts: Sequence[StepGroup], wholes: Sequence[WholeStep]):
        super().__init__(parts)
        self._wholes = wholes

    def __call__(self, block: Block, tables: Tables) -> Iterator[int]:
        for batch in _batches(block, tables):
            with torch.no_grad():
                self._step(batch)
            yield 1

    def _step(self, batch: tuple[Tensor, Tensor, Tables]) -> None:
        for part, whole in zip(self.parts, self._wholes, strict=True):
            whole(part.members, *part.batch(*batch))


class Graphed(Compiled):
    """Many steps replayed as one CUDA graph, which reads data and coefficients where they always lie."""

    def __init__(self, parts: Sequence[StepGroup], wholes: Sequence[WholeStep]):
        super().__init__(parts, wholes)
        self._graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self._tables: dict[str, Tensor] = {}
        self._pool: Any = None

    def stride(self, steps: int) -> int:
        """The largest power of two that is not too long, so that few graphs serve all."""
        return 1 << (min(steps, GRAPH_STEPS).bit_length() - 1)

    def __call__(self, block: Block, tables: Tables) -> Iterator[int]:
        for name, table in tables.items():
            if name not in self._tables:
                self._tables[name] = table.new_zeros(GRAPH_STEPS, *table.shape[1:])
            self._tables[name][: len(table)].copy_(table)
        if block.steps not in self._graphs:
            self._graphs[block.steps] = self._captured(block)
        self._graphs[block.steps].replay()
        yield block.steps

    def _captured(self, block: Block) -> torch.cuda.CUDAGraph:
        """All steps of a block as a graph. Warming up trains, so the members are put back as they were."""
        tables = {name: table[: block.steps] for name, table in self._tables.items()}
        changing = [tensor for part in self.parts for tensor in part.members.changing]
        before = [tensor.clone() for tensor in changing]
        side = _side_stream(self.parts[0].members.param_EP.device)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for batch in itertools.islice(_batches(block, tables), WARM_UP_STEPS):
                self._step(batch)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, old in zip(changing, before, strict=True):
            tensor.copy_(old)
        graph = torch.cuda.CUDAGraph()
        # other threads read ahead meanwhile, so their calls are allowed
        with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
            for batch in _batches(block, tables):
                self._step(batch)
        self._pool = graph.pool()
        return graph


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream on which graphs are warmed up and captured: one, since each new one gets workspaces that stay."""
    return torch.cuda.Stream(device)


def _batches(block: Block, tables: Tables) -> Iterator[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Inputs, labels and coefficients, step by step."""
    rows = {name: table.unbind(0) for name, table in tables.items()}
    for step, (x_EB, label_EB) in enumerate(zip(*block.batches(), strict=True)):
        yield x_EB, label_EB, {name: row[step] for name, row in rows.items()}


def _whole_step(member_step: MemberStep) -> WholeStep:
    """The step with its counting, for programs that see all of it at once."""

    def whole(members: Members, x_EB: Tensor, label_EB: Tensor, at: Tables) -> None:
        logits_EBV, loss_E = member_step.update(members, x_EB, label_EB, at)
        accumulate(members.sums_3E, logits_EBV[None].clone(), label_EB[None], loss_E[None])

    return whole


_compiled: dict[str, WholeStep] = {}  # at most one: what was compiled for another architecture is let go


def compiled(member_step: MemberStep) -> WholeStep:
    """The whole step, compiled once for all packs of one architecture that follow each other."""
    if member_step.key not in _compiled:
        _compiled.clear()
        torch.compiler.reset()
        torch._dynamo.config.recompile_limit = VARIANTS
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no CUDA
        warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")  # whether to use them is a setting of the study
        _compiled[member_step.key] = torch.compile(
            _whole_step(member_step.copy_for_compilation()), fullgraph=True, dynamic=False
        )
    return _compiled[member_step.key]

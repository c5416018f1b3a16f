"""Training data of a pack, made on the device for many steps at a time.

Shapes: E members of a pack, M of a group under one rule, S steps of a block, B samples of a batch.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deepboot.bootstrap.samples.augment import AUGMENTATIONS
from deepboot.bootstrap.samples.prefetch import Prefetch, Read
from deepboot.bootstrap.samples.source import LabelledBatch, SampleSource
from deepboot.bootstrap.study.build import capacity, run_keys
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import world_of
from deepboot.bootstrap.worlds import World, ideal, real

FLOAT_BYTES = 4
BLOCK_BYTES = {"cpu": 4 << 20, "cuda": 256 << 20}  # of input made at a time
# A block of large batches has a few steps nevertheless: the operations that make its samples are then as many as for
# one step, and no CUDA graph is longer than a block. They take several times its own memory, which bounds this.
LEAST_STEPS = {"cpu": 4, "cuda": 8}
LARGEST_BYTES = {"cpu": 16 << 20, "cuda": 8 << 30}
REPEATED_STEPS = 64  # of a block that is stored as one step: more would be as fast, and take larger coefficients


@dataclass(frozen=True)
class Block:
    """Data of consecutive steps, (E, S, B, ...), steps apart on the second axis."""

    x: Tensor
    y: Tensor

    @property
    def steps(self) -> int:
        """How many steps it holds."""
        return self.y.shape[1]

    def batches(self) -> tuple[Iterator[Tensor], Iterator[Tensor]]:
        """Inputs, (E, B, ...), and labels, (E, B * answers), step by step."""
        return iter(self.x.unbind(1)), iter(self.y.flatten(2).unbind(1))

    def first(self, steps: int) -> "Block":
        """Its first steps, in the same memory; a block of one step holds that step as often as asked for."""
        parts = (part[:, :steps] for part in (self.x, self.y))
        return Block(*(part.expand(-1, steps, *part.shape[2:]) for part in parts))


@dataclass(frozen=True)
class Group:
    """Members of a pack under one rule.

    Attributes:
        range: their indices in the pack, which are contiguous.
        world: the indices they read.
        pool: their pools, (M, N, ...), where they read nothing else; else None.
        read: gives inputs and labels of steps start .. stop - 1, each (M, S, B, ...), on the device.
    """

    range: slice
    world: World
    pool: LabelledBatch | None
    read: Read


class Batches:
    """Training data of a pack, made on the device for many steps at a time."""

    def __init__(self, source: SampleSource, runs: Sequence[Run], dtype: torch.dtype):
        self.source, self.runs, self.dtype = source, runs, dtype
        self.device = torch.device(source.device)
        self.batch = runs[0].batch_size
        self._key_E2 = run_keys(runs, "augment", self.device)
        example = self.source.test()
        self.longest = longest_block(len(runs) * self.batch, example.x[0, 0], self.device.type)
        self.groups = list(self._groups())
        self._augment = AUGMENTATIONS.get(runs[0].data.augmentation)
        self._repeats = self._augment is None and all(group.world.repeats for group in self.groups)
        if self._repeats:
            self.longest = max(self.longest, REPEATED_STEPS)
        self._held: Block | None = None
        self._shapes = (example.x.shape[2:], example.y.shape[2:])
        self._dtype, self._label_dtype = (
            dtype if part.is_floating_point() else part.dtype for part in (example.x, example.y)
        )

    def _groups(self) -> Iterator[Group]:
        for _, group in itertools.groupby(range(len(self.runs)), key=lambda member: str(self.runs[member].world)):
            indices = list(group)
            members = slice(indices[0], indices[-1] + 1)
            world = world_of(self.runs[members], self.source.task, self.device)
            pool = self._pool(members, max(world.train_sizes)) if world.rule is real else None
            yield Group(members, world, pool, self._read_source(members) if pool is None else _read_pool(pool, world))

    def _read_source(self, members: slice) -> Read:
        """A function that makes the samples of steps anew, ahead of their use where the host makes them."""
        source, runs = self.source, self.runs[members]
        world = world_of(runs, source.task, source.home)  # its own, since a thread may read it

        def read(start: int, stop: int) -> tuple[Tensor, Tensor]:
            x, y, _ = source.train(members, *world.indices_and_range(start, stop))
            return x, y

        end = min([runs[0].max_steps, *(phase.at_step for phase in runs[0].phases)])
        return Prefetch(read, self.longest, end, self.device) if source.on_host else read

    def _pool(self, members: slice, size: int) -> LabelledBatch:
        """The first ``size`` training samples of these members, (M, size, ...)."""
        limit = capacity(self.source.task, self.source.data)
        index = torch.arange(min(size, limit or size), device=self.source.home)
        return self.source.train(members, index.expand(members.stop - members.start, -1), (0, len(index) - 1))

    def train_sample(self, group: Group, most: int) -> tuple[LabelledBatch, list[int]] | None:
        """The first samples of a group's pools, (M, K, ...), and how many of them are each member's own.

        None for the ideal world, which has no pool.
        """
        if group.world.rule is ideal:
            return None
        counts = [min(size, most) for size in group.world.train_sizes]
        if group.pool is not None:
            return LabelledBatch(*(part[:, : max(counts)] for part in group.pool)), counts
        return self._pool(group.range, max(counts)), counts

    def block(self, start: int, stop: int) -> Block:
        """Data of the steps from ``start`` on, to ``stop`` or as far as one block goes."""
        steps = min(stop - start, self.longest)
        is_first = self._held is None
        if self._held is None:
            shape = (len(self.runs), 1 if self._repeats else self.longest, self.batch)
            self._held = Block(
                torch.empty(*shape, *self._shapes[0], dtype=self._dtype, device=self.device),
                torch.empty(*shape, *self._shapes[1], dtype=self._label_dtype, device=self.device),
            )
        for group in self.groups:
            if group.world.repeats and self._augment is None:
                if is_first and group.pool is not None:
                    self._held.x[group.range] = group.pool.x[:, None].to(self._dtype)
                    self._held.y[group.range] = group.pool.y[:, None]
                continue
            x, y = group.read(start, start + steps)
            if self._augment is not None:
                x = self._augment(x, self._key_E2[group.range], group.world.draws(start, start + steps).number_MSB)
            self._held.x[group.range, :steps] = x
            self._held.y[group.range, :steps] = y
        return self._held.first(steps)


def longest_block(samples: int, example: Tensor, device: str) -> int:
    """Steps of the longest block that holds the data of every step.

    Args:
        samples: of one step, of all members.
        example: one input as the task stores it.
        device: "cpu" or "cuda".
    """
    step_bytes = samples * example.numel() * min(example.element_size(), FLOAT_BYTES)  # float64 makes none shorter
    least = min(LEAST_STEPS[device], LARGEST_BYTES[device] // step_bytes)
    return max(1, least, BLOCK_BYTES[device] // step_bytes)


def _read_pool(pool: LabelledBatch, world: World) -> Read:
    """A function that takes the samples of steps from pools, (M, N, ...)."""
    members, size = pool.y.shape[:2]
    begin_M11 = torch.arange(0, members * size, size, device=pool.y.device)[:, None, None]

    def read(start: int, stop: int) -> tuple[Tensor, Tensor]:
        index_MSB = world.indices(start, stop)
        row = (begin_M11 + index_MSB).flatten()
        x, y = (part.flatten(0, 1).index_select(0, row) for part in (pool.x, pool.y))
        return x.unflatten(0, index_MSB.shape), y.unflatten(0, index_MSB.shape)

    return read

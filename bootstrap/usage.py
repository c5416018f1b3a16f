"""How a run uses its samples: how many different ones, and when it first uses one again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deepboot.bootstrap.worlds import World, ideal, real


@dataclass(frozen=True)
class Usage:
    """The first step (0-based) that used a sample again, None if none did, and the number of distinct samples."""

    first_reuse_step: int | None
    distinct: int


def usage(worlds: Sequence[World], steps: int) -> Usage:
    """How the first member uses its samples over this many steps, world after world as they take over."""
    first = worlds[0]
    drawn = steps * first.batch_size
    if len(worlds) == 1 and first.rule in (real, ideal):
        available = first.capacity if first.rule is ideal else first.train_sizes[0]
        if available is None or drawn <= available:
            return Usage(None, drawn)
        return Usage(available // first.batch_size, available)
    used, first_reuse = torch.zeros(0, dtype=torch.bool), None  # whether each index was used before
    for start, index_SB in _blocks(worlds, steps):
        used = torch.cat((used, used.new_zeros(max(0, int(index_SB.max()) + 1 - len(used)))))
        if first_reuse is None:
            draw = _first_repeat(index_SB.flatten(), used)
            first_reuse = None if draw is None else start + draw // index_SB.shape[1]
        used[index_SB.flatten()] = True
    return Usage(first_reuse, int(used.sum()))


def _blocks(worlds: Sequence[World], steps: int) -> Iterator[tuple[int, Tensor]]:
    """All indices that the first member reads, (S, B), some steps at a time, with the first of these steps."""
    ends = [*(world.origin[0] for world in worlds[1:]), steps]
    for world, end in zip(worlds, ends, strict=True):
        stride = max(1, (1 << 20) // world.batch_size)
        for start in range(world.origin[0], min(end, steps), stride):
            yield start, world.indices(start, min(start + stride, end, steps))[0]


def _first_repeat(index_D: Tensor, used: Tensor) -> int | None:
    """The first draw whose index was used before, or is that of an earlier draw; None if there is none."""
    order = index_D.argsort(stable=True)
    repeats_D = used[index_D]
    repeats_D[order[1:][index_D[order[1:]] == index_D[order[:-1]]]] = True
    draws = repeats_D.nonzero()
    return int(draws[0, 0]) if len(draws) else None

"""The split of a finite universe into training and test cells.

Shapes: U cells of a universe.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.build import capacity, held_out
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import Data
from deepboot.bootstrap.task import Task, Universe


@dataclass(frozen=True)
class Split:
    """One member's cells: training cells in the order of their index, and test cells."""

    train: Tensor
    test: Tensor


def divide(task: Universe, data: Data, seeds: tuple[int, int], largest_pool: int | None) -> Split:
    """Divide a universe into training and test cells.

    Args:
        seeds: of the ``data`` and the ``test`` stream.
        largest_pool: size of the largest pool of the study, which ``test_set = "rest"`` leaves out.
    """
    orbit_U = _orbits(task, data)
    data_order_U = _in_order(orbit_U, streams.key(seeds[0], "data"))
    if data.test_set == "population":
        return Split(data_order_U, torch.arange(task.size))
    if data.test_set == "reference":
        assert task.reference is not None
        start, stop = task.reference.start, task.reference.stop
        test = start + _in_order(torch.arange(stop - start), streams.key(seeds[1], "test"))
        return Split(data_order_U[(data_order_U < start) | (data_order_U >= stop)], test)
    if data.test_set == "rest":
        assert largest_pool is not None
        begin = _next_orbit(orbit_U, data_order_U, largest_pool)
        return Split(data_order_U, data_order_U[begin:])
    test_order_U = _in_order(orbit_U, streams.key(seeds[1], "test"))
    end = _next_orbit(orbit_U, test_order_U, held_out(task, data))
    is_test_U = torch.zeros(task.size, dtype=torch.bool).index_fill_(0, test_order_U[:end], True)
    train = data_order_U[~is_test_U[data_order_U]]
    return Split(train[: capacity(task, data)], test_order_U[:end])


def _orbits(task: Universe, data: Data) -> Tensor:
    """The smallest cell of each cell's orbit, int64, (U,); with ``split = "cells"`` each is its own."""
    cell_U = torch.arange(task.size)
    mirror_U = task.mirror(cell_U) if data.split == "orbits" else None
    return cell_U if mirror_U is None else torch.minimum(cell_U, mirror_U)


def _in_order(orbit_U: Tensor, key: tuple[int, int]) -> Tensor:
    """Cells in a keyed order that keeps orbits together, int64, (U,)."""
    key_12 = torch.tensor([key], dtype=torch.int32)
    order_U = streams.permutation(key_12, torch.zeros(1, dtype=torch.int64), len(orbit_U))[0]
    if torch.equal(orbit_U, torch.arange(len(orbit_U))):
        return order_U  # as the next line would, but without sorting millions of cells twice
    return order_U.argsort()[orbit_U].argsort(stable=True)


def _next_orbit(orbit_U: Tensor, order_U: Tensor, count: int) -> int:
    """The first position at or after ``count`` where an orbit begins."""
    inside = 0 < count < len(order_U) and orbit_U[order_U[count - 1]] == orbit_U[order_U[count]]
    return count + 1 if inside else count


def mirrored_share(task: Task, split: Split, train_size: int) -> float | None:
    """Share of test cells whose mirror image, another cell, is in the pool; None without mirrors."""
    mirror = task.mirror(split.test) if isinstance(task, Universe) else None
    if mirror is None:
        return None
    other = mirror != split.test
    return (other & torch.isin(mirror, split.train[:train_size])).double().mean().item()


def split_of(task: Universe, run: Run) -> Split:
    """The split of a run."""
    return divide(task, run.data, (run.stream_seed("data"), run.stream_seed("test")), run.largest_pool)

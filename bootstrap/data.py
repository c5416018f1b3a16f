"""What members' draws deliver: training samples by index, and each member's own test set.

Shapes: E members, ``...`` any index shape, U cells of a universe, T test samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bootstrap import registry, streams
from bootstrap.registry import nearest
from bootstrap.run import Run
from bootstrap.study import Data, own_settings
from bootstrap.task import Samples, Task, Universe
from bootstrap.worlds import ends

TEST_START = 1 << 46  # test samples have their own index range
ENDLESS_TEST_SAMPLES = 5_000


class Labelled(NamedTuple):
    """Inputs, the labels given to training, and the labels before noise."""

    x: Tensor
    y: Tensor
    clean: Tensor


def build_task(chosen: dict[str, Any]) -> Task:
    """The task of a study's ``task`` table.

    Raises:
        ValueError: its settings do not go together, or its class lacks what every task has.
    """
    target = registry.find("task", chosen["name"]).target
    missing = sorted(getattr(target, "__abstractmethods__", ()))
    if missing:
        raise ValueError(" ".join(_lacks(target, name) for name in missing))
    task: Task = target(**own_settings(chosen))
    return task


def _lacks(target: Any, name: str) -> str:
    """What a task's class lacks, and which of its own names may be meant for it."""
    near = nearest(name, [own for own in vars(target) if not own.startswith("_")])
    cure = f"Rename {near!r}, if that is meant for it, or define it." if near else "Define it."
    return f"class {target.__qualname__} lacks {name!r}, which every task has. {cure}"


def capacity(task: Task, data: Data) -> int | None:
    """Training cells of a finite universe, which end the ideal world's fresh samples; None if endless."""
    if not isinstance(task, Universe):
        return None
    if data.test_set == "reference":
        return task.size - len(task.reference or ())
    if data.test_set != "heldout":
        return task.size
    # With orbits the last test orbit may hold one cell more or less: one cell is left to neither.
    return task.size - held_out(task, data) - (data.split == "orbits")


def held_out(task: Universe, data: Data) -> int:
    """Number of cells held out for the test, before orbits are completed."""
    return max(1, round(data.test_fraction * task.size))


@dataclass(frozen=True)
class Division:
    """One member's cells: training cells in the order of their index, and test cells."""

    train: Tensor
    test: Tensor


def divide(task: Universe, data: Data, seeds: tuple[int, int], largest_pool: int | None) -> Division:
    """Divide a universe into training and test cells.

    Args:
        seeds: of the ``data`` and the ``test`` stream.
        largest_pool: size of the largest pool of the study, which ``test_set = "rest"`` leaves out.
    """
    orbit_U = _orbits(task, data)
    data_order_U = _in_order(orbit_U, streams.key(seeds[0], "data"))
    if data.test_set == "population":
        return Division(data_order_U, torch.arange(task.size))
    if data.test_set == "reference":
        assert task.reference is not None
        start, stop = task.reference.start, task.reference.stop
        test = start + _in_order(torch.arange(stop - start), streams.key(seeds[1], "test"))
        return Division(data_order_U[(data_order_U < start) | (data_order_U >= stop)], test)
    if data.test_set == "rest":
        assert largest_pool is not None
        begin = _next_orbit(orbit_U, data_order_U, largest_pool)
        return Division(data_order_U, data_order_U[begin:])
    test_order_U = _in_order(orbit_U, streams.key(seeds[1], "test"))
    end = _next_orbit(orbit_U, test_order_U, held_out(task, data))
    is_test_U = torch.zeros(task.size, dtype=torch.bool).index_fill_(0, test_order_U[:end], True)
    train = data_order_U[~is_test_U[data_order_U]]
    return Division(train[: capacity(task, data)], test_order_U[:end])


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
        return order_U  # what the next line would give too, without sorting millions of cells twice
    return order_U.argsort()[orbit_U].argsort(stable=True)


def _next_orbit(orbit_U: Tensor, order_U: Tensor, count: int) -> int:
    """The first place at or after ``count`` where an orbit begins."""
    inside = 0 < count < len(order_U) and orbit_U[order_U[count - 1]] == orbit_U[order_U[count]]
    return count + 1 if inside else count


def mirrored_share(task: Task, division: Division, train_size: int) -> float | None:
    """Share of test cells whose mirror image, another cell, is in the pool; None without mirrors."""
    mirror = task.mirror(division.test) if isinstance(task, Universe) else None
    if mirror is None:
        return None
    other = mirror != division.test
    return (other & torch.isin(mirror, division.train[:train_size])).double().mean().item()


class Supply:
    """Samples for the members of a pack, all of one task and one ``data`` table, but for its ``label_noise``.

    Attributes:
        device: where samples are wanted.
        on_host: whether the host makes them.
        home: where they are made, and where indices are expected: the host, or else the device.
    """

    def __init__(self, task: Task, runs: Sequence[Run], device: torch.device | str = "cpu"):
        self.task, self.data, self.device = task, runs[0].data, device
        self.on_host = task.on_host(device)
        self.home: torch.device | str = "cpu" if self.on_host else device
        self.key_E2 = self._keys(runs, "data")
        self.noise_E2 = self._keys(runs, "noise")
        self.test_E2 = self._keys(runs, "test")
        self.pool_sizes = [run.train_size or 0 for run in runs]
        noise = [run.data.label_noise for run in runs]
        self.label_noise_E = torch.tensor(noise).to(self.home) if any(noise) else None
        self.cell_EU: Tensor | None = None
        self.test_cell_ET: Tensor | None = None
        if isinstance(task, Universe):
            divisions = [division_of(task, run) for run in runs]
            self.cell_EU = torch.stack([d.train for d in divisions]).to(self.home)
            count = min(self.data.test_samples or task.size, *(len(d.test) for d in divisions))
            self.test_cell_ET = torch.stack([d.test[:count] for d in divisions]).to(self.home)

    def _keys(self, runs: Sequence[Run], stream: str) -> Tensor:
        return streams.keys([run.stream_seed(stream) for run in runs], stream, self.home)

    def train(self, members: slice, index: Tensor, reach: tuple[int, int] | None = None) -> Labelled:
        """Training samples of some members.

        Args:
            members: their places, M of them.
            index: int64, (M, ...), at ``home``.
            reach: indices between which all of these lie, both included; None: the device is asked where it matters.
        """
        x, clean = self._samples(members, index)
        swapped = self._swap(members, index, reach)
        y = clean if swapped is None else self._samples(members, swapped).y
        if self.data.labels == "random":
            y = self._random(members, index, y)
        return self._delivered(x, self._noisy(members, index, y), clean)

    def test(self) -> Labelled:
        """Test samples of all members, (E, T, ...)."""
        everyone = slice(0, len(self.pool_sizes))
        if self.test_cell_ET is not None:
            assert isinstance(self.task, Universe)
            x, clean = self.task.cells(self.test_cell_ET)
            place = torch.arange(self.test_cell_ET.shape[1], device=self.home)
        elif self.data.test_samples is None and (exact := self.task.exact(self.test_E2)) is not None:
            return self._delivered(exact.x, exact.y, exact.y)
        else:
            place = torch.arange(self.data.test_samples or ENDLESS_TEST_SAMPLES, device=self.home)
            x, clean = self.task.sample(self.test_E2, (TEST_START + place).expand(everyone.stop, -1))
        index = (TEST_START + place).expand(everyone.stop, -1)
        return self._delivered(x, self._noisy(everyone, index, clean) if self.data.noisy_test else clean, clean)

    def _delivered(self, *parts: Tensor) -> Labelled:
        return Labelled(*(streams.moved(part, self.device) if self.on_host else part for part in parts))

    def _samples(self, members: slice, index: Tensor) -> Samples:
        if self.cell_EU is None:
            return self.task.sample(self.key_E2[members], index)
        assert isinstance(self.task, Universe)
        cell = self.cell_EU[members].gather(1, index.flatten(1)).view_as(index)
        return self.task.cells(cell)

    def _random(self, members: slice, index: Tensor, y: Tensor) -> Tensor:
        """Labels that are uniform over the classes, by the sample's index."""
        key_M2 = streams.subkeys(self.noise_E2[members], "labels")
        return streams.integers(key_M2, index, math.prod(y.shape[index.dim() :]), self.task.classes).view_as(y)

    def _noisy(self, members: slice, index: Tensor, y: Tensor) -> Tensor:
        """Labels of which a share is replaced by a wrong one, by the sample's index."""
        if self.label_noise_E is None:
            return y
        answers = math.prod(y.shape[index.dim() :])
        unit = streams.uniform(self.noise_E2[members], index, 2 * answers).unflatten(-1, (answers, 2))
        shift = 1 + (unit[..., 1].double() * (self.task.classes - 1)).long()
        wrong = (y.view(*index.shape, answers) + shift) % self.task.classes
        noise = self.label_noise_E[members].view(-1, *(1,) * (unit.dim() - 2))
        return torch.where(unit[..., 0] < noise, wrong, y.view_as(wrong)).view_as(y)

    def _swap(self, members: slice, index: Tensor, reach: tuple[int, int] | None) -> Tensor | None:
        """The index whose label each sample is given: k of every pool's length exchange theirs in a ring."""
        count = self.data.swapped_answers
        if not count:
            return None
        reach, swapped = reach or ends(index), index.clone().flatten(1)
        for row, member in enumerate(range(members.start, members.stop)):
            size = self.pool_sizes[member]
            block = swapped[row] // size
            first, last = (end // size for end in reach)
            number = torch.arange(first, last + 1, device=self.home)[None]
            ring_CK = streams.permutation(self.noise_E2[member : member + 1], number, size)[0, :, :count]
            source_CN = torch.arange(size, device=self.home).repeat(len(ring_CK), 1)
            source_CN.scatter_(1, ring_CK, ring_CK.roll(-1, 1))
            source = block * size + source_CN[block - first, swapped[row] % size]
            limit = self.cell_EU.shape[1] if self.cell_EU is not None else None
            whole = (block + 1) * size <= limit if limit else torch.ones_like(block, dtype=torch.bool)
            swapped[row] = torch.where(whole, source, swapped[row])
        return swapped.view_as(index)


def division_of(task: Universe, run: Run) -> Division:
    """The division that a run's specification gives."""
    return divide(task, run.data, (run.stream_seed("data"), run.stream_seed("test")), run.largest_pool)

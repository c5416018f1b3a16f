"""Samples of a pack's members: training samples by index, and each member's own test set.

Shapes: E members, ``...`` any index shape, U cells of a universe, T test samples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.samples.split import split_of
from deepboot.bootstrap.study.build import run_keys
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.task import Samples, Task, Universe
from deepboot.bootstrap.worlds import min_max

TEST_START = 1 << 46  # test samples have their own index range
ENDLESS_TEST_SAMPLES = 5_000


class LabelledBatch(NamedTuple):
    """Inputs, the labels given to training, and the labels before noise."""

    x: Tensor
    y: Tensor
    clean: Tensor


class SampleSource:
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
        self.key_E2, self.noise_E2, self.test_E2 = (
            run_keys(runs, name, self.home) for name in ("data", "noise", "test")
        )
        self.pool_sizes = [run.pool_size for run in runs]
        noise = [run.data.label_noise for run in runs]
        self.label_noise_E = torch.tensor(noise).to(self.home) if any(noise) else None
        self.cell_EU: Tensor | None = None
        self.test_cell_ET: Tensor | None = None
        if isinstance(task, Universe):
            splits = [split_of(task, run) for run in runs]
            self.cell_EU = torch.stack([each.train for each in splits]).to(self.home)
            count = min(self.data.test_samples or task.size, *(len(each.test) for each in splits))
            self.test_cell_ET = torch.stack([each.test[:count] for each in splits]).to(self.home)

    def train(self, members: slice, index: Tensor, index_range: tuple[int, int] | None = None) -> LabelledBatch:
        """Training samples of some members.

        Args:
            members: their indices in the pack, M of them.
            index: int64, (M, ...), at ``home``.
            index_range: smallest and largest index; None: the device is asked where they matter.
        """
        x, clean = self._samples(members, index)
        swapped = self._swapped(members, index, index_range)
        y = clean if swapped is None else self._samples(members, swapped).y
        if self.data.labels == "random":
            y = self._random(members, index, y)
        return self._delivered(x, self._noisy(members, index, y), clean)

    def exchanged(self, members: slice, index: Tensor) -> Tensor:
        """Whether each training sample was given another one's label (``data.swapped_answers``), bool, (M, ...)."""
        swapped = self._swapped(members, index, None)
        return torch.zeros_like(index, dtype=torch.bool) if swapped is None else swapped != index

    def test(self) -> LabelledBatch:
        """Test samples of all members, (E, T, ...)."""
        everyone = slice(0, len(self.pool_sizes))
        if self.test_cell_ET is not None:
            assert isinstance(self.task, Universe)
            x, clean = self.task.cells(self.test_cell_ET)
            number = torch.arange(self.test_cell_ET.shape[1], device=self.home)
        elif self.data.test_samples is None and (exact := self.task.exact(self.test_E2)) is not None:
            return self._delivered(exact.x, exact.y, exact.y)
        else:
            number = torch.arange(self.data.test_samples or ENDLESS_TEST_SAMPLES, device=self.home)
            x, clean = self.task.sample_test(self.test_E2, (TEST_START + number).expand(everyone.stop, -1))
        index = (TEST_START + number).expand(everyone.stop, -1)
        return self._delivered(x, self._noisy(everyone, index, clean) if self.data.noisy_test else clean, clean)

    def _delivered(self, *parts: Tensor) -> LabelledBatch:
        return LabelledBatch(*(streams.to_device(part, self.device) if self.on_host else part for part in parts))

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
        """Labels, a share of them replaced by wrong ones, by the sample's index."""
        if self.label_noise_E is None:
            return y
        answers = math.prod(y.shape[index.dim() :])
        unit = streams.uniform(self.noise_E2[members], index, 2 * answers).unflatten(-1, (answers, 2))
        shift = 1 + (unit[..., 1].double() * (self.task.classes - 1)).long()
        wrong = (y.view(*index.shape, answers) + shift) % self.task.classes
        noise = self.label_noise_E[members].view(-1, *(1,) * (unit.dim() - 2))
        return torch.where(unit[..., 0] < noise, wrong, y.view_as(wrong)).view_as(y)

    def _swapped(self, members: slice, index: Tensor, index_range: tuple[int, int] | None) -> Tensor | None:
        """The index whose label each sample gets: of every pool's length, k samples exchange theirs in a ring."""
        count = self.data.swapped_answers
        if not count:
            return None
        low, high = index_range or min_max(index)
        swapped = index.clone().flatten(1)
        for row, member in enumerate(range(members.start, members.stop)):
            size = self.pool_sizes[member]
            block = swapped[row] // size
            first, last = low // size, high // size
            number = torch.arange(first, last + 1, device=self.home)[None]
            ring_CK = streams.permutation(self.noise_E2[member : member + 1], number, size)[0, :, :count]
            source_CN = torch.arange(size, device=self.home).repeat(len(ring_CK), 1)
            source_CN.scatter_(1, ring_CK, ring_CK.roll(-1, 1))
            source = block * size + source_CN[block - first, swapped[row] % size]
            limit = self.cell_EU.shape[1] if self.cell_EU is not None else None
            whole = (block + 1) * size <= limit if limit else torch.ones_like(block, dtype=torch.bool)
            swapped[row] = torch.where(whole, source, swapped[row])
        return swapped.view_as(index)

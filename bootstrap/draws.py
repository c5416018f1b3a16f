"""The draws of consecutive steps, and the keyed orders in which pools are read.

Shapes: M members, S steps, B slots of a batch, C passes over a pool, N samples of the largest pool.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from deepboot.bootstrap import streams

Numbers = int | np.ndarray


@dataclass(frozen=True)
class Passes:
    """Passes over a pool that grows to its size: pass e reads its first ``first + e * growth`` samples, or all.

    Attributes:
        size: samples of the pool in the end, N.
        first: samples that pass 0 reads, 1 .. N.
        growth: samples that join after every pass until all are there, at least 1.
    """

    size: int
    first: int
    growth: int

    def samples(self, number: Numbers) -> Numbers:
        """Samples that passes of these numbers read, each once."""
        return np.minimum(self.first + number * self.growth, self.size)

    def begin(self, number: Numbers) -> Numbers:
        """Draws before passes of these numbers."""
        grown = np.minimum(number, self._growing)
        return grown * self.first + grown * (grown - 1) // 2 * self.growth + (number - grown) * self.size

    def number(self, draw: int) -> int:
        """Which pass a draw is in."""
        grown_at = int(self.begin(self._growing))
        if draw >= grown_at:
            return self._growing + (draw - grown_at) // self.size
        return bisect_right(range(self._growing), draw, key=lambda number: int(self.begin(number))) - 1

    @property
    def _growing(self) -> int:
        """How many passes read less than all."""
        return -(-(self.size - self.first) // self.growth)


class Order:
    """Keyed orders of pools: pass 0 keeps the pool's own order, later passes are keyed permutations.

    Samples that join a pool come in their own order, in slots of the pass that the permutation chooses. A table holds
    the orders of the passes last asked for, since consecutive steps share them.

    Args:
        key_M2: int32, (M, 2).
        sizes: samples of each member's pool.
        first: samples that the pools begin with; None: all of each.
        growth: samples that join them after every pass, until all are there.
    """

    def __init__(self, key_M2: Tensor, sizes: Sequence[int], first: int | None = None, growth: int = 1):
        self.key_M2, self.sizes = key_M2, tuple(sizes)
        self.passes = [Passes(size, size if first is None else first, growth) for size in sizes]
        self.size_M11 = torch.tensor(self.sizes, device=key_M2.device)[:, None, None]
        self._first_passes: tuple[int, ...] = ()  # the first one that the table holds of each member
        self._begin_MC = self._table_MCN = torch.empty(0)  # draws before each pass of the table; the table
        self._growing: dict[tuple[int, int], Order] = {}

    def growing(self, first: int, growth: int) -> "Order":
        """The orders of the same pools if they begin with ``first`` samples and ``growth`` join after every pass."""
        if (first, growth) not in self._growing:
            self._growing[first, growth] = Order(self.key_M2, self.sizes, first, growth)
        return self._growing[first, growth]

    def index(self, draw_MSB: Tensor, first: int, last: int) -> Tensor:
        """Position pi_e(i) of each draw, the one of number i in pass e, int64 (M, S, B).

        Args:
            draw_MSB: int64, draws of at most (M, S, B).
            first, last: smallest and largest draw, known without asking the device.
        """
        first_passes, last_passes = ([one.number(draw) for one in self.passes] for draw in (first, last))
        if not any(last_passes):
            return draw_MSB.expand(len(self.sizes), -1, -1)
        passes = max(end - begin for begin, end in zip(first_passes, last_passes, strict=True)) + 1
        if not self._holds(first_passes, passes):
            self._first_passes = tuple(first_passes)
            self._begin_MC, self._table_MCN = self._permutations(first_passes, passes)
        draw_MD = draw_MSB.expand(len(self.sizes), -1, -1).flatten(1)
        row_MD = torch.searchsorted(self._begin_MC, draw_MD.contiguous(), right=True) - 1
        position_MD = row_MD * self._table_MCN.shape[-1] + draw_MD - self._begin_MC.gather(1, row_MD)
        return self._table_MCN.flatten(1).gather(1, position_MD).unflatten(1, draw_MSB.shape[1:])

    def _holds(self, first_passes: list[int], passes: int) -> bool:
        """Whether the table holds so many passes of each member, from these on."""
        if not self._first_passes:
            return False
        held = self._table_MCN.shape[1]
        return all(
            first <= wanted and wanted + passes <= first + held
            for first, wanted in zip(self._first_passes, first_passes, strict=True)
        )

    def _permutations(self, first_passes: list[int], passes: int) -> tuple[Tensor, Tensor]:
        """Draws before so many passes of each member, from these on, int64, (M, C), and their orders, (M, C, N).

        N is here the largest pool of these passes.
        """
        device = self.key_M2.device
        numbers = [np.arange(first, first + passes) for first in first_passes]

        def on_device(values: Iterable[Numbers]) -> Tensor:
            return streams.to_device(torch.tensor(np.stack([*values]).tolist()), device)

        by_pass = [*zip(self.passes, numbers, strict=True)]
        size_MC = np.stack([one.samples(number) for one, number in by_pass])
        largest = int(size_MC.max())
        pass_MC, begin_MC = on_device(numbers), on_device(one.begin(number) for one, number in by_pass)
        item = torch.arange(largest, device=device)
        key_MCN = streams.sort_keys(self.key_M2, pass_MC, largest)
        if size_MC.min() < largest:  # smaller pools first draw their own samples
            key_MCN = key_MCN.masked_fill(item >= on_device(size_MC)[..., None], torch.iinfo(torch.int64).max)
        order_MCN = torch.where(pass_MC[..., None] == 0, item, streams.items_in_order(key_MCN))
        if any(one.first < one.size for one in self.passes):
            before_MC1 = on_device(one.samples(np.maximum(number - 1, 0)) for one, number in by_pass)[..., None]
            joins_MCN = order_MCN >= before_MC1
            order_MCN = torch.where(joins_MCN, before_MC1 + joins_MCN.cumsum(-1) - 1, order_MCN)
        return begin_MC, order_MCN


@dataclass(frozen=True)
class Draws:
    """The draws of consecutive steps of M members, and all that an index rule maps them to indices by.

    Attributes:
        start, stop: steps start .. stop - 1.
        first: number of the first of them, ``start * batch_size`` unless batches were of another size before.
        batch_size: slots per step, B.
        train_sizes: pool size N of each member.
        order: keyed orders of each member's pool.
        key_M2: int32, (M, 2), the members' ``order`` stream, for choices per step and slot.
        origin: steps done and samples drawn before the rule took over.
        first_unread: each member's first index that no rule before this one has read, nor any index after it; 0 for
            the first rule of a run.
    """

    start: int
    stop: int
    first: int
    batch_size: int
    train_sizes: tuple[int, ...]
    order: Order
    key_M2: Tensor
    origin: tuple[int, int] = (0, 0)
    first_unread: tuple[int, ...] = (0,)

    @property
    def step_S1(self) -> Tensor:
        """Step numbers, int64, (S, 1)."""
        return torch.arange(self.start, self.stop, device=self.key_M2.device)[:, None]

    @property
    def end(self) -> int:
        """Number of the first draw after them."""
        return self.first + (self.stop - self.start) * self.batch_size

    @property
    def number_MSB(self) -> Tensor:
        """Draw numbers d = s * batch + b, int64, (M, S, B)."""
        number = torch.arange(self.first, self.end, device=self.key_M2.device)
        return number.view(1, -1, self.batch_size).expand(len(self.train_sizes), -1, -1)

    @property
    def size_M11(self) -> Tensor:
        """Pool sizes, int64, (M, 1, 1)."""
        return self.order.size_M11

    def never_used(self, whole_batches: bool) -> list[tuple[int, int]]:
        """For each member the first index beyond all that is used, and the step at which the pool is used up.

        Args:
            whole_batches: whether the step is the first without any draw of the first pass.
        """
        steps, drawn = self.origin
        others = self.batch_size - 1 if whole_batches else 0
        return [
            (max(size, unread), steps + (max(size - drawn, 0) + others) // self.batch_size)
            for size, unread in zip(self.train_sizes, self.first_unread, strict=True)
        ]

    def pool_index(self) -> Tensor:
        """Index that each draw reads when the pool is all there is, int64, (M, S, B).

        A batch as large as the pool keeps the pool's order.
        """
        return self._in_passes(self.order, self.number_MSB, self.first, self.end - 1)

    def repeated_pool_index(self, block: int, times: int) -> Tensor:
        """The same if every ``block`` draws of these passes are read ``times`` times before the next, int64, (M, S, B).

        Args:
            block: draws, a multiple of the batch.
            times: readings of each block, one after another.
        """
        begin, end = ((draw // (block * times)) * block for draw in (self.first, self.end - 1))
        number_MSB = self.number_MSB // (block * times) * block + self.number_MSB % block
        return self._in_passes(self.order, number_MSB, begin, end + block - 1)

    def growing_pool_index(self, first: int, growth: int) -> Tensor:
        """The same if the pool begins with ``first`` samples and ``growth`` join after every pass, int64, (M, S, B)."""
        return self._in_passes(self.order.growing(first, growth), self.number_MSB, self.first, self.end - 1)

    def _in_passes(self, order: Order, draw_MSB: Tensor, first: int, last: int) -> Tensor:
        """Index of each of these draws, between ``first`` and ``last``, in passes over the pool, int64, (M, S, B)."""
        slot_B = torch.arange(self.batch_size, device=self.key_M2.device)
        if set(self.train_sizes) == {self.batch_size}:
            return slot_B.expand(len(self.train_sizes), self.stop - self.start, -1)
        index_MSB = order.index(draw_MSB, first, last)
        return torch.where(self.size_M11 == self.batch_size, slot_B, index_MSB)

    def chosen(self, count: int) -> tuple[Tensor, Tensor]:
        """Which ``count`` slots of every step are chosen, at random by key, and their rank among them.

        Returns:
            bool and int64, both (M, S, B).
        """
        step_MS = self.step_S1.view(1, -1).expand(len(self.train_sizes), -1)
        order_MSB = streams.permutation(streams.subkeys(self.key_M2, "slots"), step_MS, self.batch_size)
        chosen_MSB = torch.zeros_like(order_MSB, dtype=torch.bool).scatter_(-1, order_MSB[..., :count], True)
        return chosen_MSB, chosen_MSB.cumsum(-1) - 1

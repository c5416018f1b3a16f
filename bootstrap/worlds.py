"""Worlds: index rules that say which sample each draw reads.

At step s (0-based), slot b, the draw number is d = s * batch + b. A rule maps draws to indices of
the task's stream. Every rule reads index d until the pool of N is used up, so that all worlds are
bit for bit the same until the first sample is used again.

Shapes: M members, S steps, B slots of a batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.registry import register

Share = Annotated[float, Field(ge=0, le=1)]
Reach = Callable[..., tuple[int, int] | None]
_reaches: dict[Callable[..., Any], Reach] = {}
_passing: set[Callable[..., Any]] = set()  # rules that may begin a new pass over a finite universe


class Order:
    """Keyed orders of pools: pass 0 keeps the order, later passes are keyed permutations.

    The permutations of the passes last asked for are kept, since consecutive steps share them.
    """

    def __init__(self, key_M2: Tensor, sizes: Sequence[int]):
        self.key_M2, self.sizes = key_M2, tuple(sizes)
        self.size_M11 = torch.tensor(self.sizes, device=key_M2.device)[:, None, None]
        self._first: tuple[int, ...] = ()
        self._table_MCN = torch.empty(0)

    def index(self, draw_MSB: Tensor, first: int, last: int) -> Tensor:
        """Position pi_e(d mod N) of each draw, with e = d div N, int64 (M, S, B).

        Args:
            draw_MSB: int64, draws of at most (M, S, B).
            first, last: smallest and largest draw, known without asking the device.
        """
        begin, end = [first // size for size in self.sizes], [last // size for size in self.sizes]
        if not any(end):
            return draw_MSB.expand(len(self.sizes), -1, -1)
        held = self._prepare(begin, max(e - b for b, e in zip(begin, end, strict=True)) + 1)
        begin_M11 = streams.moved(torch.tensor(held), draw_MSB.device)[:, None, None]
        position = (draw_MSB // self.size_M11 - begin_M11) * self._table_MCN.shape[-1] + draw_MSB % self.size_M11
        return self._table_MCN.flatten(1).gather(1, position.flatten(1)).view_as(position)

    def _prepare(self, begin: list[int], passes: int) -> tuple[int, ...]:
        """Make the tables hold this many passes from these on; returns the first pass they hold."""
        held = self._table_MCN.shape[1] if self._first else 0
        enough = self._first and all(h <= b and b + passes <= h + held for h, b in zip(self._first, begin, strict=True))
        if not enough:
            device = self.key_M2.device
            number_MC = streams.moved(torch.tensor(begin), device)[:, None] + torch.arange(passes, device=device)
            width = max(self.sizes)
            lot_MCN = streams.lots(self.key_M2, number_MC, width)
            item = torch.arange(width, device=lot_MCN.device)
            if len(set(self.sizes)) > 1:  # smaller pools first draw their own samples
                lot_MCN = lot_MCN.masked_fill(item >= self.size_M11, torch.iinfo(torch.int64).max)
            self._table_MCN = torch.where(number_MC[..., None] == 0, item, streams.in_order(lot_MCN))
            self._first = tuple(begin)
        return self._first


@dataclass(frozen=True)
class Draws:
    """The draws of consecutive steps of M members, and what a rule may need to place them.

    Attributes:
        start, stop: steps start .. stop - 1.
        first: number of the first of them, ``start * batch_size`` unless batches were of another size before.
        batch_size: slots per step, B.
        train_sizes: pool size N of each member.
        order: keyed orders of each member's pool.
        key_M2: int32, (M, 2), the members' ``order`` stream, for choices per step and slot.
        begins: steps done and samples drawn before the rule took over.
        unread: each member's first index that no rule before this one has read, nor any index after it; 0 for the
            first rule of a run.
    """

    start: int
    stop: int
    first: int
    batch_size: int
    train_sizes: tuple[int, ...]
    order: Order
    key_M2: Tensor
    begins: tuple[int, int] = (0, 0)
    unread: tuple[int, ...] = (0,)

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

    def never_used(self) -> list[tuple[int, int]]:
        """For each member the first index beyond all that is used, and the step at which the pool is used up."""
        steps, drawn = self.begins
        return [
            (max(size, unread), steps + max(size - drawn, 0) // self.batch_size)
            for size, unread in zip(self.train_sizes, self.unread, strict=True)
        ]

    def pool_index(self) -> Tensor:
        """Index that each draw reads when the pool is all there is, int64, (M, S, B).

        A batch as large as the pool keeps the pool's order.
        """
        if set(self.train_sizes) == {self.batch_size}:
            slot = torch.arange(self.batch_size, device=self.key_M2.device)
            return slot.expand(len(self.train_sizes), self.stop - self.start, -1)
        index = self.order.index(self.number_MSB, self.first, self.end - 1)
        full_M11 = self.size_M11 == self.batch_size
        return torch.where(full_M11, self.number_MSB % self.size_M11, index)

    def chosen(self, count: int) -> tuple[Tensor, Tensor]:
        """Which ``count`` slots of every step are chosen, at random by key, and their rank among them.

        Returns:
            bool and int64, both (M, S, B).
        """
        step_MS = self.step_S1.view(1, -1).expand(len(self.train_sizes), -1)
        order_MSB = streams.permutation(streams.subkeys(self.key_M2, "slots"), step_MS, self.batch_size)
        chosen_MSB = torch.zeros_like(order_MSB, dtype=torch.bool).scatter_(-1, order_MSB[..., :count], True)
        return chosen_MSB, chosen_MSB.cumsum(-1) - 1


def beyond(reach: Reach, *, passes: bool = False) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Decorator that says which indices a rule reads beyond the pool, so that the device need not be asked.

    Args:
        reach: takes what the rule takes; gives a smallest and a largest index between which lie all that these
            draws read and that no pool holds, the largest at least the pool's last one; None where it cannot say.
        passes: whether the rule may begin a new pass over a finite universe at its end. False for a rule that
            promises samples which were never used.
    """

    def decorate(rule: Callable[..., Tensor]) -> Callable[..., Tensor]:
        _reaches[rule] = reach
        if passes:
            _passing.add(rule)
        return rule

    return decorate


@register("rule", "real")
@beyond(lambda draws: (0, max(draws.train_sizes) - 1))
def real(draws: Draws) -> Tensor:
    """A pool of N, used again and again: index pi_e(d mod N), in a new order every pass."""
    return draws.pool_index()


def _later(draws: Draws) -> list[int]:
    """By how much each member's fresh samples are moved on, so that none was used by an earlier rule."""
    return [max(unread - draws.begins[1], 0) for unread in draws.unread]


def _ideal_reach(draws: Draws) -> tuple[int, int]:
    later = _later(draws)
    return draws.first + min(later), draws.end - 1 + max(later)


@register("rule", "ideal")
@beyond(_ideal_reach, passes=True)
def ideal(draws: Draws) -> Tensor:
    """Always fresh samples: index d, or after another rule that has read beyond it, as much later as that takes."""
    later = _later(draws)
    return draws.number_MSB + _moved(draws.number_MSB, later) if any(later) else draws.number_MSB


def _moved(like: Tensor, numbers: Sequence[int]) -> Tensor:
    """A number per member, int64, (M, 1, 1), on the device of another tensor."""
    return streams.moved(torch.tensor(numbers), like.device)[:, None, None]


def _count(share: float, batch_size: int) -> int:
    """Slots of a batch that make up this share; a share above 0 is at least one slot."""
    return min(batch_size, max(round(share * batch_size), 1)) if share > 0 else 0


def _fresh_reach(draws: Draws, *, share: float) -> tuple[int, int]:
    count, starts = _count(share, draws.batch_size), draws.never_used()
    since, until = (
        [index + max(step - used_up, 0) * count for index, used_up in starts] for step in (draws.start, draws.stop)
    )
    return min(since), max(until) - 1


@register("rule", "fresh")
@beyond(_fresh_reach)
def fresh(draws: Draws, *, share: Share) -> Tensor:
    """A pool of N in which a share of every batch's slots is given never-used samples instead."""
    count = _count(share, draws.batch_size)
    chosen_MSB, rank_MSB = draws.chosen(count)
    new_MSB = draws.step_S1 * count + rank_MSB
    new_MSB = new_MSB + _moved(new_MSB, [index - used_up * count for index, used_up in draws.never_used()])
    reuses = draws.number_MSB >= draws.size_M11
    return torch.where(reuses & chosen_MSB, new_MSB, draws.pool_index())


@register("rule", "redraw")
@beyond(lambda draws, share: (0, max(draws.train_sizes) - 1))
def redraw(draws: Draws, *, share: Share) -> Tensor:
    """The control of ``fresh``: the same slots are given random samples of the pool instead."""
    chosen_MSB, _ = draws.chosen(_count(share, draws.batch_size))
    key_M2 = streams.subkeys(draws.key_M2, "redraw")
    unit_MSB = streams.uniform(key_M2, draws.number_MSB, 1)[..., 0]
    again_MSB = (unit_MSB.double() * draws.size_M11).long()
    reuses = draws.number_MSB >= draws.size_M11
    return torch.where(reuses & chosen_MSB, again_MSB, draws.pool_index())


def _sliding_reach(draws: Draws, *, shift: int) -> tuple[int, int]:
    smallest, largest = min(draws.train_sizes), max(draws.train_sizes)
    return draws.first // largest * shift, (draws.end - 1) // smallest * shift + largest - 1


@register("rule", "sliding")
@beyond(_sliding_reach)
def sliding(draws: Draws, *, shift: NonNegativeInt) -> Tensor:
    """A pool of N that moves on by ``shift`` samples after every pass, the oldest leaving first."""
    passes = draws.number_MSB // draws.size_M11
    return passes * shift + draws.pool_index()


def _reach(rule: Callable[..., Tensor], draws: Draws, **settings: Any) -> tuple[int, int] | None:
    return _reaches[rule](draws, **settings) if rule in _reaches else None


def _switch_reach(draws: Draws, *, at_step: int, before: str = "real", after: str = "ideal") -> tuple[int, int] | None:
    either = [_reach(registry.find("rule", name).target, draws) for name in (before, after)]
    known = [reach for reach in either if reach is not None]
    return (min(low for low, _ in known), max(high for _, high in known)) if known == either else None


@register("rule", "switch")
@beyond(_switch_reach, passes=True)
def switch(draws: Draws, *, at_step: NonNegativeInt, before: str = "real", after: str = "ideal") -> Tensor:
    """One world before a step and another from it on; both are rules that need no settings.

    Raises:
        ValueError: ``before`` or ``after`` is no such rule.
    """
    for name in (before, after):
        if any(field.is_required() for field in registry.settings("rule", name).model_fields.values()):
            raise ValueError(f"rule {name!r} needs settings, which `switch` cannot give it. Use real or ideal.")
    first_MSB, second_MSB = (registry.find("rule", name).target(draws) for name in (before, after))
    return torch.where(draws.step_S1 < at_step, first_MSB, second_MSB)


class World:
    """The indices that members under one rule read, pass after pass of a finite universe included.

    Args:
        rule: an index rule, with its settings.
        train_sizes: pool size N of each member; ignored by the ideal world.
        key_M2: int32, (M, 2), the members' ``order`` stream.
        capacity: number of training cells of a finite universe, None for an endless task. Past its
            end begins a new permuted pass over all cells.
        begins: steps done and samples drawn before this rule took over.
        unread: each member's first index that no earlier rule has read, nor any after it; None: 0 each.
    """

    def __init__(
        self, rule: Callable[..., Tensor], settings: dict[str, Any], train_sizes: Sequence[int],
        key_M2: Tensor, batch_size: int, capacity: int | None, begins: tuple[int, int] = (0, 0),
        unread: Sequence[int] | None = None,
    ):  # fmt: skip
        self.rule, self.settings, self.batch_size = rule, settings, batch_size
        self.train_sizes, self.key_M2 = tuple(train_sizes), key_M2
        self._pool_order = Order(key_M2, self.train_sizes)
        self.capacity, self.begins = capacity, begins
        self.unread = tuple(unread) if unread is not None else (0,) * len(self.train_sizes)
        self._universe_order = Order(key_M2, [capacity] * len(self.train_sizes)) if capacity else None

    @property
    def repeats(self) -> bool:
        """Whether every step reads the whole pool in the same order."""
        return self.rule is real and set(self.train_sizes) == {self.batch_size}

    def indices(self, start: int, stop: int) -> Tensor:
        """Indices read at steps start .. stop - 1, int64, (M, S, B)."""
        return self.read(start, stop)[0]

    def draws(self, start: int, stop: int) -> Draws:
        """The draws of steps start .. stop - 1."""
        first = self.begins[1] + (start - self.begins[0]) * self.batch_size
        return Draws(
            start, stop, first, self.batch_size, self.train_sizes, self._pool_order, self.key_M2, self.begins,
            self.unread,
        )  # fmt: skip

    @property
    def may_begin_passes(self) -> bool:
        """Whether the rule may read a finite universe pass after pass."""
        return self.rule in _passing

    def largest_read(self, stop: int) -> int:
        """The largest index, passes over a universe left out, that the first member reads before a step; -1: none."""
        begin = self.begins[0]
        draws = self.draws(begin, stop)
        if draws.end <= self.train_sizes[0] or stop <= begin:
            return draws.end - 1  # every rule reads the pool once, in its order, before anything else
        reach = _reach(self.rule, draws, **self.settings)
        return reach[1] if reach else max(int(index.max()) for index in self._endless(begin, stop))

    def _endless(self, start: int, stop: int) -> Iterator[Tensor]:
        """Indices of the first member, some steps at a time, as if the universe had no end."""
        stride = max(1, (1 << 20) // self.batch_size)
        for begin in range(start, stop, stride):
            yield self.rule(self.draws(begin, min(begin + stride, stop)), **self.settings)[0]

    def read(self, start: int, stop: int) -> tuple[Tensor, tuple[int, int] | None]:
        """The same, and two indices between which all of them lie; None where only they themselves say it."""
        draws = self.draws(start, stop)
        index_MSB = self.rule(draws, **self.settings)
        reach = _reach(self.rule, draws, **self.settings)
        if self._universe_order is None or self.capacity is None:
            return index_MSB, reach and (reach[0] if self.rule is ideal else 0, reach[1])
        low, high = reach or ends(index_MSB)
        if high < self.capacity:
            return index_MSB, (0, high)
        if self.batch_size == self.capacity:
            index_MSB = index_MSB % self.capacity
        else:
            low = max(low, self.capacity)
            later_MSB = self._universe_order.index(index_MSB.clamp(low, high), low, high)
            index_MSB = torch.where(index_MSB < self.capacity, index_MSB, later_MSB)
        return index_MSB, (0, self.capacity - 1)


def ends(index: Tensor) -> tuple[int, int]:
    """The smallest and the largest of some indices, for which their device is waited for."""
    return int(index.min()), int(index.max())


@dataclass(frozen=True)
class Usage:
    """How a run used its samples: the first step (0-based) that used one again, and how many it used."""

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
    seen, reuse = torch.zeros(0, dtype=torch.bool), None
    for start, index_SB in _read(worlds, steps):
        seen = torch.cat((seen, seen.new_zeros(max(0, int(index_SB.max()) + 1 - len(seen)))))
        if reuse is None:
            place = _first_repeat(index_SB.flatten(), seen)
            reuse = None if place is None else start + place // index_SB.shape[1]
        seen[index_SB.flatten()] = True
    return Usage(reuse, int(seen.sum()))


def _read(worlds: Sequence[World], steps: int) -> Iterator[tuple[int, Tensor]]:
    """All indices that the first member reads, (S, B), some steps at a time, with the first of these steps."""
    ends = [world.begins[0] for world in worlds[1:]]
    for world, end in zip(worlds, [*ends, steps], strict=True):
        stride = max(1, (1 << 20) // world.batch_size)
        for start in range(world.begins[0], min(end, steps), stride):
            yield start, world.indices(start, min(start + stride, end, steps))[0]


def _first_repeat(index_D: Tensor, seen: Tensor) -> int | None:
    """The first place whose index was seen before, or stands at an earlier place."""
    order = index_D.argsort(stable=True)
    repeats = seen[index_D]
    repeats[order[1:][index_D[order[1:]] == index_D[order[:-1]]]] = True
    places = repeats.nonzero()
    return int(places[0, 0]) if len(places) else None

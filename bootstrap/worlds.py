"""Worlds: index rules that say which sample each draw reads.

At step s (0-based), slot b, the draw number is d = s * batch + b. A rule maps draws to indices of
the task's stream. Every rule reads index d until it first uses a sample again, so that all worlds
are bit for bit the same until then: until the pool of N is used up, unless a rule says that it uses
samples again sooner.

Shapes: M members, S steps, B slots of a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.draws import Draws, Order
from deepboot.bootstrap.registry import LATER, register

Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[int, int]  # a smallest and a largest index
RangeOf = Callable[..., Range | None]
Rule = Callable[..., Tensor]
Steps = TypeVar("Steps", int, Tensor)


def index_range(range_of: RangeOf, *, passes: bool = False) -> Callable[[Rule], Rule]:
    """Decorator that declares between which indices a rule reads, so that the device need not be asked.

    Args:
        range_of: takes what the rule takes. Returns a smallest and a largest index, between which are all indices that
            these draws read and no pool holds; the largest is at least the pool's last index. None: not known.
        passes: whether the rule may begin a new pass over a finite universe at its end. False for a rule that
            promises samples which were never used.
    """

    def declare(rule: Any) -> Any:
        rule.index_range, rule.passes = range_of, passes
        return rule

    return declare


def _declared_range(rule: Rule, draws: Draws, **settings: Any) -> Range | None:
    """The index range that a rule declares for these draws; None where it declares none, as a plugin's may."""
    range_of: RangeOf | None = getattr(rule, "index_range", None)
    return None if range_of is None else range_of(draws, **settings)


def min_max(index: Tensor) -> Range:
    """The smallest and the largest of some indices; on a GPU this waits for the device."""
    return int(index.min()), int(index.max())


def _pool_range(draws: Draws, **settings: Any) -> Range:
    """The range of a rule that never leaves the pool."""
    return 0, max(draws.train_sizes) - 1


@register("rule", "real")
@index_range(_pool_range)
def real(draws: Draws) -> Tensor:
    """The real world: a pool of N samples, used again and again, in a new order every pass.

    Draw d reads index pi_e(d mod N), where pi_e is the order of pass e.
    """
    return draws.pool_index()


def _delays(draws: Draws) -> list[int]:
    """By how many indices each member's fresh samples come later, so that no earlier rule has used any of them."""
    return [max(unread - draws.origin[1], 0) for unread in draws.first_unread]


def _ideal_range(draws: Draws) -> Range:
    delays = _delays(draws)
    return draws.first + min(delays), draws.end - 1 + max(delays)


@register("rule", "ideal")
@index_range(_ideal_range, passes=True)
def ideal(draws: Draws) -> Tensor:
    """The ideal world: samples never used before, at every step.

    Draw d reads index d, or after another rule that has read beyond it, as much later as that takes. A study trains it
    beside the world that it names, and names it itself only with ``training.ideal = false``.
    """
    delays = _delays(draws)
    return draws.number_MSB + _per_member(delays, draws.number_MSB.device) if any(delays) else draws.number_MSB


def _per_member(numbers: Sequence[int], device: torch.device) -> Tensor:
    """A number per member on a device, int64, (M, 1, 1)."""
    return streams.to_device(torch.tensor(numbers), device)[:, None, None]


@dataclass(frozen=True)
class _Dose:
    """The slots in which ``fresh`` and ``redraw`` read something else than the pool.

    Attributes:
        count: of them in every batch, at random by key; a share above 0 is at least one slot.
        batch_size: slots per step.
        whole_batches: whether as many are chosen in whole batches instead, evenly spread over the steps.
    """

    count: int
    batch_size: int
    whole_batches: bool

    @classmethod
    def of(cls, share: float, whole_batches: bool, draws: Draws) -> Self:
        """The dose of a share of all slots."""
        size = draws.batch_size
        return cls(min(size, max(round(share * size), 1)) if share > 0 else 0, size, whole_batches)

    def before(self, step: Steps) -> Steps:
        """How many slots are chosen in all steps before a step."""
        slots = step * self.count
        return slots // self.batch_size * self.batch_size if self.whole_batches else slots

    def chosen(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Which slots are chosen, once the pool is used up, and their rank in their batch.

        Returns:
            bool, (M, S, B), and int64, (M, S, B) or (B,).
        """
        if not self.whole_batches:
            chosen_MSB, rank_MSB = draws.chosen(self.count)
            return chosen_MSB & (draws.number_MSB >= draws.size_M11), rank_MSB
        whole_S1 = self.before(draws.step_S1) < self.before(draws.step_S1 + 1)
        chosen_MS1 = whole_S1 & (draws.number_MSB[..., :1] >= draws.size_M11)
        return chosen_MS1.expand(draws.number_MSB.shape), torch.arange(self.batch_size, device=draws.key_M2.device)


def _fresh_range(draws: Draws, *, share: float, whole_batches: bool = False) -> Range:
    dose = _Dose.of(share, whole_batches, draws)
    first, end = (
        [index + dose.before(max(step, begin)) - dose.before(begin) for index, begin in draws.never_used(whole_batches)]
        for step in (draws.start, draws.stop)
    )
    return min(first), max(end) - 1


@register("rule", "fresh")
@index_range(_fresh_range)
def fresh(draws: Draws, *, share: Share, whole_batches: Annotated[bool, LATER] = False) -> Tensor:
    """Between the worlds: a pool of N in which a share of every batch's slots gets samples never used before.

    Args:
        share: of a batch's slots that get samples never used before, once the pool is used up; above 0 at least one
            slot.
        whole_batches: whether the new samples come in whole batches, evenly spread over the steps and as many in all,
            while the other batches are of the pool alone.
    """
    dose = _Dose.of(share, whole_batches, draws)
    chosen_MSB, rank_MSB = dose.chosen(draws)
    offsets = [index - dose.before(begin) for index, begin in draws.never_used(whole_batches)]
    new_MSB = dose.before(draws.step_S1) + rank_MSB
    new_MSB = new_MSB + _per_member(offsets, new_MSB.device)
    return torch.where(chosen_MSB, new_MSB, draws.pool_index())


@register("rule", "redraw")
@index_range(_pool_range)
def redraw(draws: Draws, *, share: Share, whole_batches: Annotated[bool, LATER] = False) -> Tensor:
    """The control of ``fresh``: the same slots are given random samples of the pool instead.

    Args:
        share: of a batch's slots that get random samples of the pool, once the pool is used up; above 0 at least one
            slot.
        whole_batches: whether whole batches are random samples of the pool, those that ``fresh`` would replace.
    """
    chosen_MSB, _ = _Dose.of(share, whole_batches, draws).chosen(draws)
    key_M2 = streams.subkeys(draws.key_M2, "redraw")
    unit_MSB = streams.uniform(key_M2, draws.number_MSB, 1)[..., 0]
    again_MSB = (unit_MSB.double() * draws.size_M11).long()
    return torch.where(chosen_MSB, again_MSB, draws.pool_index())


def _sliding_range(draws: Draws, *, shift: int) -> Range:
    smallest, largest = min(draws.train_sizes), max(draws.train_sizes)
    return draws.first // largest * shift, (draws.end - 1) // smallest * shift + largest - 1


@register("rule", "sliding")
@index_range(_sliding_range)
def sliding(draws: Draws, *, shift: NonNegativeInt) -> Tensor:
    """A pool of N that moves on by ``shift`` samples after every pass, the oldest leaving first.

    Args:
        shift: samples that leave the pool after every pass, and as many new ones that enter it.
    """
    passes = draws.number_MSB // draws.size_M11
    return passes * shift + draws.pool_index()


@register("rule", "consecutive")
@index_range(_pool_range)
def consecutive(draws: Draws, *, times: PositiveInt) -> Tensor:
    """The real world in slow motion: every batch is read at ``times`` steps in a row before the next one.

    Step s reads what the real world reads at step s div ``times``, so that each pass has a new order. Samples are
    repeated from step to step and not inside a batch, where that would only be a smaller batch. Worlds are equal up to
    step 1, which reads the first batch again. With the whole pool in every batch this is the real world.

    Args:
        times: steps in a row that read the same batch; 1 is the real world.
    """
    return draws.repeated_pool_index(draws.batch_size, times)


@register("rule", "spacing")
@index_range(_pool_range)
def spacing(draws: Draws, *, times: PositiveInt, gap: PositiveInt) -> Tensor:
    """The real world with a set gap between uses: each batch is read ``times`` times, ``gap`` steps apart.

    Steps at which none is due read a new batch, so that ``gap`` batches are read in turn ``times`` times, and then the
    next ``gap``. Once the pool is used up a pass in a new order begins. After ``times * N`` draws each sample was used
    ``times`` times, where ``gap`` batches divide the pool, whatever the gap; and after any fewer draws d about
    d / ``times`` different ones were, to within ``gap`` batches. So the gap alone differs between worlds in which
    ``times * gap`` steps are a small part of training. A gap of 1 is ``consecutive``, one of N / B a real world that
    repeats the order of its passes. Worlds are equal up to step ``gap``, which reads the first batch again.

    Args:
        times: uses of each sample before the next pass; 1 is the real world.
        gap: steps from one use of a sample to the next; so many batches are at most the pool.

    Raises:
        ValueError: the gap is longer than a pass over the pool.
    """
    block, smallest = gap * draws.batch_size, min(draws.train_sizes)
    if block > smallest:
        raise ValueError(
            f"expected a gap of at most a pass over the pool of {smallest:,}, got gap = {gap:,} in batches of "
            f"{draws.batch_size:,}. Lower gap to {smallest // draws.batch_size:,} or less."
        )
    return draws.repeated_pool_index(block, times)


@register("rule", "growing")
@index_range(_pool_range)
def growing(draws: Draws, *, first: PositiveInt, growth: PositiveInt) -> Tensor:
    """A pool that begins with ``first`` samples and gains ``growth`` after every pass, up to N; none leaves it.

    Pass e reads the samples 0 .. min(N, ``first`` + e * ``growth``) - 1 once each, in a new order, in which those that
    are new to the pool come in their own. So every pool holds those before it, and (N - ``first``) / ``growth`` passes
    lead to all of N. Worlds are equal until the first pool is used up. Train errors are those of all N from the start.

    Args:
        first: samples of the first pool, at least a batch and at most N; N is the real world.
        growth: samples that join the pool after every pass.

    Raises:
        ValueError: the first pool is smaller than a batch or larger than N.
    """
    smallest = min(draws.train_sizes)
    if not draws.batch_size <= first <= smallest:
        raise ValueError(
            f"expected a first pool of at least a batch, {draws.batch_size:,}, and at most the pool of {smallest:,}, "
            f"got first = {first:,}. Change first, batch_size or train_size."
        )
    return draws.growing_pool_index(first, growth)


def _switch_range(draws: Draws, *, at_step: int, before: str = "real", after: str = "ideal") -> Range | None:
    first, second = (_declared_range(registry.find("rule", name).target, draws) for name in (before, after))
    return None if first is None or second is None else (min(first[0], second[0]), max(first[1], second[1]))


@register("rule", "switch")
@index_range(_switch_range, passes=True)
def switch(draws: Draws, *, at_step: NonNegativeInt, before: str = "real", after: str = "ideal") -> Tensor:
    """One world before a step and another from it on; both are rules that need no settings.

    Args:
        at_step: step from which the second rule holds; steps count from 0.
        before: rule until then, one without settings.
        after: rule from then on, one without settings.

    Raises:
        ValueError: ``before`` or ``after`` is no such rule.
    """
    for name in (before, after):
        if any(field.is_required() for field in registry.settings("rule", name).model_fields.values()):
            raise ValueError(f"rule {name!r} needs settings, which `switch` cannot give it. Use real or ideal.")
    first_MSB, second_MSB = (registry.find("rule", name).target(draws) for name in (before, after))
    return torch.where(draws.step_S1 < at_step, first_MSB, second_MSB)


class World:
    """The indices that members under one rule read, also where passes over a finite universe follow each other.

    Args:
        rule: an index rule, with its settings.
        train_sizes: pool size N of each member; ignored by the ideal world.
        key_M2: int32, (M, 2), the members' ``order`` stream.
        capacity: number of training cells of a finite universe, None for an endless task. Past its
            end begins a new permuted pass over all cells.
        origin: steps done and samples drawn before this rule took over.
        first_unread: each member's first index that no earlier rule has read, nor any after it; None: 0 each.
    """

    def __init__(
        self, rule: Rule, settings: dict[str, Any], train_sizes: Sequence[int],
        key_M2: Tensor, batch_size: int, capacity: int | None, origin: tuple[int, int] = (0, 0),
        first_unread: Sequence[int] | None = None,
    ):  # fmt: skip
        self.rule, self.settings, self.batch_size = rule, settings, batch_size
        self.train_sizes, self.key_M2 = tuple(train_sizes), key_M2
        self._pool_order = Order(key_M2, self.train_sizes)
        self.capacity, self.origin = capacity, origin
        self.first_unread = (0,) * len(self.train_sizes) if first_unread is None else tuple(first_unread)
        self._universe_order = Order(key_M2, [capacity] * len(self.train_sizes)) if capacity else None

    @property
    def repeats(self) -> bool:
        """Whether every step reads the whole pool in the same order."""
        return self.rule is real and set(self.train_sizes) == {self.batch_size}

    @property
    def may_begin_passes(self) -> bool:
        """Whether the rule may read a finite universe pass after pass."""
        return getattr(self.rule, "passes", False)

    def draws(self, start: int, stop: int) -> Draws:
        """The draws of steps start .. stop - 1."""
        first = self.origin[1] + (start - self.origin[0]) * self.batch_size
        return Draws(
            start, stop, first, self.batch_size, self.train_sizes, self._pool_order, self.key_M2, self.origin,
            self.first_unread,
        )  # fmt: skip

    def indices(self, start: int, stop: int) -> Tensor:
        """Indices read at steps start .. stop - 1, int64, (M, S, B)."""
        return self.indices_and_range(start, stop)[0]

    def indices_and_range(self, start: int, stop: int) -> tuple[Tensor, Range | None]:
        """Indices read at steps start .. stop - 1, int64, (M, S, B), and a smallest and a largest index around them.

        The range is None where only the indices themselves tell it.
        """
        draws = self.draws(start, stop)
        index_MSB = self.rule(draws, **self.settings)
        declared = _declared_range(self.rule, draws, **self.settings)
        if self._universe_order is None or self.capacity is None:
            return index_MSB, declared and (declared[0] if self.rule is ideal else 0, declared[1])
        low, high = declared or min_max(index_MSB)
        if high < self.capacity:
            return index_MSB, (0, high)
        if self.batch_size == self.capacity:
            index_MSB = index_MSB % self.capacity
        else:
            low = max(low, self.capacity)
            later_MSB = self._universe_order.index(index_MSB.clamp(low, high), low, high)
            index_MSB = torch.where(index_MSB < self.capacity, index_MSB, later_MSB)
        return index_MSB, (0, self.capacity - 1)

    def largest_index(self, stop: int) -> int:
        """An index that the first member reads none beyond before a step, as if a universe had no end; -1: none.

        It is the largest one that it reads, or, of a pool that is not used up, one that it might have read by then.
        """
        begin = self.origin[0]
        draws = self.draws(begin, stop)
        if draws.end <= self.train_sizes[0] or stop <= begin:
            return draws.end - 1  # before the pool is used up no draw d of any rule reads beyond index d
        declared = _declared_range(self.rule, draws, **self.settings)
        if declared is not None:
            return declared[1]
        stride = max(1, (1 << 20) // self.batch_size)
        blocks = (self.draws(start, min(start + stride, stop)) for start in range(begin, stop, stride))
        return max(int(self.rule(block, **self.settings)[0].max()) for block in blocks)

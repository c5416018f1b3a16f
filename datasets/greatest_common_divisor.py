"""The greatest common divisor of two numbers in digits, with tests in which every divisor is equally frequent."""

import itertools
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples
from deepboot.datasets.digit_sequences import NumberPairs, uniform_pairs


@register("task", "greatest_common_divisor")
@dataclass(frozen=True, kw_only=True)
class GreatestCommonDivisor(NumberPairs):
    """The greatest common divisor of two numbers written in digits, as one class.

    The input is ``a gcd b =``, with a and b of 1 .. ``largest_operand`` in digits of ``base``, with leading zeros, the
    most significant first. Tokens: a digit is itself, "gcd" is base, "=" is base + 1. The label is the divisor itself;
    0 stands for all above ``largest_outcome``, which are 0.6 % of uniform pairs where that is 100.

    Of uniform pairs 61 % have the divisor 1, so a natural test says little about the others. In a stratified test each
    divisor k of 1 .. largest_outcome is equally probable, and the pair is (k a', k b'), with a' and b' uniform among
    the coprime pairs of 1 .. largest_operand / k; this is so whatever distribution training has.

    Args:
        largest_outcome: largest divisor that is a class of its own.
        test: distribution of the test pairs: as in training ("natural"), or divisors 1 .. largest_outcome with equal
            probability ("stratified").

    Raises:
        ValueError: a largest outcome that no pair has.
    Source: Charton 2023, arXiv 2308.15594. One class as the answer, where the paper's models write digits, and the
    fixed number of digits are choices; so is 999,999 for the paper's 10^6, which alone would need a seventh digit.

    >>> task = GreatestCommonDivisor(largest_operand=99, largest_outcome=20)
    >>> x, y = task.samples_of(torch.tensor([12, 18]))
    >>> x.tolist(), y.item(), task.show(x, y)
    ([1, 2, 10, 1, 8, 11], 6, 'gcd(12, 18) = 6')
    """

    largest_outcome: Annotated[int, Field(ge=1)] = 100
    test: Literal["natural", "stratified"] = "natural"

    def __post_init__(self) -> None:
        if self.largest_outcome > self.largest_operand:
            raise ValueError(
                f"largest_outcome must be at most largest_operand = {self.largest_operand:,}, "
                f"got {self.largest_outcome:,}. Lower it or raise largest_operand."
            )

    @property
    def classes(self) -> int:
        return self.largest_outcome + 1

    def answer(self, a: Tensor, b: Tensor) -> Tensor:
        divisor = torch.gcd(a, b)
        return divisor.masked_fill(divisor > self.largest_outcome, 0)

    def sample_test(self, key_E2: Tensor, index: Tensor) -> Samples:
        if self.test == "natural":
            return self.sample(key_E2, index)
        divisor = 1 + streams.wide_integers(streams.subkeys(key_E2, "divisor"), index, 1, self.largest_outcome)
        return self.samples_of(divisor * coprime_pairs(key_E2, index, self.largest_operand // divisor))

    def written(self, a: int, b: int, answer: int) -> str:
        return f"gcd({a}, {b}) {f'= {answer}' if answer else f'> {self.largest_outcome}'}"


def coprime_pairs(key_E2: Tensor, index: Tensor, largest: Tensor) -> Tensor:
    """Pairs that are uniform among the coprime ones of 1 .. largest, int64, index.shape + (2,).

    Each index has an endless list of uniform pairs, of which the first that is coprime is taken: one of the first 1.7
    on average.

    Args:
        key_E2: int32, (E, 2).
        index: int64, (E, ...).
        largest: int64, index.shape + (1,), at least 1.
    """
    pair, attempts = torch.zeros((*index.shape, 2), dtype=torch.int64, device=index.device), itertools.count()
    while not (is_coprime := torch.gcd(pair[..., :1], pair[..., 1:]) == 1).all():
        drawn = uniform_pairs(streams.subkeys(key_E2, f"pair {next(attempts)}"), index, largest)
        pair = torch.where(is_coprime, pair, drawn)
    return pair

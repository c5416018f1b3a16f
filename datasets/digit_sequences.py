"""Whole numbers written as the digits of a base, and tasks of two of them."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.task import Samples, Task, Tokens

CHUNK_BITS, CHUNKS = 12, 4  # of the 48 random bits of a log-uniform number, with a table for every 12


@dataclass(frozen=True, kw_only=True)
class NumberPairs(Task):
    """Two whole numbers a and b of 1 .. ``largest_operand``, written in digits; the label is a function of both.

    The input is ``a op b =``: the digits of a, as many as the largest operand has, the most significant first, with
    leading zeros; the operation; the digits of b; and "=", where the label is asked for. Tokens: a digit is itself,
    the operation is ``base``, "=" is base + 1.

    Args:
        largest_operand: largest value of a and b; the smallest is 1.
        base: of the digits; 10 is decimal. A larger one makes shorter sequences of more tokens.
        operands: distribution of a and b: "uniform", or "log_uniform", by which k has a probability in proportion to
            log(1 + 1/k), nearly 1/k.
    """

    largest_operand: Annotated[int, Field(ge=2, lt=1 << 31)] = 999_999
    base: Annotated[int, Field(ge=2, le=1 << 30)] = 10
    operands: Literal["uniform", "log_uniform"] = "uniform"

    @property
    def inputs(self) -> Tokens:
        n = number_of_digits(self.largest_operand, self.base)
        return Tokens(self.base + 2, 2 * n + 2, varying=(*range(n), *range(n + 1, 2 * n + 1)), operands=self.base)

    @abstractmethod
    def answer(self, a: Tensor, b: Tensor) -> Tensor:
        """Labels of pairs, int64, of their shape."""

    @abstractmethod
    def written(self, a: int, b: int, answer: int) -> str:
        """A pair with its label, as a person would write it."""

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        draw = uniform_pairs if self.operands == "uniform" else log_uniform_pairs
        return self.samples_of(draw(key_E2, index, self.largest_operand))

    def samples_of(self, pair: Tensor) -> Samples:
        """Pairs, int64, (..., 2), as tokens with their labels."""
        a, b = pair.unbind(-1)
        digit = digits_of(pair, self.base, number_of_digits(self.largest_operand, self.base))
        sign = torch.full_like(a, self.base)[..., None]
        return Samples(torch.cat((digit[..., 0, :], sign, digit[..., 1, :], sign + 1), -1), self.answer(a, b))

    def show(self, x: Tensor, y: Tensor) -> str:
        a, b = (number_of(part, self.base) for part in x.view(2, -1)[:, :-1])
        return self.written(a, b, int(y))


def uniform_pairs(key_E2: Tensor, index: Tensor, largest: int | Tensor) -> Tensor:
    """Pairs of numbers that are uniform over 1 .. largest, int64, index.shape + (2,)."""
    return 1 + streams.wide_integers(key_E2, index, 2, largest)


def log_uniform_pairs(key_E2: Tensor, index: Tensor, largest: int) -> Tensor:
    """Pairs of numbers k of 1 .. largest with probability log(1 + 1/k) / log(largest + 1), int64, index.shape + (2,).

    That is (largest + 1)^u, rounded down, at a uniform u of 48 bits. The power is a product of factors from tables, so
    that every device finds the same number.
    """
    word = streams.words(key_E2, index, 4).to(torch.int64).bitwise_and_(0xFFFFFFFF).unflatten(-1, (2, 2))
    bits = (word[..., 0] << 16) | (word[..., 1] >> 16)
    power = torch.ones(bits.shape, dtype=torch.float64, device=bits.device)
    for chunk, table in enumerate(_factors(largest, bits.device)):
        power = power * table[(bits >> CHUNK_BITS * chunk) & ((1 << CHUNK_BITS) - 1)]
    return power.long()


@lru_cache(maxsize=8)
def _factors(largest: int, device: torch.device) -> Tensor:
    """Factors of (largest + 1)^u by the value of every chunk of u's bits, lowest first, float64, (chunks, values)."""
    rate = log(largest + 1)
    units = [2.0 ** (CHUNK_BITS * (chunk - CHUNKS)) for chunk in range(CHUNKS)]
    table = [[exp(rate * unit * value) for value in range(1 << CHUNK_BITS)] for unit in units]
    return torch.tensor(table, dtype=torch.float64, device=device)


def number_of_digits(largest: int, base: int) -> int:
    """How many digits a number has, at least 1.

    >>> number_of_digits(1_000, 10), number_of_digits(999, 10)
    (4, 3)
    """
    count = 1
    while base**count <= largest:
        count += 1
    return count


def digits_of(number: Tensor, base: int, count: int) -> Tensor:
    """The last ``count`` digits of numbers, the most significant first, int64, number.shape + (count,).

    >>> digits_of(torch.tensor([37, 5]), 10, 3).tolist()
    [[0, 3, 7], [0, 0, 5]]
    """
    power = torch.tensor([base**place for place in reversed(range(count))], device=number.device)
    return number[..., None] // power % base


def number_of(digit: Tensor, base: int) -> int:
    """The number that digits write, (digits,), the most significant first.

    >>> number_of(torch.tensor([0, 3, 7]), 10)
    37
    """
    value = 0
    for each in digit.tolist():
        value = value * base + each
    return value

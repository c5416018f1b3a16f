"""Binary operations modulo p, written as the tokens ``x op y =`` or ``x y =``; the answer is the label."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap.registry import LATER, register
from deepboot.bootstrap.task import Samples, Tokens, Universe

Operation = Literal[
    "x+y", "x-y", "x*y", "x/y", "x/y if y odd else x-y",
    "x^2+y^2", "x^2+xy+y^2", "x^2+xy+y^2+x", "x^3+xy", "x^3+xy^2+y",
]  # fmt: skip


class Rule(NamedTuple):
    """An operation: its answer before the last reduction mod p, whether it is symmetric, whether it divides by y."""

    answer: Callable[[Tensor, Tensor, int], Tensor]
    symmetric: bool = False
    divides: bool = False


# A product of two reduced numbers is the largest thing here: it fits int64 for p up to 2**31.
RULES: dict[Operation, Rule] = {
    "x+y": Rule(lambda x, y, p: x + y, symmetric=True),
    "x-y": Rule(lambda x, y, p: x - y),
    "x*y": Rule(lambda x, y, p: x * y, symmetric=True),
    "x/y": Rule(lambda x, y, p: x * _inverse(y, p), divides=True),
    "x/y if y odd else x-y": Rule(lambda x, y, p: torch.where(y % 2 == 1, x * _inverse(y, p), x - y), divides=True),
    "x^2+y^2": Rule(lambda x, y, p: x * x % p + y * y % p, symmetric=True),
    "x^2+xy+y^2": Rule(lambda x, y, p: x * x % p + x * y % p + y * y % p, symmetric=True),
    "x^2+xy+y^2+x": Rule(lambda x, y, p: x * x % p + x * y % p + y * y % p + x),
    "x^3+xy": Rule(lambda x, y, p: (x * x + y) % p * x),
    "x^3+xy^2+y": Rule(lambda x, y, p: (x * x % p + y * y % p) % p * x % p + y),
}


@register("task", "binary_operations")
@dataclass(frozen=True, kw_only=True)
class BinaryOperations(Universe):
    """Arithmetic modulo p = ``modulus``, as in Power et al. 2022: the answer to the tokens ``x op y =``.

    The universe is all p * p pairs, (x, y) being cell x * p + y. For "x/y" it is the p * (p - 1) pairs
    with y from 1 on, cell x * p + y - x - 1. With ``unordered_pairs`` it is the p * (p + 1) / 2 pairs
    x <= y, cell y * (y + 1) / 2 + x. Tokens: a number is itself, the operation is p, "=" is p + 1; with
    ``tokens = "x y ="`` the operation is left out, and "=" is p, as in Nanda et al. 2023 (arXiv 2301.05217).

    Args:
        operation: what is done to x and y, modulo p.
        modulus: p, the number of numbers; a prime where the operation divides by y.
        unordered_pairs: whether (x, y) and (y, x) are one sample; of operations in which they may be exchanged.
        tokens: the sequence that a model reads: with or without a token for the operation.

    Raises:
        ValueError: an operation that divides by y with a modulus that is not prime, or
            ``unordered_pairs`` of an operation in which x and y cannot be exchanged.
    Source: Power et al. 2022, arXiv 2201.02177, appendix A.1; unordered pairs as in PAIR, "Do
    machine learning models memorize or generalize?", 2023 (mod 67).

    >>> x, y = BinaryOperations(operation="x/y", modulus=7).cells(torch.tensor(5 * 6 + 2))
    >>> x.tolist(), y.item()  # 5 / 3 = 4, since 4 * 3 = 12 = 5 (mod 7)
    ([5, 7, 3, 8], 4)
    """

    operation: Operation = "x+y"
    modulus: Annotated[int, Field(ge=2, lt=1 << 31)] = 97
    unordered_pairs: bool = False
    tokens: Annotated[Literal["x op y =", "x y ="], LATER] = "x op y ="

    def __post_init__(self) -> None:
        if self._rule.divides and not _is_prime(self.modulus):
            raise ValueError(
                f"modulus must be prime for operation {self.operation!r}, which divides by y, got {self.modulus}. "
                f"Set modulus to {_nearest_prime(self.modulus)}, the nearest prime, or choose another operation."
            )
        if self.unordered_pairs and not self._rule.symmetric:
            symmetric = ", ".join(repr(name) for name, rule in RULES.items() if rule.symmetric)
            raise ValueError(
                "unordered_pairs needs an operation in which x and y can be exchanged, "
                f"got {self.operation!r}. Set unordered_pairs to false, or choose one of {symmetric}."
            )

    @property
    def inputs(self) -> Tokens:
        p, signs = self.modulus, len(self._signs)
        return Tokens(vocab=p + signs, length=2 + signs, varying=(0, signs), operands=p)

    @property
    def classes(self) -> int:
        return self.modulus

    @property
    def size(self) -> int:
        p = self.modulus
        return p * (p + 1) // 2 if self.unordered_pairs else p * (p - self._first)

    def cells(self, number: Tensor) -> Samples:
        p = self.modulus
        x, y = self._operands(number)
        *operator, equals = (torch.full_like(x, sign) for sign in self._signs)
        return Samples(torch.stack((x, *operator, y, equals), -1), self._rule.answer(x, y, p) % p)

    def mirror(self, number: Tensor) -> Tensor | None:
        """The cell of (y, x), of the same shape; None if the answer may differ or no pair comes twice."""
        if self.unordered_pairs or not self._rule.symmetric:
            return None
        x, y = self._operands(number)
        return y * self.modulus + x

    def show(self, x: Tensor, y: Tensor) -> str:
        return equation(self.operation, int(x[0]), int(x[-2]), int(y), self.modulus)

    @property
    def _rule(self) -> Rule:
        return RULES[self.operation]

    @property
    def _signs(self) -> range:
        """The tokens that are no numbers: the operation, where it is shown, and "="."""
        return range(self.modulus, self.modulus + (2 if self.tokens == "x op y =" else 1))

    @property
    def _first(self) -> int:
        """The smallest y."""
        return 1 if self.operation == "x/y" else 0

    def _operands(self, number: Tensor) -> tuple[Tensor, Tensor]:
        if not self.unordered_pairs:
            row = self.modulus - self._first
            return number // row, number % row + self._first
        return unordered_pair(number)


def unordered_pair(number: Tensor) -> tuple[Tensor, Tensor]:
    """The pair x <= y of a cell number y * (y + 1) / 2 + x, int64, each of any shape.

    >>> [tuple(part.tolist()) for part in unordered_pair(torch.arange(4))]
    [(0, 0, 1, 0), (0, 1, 1, 2)]
    """
    y = ((8 * number.double() + 1).sqrt().sub(1) / 2).long()
    y = y - (y * (y + 1) // 2 > number).long()  # the root may be rounded to the next whole number, up or down
    y = y + ((y + 1) * (y + 2) // 2 <= number).long()
    return number - y * (y + 1) // 2, y


def equation(operation: Operation, x: int, y: int, answer: int, modulus: int) -> str:
    """An operation with its operands and answer, as a person would write it.

    >>> equation("x+y", 5, 4, 2, 7), equation("x^3+xy", 5, 4, 5, 7)
    ('5 + 4 = 2 (mod 7)', 'x^3+xy = 5 (mod 7) at x = 5, y = 4')
    """
    if len(operation) == len("x+y"):
        return f"{x} {operation[1]} {y} = {answer} (mod {modulus})"
    return f"{operation} = {answer} (mod {modulus}) at x = {x}, y = {y}"


def _inverse(y: Tensor, p: int) -> Tensor:
    """The z with y * z = 1 mod the prime p, by Fermat's little theorem: y to the power p - 2; of 0, 0 or 1."""
    power, square, exponent = torch.ones_like(y), y, p - 2
    while exponent:
        if exponent & 1:
            power = power * square % p
        square = square * square % p
        exponent >>= 1
    return power


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, math.isqrt(number) + 1))


def _nearest_prime(number: int) -> int:
    """The prime nearest to a number, the smaller of two."""
    distance = next(d for d in itertools.count() if _is_prime(number - d) or _is_prime(number + d))
    return number - distance if _is_prime(number - distance) else number + distance

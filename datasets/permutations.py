"""Operations on all permutations of a few things, written as the four tokens ``x op y =``."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Tokens, Universe

Operation = Literal["x*y", "x*y*x^-1", "x*y*x"]

RULES: dict[Operation, Callable[[Tensor], Tensor]] = {  # the answers of all pairs, from all products
    "x*y": lambda product_FF: product_FF,
    "x*y*x^-1": lambda product_FF: product_FF[product_FF, inverses(product_FF)[:, None]],
    "x*y*x": lambda product_FF: product_FF[product_FF, torch.arange(len(product_FF))[:, None]],
}


@register("task", "permutations")
@dataclass(frozen=True, kw_only=True)
class Permutations(Universe):
    """Products of permutations of ``degree`` things: the answer to the tokens ``x op y =``.

    The operation is a product, a conjugate or a sandwich. Permutations are numbered 0 .. degree! - 1 in the
    lexicographic order of ``itertools.permutations``; 0 is the identity. The right factor acts first: (x*y)(i) =
    x(y(i)). The universe is all pairs, (x, y) being cell x * degree! + y. Tokens: a permutation is its number, the
    operation is degree!, "=" is degree! + 1. No operation is symmetric in x and y, so cells have no mirrors.

    Args:
        degree: things that are permuted; there are degree! permutations (120 of 5).
        operation: product, conjugate or sandwich of x and y.

    Source: Power et al. 2022, arXiv 2201.02177, appendix A.1, with degree 5.

    >>> x, y = Permutations(degree=3).cells(torch.tensor(1 * 6 + 2))
    >>> x.tolist(), y.item()  # x = (0 2 1), y = (1 0 2), x(y(i)) = (2 0 1), which is number 4
    ([1, 6, 2, 7], 4)
    """

    degree: Annotated[int, Field(ge=2, le=6)] = 5
    operation: Operation = "x*y"

    @property
    def inputs(self) -> Tokens:
        return Tokens(vocab=self.classes + 2, length=4, varying=(0, 2), operands=self.classes)

    @property
    def classes(self) -> int:
        return math.factorial(self.degree)

    @property
    def size(self) -> int:
        return self.classes**2

    def cells(self, number: Tensor) -> Samples:
        x, y = number // self.classes, number % self.classes
        sign = torch.full_like(x, self.classes)
        answer_FF = answers(self.degree, self.operation, number.device)
        return Samples(torch.stack((x, sign, y, sign + 1), -1), answer_FF[x, y])

    def show(self, x: Tensor, y: Tensor) -> str:
        left, right, answer = (
            "(" + " ".join(str(image) for image in elements(self.degree)[number].tolist()) + ")"
            for number in (int(x[0]), int(x[2]), int(y))
        )
        return f"{self.operation} = {answer} at x = {left}, y = {right}"


@cache
def elements(degree: int) -> Tensor:
    """All permutations in lexicographic order, int64, (degree!, degree); row x, column i holds x(i)."""
    return torch.tensor(list(itertools.permutations(range(degree))))


@cache
def products(degree: int) -> Tensor:
    """The group's table, int64, (degree!, degree!): row x, column y holds the number of x*y."""
    element_FN = elements(degree)
    # Read as digits, permutations in lexicographic order are ascending numbers.
    power_N = degree ** torch.arange(degree - 1, -1, -1)
    code_F = (element_FN * power_N).sum(-1)
    code_FF = (element_FN[:, element_FN] * power_N).sum(-1)
    return torch.searchsorted(code_F, code_FF)


def inverses(product_FF: Tensor) -> Tensor:
    """The number of every permutation's inverse, int64, (degree!,)."""
    return (product_FF == 0).long().argmax(-1)


@cache
def answers(degree: int, operation: Operation, device: torch.device) -> Tensor:
    """The number of every pair's answer, int64, (degree!, degree!): row x, column y."""
    return RULES[operation](products(degree)).to(device)

"""Addition of two small numbers, without a modulus: the sum is the label."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Tokens, Universe
from deepboot.datasets.binary_operations import unordered_pair


@register("task", "plain_addition")
@dataclass(frozen=True, kw_only=True)
class PlainAddition(Universe):
    """x + y of two numbers below ``numbers``, as the tokens ``x y``; each of the 2 numbers - 1 sums is a class.

    The universe is the numbers * (numbers + 1) / 2 pairs x <= y, cell y * (y + 1) / 2 + x, so that no pair has a mirror
    image. There is nothing modular about it: a network may learn to put the numbers on a line, which one number per
    token (``model.embedding = 1``) suffices for.

    Args:
        numbers: how many numbers x and y can be, from 0 on.

    Source: Liu et al. 2022, arXiv 2205.10343 (10 numbers, 55 pairs).

    >>> x, y = PlainAddition().cells(torch.tensor(9 * 10 // 2 + 7))
    >>> x.tolist(), y.item()
    ([7, 9], 16)
    """

    numbers: Annotated[int, Field(ge=2, le=65_536)] = 10

    @property
    def inputs(self) -> Tokens:
        return Tokens(vocab=self.numbers, length=2, varying=(0, 1), operands=self.numbers)

    @property
    def classes(self) -> int:
        return 2 * self.numbers - 1

    @property
    def size(self) -> int:
        return self.numbers * (self.numbers + 1) // 2

    def cells(self, number: Tensor) -> Samples:
        x, y = unordered_pair(number)
        return Samples(torch.stack((x, y), -1), x + y)

    def show(self, x: Tensor, y: Tensor) -> str:
        return f"{int(x[0])} + {int(x[1])} = {int(y)}"

"""Addition of two numbers written as digits; every digit of the sum is an answer."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Tokens


@register("task", "multi_digit_addition")
@dataclass(frozen=True, kw_only=True)
class MultiDigitAddition(Task):
    """Addition of two numbers of ``num_digits`` random digits, digit by digit, the most significant first.

    The input is ``a + b =`` and then the sum without its last digit, so that each of the last
    num_digits + 1 positions, from "=" on, is answered by the next digit of the sum, which is
    written with its leading zero. With ``shows_answers = false`` every digit of the sum is a blank
    token, and any model may read the input. Tokens: a digit is itself, "+" is ``base``, "=" is
    base + 1, the blank is base + 2.

    With two digits, 47 + 85 = 132 is

        position  0  1  2  3  4  5  6  7
        input     4  7  +  8  5  =  1  3
        label                    1  3  2

    Args:
        num_digits: digits of each of the two numbers.
        base: of the digits; 10 is decimal.
        shows_answers: whether the model reads the earlier digits of the sum, as a causal model may; else blanks.

    Source: Nanda et al. 2023, arXiv 2301.05217 (5 digits); the form without shown answers is a choice.
    """

    num_digits: Annotated[int, Field(ge=1, le=1 << 15)] = 5
    base: Annotated[int, Field(ge=2, le=1 << 30)] = 10
    shows_answers: bool = True

    @property
    def inputs(self) -> Tokens:
        n, length = self.num_digits, 3 * self.num_digits + 2
        varying = (*range(n), *range(n + 1, 2 * n + 1), *(range(2 * n + 2, length) if self.shows_answers else ()))
        vocab = self.base + (2 if self.shows_answers else 3)
        return Tokens(vocab, length, varying, answers=n + 1, shows_answers=self.shows_answers)

    @property
    def classes(self) -> int:
        return self.base

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        drawn = streams.integers(key_E2, index, 2 * self.num_digits, self.base)
        a, b = drawn.split(self.num_digits, -1)
        total = self._sum(a, b)
        plus, equals = (torch.full_like(a[..., :1], self.base + sign) for sign in (0, 1))
        seen = total[..., :-1] if self.shows_answers else torch.full_like(a, self.base + 2)
        return Samples(torch.cat((a, plus, b, equals, seen), -1), total)

    def _sum(self, a: Tensor, b: Tensor) -> Tensor:
        """Digits of the sum, int64, (..., num_digits + 1), the most significant first."""
        carry, digits = torch.zeros_like(a[..., 0]), []
        for column in (a + b).unbind(-1)[::-1]:
            digits.append((column + carry) % self.base)
            carry = (column + carry) // self.base
        return torch.stack((carry, *digits[::-1]), -1)

    def show(self, x: Tensor, y: Tensor) -> str:
        n = self.num_digits
        between = "" if self.base <= 10 else " "
        a, b, total = (between.join(map(str, part.tolist())) for part in (x[:n], x[n + 1 : 2 * n + 1], y))
        return f"{a} + {b} = {total}"

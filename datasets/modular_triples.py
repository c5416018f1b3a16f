"""Triples modulo p, labelled by whether the third is the sum of the others: regression that sees single outputs."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Tokens, Universe


@register("task", "modular_triples")
@dataclass(frozen=True, kw_only=True)
class ModularTriples(Universe):
    """Regression on three numbers a, b, c of 0 .. p - 1: the label is 0 unless a + b = c (mod p); p = ``modulus``.

    The universe is all p^3 triples, (a, b, c) being cell (a * p + b) * p + c. A sample shows one output of a network
    with an output for every c (an mlp with ``queried``), not all p outputs for a pair. The paper's label is p where
    a + b = c; here it is divided by its standard deviation, sqrt(p - 1), so that an error of 1 is the variance.

    Args:
        modulus: p, the number of numbers; the universe is p^3 triples.

    Source: Mohamadi et al. 2024, arXiv 2407.12332 (regression).

    >>> x, y = ModularTriples(modulus=5).cells(torch.tensor([(3 * 5 + 4) * 5 + 2, (3 * 5 + 4) * 5 + 3]))
    >>> x.tolist(), y.tolist()  # 3 + 4 = 2 (mod 5), and p / sqrt(p - 1) = 2.5
    ([[3, 4, 2], [3, 4, 3]], [2.5, 0.0])
    """

    modulus: Annotated[int, Field(ge=2, lt=1 << 21)] = 97

    @property
    def inputs(self) -> Tokens:
        return Tokens(vocab=self.modulus, length=3, varying=(0, 1, 2), operands=self.modulus)

    @property
    def classes(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return self.modulus**3

    def cells(self, number: Tensor) -> Samples:
        p = self.modulus
        a, b, c = number // p**2, number // p % p, number % p
        return Samples(torch.stack((a, b, c), -1), ((a + b - c) % p == 0).float() * (p / math.sqrt(p - 1)))

    def show(self, x: Tensor, y: Tensor) -> str:
        a, b, c = x.tolist()
        return f"{a} + {b} {'=' if y.item() else '!='} {c} (mod {self.modulus})"

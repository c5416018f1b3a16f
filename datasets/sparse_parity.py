"""Sparse parity: the label is the parity of the first few bits, the others distract."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector


@register("task", "sparse_parity")
@dataclass(frozen=True, kw_only=True)
class SparseParity(Task):
    """Whether the sum of the first ``num_relevant`` of ``num_bits`` random bits is even or odd.

    Bits are fair and independent, and written as 0 / 1 or as -1 / +1. A network without biases on -1 / +1 inputs cannot
    represent an odd parity; keep 0 / 1 or a bias.

    Args:
        num_bits: bits of an input.
        num_relevant: bits that the label depends on, the first ones; at most num_bits.
        encoding: numbers that a bit is written as: 0 and 1 ("01"), or -1 and 1 ("+-1").

    Source: Barak et al. 2022, arXiv 2207.08799; PAIR, "Do machine learning models memorize or
    generalize?", 2023.
    """

    num_bits: Annotated[int, Field(ge=1, le=4_096)] = 30
    num_relevant: PositiveInt = 3
    encoding: Literal["01", "+-1"] = "01"

    def __post_init__(self) -> None:
        if self.num_relevant > self.num_bits:
            raise ValueError(
                f"num_relevant must be at most num_bits = {self.num_bits}, got {self.num_relevant}. "
                "Lower num_relevant or raise num_bits."
            )

    @property
    def inputs(self) -> Vector:
        return Vector(self.num_bits)

    @property
    def classes(self) -> int:
        return 2

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        bits = streams.bits(key_E2, index, self.num_bits)
        label = bits[..., : self.num_relevant].sum(-1) & 1
        x = bits.to(torch.float32)
        return Samples(x if self.encoding == "01" else 2 * x - 1, label)

    def show(self, x: Tensor, y: Tensor) -> str:
        digits = "".join("1" if value > 0.5 else "0" for value in x.tolist())
        return f"{digits[: self.num_relevant]}|{digits[self.num_relevant :]} -> {y.item()}"

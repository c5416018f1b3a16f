"""Induction: the last token has occurred once before; the label is the token that followed it there."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Tokens


@register("task", "induction")
@dataclass(frozen=True, kw_only=True)
class Induction(Task):
    """A random sequence that ends with a token seen exactly once before, and asks what came after it.

    A sample arises in three draws, all uniform: the query, one of ``vocab`` tokens; its earlier
    position, 0 .. length - 3; and, for every other position but the last, one of the tokens that are
    not the query, independently, so that they may repeat. The query is at its position and
    again at the end. The label is the token after that position, so it is always defined, unique, and
    never the query. With 6 tokens, ``3 1 4 1 0 4`` asks for what followed the first 4: the label is 1.

    Args:
        vocab: number of different tokens, which is also the number of classes.
        length: tokens of a sequence, the repeated one at the end included.

    Source: Olsson et al. 2022, arXiv 2209.11895; as a grokking task Nanda et al. 2023, arXiv 2301.05217,
    where every token of a repeated stretch is asked for. Asking once, and the default vocabulary
    and length, are choices.
    """

    vocab: Annotated[int, Field(ge=3, le=1 << 30)] = 64
    length: Annotated[int, Field(ge=3, le=1 << 16)] = 32

    @property
    def inputs(self) -> Tokens:
        return Tokens(self.vocab, self.length, varying=tuple(range(self.length)))

    @property
    def classes(self) -> int:
        return self.vocab

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        query, position, other = (
            streams.integers(streams.subkeys(key_E2, name), index, count, high)
            for name, count, high in (
                ("query", 1, self.vocab),
                ("place", 1, self.length - 2),
                ("others", self.length - 1, self.vocab - 1),
            )
        )
        other = other + (other >= query).long()  # skips the query
        before = other.scatter(-1, position, query)
        return Samples(torch.cat((before, query), -1), before.gather(-1, position + 1)[..., 0])

    def show(self, x: Tensor, y: Tensor) -> str:
        return f"{' '.join(map(str, x.tolist()))} -> {y.item()}"

"""Skip trigrams: the last token, with one token anywhere before it, decides the label; all others say nothing."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Tokens

Count = Annotated[int, Field(ge=2, le=1 << 12)]


@register("task", "skip_trigram")
@dataclass(frozen=True, kw_only=True)
class SkipTrigram(Task):
    """A sequence ``... first ... last`` whose label is looked up by its first token of a trigram and its last token.

    A sample arises in four draws, all uniform: the first token, one of ``num_firsts``; its position, 0 .. length - 2;
    the last token, one of ``num_lasts``, at the end; and at every other position one of ``num_fillers`` tokens,
    independently. The label of (first, last) is an entry of a table, uniform over ``num_labels`` and independent, that
    ``table_seed`` draws for all runs alike: num_firsts * num_lasts facts are to be learned, and no fact follows from
    others. Tokens: first f is f, last l is num_firsts + l, fillers are those from num_firsts + num_lasts on. With 2 of
    each, ``4 1 5 5 3`` has first 1 and last 1: the label is the entry in row 1, column 1.

    Args:
        num_firsts: tokens that can stand first in a trigram.
        num_lasts: tokens that can end a sequence.
        num_labels: number of labels, which is also the number of classes.
        num_fillers: tokens that say nothing.
        length: tokens of a sequence, the last one of the trigram included.
        table_seed: seed of the table of labels, the same for all runs.

    Raises:
        ValueError: a table in which all labels are the same.
    Source: made after the skip trigrams of Nanda et al. 2023, arXiv 2301.05217. Exactly one trigram in a sequence,
    alphabets of their own, and the sizes are choices.
    """

    num_firsts: Count = 16
    num_lasts: Count = 16
    num_labels: Annotated[int, Field(ge=2, le=1 << 30)] = 16
    num_fillers: Count = 32
    length: Annotated[int, Field(ge=2, le=1 << 16)] = 16
    table_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.table.unique().numel() == 1:
            raise ValueError(
                f"table_seed must give a table of different labels, got {self.table_seed}, by which all "
                f"{self.table.numel()} are {self.table[0, 0].item()}. Choose another one or raise num_labels."
            )

    @property
    def inputs(self) -> Tokens:
        vocab = self.num_firsts + self.num_lasts + self.num_fillers
        return Tokens(vocab, self.length, varying=tuple(range(self.length)))

    @property
    def classes(self) -> int:
        return self.num_labels

    @cached_property
    def table(self) -> Tensor:
        """The label of every trigram, int64, (num_firsts, num_lasts)."""
        key_12 = streams.keys([self.table_seed], "table")
        return streams.integers(key_12, torch.arange(self.num_firsts)[None], self.num_lasts, self.num_labels)[0]

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        first, position, last, other = (
            streams.integers(streams.subkeys(key_E2, name), index, count, high)
            for name, count, high in (
                ("first", 1, self.num_firsts),
                ("position", 1, self.length - 1),
                ("last", 1, self.num_lasts),
                ("fillers", self.length - 1, self.num_fillers),
            )
        )
        before = (self.num_firsts + self.num_lasts + other).scatter(-1, position, first)
        label = self.table.to(index.device)[first[..., 0], last[..., 0]]
        return Samples(torch.cat((before, self.num_firsts + last), -1), label)

    def show(self, x: Tensor, y: Tensor) -> str:
        return f"{' '.join(map(str, x.tolist()))} -> {y.item()}"

"""Associative recall: pairs of a key and a value, and then one of the keys; the label is its value."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Tokens


@register("task", "associative_recall")
@dataclass(frozen=True, kw_only=True)
class AssociativeRecall(Task):
    """A list of random pairs, ``key value key value ... query``, that asks for the value of one of its keys.

    The ``num_pairs`` keys of a sample are different, in random order, each set of keys equally probable; values are
    uniform and independent, so they may repeat; the query is one of the keys, each equally probable. Pairs are new in
    every sample, so nothing but the mechanism can be learned. Tokens: key k is k, value v is ``num_keys`` + v; the
    label is v. With 4 keys and 3 values, ``2 5 0 4 2`` asks for the value of 2: the label is 5 - 4 = 1.

    Args:
        num_pairs: pairs of a sequence, which has 2 num_pairs + 1 tokens.
        num_keys: number of different keys; at least num_pairs.
        num_values: number of different values, which is also the number of classes.

    Raises:
        ValueError: fewer keys than pairs.
    Source: Zucchet et al. 2025, arXiv 2505.17863, in small: alphabets of their own for keys and values, and the sizes,
    are choices.
    """

    num_pairs: Annotated[int, Field(ge=1, le=1 << 12)] = 8
    num_keys: Annotated[int, Field(ge=2, le=1 << 14)] = 32
    num_values: Annotated[int, Field(ge=2, le=1 << 30)] = 32

    def __post_init__(self) -> None:
        if self.num_keys < self.num_pairs:
            raise ValueError(
                f"num_keys must be at least num_pairs = {self.num_pairs}, since no key comes twice, "
                f"got {self.num_keys}. Raise it or lower num_pairs."
            )

    @property
    def inputs(self) -> Tokens:
        length = 2 * self.num_pairs + 1
        return Tokens(self.num_keys + self.num_values, length, varying=tuple(range(length)))

    @property
    def classes(self) -> int:
        return self.num_values

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        key = streams.permutation(streams.subkeys(key_E2, "keys"), index, self.num_keys)[..., : self.num_pairs]
        value = streams.integers(streams.subkeys(key_E2, "values"), index, self.num_pairs, self.num_values)
        asked = streams.integers(streams.subkeys(key_E2, "query"), index, 1, self.num_pairs)
        pairs = torch.stack((key, self.num_keys + value), -1).flatten(-2)
        return Samples(torch.cat((pairs, key.gather(-1, asked)), -1), value.gather(-1, asked)[..., 0])

    def show(self, x: Tensor, y: Tensor) -> str:
        pairs = ", ".join(f"{key}: {token - self.num_keys}" for key, token in x[:-1].view(-1, 2).tolist())
        return f"{pairs}; {x[-1].item()} -> {y.item()}"

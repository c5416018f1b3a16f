"""Tasks: a task is one endless stream of labelled samples, addressed by index.

An endless task has a sample at every index. A finite universe has one in each of its cells, which
the harness puts in a keyed order; a recording is a universe whose cells are in a file. Which
indices a world reads is decided in ``worlds``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

DATA_PATHS = ("path", "root", "cifar10")  # settings of tasks with the path of recorded data


@dataclass(frozen=True)
class Tokens:
    """Inputs are int64 tokens 0 .. vocab - 1, (..., length).

    Attributes:
        varying: positions that differ between samples (the others are punctuation).
        answers: number of answers; the model's logits are those at so many last positions.
        shows_answers: whether the input holds earlier answers, so that only a causal model may read it.
        operands: tokens that varying positions hold are 0 .. operands - 1; None: any token.
    """

    vocab: int
    length: int
    varying: tuple[int, ...]
    answers: int = 1
    shows_answers: bool = False
    operands: int | None = None


@dataclass(frozen=True)
class Vector:
    """Inputs are float32 vectors, (..., size).

    Attributes:
        size: numbers of an input.
        answers: number of answers; the model's logits are (..., answers, classes) where there are several.
    """

    size: int
    answers: int = 1


@dataclass(frozen=True)
class Image:
    """Inputs are images, (..., channels, height, width): float32, or uint8, which models read scaled to -1 .. 1."""

    channels: int
    height: int
    width: int


Inputs = Tokens | Vector | Image


class Samples(NamedTuple):
    """Inputs, (..., *shape), and int64 labels, (...), or (..., answers) where a sample has several.

    Labels are float32 where the task has one class: they are values to be predicted, of unit variance unless the task
    says otherwise.
    """

    x: Tensor
    y: Tensor


class Task(ABC):
    """An endless stream: the sample of an index is a pure function of (key, index).

    A subclass is a frozen dataclass (``kw_only=True``) whose fields are its settings. Raise
    ``ValueError`` from ``__post_init__`` for settings that do not go together. Raise ``version``
    whenever the same settings begin to give other samples.
    """

    version: ClassVar[int] = 1

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """Kind and shape of the inputs."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of labels; labels are 0 .. classes - 1. One class: labels are real-valued."""

    @abstractmethod
    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        """The samples of these indices.

        Args:
            key_E2: int32, (E, 2), one key per member.
            index: int64, (E, ...), any shape behind the member axis.
        """

    def sample_test(self, key_E2: Tensor, index: Tensor) -> Samples:
        """The test samples of these indices; arguments and shapes are those of `sample`.

        They are distributed as the training samples, unless an endless task has a test of another distribution. A
        universe is tested on cells instead.
        """
        return self.sample(key_E2, index)

    def on_host(self, device: torch.device | str) -> bool:
        """Whether the host makes the samples for this device, from a disk, say; training data are then prefetched."""
        return False

    def exact(self, key_E2: Tensor) -> Samples | None:
        """A test set whose mean error is that of the whole population, (E, T, ...); None: there is none."""
        return None

    def decode(self, x: Tensor) -> Tensor:
        """Inputs as a model reads them; bytes, which take a quarter of the memory until then, become -1 .. 1."""
        return x.to(torch.float32).div_(127.5).sub_(1) if x.dtype == torch.uint8 else x

    def show(self, x: Tensor, y: Tensor) -> str:
        """One sample as a person would write it; by default its raw values."""
        return f"{x.tolist()} -> {y.tolist()}"


class Universe(Task):
    """A finite set of cells, each with one input and one label."""

    endless_passes: ClassVar[bool] = True  # whether the ideal world may begin another pass unasked

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of cells."""

    @abstractmethod
    def cells(self, number: Tensor) -> Samples:
        """The samples of these cells; number is int64 in 0 .. size - 1, of any shape."""

    @property
    def reference(self) -> range | None:
        """Cells that are the task's own test set, for ``data.test_set = "reference"``; None if it has none."""
        return None

    def mirror(self, number: Tensor) -> Tensor | None:
        """The cells with swapped operands, of the same shape; None where the task is not symmetric in them."""
        return None

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        """The cells of these indices in their natural order, without a key."""
        return self.cells(index % self.size)

"""CIFAR-5m: six million images that a generative model made in the likeness of CIFAR-10.

Source: Nakkiran, Neyshabur and Sedghi 2021, "The Deep Bootstrap Framework", arXiv 2010.08127.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.paths import expanded
from deepboot.bootstrap.task import Image, Inputs, Samples, Universe
from deepboot.datasets.cifar5m import Prepared, prepared
from deepboot.datasets.cifar5m.folder import command
from deepboot.datasets.cifar10 import Cifar10

FREE_SHARE = 0.6  # of a GPU's free memory that the images may take to be kept there
NONE = Samples(torch.empty(0, *prepared.IMAGE, dtype=torch.uint8), torch.empty(0, dtype=torch.int64))
BLOCK = 16_384  # images copied at a time, 50 MB

Part = Annotated[int, Field(ge=0, le=5)]


@register("task", "cifar5m")
@dataclass(frozen=True, kw_only=True)
class Cifar5m(Universe):
    """CIFAR-5m, six million images of CIFAR-10's ten classes, in its order; prepared by ``deepboot data``.

    Inputs are uint8, (3, 32, 32), given to models scaled to [-1, 1].
    Cells are the images of ``train_parts``, then those of ``test_parts``, which are the test set for
    ``data.test_set = "reference"``; a test set of a million images takes 3 GB for every member, so set
    ``data.test_samples`` (50,000 leaves a standard error of 0.13 points at 10 % error). The ideal world ends with
    the last training image unless ``data.allow_reuse`` is set.

    The images stay on the disk and only those of a batch are read; to a GPU they are copied once if they
    take at most 60 % of its free memory. A run's identity holds the ``fingerprint`` of the parts, not their path.

    Args:
        root: the folder in which ``deepboot data cifar5m prepare`` wrote them; "~" is the home folder.
        train_parts, test_parts: numbers of the published parts, rising.
        cifar10: folder of CIFAR-10, as torchvision keeps it; its 10,000 test images then replace
            ``test_parts``, to see what transfers.

    Raises:
        ValueError: the parts are not prepared there, or overlap.
    """

    endless_passes: ClassVar[bool] = False
    class_names: ClassVar[tuple[str, ...]] = Cifar10.class_names

    root: str
    train_parts: Annotated[tuple[Part, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    test_parts: tuple[Part, ...] = (5,)
    cifar10: str | None = None

    def __post_init__(self) -> None:
        for name in ("train_parts", "test_parts"):
            parts = tuple(getattr(self, name))  # a study's lists; a frozen dataclass must be hashable
            object.__setattr__(self, name, parts)
            if list(parts) != sorted(set(parts)):
                raise ValueError(f"{name} must be different numbers that rise, got {list(parts)}. Sort them.")
        both = sorted({*self.train_parts} & {*self.test_parts})
        if both:
            raise ValueError(f"train_parts and test_parts must not overlap, got {both} in both. Take it from one.")
        known = [entry.part for entry in self._index.parts]
        named = sorted(self._parts)
        missing = [part for part in named if part not in known]
        if missing:
            raise ValueError(
                f"cifar5m {self.root}: expected prepared parts {_listed(named)}, got {_listed(known)}. Set "
                "task.train_parts and task.test_parts to these, or prepare the others too: "
                f"{command('prepare', Path(self.root), missing)}"
            )

    @property
    def inputs(self) -> Inputs:
        return Image(*prepared.IMAGE)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def size(self) -> int:
        return self._spans.ends[-1] + len(self._cifar10_test.y)

    @property
    def reference(self) -> range | None:
        train = sum(len(self._index.rows(part)) for part in self.train_parts)
        return range(train, self.size) if self.size > train else None

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 of the checksums that were stored when the parts were prepared, in hexadecimal."""
        own = prepared.fingerprint(self._index, self.train_parts, self._parts[len(self.train_parts) :])
        return own if self._cifar10 is None else f"{own}-{self._cifar10.fingerprint}"

    def on_host(self, device: torch.device | str) -> bool:
        device = torch.empty(0, device=device).device  # "cuda" is "cuda:0", say, of which one copy is enough
        return device.type != "cuda" or _copy(self._stored, self._spans, self._cifar10_test, device) is None

    def cells(self, number: Tensor) -> Samples:
        if number.is_cuda:
            copy = _copy(self._stored, self._spans, self._cifar10_test, number.device)
            if copy is not None:
                return Samples(copy.x[number], copy.y[number].long())
        cell_N = number.cpu().numpy().ravel()
        x, y = self._gathered(cell_N[cell_N < self._spans.ends[-1]])
        if len(y) < len(cell_N):
            x, y = self._with_cifar10(cell_N, x, y)
        x_N, y_N = torch.from_numpy(x).view(*number.shape, *prepared.IMAGE), torch.from_numpy(y).view(number.shape)
        return Samples(streams.to_device(x_N, number.device), streams.to_device(y_N, number.device))

    def show(self, x: Tensor, y: Tensor) -> str:
        red, green, blue = x.double().mean((-2, -1)).tolist()
        return f"image with mean red {red:.0f}, green {green:.0f}, blue {blue:.0f} -> {y.item()} {self.class_names[y]}"

    def _gathered(self, cell_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels, int64, of CIFAR-5m's own cells."""
        row_N = self._spans.rows(cell_N)
        return _gathered(self._stored.images, row_N), self._stored.labels[row_N].astype(np.int64)

    def _with_cifar10(self, cell_N: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of all cells, from those of CIFAR-5m's own and from CIFAR-10."""
        is_own_N = cell_N < self._spans.ends[-1]
        index = torch.from_numpy(cell_N[~is_own_N] - self._spans.ends[-1])
        all_x, all_y = np.empty((len(cell_N), *prepared.IMAGE), np.uint8), np.empty(len(cell_N), np.int64)
        all_x[is_own_N], all_y[is_own_N] = x, y
        all_x[~is_own_N], all_y[~is_own_N] = (part[index].numpy() for part in self._cifar10_test)
        return all_x, all_y

    @property
    def _parts(self) -> tuple[int, ...]:
        """The numbers of all parts that are read, the training parts first."""
        return self.train_parts if self.cifar10 is not None else (*self.train_parts, *self.test_parts)

    @cached_property
    def _cifar10(self) -> Cifar10 | None:
        return None if self.cifar10 is None else Cifar10(root=self.cifar10)

    @cached_property
    def _cifar10_test(self) -> Samples:
        """The cells after CIFAR-5m's own: the test images of CIFAR-10 where ``cifar10`` is set, else none."""
        return NONE if self._cifar10 is None else self._cifar10.tested

    @cached_property
    def _index(self) -> Prepared:
        return prepared.read(self.root)

    @cached_property
    def _spans(self) -> "Spans":
        return Spans.of([self._index.rows(part) for part in self._parts])

    @cached_property
    def _stored(self) -> "Stored":
        return _opened(expanded(self.root), self._index)


class Spans(NamedTuple):
    """The rows of consecutive cells in the files: cells up to an end are ``shifts`` rows further on."""

    ends: tuple[int, ...]
    shifts: tuple[int, ...]

    @staticmethod
    def of(rows: list[range]) -> "Spans":
        """Cells that follow each other through these rows.

        >>> Spans.of([range(0, 10), range(30, 40)])
        Spans(ends=(10, 20), shifts=(0, 20))
        """
        ends = tuple(accumulate(map(len, rows)))
        return Spans(ends, tuple(part.stop - end for part, end in zip(rows, ends, strict=True)))

    def rows(self, cell: np.ndarray) -> np.ndarray:
        """The rows of cells, int64, of the same shape."""
        return cell + np.array(self.shifts)[np.searchsorted(self.ends, cell, side="right")]

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """All cells, some at a time, and their rows."""
        for (start, end), shift in zip(pairwise((0, *self.ends)), self.shifts, strict=True):
            for begin in range(start, end, BLOCK):
                stop = min(begin + BLOCK, end)
                yield slice(begin, stop), slice(begin + shift, stop + shift)


@dataclass(frozen=True, eq=False)
class Stored:
    """Images, mapped from their file, and labels, in memory; the same object for all tasks of the same files."""

    images: np.ndarray
    labels: np.ndarray


@lru_cache(maxsize=2)  # a study builds its task anew for every cell and pack
def _opened(root: Path, index: Prepared) -> Stored:
    arrays = prepared.arrays(root, index)
    return Stored(arrays.images, np.array(arrays.labels))


def _gathered(images: np.ndarray, row_N: np.ndarray) -> np.ndarray:
    """The images of these rows, uint8, (N, 3, 32, 32), read in the order of their rows on the disk."""
    order_N = row_N.argsort(kind="stable")
    x = np.empty((len(row_N), *images.shape[1:]), images.dtype)
    for begin in range(0, len(order_N), BLOCK):  # never all images twice in memory
        block_N = order_N[begin : begin + BLOCK]
        x[block_N] = images.take(row_N[block_N], axis=0)  # not images[…], for which other threads would wait
    return x


@lru_cache(maxsize=1)
def _copy(stored: Stored, spans: Spans, cifar10_test: Samples, device: torch.device) -> Samples | None:
    """All cells on a GPU, uint8 both; None if they would take more than ``FREE_SHARE`` of its free memory."""
    own = spans.ends[-1]
    shape = (own + len(cifar10_test.y), *prepared.IMAGE)
    if np.prod(shape) > FREE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return None
    x, y = (
        torch.empty(shape, dtype=torch.uint8, device=device),
        torch.empty(shape[:1], dtype=torch.uint8, device=device),
    )
    for cells, rows in spans.blocks():
        x[cells], y[cells] = (torch.from_numpy(np.array(part[rows])) for part in (stored.images, stored.labels))
    x[own:], y[own:] = cifar10_test
    return Samples(x, y)


def _listed(parts: list[int]) -> str:
    return ", ".join(map(str, parts))

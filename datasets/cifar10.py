"""CIFAR-10, as torchvision keeps it: 50,000 images to train on and 10,000 to test on.

Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
"""

import hashlib
import shlex
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.paths import expanded
from deepboot.bootstrap.task import Image, Inputs, Samples
from deepboot.datasets.recording import InMemory


@register("task", "cifar10")
@dataclass(frozen=True, kw_only=True)
class Cifar10(InMemory):
    """CIFAR-10, 60,000 images of ten classes; its last 10,000 are the test set for ``data.test_set = "reference"``.

    Inputs are uint8, (3, 32, 32), given to models scaled to [-1, 1]. The ideal world ends with the 50,000 training
    images unless ``data.allow_reuse`` is set. A run's identity holds the images' ``fingerprint``, not their path.

    Args:
        root: the folder in which torchvision keeps it; "~" is the home folder.

    Raises:
        ValueError: it is not there, or not whole.
    """

    class_names: ClassVar[tuple[str, ...]] = (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip

    root: str

    def __post_init__(self) -> None:
        _ = self._recorded

    @property
    def inputs(self) -> Inputs:
        return Image(3, 32, 32)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def reference(self) -> range | None:
        return range(self._recorded.train, self.size)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of images and labels, in hexadecimal."""
        return self._recorded.fingerprint

    @property
    def tested(self) -> Samples:
        """The test images; the same object for all tasks of the same folder."""
        return self._recorded.tested

    @property
    def _samples(self) -> Samples:
        return self._recorded.samples

    @cached_property
    def _recorded(self) -> "Recorded":
        return _read(expanded(self.root))


class Recorded(NamedTuple):
    """CIFAR-10 as it was read.

    Attributes:
        samples: all images and labels, the training images first.
        train: number of training images.
        tested: the test images and their labels.
        fingerprint: the SHA-256 of images and labels, in hexadecimal.
    """

    samples: Samples
    train: int
    tested: Samples
    fingerprint: str


@lru_cache(maxsize=1)  # a study builds its task anew for every cell and pack
def _read(root: Path) -> Recorded:
    from torchvision.datasets import CIFAR10  # here, since it is slow to load

    try:
        parts = [CIFAR10(root, train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"cifar10 {root}: expected CIFAR-10 as torchvision keeps it, whole and with its checksums, found none. "
            f"Download it: deepboot data cifar10 download --root {shlex.quote(str(root))}"
        ) from error
    x_N = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    y_N = np.concatenate([part.targets for part in parts]).astype(np.int64)
    x_N = np.ascontiguousarray(x_N)
    digest = hashlib.sha256(x_N.tobytes() + y_N.tobytes()).hexdigest()
    samples, train = Samples(torch.from_numpy(x_N), torch.from_numpy(y_N)), len(parts[0])
    return Recorded(samples, train, Samples(*(part[train:] for part in samples)), digest)

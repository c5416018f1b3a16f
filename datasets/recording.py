"""A user's own recorded samples, from an .npz file with arrays x and y."""

import hashlib
import zipfile
import zlib
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.paths import expanded
from deepboot.bootstrap.task import Image, Inputs, Samples, Tokens, Universe, Vector


class InMemory(Universe):
    """Recorded samples that are held in memory, and copied to every device that reads cells."""

    endless_passes: ClassVar[bool] = False

    @property
    @abstractmethod
    def _samples(self) -> Samples:
        """All samples, in the memory of the host."""

    @property
    def size(self) -> int:
        return len(self._samples.y)

    def cells(self, number: Tensor) -> Samples:
        if number.device not in self._copies:
            self._copies[number.device] = Samples(*(part.to(number.device) for part in self._samples))
        x, y = (part[number] for part in self._copies[number.device])
        return Samples(x, y)

    @cached_property
    def _copies(self) -> dict[torch.device, Samples]:
        return {}


@register("task", "recording")
@dataclass(frozen=True, kw_only=True)
class Recording(InMemory):
    """Your own data, of an .npz file: inputs in its array ``x``, integer labels 0, 1, … in its array ``y``.

    There are n samples; y is (n,). The array x decides the inputs: integers, (n, length), are tokens; floats, (n,
    size), are vectors; uint8, (n, height, width, channels), are images, kept so, channels first, and given to models
    scaled to [-1, 1]; floats, (n, channels, height, width), are images as they are. Floats become float32.

    The file is read and checked when the task is built. A run's identity holds its ``fingerprint``, so
    that other contents are another run. The ideal world ends with the recording unless ``data.allow_reuse`` is set.

    Args:
        path: the file, from the folder in which the command runs; "~" is the home folder.
        num_classes: number of labels; None is the largest label + 1.

    Raises:
        ValueError: the file cannot be read, or its arrays are not as above.
    """

    path: str
    num_classes: PositiveInt | None = None

    def __post_init__(self) -> None:
        largest = int(self._samples.y.max())
        if self.num_classes is not None and largest >= self.num_classes:
            raise ValueError(
                f"recording {self.path}: labels in y must be below num_classes = {self.num_classes}, "
                f"got {largest}. Raise num_classes or mend the labels."
            )

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of the file's bytes, in hexadecimal."""
        file = expanded(self.path)
        if not file.is_file():
            raise ValueError(f"recording {self.path} is not a file. Give the path of an .npz file with arrays x and y.")
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def inputs(self) -> Inputs:
        x = self._samples.x
        if x.dim() == 4:
            return Image(*x.shape[1:])
        if x.is_floating_point():
            return Vector(x.shape[1])
        changes = (x != x[0]).any(0).nonzero()[:, 0].tolist()
        return Tokens(int(x.max()) + 1, x.shape[1], varying=tuple(changes or range(x.shape[1])))

    @property
    def classes(self) -> int:
        return self.num_classes or int(self._samples.y.max()) + 1

    def show(self, x: Tensor, y: Tensor) -> str:
        if x.dim() < 3:
            return f"{x.tolist()} -> {y.item()}"
        return f"image {tuple(x.shape)} with values {x.min():.3g} .. {x.max():.3g} -> {y.item()}"

    @cached_property
    def _samples(self) -> Samples:
        return _load(self.path, self.fingerprint)


@lru_cache(maxsize=1)  # a study builds its task anew for every cell and pack
def _load(path: str, fingerprint: str) -> Samples:
    """All samples of a file, images channels first; read again when its contents have another fingerprint."""
    prefix = f"recording {path}:"  # of every message
    x, y = _arrays(path, prefix)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{prefix} y must hold one whole number per sample, got {y.dtype} of shape {y.shape}. "
            "Save y as int64, (n,)."
        )
    x_N = _inputs(x, prefix)
    if len(x_N) != len(y):
        raise ValueError(f"{prefix} x and y must be equally long, got {len(x_N)} and {len(y)} samples. Cut the longer.")
    for name, values in (("y", y), ("x", x)):
        if values.dtype.kind == "i" and values.min() < 0:
            raise ValueError(
                f"{prefix} {name} must count from 0, got {values.min()}. Number its values 0, 1, 2 and on."
            )
    return Samples(x_N, torch.from_numpy(y.astype(np.int64)))


def _inputs(x: np.ndarray, prefix: str) -> Tensor:
    """Tokens in int64, vectors and images in float32, or uint8 images, (n, channels, height, width)."""
    tokens, floats = x.ndim == 2 and x.dtype.kind in "iu", x.ndim in (2, 4) and x.dtype.kind == "f"
    if not (tokens or floats or (x.ndim == 4 and x.dtype == np.uint8)):
        raise ValueError(
            f"{prefix} x must be tokens, integers (n, length), vectors, floats (n, size), or images, uint8 "
            "(n, height, width, channels) or floats (n, channels, height, width); "
            f"got {x.dtype} of shape {x.shape}. Save it in one of these forms."
        )
    if x.size == 0:
        raise ValueError(f"{prefix} x must hold at least one sample, and no empty ones, got shape {x.shape}. Add some.")
    if not floats:
        # Images stay uint8, a quarter of float32, until a model reads them.
        return torch.from_numpy(x.astype(np.int64) if tokens else np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    finite_N = np.isfinite(x).reshape(len(x), -1).all(-1)
    if not finite_N.all():
        raise ValueError(f"{prefix} x must be finite in float32, sample {finite_N.argmin()} is not. Remove or mend it.")
    return torch.from_numpy(x)


def _arrays(path: str, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays x and y of the file."""
    cure = "Save it with numpy.savez(path, x=x, y=y)"
    file = expanded(path)
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{prefix} expected an .npz file, which is a zip archive, got another kind of file. {cure}.")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            wanted = {name: np.asarray(arrays[name]) for name in arrays if name in ("x", "y")}
            names = ", ".join(arrays) or "none"
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{prefix} cannot be read: {error}. {cure}, as plain arrays of numbers.") from error
    if len(wanted) < 2:
        raise ValueError(f"{prefix} expected arrays x and y, got {names}. {cure}.")
    return wanted["x"], wanted["y"]

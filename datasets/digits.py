"""Endless handwritten digits: a model of each class, fitted once to 1,797 recorded digits, sampled for ever.

Shapes: E members, L images, S styles, D principal directions, P = 64 pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Image, Samples, Task

_BLOCK = {"cpu": 1 << 9, "cuda": 1 << 16}  # images drawn at a time: the temporaries then stay in the cache
_GRID = 256.0
PARAMETERS = Path(__file__).with_name("digits.npz")


@register("task", "digits")
@dataclass(frozen=True, kw_only=True)
class Digits(Task):
    """Grey 8 x 8 images of the digits 0 to 9, drawn without end and without a download.

    Inputs are uint8, (1, 8, 8). A class is a mixture of four styles, each a Gaussian with twelve principal directions
    and a residual of its own at every pixel, cut to 0 .. 255. ``fit_digits`` made the parameters.

    Normals are rounded to 1/256, so that images are equal on every device but for about one in 10**12.

    Source of the recorded digits: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten
    Digits, UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0; its test part, as
    scikit-learn ships it.
    """

    @property
    def inputs(self) -> Image:
        return Image(1, 8, 8)

    @property
    def classes(self) -> int:
        return 10

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        unit = streams.uniform(streams.subkeys(key_E2, "style"), index, 1)[..., 0]
        label = streams.integers(streams.subkeys(key_E2, "label"), index, 1, self.classes)[..., 0]
        x = torch.empty(*index.shape, 1, 8, 8, dtype=torch.uint8, device=index.device)
        key_L2 = streams.subkeys(key_E2, "pixels")[:, None].expand(-1, index[0].numel(), 2).reshape(-1, 2)
        flat = (key_L2, index.reshape(-1), label.view(-1), unit.view(-1), x.view(-1, 64))
        for *draws, into_LP in zip(*(part.split(_BLOCK[index.device.type]) for part in flat), strict=True):
            into_LP.copy_(_images(*draws))
        return Samples(x, label)

    def show(self, x: Tensor, y: Tensor) -> str:
        rows = ("".join(" .:-=+*#%@"[value * 10 // 256] for value in row) for row in x[0].tolist())
        return f"|{'|'.join(rows)}| -> {y.item()}"


class Model(NamedTuple):
    """Parameters of all styles, float32; a row is class * S + style, and 1 is full brightness."""

    until: Tensor  # (10, S): the shares of a class's styles, added up
    mean: Tensor  # (10 * S, P)
    direction: Tensor  # (D, 10 * S, P), each as long as its standard deviation
    residual: Tensor  # (10 * S, P), standard deviations


def _images(key_L2: Tensor, index_L: Tensor, label_L: Tensor, unit_L: Tensor) -> Tensor:
    """Images in 0.5 .. 255.5, to be cut to bytes, float32, (L, P)."""
    model = Model(*(streams.to_device(torch.from_numpy(part), index_L.device) for part in _parameters()))
    styles = model.until.shape[1]
    row_L = label_L * styles + (unit_L[:, None] >= model.until[label_L, :-1]).sum(1)
    normal_LZ = streams.normal(key_L2, index_L, len(model.direction) + 64).mul_(_GRID).round_().mul_(1 / _GRID)
    image_LP = model.mean.index_select(0, row_L)
    for number_L1, direction in zip(normal_LZ.split(1, 1), model.direction, strict=False):
        image_LP.add_(direction.index_select(0, row_L).mul_(number_L1))
    image_LP.add_(model.residual.index_select(0, row_L).mul_(normal_LZ[:, len(model.direction) :]))
    return image_LP.clamp_(0, 1).mul_(255).add_(0.5)


@lru_cache(maxsize=1)
def _parameters() -> tuple[np.ndarray, ...]:
    """The arrays of ``Model``."""
    with np.load(PARAMETERS, allow_pickle=False) as arrays:
        share, mean, direction, residual = (
            arrays[name].astype(np.float32) for name in ("share", "mean", "direction", "residual")
        )
    rows = np.ascontiguousarray(direction.reshape(-1, *direction.shape[2:]).swapaxes(0, 1))
    return share.cumsum(1), mean.reshape(-1, 64), rows, residual.reshape(-1, 64)

"""Augmentations of images: chances of the draw, not of the sample, keyed by the draw's number.

Both worlds draw alike: until the first reuse, real and ideal world see the same crops. Every image has
its own crop and flip. Shapes: M members, ``...`` draws, C channels, H height, W width.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.schema import Augmentation

PADDING = 4  # pixels of black around an image before a crop


def flip(x: Tensor, key_M2: Tensor, number: Tensor) -> Tensor:
    """Every other image, at random, mirrored left to right."""
    mirrored = streams.bits(streams.subkeys(key_M2, "flip"), number, 1).bool()[..., None, None]
    return torch.where(mirrored, x.flip(-1), x)


def crop_flip(x: Tensor, key_M2: Tensor, number: Tensor) -> Tensor:
    """Images shifted by up to 4 pixels each way, zeros moving in, and mirrored at random.

    Source: the usual augmentation of CIFAR-10, as in Nakkiran et al. 2021, arXiv 2010.08127.
    """
    channels, height, width = x.shape[-3:]
    pixel_KP, inside_KP = _crops(height, width, x.device)
    crop = streams.integers(streams.subkeys(key_M2, "crop"), number, 1, len(pixel_KP)).flatten()
    pixel = pixel_KP.index_select(0, crop)[:, None].expand(-1, channels, -1)
    cropped = x.reshape(-1, channels, height * width).gather(2, pixel)
    return cropped.mul_(inside_KP.index_select(0, crop)[:, None]).view_as(x)


@lru_cache(maxsize=8)
def _crops(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of all K crops, mirrored or not: the pixel that each of P pixels shows, and whether there is one, both (K, P)."""
    shift = torch.arange(-PADDING, PADDING + 1, device=device)
    row_SH, column_SW = (torch.arange(size, device=device) + shift[:, None] for size in (height, width))
    column_KW = torch.cat((column_SW, column_SW.flip(1)))
    inside = _within(row_SH, height)[:, None, :, None] & _within(column_KW, width)[None, :, None, :]
    pixel = row_SH.clamp(0, height - 1)[:, None, :, None] * width + column_KW.clamp(0, width - 1)[None, :, None, :]
    return pixel.flatten(2).flatten(0, 1), inside.flatten(2).flatten(0, 1)


def _within(pixel: Tensor, size: int) -> Tensor:
    return (pixel >= 0) & (pixel < size)


AUGMENTATIONS: dict[Augmentation, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "flip": flip,
    "crop_flip": crop_flip,
}

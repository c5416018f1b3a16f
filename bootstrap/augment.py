"""Augmentations of images: chances of the draw, not of the sample, keyed by the draw's number.

Both worlds draw alike: until the first reuse, real and ideal world see the same crops. Every image has
its own crop and flip. Shapes: M members, ``...`` draws, C channels, H height, W width.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bootstrap import streams
from bootstrap.study import Augmentation

PADDING = 4  # pixels of black around an image before a crop


def flip(x: Tensor, key_M2: Tensor, number: Tensor) -> Tensor:
    """Every other image, at random, mirrored left to right."""
    mirrored = streams.bits(streams.subkeys(key_M2, "flip"), number, 1).bool()[..., None, None]
    return torch.where(mirrored, x.flip(-1), x)


def crop_flip(x: Tensor, key_M2: Tensor, number: Tensor) -> Tensor:
    """Images shifted by up to 4 pixels each way, zeros moving in, and mirrored at random.

    Source: the usual augmentation of CIFAR-10, as in Nakkiran et al. 2021, arXiv 2010.08127.
    """
    height, width = x.shape[-2:]
    mirrored = streams.bits(streams.subkeys(key_M2, "flip"), number, 1).bool()
    shift = streams.integers(streams.subkeys(key_M2, "crop"), number, 2, 2 * PADDING + 1) - PADDING
    row_H, column_W = (torch.arange(size, device=x.device) for size in (height, width))
    row = row_H + shift[..., :1]
    column = torch.where(mirrored, width - 1 - column_W, column_W) + shift[..., 1:]
    inside = _within(row, height)[..., :, None] & _within(column, width)[..., None, :]
    place = row.clamp(0, height - 1)[..., :, None] * width + column.clamp(0, width - 1)[..., None, :]
    flat = place.flatten(-2)[..., None, :].expand(*x.shape[:-2], -1)
    return x.flatten(-2).gather(-1, flat).view_as(x) * inside[..., None, :, :]


def _within(place: Tensor, size: int) -> Tensor:
    return (place >= 0) & (place < size)


AUGMENTATIONS: dict[Augmentation, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "none": lambda x, key_M2, number: x,
    "flip": flip,
    "crop_flip": crop_flip,
}

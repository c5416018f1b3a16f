"""A contact sheet: an image task's samples, a row per class, each with its index.

Shapes: R rows, S samples of a row, H x W pixels, C channels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from deepboot.bootstrap.task import Image, Task, Universe

MOST_ROWS = 30
_DRAWN = 16  # samples drawn for each that is shown
_INK, _FAINT = "#222222", "#777777"
_SIDE, _GAP, _NAMES, _HEAD = 96, 16, 150, 40  # pixels: of an image, between images, left of them, above them
_DPI = 100


@dataclass(frozen=True)
class Sheet:
    """The first samples of each class.

    Attributes:
        names: one per row.
        rows: each row's images, float32 in 0 .. 1, (up to S, C, H, W).
        indices: each row's indices.
    """

    names: list[str]
    rows: list[Tensor]
    indices: list[list[int]]


def collect(task: Task, key_12: Tensor, count: int) -> Sheet:
    """The first ``count`` samples of each class; of a universe, samples from all of it."""
    drawn = count * task.classes * _DRAWN
    index = torch.arange(drawn)
    if isinstance(task, Universe):
        index = (index * task.size // drawn).unique()
    x, y = (part[0] for part in task.sample(key_12, index[None]))
    classes = range(min(task.classes, MOST_ROWS))
    names = getattr(task, "class_names", None) or [str(number) for number in range(task.classes)]
    positions = [(y == number).nonzero()[:count, 0] for number in classes]
    images = _brightness(x[torch.cat(positions)])
    rows = list(images.split([len(position) for position in positions]))
    return Sheet([names[number] for number in classes], rows, [index[position].tolist() for position in positions])


def draw(sheet: Sheet, title: str) -> Figure:
    """The sheet as a figure; an image's pixels stay square and sharp."""
    columns = max(len(row) for row in sheet.rows)
    width = _NAMES + columns * (_SIDE + _GAP) + _GAP
    height = _HEAD + len(sheet.rows) * (_SIDE + _GAP) + _GAP
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.text(_GAP, _HEAD / 2, title, va="center", color=_INK, size=10, weight="bold")
    for row, (name, images, indices) in enumerate(zip(sheet.names, sheet.rows, sheet.indices, strict=True)):
        top = _HEAD + row * (_SIDE + _GAP)
        axes.text(_GAP, top + _SIDE / 2, name, va="center", color=_INK, size=9)
        for column, (image, index) in enumerate(zip(images, indices, strict=True)):
            left = _NAMES + column * (_SIDE + _GAP)
            axes.imshow(_picture(image), extent=(left, left + _SIDE, top + _SIDE, top), interpolation="nearest")
            axes.text(left, top + _SIDE + _GAP / 2, str(index), va="center", color=_FAINT, size=6)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def write(task: Task, key_12: Tensor, path: Path, *, title: str, count: int) -> None:
    """Write the contact sheet of an image task, in the format of the path's suffix."""
    assert isinstance(task.inputs, Image)
    draw(collect(task, key_12, count), title).savefig(path)


def _brightness(x: Tensor) -> Tensor:
    """Pixels in 0 .. 1: bytes divided by 255, other numbers scaled by the smallest and the largest among them."""
    if x.dtype == torch.uint8:
        return x.to(torch.float32) / 255
    low, high = x.min(), x.max()
    return (x - low) / (high - low).clamp(min=1e-12)


def _picture(image_CHW: Tensor) -> np.ndarray:
    """Colours, (H, W, 3): three channels as they are, others as their mean."""
    if len(image_CHW) != 3:
        image_CHW = image_CHW.mean(0).expand(3, -1, -1)
    return image_CHW.permute(1, 2, 0).numpy()

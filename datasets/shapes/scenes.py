"""The scene of an endless image: everything about it but its pixels, drawn from its index.

Coordinates run from -1 to 1 across an image. A plane is a * u + b * v + c over its pixels (u, v).

Shapes: L images, K numbers drawn for each, F planes, C = 3 colours.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepboot.bootstrap import streams

TEXTURES = ("striped", "checked")

_TURNS = 1_024
_FAR = 99.0


class Look(NamedTuple):
    """Settings of the task that scenes depend on; `Shapes` explains each."""

    size: int
    turn: float
    dark: float
    clutter: float
    occlusion: float
    noise: float


class Colours(NamedTuple):
    """Of grounds, gradients and tones, 0 to 255, each float32, (L, C, 1)."""

    ground: Tensor
    fall: Tensor
    clutter: Tensor
    body: Tensor
    texture: Tensor
    bar: Tensor


class Scene(NamedTuple):
    """Eight planes, and how each is read.

    Two are the shape's texture, two the background's, two the shape's coordinates, one the distance
    from the bar, one the background's gradient.
    """

    across_FL1: Tensor
    down_FL1: Tensor
    start_FL1: Tensor
    steep_FL1: Tensor
    sharp_L1: Tensor
    bar_L1: Tensor
    noise_L11: Tensor
    colours: Colours


def draw(look: Look, key_L2: Tensor, index_L: Tensor, label_L: Tensor) -> Scene:
    """The scenes of these images, by the settings of the task."""
    spans = _spans(look)
    low_K, span_K = streams.to_device(torch.from_numpy(_ranges(tuple(spans.values()))), index_L.device).unbind(0)
    number_LK = streams.uniform(key_L2, index_L, len(low_K)).mul_(span_K).add_(low_K)
    drawn = dict(zip(spans, number_LK.split([count for count, _, _ in spans.values()], 1), strict=True))
    checked_L1 = (label_L % len(TEXTURES)).to(torch.float32)[:, None]
    across_FL1, down_FL1, start_FL1 = _planes(drawn, checked_L1, look.occlusion)
    return Scene(
        across_FL1,
        down_FL1,
        start_FL1,
        steep_FL1=drawn["period"].t().repeat_interleave(2, 0)[..., None] * look.size,
        sharp_L1=drawn["radius"] * (look.size / 2),
        bar_L1=drawn["width"],
        noise_L11=drawn["noise"][..., None],
        colours=_colours(drawn, look.dark),
    )


def _spans(look: Look) -> dict[str, tuple[int, float, float]]:
    """The uniform numbers of each image, by name: how many, the lowest and the highest value."""
    clutter = 128 * look.clutter
    return {
        "turn": (1, -look.turn / 2, look.turn / 2), "turns": (4, 0, 1),
        "period": (2, 0.35, 0.6), "phase": (4, 0, 1), "checked": (1, 0, 2),
        "centre": (2, -0.35, 0.35), "radius": (1, 0.4, 0.6), "aspect": (1, 0.7, 1),
        "beside": (1, -0.6, 0.6), "width": (1, 0.08, 0.2), "occluded": (1, 0, 1),
        "low": (3, 0, 1), "apart": (3, 64, 166), "brightness": (1, 0, 1),
        "tone": (3, 0.5, 1), "contrast": (1, 38, 80), "sign": (1, -1, 1),
        "fall": (3, -clutter, clutter), "clutter": (3, -clutter, clutter), "bar": (3, 0, 255),
        "noise": (1, 0, 255 * look.noise),
    }  # fmt: skip


def _planes(drawn: dict[str, Tensor], checked: Tensor, occlusion: float) -> Iterator[Tensor]:
    """Slope across, slope down and value in the image's middle of all planes, each (F, L, 1)."""
    wave, other = drawn["period"].reciprocal().split(1, 1)
    first, second, third, fourth = drawn["phase"].split(1, 1)
    checked_too = drawn["checked"].floor()
    wide, high = drawn["aspect"] / drawn["radius"], 1 / (drawn["aspect"] * drawn["radius"])
    one, zero = torch.ones_like(wide), torch.zeros_like(wide)
    bar = torch.where(drawn["occluded"] < occlusion, drawn["beside"], _FAR)
    # Two waves, multiplied, are checks, or stripes where the second never changes.
    stretch_LF = torch.cat((wave, wave * checked, other, other * checked_too, wide, high, one, one), 1)
    offset_LF = torch.cat((first, second * checked, third, fourth * checked_too, zero, zero, bar, zero), 1)
    cos_LF, sin_LF = _turned(drawn["turn"], drawn["turns"])
    across_LF, down_LF = cos_LF.mul_(stretch_LF), sin_LF.mul_(stretch_LF)
    x, y = drawn["centre"].split(1, 1)  # of the shape, the origin of all coordinates
    start_LF = offset_LF.sub_(across_LF * x + down_LF * y)
    return (part.t().contiguous()[..., None] for part in (across_LF, down_LF, start_LF))


def _colours(drawn: dict[str, Tensor], share: float) -> Colours:
    """Shape and background differ in every colour by a quarter of full brightness or more."""
    low = drawn["low"] * (210 - drawn["apart"]) + 0.5
    high = low + drawn["apart"]
    dark = drawn["brightness"] < share
    tone = drawn["tone"] * drawn["contrast"]
    parts = (
        torch.where(dark, high, low), drawn["fall"], drawn["clutter"],
        torch.where(dark, low, high), torch.where(drawn["sign"] < 0, -tone, tone), drawn["bar"],
    )  # fmt: skip
    return Colours(*(part[..., None] for part in parts))


def _turned(shape_L1: Tensor, others_L4: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every plane's turn, (L, F), from turns in parts of a whole one."""
    turn_L5 = torch.cat((shape_L1, others_L4), 1).mul_(_TURNS).to(torch.int32)
    shape, texture, clutter, bar, fall = turn_L5.split(1, 1)
    quarter = _TURNS // 4
    turns = (texture, texture + quarter, clutter, clutter + quarter, shape, shape + quarter, bar, fall)
    turn_LF = torch.cat(turns, 1).bitwise_and_(_TURNS - 1)
    turns_2T = streams.to_device(torch.from_numpy(_turns()), turn_LF.device)
    cos_LF, sin_LF = turns_2T.index_select(1, turn_LF.view(-1)).view(2, *turn_LF.shape).unbind(0)
    return cos_LF, sin_LF


@lru_cache(maxsize=64)
def _ranges(spans: tuple[tuple[int, float, float], ...]) -> np.ndarray:
    """The lowest value of each number and the length of its span, float32, (2, K)."""
    end_2K = np.array([ends for count, *ends in spans for _ in range(count)], np.float32).T
    return np.stack((end_2K[0], end_2K[1] - end_2K[0]))


@lru_cache(maxsize=1)
def _turns() -> np.ndarray:
    """Cosine and sine of evenly spaced turns, float32, (2, 1024): a table is equal on every device."""
    angle = np.arange(_TURNS) * (2 * np.pi / _TURNS)
    return np.stack((np.cos(angle), np.sin(angle))).astype(np.float32)

"""Outlines as tables over the direction: how far away an edge is, seen from inside a shape.

T directions of half a turn, for every outline is its own mirror image; O outlines.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepboot.bootstrap import streams

DIRECTIONS = 512  # at a radius of 7 pixels they are 0.04 pixels apart


class Edge(NamedTuple):
    """The straight line, or the tangent, that a ray from the centre meets.

    A point at distance r is ``r * facing - reach`` outside of it; facing is the cosine between the
    ray and the line's normal, reach the line's distance from the centre.
    """

    facing: np.ndarray
    reach: np.ndarray


def _disc(angle_T: np.ndarray) -> Edge:
    return Edge(np.ones_like(angle_T), np.ones_like(angle_T))


def _square(angle_T: np.ndarray) -> Edge:
    return Edge(np.cos(_folded(angle_T, 4)), np.ones_like(angle_T))


def _triangle(angle_T: np.ndarray) -> Edge:
    return Edge(np.cos(_folded(angle_T, 3)), np.ones_like(angle_T))


def _star(angle_T: np.ndarray) -> Edge:
    """Five points at distance 1 with dents at distance 0.45 between them."""
    across, up = 1 - 0.45 * np.cos(np.pi / 5), 0.45 * np.sin(np.pi / 5)
    normal = np.arctan2(across, up)
    return Edge(np.cos(_folded(angle_T, 5) - normal), np.full_like(angle_T, np.cos(normal)))


def _cross(angle_T: np.ndarray) -> Edge:
    """Four arms of length 1 and width 0.76."""
    folded_T, half = _folded(angle_T, 4), 0.38
    end_T = np.tan(folded_T) < half
    return Edge(np.where(end_T, np.cos(folded_T), np.sin(folded_T)), np.where(end_T, 1.0, half))


OUTLINES: dict[str, Callable[[np.ndarray], Edge]] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross,
}  # fmt: skip


def inside(x_LP: Tensor, y_LP: Tensor, outline_L: Tensor, sharpness_L1: Tensor) -> Tensor:
    """How much of each pixel lies inside its image's outline, 0 to 1, float32, (L, P).

    Args:
        x_LP: first coordinate, in units of the radius of a disc of the same area; overwritten.
        y_LP: second coordinate; overwritten.
        outline_L: int64, (L,), which outline.
        sharpness_L1: pixels to the unit.
    """
    distance_LP = (x_LP * x_LP).add_(y_LP * y_LP).sqrt_()
    # x / (|x| + |y|) falls from 1 to -1 over half a turn, as the cosine does, but is equal on every device.
    length_LP = y_LP.abs_().add_(x_LP.abs()).add_(1e-6)
    direction_LP = x_LP.div_(length_LP).mul_((DIRECTIONS - 1) / 2).add_(DIRECTIONS / 2)
    entry = direction_LP.add_(outline_L[:, None] * DIRECTIONS).to(torch.int32).view(-1)
    tables = streams.to_device(torch.from_numpy(edges()), x_LP.device)
    facing, reach = (table.index_select(0, entry).view_as(distance_LP) for table in tables)
    outside_LP = distance_LP.mul_(facing).sub_(reach)
    return outside_LP.mul_(-sharpness_L1).add_(0.5).clamp_(0, 1)


@lru_cache(maxsize=1)
def edges() -> np.ndarray:
    """Facing and reach of all outlines, float32, (2, O * T); each outline has the area of a unit disc."""
    falling_T = np.linspace(-1, 1, DIRECTIONS)
    angle_T = np.arctan2(1 - np.abs(falling_T), falling_T)
    facing_OT, reach_OT = (np.stack(part) for part in zip(*(edge(angle_T) for edge in OUTLINES.values()), strict=True))
    area_O1 = np.trapezoid((reach_OT / facing_OT) ** 2, -angle_T, axis=1)[:, None]
    reach_OT *= np.sqrt(np.pi / area_O1)
    return np.stack((facing_OT, reach_OT)).reshape(2, -1).astype(np.float32)


def _folded(angle_T: np.ndarray, times: int) -> np.ndarray:
    """The angle to the nearest of so many directions, evenly spaced from 0 on."""
    part = 2 * np.pi / times
    return np.abs((angle_T + part / 2) % part - part / 2)

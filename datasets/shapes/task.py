"""Endless images: shapes told apart by outline and texture, each drawn from its index.

Only +, -, *, /, square roots, floors and table look-ups touch a picture, each rounded once as IEEE 754
says, so that its bytes are equal for any packing and chunking, and on every device.

Shapes: E members, L images, C = 3 colours, P = size * size pixels, F planes over them, W words.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Image, Samples, Task
from deepboot.datasets.shapes import scenes
from deepboot.datasets.shapes.outlines import OUTLINES, inside
from deepboot.datasets.shapes.scenes import TEXTURES

Share = Annotated[float, Field(ge=0, le=1)]

_BLOCK = {"cpu": 1 << 16, "cuda": 1 << 22}  # pixels drawn at a time: the temporaries then stay in the cache
_HALVES_STD = (255 / 6) ** 0.5  # of two fair numbers in 0 .. 15, added


@register("task", "shapes")
@dataclass(frozen=True, kw_only=True)
class Shapes(Task):
    """Drawn images of one shape each, in colour, in ten classes: five outlines with two textures.

    Inputs are uint8, (3, size, size), the class is 2 * outline + texture. Outlines of equal area (disc, square,
    triangle, star, cross) are striped or checked. All else is nuisance, drawn anew for each image: position, radius,
    turn and aspect of the shape; period, phase and turn of its texture; all colours; a background with a gradient and a
    texture of its own, striped or checked; a bar in front; pixel noise. Labels are fair and do not depend on the
    settings.

    A known floor under every error is ``data.label_noise`` of a study.

    Args:
        size: height and width in pixels; 16 is quick on a CPU.
        turn: the shape is turned anywhere within this share of a whole turn, half of it to either side.
        dark: share of images whose shape is darker than its background; in the others it is lighter.
        clutter: strength of the background's gradient and texture, 1 is full brightness.
        occlusion: share of images with a bar in front.
        noise: largest standard deviation of pixel noise, 1 is full brightness; an image's own
            lies anywhere from 0 to it.
    """

    class_names: ClassVar[tuple[str, ...]] = tuple(f"{texture} {shape}" for shape in OUTLINES for texture in TEXTURES)

    size: Annotated[int, Field(ge=8, le=128, multiple_of=4)] = 32
    turn: Share = 0.5
    dark: Share = 0.1
    clutter: Share = 0.4
    occlusion: Share = 0.4
    noise: Share = 0.15

    @property
    def inputs(self) -> Image:
        return Image(3, self.size, self.size)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        label = streams.integers(streams.subkeys(key_E2, "label"), index, 1, self.classes)[..., 0]
        x = torch.empty(*index.shape, 3, self.size, self.size, dtype=torch.uint8, device=index.device)
        scene_L2, grain_L2 = (_key_of_each_image(streams.subkeys(key_E2, name), index) for name in ("scene", "grain"))
        flat = (scene_L2, grain_L2, index.reshape(-1), label.view(-1), x.view(-1, 3, self.size**2))
        block = max(1, _BLOCK[index.device.type] // self.size**2)
        look = scenes.Look(self.size, self.turn, self.dark, self.clutter, self.occlusion, self.noise)
        for scene_key, grain_key, number, y, into_LCP in zip(*(part.split(block) for part in flat), strict=True):
            scene = scenes.draw(look, scene_key, number, y)
            picture_LCP = self._picture(scene, y // len(TEXTURES))
            picture_LCP.add_(self._grain(grain_key, number).mul_(scene.noise_L11)).clamp_(0, 255)
            into_LCP.copy_(picture_LCP)  # to bytes by cutting: the colours are a half too large, so that this rounds
        return Samples(x, label)

    def show(self, x: Tensor, y: Tensor) -> str:
        colour = x.float().mean((1, 2)).int().tolist()
        return f"image {tuple(x.shape)}, mean colour {colour} -> {y.item()}, {self.class_names[y]}"

    def _picture(self, scene: scenes.Scene, outline_L: Tensor) -> Tensor:
        """Images without noise, 0 to 255, float32, (L, C, P)."""
        u_P, v_P = streams.to_device(torch.from_numpy(_grid(self.size)), outline_L.device).unbind(0)
        plane_FLP = (scene.across_FL1 * u_P).add_(scene.down_FL1 * v_P).add_(scene.start_FL1)
        wave_FLP = plane_FLP[:4].sub_(plane_FLP[:4].floor()).sub_(0.5).abs_().sub_(0.25)
        wave_FLP.mul_(scene.steep_FL1).clamp_(-1, 1)
        texture_L1P = wave_FLP[0].mul_(wave_FLP[1])[:, None]
        clutter_L1P = wave_FLP[2].mul_(wave_FLP[3])[:, None]
        shape_L1P = inside(plane_FLP[4], plane_FLP[5], outline_L, scene.sharp_L1)[:, None]
        bar_L1P = plane_FLP[6].abs_().sub_(scene.bar_L1).mul_(-0.5 * self.size).add_(0.5).clamp_(0, 1)[:, None]
        colour = scene.colours
        image_LCP = (colour.clutter * clutter_L1P).add_(colour.fall * plane_FLP[7][:, None]).add_(colour.ground)
        body_LCP = (colour.texture * texture_L1P).add_(colour.body)
        image_LCP.add_(body_LCP.sub_(image_LCP).mul_(shape_L1P))
        return image_LCP.add_((colour.bar - image_LCP).mul_(bar_L1P))

    def _grain(self, key_L2: Tensor, index_L: Tensor) -> Tensor:
        """Noise of mean 0 and standard deviation 1, float32, (L, C, P): the halves of a byte, added."""
        word_LW = streams.words(key_L2, index_L, 3 * self.size**2 // 4)
        halves_LW = (word_LW >> 4).bitwise_and_(0x0F0F0F0F).add_(word_LW.bitwise_and_(0x0F0F0F0F))
        grain = halves_LW.view(torch.uint8).to(torch.float32).sub_(15).mul_(1 / _HALVES_STD)
        return grain.view(len(index_L), 3, -1)


def _key_of_each_image(key_E2: Tensor, index: Tensor) -> Tensor:
    """Every image's key, (L, 2)."""
    return key_E2[:, None].expand(-1, index[0].numel(), 2).reshape(-1, 2)


@lru_cache(maxsize=8)
def _grid(size: int) -> np.ndarray:
    """Coordinates of pixels' centres, from left to right and from top to bottom, float32, (2, P)."""
    centre = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    return np.stack((np.tile(centre, size), np.repeat(centre, size)))

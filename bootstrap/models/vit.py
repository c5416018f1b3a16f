"""Vision transformer."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import images
from deepboot.bootstrap.models.layers import Initialization, LayerNorm, Linear, normal, parameter
from deepboot.bootstrap.models.prefixes import View
from deepboot.bootstrap.models.transformer import Layers, TransformerBlock, Width
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs

STD = 0.02  # of positions and class token at the start


@register("model", "vit")
class ViT(nn.Module):
    """A vision transformer: attention among square patches of an image.

    The class is read from a token of its own, or from the mean of the patches.

    Every patch is mapped linearly, learned positions are added, and pre-norm blocks with GELU follow. The class
    token stands behind the patches and is the only query of the last block: nothing else reaches the loss.
    The Deep Bootstrap trains patches of 4 and 8 at the size of ViT-B: width 768, 12 layers, 12 heads.

    Args:
        patch: height and width of a patch in pixels; a divisor of the image's.
        layers: blocks of attention and feed-forward part.
        width: numbers of a patch's state; a multiple of heads.
        heads: attention heads of a block.
        feed_forward: hidden units of the feed-forward part; 4 times the width where it is not given.
        pooling: whether the class is read from a token of its own, or from the mean over the patches.

    Source: Dosovitskiy et al. 2021, arXiv 2010.11929. The default size is ViT-S.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).

    Raises:
        ValueError: the patches do not fill the image, or the width is no multiple of the heads.
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, patch: Annotated[int, Field(ge=1, le=1_024)] = 4, layers: Layers = 12,
        width: Width = 384, heads: Width = 6, feed_forward: Width | None = None,
        pooling: Literal["token", "mean"] = "token", initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        image = images(inputs, "vit")
        if image.height % patch or image.width % patch:
            both = math.gcd(image.height, image.width)
            fitting = [str(size) for size in range(1, both + 1) if both % size == 0]
            raise ValueError(
                f"model 'vit' cuts images into patches of {patch} x {patch}, this task's are of {image.height} x "
                f"{image.width}. Set model.patch to one of {', '.join(fitting)}."
            )
        self.patch = patch
        self.embedding = Linear(image.channels * patch * patch, width, initialization=initialization)
        self.token = parameter((1, width), normal(STD)) if pooling == "token" else None
        self.length = image.height // patch * (image.width // patch) + (self.token is not None)
        self.position = parameter((self.length, width), normal(STD))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, feed_forward or 4 * width, "gelu", "pre", initialization, causal=False)
            for _ in range(layers)
        )
        self.norm = LayerNorm(width)
        self.output = Linear(width, classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[1]
        h = self.embedding(patches(x, self.patch).flatten(1, 2)).unflatten(1, (batch, -1))
        if self.token is not None:
            h = torch.cat((h, self.token.unsqueeze(1).expand(-1, batch, -1, -1)), 2)
        h = (h + self.position.unsqueeze(1)).flatten(1, 2)
        for number, block in enumerate(self.blocks):
            last = number == len(self.blocks) - 1
            h = block(h, [View(batch, 1 if last and self.token is not None else self.length)])
        h = self.norm(h).unflatten(1, (batch, -1))  # the token alone, or all patches
        return self.output(h.mean(2))


def patches(x: Tensor, size: int) -> Tensor:
    """Square patches of images (..., C, H, W), row by row, each flat as (C, size, size): (..., patches, C * size²)."""
    cut = x.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))  # (..., C, rows, size, columns, size)
    return cut.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2)

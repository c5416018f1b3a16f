"""Densely connected convolutional networks for small images."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import BatchNorm, Channels, Conv2d, as_channels, images, pooled
from deepboot.bootstrap.models.layers import Initialization, Linear
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs

BOTTLENECK = 4  # channels of a bottleneck, in units of the growth
BLOCKS = 3


class Activated(nn.Module):
    """Batch norm, ReLU and a convolution, in this order."""

    def __init__(self, fan_in: int, out: int, kernel: int, initialization: Initialization):
        super().__init__()
        self.norm = BatchNorm(fan_in)
        self.convolution = Conv2d(fan_in, out, kernel, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(nn.functional.relu(self.norm(x)))


class Dense(nn.ModuleList):
    """Layers that each read the channels of all before them, and add their own."""

    def forward(self, h: Tensor, members: int) -> Tensor:
        """All channels, (B, E * C, H, W)."""
        for layer in self:
            h = beside(h, layer(h), members)
        return h


@register("model", "densenet")
class DenseNet(nn.Module):
    """Three dense blocks, in which every layer adds ``growth`` channels to all that came before it.

    A first convolution of twice ``growth`` channels; between the blocks a 1 x 1 convolution and the mean of every four
    neighbours, as long as the image has two pixels; a last batch norm and ReLU, the mean over the image, a linear map.
    ``bottleneck`` makes it DenseNet-BC: 1 x 1 convolutions before those of 3 x 3, and half of the channels kept
    between blocks. The Deep Bootstrap trains ``depth`` 40 with ``growth`` 12 and 32.

    Args:
        depth: layers with weights; 4 and a multiple of 3 more (of 6 with a bottleneck).
        growth: channels that every layer adds.
        bottleneck: whether 1 x 1 convolutions come first and half of the channels are kept between blocks.

    Source: Huang et al. 2017, arXiv 1608.06993.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).

    Raises:
        ValueError: no block has a whole number of layers at this depth.
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, depth: Annotated[int, Field(ge=7, le=1_000)] = 40,
        growth: Channels = 12, bottleneck: bool = False, initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        image, layers = images(inputs, "densenet"), layers_of(depth, bottleneck)
        channels = 2 * growth
        self.stem = Conv2d(image.channels, channels, initialization=initialization)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for block in range(BLOCKS):
            if block > 0:
                kept = channels // 2 if bottleneck else channels
                self.transitions.append(Activated(channels, kept, 1, initialization))
                channels = kept
            fans_in = range(channels, channels + layers * growth, growth)
            self.blocks.append(Dense(_layer(each, growth, bottleneck, initialization) for each in fans_in))
            channels += layers * growth
        self.norm = BatchNorm(channels)
        self.output = Linear(channels, classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = self.stem(as_channels(x))
        for index, block in enumerate(self.blocks):
            if index > 0:
                h = self.transitions[index - 1](h)
                h = nn.functional.avg_pool2d(h, 2) if min(h.shape[-2:]) > 1 else h
            h = block(h, members)
        return self.output(pooled(nn.functional.relu(self.norm(h)), members))


def _layer(fan_in: int, growth: int, bottleneck: bool, initialization: Initialization) -> nn.Sequential:
    narrow = BOTTLENECK * growth if bottleneck else fan_in
    first = [Activated(fan_in, narrow, 1, initialization)] if bottleneck else []
    return nn.Sequential(*first, Activated(narrow, growth, 3, initialization))


def beside(old: Tensor, new: Tensor, members: int) -> Tensor:
    """Every member's new channels behind its own old ones, (B, E * (C + D), H, W)."""
    pairs = zip(old.chunk(members, 1), new.chunk(members, 1), strict=True)
    return torch.cat([part for pair in pairs for part in pair], 1)  # unlike with a member axis, stored as they are


def layers_of(depth: int, bottleneck: bool) -> int:
    """Layers of each dense block of a network with so many convolutions and linear maps in a row.

    Raises:
        ValueError: no whole number.
    """
    each = 2 * BLOCKS if bottleneck else BLOCKS
    layers, rest = divmod(depth - BLOCKS - 1, each)
    if rest or layers < 1:
        near = each * max(layers, 1) + BLOCKS + 1
        raise ValueError(
            f"depth must be {BLOCKS + 1} more than a multiple of {each}, got {depth}. "
            f"Set model.depth to {near} or {near + each}."
        )
    return layers

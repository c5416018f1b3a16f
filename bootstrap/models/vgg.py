"""VGG networks for small images."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import Channels, Convolved, as_channels, halved, images, pooled
from deepboot.bootstrap.models.layers import Initialization, Linear
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # of every stage


@register("model", "vgg")
class VGG(nn.Module):
    """VGG for small images: five stages of 3 x 3 convolutions with batch norm and ReLU, and one linear map.

    The stages have ``width``, 2, 4, 8 and 8 times ``width`` channels. The image is halved after each as long as
    it has two pixels, which leaves one of 32 x 32; the mean is taken over what is left of a larger one.

    Args:
        depth: layers with weights: VGG-11, 13, 16 or 19.
        width: channels of the first stage.
        batch_norm: whether batch norm follows every convolution.

    Source: Simonyan and Zisserman 2015, arXiv 1409.1556, with one linear map in place of three, as usual for CIFAR.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, depth: Literal[11, 13, 16, 19] = 11, width: Channels = 64,
        batch_norm: bool = True, initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        ends = [images(inputs, "vgg").channels, width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.stages = nn.ModuleList()
        for (fan_in, out), convolutions in zip(pairwise(ends), CONVOLUTIONS[depth], strict=True):
            channels = pairwise([fan_in, *[out] * convolutions])
            layers = (Convolved(a, b, batch_norm=batch_norm, initialization=initialization) for a, b in channels)
            self.stages.append(nn.Sequential(*layers))
        self.output = Linear(ends[-1], classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = as_channels(x)
        for stage in self.stages:
            h = halved(stage(h))
        return self.output(pooled(h, members))

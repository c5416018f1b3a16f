"""A small convolutional network: five layers, as in the Deep Bootstrap."""

from itertools import pairwise

from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import BatchNorm, Channels, Conv2d, as_channels, halved, images, per_member
from deepboot.bootstrap.models.layers import Initialization, Linear
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs


@register("model", "cnn")
class CNN(nn.Module):
    """A small convolutional network: four 3 x 3 convolutions that halve the image, and a linear map.

    The convolutions, each with batch norm and ReLU, have ``width``, 2, 4 and 8 times ``width`` channels; the image is
    halved after each but the first as long as it has two pixels, then the maximum over what is left is taken.

    Args:
        width: channels of the first convolution.
        batch_norm: whether batch norm follows every convolution.

    Source: the 5-layer CNN of Nakkiran et al. 2020, arXiv 1912.02292.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, width: Channels = 64, batch_norm: bool = True,
        initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        image = images(inputs, "cnn")
        channels = [image.channels, width, 2 * width, 4 * width, 8 * width]
        self.convolutions = nn.ModuleList(
            Conv2d(a, b, bias=not batch_norm, initialization=initialization) for a, b in pairwise(channels)
        )
        self.norms = nn.ModuleList(BatchNorm(b) for b in channels[1:]) if batch_norm else None
        self.output = Linear(channels[-1], classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = as_channels(x)
        for index, convolution in enumerate(self.convolutions):
            h = convolution(h)
            h = h if self.norms is None else self.norms[index](h)
            h = nn.functional.relu(h)
            h = halved(h) if index > 0 else h
        return self.output(per_member(h.amax((-2, -1)), members))

"""AlexNet for small images."""

from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import Channels, Convolved, as_channels, halved, images, pooled
from deepboot.bootstrap.models.layers import Initialization, Linear
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs


@register("model", "alexnet")
class AlexNet(nn.Module):
    """AlexNet's five convolutions, as usual for CIFAR without its large linear maps.

    Kernels of 11 (with stride 4), 5, 3, 3 and 3 pixels, and ``width``, 3, 6, 4 and 4 times ``width`` channels, each
    with ReLU. The image is halved after the first, second and last, as long as it has two pixels, which leaves one of
    32 x 32; the mean is taken over what is left of a larger one. Without batch norm, as published, a learning rate
    of 0.1 is too large.

    Args:
        width: channels of the first convolution.
        batch_norm: whether batch norm follows every convolution.

    Source: Krizhevsky et al. 2012; Krizhevsky 2014, arXiv 1404.5997.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, width: Channels = 64, batch_norm: bool = False,
        initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()

        def layer(fan_in: int, out: int, kernel: int, stride: int = 1) -> Convolved:
            return Convolved(fan_in, out, kernel, stride=stride, batch_norm=batch_norm, initialization=initialization)

        self.first = layer(images(inputs, "alexnet").channels, width, 11, stride=4)
        self.second = layer(width, 3 * width, 5)
        self.last = nn.Sequential(
            layer(3 * width, 6 * width, 3), layer(6 * width, 4 * width, 3), layer(4 * width, 4 * width, 3)
        )
        self.output = Linear(4 * width, classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = as_channels(x)
        for part in (self.first, self.second, self.last):
            h = halved(part(h))
        return self.output(pooled(h, members))

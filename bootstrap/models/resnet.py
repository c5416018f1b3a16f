"""Pre-activation residual networks of any width."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import BatchNorm, Channels, Conv2d, as_channels, images, pooled
from deepboot.bootstrap.models.layers import Initialization, Linear
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs

Blocks = Annotated[int, Field(ge=1, le=50)]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each after batch norm and ReLU, added to their input."""

    def __init__(self, fan_in: int, out: int, stride: int, initialization: Initialization):
        super().__init__()
        self.norm1, self.norm2 = BatchNorm(fan_in), BatchNorm(out)
        self.conv1 = Conv2d(fan_in, out, stride=stride, initialization=initialization)
        self.conv2 = Conv2d(out, out, initialization=initialization)
        changed = stride != 1 or fan_in != out
        self.shortcut = Conv2d(fan_in, out, 1, stride=stride, initialization=initialization) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        h = nn.functional.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(h)
        h = self.conv1(h)
        return kept + self.conv2(nn.functional.relu(self.norm2(h)))


@register("model", "resnet")
class ResNet(nn.Module):
    """Pre-activation ResNet for small images: ResNet-18 with two blocks in each of four stages.

    Stage k has ``width * 2**k`` channels and, but for the first, halves the image. A last batch norm and ReLU,
    the mean over the image, a linear map.

    Args:
        width: channels of the first stage; every later stage doubles them.
        blocks: blocks of every stage, of two convolutions each.
        stages: stages; all but the first halve the image.

    Source: He et al. 2016, arXiv 1603.05027.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, width: Channels = 64, blocks: Blocks = 2,
        stages: Annotated[int, Field(ge=1, le=6)] = 4, initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        image = images(inputs, "resnet")
        self.stem = Conv2d(image.channels, width, initialization=initialization)
        body: list[nn.Module] = []
        fan_in = width
        for stage in range(stages):
            for block in range(blocks):
                out, stride = width << stage, 2 if stage > 0 and block == 0 else 1
                body.append(ResidualBlock(fan_in, out, stride, initialization))
                fan_in = out
        self.blocks = nn.ModuleList(body)
        self.norm = BatchNorm(fan_in)
        self.output = Linear(fan_in, classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = self.stem(as_channels(x))
        for block in self.blocks:
            h = block(h)
        return self.output(pooled(nn.functional.relu(self.norm(h)), members))

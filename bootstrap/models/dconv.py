"""A deep convolutional network and its twins without shared and without local weights."""

from typing import Literal

import torch
from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import BatchNorm, Channels, Conv2d, as_channels, images, per_member
from deepboot.bootstrap.models.layers import Initialization, Linear, parameter, weight_start
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Image, Inputs

Sharing = Literal["convolution", "local", "full"]
KERNEL = 3
LAYERS = ((1, 1), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2))  # channels in units of the width, stride
HIDDEN = 64  # units of the fully connected layer, in units of the width


@register("model", "dconv")
class DConv(nn.Module):
    """D-CONV: eight 3 x 3 convolutions with strides 1 and 2 in turn, and a fully connected layer; or a twin of it.

    They have 1, 2, 2, 4, 4, 8, 8 and 16 times ``width`` channels, the fully connected layer 64 times ``width`` units;
    batch norm and ReLU follow each. The twins have layers of the same sizes. ``sharing = "local"`` gives every place of
    the image its own 3 x 3 weights, ``"full"`` connects every unit with all of the layer below, and in both each unit
    has a batch norm of its own; every function of one network is a function of the next. At width 32 on 32 x 32 pixels
    they have 7, 52 and 1,170 million parameters. The source's dropout of the fully connected layer is left out.

    Args:
        sharing: how weights are shared: by all places ("convolution"), by none ("local"), or no neighbourhood at all
            ("full").
        width: channels of the first convolution; the other layers grow with it.

    Source: Neyshabur 2020, arXiv 2007.13657.

    Shapes: x is (E, B, C, H, W), logits are (E, B, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, sharing: Sharing = "convolution", width: Channels = 32,
        initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        image = images(inputs, "dconv")
        self.layers = nn.ModuleList()
        for factor, stride in LAYERS:
            out = Image(factor * width, -(-image.height // stride), -(-image.width // stride))
            self.layers.append(Layer(sharing, image, out, stride, initialization))
            image = out
        size = image.channels * image.height * image.width
        self.hidden = Linear(size, HIDDEN * width, bias=False, initialization=initialization)
        self.norm = BatchNorm(HIDDEN * width)
        self.output = Linear(HIDDEN * width, classes, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        members = len(x)
        h = as_channels(x)
        for layer in self.layers:
            h = layer(h)
        h = self.hidden(per_member(h.flatten(1), members))
        h = self.norm(h.transpose(0, 1).flatten(1))
        return self.output(per_member(nn.functional.relu(h), members))


class Layer(nn.Module):
    """A linear map from images to images, batch norm and ReLU, (B, E * C, H, W) to (B, E * O, H', W')."""

    def __init__(self, sharing: Sharing, image: Image, out: Image, stride: int, initialization: Initialization):
        super().__init__()
        self.places = out.height, out.width
        self.map: nn.Module
        if sharing == "convolution":
            self.map = Conv2d(image.channels, out.channels, KERNEL, stride=stride, initialization=initialization)
        elif sharing == "local":
            self.map = Local(image, out, stride, initialization)
        else:
            self.map = Full(image, out, initialization)
        places = 1 if sharing == "convolution" else out.height * out.width
        self.norm = BatchNorm(out.channels * places)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.map(x))).view(len(x), -1, *self.places)


class Local(nn.Module):
    """Locally connected: a convolution with other weights at every place, (B, E * C, H, W) to (B, E * O * H' * W')."""

    def __init__(self, image: Image, out: Image, stride: int, initialization: Initialization):
        super().__init__()
        self.stride = stride
        size = image.channels * KERNEL * KERNEL
        self.weight = parameter((out.height * out.width, out.channels, size), weight_start(initialization, size))

    def forward(self, x: Tensor) -> Tensor:
        seen = nn.functional.unfold(x, KERNEL, padding=KERNEL // 2, stride=self.stride)
        seen_BEIL = seen.unflatten(1, (len(self.weight), -1))  # I numbers that a unit sees, L places
        return torch.einsum("beil,eloi->beol", seen_BEIL, self.weight).flatten(1)


class Full(nn.Module):
    """Fully connected, (B, E * C, H, W) to (B, E * O * H' * W')."""

    def __init__(self, image: Image, out: Image, initialization: Initialization):
        super().__init__()
        sizes = (each.channels * each.height * each.width for each in (image, out))
        self.linear = Linear(*sizes, bias=False, initialization=initialization)

    def forward(self, x: Tensor) -> Tensor:
        h = self.linear(per_member(x.flatten(1), len(self.linear.weight)))
        return h.transpose(0, 1).flatten(1)

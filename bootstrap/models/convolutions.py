"""Layers of convolutional networks for E stacked members.

Images of all members lie side by side as channels, (B, E * C, H, W), from the first layer to the last: a
convolution has E groups, a batch norm knows channels only, and neither moves memory. One member alone is an
ordinary network.

On a CPU they are stored pixel by pixel (torch's ``channels_last``). That makes a step of 128 images 1.2 to 1.6 times
as fast for one member of cnn, vgg and densenet, 1.2 to 1.4 times for two and four, and resnet 1.1 to 1.2 times, at
widths of 4 to 16 (AVX2, one thread); ResNet-18 of width 64 is as fast either way, and so is a convolution for each
member by itself. Equal members must come out equal wherever they lie in a pack, so `BatchNorm` and `mean_over_pixels`
avoid kernels of torch that round a channel by its place.

Shapes: E members, B images, C channels, H height, W width, O channels out.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.layers import Initialization, buffer, constant, parameter, weight_start
from deepboot.bootstrap.task import Image, Inputs

Channels = Annotated[int, Field(ge=1, le=4_096)]

MOMENTUM = 0.1  # share of the newest batch in the running statistics
EPSILON = 1e-5
# bytes that a CPU's vector instructions read at once
VECTOR_BYTES = 64 if torch.backends.cpu.get_cpu_capability() == "AVX512" else 32


def images(inputs: Inputs, model: str) -> Image:
    """The inputs, if they are images.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(inputs, Image):
        raise ValueError(
            f"model {model!r} reads images, this task gives {type(inputs).__name__.lower()} inputs. Use an mlp."
        )
    return inputs


def as_channels(x_EBCHW: Tensor) -> Tensor:
    """Images of every member as channels of one batch, (B, E * C, H, W).

    On a CPU they are stored pixel by pixel, on a GPU as they come: what `pixel_by_pixel` stored is not moved.
    """
    x = x_EBCHW.transpose(0, 1).flatten(1, 2)
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


def pixel_by_pixel(x_EBCHW: Tensor) -> Tensor:
    """The same images, stored with the channels of all members of a pixel beside each other."""
    return x_EBCHW.permute(1, 3, 4, 0, 2).contiguous().permute(3, 0, 4, 1, 2)


def per_member(x_BX: Tensor, members: int) -> Tensor:
    """Features of one batch, (B, E * X), as every member's own, (E, B, X)."""
    return x_BX.unflatten(1, (members, -1)).transpose(0, 1)


def halved(x: Tensor) -> Tensor:
    """The largest of every four neighbours, (..., H / 2, W / 2), as long as there are two pixels either way."""
    return nn.functional.max_pool2d(x, 2) if min(x.shape[-2:]) > 1 else x


def mean_over_pixels(x: Tensor) -> Tensor:
    """Mean of every channel over the image, (B, E * C), rounded alike wherever the channel lies."""
    return x.contiguous().mean((-2, -1))


def pooled(x: Tensor, members: int) -> Tensor:
    """Mean of every member's channels over the image, (E, B, C), of (B, E * C, H, W)."""
    return per_member(mean_over_pixels(x), members)


class Conv2d(nn.Module):
    """Convolution with square kernels of odd size, padded by half; inputs (B, E * C, H, W), outputs (B, E * O, H', W').

    An axis of one pixel is read with stride 1, which gives the same: oneDNN leaves parts of the weight's gradient
    unwritten where the stride is longer than the image (bfloat16 on a CPU, torch 2.15). A kernel of one pixel reads
    the pixels that it is for with stride 1: with a stride, on images stored pixel by pixel, oneDNN writes beyond its
    memory where the channels are no multiple of 8 (float32, torch 2.15).
    """

    def __init__(
        self, fan_in: int, out: int, kernel: int = 3, *, stride: int = 1, bias: bool = False,
        initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        start = weight_start(initialization, fan_in * kernel * kernel)
        self.weight = parameter((out, fan_in, kernel, kernel), start)
        self.bias = parameter((out,), start if initialization == "torch" else constant(0.0)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        members = len(self.weight)
        bias = None if self.bias is None else self.bias.flatten()
        stride = [self.stride if size > 1 else 1 for size in x.shape[-2:]]
        if self.padding == 0 and self.stride > 1:
            x, stride = x[..., :: self.stride, :: self.stride], [1, 1]
        return nn.functional.conv2d(x, self.weight.flatten(0, 1), bias, stride, self.padding, groups=members)


class BatchNorm(nn.Module):
    """Normalises every channel of every member over batch and place; inputs (B, E * C, H, W) or (B, E * C).

    In training with the batch's own statistics, which also enter the running ones that evaluations use. Both
    worlds are treated alike: each has its own running statistics, of the batches that it trained on.

    Where channels lie beside each other in memory, the gradient of those that fill no whole vector of a CPU is rounded
    otherwise (torch 2.15), so that a run would depend on its place in a pack. Such batches are copied first: one
    channel after another, or as they lie if a single member has them all.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.weight = parameter((channels,), constant(1.0))
        self.bias = parameter((channels,), constant(0.0))
        self.register_buffer("mean", buffer((channels,), 0.0))
        self.register_buffer("variance", buffer((channels,), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self._normalised(x)
        members, channels = self.weight.shape
        vector = VECTOR_BYTES // x.element_size()
        if x[0, 0].numel() == 1:
            return self._normalised_rows(x) if channels % vector else self._normalised(x)
        return self._normalised(x.contiguous() if members > 1 and x.shape[1] % vector else x)

    def _normalised_rows(self, x: Tensor) -> Tensor:
        """Of one number a channel: as one image whose pixels are the batch."""
        return self._normalised(x.flatten(1).t().contiguous()[None])[0].t().reshape(x.shape)

    def _normalised(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(
            x, self.mean.view(-1), self.variance.view(-1), self.weight.flatten(), self.bias.flatten(),
            self.training, MOMENTUM, EPSILON,
        )  # fmt: skip


class Convolved(nn.Module):
    """Convolution, batch norm where asked for, and ReLU; without batch norm the convolution has a bias."""

    def __init__(
        self, fan_in: int, out: int, kernel: int = 3, *, stride: int = 1, batch_norm: bool,
        initialization: Initialization,
    ):  # fmt: skip
        super().__init__()
        bias = not batch_norm
        self.convolution = Conv2d(fan_in, out, kernel, stride=stride, bias=bias, initialization=initialization)
        self.norm = BatchNorm(out) if batch_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.convolution(x)))

"""Layers whose parameters may carry a leading member axis, and how parameters get their values.

A parameter is declared with the distribution it starts from and holds no numbers; the harness
fills it, for every member at once, from the ``init`` stream under the parameter's name. The same
forward pass then serves one member, ``weight (out, in)``, and E stacked ones, ``(E, out, in)``.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from deepboot.bootstrap import streams

Initialization = Literal["he", "lecun", "torch"]
Activation = Literal["relu", "gelu", "tanh", "quadratic"]


@dataclass(frozen=True)
class Distribution:
    """Distribution a parameter starts from: ``normal`` and ``uniform`` by their standard deviation, or constant."""

    kind: Literal["normal", "uniform", "constant"]
    scale: float

    def draw(self, key_E2: Tensor, shape: torch.Size) -> Tensor:
        """Starting values for E members, float32, (E, *shape)."""
        members, size = key_E2.shape[0], math.prod(shape)
        if self.kind == "constant":
            return torch.full((members, *shape), self.scale, device=key_E2.device)
        index = torch.zeros(members, 1, dtype=torch.int64, device=key_E2.device)
        index = index + torch.arange(size, device=key_E2.device)
        if self.kind == "normal":
            values = streams.normal(key_E2, index, 1)
        else:
            values = (2 * streams.uniform(key_E2, index, 1) - 1) * math.sqrt(3)
        return (values[..., 0] * self.scale).reshape(members, *shape)


def normal(std: float) -> Distribution:
    """Normal with mean 0 and this standard deviation."""
    return Distribution("normal", std)


def constant(value: float) -> Distribution:
    """The same value everywhere."""
    return Distribution("constant", value)


def weight_start(initialization: Initialization, fan_in: int) -> Distribution:
    """Start of a weight matrix: He (2 / fan_in), LeCun (1 / fan_in), or torch's uniform (1 / (3 fan_in)) variance."""
    variance = {"he": 2.0, "lecun": 1.0, "torch": 1 / 3}[initialization] / fan_in
    return Distribution("uniform" if initialization == "torch" else "normal", math.sqrt(variance))


def parameter(shape: tuple[int, ...], start: Distribution) -> nn.Parameter:
    """A parameter without numbers that knows its start."""
    declared = nn.Parameter(torch.empty(shape, device="meta"))
    declared.start = start  # type: ignore[attr-defined]
    return declared


def buffer(shape: tuple[int, ...], value: float) -> Tensor:
    """A part of a member's state that the forward pass itself changes; it starts with this value everywhere."""
    declared = torch.empty(shape, device="meta")
    declared.start = constant(value)  # type: ignore[attr-defined]
    return declared


def activate(x: Tensor, activation: Activation) -> Tensor:
    """ReLU, GELU, tanh or the square of every entry."""
    if activation == "relu":
        return torch.relu(x)
    if activation == "gelu":
        return nn.functional.gelu(x)
    return torch.tanh(x) if activation == "tanh" else x * x


class _Affine(torch.autograd.Function):
    """``x @ weight^T + bias`` per member, with each product in the order that its kernel is fast in.

    On a CPU the weight's gradient is up to nine times faster as g^T @ x than as (x^T @ g)^T where the
    layer's output is narrow, and up to twice as fast the other way round where its input is.
    """

    @staticmethod
    def forward(ctx: Any, x_ERI: Tensor, weight_EOI: Tensor, bias_E1O: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_ERI, weight_EOI)
        if bias_E1O is None:
            return torch.bmm(x_ERI, weight_EOI.mT)
        if torch.compiler.is_compiling():  # which fuses a sum with the activation after it, but no part of a product
            return torch.bmm(x_ERI, weight_EOI.mT) + bias_E1O
        return torch.baddbmm(bias_E1O, x_ERI, weight_EOI.mT)

    @staticmethod
    def backward(ctx: Any, grad_ERO: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x_ERI, weight_EOI = ctx.saved_tensors
        wants_x, _, wants_bias = ctx.needs_input_grad
        wide = x_ERI.shape[-1] >= grad_ERO.shape[-1]
        return (
            torch.bmm(grad_ERO, weight_EOI) if wants_x else None,
            torch.bmm(grad_ERO.mT, x_ERI) if wide else torch.bmm(x_ERI.mT, grad_ERO).mT,
            grad_ERO.sum(1, keepdim=True) if wants_bias else None,
        )


class Linear(nn.Module):
    """Affine map of the last axis; inputs are (..., rows, in), outputs (..., rows, out)."""

    def __init__(self, fan_in: int, out: int, *, initialization: Initialization = "he", bias: bool = True):
        super().__init__()
        self.weight = parameter((out, fan_in), weight_start(initialization, fan_in))
        start = weight_start(initialization, fan_in) if initialization == "torch" else constant(0.0)
        self.bias = parameter((1, out), start) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 3 and torch.is_autocast_enabled(x.device.type):
            out = x @ self.weight.mT
            return out if self.bias is None else out + self.bias
        if self.weight.dim() == 3:
            return _Affine.apply(x, self.weight, self.bias)
        return nn.functional.linear(x, self.weight, None if self.bias is None else self.bias[0])


class Embedding(nn.Module):
    """A row of the table for every token; tokens are int64, (E, rows) or, unstacked, (rows,)."""

    def __init__(self, vocab: int, width: int, *, std: float = 1.0):
        super().__init__()
        self.weight = parameter((vocab, width), normal(std))

    def forward(self, token: Tensor) -> Tensor:
        return rows_of(self.weight, token)


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Rows of every member's table, (E, ..., width), or of one table, by index, int64, (E, ...) or (...)."""
    if table.dim() == 2:
        return nn.functional.embedding(index, table)
    members, size, width = table.shape
    offset = torch.arange(members, device=index.device).view(-1, *(1,) * (index.dim() - 1)) * size
    return nn.functional.embedding(index + offset, table.reshape(members * size, width))


class LayerNorm(nn.Module):
    """Normalises the last axis, then scales and shifts it; parameters broadcast over rows."""

    def __init__(self, width: int, *, eps: float = 1e-5):
        super().__init__()
        self.width, self.eps = width, eps
        self.weight = parameter((1, width), constant(1.0))
        self.bias = parameter((1, width), constant(0.0))

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input; x is (..., rows, width)."""
        return nn.functional.layer_norm(x, (self.width,), eps=self.eps) * self.weight + self.bias

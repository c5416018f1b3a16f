"""Layers whose parameters may carry a leading member axis, and how parameters get their values.

A parameter is declared with the distribution it starts from and holds no numbers; the harness
fills it, for every member at once, from the ``init`` stream under the parameter's name. The same
forward pass then serves one member, ``weight (out, in)``, and E stacked ones, ``(E, out, in)``.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap import streams

Initialization = Annotated[
    Literal["he", "lecun", "torch", "truncated"],
    Field(
        description="start of weights: normal of variance 2 / inputs (He) or 1 / inputs (LeCun), torch's uniform of "
        "variance 1 / (3 inputs), or LeCun's normal without what lies beyond two standard deviations."
    ),
]
Bias = bool | Literal["input"]
Activation = Literal["relu", "gelu", "tanh", "quadratic"]
Probability = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class Distribution:
    """Distribution a parameter starts from: ``normal`` and ``uniform`` by their standard deviation, or constant.

    ``truncated`` is the normal of that standard deviation without what lies more than two of them from 0, which leaves
    0.8796 of it. ``key``, for buffers, is a key of random numbers of its own.
    """

    kind: Literal["normal", "uniform", "truncated", "constant", "key"]
    scale: float

    def draw(self, key_E2: Tensor, shape: torch.Size) -> Tensor:
        """Starting values for E members, float32, (E, *shape); the key itself, int32, (E, 2), where one is wanted."""
        if self.kind == "key":
            return key_E2
        members, size = key_E2.shape[0], math.prod(shape)
        if self.kind == "constant":
            return torch.full((members, *shape), self.scale, device=key_E2.device)
        index = torch.zeros(members, 1, dtype=torch.int64, device=key_E2.device)
        index = index + torch.arange(size, device=key_E2.device)
        if self.kind == "normal":
            values = streams.normal(key_E2, index, 1)
        elif self.kind == "truncated":
            values = _truncated(streams.uniform(key_E2, index, 1))
        else:
            values = (2 * streams.uniform(key_E2, index, 1) - 1) * math.sqrt(3)
        return (values[..., 0] * self.scale).reshape(members, *shape)


def _truncated(uniform: Tensor) -> Tensor:
    """Normals of variance 1 between -2 and 2 by their distribution function, float32, of uniform numbers in [0, 1)."""
    outside = math.erfc(math.sqrt(2)) / 2  # below -2
    middle = uniform.double() + 2.0**-25  # of the 24 bits' interval, never at an end
    return torch.special.ndtri(outside + middle * (1 - 2 * outside)).to(torch.float32)


def normal(std: float) -> Distribution:
    """Normal with mean 0 and this standard deviation."""
    return Distribution("normal", std)


def constant(value: float) -> Distribution:
    """The same value everywhere."""
    return Distribution("constant", value)


def weight_start(initialization: Initialization, fan_in: int) -> Distribution:
    """Start of a weight matrix, by the variance of its distribution.

    Normal with 2 / fan_in (He) or 1 / fan_in (LeCun); torch's uniform with 1 / (3 fan_in); LeCun's normal truncated at
    two standard deviations, as in haiku and flax.
    """
    variance = {"he": 2.0, "lecun": 1.0, "torch": 1 / 3, "truncated": 1.0}[initialization] / fan_in
    kind = {"torch": "uniform", "truncated": "truncated"}.get(initialization, "normal")
    return Distribution(kind, math.sqrt(variance))  # type: ignore[arg-type]


def parameter(shape: tuple[int, ...], start: Distribution) -> nn.Parameter:
    """A parameter without numbers that knows its start."""
    declared = nn.Parameter(torch.empty(shape, device="meta"))
    declared.start = start  # type: ignore[attr-defined]
    return declared


def buffer(shape: tuple[int, ...], value: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A part of a member's state that the forward pass itself changes; it starts with this value everywhere.

    Numbers of floating point take the dtype of the parameters; a buffer of integers keeps its own.
    """
    declared = torch.empty(shape, device="meta", dtype=dtype)
    declared.start = constant(value)  # type: ignore[attr-defined]
    return declared


def key_buffer() -> Tensor:
    """A key of random numbers, int32, (2,), each member's own, from its ``noise`` stream under the buffer's name."""
    declared = torch.empty(2, device="meta", dtype=torch.int32)
    declared.start = Distribution("key", 0.0)  # type: ignore[attr-defined]
    return declared


def activate(x: Tensor, activation: Activation | Literal["bent"], curvature: float = 0.0) -> Tensor:
    """ReLU, GELU, tanh or the square of every entry; "bent": x + curvature * x^2 / 2."""
    if activation == "relu":
        return torch.relu(x)
    if activation == "gelu":
        return nn.functional.gelu(x)
    if activation == "bent":
        return x + (curvature / 2) * x * x
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


def affine(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight^T + bias``, (..., rows, out), of every member or of one."""
    if weight.dim() == 2:
        return nn.functional.linear(x, weight, None if bias is None else bias[0])
    if torch.is_autocast_enabled(x.device.type):
        out = x @ weight.mT
        return out if bias is None else out + bias
    return _Affine.apply(x, weight, bias)


class Linear(nn.Module):
    """Affine map of the last axis; inputs are (..., rows, in), outputs (..., rows, out).

    With ``bias = "input"`` the bias is a weight of one more input, which is always 1, and starts as the weights do.
    With ``start_as`` the weights start as if there were so many inputs.
    """

    def __init__(
        self, fan_in: int, out: int, *, initialization: Initialization = "he", bias: Bias = True,
        start_as: int | None = None,
    ):  # fmt: skip
        super().__init__()
        of_weights = weight_start(initialization, start_as or (fan_in + 1 if bias == "input" else fan_in))
        self.weight = parameter((out, fan_in), of_weights)
        start = of_weights if bias == "input" or initialization == "torch" else constant(0.0)
        self.bias = parameter((1, out), start) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return affine(x, self.weight, self.bias)


class Embedding(nn.Module):
    """A row of the table for every token; tokens are int64, (E, rows) or, unstacked, (rows,)."""

    def __init__(self, vocab: int, width: int, *, std: float = 1.0):
        super().__init__()
        self.weight = parameter((vocab, width), normal(std))

    def forward(self, token: Tensor) -> Tensor:
        return rows_of(self.weight, token)


def rows_of(table: Tensor, index: Tensor) -> Tensor:
    """Rows of every member's table, (E, ..., width), or of one table, by index, int64, (E, ...) or (...)."""
    return nn.functional.embedding(*_of_one_table(table, index))


def _of_one_table(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Index into the tables of all members, one after another, and that one table, (E * size, width)."""
    if table.dim() == 2:
        return index, table
    members, size, width = table.shape
    offset = torch.arange(members, device=index.device).view(-1, *(1,) * (index.dim() - 1)) * size
    return index + offset, table.reshape(members * size, width)


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


class Dropout(nn.Module):
    """Sets each number to 0 with this probability in training mode, and divides all others by that of staying.

    A mask is a pure function of the member's ``noise`` stream, the layer's name, the number of training passes before,
    the row in the batch and the number's place in the row: equal in both worlds of a pair, whoever shares the pack.
    Probabilities are multiples of 2^-16. Inputs are (..., rows, width).
    """

    key: Tensor
    passes: Tensor

    def __init__(self, probability: float):
        super().__init__()
        self.dropped = round(probability * 2**16)  # of 2^16 equally likely words
        self.register_buffer("key", key_buffer())
        self.register_buffer("passes", buffer((), 0, torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        kept = self._word(x) >= self.dropped - 2**15
        self.passes.add_(1)
        return x * kept.to(x.dtype).mul_(2**16 / (2**16 - self.dropped))

    def _word(self, x: Tensor) -> Tensor:
        """A random number in -2^15 .. 2^15 - 1 for every number of x, int16, of its shape."""
        rows, width = x.shape[-2:]
        of_pass = streams.words(self.key, self.passes, 2)
        row = torch.arange(rows, device=x.device).expand(*x.shape[:-1])
        return streams.words(of_pass, row, (width + 1) // 2).view(torch.int16)[..., :width]

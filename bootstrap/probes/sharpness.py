"""Sharpness: curvature of the loss. Shapes: E members, P parameters of one member, K samples, B of a block."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.prefixes import SAMPLES_PER_TOKEN
from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Tokens

BLOCK = 256  # samples of every member differentiated at a time


class _Weighted(NamedTuple):
    """Samples with labels, (E, K * answers) of all, and the weight of each label in its member's mean."""

    x: Tensor
    y: Tensor
    weight: Tensor


@register("probe", "sharpness")
def sharpness(
    measured: Measured, *, of: Literal["train", "test"] = "train", samples: PositiveInt = 500,
    iterations: PositiveInt = 20,
) -> Tensor:  # fmt: skip
    """Sharpness of the loss: the largest eigenvalue, by size, of its Hessian on the pool.

    By power iteration: from a start vector of the run's own stream, a fixed number of products with the Hessian, and
    the Rayleigh quotient of the last one. It is at most the largest eigenvalue in size, and reaches it once that stands
    apart from the next. Buffers are held, and penalties are not in the loss. In the ideal world, which has no pool, it
    is NaN for ``train``.

    Args:
        measured: with a pool, or in the ideal world.
        of: the pool's loss, or that of the test samples.
        samples: at most so many, the first ones.
        iterations: products with the Hessian.
    """
    data = _data(measured, of, samples)
    if data is None:
        return measured.nan()
    size = measured.param_EP.shape[1]
    index_EP = torch.arange(size, device=measured.param_EP.device).expand(len(measured.param_EP), -1)
    vector_EP = _unit(streams.normal(streams.subkeys(measured.key_E2, "sharpness"), index_EP, 1)[..., 0].double())
    value_E = measured.nan()
    for _ in range(iterations):
        product_EP = _hessian_product(measured, data, vector_EP)
        value_E = (vector_EP * product_EP).sum(1)
        vector_EP = _unit(product_EP)
    return value_E


def _data(measured: Measured, of: Literal["train", "test"], samples: int) -> _Weighted | None:
    """The samples whose mean loss is meant; None where there are none."""
    if of == "test":
        x, y = (part[:, :samples] for part in measured.test)
        own_EK = torch.ones(y.shape[:2], dtype=torch.bool, device=y.device)
    elif measured.pool is not None:
        x, y, own_EK = (part[:, :samples] for part in (measured.pool.x, measured.pool.y, measured.pool.own_EK))
    else:
        return None
    answers = y[0, 0].numel()
    weight_EK = own_EK / (own_EK.sum(1, keepdim=True).double() * answers)
    return _Weighted(x, y.flatten(2) if y.dim() > 2 else y[..., None], weight_EK[..., None].expand(-1, -1, answers))


def _hessian_product(measured: Measured, data: _Weighted, vector_EP: Tensor) -> Tensor:
    """The Hessian of every member's mean loss times a vector, float64, (E, P)."""
    total_EP = torch.zeros_like(vector_EP)
    for x, y, weight in _blocks(measured, data):
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # torch's other attentions are differentiable once
            leaf_EP = measured.param_EP.detach().requires_grad_()
            loss_EB = measured.loss(measured.forward(leaf_EP, measured.buffers, x), y.flatten(1))
            (gradient_EP,) = torch.autograd.grad(
                (loss_EB.double() * weight.flatten(1)).sum(), leaf_EP, create_graph=True
            )
            slope = (gradient_EP.double() * vector_EP).sum()
            if slope.requires_grad:  # else the loss is linear
                total_EP += torch.autograd.grad(slope, leaf_EP, allow_unused=True, materialize_grads=True)[0].detach()
    return total_EP


def _blocks(measured: Measured, data: _Weighted) -> Iterator[tuple[Tensor, ...]]:
    """The samples in blocks; of tokens few enough that models look each one up, since sums of rows have no Hessian."""
    inputs = measured.task.inputs
    block = min(BLOCK, SAMPLES_PER_TOKEN * inputs.vocab - 1) if isinstance(inputs, Tokens) else BLOCK
    return zip(*(part.split(block, 1) for part in data), strict=True)


def _unit(vector_EP: Tensor) -> Tensor:
    """Vectors of length 1; zero stays zero."""
    return vector_EP / vector_EP.square().sum(1, keepdim=True).sqrt().clamp(min=1e-300)

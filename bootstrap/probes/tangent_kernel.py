"""The empirical neural tangent kernel.

Shapes: E members, P parameters of one member, N samples, K logits of a sample.
"""

import torch
from pydantic import PositiveInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.stacked import Buffers
from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "ntk_distance")
def ntk_distance(measured: Measured, *, samples: PositiveInt = 32) -> Tensor:
    """How far the tangent kernel has moved since step 0: one minus the cosine of the two Gram matrices, in [0, 1].

    The kernel is that of one number per sample: its logits times a fixed vector of normal numbers, the same for all
    runs. Its mean over such vectors is the kernel summed over logits. (The plain sum of the logits is what no
    probability depends on.) The ``samples`` gradients of every member are in memory at once.

    Args:
        measured: with at least one test sample.
        samples: the first so many test inputs.
    Source: Fort et al. 2020, arXiv 2010.15110.
    """
    x = measured.test.x[:, :samples]
    now_ENN, start_ENN = (
        _gram(measured, param_EP, buffers, x)
        for param_EP, buffers in ((measured.param_EP, measured.buffers), measured.initial())
    )
    product_E, now_E, start_E = (
        (one * other).flatten(1).sum(1)
        for one, other in ((now_ENN, start_ENN), (now_ENN, now_ENN), (start_ENN, start_ENN))
    )
    return (1 - product_E / (now_E * start_E).sqrt()).clamp(min=0)


def _gram(measured: Measured, param_EP: Tensor, buffers: Buffers, x: Tensor) -> Tensor:
    """Inner products of the samples' gradients, float64, (E, N, N)."""
    gradient_ENP = _gradients(measured, param_EP, buffers, x).double()
    return gradient_ENP @ gradient_ENP.mT


@torch.enable_grad()
def _gradients(measured: Measured, param_EP: Tensor, buffers: Buffers, x: Tensor) -> Tensor:
    """Gradient of every sample's projected logits, (E, N, P)."""
    members, samples = x.shape[:2]
    leaf_EP = param_EP.detach().requires_grad_()
    logits_ENK = measured.forward(leaf_EP, buffers, x).reshape(members, samples, -1)
    key_12 = streams.keys([0], "tangent kernel", logits_ENK.device)
    number_1K = torch.arange(logits_ENK.shape[2], device=logits_ENK.device)[None]
    direction_K = streams.normal(key_12, number_1K, 1)[0, :, 0].to(logits_ENK.dtype)
    projected_N = (logits_ENK @ direction_K).sum(0)  # of all members: a sample's gradients do not mix
    rows = [torch.autograd.grad(value, leaf_EP, retain_graph=True)[0] for value in projected_N]
    return torch.stack(rows, 1)

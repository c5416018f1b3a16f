"""Size of the logits, by itself and by the norm of the parameters that it takes, and where it ends softmax's gradient.

Source: Varma et al. 2023, arXiv 2309.02390: of two circuits, weight decay prefers the one that gives larger logits at
the same parameter norm. Shapes: E members, B labels, V classes.
"""

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured, PoolSamples
from deepboot.bootstrap.probes.norms import norm
from deepboot.bootstrap.registry import register

Samples = Literal["test", "train"]


@register("probe", "logit_scale")
def logit_scale(measured: Measured, *, of: Samples = "test") -> Tensor:
    """Mean over samples of their label's logit, less the mean logit of all classes.

    It is the logit after centring, which changes no probability: negative where the network is wrong with confidence.
    ``train`` takes the pool and the labels that it trains on; in the ideal world, which has no pool, it is NaN.

    Args:
        of: samples that it is measured on: the test set, or the pool.

    Raises:
        ValueError: the task's labels are no classes.
    """
    _require_classes(measured)
    if of == "test":
        return _right(measured.test_logits, measured.test.y).mean(1)
    pool = measured.pool
    if pool is None:
        return measured.nan()
    return _mean_of_own(_right(measured.logits(pool.x, measured.test_block), pool.y), pool)


def _right(logits_EBV: Tensor, y: Tensor) -> Tensor:
    """Every label's logit less the mean of all classes', float64, (E, B)."""
    logits_EBV = logits_EBV.double()
    return logits_EBV.gather(2, y.flatten(1)[..., None])[..., 0] - logits_EBV.mean(2)


@register("probe", "logit_per_norm")
def logit_per_norm(measured: Measured, *, of: Samples = "test", degree: PositiveFloat = 1.0) -> Tensor:
    """The `logit_scale` over the weight norm: divided by the norm of all parameters to the power of ``degree``.

    In a network of degree k, parameters times a give logits times a^k (k layers of weights with ReLU between them
    and no biases, say). The quotient then grows by a^(k - degree): with ``degree = k`` it does not depend on the norm,
    otherwise, and in a network of no degree, it can be compared at equal norms only.

    Args:
        of: samples that it is measured on: the test set, or the pool.
        degree: power of the norm; that of the network, if it has one.

    Raises:
        ValueError: as in `logit_scale`.
    """
    return logit_scale(measured, of=of) / norm(measured.param_EP) ** degree


@register("probe", "softmax_collapse")
def softmax_collapse(measured: Measured) -> Tensor:
    """Share of the pool's labels by whose logit the loss has no gradient at all, in [0, 1].

    Under cross-entropy these are the labels whose softmax is exactly 1. Other losses have no softmax: StableMax has no
    gradient where its own probability is 1, which takes far larger logits, the hinge loss beyond its margin. It is
    computed in the number type of the loss: that of the run, or that of ``loss.dtype``. (A gradient that the loss has
    in float64 may yet be 0 in a network of 16 bits.) The pool's samples are those that are evaluated. In the ideal
    world, which has no pool, it is NaN.

    Raises:
        ValueError: as in `logit_scale`.

    Source: Prieto et al. 2025, arXiv 2501.04697: without weight decay it ends learning before a network groks.
    """
    _require_classes(measured)
    pool = measured.pool
    if pool is None:
        return measured.nan()
    logits_EBV, label_EB = measured.logits(pool.x, measured.test_block), pool.y.flatten(1)
    leaf_EBV = logits_EBV.detach().to(measured.loss(logits_EBV, label_EB).dtype, copy=True).requires_grad_()
    with torch.enable_grad():
        (slope_EBV,) = torch.autograd.grad(measured.loss(leaf_EBV, label_EB).sum(), leaf_EBV)
    collapsed_EB = slope_EBV.gather(2, label_EB[..., None])[..., 0] == 0
    return _mean_of_own(collapsed_EB.double(), pool)


def _require_classes(measured: Measured) -> None:
    """Refuse real-valued labels.

    Raises:
        ValueError: the task's labels are no classes.
    """
    if measured.task.classes == 1:
        raise ValueError("labels of this task are numbers, so no class has a logit. Remove the probe.")


def _mean_of_own(value_EB: Tensor, pool: PoolSamples) -> Tensor:
    """Mean of every label's value over each member's own samples of a pool, (E,)."""
    own_EB = pool.own_EK.repeat_interleave(value_EB.shape[1] // pool.own_EK.shape[1], 1)
    return (value_EB * own_EB).sum(1) / own_EB.sum(1)

"""Size of the logits, by itself and by the norm of the parameters that it takes.

Source: Varma et al. 2023, arXiv 2309.02390: of two circuits, weight decay prefers the one that gives larger logits at
the same parameter norm. Shapes: E members, B labels, V classes.
"""

from typing import Literal

from pydantic import PositiveFloat
from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
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
    if measured.task.classes == 1:
        raise ValueError("labels of this task are numbers, so no class has a logit. Remove the probe.")
    if of == "test":
        return _right(measured.test_logits, measured.test.y).mean(1)
    pool = measured.pool
    if pool is None:
        return measured.nan()
    right_EB = _right(measured.logits(pool.x, measured.test_block), pool.y)
    own_EB = pool.own_EK.repeat_interleave(right_EB.shape[1] // pool.own_EK.shape[1], 1)
    return (right_EB * own_EB).sum(1) / own_EB.sum(1)


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

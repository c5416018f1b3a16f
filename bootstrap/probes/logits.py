"""Size of the logits, by itself and by the norm of the parameters that it takes.

Source: Varma et al. 2023, arXiv 2309.02390: of two circuits, weight decay prefers the one that gives larger logits at
the same parameter norm. Shapes: E members, B labels, V classes.
"""

from pydantic import PositiveFloat
from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.probes.norms import norm
from deepboot.bootstrap.registry import register


@register("probe", "logit_scale")
def logit_scale(measured: Measured) -> Tensor:
    """Mean over test samples of the right class's logit, less the mean logit of all classes.

    It is the logit after centring, which changes no probability: negative where the network is wrong with confidence.

    Raises:
        ValueError: the task's labels are no classes.
    """
    if measured.task.classes == 1:
        raise ValueError("labels of this task are numbers, so no class has a logit. Remove the probe.")
    logits_EBV, label_EB = measured.test_logits.double(), measured.test.y.flatten(1)
    right_EB = logits_EBV.gather(2, label_EB[..., None])[..., 0]
    return (right_EB - logits_EBV.mean(2)).mean(1)


@register("probe", "logit_per_norm")
def logit_per_norm(measured: Measured, *, degree: PositiveFloat = 1.0) -> Tensor:
    """The logit scale by the Euclidean norm of all parameters, to the power of ``degree``.

    In a network of degree k, parameters times a give logits times a^k (k layers of weights with ReLU between them
    and no biases, say). The quotient then grows by a^(k - degree): with ``degree = k`` it does not depend on the norm,
    otherwise, and in a network of no degree, it can be compared at equal norms only.

    Raises:
        ValueError: as in `logit_scale`.
    """
    return logit_scale(measured) / norm(measured.param_EP) ** degree

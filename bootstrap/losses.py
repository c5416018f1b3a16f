"""Losses, one number per labelled sample, and the metric that goes with each. Shapes: E members, B labels, V classes.

A plugin's loss is one registered function, too. Where its logits are log-probabilities, up to a constant, it is marked:

    @register("loss", "focal")
    @compared_by("soft_error")
    def focal(logits_EBV: Tensor, label_EB: Tensor, *, gamma: float = 2.0) -> Tensor:
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.registry import find, register

Metric = Literal["soft_error", "error"]
LossDtype = Literal["float16", "bfloat16", "float32", "float64"]


def compared_by(metric: Metric) -> Callable[[Any], Any]:
    """Decorator that names the metric in which the worlds of runs with this loss are compared.

    The soft error suits a loss that fits probabilities. Under any other a perfect fit may have a large one: 0.77 for
    ten one-hot targets fitted by squares. So a loss without this mark is compared by the error.
    """

    def mark(loss: Any) -> Any:
        loss.compared_by = metric
        return loss

    return mark


def default_metric(loss: str) -> Metric:
    """The metric by which the worlds of a loss are compared and its real world stops, unless a study names another.

    Raises:
        ValueError: no such loss.
    """
    return getattr(find("loss", loss).target, "compared_by", "error")


def label_scale(loss: str, settings: Mapping[str, Any]) -> float:
    """The logit that a real-valued label of 1 is to have, by which predictions are read off logits.

    It is the setting of the loss that its attribute ``label_scale`` names, and 1 without one.

    Args:
        loss: its name.
        settings: all of it.

    Raises:
        ValueError: no such loss.
    """
    setting = getattr(find("loss", loss).target, "label_scale", None)
    return settings[setting] if setting is not None else 1.0


@register("loss", "cross_entropy")
@compared_by("soft_error")
def cross_entropy(logits_EBV: Tensor, label_EB: Tensor, *, dtype: LossDtype = "float32") -> Tensor:
    """Cross-entropy: minus the log-softmax of the label, computed in ``dtype``.

    One number per sample, (E, B). In float32 the loss of a well-fitted sample becomes exactly 0, below 2^-24; float64
    keeps it going (Nanda et al. 2023, arXiv 2301.05217). Logits are never made coarser by "float32", of float64 ones
    that is their own; but by "float16" and "bfloat16" they are (Prieto et al. 2025, arXiv 2501.04697).

    Args:
        dtype: number type that the loss is computed in.

    >>> cross_entropy(torch.zeros(1, 2, 4), torch.tensor([[0, 3]])).exp()
    tensor([[4., 4.]])
    """
    _require_classes("cross_entropy", label_EB)
    flat_NV = _computed_in(dtype, logits_EBV).flatten(0, -2)
    return nn.functional.cross_entropy(flat_NV, label_EB.flatten(), reduction="none").view(label_EB.shape)


@register("loss", "stablemax")
def stablemax(logits_EBV: Tensor, label_EB: Tensor, *, dtype: LossDtype = "float32") -> Tensor:
    """Cross-entropy with StableMax in place of softmax: minus the logarithm of s(label's logit) over the sum of all s.

    One number per sample, (E, B); s(x) = x + 1 from 0 on and 1 / (1 - x) below, so that a probability comes close to 1
    with a power of the logits, not with their exponential, and rounds to 1 that much later. A logit is no
    log-probability, so worlds are compared by the error. Computed in ``dtype`` as `cross_entropy` is; the authors take
    "float64".

    Args:
        dtype: number type that the loss is computed in.

    Source: Prieto et al. 2025, arXiv 2501.04697.

    >>> stablemax(torch.tensor([[[1.0, -1.0], [0.0, 0.0]]]), torch.tensor([[0, 0]])).exp()
    tensor([[1.2500, 2.0000]])
    """
    _require_classes("stablemax", label_EB)
    x_EBV = _computed_in(dtype, logits_EBV)
    below_EBV = x_EBV < 0
    # log s by halves, each 0 where the other is meant, so that either has a slope everywhere
    log_s_EBV = torch.log1p(x_EBV.masked_fill(below_EBV, 0)) - torch.log1p(-x_EBV.masked_fill(~below_EBV, 0))
    return cross_entropy(log_s_EBV, label_EB, dtype=dtype)


@register("loss", "mse")
def mse(logits_EBV: Tensor, label_EB: Tensor, *, target: Annotated[float, Field(gt=0)] = 1.0) -> Tensor:
    """Squared error: mean over the classes of the squared distance to ``target`` times the one-hot label.

    One number per sample, (E, B). Real-valued labels have one logit, which is to be ``target`` times the label itself.

    Args:
        target: the logit that the right class is to have; the other ones are to be 0.

    >>> mse(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[1]]))
    tensor([[1.]])
    """
    if label_EB.is_floating_point():
        return (logits_EBV[..., 0] - target * label_EB).square().to(logits_EBV.dtype)
    label_EBV = nn.functional.one_hot(label_EB, logits_EBV.shape[-1]).to(logits_EBV.dtype)
    return (logits_EBV - target * label_EBV).square().mean(-1)


mse.label_scale = "target"  # type: ignore[attr-defined]


@register("loss", "hinge")
def hinge(logits_EBV: Tensor, label_EB: Tensor, *, margin: Annotated[float, Field(gt=0)] = 1.0) -> Tensor:
    """Hinge: how much the label's logit falls short of every other logit plus ``margin``.

    One number per sample, (E, B).

    Args:
        margin: how far the label's logit is to lie above every other one.

    Source: Crammer & Singer 2001. With two classes it is the usual hinge of the difference of the logits.

    >>> hinge(torch.tensor([[[0.5, 0.0], [3.0, 0.0]]]), torch.tensor([[0, 0]]))
    tensor([[0.5000, 0.0000]])
    """
    _require_classes("hinge", label_EB)
    right_EB = logits_EBV.gather(-1, label_EB[..., None])[..., 0]
    other_EB = logits_EBV.scatter(-1, label_EB[..., None], -torch.inf).amax(-1)
    return torch.relu(margin + other_EB - right_EB)


def _computed_in(dtype: LossDtype, logits_EBV: Tensor) -> Tensor:
    """Logits in the number type that a loss is computed in; "float32" makes none coarser."""
    wanted = getattr(torch, dtype)
    return logits_EBV.to(wanted if wanted.itemsize < 4 else torch.promote_types(wanted, logits_EBV.dtype))


def _require_classes(loss: str, label_EB: Tensor) -> None:
    """Refuse real-valued labels.

    Raises:
        ValueError: the labels are real-valued.
    """
    if label_EB.is_floating_point():
        raise ValueError(f"loss {loss!r} compares classes, this task has real-valued labels. Use mse.")

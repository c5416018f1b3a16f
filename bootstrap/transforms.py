"""Transforms: what is done to every member's gradient before the optimizer, one after another.

They act after the penalty, whose gradient is part of what they are given. A plugin's transform is one registered
class, as these are. Members of a pack may differ in its settings that are numbers, and in nothing else.

    @register("transform", "scale")
    @dataclass(frozen=True, kw_only=True)
    class Scale(Transform):
        factor: PositiveFloat = 2.0

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            return grad_EP * at["factor"]

Shapes: E members, P parameters of one member.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from deepboot.bootstrap.registry import register

Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Transform(ABC):
    """One change of the gradient. A subclass is a frozen dataclass (``kw_only=True``) whose fields are its settings.

    Attributes:
        transform_state: names of the tensors it keeps per parameter, (E, P), all zero at first.
    """

    transform_state: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    @abstractmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        """The gradient that the next transform or the optimizer is given, (E, P).

        Every member's is a function of its own numbers alone.

        Args:
            grad_EP: gradient so far; may be overwritten.
            param_EP: parameters before the update, which are not to be changed.
            state: the tensors of ``transform_state``, to be changed in place.
            at: settings by name: numbers as (E, 1) in the gradient's dtype, all others as the study gives them.
            step_11: int64, (1, 1), the number of updates before this one.
        """


@register("transform", "clip")
@dataclass(frozen=True, kw_only=True)
class Clip(Transform):
    """A gradient longer than the norm is scaled down to it, as by torch.nn.utils.clip_grad_norm_.

    Args:
        norm: longest Euclidean norm of a run's whole gradient.
    """

    norm: PositiveFloat

    @staticmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        return grad_EP * (at["norm"] / _norm(grad_EP)).clamp(max=1)


@register("transform", "normalize")
@dataclass(frozen=True, kw_only=True)
class Normalize(Transform):
    """The gradient divided by its Euclidean norm, a zero gradient as it is; with sgd, normalised gradient descent.

    Source: Mohamadi et al. 2024, arXiv 2407.12332.
    """

    @staticmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        norm_E1 = _norm(grad_EP)
        return grad_EP / torch.where(norm_E1 > 0, norm_E1, 1)


@register("transform", "grokfast")
@dataclass(frozen=True, kw_only=True)
class Grokfast(Transform):
    """The gradient plus ``lamb`` times its exponential running mean (Grokfast-EMA, Lee et al. 2024, arXiv 2405.20233).

    The mean keeps the share ``alpha`` of itself at every update. It begins with the first gradient, as in the authors'
    code; with zero where a phase adds the transform.

    Args:
        alpha: share of the running mean that is kept at every update.
        lamb: factor of the running mean that is added to the gradient.
    """

    transform_state = ("mean",)

    alpha: Share = 0.98
    lamb: NonNegativeFloat = 2.0

    @staticmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        mean_EP = state["mean"].lerp_(grad_EP, torch.where(step_11 == 0, 1, 1 - at["alpha"]))
        return grad_EP.addcmul_(mean_EP, at["lamb"])


def numbers(settings: Mapping[str, Any]) -> dict[str, float]:
    """The settings that members of a pack may differ in."""
    return {name: value for name, value in settings.items() if _is_number(value)}


def choices(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that members of a pack have in common, which are no numbers."""
    return {name: value for name, value in settings.items() if not _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _norm(grad_EP: Tensor) -> Tensor:
    """Euclidean norm of every member's gradient, (E, 1), summed in float64."""
    return grad_EP.double().square().sum(1, keepdim=True).sqrt().to(grad_EP.dtype)

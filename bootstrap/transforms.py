"""Transforms: what is done to every member's gradient before the optimizer, one after another.

They act after the penalty, whose gradient is part of what they are given. A plugin's transform is one registered
class, as these are. Members of a pack may differ in its settings that are numbers and not ``common``, and in nothing
else.

    @register("transform", "scale")
    @dataclass(frozen=True, kw_only=True)
    class Scale(Transform):
        factor: PositiveFloat = 2.0

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            return grad_EP * at["factor"]

Shapes: E members, P parameters of one member, W gradients of a window, C and K chunks of a window and their length.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from deepboot.bootstrap.registry import find, register

Share = Annotated[float, Field(ge=0, lt=1)]
Window = Annotated[int, Field(ge=1, le=10_000)]
TINY = 1e-30  # of the authors' code, against division by 0
ROUNDING = 8  # a part of a gradient that is at most so many units in the last place of its norm is rounding


@dataclass(frozen=True, kw_only=True)
class Transform(ABC):
    """One change of the gradient. A subclass is a frozen dataclass (``kw_only=True``) whose fields are its settings.

    Attributes:
        transform_state: names of the tensors it keeps per parameter, (E, P), all zero at first.
        common: names of its numbers that all members of a pack have in common, such as the length of a window.
    """

    transform_state: ClassVar[tuple[str, ...]] = ()
    common: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def init(cls, param_EP: Tensor, common: Mapping[str, Any]) -> dict[str, Tensor]:
        """Its tensors before the first update, each (E, ...), where they are not (E, P) and zero.

        Args:
            param_EP: parameters.
            common: the settings that all members have in common, by name.
        """
        return {name: torch.zeros_like(param_EP) for name in cls.transform_state}

    @classmethod
    def is_by_parameter(cls, common: Mapping[str, Any]) -> bool:
        """Whether it is applied to each parameter of the model by itself, as if P were its size, not to all at once.

        Its tensors are (E, P) then.

        Args:
            common: the settings that all members have in common, by name.
        """
        return False

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
            state: its tensors, as ``init`` made them, to be changed in place.
            at: settings by name: each member's own numbers as (E, 1) in the gradient's dtype, all others as the study
                gives them.
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


@register("transform", "grokfast_ma")
@dataclass(frozen=True, kw_only=True)
class GrokfastMA(Transform):
    """The gradient plus ``lamb`` times the mean of the last gradients (Grokfast-MA, Lee et al. 2024, arXiv 2405.20233).

    This gradient is one of them. Until there have been as many as the ``window`` asks for, the gradient stays as it
    is, as in the authors' code. It keeps them all: ``window`` numbers per parameter, in memory and in checkpoints.
    Their sum is added up anew at every update, and so never drifts: from sums of chunks, of which only the one with the
    new gradient has changed. That costs about twice the root of ``window`` additions where it is a square, as many as
    ``window`` where it is prime.

    Args:
        window: number of the last gradients that the mean is taken of.
        lamb: factor of the mean that is added to the gradient.
    """

    transform_state = ("window", "sums", "filled")
    common = ("window",)

    window: Window = 100
    lamb: NonNegativeFloat = 5.0

    @classmethod
    def init(cls, param_EP: Tensor, common: Mapping[str, Any]) -> dict[str, Tensor]:
        (members, size), window = param_EP.shape, common["window"]
        shapes = {"window": (window, size), "sums": (window // _chunk(window), size), "filled": (window,)}
        return {name: param_EP.new_zeros(members, *shape) for name, shape in shapes.items()}

    @staticmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        length = _chunk(at["window"])
        slot_1 = step_11[0] % at["window"]
        chunk_1 = slot_1 // length
        state["window"].index_copy_(1, slot_1, grad_EP[:, None])
        state["filled"].index_fill_(1, slot_1, 1)
        window_ECKP = state["window"].unflatten(1, (-1, length))
        # one addition after another, whose order does not depend on how many members there are
        changed_E1P = reduce(torch.add, window_ECKP.index_select(1, chunk_1).unbind(2))
        state["sums"].index_copy_(1, chunk_1, changed_E1P)
        mean_EP = reduce(torch.add, state["sums"].unbind(1)) / at["window"]
        is_full_E1 = (state["filled"] == 1).all(1, keepdim=True)
        return torch.where(is_full_E1, torch.addcmul(grad_EP, mean_EP, at["lamb"]), grad_EP)


@register("transform", "orthogonal_gradient")
@dataclass(frozen=True, kw_only=True)
class OrthogonalGradient(Transform):
    """The gradient without its part along the weights (⟂Grad, Prieto et al. 2025, arXiv 2501.04697).

    That part scales the logits rather than changing what is predicted. As in the authors' code every parameter of the
    model is taken by itself, and what is left is scaled to the norm that its gradient had; the paper's equation has
    neither (``by = "run"``, ``rescale = false``). Weights of zero leave the gradient as it is. Of a gradient along the
    weights, as that of a parameter of one number, only rounding is left, which is not scaled. Where the gradient was
    rounded more coarsely than it would be by its number type alone, that is scaled, as in the authors' code: the biases
    of two classes, which start at 0, have such gradients, and move together then, which changes no probability. Sums
    are in float64.

    Args:
        by: what is one vector: every parameter of the model, or all weights of a run.
        rescale: whether what is left is scaled to the norm that the gradient had.
    """

    by: Literal["parameter", "run"] = "parameter"
    rescale: bool = True

    @classmethod
    def is_by_parameter(cls, common: Mapping[str, Any]) -> bool:
        return bool(common["by"] == "parameter")

    @staticmethod
    def apply(
        grad_EP: Tensor, param_EP: Tensor, state: dict[str, Tensor], at: Mapping[str, Any], step_11: Tensor
    ) -> Tensor:
        full_EP, weight_EP = grad_EP.double(), param_EP.double()
        share_E1 = (weight_EP * full_EP).sum(1, keepdim=True) / (weight_EP.square().sum(1, keepdim=True) + TINY)
        left_EP = full_EP - share_E1 * weight_EP
        if at["rescale"]:
            before_E1, after_E1 = _norm(full_EP), _norm(left_EP)
            rounding_E1 = ROUNDING * torch.finfo(grad_EP.dtype).eps * before_E1
            left_EP = left_EP * torch.where(after_E1 > rounding_E1, before_E1 / after_E1, 1)
        return left_EP.to(grad_EP.dtype)


def numbers(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a chosen transform that members of a pack may differ in.

    Args:
        chosen: the transform's ``name`` and its settings.
    """
    transform = cast("type[Transform]", find("transform", chosen["name"]).target)
    return {name: value for name, value in chosen.items() if _is_number(value) and name not in transform.common}


def choices(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """All that members of a pack have in common of a chosen transform, its name included."""
    own = numbers(chosen)
    return {name: value for name, value in chosen.items() if name not in own}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _norm(grad_EP: Tensor) -> Tensor:
    """Euclidean norm of every member's gradient, (E, 1), summed in float64."""
    return grad_EP.double().square().sum(1, keepdim=True).sqrt().to(grad_EP.dtype)


def _chunk(window: int) -> int:
    """Length of the chunks of a window: its largest divisor up to its root."""
    return next(length for length in range(math.isqrt(window), 0, -1) if window % length == 0)

"""Optimizers over stacked members: one flat row of parameters each, hyperparameters one per member.

Shapes: E members, P parameters of one member, S steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from deepboot.bootstrap.registry import register

FUSED_PARAMETERS = 2_000  # of a member, from which a kernel for each member is faster than operations on all
Momentum = Annotated[float, Field(ge=0, lt=1)]
Hyper = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """One update rule. A subclass is a frozen dataclass (``kw_only=True``) whose fields are its settings.

    Attributes:
        optimizer_state: names of the tensors it keeps per parameter, (E, P), all zero at first.
        rates: names of its learning rates, which schedules and factors of layers scale.
    """

    optimizer_state: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("lr",)
    lr: PositiveFloat = 1e-3

    @classmethod
    def init(cls, param_EP: Tensor, members: Sequence[Any]) -> dict[str, Tensor]:
        """The optimizer's tensors before the first update; ``members`` holds every member's settings."""
        return {name: torch.zeros_like(param_EP) for name in cls.optimizer_state}

    @staticmethod
    def coefficients(hyper: Hyper, step_S1: Tensor) -> dict[str, Tensor]:
        """What ``update`` needs of the hyperparameters at these steps, float64, each (S, E).

        Args:
            hyper: float64, (E,) per numeric setting, (E, 2) for a pair; ``rates`` are (S, E), as scheduled.
            step_S1: float64, (S, 1), 1 for the first update.
        """
        return {name: value.expand(len(step_S1), -1) for name, value in hyper.items() if name != "betas"}

    @staticmethod
    def host_coefficients(hyper: Hyper, step_S1: Tensor) -> Tensor | None:
        """Numbers for a kernel that updates members one by one, float64, (S, E, K); None where there is none."""
        return None

    @staticmethod
    @abstractmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        """Change the parameters and the optimizer's tensors in place.

        Args:
            param_EP: parameters; where layers have factors of their own, those of neighbouring layers in one call each.
            grad_EP: gradient of every member's own mean loss, after all transforms; may be overwritten.
            optimizer_state: as ``init`` made it, of these parameters.
            at: this step's coefficients, (E, 1); with ``host``, those of `host_coefficients`, (E, K), where the update
                may use the kernel: on a CPU, not compiled.
        """

    @classmethod
    def matrix(cls, name: str, shape: torch.Size) -> tuple[int, int] | None:
        """Rows and columns of a parameter that is updated as a whole, by `update_matrix`; None: by `update`."""
        return None

    def update_matrix(self, param_ERC: Tensor, grad_ERC: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        """Change one matrix of every member, (E, R, C), and the optimizer's tensors, (E, R, C), in place.

        Args:
            param_ERC, grad_ERC, optimizer_state, at: as in `update`. Settings that are texts are this optimizer's own,
                since members have them in common.
        """
        raise AssertionError("an optimizer with a `matrix` has an `update_matrix`")


@register("optimizer", "sgd")
@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent with heavy-ball momentum and L2 decay, as in torch.optim.SGD.

    Args:
        lr: learning rate, at its highest where there is a schedule.
        momentum: share of the velocity that is kept at every update.
        weight_decay: factor of the parameters that is added to their gradient.
    """

    optimizer_state = ("velocity",)

    lr: PositiveFloat = 0.1
    momentum: Momentum = 0.0
    weight_decay: NonNegativeFloat = 0.0

    @staticmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        velocity_EP = optimizer_state["velocity"]
        velocity_EP.mul_(at["momentum"]).add_(grad_EP.addcmul_(param_EP, at["weight_decay"]))
        param_EP.addcmul_(velocity_EP, at["lr"], value=-1)


@dataclass(frozen=True, kw_only=True)
class Moments(Optimizer):
    """Adam's running means of the gradient and of its square, with their corrections for a start at zero.

    Args:
        lr: learning rate, at its highest where there is a schedule.
        betas: shares that the running means of the gradient and of its square keep at every update.
        eps: number that is added to the root of the mean square, against division by 0.
    """

    optimizer_state = ("mean", "square")
    betas: tuple[Momentum, Momentum] = (0.9, 0.999)
    eps: NonNegativeFloat = 1e-8

    @staticmethod
    def coefficients(hyper: Hyper, step_S1: Tensor) -> dict[str, Tensor]:
        beta1_E, beta2_E = hyper["betas"].unbind(-1)
        lr_SE = hyper["lr"]
        # m / (1 - b1^t) over sqrt(v / (1 - b2^t)) + eps, with both corrections moved into two numbers
        root_SE = (1 - beta2_E**step_S1).sqrt()
        return {
            "keep1": (1 - beta1_E).expand_as(lr_SE),
            "keep2": (1 - beta2_E).expand_as(lr_SE),
            "eps": hyper["eps"] * root_SE,
            "rate": lr_SE * root_SE / (1 - beta1_E**step_S1),
            "decay": hyper["weight_decay"].expand_as(lr_SE),
            "shrink": lr_SE * hyper["weight_decay"],
            "remain": 1 - lr_SE * hyper["weight_decay"],
        }

    @staticmethod
    def host_coefficients(hyper: Hyper, step_S1: Tensor) -> Tensor:
        beta1_E, beta2_E = hyper["betas"].unbind(-1)
        shape = hyper["lr"].shape
        numbers = (hyper["lr"], beta1_E, beta2_E, hyper["weight_decay"], hyper["eps"], step_S1)
        return torch.stack([number.expand(shape) for number in numbers], -1)

    @staticmethod
    def direction(grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> Tensor:
        """Adam's step before it is scaled by ``rate`` and its sign is turned, (E, P)."""
        mean_EP, square_EP = optimizer_state["mean"], optimizer_state["square"]
        mean_EP.lerp_(grad_EP, at["keep1"])
        square_EP.lerp_(grad_EP.square_(), at["keep2"])
        # the gradient is used up: its memory serves the rest, so that no step allocates any
        torch.sqrt(square_EP, out=grad_EP).add_(at["eps"])
        return torch.div(mean_EP, grad_EP, out=grad_EP)


@register("optimizer", "adam")
@dataclass(frozen=True, kw_only=True)
class Adam(Moments):
    """Adam, with L2 decay added to the gradient, as in torch.optim.Adam.

    Args:
        weight_decay: factor of the parameters that is added to their gradient.
    """

    weight_decay: NonNegativeFloat = 0.0

    @staticmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        if _is_fused(param_EP, at):
            _fused(torch._fused_adam_, param_EP, grad_EP, optimizer_state, at["host"])
            return
        grad_EP.addcmul_(param_EP, at["decay"])
        param_EP.addcmul_(Moments.direction(grad_EP, optimizer_state, at), at["rate"], value=-1)


@register("optimizer", "adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW(Moments):
    """Adam with decoupled decay (Loshchilov & Hutter, arXiv 1711.05101), as in torch.optim.AdamW.

    ``decay_to = "init"`` decays toward the starting parameters instead of toward zero, one arm of
    Power et al. 2022.

    Args:
        weight_decay: share of the parameters, times the learning rate, that is taken off at every update.
        decay_to: what parameters decay towards: zero, or where they started.
    """

    weight_decay: NonNegativeFloat = 0.01
    decay_to: Literal["zero", "init"] = "zero"

    @classmethod
    def init(cls, param_EP: Tensor, members: Sequence[Any]) -> dict[str, Tensor]:
        optimizer_state = super().init(param_EP, members)
        to_zero = [member.decay_to == "zero" for member in members]
        if not all(to_zero):
            optimizer_state["target"] = param_EP.clone()
            optimizer_state["target"][to_zero] = 0
        return optimizer_state

    @staticmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        if _is_fused(param_EP, at) and "target" not in optimizer_state:
            _fused(torch._fused_adamw_, param_EP, grad_EP, optimizer_state, at["host"])
            return
        if "target" in optimizer_state:
            param_EP.lerp_(optimizer_state["target"], at["shrink"])
        else:
            param_EP.mul_(at["remain"])
        param_EP.addcmul_(Moments.direction(grad_EP, optimizer_state, at), at["rate"], value=-1)


def _is_fused(param_EP: Tensor, at: Hyper) -> bool:
    """Whether members are updated by torch's own kernel: by the number of parameters alone, whoever else is there.

    Not in 16 bits, which the kernel would round once an update instead of at every operation, as a GPU does.
    """
    return "host" in at and param_EP.shape[1] >= FUSED_PARAMETERS and param_EP.element_size() >= 4


def _fused(
    kernel: Callable[..., None], param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], host_EK: Tensor
) -> None:
    """One pass over every member's numbers, by a kernel of torch.optim; members of equal settings in one call."""
    members: dict[tuple[float, ...], list[int]] = {}
    for member, numbers in enumerate(host_EK.tolist()):
        members.setdefault(tuple(numbers), []).append(member)
    rows = [tensor.unbind(0) for tensor in (param_EP, grad_EP, optimizer_state["mean"], optimizer_state["square"])]
    for (lr, beta1, beta2, weight_decay, eps, step), own in members.items():
        parameters, gradients, means, squares = ([row[member] for member in own] for row in rows)
        kernel(
            parameters, gradients, means, squares, [], [torch.tensor(step, dtype=torch.float32)] * len(own),
            lr=lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, eps=eps, amsgrad=False, maximize=False,
        )  # fmt: skip


def hyperparameters(members: Sequence[Optimizer]) -> dict[str, Tensor]:
    """Members' numeric settings stacked, float64, (E,), or (E, 2) for pairs such as betas."""
    values = {field.name: [getattr(member, field.name) for member in members] for field in fields(members[0])}
    return {
        name: torch.tensor(column, dtype=torch.float64)
        for name, column in values.items()
        if not isinstance(column[0], str | bool)
    }

"""Penalties: what the parameters of a member add to its loss. Shapes: E members, P parameters of one member.

A plugin's penalty is one registered function, too. It is differentiated by torch, and its settings are numbers, which
members of a pack may differ in: they are given as tensors, (E,).

    @register("penalty", "group")
    def group(param_EP: Tensor, *, strength: NonNegativeFloat) -> Tensor:
"""

from typing import Any

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from deepboot.bootstrap.registry import find, register


@register("penalty", "l1")
def l1(param_EP: Tensor, *, strength: NonNegativeFloat) -> Tensor:
    """L1 decay in the loss: the strength times the sum of the absolute values of all parameters.

    One number per run, (E,).

    Args:
        strength: factor of the penalty, which is added to every run's mean loss.

    >>> l1(torch.tensor([[3.0, -4.0]]), strength=0.1)
    tensor([0.7000])
    """
    return strength * param_EP.abs().sum(1)


@register("penalty", "l2")
def l2(param_EP: Tensor, *, strength: NonNegativeFloat) -> Tensor:
    """L2 decay in the loss: the strength times the sum of the squares of all parameters.

    One number per run, (E,).

    Args:
        strength: factor of the penalty, which is added to every run's mean loss.

    >>> l2(torch.tensor([[3.0, -4.0]]), strength=0.1)
    tensor([2.5000])
    """
    return strength * param_EP.square().sum(1)


@register("penalty", "linf")
def linf(param_EP: Tensor, *, strength: NonNegativeFloat) -> Tensor:
    """Decay of the largest weight: the strength times the largest absolute value of all parameters.

    One number per run, (E,).

    Source: Mohamadi et al. 2024, arXiv 2407.12332.

    Args:
        strength: factor of the penalty, which is added to every run's mean loss.

    >>> linf(torch.tensor([[3.0, -4.0]]), strength=0.1)
    tensor([0.4000])
    """
    return strength * param_EP.abs().amax(1)


def penalty_gradient(name: str, param_EP: Tensor, settings: dict[str, Any]) -> Tensor:
    """Gradient of every member's penalty, (E, P).

    Args:
        name: of the penalty.
        param_EP: parameters.
        settings: every member's, by name, each (E,).
    """
    penalty = find("penalty", name).target
    gradient: Tensor = torch.func.grad(lambda param: penalty(param, **settings).sum())(param_EP)
    return gradient

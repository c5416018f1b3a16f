"""Ordinary optimizers of torch, registered as they are: each member has one of its own, which steps it alone.

    @register("optimizer", "mine")
    def mine(params, *, lr: float = 1e-3) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(params, lr=lr)

A subclass of ``torch.optim.Optimizer`` with keyword-only settings is registered in the same way. Whatever it keeps
from step to step has to be in its ``state`` or ``param_groups``, as torch asks. Shapes: E members, P parameters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deepboot.bootstrap import registry
from deepboot.bootstrap.optimizers import Hyper, Optimizer
from deepboot.bootstrap.wording import reason, shown

KEPT = "torch"  # of a state: the tensor that holds as JSON what is no tensor
TRIED = 3  # steps before and after a trial's resumption


@dataclass(frozen=True, kw_only=True)
class OneByOne(Optimizer):
    """What members with torch's optimizers have in common: the factor on their learning rates, as scheduled."""

    lr: float = 1.0

    @staticmethod
    def coefficients(hyper: Hyper, step_S1: Tensor) -> dict[str, Tensor]:
        return {}

    @staticmethod
    def host_coefficients(hyper: Hyper, step_S1: Tensor) -> Tensor:
        return hyper["lr"][..., None]

    @staticmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        raise AssertionError("members step by themselves, see `step_each`")


def is_stacked(name: str) -> bool:
    """Whether an optimizer updates all members at once, as those of the package do."""
    target = registry.find("optimizer", name).target
    return isinstance(target, type) and issubclass(target, Optimizer)


def rule(name: str, settings: Mapping[str, Any]) -> Optimizer:
    """The update rule of a member among the stacked ones; for a torch optimizer what takes its place there."""
    rule: Optimizer = registry.find("optimizer", name).target(**settings) if is_stacked(name) else OneByOne()
    return rule


class TorchOptimizer:
    """One member's torch optimizer, over views of its parameters.

    Args:
        name, settings: of the registered function or class.
        views: one member's parameters in their shapes, which it changes in place.
        scheduled: whether learning rates follow a schedule, whatever the optimizer does to them.

    Raises:
        ValueError: what is registered makes no torch optimizer, or one without the learning rate to be scheduled.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], views: Sequence[Tensor], *, scheduled: bool):
        self._leaves = [nn.Parameter(view) for view in views]
        made = registry.find("optimizer", name).target(self._leaves, **settings)
        if not isinstance(made, torch.optim.Optimizer):
            raise ValueError(
                f"expected {name!r} to return a torch.optim.Optimizer, or to be a subclass of "
                f"deepboot.bootstrap.optimizers.Optimizer, got {shown(made)}. Return the optimizer."
            )
        if scheduled and not all("lr" in group for group in made.param_groups):
            raise ValueError(f"optimizer {name!r} has no `lr` that a schedule could change. Remove [schedule].")
        self._optimizer, self._name, self._scheduled = made, name, scheduled
        self._groups = [_copied(group) for group in made.param_groups]

    def step(self, grad_P: Tensor, factor: float) -> None:
        """One update by this gradient, at the scheduled factor on every learning rate that it was made with."""
        grads = grad_P.clone().split([leaf.numel() for leaf in self._leaves])  # a copy: an optimizer may keep it
        for leaf, grad in zip(self._leaves, grads, strict=True):
            leaf.grad = grad.view(leaf.shape)
        if self._scheduled:
            for group, made in zip(self._optimizer.param_groups, self._groups, strict=True):
                group["lr"] = made["lr"] * factor
        self._optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """All that it keeps, copied to the host: tensors as they are, other values as JSON.

        Raises:
            TypeError: it keeps a value that is neither.
        """
        tensors: dict[str, Tensor] = {}
        kept = {
            part: [_taken(own, f"{part}.{index}", tensors) for index, own in enumerate(holders)]
            for part, holders in (("state", self._states()), ("groups", self._changes()))
        }
        return {KEPT: torch.tensor(list(json.dumps(kept).encode()), dtype=torch.uint8), **tensors}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state as `state` returned it; from the start where it has nothing of such an optimizer."""
        if KEPT not in state:
            return
        kept = json.loads(bytes(state[KEPT].tolist()))
        for part, holders in (("state", self._states()), ("groups", self._optimizer.param_groups)):
            for index, (own, values) in enumerate(zip(holders, kept[part], strict=True)):
                for key, value in values.items():
                    own[key] = self._given(state.get(f"{part}.{index}.{key}"), value)

    def _given(self, tensor: Tensor | None, value: Any) -> Any:
        """A kept value as the optimizer had it: a tensor on its device, or what JSON can hold."""
        if tensor is None:
            return value
        return tensor.to(self._leaves[0].device if value == "device" else "cpu", copy=True)

    def _states(self) -> list[dict[str, Any]]:
        """What it keeps for every parameter."""
        return [self._optimizer.state[leaf] for leaf in self._leaves]

    def _changes(self) -> list[dict[str, Any]]:
        """What it has changed in its groups of parameters since it was made."""
        fixed = {"params", "lr"} if self._scheduled else {"params"}
        return [
            {key: value for key, value in group.items() if key not in fixed and not _equal(value, made.get(key))}
            for group, made in zip(self._optimizer.param_groups, self._groups, strict=True)
        ]


def step_each(optimizers: Sequence[TorchOptimizer], grad_EP: Tensor, factor_E1: Tensor) -> None:
    """One update of every member by its own optimizer.

    Args:
        optimizers: one per member.
        grad_EP: gradients.
        factor_E1: factors on their learning rates, float64, on the host.
    """
    for optimizer, grad_P, factor in zip(optimizers, grad_EP, factor_E1[:, 0].tolist(), strict=True):
        optimizer.step(grad_P, factor)


def trial_problem(name: str, settings: Mapping[str, Any], *, scheduled: bool) -> str | None:
    """Why a torch optimizer cannot train members, tried on a few small steps; None where it can.

    What it may not do is to fail, to draw from torch's global generator, by which the two worlds of a pair would
    differ, and to keep something that its state does not hold, since a study that was stopped goes on from that.
    """
    generator = torch.get_rng_state()
    try:
        with torch.random.fork_rng(devices=[]):
            through = _tried(name, settings, scheduled, range(2 * TRIED))
            unequal = not torch.equal(torch.get_rng_state(), generator)
            resumed = _tried(name, settings, scheduled, range(TRIED), range(TRIED, 2 * TRIED))
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        return reason(error, "Mend the optimizer; one whose step needs a closure cannot be used.")
    if unequal:
        return (
            f"optimizer {name!r} draws from torch's global generator, so the two worlds of a pair would differ. "
            "Draw from a torch.Generator whose seed is a setting and whose state is in `param_groups`, or do not draw."
        )
    if not torch.equal(through, resumed):
        return (
            f"optimizer {name!r} keeps something from step to step that is neither in its `state` of a parameter nor "
            "in its `param_groups`, so that a stopped run could not go on. Put it into one of them."
        )
    return None


def _tried(name: str, settings: Mapping[str, Any], scheduled: bool, *parts: range) -> Tensor:
    """Small parameters after these steps, with a new optimizer for each part that goes on from the last one's state."""
    param_P = torch.linspace(-1, 1, 8)
    state: dict[str, Tensor] = {}
    for steps in parts:
        optimizer = TorchOptimizer(name, settings, [param_P[:6].view(2, 3), param_P[6:]], scheduled=scheduled)
        optimizer.load(state)
        for step in steps:
            optimizer.step(torch.cos(step + torch.arange(8.0)), 1.0)
        state = optimizer.state()
    return param_P


def _taken(values: Mapping[str, Any], place: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Values as JSON can hold them; a tensor is put beside, and where it belongs is said in its stead."""
    for key, value in values.items():
        if isinstance(value, Tensor):
            tensors[f"{place}.{key}"] = value.detach().to("cpu", copy=True)
    return {key: _home(value) if isinstance(value, Tensor) else value for key, value in values.items()}


def _copied(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a group of parameters as they are now."""
    return {
        key: value.clone() if isinstance(value, Tensor) else value for key, value in group.items() if key != "params"
    }


def _home(tensor: Tensor) -> str:
    return "host" if tensor.device.type == "cpu" else "device"


def _equal(value: Any, other: Any) -> bool:
    if isinstance(value, Tensor) and isinstance(other, Tensor):
        return torch.equal(value, other)
    return bool(value == other)

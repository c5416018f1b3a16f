"""The chain of gradient transforms of a pack: where each finds its settings and its tensors.

Shapes: E members, P parameters of one member.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.transforms import Transform, choices, numbers


class Link(NamedTuple):
    """One transform of a chain.

    Attributes:
        transform: its class.
        numbers: of its settings that are each member's own, the names of their tensors: ``transforms.0.clip.norm``.
        choices: its other settings.
        state: of the tensors that it keeps, their names among those of all transforms.
        by_parameter: whether it is applied to each parameter of the model by itself.
    """

    transform: type[Transform]
    numbers: dict[str, str]
    choices: dict[str, Any]
    state: dict[str, str]
    by_parameter: bool

    def apply(
        self,
        grad_EP: Tensor,
        param_EP: Tensor,
        state: Mapping[str, Tensor],
        options: Mapping[str, Tensor],
        step_11: Tensor,
        sizes: Sequence[int],
    ) -> Tensor:
        """The gradient after this transform, (E, P).

        Args:
            grad_EP: gradient before it.
            param_EP: parameters.
            state: tensors of all transforms, which it changes in place.
            options: settings of all transforms, as `settings_of` has them.
            step_11: number of updates before this one.
            sizes: of the parameters of one member, in their order.
        """
        own = {name: state[full] for name, full in self.state.items()}
        at = {name: options[full] for name, full in self.numbers.items()} | self.choices
        if not self.by_parameter:
            return self.transform.apply(grad_EP, param_EP, own, at, step_11)
        parts = zip(*(tensor.split(sizes, 1) for tensor in (grad_EP, param_EP, *own.values())), strict=True)
        applied = [
            self.transform.apply(grad, param, dict(zip(own, kept, strict=True)), at, step_11)
            for grad, param, *kept in parts
        ]
        return torch.cat(applied, 1)


def chain_of(run: Run) -> list[Link]:
    """The transforms of a run, and of all that share its pack, in their order."""
    chain = []
    for index, chosen in enumerate(run.transforms):
        transform = cast("type[Transform]", registry.find("transform", chosen["name"]).target)
        place = f"transforms.{index}.{chosen['name']}"
        named = {name: f"{place}.{name}" for name in numbers(chosen)}
        state = {name: f"{place}.{name}" for name in transform.transform_state}
        common = own_settings(choices(chosen))
        chain.append(Link(transform, named, common, state, transform.is_by_parameter(common)))
    return chain


def initial_state(run: Run, param_EP: Tensor) -> dict[str, Tensor]:
    """The tensors of all transforms before the first update, each (E, ...), most (E, P)."""
    tensors: dict[str, Tensor] = {}
    for link in chain_of(run):
        own = link.transform.init(param_EP, link.choices)
        tensors |= {full: own[name] for name, full in link.state.items()}
    return tensors


def settings_of(runs: Sequence[Run], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """Every member's settings of all transforms that are numbers, each (E, 1)."""
    columns = {
        full: [run.transforms[index][name] for run in runs]
        for index, link in enumerate(chain_of(runs[0]))
        for name, full in link.numbers.items()
    }
    return {full: torch.tensor(column, dtype=dtype)[:, None].to(device) for full, column in columns.items()}

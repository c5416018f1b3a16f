"""Members at an evaluation, as a probe is given them, and how its values are called.

A probe is one registered function of `Measured`, with settings as keyword-only parameters. It returns a tensor (E,), or
several by name. It never knows how members are stepped: sequential ones are measured each alone.

    @register("probe", "largest_weight")
    def largest_weight(measured: Measured) -> Tensor:
        \"\"\"The largest absolute value of all parameters.\"\"\"
        return measured.param_EP.abs().amax(1)

Shapes: E members, P parameters of one member, T test samples, K samples of a pool, B samples, V classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import registry
from deepboot.bootstrap.models.stacked import Buffers, Stack
from deepboot.bootstrap.task import Samples, Task

Values = Tensor | Mapping[str, Tensor]


@dataclass(frozen=True)
class PoolSamples:
    """The samples of every member's pool that are evaluated.

    Attributes:
        x: inputs, (E, K, ...).
        y: labels as trained on, (E, K) or (E, K, answers).
        clean: labels before noise and exchange.
        own_EK: bool, whether a sample is of the member's own pool: pools of one pack differ in size.
        exchanged_EK: bool, whether its label was exchanged for another sample's (``data.swapped_answers``).
    """

    x: Tensor
    y: Tensor
    clean: Tensor
    own_EK: Tensor
    exchanged_EK: Tensor


@dataclass(frozen=True)
class Measured:
    """Members at an evaluation.

    Attributes:
        step: updates done.
        task: of all members.
        stack: their model, in evaluation mode; ``stack.named(param_EP)`` are parameters by name.
        param_EP: a copy of their parameters.
        buffers: copies of tensors that the model's forward pass changes in training, by name, each (E, ...).
        initial: parameters and buffers at step 0, computed again from the ``init`` stream at every call.
        forward: logits, (E, B * answers, V), of parameters, buffers and inputs as the task stores them.
        loss: of every label, (E, B * answers), of logits and labels, (E, B * answers).
        test: test samples, (E, T, ...).
        test_block: test samples that are computed at once.
        pool: None in the ideal world, which has none.
        key_E2: int32, (E, 2), keys of a stream of random numbers for probes.
    """

    step: int
    task: Task
    stack: Stack
    param_EP: Tensor
    buffers: Buffers
    initial: Callable[[], tuple[Tensor, Buffers]]
    forward: Callable[[Tensor, Buffers, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]
    test: Samples
    test_block: int
    pool: PoolSamples | None
    key_E2: Tensor

    @cached_property
    def named(self) -> dict[str, Tensor]:
        """Parameters under their names, each (E, *shape)."""
        return self.stack.named(self.param_EP)

    @cached_property
    def test_logits(self) -> Tensor:
        """Logits of the test samples, (E, T * answers, V), in the blocks of the evaluation, once for all probes."""
        return self.logits(self.test.x, self.test_block)

    def logits(self, x: Tensor, block: int) -> Tensor:
        """Logits, (E, B * answers, V), of inputs (E, B, ...), so many samples at a time."""
        return torch.cat([self.forward(self.param_EP, self.buffers, part) for part in x.split(block, 1)], 1)

    def nan(self) -> Tensor:
        """NaN for every member, (E,): what has no value here."""
        return torch.full((len(self.param_EP),), torch.nan, dtype=torch.float64, device=self.param_EP.device)


def measure(name: str, settings: Mapping[str, Any], measured: Measured) -> dict[str, Tensor]:
    """A probe's values, float64, each (E,), under their names in tables: ``probe``, or ``probe.part`` of several.

    Raises:
        ValueError: the probe does not fit task or model, or returns something else.
    """
    values: Values = registry.find("probe", name).target(measured, **settings)
    if isinstance(values, Mapping):
        table = {f"{name}.{part}": value for part, value in values.items()}
    else:
        table = {name: values}
    members = len(measured.param_EP)
    for full_name, value in table.items():
        if not isinstance(value, Tensor) or value.shape != (members,):
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"probe {name!r}: expected a tensor of shape ({members},), one number for each member, as "
                f"{full_name!r}, got {got}. Return such a tensor, or several by name."
            )
    if not table:
        raise ValueError(f"probe {name!r} returned no value. Return NaN where there is nothing to measure.")
    return {full_name: value.detach().double() for full_name, value in table.items()}

"""Stacked members: their tensors at step 0, as a state restores them, and as a state holds them.

Shapes: E members, P parameters of one member.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.constructions import constructed
from deepboot.bootstrap.models.stacked import Buffers, Stack
from deepboot.bootstrap.optimizers import Optimizer
from deepboot.bootstrap.study.build import run_keys
from deepboot.bootstrap.study.run import KeptWeights, Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.torch_optimizers import TorchOptimizer, is_stacked
from deepboot.bootstrap.training.chain import initial_state, settings_of
from deepboot.bootstrap.training.layers import initial_scale

ROW_START = {"cpu": 1, "cuda": 8}  # numbers at multiples of which a row begins; 8 are 32 bytes in float32

# one member's: "parameters" (P,), "buffers.<name>", "slots.<name>" (P,) of the optimizer, "transforms.<name>" (P,) or
# of a shape of its own, "step", "online" (3,)
State = dict[str, Tensor]


class Members(NamedTuple):
    """Tensors of stacked members; the step changes the first five in place.

    Attributes:
        param_EP: parameters.
        buffers: tensors that the model's forward pass changes, each (E, ...).
        optimizer_state: the optimizer's own tensors, each (E, P).
        transform_state: the transforms' own tensors, (E, P) or (E, ...), as ``transforms.0.grokfast.mean``.
        sums_3E: float64, (3, E): sum of losses and of errors since the last evaluation, and number of batches.
        member_options: what some members have that others may lack, one value each: ``output_scale``, (E, 1, 1),
            ``weight_noise``, ``update_noise`` and ``norm_clamp``, (E, 1); settings of the penalty, ``penalty.strength``
            and so on, (E,), and of the transforms, ``transforms.0.clip.norm``, (E, 1). Left out where no member has it.
        noise_keys: int32, (E, 2): keys of the streams of ``weights`` and ``updates`` inside the ``noise`` stream.
        torch_optimizers: one per member where the study's optimizer is one of torch, over views of ``param_EP``.
    """

    param_EP: Tensor
    buffers: dict[str, Tensor]
    optimizer_state: dict[str, Tensor]
    transform_state: dict[str, Tensor]
    sums_3E: Tensor
    member_options: dict[str, Tensor]
    noise_keys: dict[str, Tensor]
    torch_optimizers: tuple[TorchOptimizer, ...] = ()

    def subset(self, members: slice) -> "Members":
        """Some of them, in the same memory."""
        own: dict[str, Any] = {
            field: {name: tensor[members] for name, tensor in tensors.items()}
            for field, tensors in self._asdict().items()
            if isinstance(tensors, dict)
        }
        own["torch_optimizers"] = self.torch_optimizers[members]
        return self._replace(param_EP=self.param_EP[members], sums_3E=self.sums_3E[:, members], **own)

    @property
    def changing(self) -> list[Tensor]:
        """The tensors that carry a member from one step to the next."""
        kept = (self.buffers, self.optimizer_state, self.transform_state)
        return [self.param_EP, *(tensor for tensors in kept for tensor in tensors.values()), self.sums_3E]

    @property
    def noisy(self) -> bool:
        """Whether any member's updates draw normal numbers."""
        return "weight_noise" in self.member_options or "update_noise" in self.member_options

    def states(self, step: int) -> list[State]:
        """Every member's state after so many steps, copied to the host; members share the copies' memory."""
        stacked = {
            "parameters": self.param_EP,
            "online": self.sums_3E.T.contiguous(),
            **{f"buffers.{name}": buffer for name, buffer in self.buffers.items()},
            **{f"slots.{name}": tensor for name, tensor in self.optimizer_state.items()},
            **self.transform_state,
        }
        copies = {name: tensor.to("cpu", copy=True) for name, tensor in stacked.items()}  # one transfer for all members
        states = [
            {"step": torch.tensor(step), **{name: copy[member] for name, copy in copies.items()}}
            for member in range(len(self.param_EP))
        ]
        for state, optimizer in zip(states, self.torch_optimizers, strict=False):
            state |= {f"slots.{name}": tensor for name, tensor in optimizer.state().items()}
        return states


def initial_members(runs: Sequence[Run], stack: Stack, optimizers: Sequence[Optimizer]) -> Members:
    """All members at step 0.

    Args:
        runs: one per member.
        stack: the model that they share.
        optimizers: one per member, of one kind.

    Raises:
        ValueError: a run starts from kept weights that do not fit.
    """
    param_EP, buffers = initial_weights(runs, stack)
    sums_3E = torch.zeros(3, len(runs), dtype=torch.float64, device=stack.device)
    optimizer_state, transform_state = optimizers[0].init(param_EP, optimizers), initial_state(runs[0], param_EP)
    param_EP = aligned(param_EP)
    return Members(
        param_EP, buffers, optimizer_state, transform_state, sums_3E, **_options_and_noise(runs, stack),
        torch_optimizers=_torch_optimizers(runs, stack, param_EP),
    )  # fmt: skip


def initial_weights(runs: Sequence[Run], stack: Stack) -> tuple[Tensor, Buffers]:
    """Parameters, (E, P), and buffers of all members at step 0.

    Raises:
        ValueError: a run starts from kept weights that do not fit.
    """
    key_E2 = run_keys(runs, "init", stack.device)
    param_EP = stack.initial(key_E2, initial_scale(runs, stack)).to(stack.dtype)
    buffers = stack.initial_buffers(run_keys(runs, "noise", stack.device))
    views = stack.weights(param_EP, buffers)
    for member, run in enumerate(runs):
        if run.start is not None:
            _take_over({name: tensor[member] for name, tensor in views.items()}, run.start)
        elif run.construction is not None:
            own = {name: views[name][member] for name in stack.names}
            shapes = {name: tensor.shape for name, tensor in own.items()}
            for name, weight in constructed(run.construction, stack.task, run.model, shapes).items():
                own[name].copy_(weight)
    return param_EP, buffers


def restored_members(
    runs: Sequence[Run], states: Sequence[State], stack: Stack, optimizers: Sequence[Optimizer]
) -> Members:
    """All members as these states left them; an optimizer's tensor that a state lacks starts as at step 0."""
    param_EP = torch.stack([state["parameters"] for state in states]).to(stack.device)
    initial = optimizers[0].init(param_EP, optimizers)
    if any(f"slots.{name}" not in state for name in initial for state in states):
        initial = initial_members(runs, stack, optimizers).optimizer_state
    optimizer_state = _restored("slots.", states, initial)
    transform_state = _restored("", states, initial_state(runs[0], param_EP))
    buffers = {
        name: torch.stack([state[f"buffers.{name}"] for state in states]).to(stack.device) for name in stack.buffers
    }
    sums_3E = torch.stack([state["online"] for state in states], 1).to(stack.device)
    param_EP = aligned(param_EP)
    members = Members(
        param_EP, buffers, optimizer_state, transform_state, sums_3E, **_options_and_noise(runs, stack),
        torch_optimizers=_torch_optimizers(runs, stack, param_EP),
    )  # fmt: skip
    for optimizer, state in zip(members.torch_optimizers, states, strict=False):
        optimizer.load({name.removeprefix("slots."): tensor for name, tensor in state.items()})
    return members


def _torch_optimizers(runs: Sequence[Run], stack: Stack, param_EP: Tensor) -> tuple[TorchOptimizer, ...]:
    """Every member's own optimizer over its parameters; none where one rule updates them all."""
    if is_stacked(runs[0].optimizer["name"]):
        return ()
    views = stack.named(param_EP).values()
    return tuple(
        TorchOptimizer(
            run.optimizer["name"], own_settings(run.optimizer), [view[member] for view in views],
            scheduled=run.schedule.changes_rate,
        )
        for member, run in enumerate(runs)
    )  # fmt: skip


def _restored(prefix: str, states: Sequence[State], initial: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as these states left them; one that a state lacks, or has in another shape, is the initial one."""

    def own(state: State, name: str, start: Tensor) -> Tensor:
        kept = state.get(f"{prefix}{name}", start)
        return (kept if kept.shape == start.shape else start).to(start)

    return {
        name: torch.stack([own(state, name, start[member]) for member, state in enumerate(states)])
        for name, start in initial.items()
    }


def aligned(param_EP: Tensor) -> Tensor:
    """The same parameters in rows that begin at multiples of `ROW_START`, with a gap after each where that needs one.

    A GPU's batched product reads weights several at a time only if every member's begin at such a place.
    """
    members, size = param_EP.shape
    start = ROW_START[param_EP.device.type]
    if size % start == 0:
        return param_EP
    return param_EP.new_empty(members, -(-size // start) * start)[:, :size].copy_(param_EP)


def _options_and_noise(runs: Sequence[Run], stack: Stack) -> dict[str, dict[str, Tensor]]:
    """The tensors of members that follow from their runs."""
    noise_E2 = run_keys(runs, "noise", stack.device)
    return {
        "member_options": _member_options(runs, stack.dtype, stack.device),
        "noise_keys": {name: streams.subkeys(noise_E2, name) for name in ("weights", "updates")},
    }


def _member_options(runs: Sequence[Run], dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """The options that some of these runs have; runs without one get the value that changes nothing."""
    columns = {
        "output_scale": ([run.model["output_scale"] for run in runs], 1.0),
        "weight_noise": ([run.weight_noise for run in runs], 0.0),
        "update_noise": ([run.update_noise for run in runs], 0.0),
        "norm_clamp": ([math.inf if run.norm_clamp is None else run.norm_clamp for run in runs], math.inf),
    }
    options = {
        name: torch.tensor(column, dtype=dtype)[:, None].to(device)
        for name, (column, neutral) in columns.items()
        if any(value != neutral for value in column)
    }
    if "output_scale" in options:
        options["output_scale"] = options["output_scale"][..., None]
    for name in own_settings(runs[0].penalty or {}):
        column = [run.penalty[name] for run in runs if run.penalty is not None]
        options[f"penalty.{name}"] = torch.tensor(column, dtype=dtype, device=device)
    return options | settings_of(runs, dtype, device)


def _take_over(tensors: dict[str, Tensor], source: KeptWeights) -> None:
    """Replace one member's starting parameters and buffers by kept ones, in place.

    Raises:
        ValueError: the file has no such parameter, or one of another shape.
    """
    kept = load_file(source.path)
    for name, tensor in tensors.items():
        if source.layers and not name.startswith(tuple(source.layers)):
            continue
        if name not in kept or kept[name].shape != tensor.shape:
            found = f"one of shape {tuple(kept[name].shape)}" if name in kept else f"only {', '.join(kept)}"
            raise ValueError(
                f"`start`: expected {source.path} to hold a parameter {name!r} of shape {tuple(tensor.shape)}, "
                f"found {found}. List in start.layers the parameters that both models have."
            )
        tensor.copy_(kept[name])

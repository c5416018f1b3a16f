"""Modules that know torch only: where their parameters start, and whether members can be mapped over.

A parameter of one of torch's own layers starts from the ``init`` stream, as that layer would start it. Any other one,
and one that the constructor has changed after its layer had made it, starts as the constructor leaves it, with
torch's generator set by the member's ``init`` key.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from deepboot.bootstrap.models.layers import Distribution, constant, normal, weight_start
from deepboot.bootstrap.task import Image, Inputs, Tokens, Vector

Build = Callable[[], nn.Module]


def starts_of(build: Build) -> dict[str, Distribution | None]:
    """Where each parameter of a module starts, by name; None: as the constructor leaves it."""
    generator: dict[nn.Module, Tensor] = {}  # its state before a layer drew its numbers

    def note(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        generator.setdefault(module, torch.get_rng_state())

    with torch.random.fork_rng(devices=[]):
        handle = register_module_parameter_registration_hook(note)
        try:
            module = build()
        finally:
            handle.remove()
        return {
            name: _start(*owner_of(module, name), parameter, generator) for name, parameter in module.named_parameters()
        }


def declared(parameters: Mapping[str, nn.Parameter]) -> dict[str, Distribution | None]:
    """Where parameters start that have all been declared, by name."""
    return {name: parameter.start for name, parameter in parameters.items()}  # type: ignore[attr-defined]


def constructed(build: Build, names: Sequence[str], key_E2: Tensor) -> dict[str, Tensor]:
    """Parameters as a constructor leaves them, by name, (E, *shape), each member's under a seed of its own.

    Args:
        build: makes the module.
        names: of the parameters that are wanted.
        key_E2: int32, (E, 2), the members' ``init`` streams.
    """
    members = []
    with torch.random.fork_rng(devices=[]):
        for high, low in key_E2.tolist():
            torch.manual_seed((high % 2**31) * 2**32 + low % 2**32)
            made = dict(build().named_parameters())
            members.append([made[name].detach().float() for name in names])
    return {
        name: torch.stack(column).to(key_E2.device)
        for name, column in zip(names, zip(*members, strict=True), strict=True)
    }


def buffer_starts(module: nn.Module) -> dict[str, tuple[Tensor, Distribution]]:
    """Buffers that a forward pass changes, with their starts: those that are declared, and torch's batch norms'."""
    found = {}
    for name, tensor in module.named_buffers():
        owner, local = owner_of(module, name)
        if hasattr(tensor, "start"):
            found[name] = tensor, tensor.start
        elif isinstance(owner, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            found[name] = tensor, constant(1.0 if local == "running_var" else 0.0)
    return found


def flatten_recurrent(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Let torch's recurrent layers compute with these parameters, of which they keep a list of their own."""
    for path, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase):
            layer._flat_weights = [tensors[f"{path}.{name}".lstrip(".")] for name in layer._flat_weights_names]


def blank(inputs: Inputs, param_1P: Tensor) -> Tensor:
    """Two inputs of zeros for one member, (1, 2, ...), in the dtype of the parameters where they are numbers."""
    match inputs:
        case Tokens(length=length):
            return torch.zeros(1, 2, length, dtype=torch.int64, device=param_1P.device)
        case Vector(size=size):
            return param_1P.new_zeros(1, 2, size)
        case Image(channels=channels, height=height, width=width):
            return param_1P.new_zeros(1, 2, channels, height, width)


def draws(compute: Callable[[], Any], device: torch.device) -> bool:
    """Whether a computation that succeeds draws from torch's global generators, which are put back afterwards."""

    def states() -> list[Tensor]:
        on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
        return [torch.get_rng_state(), *on_gpu]

    before = states()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), suppress(Exception):
        compute()
        return not all(map(torch.equal, before, states()))
    return False


def owner_of(module: nn.Module, full_name: str) -> tuple[nn.Module, str]:
    """The submodule that holds a parameter, and its name there."""
    path, _, local = full_name.rpartition(".")
    return module.get_submodule(path), local


def _start(
    owner: nn.Module, local: str, parameter: nn.Parameter, generator: dict[nn.Module, Tensor]
) -> Distribution | None:
    """Where a parameter starts: as declared, or as torch's own layer of that type would; None: as it is."""
    if hasattr(parameter, "start"):
        return parameter.start
    start = _of_layer(owner, local)
    if start is None or owner not in generator:
        return None
    again = copy.deepcopy(owner)
    torch.set_rng_state(generator[owner])
    again.reset_parameters()  # type: ignore[operator]
    return start if torch.equal(getattr(again, local), parameter) else None


def _of_layer(owner: nn.Module, local: str) -> Distribution | None:
    """Where torch's layer lets a parameter start; None for other modules."""
    weight = getattr(owner, "weight", None)
    if type(owner) in (nn.Linear, nn.Conv1d, nn.Conv2d) and weight is not None:
        return weight_start("torch", math.prod(weight.shape[1:]))
    if type(owner) is nn.Embedding and owner.padding_idx is None:
        return normal(1.0)
    if type(owner) in (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
        return constant(1.0 if local == "weight" else 0.0)
    return None

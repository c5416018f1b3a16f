"""One module that computes for E members at once: parameters with a leading member axis.

All parameters of a member lie in one row of a flat tensor, so that an optimizer is a handful of
operations however many layers there are; the module's own parameters are views of it.

Shapes: E members, P parameters of one member.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
from torch import Tensor, nn

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.models import plain
from deepboot.bootstrap.models.plain import owner_of
from deepboot.bootstrap.task import Task

Buffers = dict[str, Tensor]  # by name, each (E, ...)
Objective = Callable[[Tensor], tuple[Tensor, Any]]  # of logits: every sample's loss, (E, B), and anything else


class Stack:
    """A registered model with stacked parameters, which it is given at every call.

    A model whose parameters are all declared with ``layers.parameter`` computes with the member
    axis itself; any other torch module is mapped over the members with ``torch.func.vmap``, or, where
    that cannot map it, computes one member after another.

    Args:
        name, settings: of the model.
        task: its inputs and classes are the model's.
        device: of buffers that belong to no member.
        dtype: of buffers.
        autocast: whether forward passes compute in bfloat16.
        training: whether the module is in training mode or in evaluation mode, for good.

    Attributes:
        names, shapes, sizes: of the parameters of one member, in the order of the flat tensor.
        starts: of the parameters, by name; None: as the constructor leaves it.
        loops_members: whether it computes one member after another.
        buffers: shape, dtype and start of each of a member's buffers, by name.

    Raises:
        ValueError: the model refuses the task, has a frozen parameter, or draws random numbers.
    """

    def __init__(
        self, name: str, settings: dict[str, Any], task: Task, device: torch.device | str = "cpu", *,
        dtype: torch.dtype = torch.float32, autocast: bool = False, training: bool = True,
    ):  # fmt: skip
        self.name, self.settings, self.task = name, settings, task
        self.device, self.dtype = torch.device(device), dtype
        self.autocast, self.training = autocast, training
        module = self._new_module()
        aliases: dict[int, list[str]] = {}  # a shared parameter has several names
        for full_name, parameter in module.named_parameters(remove_duplicate=False):
            aliases.setdefault(id(parameter), []).append(full_name)
        parameters = dict(module.named_parameters())
        for full_name, parameter in parameters.items():
            if not parameter.requires_grad:
                raise ValueError(f"model {name!r}: parameter {full_name!r} is frozen. Make it a buffer, or train it.")
        self.buffers = {
            full_name: (tensor.shape, dtype if tensor.is_floating_point() else tensor.dtype, start)
            for full_name, (tensor, start) in plain.buffer_starts(module).items()
        }
        self.names = list(parameters)
        self.aliases = [aliases[id(parameter)] for parameter in parameters.values()]
        self.shapes = [parameter.shape for parameter in parameters.values()]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.maps_members = not all(hasattr(parameter, "start") for parameter in parameters.values())
        self.starts = plain.starts_of(self._new_module) if self.maps_members else plain.declared(parameters)
        self.module, self.loops_members = self._without_tensors(module), False
        self.loops_members = self.maps_members and not self._can_be_mapped()

    @property
    def size(self) -> int:
        """Number of parameters of one member, P."""
        return sum(self.sizes)

    def initial(self, key_E2: Tensor, scale_E1: Tensor) -> Tensor:
        """Parameters at step 0, float32, (E, P): each from the init stream, under its own name.

        Args:
            key_E2: int32, (E, 2), the members' ``init`` streams.
            scale_E1: factors on all parameters, (E, 1).
        """
        left = [name for name in self.names if self.starts[name] is None]
        values = plain.constructed(self._new_module, left, key_E2) if left else {}
        for name, shape in zip(self.names, self.shapes, strict=True):
            start = self.starts[name]
            if start is not None:
                values[name] = start.draw(streams.subkeys(key_E2, name), shape)
        return torch.cat([values[name].flatten(1) for name in self.names], 1) * scale_E1

    def initial_buffers(self, key_E2: Tensor) -> Buffers:
        """Buffers at step 0, under their names, each (E, ...).

        Args:
            key_E2: int32, (E, 2), the members' ``noise`` streams.
        """
        return {
            name: start.draw(streams.subkeys(key_E2, name), shape).to(dtype)
            for name, (shape, dtype, start) in self.buffers.items()
        }

    def named(self, param_EP: Tensor) -> dict[str, Tensor]:
        """Views of the parameters under their names, each (E, *shape)."""
        pieces = zip(self.names, param_EP.split(self.sizes, dim=1), self.shapes, strict=True)
        return {name: piece.view(len(param_EP), *shape) for name, piece, shape in pieces}

    def weights(self, param_EP: Tensor, buffers: Buffers) -> dict[str, Tensor]:
        """Views of the parameters and statistics under their names, each (E, ...); no counters and random keys."""
        statistics = {name: buffer for name, buffer in buffers.items() if buffer.is_floating_point()}
        return self.named(param_EP) | statistics

    def logits(self, param_EP: Tensor, buffers: Buffers, x: Tensor) -> Tensor:
        """Logits, (E, B * answers, classes), of inputs (E, B, ...).

        Args:
            param_EP: parameters.
            buffers: changed in place where the module is in training mode.
            x: inputs, in the parameters' dtype where they are numbers.
        """
        return self.compute(self.module, self.named(param_EP), buffers, x)

    def compute(self, module: nn.Module, parameters: Mapping[str, Tensor], buffers: Buffers, x: Tensor) -> Tensor:
        """As `logits`, of a module of `new_module` and parameters by name."""
        tensors = {
            alias: parameters[name] for name, aliases in zip(self.names, self.aliases, strict=True) for alias in aliases
        } | buffers
        with self.precision():
            if not self.maps_members:
                return self.as_rows(torch.func.functional_call(module, tensors, (x,), tie_weights=False))

            def one(own: dict[str, Tensor], x_B: Tensor) -> Tensor:
                plain.flatten_recurrent(module, own)
                return torch.func.functional_call(module, own, (x_B,), tie_weights=False)

            if self.loops_members:
                members = ({name: tensor[member] for name, tensor in tensors.items()} for member in range(len(x)))
                return self.as_rows(torch.stack(list(map(one, members, x))))
            return self.as_rows(torch.func.vmap(one, randomness="error")(tensors, x))

    def gradient(self, param_EP: Tensor, buffers: Buffers, x: Tensor, objective: Objective) -> tuple[Tensor, Any]:
        """Gradient of every member's mean loss, (E, P), and what the objective returns beside the loss.

        Forward and backward pass are one function of tensors, which a compiler can fuse.

        Args:
            param_EP: parameters.
            buffers: changed in place by the forward pass.
            x: inputs, (E, B, ...).
            objective: a function of the logits.
        """

        def total(param: Tensor) -> tuple[Tensor, Any]:
            changing = {name: buffer.clone() for name, buffer in buffers.items()}
            loss_EB, beside = objective(self.logits(param, changing, x))
            return loss_EB.mean(1).sum(), (beside, changing)

        grad_EP, (beside, changed) = torch.func.grad(total, has_aux=True)(param_EP)
        for name, buffer in buffers.items():
            buffer.copy_(changed[name])
        return grad_EP, beside

    def new_module(self) -> nn.Module:
        """Another module of this kind, without parameters or members' buffers."""
        return self._without_tensors(self._new_module())

    def precision(self) -> AbstractContextManager[Any]:
        """Under which forward passes compute."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def as_rows(self, logits: Tensor) -> Tensor:
        """Logits with all answers of all samples as rows, in float32 where the forward pass was in bfloat16."""
        logits = logits.float() if self.autocast else logits
        return logits if logits.dim() == 3 else logits.flatten(1, -2)

    def _can_be_mapped(self) -> bool:
        """Whether ``torch.func.vmap`` maps the module over members, tried on one.

        Raises:
            ValueError: it draws random numbers, by which the two worlds of a pair would differ.
        """
        key_12 = torch.zeros(1, 2, dtype=torch.int32, device=self.device)
        param_1P = torch.zeros(1, self.size, dtype=self.dtype, device=self.device)
        arguments = param_1P, self.initial_buffers(key_12), plain.blank(self.task.inputs, param_1P)
        with torch.no_grad(), suppress(Exception):  # what is wrong with a module is said where it is tried
            self.logits(*arguments)
            return True
        self.loops_members = True
        with torch.no_grad():
            if plain.draws(lambda: self.logits(*arguments), self.device):
                raise ValueError(
                    f"model {self.name!r} draws from torch's global generator, so the two worlds of a pair would "
                    "differ. For dropout use deepboot.bootstrap.models.layers.Dropout."
                )
        return False

    def _new_module(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):  # torch's own layers draw when they are built
            model = registry.find("model", self.name).target
            module: nn.Module = model(self.task.inputs, self.task.classes, **self.settings)
        return module.train(self.training)

    def _without_tensors(self, module: nn.Module) -> nn.Module:
        for alias in itertools.chain(*self.aliases):
            owner, local = owner_of(module, alias)
            owner._parameters[local] = None
        for name in self.buffers:
            owner, local = owner_of(module, name)
            owner._buffers[local] = None
        return module.to(self.device).to(self.dtype)


class BoundStack:
    """A stack that computes with the same tensors at every call, by a module whose parameters are views of them.

    That spares an eager step the exchange of the module's tensors, and its gradient has one address for good.

    Args:
        stack: the model.
        param_EP: parameters, which may change in place.
        buffers: changed in place where the module is in training mode.
    """

    def __init__(self, stack: Stack, param_EP: Tensor, buffers: Buffers):
        self.stack, self.param_EP, self.buffers = stack, param_EP, buffers
        self.module = stack.new_module()
        self.leaves = {name: nn.Parameter(view) for name, view in stack.named(param_EP).items()}
        for name, aliases in zip(stack.names, stack.aliases, strict=True):
            for alias in aliases:
                owner, local = owner_of(self.module, alias)
                owner._parameters[local] = self.leaves[name]
        for name, buffer in buffers.items():
            owner, local = owner_of(self.module, name)
            owner._buffers[local] = buffer
        self._leaf_list, self._grad_EP = list(self.leaves.values()), torch.empty_like(param_EP)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits, (E, B * answers, classes), of inputs (E, B, ...)."""
        if self.stack.maps_members:
            return self.stack.compute(self.module, self.leaves, self.buffers, x)
        with self.stack.precision():
            return self.stack.as_rows(self.module(x))

    def gradient(self, x: Tensor, objective: Objective) -> tuple[Tensor, Any]:
        """As `Stack.gradient`; the gradient lies in the same memory every time."""
        loss_EB, beside = objective(self(x))
        share_EB = torch.full_like(loss_EB, 1 / loss_EB.shape[1])
        parts = torch.autograd.grad(loss_EB, self._leaf_list, share_EB, allow_unused=True, materialize_grads=True)
        return torch.cat([part.reshape(part.shape[0], -1) for part in parts], 1, out=self._grad_EP), beside

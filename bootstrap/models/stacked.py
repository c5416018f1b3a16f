"""One module that computes for E members at once: parameters with a leading member axis.

All parameters of a member lie in one row of a flat tensor, so that an optimizer is a handful of
operations however many layers there are; the module's own parameters are views of it.

Shapes: E members, P parameters of one member.
"""

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.models.layers import Distribution, constant, normal, weight_start
from deepboot.bootstrap.task import Task

Buffers = dict[str, Tensor]  # by name, each (E, ...)


class Stack:
    """A registered model with stacked parameters.

    A model whose parameters are all declared with ``layers.parameter`` computes with the member
    axis itself; any other torch module is mapped over the members with ``torch.func.vmap``.

    Raises:
        ValueError: the model refuses the task, or has a parameter whose start is unknown.
    """

    def __init__(self, name: str, settings: dict[str, Any], task: Task, device: torch.device | str = "cpu"):
        with torch.random.fork_rng(devices=[]):  # torch's own layers draw when they are built
            self.module: nn.Module = registry.find("model", name).target(task.inputs, task.classes, **settings)
        self.module.train()
        places: dict[int, list[tuple[nn.Module, str]]] = {}  # a shared parameter has several
        for full, parameter in self.module.named_parameters(remove_duplicate=False):
            places.setdefault(id(parameter), []).append(owner_of(self.module, full))
        found = dict(self.module.named_parameters())
        for full, parameter in found.items():
            if not parameter.requires_grad:
                raise ValueError(f"model {name!r}: parameter {full!r} is frozen. Make it a buffer, or train it.")
        self.buffers = {
            full: (tensor.shape, tensor.start)
            for full, tensor in self.module.named_buffers()
            if hasattr(tensor, "start")
        }
        self._buffer_places = {full: owner_of(self.module, full) for full in self.buffers}
        self._places = [places[id(parameter)] for parameter in found.values()]
        self.names = list(found)
        self.shapes = [parameter.shape for parameter in found.values()]
        self.starts = [
            start_of(name, places[id(parameter)][0][0], full, parameter) for full, parameter in found.items()
        ]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        declared = all(hasattr(parameter, "start") for parameter in found.values())
        for owner, local in itertools.chain(*self._places):
            owner._parameters[local] = None
        for owner, local in self._buffer_places.values():
            owner._buffers[local] = None
        self.module.to(device)
        self.device = torch.device(device)
        self.autocast = False  # whether forward passes compute in bfloat16
        self.leaves: list[nn.Parameter] = []
        self._bound: tuple[Tensor, Buffers] | None = None
        self._declared = declared

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
        parts = [
            start.draw(streams.subkeys(key_E2, name), shape).flatten(1)
            for name, shape, start in zip(self.names, self.shapes, self.starts, strict=True)
        ]
        return torch.cat(parts, 1) * scale_E1

    def begin(self, members: int, dtype: torch.dtype = torch.float32) -> Buffers:
        """Buffers of so many members at step 0, under their names, each (E, ...), of the parameters' dtype."""
        return {
            name: torch.full((members, *shape), start.scale, device=self.device, dtype=dtype)
            for name, (shape, start) in self.buffers.items()
        }

    def bind(self, param_EP: Tensor, buffers: Buffers) -> None:
        """Make the module compute with these parameters and buffers, which may change in place afterwards."""
        if self._bound is not None and param_EP is self._bound[0] and buffers is self._bound[1]:
            return
        members = param_EP.shape[0]
        self._bound = param_EP, buffers
        pieces = param_EP.split(self.sizes, dim=1)
        self.leaves = [
            nn.Parameter(piece.view(members, *shape)) for piece, shape in zip(pieces, self.shapes, strict=True)
        ]
        for owners, leaf in zip(self._places, self.leaves, strict=True):
            for owner, local in owners:
                owner._parameters[local] = leaf
        for name, (owner, local) in self._buffer_places.items():
            owner._buffers[local] = buffers[name]

    def __call__(self, x: Tensor) -> Tensor:
        """Logits, (E, B * answers, classes), of inputs (E, B, ...), under the parameters bound last."""
        with self._precision():
            if self._declared:
                return _rows(self.module(x))
            return _rows(self._mapped(dict(zip(self.names, self.leaves, strict=True)), x))

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def gradient(
        self,
        param_EP: Tensor,
        buffers: Buffers,
        x: Tensor,
        loss: Callable[[Tensor], tuple[Tensor, Any]],
        out: Tensor | None = None,
    ) -> tuple[Tensor, Any]:
        """Gradient of every member's mean loss, (E, P).

        Args:
            param_EP: parameters; the next gradient is fastest with the same tensor.
            buffers: changed in place by the forward pass.
            x: inputs, (E, B, ...).
            loss: returns the loss of every sample, (E, B), a function of the logits, and a second value that is
                handed back.
            out: where the gradient is written, (E, P); None allocates it. A compiled step needs no such memory.
        """
        if torch.compiler.is_compiling():  # one graph of forward and backward pass, which a compiler can fuse

            def objective(param: Tensor) -> tuple[Tensor, Any]:
                own = {name: buffer.clone() for name, buffer in buffers.items()}
                loss_EB, beside = loss(self._unbound(param, own, x))
                return loss_EB.mean(1).sum(), (beside, own)

            grad_EP, (beside, changed) = torch.func.grad(objective, has_aux=True)(param_EP)
            for name, buffer in buffers.items():
                buffer.copy_(changed[name])
            return grad_EP, beside
        self.bind(param_EP, buffers)
        loss_EB, beside = loss(self(x))
        share_EB = torch.full_like(loss_EB, 1 / loss_EB.shape[1])
        parts = torch.autograd.grad(loss_EB, self.leaves, share_EB, allow_unused=True, materialize_grads=True)
        return torch.cat([part.reshape(part.shape[0], -1) for part in parts], 1, out=out), beside

    def _unbound(self, param_EP: Tensor, buffers: Buffers, x: Tensor) -> Tensor:
        """Logits as a function of the parameters and buffers."""
        pieces = zip(param_EP.split(self.sizes, dim=1), self.shapes, strict=True)
        parameters = {name: piece.view(-1, *shape) for name, (piece, shape) in zip(self.names, pieces, strict=True)}
        with self._precision():
            if self._declared:
                return _rows(torch.func.functional_call(self.module, parameters | buffers, (x,)))
            return _rows(self._mapped(parameters, x))

    def _mapped(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        def one(own: dict[str, Tensor], x_B: Tensor) -> Tensor:
            return torch.func.functional_call(self.module, own, (x_B,))

        return torch.func.vmap(one, randomness="error")(parameters, x)


def _rows(logits: Tensor) -> Tensor:
    """Logits with all answers of all samples as rows, no coarser than float32."""
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    return logits if logits.dim() == 3 else logits.flatten(1, -2)


def owner_of(module: nn.Module, full_name: str) -> tuple[nn.Module, str]:
    """The submodule that holds a parameter, and its name there."""
    path, _, local = full_name.rpartition(".")
    return module.get_submodule(path), local


def start_of(model: str, owner: nn.Module, name: str, parameter: nn.Parameter) -> Distribution:
    """Where a parameter starts: as declared, or as torch's own layer of that type would."""
    if hasattr(parameter, "start"):
        return parameter.start
    weight = getattr(owner, "weight", None)
    if isinstance(owner, nn.Linear | nn.Conv1d | nn.Conv2d) and weight is not None:
        return weight_start("torch", math.prod(weight.shape[1:]))
    if isinstance(owner, nn.Embedding):
        return normal(1.0)
    if isinstance(owner, nn.LayerNorm | nn.GroupNorm):
        return constant(1.0 if parameter is weight else 0.0)
    raise ValueError(
        f"model {model!r}: the start of parameter {name!r} in {type(owner).__name__} is unknown. "
        "Declare it with bootstrap.models.layers.parameter(shape, start)."
    )

"""Constructed networks: weights that are worked out instead of drawn, for a run to start from.

A plugin's construction is one registered function, too. It returns some or all of a member's parameters by name, each
without a member axis; the others start as usual:

    @register("construction", "identity")
    def identity(task: Task, model: Mapping[str, Any], *, gain: float = 1.0) -> dict[str, Tensor]:
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from deepboot.bootstrap.registry import find, register
from deepboot.bootstrap.task import Task

CIRCLE_MODEL: dict[str, tuple[Any, ...]] = {  # settings of the model that `modular_circle` is for
    "name": ("mlp",), "operands": ("sum",), "activation": ("quadratic",), "bias": (False,), "depth": (1,),
    "output_bias": (None, False), "embedding": (2,), "shared_embedding": (True,), "projection": (0,),
    "batch_norm": (False,),
}  # fmt: skip


@register("construction", "modular_circle")
def modular_circle(task: Task, model: Mapping[str, Any], *, frequency: PositiveInt = 1) -> dict[str, Tensor]:
    """Weights that add all pairs mod an odd p without training: squares of sums of points on a circle.

    Token i lies at the angle 2πi ``frequency`` / p, hidden unit j reads the direction 2πj / width, and its square is
    read at twice that angle. The logit of c is then proportional to cos²(π f (a - b) / p) cos(2π f (a + b - c) / p),
    largest at c = a + b, where the width is 3 or at least 5.
    Source: PAIR, "Do machine learning models memorize or generalize?", 2023.

    Args:
        task: ``binary_operations`` with "x+y".
        model: an mlp of squares without biases, with summed operands embedded in two numbers.
        frequency: turns of the circle, without a common divisor with p.

    Raises:
        ValueError: another task or model, or a width or frequency that does not do.
    """
    modulus, width = getattr(task, "modulus", 0), model.get("width", 0)
    wrong = [name for name, values in CIRCLE_MODEL.items() if model.get(name) not in values]
    if wrong:
        needed = " and ".join(f"model.{name} = {json.dumps(CIRCLE_MODEL[name][-1])}" for name in wrong)
        raise ValueError(f"construction 'modular_circle' needs {needed}. Set {'it' if len(wrong) == 1 else 'them'}.")
    if getattr(task, "operation", None) != "x+y" or modulus % 2 == 0:
        raise ValueError(
            "construction 'modular_circle' adds modulo an odd number. "
            'Set task.name = "binary_operations", task.operation = "x+y" and task.modulus to an odd number.'
        )
    if width in (1, 2, 4):
        raise ValueError(
            f"construction 'modular_circle' needs a width of 3 or at least 5, got {width}. Set model.width."
        )
    token_angle = _token_angle("modular_circle", modulus, frequency)
    unit_angle = 2 * math.pi / width * torch.arange(width, dtype=torch.float64)
    return {
        "embeddings.0.weight": _ring(token_angle, task, model),
        "hidden.0.weight": torch.stack((unit_angle.cos(), unit_angle.sin()), 1),
        "output.weight": (token_angle[:, None] - 2 * unit_angle).cos(),
    }


@register("construction", "circular_embedding")
def circular_embedding(task: Task, model: Mapping[str, Any], *, frequency: PositiveInt = 1) -> dict[str, Tensor]:
    """A start with the tokens on a circle, as in `modular_circle`; all else is random.

    Token i lies at the angle 2πi ``frequency`` / p. ``[training.layers.embeddings]`` with ``lr = 0`` and ``weight_decay
    = 0`` keeps it there.

    Args:
        frequency: turns of the circle that the tokens make, without a common divisor with p.

    Source: PAIR, "Do machine learning models memorize or generalize?", 2023: five units on a fixed circle.

    Raises:
        ValueError: a task without a modulus, another model than an mlp with one table of two numbers per token, or a
            frequency that puts two numbers in one place.
    """
    modulus = getattr(task, "modulus", 0)
    wrong = model.get("name") != "mlp" or model.get("embedding") != 2 or model.get("shared_embedding") is False
    if not modulus or wrong:
        raise ValueError(
            "construction 'circular_embedding' needs a task with a modulus and an mlp that embeds tokens in two "
            'numbers. Set task.name = "binary_operations", model.name = "mlp", model.embedding = 2 and '
            "model.shared_embedding = true."
        )
    return {"embeddings.0.weight": _ring(_token_angle("circular_embedding", modulus, frequency), task, model)}


def _token_angle(construction: str, modulus: int, frequency: int) -> Tensor:
    """Angles of the numbers mod p on the circle, float64, (p,)."""
    if math.gcd(frequency, modulus) > 1:
        raise ValueError(
            f"construction {construction!r} needs a frequency without a common divisor with {modulus}, "
            f"got {frequency}. Set start.construction.frequency = 1."
        )
    return 2 * math.pi * frequency / modulus * torch.arange(modulus, dtype=torch.float64)


def _ring(angle: Tensor, task: Task, model: Mapping[str, Any]) -> Tensor:
    """The table with the numbers on a circle and, where the model has rows for signs, these at its center."""
    signs = task.inputs.vocab - len(angle) if model.get("embedded") != "operands" else 0  # type: ignore[union-attr]
    circle = torch.stack((angle.cos(), angle.sin()), 1)
    return torch.cat((circle, circle.new_zeros(signs, 2)))


def constructed(
    chosen: Mapping[str, Any], task: Task, model: Mapping[str, Any], shapes: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """The weights of a construction, by the names of the parameters that they are for.

    Args:
        chosen: its name and settings.
        task, model: whose parameters they are.
        shapes: of all parameters of one member, by name.

    Raises:
        ValueError: it refuses them, or returns what is no parameter of this model.
    """
    settings = {name: value for name, value in chosen.items() if name != "name"}
    weights: dict[str, Tensor] = find("construction", chosen["name"]).target(task, model, **settings)
    for name, tensor in weights.items():
        if name not in shapes:
            raise ValueError(
                f"construction {chosen['name']!r} returns a parameter {name!r}, which this model lacks. "
                f"It has {', '.join(shapes)}."
            )
        if tensor.shape != shapes[name]:
            raise ValueError(
                f"construction {chosen['name']!r} returns {name!r} of shape {tuple(tensor.shape)}, and this model has "
                f"it of shape {tuple(shapes[name])}. Change the settings of one of them."
            )
    return weights

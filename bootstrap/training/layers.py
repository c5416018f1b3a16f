"""Factors per layer, and matrices: the columns of a member's parameters that they are about, and what they act on.

Shapes: E members, P parameters of one member, S steps.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.layer_names import layer_of
from deepboot.bootstrap.study.run import Run


class Columns(NamedTuple):
    """Neighbouring parameters that are updated together.

    Attributes:
        layer: the name under which their factors stand; None: they have none.
        range: of the parameters in a member's row.
        matrix: rows and columns of one that the optimizer updates as a whole.
    """

    layer: str | None
    range: slice
    matrix: tuple[int, int] | None = None


def columns_of(
    stack: Stack, run: Run, matrix: Callable[[str, torch.Size], tuple[int, int] | None] = lambda name, shape: None
) -> list[Columns]:
    """All parameters of a member as the fewest ranges of one layer or matrix each, in their order.

    Args:
        stack: with the names and shapes of the parameters.
        run: with the layers that have factors.
        matrix: rows and columns of a parameter, by its name and shape, that stands alone.
    """
    columns: list[Columns] = []
    begin = 0
    own = [matrix(name, shape) for name, shape in zip(stack.names, stack.shapes, strict=True)]
    alone = [name if one else None for name, one in zip(stack.names, own, strict=True)]
    layers = [layer_of(name, run.layers) for name in stack.names]
    places = zip(zip(layers, own, alone, strict=True), stack.sizes, strict=True)
    for (layer, one, _), group in itertools.groupby(places, key=lambda pair: pair[0]):
        end = begin + sum(size for _, size in group)
        columns.append(Columns(layer, slice(begin, end), one))
        begin = end
    return columns


def initial_scale(runs: Sequence[Run], stack: Stack) -> Tensor:
    """Factors on the parameters as they are drawn, float32, (E, 1); (E, P) where layers have factors of their own."""
    scale_E1 = torch.tensor([[run.model["init_scale"]] for run in runs], device=stack.device)
    if not runs[0].layers:
        return scale_E1
    scale_EP = scale_E1.repeat(1, stack.size)
    for layer, columns, _ in columns_of(stack, runs[0]):
        if layer is not None:
            own = [[run.layers[layer].init_scale] for run in runs]
            scale_EP[:, columns] *= torch.tensor(own, device=stack.device)
    return scale_EP


def with_factors(
    hyper: Mapping[str, Tensor], runs: Sequence[Run], layer: str, rates: Sequence[str]
) -> dict[str, Tensor]:
    """The optimizer's hyperparameters for a layer, float64, each (E,), and its learning rates (S, E).

    Args:
        hyper: those for all parameters.
        runs: of the members, with their factors.
        layer: the layer.
        rates: names of the learning rates.
    """
    factors = {**dict.fromkeys(rates, "lr"), "weight_decay": "weight_decay"}
    scaled = dict(hyper)
    for name in factors.keys() & hyper.keys():
        scaled[name] = hyper[name] * torch.tensor(
            [getattr(run.layers[layer], factors[name]) for run in runs], dtype=torch.float64
        )
    return scaled


def prefix(layer: str | None) -> str:
    """What the names of a layer's coefficients begin with."""
    return "" if layer is None else f"{layer}/"


def of_layer(coefficients: Mapping[str, Tensor], layer: str | None) -> dict[str, Tensor]:
    """The coefficients of one layer under the names that the optimizer knows."""
    start = prefix(layer)
    return {name.removeprefix(start): table for name, table in coefficients.items() if name.startswith(start)}

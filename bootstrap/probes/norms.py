"""Norms of parameters. Shapes: E members."""

from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "layer_norms")
def layer_norms(measured: Measured) -> dict[str, Tensor]:
    """Euclidean norm of each parameter, under its name in the model.

    Their squares add up to the square of ``weight_norm`` in the table of evaluations.
    """
    return {name: norm(value) for name, value in measured.named.items()}


def norm(value: Tensor) -> Tensor:
    """Euclidean norm of every member's numbers, float64, (E,)."""
    return value.flatten(1).double().square().sum(1).sqrt()

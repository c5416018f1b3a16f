"""Layers with factors of their own: which parameters their names stand for."""

from collections.abc import Iterable, Sequence

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.schema import Study
from deepboot.bootstrap.wording import shown


def layer_of(parameter: str, layers: Iterable[str]) -> str | None:
    """The longest name of a layer that a parameter's name begins with; None where none fits.

    >>> layer_of("blocks.0.up.weight", ["blocks", "blocks.0.up", "embedding"])
    'blocks.0.up'
    """
    return max((layer for layer in layers if parameter.startswith(layer)), key=len, default=None)


def layer_problems(study: Study, parameters: Sequence[str], faulty: set[str]) -> list[str]:
    """Problems of layers that the model lacks, and of factors that nothing is multiplied by.

    Args:
        study: whose ``training`` is sound.
        parameters: names of the model's.
        faulty: tables that are known to be faulty.
    """
    layers = study.training.layers
    problems = [
        f"`training.layers`: expected beginnings of the names of the model's parameters, got {shown(layer)}. "
        f"Known: {', '.join(parameters)}."
        for layer in layers
        if not any(parameter.startswith(layer) for parameter in parameters)
    ]
    if "optimizer" in faulty or "weight_decay" in registry.settings("optimizer", study.optimizer["name"]).model_fields:
        return problems
    return problems + [
        f"`training.layers.{layer}.weight_decay`: optimizer {study.optimizer['name']!r} has no weight decay that a "
        f"factor could act on, got {factors.weight_decay:g}. Remove the key."
        for layer, factors in layers.items()
        if factors.weight_decay != 1
    ]

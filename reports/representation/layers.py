"""Layers as functions of a token: what embedding, hidden units and output hold for every element of Z_p or S_n.

Shape letters: P tokens (elements of the group), D numbers of an embedding, H hidden units, V tokens of the vocabulary.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepboot.bootstrap.cyclic import PRODUCTS, powers_of_a_root
from deepboot.bootstrap.output_weights import output_weights
from deepboot.bootstrap.wording import suggestion
from deepboot.reports.representation.kept import Weights

EXTRA_TOKENS = 2  # "op" and "=", which follow the elements in the vocabulary


def group_layers(weights: Weights, run: Mapping[Any, Any]) -> dict[str, NDArray[np.float64]]:
    """Layers of a run's network over the elements of its task's group, in the order of `group_tokens`."""
    extra = 0 if run.get("model.embedded") == "operands" else EXTRA_TOKENS
    return token_layers(weights, group_tokens(run), group_size(run) + extra)


def group_layer(weights: Weights, run: Mapping[Any, Any], name: str) -> NDArray[np.float64]:
    """One of `group_layers` by its name.

    Raises:
        ValueError: no such layer.
    """
    layers = group_layers(weights, run)
    if name not in layers:
        raise ValueError(f"model {run['model']!r} has no layer {name!r}. {suggestion(name, list(layers))}")
    return layers[name]


def group_tokens(run: Mapping[Any, Any]) -> NDArray[np.int64]:
    """The tokens of a task's group, int64, (P,), such that the operation adds positions wherever it can be so written.

    Under multiplication and division modulo a prime p the nonzero numbers are a cycle of p − 1: they come as the
    powers g^0, g^1, … of the smallest g that reaches all of them, and 0 is left out. Otherwise tokens come as numbered.

    Raises:
        ValueError: the task has no such group.
    """
    if run["task"] == "binary_operations" and run["task.operation"] in PRODUCTS:
        return np.array(powers_of_a_root(int(run["task.modulus"])))
    return np.arange(group_size(run))


def group_size(run: Mapping[Any, Any]) -> int:
    """The number of elements of a task's group.

    Raises:
        ValueError: the task has none.
    """
    if run["task"] == "binary_operations":
        return int(run["task.modulus"])
    if run["task"] == "permutations":
        return math.factorial(int(run["task.degree"]))
    raise ValueError(
        f"expected runs of task binary_operations or permutations, got {run['task']!r}. "
        "Choose runs with `where`, or call the functions of arrays with the layers of your model."
    )


def token_layers(weights: Weights, tokens: NDArray[np.int64], vocab: int) -> dict[str, NDArray[np.float64]]:
    """Layers of an ``mlp`` or ``transformer`` with a row per token, float64, (P, D), (P, H) or so.

    ``embedding``: rows of the table. ``input``: what a token adds to the first hidden layer of an mlp, E W_in^T.
    ``output``: from the last layer to the logit of each token, as `output_weights` has it: through a projection, and of
    a tied network from its embedding. ``neuron_logit``: from the neurons of a transformer's last block to the logits,
    W_out W_down (Nanda et al. 2023, arXiv 2301.05217).
    Where the operands have tables or input weights of their own, names are ``embedding 1``, ``embedding 2`` and so on.

    Args:
        weights: by the parameters' names.
        tokens: int, (P,).
        vocab: V, rows of a table.

    Raises:
        ValueError: the weights are of another model.
    """
    weights = {name: array.astype(float) for name, array in weights.items()}
    output_VH = output_weights(weights)
    if output_VH is None or not {"hidden.0.weight", "embedding.weight"} & set(weights):
        raise ValueError(
            f"expected the weights of an mlp with a hidden layer or of a transformer, got {', '.join(weights)}. "
            "Call the functions of arrays with the layers of your model."
        )
    layers = _numbered("embedding", [table[tokens] for table in _tables(weights)])
    if "hidden.0.weight" in weights:
        layers |= _numbered("input", [table[tokens] for table in _input_tables(weights, vocab)])
    layers["output"] = output_VH[tokens]
    downs = sorted(
        (name for name in weights if name.endswith(".down.weight")), key=lambda name: int(name.split(".")[1])
    )
    if downs:
        layers["neuron_logit"] = (output_VH @ weights[downs[-1]])[tokens]
    return layers


def _tables(weights: Weights) -> list[NDArray[np.float64]]:
    """The embedding tables, (V, D): one for all operands, one each, or none."""
    names = [name for name in weights if name == "embedding.weight" or name.startswith("embeddings.")]
    return [weights[name] for name in sorted(names)]


def _input_tables(weights: Weights, vocab: int) -> list[NDArray[np.float64]]:
    """What each token of an operand adds to the first hidden layer, (V, H): one for all operands, or one each."""
    tables = _tables(weights) or [np.eye(vocab)]
    weight_HI = weights["hidden.0.weight"]
    blocks = np.split(weight_HI, weight_HI.shape[1] // tables[0].shape[1], axis=1)
    operands = max(len(tables), len(blocks))
    tables, blocks = (parts * (operands // len(parts)) for parts in (tables, blocks))
    return [table_VD @ block_HD.T for table_VD, block_HD in zip(tables, blocks, strict=True)]


def _numbered(name: str, parts: list[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {name if len(parts) == 1 else f"{name} {number}": part for number, part in enumerate(parts, 1)}

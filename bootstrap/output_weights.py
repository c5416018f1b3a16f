"""What hidden units add to the logits: the output's weights, also where they are tied or follow a projection.

Arrays are torch's with or without members, or NumPy's: V tokens or classes, H units of the last hidden layer, D numbers
of an embedding.
"""

from collections.abc import Mapping
from typing import Any


def output_weights(named: Mapping[str, Any]) -> Any | None:
    """What each unit adds to the logit of each token or class, (..., V, H), of an mlp or transformer.

    With a projection it is W_out W_projection; the W_out of a tied network is its embedding, of all tokens. None where
    no weights lead to the logits, or the network is another.

    >>> import numpy as np
    >>> table, projection = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[3.0], [4.0]])
    >>> output_weights({"embeddings.0.weight": table, "projection.weight": projection}).tolist()
    [[11.0], [4.0]]
    """
    table = named.get("output.weight")
    if "projection.weight" not in named:
        return table
    return (named["embeddings.0.weight"] if table is None else table) @ named["projection.weight"]

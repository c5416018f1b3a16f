"""Weights of the relevant and of the distracting bits of sparse parity over training.

Source: PAIR, "Do machine learning models memorize or generalize?", 2023: the distractors' weights decay smoothly
between memorisation and generalisation, while the test accuracy jumps.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept


def bit_norms(weight_HB: ArrayLike) -> NDArray[np.float64]:
    """Euclidean norm of every input's weights, (B,), of a first layer of H units, (H, B).

    >>> bit_norms([[3.0, 0.0], [4.0, 1.0]]).tolist()
    [5.0, 1.0]
    """
    return np.asarray(np.linalg.norm(np.asarray(weight_HB, dtype=float), axis=0))


def bit_table(source: Source, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """The norm of every bit's input weights in every file: ``bit, relevant, norm``.

    Args:
        source, where, steps: as in `kept.kept_table`; runs of task sparse_parity with model mlp.

    Raises:
        ValueError: another task or model.
    """
    return over_kept(source, _bits, where=where, steps=steps)


def distractor_table(source: Source, *, where: Where | None = None, steps: Steps = "all") -> pd.DataFrame:
    """Relevant bits against the others in every file: ``relevant, distractors, distractor_share``.

    The first two are root mean squares of the bits' norms; the share is that of the distractors' squared norms in
    those of all bits: (B − k) / B at a random start, 0 where only the k relevant bits are read.

    Args:
        source, where, steps: as in `bit_table`.
    """

    def shares(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        square_B = bit_norms(_input_weights(weights, run)) ** 2
        relevant, others = np.split(square_B, [int(run["task.num_relevant"])])
        yield {
            "relevant": float(np.sqrt(relevant.mean())),
            "distractors": float(np.sqrt(others.mean())) if len(others) else float("nan"),
            "distractor_share": float(others.sum() / square_B.sum()),
        }

    return over_kept(source, shares, where=where, steps=steps)


def _bits(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
    for bit, norm in enumerate(bit_norms(_input_weights(weights, run)).tolist()):
        yield {"bit": bit, "relevant": bit < int(run["task.num_relevant"]), "norm": norm}


def _input_weights(weights: Weights, run: Mapping[Any, Any]) -> NDArray[Any]:
    if run["task"] != "sparse_parity" or "hidden.0.weight" not in weights:
        raise ValueError(
            f"bits need runs of task sparse_parity with model mlp and a hidden layer, got task {run['task']!r} "
            f"with model {run['model']!r}. Choose runs with `where`."
        )
    return weights["hidden.0.weight"]

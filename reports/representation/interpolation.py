"""Weights on the straight line between two checkpoints, such as a memorising and a generalising one.

The forward pass is the caller's, since nothing here loads torch: ``evaluate`` takes weights by name, as a
``torch.func.functional_call`` does, and returns metrics by name.
Source: Goodfellow et al. 2015, arXiv 1412.6544; the barrier: Frankle et al. 2020, arXiv 1912.05671.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.kept import Weights

SHARES = tuple(np.linspace(0, 1, 21).round(2).tolist())


def interpolated(
    first: Weights, second: Weights, shares: Iterable[float] = SHARES
) -> Iterator[tuple[float, dict[str, NDArray[Any]]]]:
    """Each share t with the weights (1 − t) · first + t · second, in the first's dtypes; exactly these at 0 and 1.

    Raises:
        ValueError: the two have other parameters or shapes.

    >>> [(t, w["a"].tolist()) for t, w in interpolated({"a": np.zeros(2)}, {"a": np.array([4.0, 8.0])}, [0, 0.25])]
    [(0, [0.0, 0.0]), (0.25, [1.0, 2.0])]
    """
    shapes = [{name: array.shape for name, array in weights.items()} for weights in (first, second)]
    if differing := sorted(name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)):
        name = differing[0]
        raise ValueError(
            f"expected two checkpoints of one model, but {name!r} has the shapes {shapes[0].get(name)} "
            f"and {shapes[1].get(name)}. Choose runs of one model."
        )
    for share in shares:
        mixed = {name: (1 - share) * array + share * second[name] for name, array in first.items()}
        yield share, {name: array.astype(first[name].dtype) for name, array in mixed.items()}


def interpolation_table(
    first: Weights,
    second: Weights,
    evaluate: Callable[[Weights], Mapping[str, float]],
    shares: Iterable[float] = SHARES,
) -> pd.DataFrame:
    """The caller's metrics on the line between two checkpoints: ``share``, then what ``evaluate`` names.

    Args:
        first, second: weights by name, as `kept.load_weights` reads them.
        evaluate: metrics by name of a network with these weights.
        shares: of the second checkpoint.
    """
    return pd.DataFrame(
        [{"share": share, **evaluate(weights)} for share, weights in interpolated(first, second, shares)]
    )


def barrier(share_T: ArrayLike, loss_T: ArrayLike) -> float:
    """The largest rise of a loss above the straight line between its two ends, at least 0.

    max_t [L(t) − (1 − t) L(0) − t L(1)], over ascending shares from 0 to 1.

    >>> barrier([0, 0.5, 1], [1.0, 3.0, 2.0])
    1.5
    """
    share_T, loss_T = np.asarray(share_T, dtype=float), np.asarray(loss_T, dtype=float)
    if share_T[0] != 0 or share_T[-1] != 1 or (np.diff(share_T) <= 0).any():
        raise ValueError(
            f"shares must ascend from 0 to 1, got {share_T[0]:g} … {share_T[-1]:g}. Sort the table by share."
        )
    return float((loss_T - (1 - share_T) * loss_T[0] - share_T * loss_T[-1]).max())

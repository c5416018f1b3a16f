"""Chains of a constant stride: whether the tokens n, n + k, n + 2k, … of Z_p follow each other in a layer.

Shape letters: P tokens, D features, K strides 1 … p // 2. A chain is scored, not only drawn.
Source: Power et al. 2022, arXiv 2201.02177, figure 3 (lines of a constant stride in t-SNE of the output layer).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.embeddings import Space, in_space
from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layers

SHUFFLES = 999


@dataclass(frozen=True)
class Chain:
    """The stride whose chain has the shortest links.

    Attributes:
        stride: k; −k is the same chain.
        ratio: mean distance of n and n + k by the mean distance of all pairs; about 1 in random order.
        p: share of random orders of the tokens whose own best stride has links as short.
    """

    stride: int
    ratio: float
    p: float


def link_ratios(points_PD: ArrayLike) -> NDArray[np.float64]:
    """Length of the links of every stride k, (K,): mean_n |x_(n+k) − x_n| by the mean over all pairs.

    >>> square = [[0, 0], [0, 1], [1, 1], [1, 0]]
    >>> link_ratios(square).round(3).tolist()  # the four sides, and the two diagonals
    [0.879, 1.243]
    """
    distance_PP = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(np.asarray(points_PD, dtype=float)))
    return _ratios(distance_PP, _partners(len(distance_PP)))


def best_chain(points_PD: ArrayLike, *, shuffles: int = SHUFFLES, seed: int = 0) -> Chain:
    """The stride with the shortest links, and its p value corrected for looking at all strides.

    On a circle of frequency f it is k = ± 1 / f modulo p, with links of length 2 r sin(π / p).

    Args:
        points_PD: float, (P, D).
        shuffles: random orders of the tokens.
        seed: of the orders.
    """
    distance_PP = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(np.asarray(points_PD, dtype=float)))
    partner_KP = _partners(len(distance_PP))
    ratio_K = _ratios(distance_PP, partner_KP)
    random = np.random.default_rng(seed)
    orders = (random.permutation(len(distance_PP)) for _ in range(shuffles))
    as_short = sum(_ratios(distance_PP[np.ix_(order, order)], partner_KP).min() <= ratio_K.min() for order in orders)
    return Chain(int(ratio_K.argmin()) + 1, float(ratio_K.min()), float((1 + as_short) / (1 + shuffles)))


def _partners(tokens: int) -> NDArray[np.int64]:
    """The token n + k for every stride k and token n, (K, P)."""
    return (np.arange(1, tokens // 2 + 1)[:, None] + np.arange(tokens)) % tokens


def _ratios(distance_PP: NDArray[np.float64], partner_KP: NDArray[np.int64]) -> NDArray[np.float64]:
    tokens = len(distance_PP)
    link_K = distance_PP[np.arange(tokens), partner_KP].mean(1)
    return link_K * tokens * (tokens - 1) / distance_PP.sum()


def chain_table(
    source: Source, *, space: Space = "weights", where: Where | None = None, steps: Steps = "last",
    shuffles: int = SHUFFLES, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """The best chain of every layer of every file: ``layer, space, stride, ratio, p``.

    Args:
        source, where, steps: as in `kept.kept_table`.
        space: where distances are taken: the layer itself, its principal components, or its t-SNE picture.
        shuffles, seed: as in `best_chain`.
    """

    def chains(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        for layer, values_PD in group_layers(weights, run).items():
            best = best_chain(in_space(values_PD, space, seed), shuffles=shuffles, seed=seed)
            yield {"layer": layer, "space": space, **vars(best)}

    return over_kept(source, chains, where=where, steps=steps)

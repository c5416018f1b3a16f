"""Layers drawn in two dimensions: principal components and t-SNE.

Shape letters: P tokens, D features.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layer, group_tokens

Space = Literal["weights", "pca", "t-sne"]
PERPLEXITY = 15.0  # neighbours; the usual 30 are a third of all points here


def principal_components(values_PD: ArrayLike, components: int = 2) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points along the directions of largest variance, (P, components), and their shares of it, (components,).

    Each axis points to where its largest coordinate is positive, so that the same layer gives the same picture.

    >>> points_P1, share = principal_components([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], components=1)
    >>> (points_P1[:, 0].round(6) + 0).tolist(), share.round(6).tolist()
    ([5.0, 0.0, -5.0], [1.0])
    """
    values_PD = np.asarray(values_PD, dtype=float)
    left_PK, singular_K, _ = np.linalg.svd(values_PD - values_PD.mean(0), full_matrices=False)
    points_PK = (left_PK * singular_K)[:, :components]
    largest_K = np.take_along_axis(points_PK, np.abs(points_PK).round(12).argmax(0)[None], 0)
    variance_K = singular_K**2
    return points_PK * np.where(largest_K < 0, -1.0, 1.0), variance_K[:components] / variance_K.sum()


def t_sne(values_PD: ArrayLike, *, perplexity: float = PERPLEXITY, seed: int = 0) -> NDArray[np.float64]:
    """Points in the plane whose near neighbours are the layer's, (P, 2), by exact t-SNE from the principal components.

    Args:
        values_PD: float, (P, D).
        perplexity: effective number of each point's neighbours, below P.
        seed: of scikit-learn's generator.
    Source: van der Maaten and Hinton 2008, Journal of Machine Learning Research 9; as in Power et al. 2022.

    Raises:
        ValueError: too few points for the perplexity.
    """
    from sklearn.manifold import TSNE  # loads slowly

    values_PD = np.asarray(values_PD, dtype=float)
    if not 1 <= perplexity < len(values_PD):
        raise ValueError(f"perplexity must be at least 1 and below the {len(values_PD)} points, got {perplexity:g}.")
    mapped_P2 = TSNE(method="exact", init="pca", perplexity=perplexity, random_state=seed).fit_transform(values_PD)
    return np.asarray(mapped_P2, dtype=float)


def in_space(values_PD: NDArray[np.float64], space: Space, seed: int = 0) -> NDArray[np.float64]:
    """The layer itself, its first two principal components, or its t-SNE picture; a row per token.

    Raises:
        ValueError: no such space.
    """
    if space == "weights":
        return values_PD
    if space == "pca":
        return principal_components(values_PD)[0]
    if space == "t-sne":
        return t_sne(values_PD, seed=seed)
    raise ValueError(f"unknown space {space!r}. Known: weights, pca, t-sne.")


def point_table(
    source: Source, *, layer: str = "output", space: Space = "t-sne", where: Where | None = None,
    steps: Steps = "last", seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """A layer's tokens in the plane: ``layer, space, position`` (in the group's order), ``token, x, y``.

    Args:
        source, where, steps: as in `kept.kept_table`.
        layer: a name of `layers.token_layers`.
        space: "pca" or "t-sne".
        seed: of t-SNE.
    """

    def points(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        points_P2 = in_space(group_layer(weights, run, layer), space, seed)
        tokens = group_tokens(run).tolist()
        for position, (token, (x, y, *_)) in enumerate(zip(tokens, points_P2.tolist(), strict=True)):
            yield {"layer": layer, "space": space, "position": position, "token": token, "x": x, "y": y}

    return over_kept(source, points, where=where, steps=steps)

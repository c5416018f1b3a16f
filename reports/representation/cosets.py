"""Cosets in a layer over a permutation group: whether neighbours are of one coset more often than by chance.

Shape letters: G elements of the group, D features, S random partitions, K neighbours.
Source: Power et al. 2022, arXiv 2201.02177, figure 3 (t-SNE of the output layer on S5: clusters are cosets of one
subgroup or of its conjugates); Stander et al. 2023, arXiv 2312.06581.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from deepboot.reports.representation.embeddings import Space, in_space
from deepboot.reports.representation.groups import Side, conjugates, cosets, number_of, products, subgroup, subgroups_of
from deepboot.reports.representation.kept import Row, Source, Steps, Weights, Where, over_kept
from deepboot.reports.representation.layers import group_layers

SHUFFLES = 199
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class Agreement:
    """The partition whose parts are nearest to clusters.

    Attributes:
        best: its index among those compared.
        share: of every element's nearest neighbours, as many as the rest of its part, those in its part.
        chance: what random neighbours would give, (part − 1) / (G − 1).
        p: share of random orders of the elements in which the best partition does as well.
    """

    best: int
    share: float
    chance: float
    p: float


def neighbour_share(points_GD: ArrayLike, part_G: ArrayLike) -> float:
    """Share of every element's m − 1 nearest neighbours that lie in its own part, of m elements; 1 for clusters.

    >>> points = [[0.0], [0.1], [5.0], [5.1]]
    >>> neighbour_share(points, [0, 0, 1, 1]), neighbour_share(points, [0, 1, 0, 1])
    (1.0, 0.0)
    """
    part_G = np.asarray(part_G)
    return float(_shares(_neighbours(points_GD, part_G), part_G[None])[0])


def best_partition(
    points_GD: ArrayLike, parts: Sequence[NDArray[np.int64]], *, shuffles: int = SHUFFLES, seed: int = 0
) -> Agreement:
    """The partition with the largest `neighbour_share`, and its p value corrected for looking at all of them.

    Random orders move the elements and leave the partitions, so that sizes and overlaps stay as they are.

    Args:
        points_GD: float, (G, D).
        parts: the part of every element, (G,), in each partition; all parts of all partitions have one size.
        shuffles: random orders of the elements.
        seed: of the orders.
    """
    neighbour_GK = _neighbours(points_GD, parts[0])
    share_N = np.array([_shares(neighbour_GK, part_G[None])[0] for part_G in parts])
    random = np.random.default_rng(seed)
    order_SG = np.stack([random.permutation(len(neighbour_GK)) for _ in range(shuffles)])
    largest_S = np.max([_shares(neighbour_GK, part_G[order_SG]) for part_G in parts], axis=0)
    best = int(share_N.argmax())
    elements, neighbours = neighbour_GK.shape
    p = (1 + np.sum(largest_S >= share_N[best])) / (1 + shuffles)
    return Agreement(best, float(share_N[best]), neighbours / (elements - 1), float(p))


def coset_parts(generators: Sequence[str], degree: int, side: Side) -> list[NDArray[np.int64]]:
    """The coset of every permutation, (G,), for a subgroup and each of its conjugates.

    Args:
        generators: permutations in cycles, such as ``"(0 1)(2 3)"``.
        degree: the number of things.
        side: left cosets g H or right cosets H g.
    """
    product_GG = _products(degree)
    members = subgroup([number_of(cycles, degree) for cycles in generators], product_GG)
    return [cosets(conjugate, product_GG, side) for conjugate in conjugates(members, product_GG)]


def coset_table(
    source: Source, *, subgroups: Mapping[str, Sequence[str]] | None = None, space: Space = "weights",
    where: Where | None = None, steps: Steps = "last", shuffles: int = SHUFFLES, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """How near the cosets of each subgroup come to clusters: ``layer, space, subgroup, side``, then `Agreement`.

    ``best`` is the conjugate by its index, ``cosets`` their number. Each row's p value looks at all conjugates of one
    subgroup; over layers, subgroups and sides it is not corrected.

    Args:
        source, where, steps: as in `kept.kept_table`; runs of task permutations.
        subgroups: generators in cycles, by name; None: `groups.subgroups_of` the task's degree.
        space: where neighbours are looked for, as in `embeddings.in_space`.
        shuffles, seed: as in `best_partition`.
    """

    def agreements(weights: Weights, run: Mapping[Any, Any]) -> Iterator[Row]:
        degree = _degree(run)
        for layer, values_GD in group_layers(weights, run).items():
            points_GD = in_space(values_GD, space, seed)
            for name, generators in (subgroups or subgroups_of(degree)).items():
                for side in SIDES:
                    parts = coset_parts(generators, degree, side)
                    found = best_partition(points_GD, parts, shuffles=shuffles, seed=seed)
                    row = {"layer": layer, "space": space, "subgroup": name, "side": side}
                    yield {**row, "cosets": int(parts[0].max()) + 1, **vars(found)}

    return over_kept(source, agreements, where=where, steps=steps)


@cache
def _products(degree: int) -> NDArray[np.int64]:
    return products(degree)


def _degree(run: Mapping[Any, Any]) -> int:
    if run["task"] != "permutations":
        raise ValueError(f"cosets need runs of task permutations, got {run['task']!r}. Choose runs with `where`.")
    return int(run["task.degree"])


def _neighbours(points_GD: ArrayLike, part_G: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every element's nearest others, (G, K), K being the size of a part less one; of equally near, the first.

    Raises:
        ValueError: the parts are not of one size of at least two.
    """
    size, *others = sorted(set(np.bincount(part_G).tolist()))
    if others or size < 2:
        raise ValueError(f"expected parts of one size of at least 2, got sizes {[size, *others]}.")
    distance_GG = scipy.spatial.distance.squareform(scipy.spatial.distance.pdist(np.asarray(points_GD, dtype=float)))
    np.fill_diagonal(distance_GG, math.inf)
    return np.argsort(distance_GG, axis=1, kind="stable")[:, : size - 1]


def _shares(neighbour_GK: NDArray[np.int64], part_SG: NDArray[np.int64]) -> NDArray[np.float64]:
    """`neighbour_share` of each of several partitions, (S,)."""
    return np.asarray((part_SG[:, neighbour_GK] == part_SG[:, :, None]).mean((1, 2)))

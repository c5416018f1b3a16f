"""Permutation groups by tables: products, subgroups from generators, their conjugates and cosets.

Permutations of ``degree`` things are numbered 0 … degree! − 1 in lexicographic order, and the right factor acts
first, as in task ``permutations``. Shape letters: G elements of the group, N things.
"""

import itertools
import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right"]

SUBGROUPS = {  # of S5, by generators in cycles, the larger ones first
    "A5": ("(0 1 2)", "(0 1 2 3 4)"),
    "S4": ("(0 1)", "(0 1 2 3)"),
    "F20": ("(0 1 2 3 4)", "(1 2 4 3)"),
    "A4": ("(0 1 2)", "(1 2 3)"),
    "S3 x S2": ("(0 1)", "(0 1 2)", "(3 4)"),
    "D5": ("(0 3)(1 4)", "(1 2)(3 4)"),  # the one that Power et al. 2022 name at figure 3
    "D4": ("(0 1 2 3)", "(0 2)"),
    "S3": ("(0 1)", "(0 1 2)"),
    "C5": ("(0 1 2 3 4)",),
}


def subgroups_of(degree: int) -> dict[str, tuple[str, ...]]:
    """Those of `SUBGROUPS` that move no more than so many things, and are not all their permutations.

    >>> list(subgroups_of(4))
    ['A4', 'D4', 'S3']
    """
    product_GG = products(degree)
    return {
        name: generators for name, generators in SUBGROUPS.items()
        if max(map(int, re.findall(r"\d", "".join(generators)))) < degree
        and len(subgroup([number_of(cycles, degree) for cycles in generators], product_GG)) < len(product_GG)
    }  # fmt: skip


def permutations(degree: int) -> NDArray[np.int64]:
    """All permutations in lexicographic order, (degree!, degree); row x, column i holds x(i)."""
    return np.array(list(itertools.permutations(range(degree))))


def products(degree: int) -> NDArray[np.int64]:
    """The group's table, (degree!, degree!): row x, column y holds the number of x*y, (x*y)(i) = x(y(i))."""
    element_GN = permutations(degree)
    digits_N = degree ** np.arange(degree)[::-1]  # as digits, permutations in lexicographic order ascend
    return np.searchsorted(element_GN @ digits_N, element_GN[:, element_GN] @ digits_N)


def number_of(cycles: str, degree: int) -> int:
    """The number of a permutation written in disjoint cycles.

    Raises:
        ValueError: it is not written so, or not of so many things.

    >>> number_of("(1 2)", 3), number_of("(0 1)(2 3)", 4)
    (1, 7)
    """
    image = list(range(degree))
    moved = [int(thing) for thing in re.findall(r"\d+", cycles)]
    if not re.fullmatch(r"(\(\d+( \d+)*\))+", cycles) or len(set(moved)) < len(moved) or max(moved) >= degree:
        raise ValueError(f'expected disjoint cycles of 0 … {degree - 1} such as "(0 1)(2 3)", got {cycles!r}.')
    for cycle in re.findall(r"\(([^)]*)\)", cycles):
        things = [int(thing) for thing in cycle.split()]
        for thing, following in itertools.pairwise([*things, things[0]]):
            image[thing] = following
    return int(np.flatnonzero((permutations(degree) == image).all(1))[0])


def subgroup(generators: Iterable[int], product_GG: NDArray[np.int64]) -> NDArray[np.int64]:
    """The elements of the subgroup that these generate, ascending."""
    members = np.array([0])
    steps = np.array([0, *generators])
    while len(larger := np.unique(product_GG[members][:, steps])) > len(members):
        members = larger
    return members


def conjugates(members: NDArray[np.int64], product_GG: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """All different subgroups g H g⁻¹, each ascending, in lexicographic order."""
    inverse_G = (product_GG == 0).argmax(1)
    conjugate_GH = np.sort(product_GG[product_GG[:, members], inverse_G[:, None]], axis=1)
    return list(np.unique(conjugate_GH, axis=0))


def cosets(members: NDArray[np.int64], product_GG: NDArray[np.int64], side: Side) -> NDArray[np.int64]:
    """The coset of every element by its number, (G,): left g H = {g h}, or right H g = {h g}.

    >>> cosets(np.array([0, 1]), products(3), "left").tolist()  # H = {identity, (1 2)}: by the image of 0
    [0, 0, 1, 1, 2, 2]
    """
    coset_GH = product_GG[:, members] if side == "left" else product_GG[members].T
    return np.unique(coset_GH.min(1), return_inverse=True)[1].reshape(-1)

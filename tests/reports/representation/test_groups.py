import math

import numpy as np
import pytest
import torch

from deepboot.datasets import permutations as task
from deepboot.reports.representation.groups import (
    SUBGROUPS,
    conjugates,
    cosets,
    number_of,
    permutations,
    products,
    subgroup,
)

ORDERS = {"A5": 60, "S4": 24, "F20": 20, "A4": 12, "S3 x S2": 12, "D5": 10, "D4": 8, "S3": 6, "C5": 5}
CONJUGATES = {"A5": 1, "S4": 5, "F20": 6, "A4": 5, "S3 x S2": 10, "D5": 6, "D4": 15, "S3": 10, "C5": 6}


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_tables_are_those_of_the_task(degree):
    """Elements, their order and all products agree with task permutations."""
    assert torch.equal(torch.tensor(permutations(degree)), task.elements(degree))
    assert torch.equal(torch.tensor(products(degree)), task.products(degree))


def test_cycles_send_each_thing_to_the_next():
    """(0 1 2) is the image list 1, 2, 0; other things stay."""
    assert permutations(5)[number_of("(0 1 2)", 5)].tolist() == [1, 2, 0, 3, 4]
    assert permutations(5)[number_of("(0 3)(1 4)", 5)].tolist() == [3, 4, 2, 0, 1]
    for wrong in ("(0 5)", "(0 1)(1 2)", "0 1", "(0 1"):
        with pytest.raises(ValueError, match=r"^expected disjoint cycles of 0 … 4 such as .*, got '.*'\.$"):
            number_of(wrong, 5)


@pytest.mark.parametrize("name", SUBGROUPS)
def test_subgroups_have_their_orders(name):
    """And their numbers of conjugates in S5, each of which is closed."""
    table = products(5)
    members = subgroup([number_of(cycles, 5) for cycles in SUBGROUPS[name]], table)
    assert len(members) == ORDERS[name]
    found = conjugates(members, table)
    assert len(found) == CONJUGATES[name]
    for one in found:
        assert set(table[np.ix_(one, one)].ravel()) == set(one.tolist())


def test_cosets_on_both_sides():
    """Left cosets of those that fix 4 tell where 4 goes, right ones what goes to 4; of A5 both tell the sign."""
    table, images = products(5), permutations(5)
    fixing = subgroup([number_of(cycles, 5) for cycles in SUBGROUPS["S4"]], table)
    left, right = (cosets(fixing, table, side) for side in ("left", "right"))
    assert partition(left) == partition(images[:, 4])
    assert partition(right) == partition((images == 4).argmax(1))
    assert partition(left) != partition(right)
    even = subgroup([number_of(cycles, 5) for cycles in SUBGROUPS["A5"]], table)
    sign = [round(np.linalg.det(np.eye(5)[image])) for image in images]
    assert partition(cosets(even, table, "left")) == partition(cosets(even, table, "right")) == partition(sign)
    assert len(set(left)) == math.factorial(5) // len(fixing)


def partition(labels):
    """The sets of elements with one label."""
    return {frozenset(np.flatnonzero(np.asarray(labels) == label).tolist()) for label in set(labels)}

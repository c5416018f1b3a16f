import itertools
from typing import get_args

import pytest
import torch

from deepboot.datasets.permutations import RULES, Operation, Permutations, elements, inverses, products


def compose(x, y):
    """(x*y)(i) = x(y(i))."""
    return tuple(x[i] for i in y)


def invert(x):
    return tuple(x.index(i) for i in range(len(x)))


FORMULAS = {
    "x*y": compose,
    "x*y*x^-1": lambda x, y: compose(compose(x, y), invert(x)),
    "x*y*x": lambda x, y: compose(compose(x, y), x),
}


@pytest.mark.parametrize("degree", [2, 3, 4])
@pytest.mark.parametrize("operation", FORMULAS)
def test_answers_follow_the_formula(degree, operation):
    """Every cell has the answer that composing tuples gives."""
    group = list(itertools.permutations(range(degree)))
    task = Permutations(degree=degree, operation=operation)
    x, y = task.cells(torch.arange(task.size))
    expected = [group.index(FORMULAS[operation](a, b)) for a, b in itertools.product(group, group)]
    assert y.tolist() == expected
    assert x[:, [0, 2]].tolist() == [[a, b] for a in range(len(group)) for b in range(len(group))]
    assert (x[:, 1] == len(group)).all()
    assert (x[:, 3] == len(group) + 1).all()


def test_the_three_operations_of_power_et_al_are_all_here():
    """Names in the schema, rules and the formulas they are tested against are the same three."""
    assert list(get_args(Operation)) == list(RULES) == list(FORMULAS)


def test_products_form_a_group():
    """On five things: closed, associative, the identity is 0, and every element has its inverse."""
    product, number = products(5), torch.arange(120)
    assert torch.equal(product.sort(0).values, number[:, None].expand(120, 120))
    assert torch.equal(product.sort(1).values, number.expand(120, 120))
    assert torch.equal(product[0], number)
    assert torch.equal(product[:, 0], number)
    assert torch.equal(product[product], product[number[:, None, None], product])  # (x*y)*z and x*(y*z)
    inverse = inverses(product)
    assert (product[number, inverse] == 0).all()
    assert (product[inverse, number] == 0).all()


def test_elements_are_in_lexicographic_order():
    """Numbers 0, 1 and 119 are the identity, the last two exchanged, and the reversal."""
    assert elements(5)[[0, 1, 119]].tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 4, 3], [4, 3, 2, 1, 0]]


def test_degree_six_composes_as_tuples_do():
    """Pairs spread over the largest group have the composed permutation's number."""
    task = Permutations(degree=6)
    x, y = task.cells(torch.arange(0, task.size, 4_999))
    group = list(itertools.permutations(range(6)))
    assert [group[z] for z in y.tolist()] == [compose(group[a], group[b]) for a, _, b, _ in x.tolist()]


def test_a_conjugate_undoes_what_it_did():
    """The conjugate x * y * x^-1 with x = (1 2 0), y = (1 0 2) is (0 2 1), by hand."""
    task = Permutations(degree=3, operation="x*y*x^-1")
    x, y = task.cells(torch.tensor(3 * 6 + 2))
    assert task.show(x, y) == "x*y*x^-1 = (0 2 1) at x = (1 2 0), y = (1 0 2)"


def test_permutations_have_no_mirrors():
    """No operation is symmetric, so cells are never paired."""
    assert all(Permutations(operation=operation).mirror(torch.arange(3)) is None for operation in FORMULAS)

"""Modular operations on numbers in digits against Python's whole numbers."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets.binary_operations import RULES
from deepboot.datasets.modular_digits import ModularDigits
from tests.bootstrap.conftest import parity

KEY_12 = streams.keys((0,), "data")
WHOLE = {
    "x+y": lambda x, y: x + y,
    "x-y": lambda x, y: x - y,
    "x*y": lambda x, y: x * y,
    "x^2+y^2": lambda x, y: x**2 + y**2,
    "x^2+xy+y^2": lambda x, y: x**2 + x * y + y**2,
    "x^2+xy+y^2+x": lambda x, y: x**2 + x * y + y**2 + x,
    "x^3+xy": lambda x, y: x**3 + x * y,
    "x^3+xy^2+y": lambda x, y: x**3 + x * y**2 + y,
}


def number(digits, base):
    """The whole number that these digits write."""
    return sum(digit * base**place for place, digit in enumerate(reversed(digits)))


@pytest.mark.parametrize("operation", WHOLE)
@pytest.mark.parametrize(
    ("modulus", "largest", "base"),
    [(67, 999_999, 1_000), (12, 50, 10), (2**31 - 1, 2**31 - 1, 10), (1_000, 7, 2)],
)
def test_labels_are_the_operation_on_the_whole_numbers(operation, modulus, largest, base):
    """Read off the digits and reduced at the end, without an overflow at the largest modulus."""
    task = ModularDigits(operation=operation, modulus=modulus, largest_operand=largest, base=base)
    n = task.inputs.length // 2 - 1
    x, y = task.sample(KEY_12, torch.arange(200)[None])
    for row, label in zip(x[0].tolist(), y[0].tolist(), strict=True):
        a, b = number(row[:n], base), number(row[n + 1 : -1], base)
        assert (1 <= a <= largest, 1 <= b <= largest, row[n], row[-1]) == (True, True, base, base + 1)
        assert label == WHOLE[operation](a, b) % modulus


def test_products_are_as_frequent_as_counted():
    """Among all 30 * 30 pairs modulo 6, where 0 is the most frequent."""
    task = ModularDigits(modulus=6, largest_operand=30)
    expected = Counter(a * b % 6 for a in range(1, 31) for b in range(1, 31))
    found = Counter(task.sample(KEY_12, torch.arange(9_000)[None]).y[0].tolist())
    assert chisquare([found[k] for k in range(6)], [10 * expected[k] for k in range(6)]).pvalue > 1e-3


def test_the_same_index_asks_the_same_pair_whatever_the_operation():
    """Numbers are drawn before anything is done to them."""
    one, other = (ModularDigits(operation=name).sample(KEY_12, torch.arange(9)[None]).x for name in ("x+y", "x*y"))
    assert torch.equal(one, other)


@pytest.mark.parametrize("operation", sorted(set(RULES) - set(WHOLE)))
def test_operations_that_divide_are_refused(operation):
    """A number may be 0 modulo p."""
    with pytest.raises(StudyError) as refused:
        runs_of(parity(task={"name": "modular_digits", "operation": operation}))
    assert refused.value.problems == [
        f"`task`: operation must not divide, since numbers may be 0 modulo 67, got {operation!r}. Choose one of "
        f"{', '.join(map(repr, WHOLE))}."
    ]


def test_a_pair_is_shown_as_an_equation():
    """In decimal, whatever the base."""
    task = ModularDigits(largest_operand=999, base=2, modulus=7)
    assert task.show(*task.samples_of(torch.tensor([12, 3]))) == "12 * 3 = 1 (mod 7)"

import itertools
import re
from typing import get_args

import pytest
import torch

from deepboot.bootstrap.task import Tokens
from deepboot.datasets.binary_operations import RULES, BinaryOperations, Operation

FORMULAS = {
    "x+y": lambda x, y, p: x + y,
    "x-y": lambda x, y, p: x - y,
    "x*y": lambda x, y, p: x * y,
    "x/y": lambda x, y, p: x * pow(y, -1, p),
    "x/y if y odd else x-y": lambda x, y, p: x * pow(y, -1, p) if y % 2 else x - y,
    "x^2+y^2": lambda x, y, p: x**2 + y**2,
    "x^2+xy+y^2": lambda x, y, p: x**2 + x * y + y**2,
    "x^2+xy+y^2+x": lambda x, y, p: x**2 + x * y + y**2 + x,
    "x^3+xy": lambda x, y, p: x**3 + x * y,
    "x^3+xy^2+y": lambda x, y, p: x**3 + x * y**2 + y,
}
DIVISIONS = ["x/y", "x/y if y odd else x-y"]
OTHERS = [operation for operation in FORMULAS if operation not in DIVISIONS]


def table(task):
    """All (x, y, answer) of a task, in the order of its cells."""
    tokens, answer = task.cells(torch.arange(task.size))
    return [(x, y, z) for (x, _, y, _), z in zip(tokens.tolist(), answer.tolist(), strict=True)]


def test_the_ten_operations_of_power_et_al_are_all_here():
    """Names in the schema, rules and the formulas they are tested against are the same ten."""
    assert list(get_args(Operation)) == list(RULES) == list(FORMULAS)
    assert len(RULES) == 10


@pytest.mark.parametrize("operation", FORMULAS)
@pytest.mark.parametrize("modulus", [2, 3, 5, 7])
def test_answers_follow_the_formula(operation, modulus):
    """Every cell of a prime modulus has the answer that whole-number arithmetic gives, x first, y counting up."""
    first = 1 if operation == "x/y" else 0
    expected = [
        (x, y, FORMULAS[operation](x, y, modulus) % modulus) for x in range(modulus) for y in range(first, modulus)
    ]
    assert table(BinaryOperations(operation=operation, modulus=modulus)) == expected


@pytest.mark.parametrize("operation", OTHERS)
def test_a_modulus_need_not_be_prime_without_division(operation):
    """Modulo 6 the operations that do not divide are right too."""
    expected = [(x, y, FORMULAS[operation](x, y, 6) % 6) for x in range(6) for y in range(6)]
    assert table(BinaryOperations(operation=operation, modulus=6)) == expected


@pytest.mark.parametrize("operation", FORMULAS)
@pytest.mark.parametrize("modulus", [99_991, 2**31 - 1])
def test_large_moduli_do_not_overflow(operation, modulus):
    """With a modulus of up to 31 bits the last cells and some between are still exact."""
    task = BinaryOperations(operation=operation, modulus=modulus)
    number = [task.size - 1, task.size - 2, task.size // 2 + 12_345, task.size // 3, modulus + 1, 0]
    tokens, answer = task.cells(torch.tensor(number))
    assert answer.tolist() == [FORMULAS[operation](x, y, modulus) % modulus for x, _, y, _ in tokens.tolist()]
    assert tokens[0].tolist() == [modulus - 1, modulus, modulus - 1, modulus + 1]


def test_worked_example():
    """5 + 7 = 12 modulo 97 is cell 5 * 97 + 7, written as the tokens 5 op 7 =."""
    task = BinaryOperations()
    x, y = task.cells(torch.tensor(5 * 97 + 7))
    assert (x.tolist(), y.item()) == ([5, 97, 7, 98], 12)
    assert (task.size, task.classes, task.inputs.vocab) == (97**2, 97, 99)


@pytest.mark.parametrize("operation", OTHERS)
@pytest.mark.parametrize("modulus", [5, 7])
def test_declared_symmetry_is_true(operation, modulus):
    """Exactly the operations declared symmetric give the same answer for (x, y) and (y, x) everywhere."""
    rule = FORMULAS[operation]
    pairs = itertools.product(range(modulus), repeat=2)
    assert RULES[operation].symmetric == all(
        (rule(x, y, modulus) - rule(y, x, modulus)) % modulus == 0 for x, y in pairs
    )


def test_divisions_are_not_symmetric():
    """Operations that divide are declared as such and have no mirrors."""
    assert [operation for operation, rule in RULES.items() if rule.divides] == DIVISIONS
    for operation in [*DIVISIONS, "x-y"]:
        assert BinaryOperations(operation=operation, modulus=5).mirror(torch.arange(4)) is None


def test_mirror_exchanges_the_operands():
    """The mirror of 2 * 3 is 3 * 2, and 4 * 4 is its own."""
    task = BinaryOperations(operation="x*y", modulus=5)
    assert task.mirror(torch.tensor([2 * 5 + 3, 4 * 5 + 4])).tolist() == [3 * 5 + 2, 4 * 5 + 4]


@pytest.mark.parametrize("modulus", [2, 6, 67])
def test_unordered_pairs_come_once(modulus):
    """Cells are all pairs x <= y, counted along x within y, and have no mirrors."""
    task = BinaryOperations(modulus=modulus, unordered_pairs=True)
    assert table(task) == [(x, y, (x + y) % modulus) for y in range(modulus) for x in range(y + 1)]
    assert task.mirror(torch.arange(3)) is None


@pytest.mark.parametrize("modulus", [99_991, 2**31 - 1])
def test_unordered_pairs_are_found_where_the_square_root_is_rounded(modulus):
    """At the ends of long rows no pair is off by one."""
    task = BinaryOperations(modulus=modulus, unordered_pairs=True)
    for y in (modulus - 1, modulus - 2, modulus // 2):
        start = y * (y + 1) // 2
        x = task.cells(torch.tensor([start - 1, start, start + 1, start + y])).x[:, [0, 2]]
        assert x.tolist() == [[y - 1, y - 1], [0, y], [1, y], [y, y]]


def test_an_equation_is_shown_as_one_writes_it():
    """Simple operations are shown with their operands in place, polynomials with their formula."""
    shown = {}
    for operation in ("x/y", "x^2+xy+y^2"):
        task = BinaryOperations(operation=operation, modulus=7)
        x, y = task.cells(torch.tensor(5 * (6 if operation == "x/y" else 7) + 2))
        shown[operation] = task.show(x, y)
    assert shown == {"x/y": "5 / 3 = 4 (mod 7)", "x^2+xy+y^2": "x^2+xy+y^2 = 4 (mod 7) at x = 5, y = 2"}


@pytest.mark.parametrize("operation", ["x+y", "x/y"])
def test_the_sign_of_the_operation_may_be_left_out(operation):
    """The same pairs and answers in three tokens, "=" being p; shown as before."""
    whole, short = (BinaryOperations(operation=operation, modulus=7, tokens=tokens) for tokens in ("x op y =", "x y ="))
    number = torch.arange(whole.size)
    (x, y), (x_short, y_short) = whole.cells(number), short.cells(number)
    assert torch.equal(y, y_short)
    assert torch.equal(x_short[:, :2], x[:, [0, 2]])
    assert (x_short[:, 2] == 7).all()
    assert short.inputs == Tokens(vocab=8, length=3, varying=(0, 1), operands=7)
    assert short.show(x_short[9], y[9]) == whole.show(x[9], y[9])


@pytest.mark.parametrize(("modulus", "nearest"), [(98, 97), (4, 3), (95, 97), (1, 2)])
@pytest.mark.parametrize("operation", DIVISIONS)
def test_division_needs_a_prime(operation, modulus, nearest):
    """A modulus that is not prime is refused with the nearest prime, the smaller of two."""
    sentence = (
        f"modulus must be prime for operation '{operation}', which divides by y, got {modulus}. "
        f"Set modulus to {nearest}, the nearest prime, or choose another operation."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        BinaryOperations(operation=operation, modulus=modulus)


def test_unordered_pairs_need_a_symmetric_operation():
    """Pairs whose order matters are not thrown together."""
    sentence = (
        "unordered_pairs needs an operation in which x and y can be exchanged, got 'x-y'. "
        "Set unordered_pairs to false, or choose one of 'x+y', 'x*y', 'x^2+y^2', 'x^2+xy+y^2'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        BinaryOperations(operation="x-y", unordered_pairs=True)

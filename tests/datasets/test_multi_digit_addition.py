import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.datasets.multi_digit_addition import MultiDigitAddition

KEY_12 = streams.keys((0,), "data")


def draw(task, count):
    x, y = task.sample(KEY_12, torch.arange(count).view(1, -1))
    return x[0], y[0]


def number(digits, base):
    """The whole number that these digits write."""
    return sum(digit * base**place for place, digit in enumerate(reversed(digits)))


@pytest.mark.parametrize("shows_answers", [True, False])
@pytest.mark.parametrize(("num_digits", "base"), [(1, 10), (5, 10), (20, 2), (3, 16), (25, 10)])
def test_labels_are_the_digits_of_the_sum(num_digits, base, shows_answers):
    """Reading a and b off the input and adding them as whole numbers gives the labels, the highest digit first."""
    n = num_digits
    x, y = draw(MultiDigitAddition(num_digits=n, base=base, shows_answers=shows_answers), 50)
    for row, label in zip(x.tolist(), y.tolist(), strict=True):
        assert number(row[:n], base) + number(row[n + 1 : 2 * n + 1], base) == number(label, base)
        assert (row[n], row[2 * n + 1]) == (base, base + 1)
        assert row[2 * n + 2 :] == (label[:-1] if shows_answers else [base + 2] * n)


def test_worked_example():
    """47 + 85 = 132 is laid out as the docstring says."""
    task = MultiDigitAddition(num_digits=2)
    x, y = draw(task, 30_000)
    found = (x[:, [0, 1, 3, 4]] == torch.tensor([4, 7, 8, 5])).all(-1).nonzero()[0, 0]
    assert x[found].tolist() == [4, 7, 10, 8, 5, 11, 1, 3]
    assert y[found].tolist() == [1, 3, 2]
    assert task.show(x[found], y[found]) == "47 + 85 = 132"


def test_digits_of_a_large_base_are_shown_apart():
    """From base 11 on digits are separated by blanks."""
    task = MultiDigitAddition(num_digits=2, base=16)
    x = torch.tensor([1, 12, 16, 15, 4, 17, 1, 1])
    assert task.show(x, torch.tensor([1, 1, 0])) == "1 12 + 15 4 = 1 1 0"


def test_logits_stand_where_the_answers_are_asked():
    """The last num_digits + 1 positions begin at "="; only shown answers make a causal model necessary."""
    shown, hidden = (
        MultiDigitAddition(num_digits=3).inputs,
        MultiDigitAddition(num_digits=3, shows_answers=False).inputs,
    )
    assert (shown.length, shown.answers, shown.vocab, shown.shows_answers) == (11, 4, 12, True)
    assert (hidden.length, hidden.answers, hidden.vocab, hidden.shows_answers) == (11, 4, 13, False)
    assert shown.varying == (0, 1, 2, 4, 5, 6, 8, 9, 10)
    assert hidden.varying == (0, 1, 2, 4, 5, 6)
    x, _ = draw(MultiDigitAddition(num_digits=3), 1)
    assert x[0, -shown.answers] == 11


def test_showing_answers_changes_no_question():
    """The same index asks the same sum in both forms."""
    shown, hidden = (draw(MultiDigitAddition(shows_answers=shows), 20) for shows in (True, False))
    assert torch.equal(shown[0][:, :12], hidden[0][:, :12])
    assert torch.equal(shown[1], hidden[1])


def test_digits_are_uniform_at_every_place():
    """Each of three digits stands at each place of both numbers in about a third of 3,000 samples."""
    x, _ = draw(MultiDigitAddition(num_digits=2, base=3), 3_000)
    share = torch.nn.functional.one_hot(x[:, [0, 1, 3, 4]], 5)[..., :3].double().mean(0)
    assert (share - 1 / 3).abs().max() < 4 * (2 / 9 / 3_000) ** 0.5

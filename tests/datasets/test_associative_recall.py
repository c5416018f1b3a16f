"""Associative recall: the label by looking through the pairs, and the distribution of all draws."""

from collections import Counter
from itertools import permutations

import pytest
import torch
from scipy.stats import chisquare

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets.associative_recall import AssociativeRecall
from tests.bootstrap.conftest import parity

KEY_12 = streams.keys((0,), "data")


def draw(task, count):
    """Sequences and labels as lists."""
    x, y = task.sample(KEY_12, torch.arange(count)[None])
    return x[0].tolist(), y[0].tolist()


@pytest.mark.parametrize(("num_pairs", "num_keys", "num_values"), [(1, 2, 2), (5, 5, 3), (8, 32, 32), (20, 300, 4)])
def test_the_label_is_the_value_that_stands_behind_the_query(num_pairs, num_keys, num_values):
    """Read as a dictionary; keys are different, and both alphabets apart."""
    task = AssociativeRecall(num_pairs=num_pairs, num_keys=num_keys, num_values=num_values)
    for sequence, label in zip(*draw(task, 200), strict=True):
        *pairs, query = sequence
        keys, values = pairs[::2], pairs[1::2]
        assert len(set(keys)) == len(keys) == num_pairs
        assert all(key < num_keys for key in keys)
        assert all(num_keys <= value < num_keys + num_values for value in values)
        assert label == dict(zip(keys, values, strict=True))[query] - num_keys


def test_draws_are_uniform():
    """Ordered keys, values, and the place of the query pass a chi-square test of their uniform distributions."""
    sequences, _ = draw(AssociativeRecall(num_pairs=3, num_keys=4, num_values=5), 6_000)
    keys = Counter(tuple(sequence[:-1:2]) for sequence in sequences)
    values = Counter(tuple(sequence[1::2]) for sequence in sequences)
    places = Counter(sequence[:-1:2].index(sequence[-1]) for sequence in sequences)
    assert set(keys) == set(permutations(range(4), 3))
    assert len(values) == 5**3
    for counts in (keys, values, places):
        assert chisquare(list(counts.values())).pvalue > 1e-3
    assert len(places) == 3


def test_place_and_value_of_the_answer_are_independent():
    """No place has a value of its own: chi-square over all pairs of them."""
    sequences, labels = draw(AssociativeRecall(num_pairs=3, num_keys=4, num_values=4), 6_000)
    both = Counter((s[:-1:2].index(s[-1]), label) for s, label in zip(sequences, labels, strict=True))
    assert len(both) == 12
    assert chisquare(list(both.values())).pvalue > 1e-3


def test_fewer_keys_than_pairs_are_refused():
    """By a sentence with the cure."""
    with pytest.raises(StudyError) as refused:
        runs_of(parity(task={"name": "associative_recall", "num_pairs": 40}))
    assert refused.value.problems == [
        "`task`: num_keys must be at least num_pairs = 40, since no key comes twice, got 32. "
        "Raise it or lower num_pairs."
    ]


def test_pairs_are_shown_with_their_values():
    """Values by their number, not by their token; the example of the docstring."""
    task = AssociativeRecall(num_pairs=2, num_keys=4, num_values=3)
    assert task.show(torch.tensor([2, 5, 0, 4, 2]), torch.tensor(1)) == "2: 1, 0: 0; 2 -> 1"

"""Skip trigrams: the label by search and table, and the distribution of all draws."""

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets.skip_trigram import SkipTrigram
from tests.bootstrap.conftest import parity

KEY_12 = streams.keys((0,), "data")


def draw(task, count):
    """Sequences and labels as lists."""
    x, y = task.sample(KEY_12, torch.arange(count)[None])
    return x[0].tolist(), y[0].tolist()


def firsts(sequence, num_firsts):
    """Positions and tokens that can stand first in a trigram."""
    return [(place, token) for place, token in enumerate(sequence) if token < num_firsts]


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_firsts": 3, "num_lasts": 5, "num_labels": 7, "num_fillers": 2, "length": 2}, {"table_seed": 4}],
)
def test_the_label_is_looked_up_by_the_first_and_the_last_token(settings):
    """There is exactly one first, before the end; everything else is a filler."""
    task = SkipTrigram(**settings)
    table, fillers = task.table.tolist(), task.num_firsts + task.num_lasts
    for sequence, label in zip(*draw(task, 300), strict=True):
        *before, last = sequence
        ((place, first),) = firsts(before, task.num_firsts)
        assert task.num_firsts <= last < fillers
        others = before[:place] + before[place + 1 :]
        assert all(fillers <= token < fillers + task.num_fillers for token in others)
        assert label == table[first][last - task.num_firsts]


def test_draws_are_uniform():
    """Trigrams, positions and fillers pass a chi-square test of their uniform distributions."""
    task = SkipTrigram(num_firsts=3, num_lasts=4, num_fillers=5, num_labels=9, length=6)
    sequences, _ = draw(task, 6_000)
    found = [firsts(sequence, 3)[0] for sequence in sequences]
    trigrams = Counter((first, sequence[-1]) for (_, first), sequence in zip(found, sequences, strict=True))
    places = Counter(place for place, _ in found)
    fillers = Counter(token for sequence in sequences for token in sequence if token >= 7)
    for counts, number in ((trigrams, 12), (places, 5), (fillers, 5)):
        assert len(counts) == number
        assert chisquare(list(counts.values())).pvalue > 1e-3


def test_entries_of_the_table_are_uniform_and_the_same_for_all_runs():
    """Over 4,096 trigrams; another seed gives another table, and no key of a run changes it."""
    task = SkipTrigram(num_firsts=64, num_lasts=64, num_labels=8)
    assert chisquare(task.table.flatten().bincount(minlength=8).tolist()).pvalue > 1e-3
    assert torch.equal(task.table, SkipTrigram(num_firsts=64, num_lasts=64, num_labels=8, length=9).table)
    assert not torch.equal(SkipTrigram().table, SkipTrigram(table_seed=1).table)


def test_a_table_of_one_label_is_refused():
    """Where two labels fall on four trigrams, a seed may give the same to all."""
    small = {"name": "skip_trigram", "num_firsts": 2, "num_lasts": 2, "num_labels": 2}
    keys = {seed: streams.keys([seed], "table") for seed in range(60)}
    tables = {seed: streams.integers(key, torch.arange(2)[None], 2, 2).flatten() for seed, key in keys.items()}
    seed, label = next((seed, int(table[0])) for seed, table in tables.items() if len(table.unique()) == 1)
    with pytest.raises(StudyError) as refused:
        runs_of(parity(task={**small, "table_seed": seed}))
    assert refused.value.problems == [
        f"`task`: table_seed must give a table of different labels, got {seed}, by which all 4 are {label}. "
        "Choose another one or raise num_labels."
    ]


def test_a_sequence_is_shown_with_its_label():
    """Tokens are written apart, as in the docstring."""
    task = SkipTrigram(num_firsts=2, num_lasts=2, num_fillers=2, length=5)
    assert task.show(torch.tensor([4, 1, 5, 5, 3]), torch.tensor(7)) == "4 1 5 5 3 -> 7"

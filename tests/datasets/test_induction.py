import torch
from scipy.stats import chisquare

from deepboot.bootstrap import streams
from deepboot.datasets.induction import Induction

KEY_12 = streams.keys((0,), "data")


def draw(task, count):
    x, y = task.sample(KEY_12, torch.arange(count).view(1, -1))
    return x[0].tolist(), y[0].tolist()


def places(sequences):
    """Where the last token stood before, found by search."""
    return [sequence.index(sequence[-1]) for sequence in sequences]


def test_the_label_followed_the_only_earlier_query():
    """The last token occurs once before, and the label is the token after that place."""
    for sequence, label in zip(*draw(Induction(vocab=8, length=10), 300), strict=True):
        assert sequence[:-1].count(sequence[-1]) == 1
        assert label == sequence[sequence.index(sequence[-1]) + 1]
        assert label != sequence[-1]


def test_the_shortest_sequence_is_query_answer_query():
    """With three places the label is the middle one."""
    for sequence, label in zip(*draw(Induction(vocab=3, length=3), 30), strict=True):
        assert sequence == [sequence[0], label, sequence[0]]


def test_draws_are_uniform():
    """Query, place, label and the other tokens pass a chi-square test of their uniform distributions."""
    task = Induction(vocab=6, length=7)
    sequences, labels = draw(task, 4_000)
    place = places(sequences)
    others = [(s[i] - s[-1]) % 6 for s in sequences for i in range(6) if s[i] != s[-1]]
    label_shift = [(label - s[-1]) % 6 for s, label in zip(sequences, labels, strict=True)]
    for values, support in (([s[-1] for s in sequences], range(6)), (place, range(5)),
                            (others, range(1, 6)), (label_shift, range(1, 6))):  # fmt: skip
        assert set(values) == set(support)
        assert chisquare([values.count(value) for value in support]).pvalue > 1e-3


def test_other_tokens_may_repeat():
    """The answer is not given away by being the only token that occurs once."""
    sequences, _ = draw(Induction(vocab=6, length=7), 200)
    assert any(len(set(sequence)) < len(sequence) - 1 for sequence in sequences)


def test_a_sequence_is_shown_with_its_answer():
    """Tokens are written apart, then the label."""
    assert Induction(vocab=6, length=6).show(torch.tensor([3, 1, 4, 1, 0, 4]), torch.tensor(1)) == "3 1 4 1 0 4 -> 1"

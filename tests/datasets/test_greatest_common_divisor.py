"""Greatest common divisors against Euclid's algorithm and exact counts of all pairs."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from scipy.stats import chisquare

from deepboot.bootstrap import streams
from deepboot.bootstrap.samples.source import TEST_START, SampleSource
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets.greatest_common_divisor import GreatestCommonDivisor
from tests.bootstrap.conftest import parity

KEY_12 = streams.keys((0,), "data")
STRATIFIED = {"name": "greatest_common_divisor", "largest_operand": 60, "largest_outcome": 5, "test": "stratified"}


def read(x, base):
    """The two numbers of a sequence, by Horner's rule, and its two signs."""
    n = len(x) // 2 - 1
    numbers = []
    for digits in (x[:n], x[n + 1 : -1]):
        value = 0
        for digit in digits:
            assert 0 <= digit < base
            value = base * value + digit
        numbers.append(value)
    return (*numbers, x[n], x[-1])


def euclid(a, b):
    """The greatest common divisor by repeated subtraction of remainders."""
    while b:
        a, b = b, a % b
    return a


def pairs(samples, base):
    """Both numbers and the label of every sample."""
    return [(*read(x, base)[:2], label) for x, label in zip(samples.x[0].tolist(), samples.y[0].tolist(), strict=True)]


@pytest.mark.parametrize("operands", ["uniform", "log_uniform"])
@pytest.mark.parametrize(("largest", "base"), [(999_999, 10), (999_999, 1_000), (30, 2), (2**31 - 1, 4_000)])
def test_labels_are_the_divisor_or_zero_above_the_largest_outcome(largest, base, operands):
    """Reading a and b off the input, Euclid's algorithm finds the label; signs stand where they should."""
    task = GreatestCommonDivisor(largest_operand=largest, base=base, operands=operands, largest_outcome=12)
    x, y = task.sample(KEY_12, torch.arange(400)[None])
    for row, label in zip(x[0].tolist(), y[0].tolist(), strict=True):
        a, b, sign, equals = read(row, base)
        assert (1 <= a <= largest, 1 <= b <= largest, sign, equals) == (True, True, base, base + 1)
        divisor = euclid(a, b)
        assert label == (divisor if divisor <= 12 else 0)


def test_a_number_has_as_many_digits_as_the_largest():
    """From the power of the base on there is one more; "=" is last."""
    lengths = {largest: GreatestCommonDivisor(largest_operand=largest).inputs.length for largest in (999, 1_000)}
    assert lengths == {999: 8, 1_000: 10}
    assert GreatestCommonDivisor(base=1_000).inputs.length == 6
    inputs = GreatestCommonDivisor(largest_operand=99, largest_outcome=7).inputs
    assert (inputs.vocab, inputs.varying, inputs.operands) == (12, (0, 1, 3, 4), 10)
    assert GreatestCommonDivisor(largest_operand=99, largest_outcome=7).classes == 8


def test_uniform_pairs_are_uniform():
    """All 36 pairs of 1 .. 6 are equally frequent."""
    task = GreatestCommonDivisor(largest_operand=6, base=7, largest_outcome=6)
    counts = Counter((a, b) for a, b, _ in pairs(task.sample(KEY_12, torch.arange(7_200)[None]), 7))
    assert len(counts) == 36
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_divisors_of_uniform_pairs_are_as_frequent_as_counted():
    """Among all 40 * 40 pairs, and classes above the largest outcome together."""
    task = GreatestCommonDivisor(largest_operand=40, largest_outcome=6)
    expected = Counter(d if (d := math.gcd(a, b)) <= 6 else 0 for a in range(1, 41) for b in range(1, 41))
    found = Counter(task.sample(KEY_12, torch.arange(16_000)[None]).y[0].tolist())
    assert chisquare([found[k] for k in range(7)], [10 * expected[k] for k in range(7)]).pvalue > 1e-3


@pytest.mark.parametrize("largest", [9, 999_999])
def test_log_uniform_numbers_have_the_stated_distribution(largest):
    """Single numbers up to 9, and powers of ten of larger ones, have probability log(k + 1) - log(k), both operands."""
    task = GreatestCommonDivisor(largest_operand=largest, operands="log_uniform", largest_outcome=2)
    drawn = pairs(task.sample(KEY_12, torch.arange(6_000)[None]), 10)
    edges = range(1, 11) if largest == 9 else [10**power for power in range(7)]
    expected = [6_000 * math.log(end / start) / math.log(largest + 1) for start, end in pairwise(edges)]
    for operand in (0, 1):
        values = [pair[operand] for pair in drawn]
        found = [sum(start <= value < end for value in values) for start, end in pairwise(edges)]
        assert sum(found) == 6_000
        assert chisquare(found, expected).pvalue > 1e-3


def test_log_uniform_numbers_are_a_power_rounded_down():
    """(largest + 1) to the power of 48 random bits, in Python's own arithmetic."""
    largest = 999_999
    word = streams.words(KEY_12, torch.arange(500)[None], 4)[0].tolist()
    task = GreatestCommonDivisor(largest_operand=largest, operands="log_uniform")
    for (a, b, _), words in zip(pairs(task.sample(KEY_12, torch.arange(500)[None]), 10), word, strict=True):
        for number, upper, lower in ((a, *words[:2]), (b, *words[2:])):
            u = ((upper % 2**32) * 2**16 + (lower % 2**32) // 2**16) / 2**48
            assert number == math.floor((largest + 1) ** u)


def test_stratified_tests_have_every_divisor_equally_often():
    """Divisors 1 .. 5 are uniform, and for each one all its pairs with numbers up to 60 are."""
    task = build_task(STRATIFIED)
    drawn = pairs(task.sample_test(KEY_12, torch.arange(30_000)[None]), 10)
    divisors = Counter(label for _, _, label in drawn)
    assert set(divisors) == set(range(1, 6))
    assert chisquare(list(divisors.values())).pvalue > 1e-3
    for k in (4, 5):
        possible = [(a, b) for a in range(k, 61, k) for b in range(k, 61, k) if math.gcd(a, b) == k]
        counts = Counter((a, b) for a, b, label in drawn if label == k)
        assert set(counts) <= set(possible)
        assert chisquare([counts[pair] for pair in possible]).pvalue > 1e-3


def test_a_stratified_test_sample_is_its_own():
    """It depends on its index alone, though each pair is drawn until it is coprime."""
    task, index = GreatestCommonDivisor(test="stratified"), TEST_START + torch.arange(200)[None]
    all_of_them = task.sample_test(KEY_12, index)
    for one in (0, 77, 199):
        alone = task.sample_test(KEY_12, index[:, one : one + 1])
        assert torch.equal(alone.x, all_of_them.x[:, one : one + 1])
        assert torch.equal(alone.y, all_of_them.y[:, one : one + 1])


def test_the_harness_tests_on_the_stratified_pairs_and_trains_on_natural_ones():
    """Every member has a test of its own, the same in both worlds; training samples are not stratified."""
    raw = parity(task=STRATIFIED, data={"test_samples": 2_000}, training__seeds=2)
    runs = runs_of(raw)
    source = SampleSource(build_task(runs[0].task), runs)
    test = source.test()
    assert [(run.seed, run.rule) for run in runs] == [(0, "real"), (1, "real"), (0, "ideal"), (1, "ideal")]
    assert torch.equal(test.x[0], test.x[2])
    assert not torch.equal(test.x[0], test.x[1])
    assert min(test.y[0].bincount()[1:].tolist()) > 300
    train = source.train(slice(0, 1), torch.arange(2_000)[None])
    assert train.y[0].bincount()[1] > 1_100


@pytest.mark.parametrize("operands", ["uniform", "log_uniform"])
def test_a_natural_test_is_distributed_as_training(operands):
    """It is the samples of the same indices."""
    task, index = GreatestCommonDivisor(operands=operands), torch.arange(50)[None]
    assert torch.equal(task.sample_test(KEY_12, index).x, task.sample(KEY_12, index).x)


def test_a_largest_outcome_that_no_pair_has_is_refused():
    """By a sentence with the cure."""
    with pytest.raises(StudyError) as refused:
        runs_of(parity(task={"name": "greatest_common_divisor", "largest_operand": 50}))
    assert refused.value.problems == [
        "`task`: largest_outcome must be at most largest_operand = 50, got 100. Lower it or raise largest_operand."
    ]


def test_large_divisors_are_shown_as_such():
    """Label 0 has no number."""
    task = GreatestCommonDivisor(largest_operand=999, largest_outcome=100)
    assert task.show(*task.samples_of(torch.tensor([404, 202]))) == "gcd(404, 202) > 100"

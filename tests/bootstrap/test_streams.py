"""Counter-based randomness: published vectors, statistics, and independence of what else was asked."""

import itertools
import math
import random
import shutil

import numpy as np
import pytest
import torch
from scipy import stats

from deepboot.bootstrap import streams
from tests.bootstrap.training.test_pack import Called

ONE = streams.keys([0], "data")
TWO = streams.keys([0, 1], "data")
FAR = 1 << 47


def word(value):
    """An unsigned 32-bit word as the int32 tensor of the same bits."""
    return torch.tensor(value - (1 << 32) if value >= 1 << 31 else value, dtype=torch.int32)


def unsigned(tensor):
    """The bits of int32 words as non-negative numbers, int64."""
    return tensor.to(torch.int64) & 0xFFFFFFFF


def chi_square(counts):
    """P-value of equal probabilities."""
    return stats.chisquare(np.asarray(counts)).pvalue


def distances(first, second):
    """Number of bits in which words differ."""
    return np.array([int(x).bit_count() for x in unsigned(first ^ second).flatten()])


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_known_answers(key, counter, expected):
    """Zeros, ones and the digits of pi of Random123's file kat_vectors, threefry2x32 with 20 rounds."""
    found = streams.threefry(*map(word, key), *map(word, counter))
    assert tuple(unsigned(w).item() for w in found) == expected


def test_threefry_leaves_its_arguments_as_they_are():
    """It computes in place, in memory of its own, also where a key or a counter is as large as the result."""
    for shapes in itertools.product([(), (1,), (3,)], repeat=4):
        parts = [torch.full(shape, 7, dtype=torch.int32) for shape in shapes]
        both = streams.threefry(*parts)
        assert all((part == 7).all() for part in parts)
        assert both[0].data_ptr() != both[1].data_ptr()


def test_threefry_takes_five_operations_a_round():
    """Each is a kernel of its own on a GPU: 20 rounds of five, and 19 to make and add the parts of the key."""
    with Called() as called:
        streams.threefry(*torch.ones(4, 9, dtype=torch.int32).unbind())
    views = {"aten.unbind.int", "aten.ones.default", "aten.expand.default"}
    assert len([name for name in called.names if name not in views]) <= 20 * 5 + 19


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
def test_compiled_words_are_the_eager_ones():
    """To the last bit, as the noise of a compiled step draws them."""
    index = torch.tensor([[0, 2**32 + 5, FAR - 1, *range(30)]]).expand(2, -1)
    assert torch.equal(torch.compile(streams.words)(TWO, index, 5), streams.words(TWO, index, 5))


def test_threefry_is_a_bijection_of_its_counter():
    """Under one key no two counters give the same pair of words."""
    counter = torch.arange(1 << 12, dtype=torch.int32)
    pairs = torch.stack(streams.threefry(word(5), word(6), counter, word(0)), -1)
    assert len(torch.unique(pairs, dim=0)) == len(counter)


@pytest.mark.parametrize(
    ("seed", "stream", "expected"),
    [
        (0, "data", (1690464147, 64423367)),
        (7, "init", (-528379003, -1520747288)),
        (-1, "test", (1146157651, -101995116)),
    ],
)
def test_keys_never_change(seed, stream, expected):
    """Streams are part of every result: these literals may only change with ``run.MEANING``."""
    assert streams.key(seed, stream) == expected


def test_numbers_never_change():
    """Words, bits, integers, orders and subkeys of fixed keys and indices, also above 2**32."""
    index = torch.tensor([[0, 2**32 + 5, FAR - 1]]).expand(2, -1)
    assert streams.words(TWO, index, 3).tolist() == [
        [[-1897164518, -836387505, 734881846], [-913542134, -102051304, -459896037],
         [-268658822, 1686024003, -1280051928]],
        [[1419551265, 1120181550, 904582178], [-632938575, -1858553001, -268546654],
         [768550532, -409640078, -812455806]],
    ]  # fmt: skip
    assert streams.bits(TWO, index[:, :1], 8).tolist() == [[[0, 1, 0, 1, 1, 0, 0, 0]], [[1, 0, 0, 0, 0, 1, 0, 0]]]
    assert streams.integers(TWO, index[:, :2], 2, 97).tolist() == [[[54, 78], [76, 94]], [[32, 25], [82, 55]]]
    assert streams.uniform(TWO, index[:, :1], 1).flatten().tolist() == [0.5582819581031799, 0.3305150270462036]
    assert streams.permutation(TWO, torch.tensor([[0], [1 << 40]]), 6).tolist() == [
        [[3, 1, 2, 4, 0, 5]],
        [[2, 1, 3, 5, 0, 4]],
    ]
    assert streams.subkeys(TWO, "slots").tolist() == [[-1335726178, -1582028450], [1663510662, -1300481845]]


def test_normals_never_change_by_more_than_one_unit_in_the_last_place():
    """Box-Muller of fixed words."""
    found = streams.normal(TWO, torch.tensor([[0, FAR - 1]]).expand(2, -1), 2).flatten()
    expected = torch.tensor(
        [-0.811366617679596, 2.2420101165771484, 1.0038657188415527, -0.8036470413208008,
         0.04137207195162773, -0.6080352067947388, -0.7266761660575867, 0.4963673949241638]
    )  # fmt: skip
    assert torch.allclose(found, expected, rtol=1.2e-7, atol=0)


def test_keys_of_different_seeds_and_streams_differ():
    """All named streams of many seeds have keys of their own."""
    found = {streams.key(seed, name) for seed in range(-50, 200) for name in streams.STREAMS}
    assert len(found) == 250 * len(streams.STREAMS)


def test_keys_stack_the_key_of_every_seed():
    """One int32 row per member."""
    found = streams.keys([3, 1], "order")
    assert found.dtype == torch.int32
    assert [tuple(row) for row in found.tolist()] == [streams.key(3, "order"), streams.key(1, "order")]


def test_subkeys_differ_by_name_and_by_key_and_belong_to_their_own_key():
    """A subkey is a new key, and a member's does not depend on its neighbours."""
    names = [streams.subkeys(TWO, name) for name in ("a", "b")]
    rows = [tuple(row) for subkey in [TWO, *names] for row in subkey.tolist()]
    assert len(set(rows)) == 6
    assert torch.equal(streams.subkeys(TWO[1:], "a"), names[0][1:])


@pytest.mark.parametrize("seed", range(3))
def test_bytes_of_words_are_uniform(seed):
    """Chi-square over the 256 values of each of the four bytes, bounded on both sides."""
    found = unsigned(streams.words(streams.keys([seed], "data"), torch.arange(8192)[None], 2))
    for shift in (0, 8, 16, 24):
        counts = ((found >> shift) & 255).flatten().bincount(minlength=256)
        assert 1e-3 < chi_square(counts) < 1 - 1e-3


def test_bits_are_fair_and_neighbouring_bits_independent():
    """Every bit place has as many ones as zeros, and pairs of places come in all four forms."""
    found = streams.bits(ONE, torch.arange(20_000)[None], 40)[0]
    assert set(found.unique().tolist()) == {0, 1}
    ones = found.sum(0).numpy()
    assert stats.kstest([stats.binomtest(int(k), 20_000).pvalue for k in ones], "uniform").pvalue > 1e-3
    pair = (2 * found[:, :-1] + found[:, 1:]).flatten().bincount(minlength=4)
    assert 1e-3 < chi_square(pair) < 1 - 1e-3


@pytest.mark.parametrize("high", [2, 3, 97, 113])
def test_integers_are_uniform(high):
    """Chi-square over all values, none outside 0 .. high - 1."""
    found = streams.integers(ONE, torch.arange(20_000)[None], 2, high)
    assert found.dtype == torch.int64
    assert (found.min(), found.max()) == (0, high - 1)
    assert 1e-3 < chi_square(found.flatten().bincount(minlength=high)) < 1 - 1e-3


def test_the_largest_integers_stay_in_range():
    """With 2**31 values nothing overflows, and both halves are reached."""
    found = streams.integers(ONE, torch.arange(1000)[None], 1, 1 << 31)
    assert 0 <= found.min() < 1 << 24
    assert (1 << 31) - (1 << 24) < found.max() < 1 << 31


@pytest.mark.parametrize("high", [1, 7, 1_000_003, 1 << 31])
def test_wide_integers_are_64_bits_scaled_down(high):
    """In Python's whole numbers, which never overflow; every index may have a bound of its own."""
    index = torch.arange(200)[None]
    found = streams.wide_integers(ONE, index, 3, high)
    for row, words in zip(found[0].tolist(), streams.words(ONE, index, 6)[0].tolist(), strict=True):
        pairs = zip(words[::2], words[1::2], strict=True)
        assert row == [(((upper % 2**32) << 32) + lower % 2**32) * high >> 64 for upper, lower in pairs]
    bound = torch.arange(1, 201)[None, :, None]
    several = streams.wide_integers(ONE, index, 3, bound)
    for place in (0, 50, 199):
        own = streams.wide_integers(ONE, index[:, place : place + 1], 3, place + 1)
        assert torch.equal(several[:, place : place + 1], own)


def test_uniforms_are_uniform():
    """Kolmogorov-Smirnov, and all multiples of 2**-24 below 1."""
    found = streams.uniform(ONE, torch.arange(20_000)[None], 1).flatten()
    assert found.dtype == torch.float32
    assert 1e-3 < stats.kstest(found.double().numpy(), "uniform").pvalue < 1 - 1e-3
    assert torch.equal(found * 2**24, (found * 2**24).round())
    assert 0 <= found.min() < found.max() < 1


@pytest.mark.parametrize("place", [0, 1])
def test_normals_are_standard_normal(place):
    """Kolmogorov-Smirnov and four moments of the cosine's half and the sine's half."""
    found = streams.normal(ONE, torch.arange(50_000)[None], 2)[0, :, place].double().numpy()
    assert 1e-3 < stats.kstest(found, "norm").pvalue < 1 - 1e-3
    for order, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((found**order).mean() - mean) < 4 * math.sqrt(variance / len(found)), order


def test_both_halves_of_a_normal_pair_are_independent():
    """Neither the numbers nor their squares are correlated."""
    a, b = streams.normal(ONE, torch.arange(50_000)[None], 2)[0].double().numpy().T
    assert stats.pearsonr(a, b).pvalue > 1e-3
    assert stats.pearsonr(a**2, b**2).pvalue > 1e-3


def test_normals_are_finite_for_the_most_extreme_words(monkeypatch):
    """Words of all zeros, all ones and the extremes of int32 give finite numbers of at most 6.7."""
    extreme = torch.tensor([-(1 << 31), (1 << 31) - 1, 0, -1], dtype=torch.int32)
    pairs = torch.cartesian_prod(extreme, extreme)
    monkeypatch.setattr(streams, "words", lambda *_: pairs)
    found = streams.normal(ONE, torch.zeros(16, dtype=torch.int64), 2)
    assert found.isfinite().all()
    assert found.abs().max() < 6.8


def test_one_changed_bit_of_the_index_changes_half_of_the_word():
    """Avalanche: flipping any of an index's 47 bits flips 16 of 32 bits, as a binomial would."""
    index = torch.arange(400)[None] * 104_729
    for flipped in range(47):
        changed = distances(streams.words(ONE, index, 2), streams.words(ONE, index ^ (1 << flipped), 2))
        assert abs(changed.mean() - 16) < 4 * math.sqrt(8 / len(changed)), flipped


def test_one_changed_bit_of_the_key_changes_half_of_the_word():
    """Avalanche: flipping any of a key's 64 bits flips 16 of 32 bits on average."""
    index = torch.arange(400)[None]
    for part, flipped in itertools.product(range(2), range(32)):
        other = ONE.clone()
        other[0, part] ^= word(1 << flipped)
        changed = distances(streams.words(ONE, index, 2), streams.words(other, index, 2))
        assert abs(changed.mean() - 16) < 4 * math.sqrt(8 / len(changed)), (part, flipped)


def test_distances_between_neighbouring_samples_are_binomial():
    """Words of consecutive indices differ like independent words: chi-square against Binomial(32, 1/2)."""
    found = streams.words(ONE, torch.arange(20_001)[None], 1)[0, :, 0]
    counts = np.bincount(np.clip(distances(found[1:], found[:-1]), 8, 24), minlength=33)[8:25]
    expected = stats.binom.pmf(np.arange(33), 32, 0.5)
    expected = np.array([expected[:9].sum(), *expected[9:24], expected[24:].sum()]) * 20_000
    assert 1e-3 < stats.chisquare(counts, expected, sum_check=False).pvalue < 1 - 1e-3


@pytest.mark.parametrize("names", [("data", "test"), ("init", "init")])
def test_neighbouring_keys_give_uncorrelated_numbers(names):
    """Two streams of one seed, and one stream of neighbouring seeds."""
    seeds = (0, 0) if names[0] != names[1] else (0, 1)
    first, second = (
        streams.uniform(streams.keys([seed], name), torch.arange(20_000)[None], 1).flatten().numpy()
        for seed, name in zip(seeds, names, strict=True)
    )
    assert stats.pearsonr(first, second).pvalue > 1e-3


def test_numbers_of_one_sample_and_of_the_next_are_uncorrelated():
    """Words of one index among themselves, and with those of the next index."""
    found = streams.uniform(ONE, torch.arange(20_001)[None], 4)[0].double().numpy()
    for a, b in itertools.combinations(range(4), 2):
        assert stats.pearsonr(found[:, a], found[:, b]).pvalue > 1e-3
    for a, b in itertools.product(range(4), repeat=2):
        assert stats.pearsonr(found[1:, a], found[:-1, b]).pvalue > 1e-3


@pytest.mark.parametrize("number", [0, 1, FAR - 1])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_permutation_holds_every_item_once(size, number):
    """It is an order of 0 .. size - 1, of every size and number."""
    found = streams.permutation(TWO, torch.full((2, 1), number), size)
    assert found.shape == (2, 1, size)
    assert torch.equal(found.sort(-1).values, torch.arange(size).expand(2, 1, -1))


def test_permutations_differ_by_number_and_by_key():
    """Neighbouring numbers, far numbers and neighbouring keys all have their own order."""
    found = streams.permutation(TWO, torch.tensor([[0, 1, 2, 1 << 32, 1 << 46]]).expand(2, -1), 40)
    assert len(torch.unique(found.flatten(0, 1), dim=0)) == 10


def test_all_orders_are_equally_frequent():
    """Chi-square over the 3! orders of three things, over numbers of one key and over keys."""
    numbers = streams.permutation(ONE, torch.arange(6000)[None], 3)[0]
    keys = streams.permutation(streams.keys(range(6000), "order"), torch.zeros(6000, 1, dtype=torch.int64), 3)[:, 0]
    for found in (numbers, keys):
        counts = torch.unique(found, dim=0, return_counts=True)[1]
        assert len(counts) == 6
        assert 1e-3 < chi_square(counts) < 1 - 1e-3


def test_an_item_is_at_every_place_equally_often():
    """Chi-square over the places of every item of 11."""
    found = streams.permutation(ONE, torch.arange(5000)[None], 11)[0]
    for item in range(11):
        assert 1e-4 < chi_square((found == item).sum(0)) < 1 - 1e-4


@pytest.mark.parametrize("draw", [streams.words, streams.bits, streams.uniform, streams.normal])
def test_values_do_not_depend_on_what_else_was_asked(draw):
    """A slice of the indices, and fewer numbers per index, give the same numbers."""
    index = torch.arange(100, 160).view(1, 6, 10)
    whole = draw(TWO, index.expand(2, -1, -1), 70)
    assert whole.shape == (2, 6, 10, 70)
    assert torch.equal(draw(TWO, index[:, 2:4, ::3].expand(2, -1, -1), 70), whole[:, 2:4, ::3])
    assert torch.equal(draw(TWO, index.expand(2, -1, -1), 33), whole[..., :33])


@pytest.mark.parametrize("draw", [streams.words, streams.bits, streams.uniform, streams.normal])
def test_a_member_draws_the_same_alone_and_beside_others(draw):
    """Stacked keys give each key's own numbers, also for one shared row of indices and for a bare key."""
    key_E2, index = streams.keys(range(5), "noise"), torch.arange(12)
    stacked = draw(key_E2, index.view(1, 3, 4), 5)
    for member in range(5):
        assert torch.equal(draw(key_E2[member : member + 1], index.view(1, 3, 4), 5)[0], stacked[member])
        assert torch.equal(draw(key_E2[member], index.view(3, 4), 5), stacked[member])


def test_permutations_of_a_member_are_the_same_alone_and_beside_others():
    """Stacked keys with different numbers give each key's own orders."""
    key_E2, number = streams.keys(range(3), "order"), torch.tensor([[0, 5], [1, 1], [9, 2]])
    stacked = streams.permutation(key_E2, number, 17)
    for member in range(3):
        alone = streams.permutation(key_E2[member : member + 1], number[member : member + 1], 17)
        assert torch.equal(alone[0], stacked[member])


@pytest.mark.parametrize("extra", [0, 1, 12_345])
def test_blocks_change_nothing(extra):
    """More elements than one cache-sized block, a whole number of blocks or not, are what threefry gives at once."""
    low = torch.arange((1 << 15) * 2 + extra, dtype=torch.int32)
    parts = TWO[0, 0], TWO[0, 1], low, word(3)
    for blocked, direct in zip(streams._in_blocks(*parts), streams.threefry(*parts), strict=True):
        assert torch.equal(blocked, direct)


def test_large_requests_are_the_small_ones_joined():
    """Words and orders beyond one block equal those asked for in pieces."""
    index = torch.arange(40_000)[None]
    pieces = torch.cat([streams.words(ONE, piece, 2) for piece in index.split(9_999, 1)], 1)
    assert torch.equal(streams.words(ONE, index, 2), pieces)
    number = torch.arange(50)[None]
    orders = torch.cat([streams.permutation(ONE, piece, 1000) for piece in number.split(20, 1)], 1)
    assert torch.equal(streams.permutation(ONE, number, 1000), orders)


def test_indices_above_32_bits_have_their_own_numbers():
    """Indices that agree in their low 32 bits, up to 2**47, and their words, never collide."""
    index = torch.tensor([3 + (1 << bit) for bit in range(32, 47)] + [3, FAR - (1 << 32) + 3])[None]
    found = streams.words(ONE, index, 64)
    assert len(torch.unique(found)) == found.numel()


def test_the_last_of_very_many_numbers_is_not_the_first_of_another_index():
    """2**17 words of one index fill their own lanes: none is a word of index + 2**32."""
    index = torch.tensor([[7, 7 + (1 << 32)]])
    found = streams.words(ONE, index, 1 << 17)[0].flatten()
    pairs = (found[::2].to(torch.int64) << 32) | unsigned(found[1::2])
    assert len(torch.unique(pairs)) == 1 << 17


def test_more_words_than_lanes_are_our_own_mistake():
    """More than 2**17 words per index would reuse another index's counters."""
    with pytest.raises(AssertionError, match=r"^at most 131072 words per index"):
        streams.words(ONE, torch.zeros(1, 1, dtype=torch.int64), (1 << 17) + 1)


@pytest.mark.parametrize("high", [0, (1 << 31) + 1])
def test_ranges_that_a_word_cannot_serve_are_our_own_mistake(high):
    """An empty range and one above 2**31."""
    with pytest.raises(AssertionError):
        streams.integers(ONE, torch.zeros(1, 1, dtype=torch.int64), 1, high)


def test_global_generators_are_neither_used_nor_disturbed():
    """The same numbers whatever the seeds of torch, numpy and random, whose states stay as they were."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        index = torch.arange(9)[None]
        drawn.append((streams.normal(ONE, index, 3), streams.permutation(ONE, index, 5), streams.keys([seed * 0], "a")))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))


def test_drawing_does_not_ask_pytorch_for_a_shape(monkeypatch):
    """Its `broadcast_shapes` loads SymPy first: a second of every command that draws a sample."""
    monkeypatch.delattr(torch, "broadcast_shapes")
    key_E2 = streams.keys([1, 2], "data")
    assert streams.words(key_E2, torch.arange(40_000)[None], 9).shape == (2, 40_000, 9)  # in several blocks

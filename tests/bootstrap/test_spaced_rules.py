"""Index rules that space the uses of a pool's samples, against lists that plain loops write draw by draw."""

from collections import Counter
from functools import cache
from itertools import count, islice, pairwise

import pytest
import torch

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.worlds import World, real
from tests.bootstrap.conftest import parity

SEEDS, SIZES = (3, 4, 5), (20, 13, 12)
KEYS = streams.keys(SEEDS, "order")


def world(name, sizes=SIZES, batch=4, keys=KEYS, **settings):
    return World(registry.find("rule", name).target, settings, sizes, keys, batch, None)


@cache
def order(size, seed, number):
    """The keyed order of one pass over a pool."""
    return streams.permutation(streams.keys([seed], "order"), torch.tensor([number]), size)[0].tolist()


def passes(size, seed, batch):
    """Indices of a pool, pass after pass without end: first in its order, then in keyed ones, or in full batches."""
    for number in count():
        yield from order(size, seed, number) if number and size != batch else range(size)


def batches_of(indices, batch):
    """The next so many indices, again and again."""
    while True:
        yield list(islice(indices, batch))


def consecutive(size, seed, batch, *, times):
    """Batches one after another: each one is repeated before the next is taken."""
    for one in batches_of(passes(size, seed, batch), batch):
        for _ in range(times):
            yield one


def spacing(size, seed, batch, *, times, gap):
    """A batch that is due is read; where none is, a new one, which is due again after the gap."""
    new, due = batches_of(passes(size, seed, batch), batch), {}
    for step in count():
        one, used = due.pop(step) if step in due else (next(new), 0)
        if used + 1 < times:
            due[step + gap] = one, used + 1
        yield one


def growing(size, seed, batch, *, first, growth):
    """Passes over a pool that grows: where an order has a sample that is new, the next new one is read."""

    def indices():
        known = 0
        for number in count():
            total = min(size, first + number * growth)
            new = iter(range(known, total))
            for item in order(total, seed, number) if number and size != batch else range(total):
                yield item if item < known else next(new)
            known = total

    return batches_of(indices(), batch)


def fresh(size, seed, batch, *, share, whole_batches):
    """Batches of the pool, of which one is exchanged for a new one whenever the steps have saved up a whole batch."""
    assert whole_batches
    pool, new, saved = batches_of(passes(size, seed, batch), batch), count(size), 0
    for step in count():
        one = next(pool)
        saved += max(1, round(share * batch))
        if saved >= batch:
            saved -= batch
            if step * batch >= size:
                one = list(islice(new, batch))
        yield one


PLAIN = {"consecutive": consecutive, "spacing": spacing, "growing": growing, "fresh": fresh}
CASES = [
    ("consecutive", {"times": 1}), ("consecutive", {"times": 2}), ("consecutive", {"times": 5}),
    ("spacing", {"times": 1, "gap": 3}), ("spacing", {"times": 4, "gap": 1}), ("spacing", {"times": 2, "gap": 2}),
    ("spacing", {"times": 3, "gap": 3}),
    ("growing", {"first": 5, "growth": 1}), ("growing", {"first": 4, "growth": 6}),
    ("fresh", {"share": 0.2, "whole_batches": True}), ("fresh", {"share": 0.7, "whole_batches": True}),
    ("growing", {"first": 6, "growth": 100}), ("growing", {"first": 12, "growth": 3}),
]  # fmt: skip

FULL = {  # settings that batches as large as the smallest pool allow
    "consecutive": {"times": 2}, "spacing": {"times": 2, "gap": 1}, "growing": {"first": 12, "growth": 5},
    "fresh": {"share": 0.25, "whole_batches": True},
}  # fmt: skip


def plain(name, settings, steps, batch=4, sizes=SIZES):
    """What each member reads at steps 0 .. steps - 1, as nested lists."""
    members = zip(sizes, SEEDS, strict=False)
    return [list(islice(PLAIN[name](size, seed, batch, **settings), steps)) for size, seed in members]


@pytest.mark.parametrize("batch", [3, 4])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_rule_reads_what_a_plain_loop_reads(name, settings, batch):
    """Over many passes of pools of three sizes that batches divide or not."""
    found = world(name, batch=batch, **settings).indices(0, 90)
    assert found.tolist() == plain(name, settings, 90, batch)


@pytest.mark.parametrize("start", [1, 7, 26, 83])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_run_goes_on_in_the_middle_of_a_pass_as_it_would_have(name, settings, start):
    """Steps from any step on, asked of a world that has read nothing before, or everything."""
    expected = [member[start:120] for member in plain(name, settings, 120)]
    fresh_world, used_world = world(name, **settings), world(name, **settings)
    used_world.indices(0, 100)
    assert fresh_world.indices(start, 120).tolist() == expected
    assert used_world.indices(start, 120).tolist() == expected


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_a_phase_that_leaves_the_rule_as_it_is_changes_no_index(name, settings):
    """A world that takes over at a step reads on as the one before it would have."""
    rule, unread = registry.find("rule", name).target, []
    for member, size in enumerate(SIZES):
        alone = world(name, (size,), keys=KEYS[member : member + 1], **settings)
        unread.append(alone.largest_index(9) + 1)
    later = World(rule, settings, SIZES, KEYS, 4, None, (9, 36), unread)
    assert torch.equal(later.indices(9, 60), world(name, **settings).indices(9, 60))


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 3), (2, 30), (17, 18), (40, 90)])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_the_declared_range_holds_what_is_read(name, settings, start, stop):
    """Against the smallest and largest index that the plain loop reads, of all members and of the first alone."""
    _, (low, high) = world(name, **settings).indices_and_range(start, stop)
    read = plain(name, settings, stop)
    inside = {index for member in read for step in member[start:] for index in step}
    assert low <= min(inside)
    assert max(inside) <= high
    first = {index for step in read[0] for index in step}
    assert max(first) <= world(name, **settings).largest_index(stop)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_draws_read_their_own_index_until_the_first_reuse(name, settings):
    """In every step before the one in which the plain loop first meets a sample again."""
    for member in plain(name, settings, 60):
        seen, read = set(), []
        for step in member:
            if len(seen | set(step)) < len(seen) + len(step):
                break
            seen |= set(step)
            read += step
        assert read == list(range(len(read)))
        assert len(read) < 60 * 4


def test_consecutive_uses_each_sample_so_often_and_never_twice_in_a_step():
    """A pool of 20 in batches of 4: after 5 * 3 steps each sample was used 3 times, in consecutive steps."""
    steps = world("consecutive", sizes=(20,), keys=KEYS[:1], times=3).indices(0, 15)[0].tolist()
    assert Counter(index for step in steps for index in step) == dict.fromkeys(range(20), 3)
    for index in range(20):
        used = [number for number, step in enumerate(steps) if index in step]
        assert used == list(range(used[0], used[0] + 3))


def test_consecutive_once_or_with_a_full_batch_is_the_real_world():
    """One reading of each batch is what the real world does; so is any number when every batch is the pool."""
    pools = World(real, {}, SIZES, KEYS, 4, None).indices(0, 60)
    assert torch.equal(world("consecutive", times=1).indices(0, 60), pools)
    full = World(real, {}, (20, 20, 20), KEYS, 20, None).indices(0, 9)
    assert torch.equal(world("consecutive", sizes=(20, 20, 20), batch=20, times=3).indices(0, 9), full)


@pytest.mark.parametrize("gap", [1, 2, 5])
def test_spacing_uses_each_sample_so_often_at_the_gap(gap):
    """A pool of 40 in batches of 4: after 10 * 3 steps each sample was used 3 times, ``gap`` steps apart."""
    steps = world("spacing", sizes=(40,), keys=KEYS[:1], times=3, gap=gap).indices(0, 30)[0].tolist()
    for index in range(40):
        used = [number for number, step in enumerate(steps) if index in step]
        assert used == [used[0], used[0] + gap, used[0] + 2 * gap]
    for number in range(31):
        distinct = len({index for step in steps[:number] for index in step})
        assert abs(distinct - 4 * number / 3) <= 4 * gap


def test_spacing_by_one_step_is_consecutive_and_by_a_pass_repeats_passes():
    """The two ends: the same batch at each step, and whole passes of the pool in the same order."""
    assert torch.equal(
        world("spacing", times=3, gap=1).indices(0, 60), world("consecutive", times=3).indices(0, 60)
    )  # fmt: skip
    pools = World(real, {}, (20,), KEYS[:1], 4, None).indices(0, 10)
    repeated = world("spacing", sizes=(20,), keys=KEYS[:1], times=2, gap=5).indices(0, 20)
    assert torch.equal(repeated, torch.cat([pools[:, :5], pools[:, :5], pools[:, 5:], pools[:, 5:]], 1))


@pytest.mark.parametrize("batch", [1, 3, 5, 12])
@pytest.mark.parametrize("name", FULL)
def test_a_full_batch_keeps_the_order_of_the_pool_beside_larger_pools(name, batch):
    """The pool of 12 in batches of 12, beside those that have several batches, and other batches for contrast."""
    found = world(name, batch=batch, **FULL[name]).indices(0, 40).tolist()
    assert found == plain(name, FULL[name], 40, batch)


def test_a_gap_longer_than_the_pool_is_refused():
    """By the rule, with the smallest pool, and by a study before anything is trained."""
    refused = (
        r"^expected a gap of at most a pass over the pool of 12, got gap = 4 in batches of 4\. Lower gap to 3 or less"
    )
    with pytest.raises(ValueError, match=refused):
        world("spacing", times=2, gap=4).indices(0, 1)
    with pytest.raises(StudyError) as caught:
        runs_of(parity(training__world={"rule": "spacing", "times": 2, "gap": 3}, training__train_size=[24, 16]))
    assert caught.value.problems == [
        "`training.world`: expected a gap of at most a pass over the pool of 16, got gap = 3 in batches of 8. "
        "Lower gap to 2 or less."
    ]
    full = {"training__world": {"rule": "spacing", "times": 2, "gap": 2}, "training__batch_size": "full"}
    with pytest.raises(StudyError, match=r"got gap = 2 in batches of 24\. Lower gap to 1 or less\."):
        runs_of(parity(**full))
    assert runs_of(parity(training__world={"rule": "spacing", "times": 2, "gap": 3}))


def test_growing_pools_hold_those_before_and_are_read_evenly():
    """Pools of 8, 11, 14, 17, 20 and 20 samples, each read once in a pass; the third has new ones among old ones."""
    read = world("growing", sizes=(20,), batch=2, keys=KEYS[:1], first=8, growth=3).indices(0, 45).flatten().tolist()
    ends = [0, 8, 19, 33, 50, 70, 90]
    pools = [read[begin:end] for begin, end in pairwise(ends)]
    assert [sorted(pool) for pool in pools] == [list(range(size)) for size in (8, 11, 14, 17, 20, 20)]
    assert pools[4] != pools[5] != list(range(20))
    assert [index for index in pools[2] if index >= 11] == [11, 12, 13]


def test_new_samples_of_a_growing_pool_lie_anywhere_in_their_pass():
    """Over many seeds the one new sample of the second pass is in each of its 5 slots as often (chi-square)."""
    keys = streams.keys(range(1_000), "order")
    second = world("growing", sizes=(20,) * 1_000, batch=1, keys=keys, first=4, growth=1).indices(4, 9).flatten(1)
    counts = (second == 4).sum(0).double()
    assert 0.2 < float(((counts - 200) ** 2 / 200).sum()) < 18.5  # 4 degrees of freedom, beyond with p below 0.01


def test_a_growing_pool_that_begins_with_all_is_the_real_world():
    """Whatever it might gain after every pass."""
    pools = World(real, {}, (20, 20), KEYS[:2], 6, None)
    grown = world("growing", sizes=(20, 20), keys=KEYS[:2], batch=6, first=20, growth=7)
    assert torch.equal(grown.indices(0, 60), pools.indices(0, 60))


@pytest.mark.parametrize("first", [7, 17])
def test_a_first_pool_of_less_than_a_batch_or_more_than_the_pool_is_refused(first):
    """By the rule, with the smallest pool, and by a study before anything is trained."""
    sentence = (
        "expected a first pool of at least a batch, 8, and at most the pool of 16, "
        f"got first = {first}. Change first, batch_size or train_size."
    )
    with pytest.raises(ValueError, match=sentence):
        world("growing", sizes=(20, 16), batch=8, keys=KEYS[:2], first=first, growth=1).indices(0, 1)
    with pytest.raises(StudyError) as caught:
        runs_of(parity(training__world={"rule": "growing", "first": first, "growth": 1}, training__train_size=16))
    assert caught.value.problems == [f"`training.world`: {sentence}"]


def test_as_many_samples_are_fresh_in_whole_batches_as_in_slots_of_every_batch():
    """After every fourth step, at a share of a quarter; the batches are new or old as a whole."""
    slots = world("fresh", sizes=(20,), keys=KEYS[:1], share=0.25).indices(5, 105)[0] >= 20
    whole = world("fresh", sizes=(20,), keys=KEYS[:1], share=0.25, whole_batches=True).indices(5, 105)[0] >= 20
    assert whole.sum(1).tolist() == [4 * (step % 4 == 3) for step in range(5, 105)]
    assert torch.equal(whole.sum(1).view(25, 4).sum(1), slots.sum(1).view(25, 4).sum(1))


def test_no_share_of_whole_batches_is_the_real_world_and_all_of_them_the_ideal_one():
    """The two ends, where batches divide the pool."""
    none, every = (world("fresh", (20, 12), keys=KEYS[:2], share=share, whole_batches=True) for share in (0, 1))
    assert torch.equal(none.indices(0, 40), World(real, {}, (20, 12), KEYS[:2], 4, None).indices(0, 40))
    assert every.indices(0, 40).tolist() == [torch.arange(160).view(40, 4).tolist()] * 2


def test_redraw_replaces_the_whole_batches_that_fresh_does():
    """By samples of the pool; all other batches are the real world's."""
    pool = World(real, {}, SIZES, KEYS, 4, None).indices(0, 200)
    replaced = world("fresh", share=0.3, whole_batches=True).indices(0, 200) != pool
    control = world("redraw", share=0.3, whole_batches=True).indices(0, 200)
    assert torch.equal(control[~replaced], pool[~replaced])
    assert all((control[member] < size).all() for member, size in enumerate(SIZES))
    assert (control != pool)[replaced].double().mean() > 0.8


def test_members_of_one_pack_have_the_batches_that_they_have_alone():
    """Rules, their settings and pools differ between members; so do the seeds."""
    rules = [{"rule": "spacing", "times": 2, "gap": gap} for gap in (1, 2)]
    rules += [{"rule": "growing", "first": 8, "growth": growth} for growth in (3, 5)]
    rules += [{"rule": "fresh", "share": 0.5, "whole_batches": value} for value in (False, True)]
    raw = parity(training__train_size=[16, 24], training__seeds=2, sweep={"training.world": rules})
    runs = runs_of(raw)
    together = Pack(runs).data
    for start in (0, 11):
        inputs_ESB = together.block(start, start + 9).x.clone()
        for member, run in enumerate(runs):
            assert torch.equal(Pack([run]).data.block(start, start + 9).x[0], inputs_ESB[member]), run.world

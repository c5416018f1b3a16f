"""Index rules: the same draws until the first reuse, and each rule's promise after it."""

import numpy as np
import pytest
import torch

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.draws import Order
from deepboot.bootstrap.usage import usage
from deepboot.bootstrap.worlds import World, fresh, ideal, real, redraw, sliding, switch

KEYS = streams.keys([3, 4], "order")
SETTINGS = {
    "fresh": {"share": 0.3}, "redraw": {"share": 0.3}, "sliding": {"shift": 5}, "switch": {"at_step": 7},
    "consecutive": {"times": 3}, "spacing": {"times": 3, "gap": 2},
    "growing": {"first": 8, "growth": 5},
}  # fmt: skip
SOONER = {"consecutive": 6, "spacing": 12, "growing": 8}  # draws before the first reuse, where they are less than N


def world(rule, sizes=(20, 20), batch=6, capacity=None, **settings):
    return World(rule, settings, sizes, KEYS[: len(sizes)], batch, capacity)


@pytest.mark.parametrize("name", ["real", "ideal", *SETTINGS])
def test_all_rules_read_the_same_samples_until_one_is_used_again(name):
    """Draw d reads index d as long as d < N, or until the first reuse of a rule that uses samples again sooner."""
    rule, same = registry.find("rule", name).target, SOONER.get(name, 20)
    index = world(rule, **SETTINGS.get(name, {})).indices(0, 10).flatten(1)
    assert index[:, :same].tolist() == [list(range(same))] * 2
    assert name not in SOONER or (index[:, same] < same).all()


@pytest.mark.parametrize("name", ["real", "ideal", *SETTINGS])
def test_indices_do_not_depend_on_how_steps_are_cut_into_chunks(name):
    """Asking step by step gives what asking at once gives, also when passes are revisited."""
    rule = registry.find("rule", name).target
    whole = world(rule, sizes=(20, 13), **SETTINGS.get(name, {})).indices(0, 40)
    apart = world(rule, sizes=(20, 13), **SETTINGS.get(name, {}))
    pieces = [apart.indices(step, min(step + 7, 40)) for step in range(0, 40, 7)]
    assert torch.equal(torch.cat(pieces, 1), whole)


@pytest.mark.parametrize("name", ["real", "ideal", *SETTINGS])
def test_a_member_reads_the_same_alone_and_beside_others(name):
    """The second of two members with other pools reads what it reads alone."""
    rule, settings = registry.find("rule", name).target, SETTINGS.get(name, {})
    both = World(rule, settings, (20, 13), KEYS, 6, None).indices(2, 30)
    alone = World(rule, settings, (13,), KEYS[1:], 6, None).indices(2, 30)
    assert torch.equal(both[1:], alone)


def test_real_world_reads_every_sample_once_per_pass_in_new_orders():
    """Each pass is a permutation of the pool; the first is the identity, later ones differ."""
    passes = world(real, sizes=(20,), batch=5).indices(0, 16).view(4, 20)
    assert passes[0].tolist() == list(range(20))
    assert all(sorted(row.tolist()) == list(range(20)) for row in passes)
    assert len({tuple(row.tolist()) for row in passes}) == 4


def test_orders_differ_between_keys():
    """Two members with the same pool shuffle it differently."""
    index = world(real).indices(10, 20)
    assert not torch.equal(index[0], index[1])


def test_full_batch_keeps_the_order_of_the_pool():
    """With batch N every step reads 0 .. N - 1."""
    index = world(real, sizes=(6,), batch=6).indices(0, 5)
    assert index[0].tolist() == [list(range(6))] * 5


def test_full_batch_of_one_member_beside_a_smaller_pool_keeps_its_order():
    """Members of one pack are ordered by their own pool, not by their neighbours'."""
    index = world(real, sizes=(12, 6), batch=6).indices(0, 9)
    assert index[1].tolist() == [list(range(6))] * 9


def test_full_batch_after_smaller_ones_keeps_the_order_of_the_pool_whoever_is_beside_it():
    """A rule that takes over after 6 draws reads 0 .. N - 1 at every step, alone and beside a larger pool."""
    both = World(real, {}, (20, 40), KEYS, 20, None, origin=(1, 6)).indices(1, 4)
    alone = World(real, {}, (20,), KEYS[:1], 20, None, origin=(1, 6)).indices(1, 4)
    assert both[0].tolist() == alone[0].tolist() == [list(range(20))] * 3


def test_ideal_world_never_repeats_an_index():
    """Step s, slot b reads index s * batch + b."""
    assert world(ideal).indices(3, 5)[0].flatten().tolist() == list(range(18, 30))


def test_ideal_world_of_a_finite_universe_is_the_real_world_with_all_cells():
    """Past the end of the universe begins a permuted pass, the very one a real world with N = U would begin."""
    endless = world(ideal, capacity=20).indices(0, 30)
    assert torch.equal(endless, world(real, sizes=(20, 20)).indices(0, 30))


def test_fresh_rule_gives_a_fixed_share_of_each_batch_never_used_samples():
    """After the first pass exactly round(share * batch) slots are new, all different, the rest in the pool's order."""
    pool, share = world(real, sizes=(20,), batch=10).indices(0, 40), 0.3
    index = world(fresh, sizes=(20,), batch=10, share=share).indices(0, 40)
    later = index[0, 2:]
    assert ((later >= 20).sum(-1) == 3).all()
    new = later[later >= 20]
    assert len(new.unique()) == len(new)
    kept = later < 20
    assert torch.equal(later[kept], pool[0, 2:][kept])


def test_fresh_slots_are_spread_over_the_batch():
    """Over many steps every slot is replaced about as often as any other (chi-square)."""
    index = world(fresh, sizes=(10,), batch=10, share=0.1).indices(1, 4001)[0]
    counts = (index >= 10).sum(0).double()
    statistic = float(((counts - 400) ** 2 / 400).sum())
    assert 0.5 < statistic < 27.9  # 9 degrees of freedom, beyond either end with probability below 0.001


def test_fresh_share_of_one_is_the_ideal_world():
    """With a batch that divides the pool, replacing every slot reads index d."""
    assert torch.equal(world(fresh, batch=5, share=1.0).indices(0, 20), world(ideal, batch=5).indices(0, 20))


def test_a_share_above_zero_is_at_least_one_slot_and_zero_is_the_real_world():
    """A share too small for a slot still replaces one; no share replaces none."""
    assert torch.equal(world(fresh, share=0.0).indices(0, 20), world(real).indices(0, 20))
    later = world(fresh, sizes=(20,), batch=6, share=0.001).indices(10, 20)
    assert ((later >= 20).sum(-1) == 1).all()


def test_redraw_replaces_the_same_slots_from_the_pool():
    """The control differs from the real world only where ``fresh`` does, and never leaves the pool."""
    pool = world(real, sizes=(20,), batch=10).indices(0, 300)
    control = world(redraw, sizes=(20,), batch=10, share=0.3).indices(0, 300)
    replaced = world(fresh, sizes=(20,), batch=10, share=0.3).indices(0, 300) != pool
    assert torch.equal(control[~replaced], pool[~replaced])
    assert control.max() < 20
    assert (control != pool).double().sum() > 0.9 * replaced.sum()
    counts = np.bincount(control[replaced].numpy(), minlength=20)
    assert (counts > 0).all()


def test_sliding_pool_moves_on_after_every_pass():
    """Pass e reads exactly the samples e * shift .. e * shift + N - 1."""
    passes = world(sliding, sizes=(20,), batch=5, shift=7).indices(0, 12).view(3, 20)
    assert [sorted(row.tolist()) for row in passes] == [list(range(7 * e, 7 * e + 20)) for e in range(3)]


def test_switch_reads_one_world_before_the_step_and_another_from_it_on():
    """Steps before ``at_step`` are the real world's, the others the ideal world's, and the other way round."""
    index = world(switch, at_step=12).indices(0, 20)
    assert torch.equal(index[:, :12], world(real).indices(0, 12))
    assert torch.equal(index[:, 12:], world(ideal).indices(12, 20))
    back = world(switch, at_step=12, before="ideal", after="real").indices(0, 20)
    assert torch.equal(back[:, 12:], world(real).indices(12, 20))


def test_order_is_uniform_over_permutations():
    """All six orders of three samples are equally frequent (chi-square, 5 degrees of freedom)."""
    order = Order(streams.keys([0], "order"), [3])
    draw = torch.arange(3, 3 * 3001).view(1, -1, 3)
    index = order.index(draw, 3, 3 * 3001 - 1)[0]
    counts = (index @ torch.tensor([9, 3, 1])).unique(return_counts=True)[1].double()
    assert len(counts) == 6
    assert 0.1 < float(((counts - 500) ** 2 / 500).sum()) < 25.7


@pytest.mark.parametrize(
    ("rule", "settings", "capacity", "steps", "expected"),
    [
        (real, {}, None, 10, (3, 20)),
        (real, {}, None, 3, (None, 18)),
        (ideal, {}, None, 10, (None, 60)),
        (ideal, {}, 30, 10, (5, 30)),
        (fresh, {"share": 1.0}, None, 10, (None, 60)),
        (sliding, {"shift": 20}, None, 10, (None, 60)),
        (switch, {"at_step": 3}, None, 10, (None, 60)),
        (switch, {"at_step": 5}, None, 6, (3, 26)),
    ],
)
def test_usage_counts_distinct_samples_and_finds_the_first_reuse(rule, settings, capacity, steps, expected):
    """Against hand-counted cases with N = 20, batch 6."""
    found = usage([world(rule, sizes=(20,), capacity=capacity, **settings)], steps)
    assert (found.first_reuse_step, found.distinct) == expected


def test_usage_agrees_with_a_plain_count():
    """For every rule, distinct samples and first reuse are those of a set filled draw by draw."""
    for name, settings in {**SETTINGS, "real": {}, "ideal": {}}.items():
        one = world(registry.find("rule", name).target, sizes=(20,), **settings)
        seen, first = set(), None
        for step, batch in enumerate(one.indices(0, 25)[0].tolist()):
            for index in batch:
                first = step if first is None and index in seen else first
                seen.add(index)
        assert usage([one], 25) == type(usage([one], 25))(first, len(seen)), name


@pytest.mark.parametrize("capacity", [None, 40])
@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 9), (7, 30)])
def test_what_a_rule_reads_lies_within_the_range_that_it_declares(capacity, start, stop):
    """For every rule, pools of two sizes and any steps, no index is outside the range that is known beforehand."""
    for name, settings in {**SETTINGS, "real": {}, "ideal": {}}.items():
        one = world(registry.find("rule", name).target, sizes=(12, 20), capacity=capacity, **settings)
        index, (low, high) = one.indices_and_range(start, stop)
        assert low <= int(index.min()) <= int(index.max()) <= high, name
        assert capacity is None or high < capacity, name


def test_a_rule_walks_a_finite_universe_as_the_ideal_world_does():
    """Index i beyond the universe is cell i mod U of its pass's permutation, whichever rule reads it."""
    endless = world(sliding, sizes=(20,), batch=5, shift=30).indices(0, 16)
    walked = world(sliding, sizes=(20,), batch=5, shift=30, capacity=40).indices(0, 16)
    every = world(ideal, sizes=(20,), batch=5, capacity=40).indices(0, 40).flatten()
    assert int(endless.max()) >= 80
    assert torch.equal(walked.flatten(), every[endless.flatten()])


def test_a_rule_that_declares_no_range_is_asked_for_its_indices():
    """A user's own rule walks a finite universe all the same."""

    def mine(draws):
        return draws.number_MSB

    own, known = (world(rule, sizes=(20,), batch=5, capacity=40) for rule in (mine, ideal))
    assert torch.equal(own.indices(0, 40), known.indices(0, 40))

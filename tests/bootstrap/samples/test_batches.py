"""Blocks of training data: how long they are, where they lie, and that repeated pools are stored once."""

import pytest
import torch

from deepboot.bootstrap.samples.batches import BLOCK_BYTES, LARGEST_BYTES, REPEATED_STEPS, longest_block
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.pack import Pack, train_steps
from tests.bootstrap.conftest import parity

ANSWERS = {"name": "multi_digit_addition", "num_digits": 2, "shows_answers": False}
FULL = {"training__batch_size": "full", "training__seeds": 3, "training__max_steps": 200}
BITS = torch.empty(40, device="meta")


def held(block):
    """Bytes of the memory that a block lies in."""
    return sum(part.untyped_storage().nbytes() for part in (block.x, block.y))


@pytest.mark.parametrize(("members", "steps"), [(1, 1_342), (64, 20), (900, 8), (4_096, 8), (10_000, 4), (90_000, 1)])
def test_blocks_on_a_gpu_have_eight_steps_within_eight_gibibytes(members, steps):
    """Of parity with 40 inputs and batch 1,250: more while these take less than 256 MiB, and one step at least."""
    assert longest_block(members * 1_250, BITS, "cuda") == steps


@pytest.mark.parametrize(("members", "steps"), [(1, 20), (16, 4), (40, 2), (900, 1)])
def test_blocks_on_a_cpu_have_four_steps_within_sixteen_mebibytes(members, steps):
    """Of the same batches."""
    assert longest_block(members * 1_250, BITS, "cpu") == steps


def test_small_numbers_make_long_blocks():
    """Images of one byte a pixel four times as long ones; float64 inputs no shorter ones."""
    found = [longest_block(100, BITS.to(dtype), "cpu") for dtype in (torch.uint8, torch.float32, torch.float64)]
    assert found == [1_048, 262, 262]


@pytest.mark.parametrize("task", [{}, {"task": ANSWERS, "data": {"allow_reuse": True}}])
def test_a_repeated_pool_is_stored_once(task, monkeypatch):
    """All steps of all blocks lie at one address, and blocks are long where a step's data fill one alone."""
    monkeypatch.setitem(BLOCK_BYTES, "cpu", 1)
    monkeypatch.setitem(LARGEST_BYTES, "cpu", 1)
    data = Pack(runs_of(parity(training__ideal=False, **FULL, **task))).data
    (group,) = data.groups
    assert data.longest == REPEATED_STEPS
    first = data.block(0, 200)
    assert first.steps == REPEATED_STEPS
    assert held(first) == sum(part.numel() * part.element_size() for part in group.pool[:2])
    addresses = set()
    for block in (first, data.block(64, 66), data.block(66, 130)):
        for x, y in zip(*block.batches(), strict=True):
            assert torch.equal(x, group.pool.x)
            assert torch.equal(y, group.pool.y.flatten(1))
            addresses.add((x.data_ptr(), y.data_ptr()))
    assert len(addresses) == 1


def test_real_runs_beside_ideal_ones_share_a_block_with_every_step():
    """It keeps its address, the pools stay in it, and the ideal half is new at every step."""
    data = Pack(runs_of(parity(**FULL))).data
    one = data.block(0, 4)
    address = one.x.data_ptr(), one.y.data_ptr()
    ideal = one.x[3:].clone()
    other = data.block(4, 8)
    assert (other.x.data_ptr(), other.y.data_ptr()) == address
    assert torch.equal(other.x[:3], data.groups[0].pool.x[:, None].expand(-1, 4, -1, -1))
    assert len(torch.unique(torch.cat((ideal, other.x[3:]), 1).flatten(2), dim=1)[0]) == 8


def test_training_on_a_pool_stored_once_is_training_on_copies():
    """Weights and sums are equal to the last bit."""
    runs = runs_of(parity(training__ideal=False, **FULL, model__width=128))
    packs = [Pack(runs), Pack(runs)]
    packs[1].data._repeats = False
    for pack in packs:
        train_steps(pack, 150)
    assert [held(pack.data.block(0, 1)) > 10_000 for pack in packs] == [False, True]
    assert torch.equal(packs[0].param_EP, packs[1].param_EP)
    assert torch.equal(packs[0].members.sums_3E, packs[1].members.sums_3E)

"""What a pack holds, and for how long: a GPU's graphs write to its memory, and its memory is scarce."""

import gc
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from deepboot.bootstrap.models.mlp import MLP
from deepboot.bootstrap.models.stacked import BoundStack, Stack
from deepboot.bootstrap.optimizers import AdamW
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Tokens
from deepboot.bootstrap.training import members
from deepboot.bootstrap.training import train as training
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity

BATCH_NORM = {"model__batch_norm": True}


@pytest.fixture
def no_collector():
    """Without the garbage collector an object lives on where others refer to it in a circle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("sequential", [False, True])
def test_the_gradient_lies_at_one_address_for_the_life_of_a_pack(sequential, monkeypatch):
    """An evaluation, which computes with some members only, leaves the memory that a captured graph writes to."""
    addresses = []
    update = AdamW.update

    def spied(param_EP, grad_EP, optimizer_state, at):
        addresses.append(grad_EP.data_ptr())
        update(param_EP, grad_EP, optimizer_state, at)

    monkeypatch.setattr(AdamW, "update", staticmethod(spied))
    pack = Pack(runs_of(parity(training__seeds=2)), Execution(sequential=sequential))
    evaluator = Evaluator(pack)
    for stop in (1, 2, 4):
        train_steps(pack, stop)
        evaluator.rows()
    assert len(set(addresses)) == len(pack.groups)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_pack_goes_with_the_last_that_refers_to_it(sequential, no_collector):
    """Trained and evaluated, it needs no garbage collector to give its memory back."""
    pack = Pack(runs_of(parity(training__seeds=2)), Execution(sequential=sequential))
    evaluator = Evaluator(pack)
    train_steps(pack, 4)
    evaluator.rows()
    ghost = weakref.ref(pack)
    del pack, evaluator
    assert ghost() is None


def test_no_two_packs_are_held_at_once(no_collector, monkeypatch):
    """When members leave or a phase begins, the old pack is gone before the new one is made."""
    alive = weakref.WeakSet()

    class Counted(Pack):
        def __init__(self, *arguments):
            assert not alive
            alive.add(self)
            super().__init__(*arguments)

    monkeypatch.setattr(training, "Pack", Counted)
    raw = parity(training__max_steps=40, evaluation__schedule=5)
    raw["phases"] = [{"at_step": 20, "set": {"training.train_size": 12}}]
    outcomes = train(runs_of(raw))
    assert [outcome.last_step for outcome in outcomes] == [40, 40]


class Called(TorchDispatchMode):
    """Notes the names of the operations that run under it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.names.append(str(function))
        return function(*arguments, **(keywords or {}))


def test_operands_are_picked_by_an_index_that_lies_on_the_device():
    """Positions that are not evenly spaced are no list of the host's, which would be copied at every step."""
    inputs = Tokens(vocab=5, length=5, varying=(0, 1, 4))

    class Task:
        classes = 5

    Task.inputs = inputs
    stack = Stack("mlp", {"width": 4, "embedding": 3}, Task)
    bound = BoundStack(stack, torch.randn(2, stack.size), {})
    x = torch.randint(5, (2, 7, 5))
    with Called() as called:
        logits = bound(x)
    assert not {"aten.lift_fresh.default", "aten._to_copy.default"} & set(called.names)
    assert isinstance(bound.module, MLP)
    changed = x.clone()
    changed[..., 2:4] = 0
    assert torch.equal(bound(changed), logits)
    changed[..., 4] = (x[..., 4] + 1) % 5
    assert not torch.equal(bound(changed), logits)


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("changes", [{}, {"training__weight_noise": 0.1}, {"optimizer": {"name": "sgd"}}, BATCH_NORM])
def test_rows_with_a_gap_train_the_same(changes, sequential, monkeypatch):
    """Parameters that begin at multiples of 8 numbers, as on a GPU: equal bits, also when resumed."""
    runs = runs_of(parity(model__width=9, training__seeds=2, **changes))
    packs = []
    for start in (1, 8):
        monkeypatch.setitem(members.ROW_START, "cpu", start)
        pack = Pack(runs, Execution(sequential=sequential))
        train_steps(pack, 3)
        pack = Pack(runs, Execution(sequential=sequential), pack.states())
        assert pack.param_EP.shape[1] % 8 != 0
        assert (pack.param_EP.stride(0) % 8 == 0) == (start == 8)
        train_steps(pack, 6)
        packs.append((Evaluator(pack).rows(), pack.states()))
    (rows, states), (gapped_rows, gapped_states) = packs
    assert repr(gapped_rows) == repr(rows)  # of which some are not a number
    for state, gapped in zip(states, gapped_states, strict=True):
        assert state.keys() == gapped.keys()
        assert all(torch.equal(state[name], gapped[name]) for name in state)


def test_neighbours_that_diverge_change_no_bit_of_a_pack_of_64():
    """Eight of 64 members become NaN, some at once and some later; the other 56 are what they are without them."""
    raw = parity(training__seeds=28, training__max_steps=40, evaluation__schedule=10, optimizer={"name": "sgd"})
    calm = runs_of(raw)
    grown = [{**calm[0].optimizer, "lr": lr, "weight_decay": 1.0} for lr in (1e30, 100.0, 12.0, 3.5)]  # by -lr a step
    wild = [run.model_copy(update={"optimizer": one}) for one in grown for run in (calm[0], calm[28])]
    mixed = [*wild[:2], *calm[:20], *wild[2:6], *calm[20:], *wild[6:]]
    together, alone = train(mixed), train(calm)
    diverged = {outcome.last_step for outcome in together if outcome.status == "diverged"}
    assert len(mixed) == 64
    assert len(diverged) >= 3
    kept = [outcome for outcome in together if outcome.run.optimizer["weight_decay"] == 0]
    assert [outcome.run.run_id for outcome in kept] == [outcome.run.run_id for outcome in alone]
    for one, other in zip(kept, alone, strict=True):
        assert torch.equal(one.state["parameters"], other.state["parameters"])
        assert repr(one.rows) == repr(other.rows)

"""What a GPU would be given, seen without one: torch's fake tensors have a device and a shape but no values.

Whatever mixes devices fails on them, and so does whatever asks for a value, which on a GPU would wait for it.
"""

from concurrent.futures import Future
from contextlib import nullcontext

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.stacked import BoundStack
from deepboot.bootstrap.samples import prefetch, source, split
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Universe
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 11}
TRANSFORMER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
CHAIN = [{"name": "grokfast"}, {"name": "normalize"}, {"name": "clip", "norm": 1.0}]
FAKE = FakeTensorMode(allow_non_fake_inputs=True)
RULES = [
    {"rule": "fresh", "share": 0.1},
    {"rule": "redraw", "share": 0.1},
    {"rule": "sliding", "shift": 3},
    {"rule": "spacing", "times": 2, "gap": 2},
    {"rule": "fresh", "share": 0.3, "whole_batches": True},
    {"rule": "growing", "first": 30, "growth": 3},
    {"rule": "switch", "at_step": 10},
]


def pretended(monkeypatch, **changes):
    """A pack on a GPU that does not exist."""
    changes = {"data__allow_reuse": True, **changes}  # the rules go round a small universe
    monkeypatch.setattr(streams, "_ROTATIONS", ((13,), (17,)))  # what one round of each group does, all of them do
    runs = runs_of(parity(training__seeds=2, training__max_steps=500, training__batch_size=20, **changes))
    task = build_task(runs[0].task)
    if isinstance(task, Universe):  # cells are divided on the host, with real numbers
        divisions = {run.run_id: split.split_of(task, run) for run in runs}
        monkeypatch.setattr(source, "split_of", lambda _, run: divisions[run.run_id])
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    # the backward pass of what has no device cannot be run; it waits for nothing
    monkeypatch.setattr(torch.autograd, "grad", lambda _, leaves, *rest, **more: [torch.ones_like(p) for p in leaves])
    with FAKE:
        return Pack(runs, Execution(device="cuda"))


@pytest.mark.parametrize("world", [None, *RULES])
@pytest.mark.parametrize(("task", "swapped"), [(None, 0), (ADDITION, 0), (ADDITION, 3)])
def test_no_rule_waits_for_the_device(world, task, swapped, monkeypatch):
    """Through new passes over pool and universe, with answers exchanged or not, no value is asked for."""
    chosen = ({"training__world": world} if world else {}) | ({"task": task} if task else {})
    pack = pretended(monkeypatch, training__train_size=60, data__swapped_answers=swapped, **chosen)
    with FAKE:
        train_steps(pack, 6)
        train_steps(pack, 12)
    assert pack.step == 12
    assert pack.param_EP.device.type == "cuda"


@pytest.mark.parametrize(
    "changes",
    [
        {"training__transforms": CHAIN, "training__weight_noise": 0.1, "training__update_noise": 0.1},
        {"training__transforms": CHAIN, "training__layers": {"hidden": {"lr": 0.5, "init_scale": 2.0}}},
        {"training__transforms": [{"name": "grokfast_ma", "window": 6}, {"name": "orthogonal_gradient"}]},
        {"optimizer": {"name": "muon"}, "model__depth": 2, "training__norm_clamp": 3.0},
        {"loss": {"name": "stablemax"}},
        {"data__label_noise": 0.1, "training__train_size": [40, 60]},
        {"data__labels": "random"},
        {"training__train_size": 20, "training__ideal": False},
        {"task": ADDITION, "model": TRANSFORMER, "model__output_scale": 2.0, "training__train_size": 60},
    ],
)
def test_no_trait_waits_for_the_device(changes, monkeypatch):
    """Noise, clipping, scales, noisy and random labels, full batches and attention run through without a value."""
    pack = pretended(monkeypatch, **changes)
    with FAKE:
        train_steps(pack, 10)
    assert pack.step == 10


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_every_members_parameters_begin_at_a_multiple_of_32_bytes(noise, monkeypatch):
    """Those that are changed and, under weight noise, those that products read."""
    read = []
    gradient = BoundStack.gradient
    monkeypatch.setattr(
        BoundStack, "gradient", lambda stack, *rest: read.append(stack.param_EP) or gradient(stack, *rest)
    )
    pack = pretended(monkeypatch, model__width=9, training__weight_noise=noise)
    with FAKE:
        train_steps(pack, 3)
    assert pack.param_EP.shape[1] % 8 != 0
    for each in (pack.param_EP, *read):
        assert each.stride(0) % 8 == 0


class Stream:
    """A stream of a GPU that does not exist, and what was done with it."""

    def __init__(self, *_):
        self.events, self.awaited = [], []

    def record_event(self):
        self.events.append(object())
        return self.events[-1]

    def wait_event(self, event):
        self.awaited.append(event)


class AtOnce:
    """A pool of threads that does everything at once, in the thread that asks: fakes are known to one thread only."""

    def __init__(self, *_):
        pass

    def submit(self, function, *arguments):
        done = Future()
        done.set_result(function(*arguments))
        return done

    def shutdown(self, wait):
        pass


@pytest.mark.parametrize(
    ("world", "changes"),
    [
        *((world, changes) for world in (None, *RULES) for changes in ({}, {"swapped_answers": 3})),
        *((world, changes) for world in (None, RULES[-1]) for changes in ({"label_noise": 0.1}, {"labels": "random"})),
    ],
)
def test_what_the_host_reads_ahead_reaches_the_device_without_a_wait(world, changes, monkeypatch):
    """Cells are found where they lie; the training stream waits for every copy, and holds its memory."""
    training, held = Stream(), []
    monkeypatch.setattr(prefetch, "ThreadPoolExecutor", AtOnce)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: training)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda tensor, stream: held.append((tensor.device.type, stream)))
    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    monkeypatch.setattr(streams, "items_in_order", lambda lot: lot.argsort(-1))  # the host's way needs values
    chosen = {"training__world": world} if world else {}
    chosen |= {f"data__{name}": value for name, value in changes.items()}
    pack = pretended(monkeypatch, training__train_size=40, task=ADDITION, **chosen)
    with FAKE:
        train_steps(pack, 6)
        train_steps(pack, 12)
    assert pack.source.cell_EU.device.type == "cpu"
    sources = [group.read for group in pack.data.groups if group.pool is None]
    copied = [event for source in sources for event in source._stream.events]
    assert len(training.awaited) > 1
    assert set(training.awaited) <= set(copied)
    assert held == [("cuda", training)] * 2 * len(training.awaited)
    assert pack.step == 12


def test_an_evaluation_waits_for_the_device_once(monkeypatch):
    """All metrics of all members come in one transfer, the last thing an evaluation does on the device."""
    pack = pretended(monkeypatch)
    asked = []

    def values(table):
        asked.append(table)
        return [[0.0] * table.shape[1]] * table.shape[0]

    monkeypatch.setattr(FakeTensor, "tolist", values)
    with FAKE:
        rows = Evaluator(pack).rows()
    assert len(rows) == len(pack)
    assert len(asked) == 1


def test_asking_for_a_value_is_noticed():
    """The check can fail: a value that is asked for raises."""
    with FAKE, pytest.raises(DataDependentOutputException):
        torch.zeros(1, device="cuda").item()

"""Data read ahead: the same data, in time, and nothing more than that."""

import gc
import re
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch

from deepboot.bootstrap.samples.prefetch import Prefetch
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Universe
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.binary_operations import BinaryOperations
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
WAIT = 20.0  # seconds until a test that waits in vain fails


class Reader:
    """Data that say their step, (2, S, 3) and (2, S), and what was asked for by whom.

    Attributes:
        asked: ranges of steps, as they were asked for.
        begun: set as soon as ``awaited`` is asked for, which is not read before ``go`` is set.
    """

    def __init__(self, awaited=None, broken=None):
        self.asked, self.threads, self.awaited, self.broken = [], set(), awaited, broken
        self.resume_from, self.go = threading.Event(), threading.Event()

    def __call__(self, start, stop):
        self.asked.append((start, stop))
        self.threads.add(threading.current_thread())
        if (start, stop) == self.awaited:
            self.resume_from.set()
            assert self.go.wait(WAIT)
        if self.broken is not None and start <= self.broken < stop:
            raise OSError(f"step {self.broken} cannot be read")
        step_S = torch.arange(start, stop)
        return step_S[:, None].expand(2, -1, 3), -step_S.expand(2, -1)


def ahead(read, longest=8, end=1_000):
    return Prefetch(read, longest, end, torch.device("cpu"))


def finish():
    """Waits for the threads that read."""
    for thread in threading.enumerate():
        if thread.name.startswith("ahead"):
            thread.join(WAIT)
            assert not thread.is_alive()


@pytest.fixture(autouse=True)
def finished():
    """No thread reads on into the next test."""
    yield
    finish()


def same(one, other):
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


def test_any_requests_give_what_reading_gives():
    """One after another, again, back and forth, over many blocks and beyond the end."""
    rng, read = np.random.default_rng(0), Reader()
    source, start = ahead(read, end=60), 0
    for _ in range(300):
        start = int(rng.integers(0, 80)) if rng.random() < 0.3 else start
        stop = start + int(rng.integers(1, 30))
        assert same(source(start, stop), Reader()(start, stop))
        start = stop
    assert max(stop - start for start, stop in read.asked) < 30


def test_blocks_follow_on_and_grow():
    """The first is as long as the request, so that nobody waits for more; none is read twice."""
    read = Reader()
    source = ahead(read)
    for start in range(39):
        source(start, start + 1)
    finish()
    assert read.asked == [(0, 1), (1, 3), (3, 7), (7, 15), (15, 23), (23, 31), (31, 39), (39, 47)]


def test_the_next_block_is_read_while_the_present_one_is_used():
    """It is asked for unasked, by another thread, and waited for by nobody before its first step."""
    read = Reader(awaited=(4, 12))
    source = ahead(read)
    source(0, 4)
    assert read.resume_from.wait(WAIT)
    assert same(source(1, 4), Reader()(1, 4))
    got = []
    asking = threading.Thread(target=lambda: got.append(source(3, 5)))
    asking.start()
    asking.join(0.05)
    assert got == []
    read.go.set()
    asking.join(WAIT)
    assert same(got[0], Reader()(3, 5))
    assert threading.current_thread() not in read.threads


def test_one_thread_reads_at_a_time():
    """A request elsewhere waits for the block that is being read, since a world keeps its tables."""
    inside = threading.Semaphore(1)
    read = Reader()

    def alone(start, stop):
        assert inside.acquire(blocking=False)
        found = read(start, stop)
        threading.Event().wait(0.005)
        inside.release()
        return found

    source = ahead(alone)
    for start in (0, 50, 20, 90):
        assert same(source(start, start + 3), read(start, start + 3))


@pytest.mark.parametrize("end", [1, 4, 6, 17, 20])
def test_nothing_is_read_beyond_the_end_unasked(end):
    """Whatever the end, it is reached exactly; who asks for more gets just that."""
    read = Reader()
    source = ahead(read, end=end)
    for start in range(0, end, 3):
        source(start, min(start + 3, end))
    finish()
    assert read.asked[-1][1] == end
    assert same(source(end - 1, end + 2), Reader()(end - 1, end + 2))
    finish()
    assert read.asked[-1] == (end, end + 2)


def test_an_error_is_raised_by_the_request_that_needs_the_block():
    """Not before, not by others; and who asks again, has it read again."""
    read = Reader(broken=5)
    source = ahead(read)
    source(0, 4)
    finish()
    assert read.asked[-1] == (4, 12)
    assert same(source(0, 4), Reader()(0, 4))
    for start, stop in [(4, 5), (3, 6)]:
        with pytest.raises(OSError, match=f"^{re.escape('step 5 cannot be read')}$"):
            source(start, stop)
    read.broken = None
    assert same(source(3, 7), Reader()(3, 7))


def test_the_interpreter_waits_for_one_block_at_most():
    """It ends once the block that is being read is there; no other is begun."""
    program = """if True:
        import time, torch
        from deepboot.bootstrap.samples.prefetch import Prefetch
        def read(start, stop):
            time.sleep(0.2 * (start > 0))
            print(start, stop)
            return [torch.zeros(1, stop - start)]
        source = Prefetch(read, 8, 100, torch.device("cpu"))
        source(0, 1)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("0 1\n1 3\n", "")


WORLDS = [
    None,
    {"rule": "fresh", "share": 0.3},
    {"rule": "redraw", "share": 0.3},
    {"rule": "sliding", "shift": 3},
    {"rule": "spacing", "times": 2, "gap": 2},
    {"rule": "growing", "first": 8, "growth": 3},
    {"rule": "switch", "at_step": 9},
]
DATA = [{}, {"label_noise": 0.3}, {"swapped_answers": 3}, {"labels": "random"}]


def pack(**changes):
    return Pack(runs_of(parity(task=ADDITION, data__test_samples=None, training__max_steps=40, **changes)))


def worlds(world, data):
    """A study of this world, its ideal world and, for pools of two sizes, the data changed so."""
    changes = {f"data__{name}": value for name, value in {"allow_reuse": True, **data}.items()}
    changes |= {"training__world": world} if world else {}
    sizes = 16 if "swapped_answers" in data else [16, 24]
    return {"training__train_size": sizes, "training__seeds": 2, **changes}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("world", WORLDS)
def test_chunks_are_the_same_whether_read_ahead_or_not(world, data, monkeypatch):
    """For every rule, over several passes of pool and universe, in whatever pieces they are asked for."""
    plain = pack(**worlds(world, data)).data
    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    batches = pack(**worlds(world, data)).data
    assert {type(group.read) is Prefetch for group in batches.groups if group.pool is None} == {True}
    assert not any(type(group.read) is Prefetch for group in plain.groups)
    plain.longest = batches.longest = 16
    for source in (group.read for group in batches.groups if group.pool is None):
        source._longest = 8
    rng, start = np.random.default_rng(1), 0
    for _ in range(10):
        start = int(rng.integers(0, 40)) if start >= 40 or rng.random() < 0.2 else start
        stop = start + int(rng.integers(1, 20))
        here, there = plain.block(start, stop), batches.block(start, stop)
        assert same((here.x, here.y), (there.x, there.y))
        start += here.steps


def test_training_asks_the_task_from_other_threads_only(monkeypatch):
    """Up to the last step, and for no sample beyond it; the pool of a real world is read once, before."""
    asked = []
    cells = BinaryOperations.cells

    def recorded(task, number):
        asked.append((threading.current_thread() is threading.main_thread(), number.shape))
        return cells(task, number)

    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    monkeypatch.setattr(BinaryOperations, "cells", recorded)
    trained = pack(training__seeds=2, training__train_size=16)
    assert {main for main, _ in asked} == {True}
    asked.clear()
    train_steps(trained, 3)
    train_steps(trained, 40)
    finish()
    assert {main for main, _ in asked} == {False}
    assert sum(shape[1] for _, shape in asked) == 40
    assert {(shape[0], shape[2]) for _, shape in asked} == {(2, 8)}


def test_reading_ends_where_a_phase_does(monkeypatch):
    """Another rule reads from there on."""
    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    raw = parity(task=ADDITION, training__max_steps=40, training__train_size=16)
    batches = Pack(runs_of({**raw, "phases": [{"at_step": 10, "set": {"optimizer.weight_decay": 0.5}}]})).data
    assert [group.read._end for group in batches.groups if group.pool is None] == [10]


def test_no_thread_outlives_its_pack(monkeypatch):
    """Nor does what it would have read."""
    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    trained = pack(training__seeds=1)
    train_steps(trained, 2)
    sources = [weakref.ref(group.read) for group in trained.data.groups if group.pool is None]
    assert len(sources) == 1
    del trained
    finish()
    gc.collect()
    assert [source() for source in sources] == [None]
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


@pytest.fixture
def no_waiting():
    """Whatever makes the host wait for the GPU raises."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("world", WORLDS)
def test_chunks_on_a_gpu_are_those_of_the_host(world, data, monkeypatch, no_waiting):
    """They come without a wait, on a stream of their own, however late the training stream reads them."""
    runs = runs_of(parity(task=ADDITION, data__test_samples=None, training__max_steps=40, **worlds(world, data)))
    plain = Pack(runs).data
    monkeypatch.setattr(Universe, "on_host", lambda task, device: True)
    batches = Pack(runs, Execution(device="cuda")).data
    plain.longest = batches.longest = 8
    batches.block(0, 1)
    torch.cuda.synchronize()
    found = []
    no_waiting()
    for start in range(1, 41, 8):
        torch.cuda._sleep(50_000_000)  # what trained before is still running when the blocks are let go
        block = batches.block(start, start + 8)
        assert block.x.is_cuda
        found.append((block.x.clone(), block.y.clone()))
    torch.cuda.set_sync_debug_mode("default")
    for start, (x, y) in zip(range(1, 41, 8), found, strict=True):
        here = plain.block(start, start + 8)
        assert same((here.x, here.y), (x.cpu(), y.cpu()))


@pytest.mark.gpu
def test_blocks_are_copied_on_a_stream_of_their_own():
    """From pinned memory, while the training stream is busy."""
    used = []

    def read(start, stop):
        used.append(torch.cuda.current_stream())
        host = torch.arange(start, stop).expand(2, -1).contiguous().pin_memory()
        return [host.to("cuda", non_blocking=True)]

    source = Prefetch(read, 8, 100, torch.device("cuda"))
    torch.cuda._sleep(4_000_000_000)  # seconds
    source(0, 4)
    finish()
    busy = torch.cuda.Event()
    busy.record()
    copied = source._coming.result().copied
    copied.synchronize()
    assert not busy.query()
    assert torch.cuda.current_stream() not in used
    assert source(2, 9)[0].tolist() == [list(range(2, 9))] * 2


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["eager", "graphed"])
def test_training_on_a_gpu_is_the_same_either_way(backend, monkeypatch):
    """Graphs too, which are captured while a thread allocates and copies."""
    runs = runs_of(parity(task=ADDITION, data__test_samples=None, training__max_steps=200, training__train_size=16))
    trained = []
    for on_host in (False, True):
        monkeypatch.setattr(Universe, "on_host", lambda task, device, on_host=on_host: on_host)
        trained.append(Pack(runs, Execution(device="cuda", backend=backend)))
        for stop in (1, 3, 50, 77, 200):
            train_steps(trained[-1], stop)
    assert torch.equal(trained[0].param_EP, trained[1].param_EP)

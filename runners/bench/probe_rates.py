"""Probes of speed: member steps a second of packs of every size, with the parts of a step and the memory."""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.backend import GRAPH_STEPS, Batch
from deepboot.bootstrap.training.coefficients import BLOCK_STEPS, Schedules
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import BackendName, Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.runners.bench.probe_studies import STUDIES, Found, Parts, runs_with, sized
from deepboot.runners.run.execute import out_of_memory
from deepboot.runners.run.process import wait_for

MEMBERS = {"cuda": (64, 512, 1, 8, 4_096), "cpu": (1, 2)}  # of a pack, in the order in which they are asked for
COMPILED_MEMBERS = {"cuda": (512, 64, 1, 4_096), "cpu": (2,)}  # each is compiled anew
TIMED_SECONDS = {"cuda": 0.6, "cpu": 0.05}  # of training
BLOCK_SECONDS = 0.3  # that a block takes at most, unless one step takes more
PART_SECONDS, TIMES = 0.3, 5  # for which, and how often at most, a part of a step is timed
FIRST_STEPS = 2


def rates(backend: BackendName, device: str) -> Parts:
    """Rates of three networks in packs of 1 to 4,096 members, with the parts of a step and the memory."""
    own: BackendName = backend if device == "cuda" else "eager"
    members = COMPILED_MEMBERS if backend == "compiled_graphed" else MEMBERS
    execution = Execution(device=device, backend=own)
    return {
        f"{name} {count:,}": partial(rate, partial(runs_with, sized(study, device), count), execution)
        for count in members[device]
        for name, study in STUDIES.items()
    }


def rate(runs_of_pack: Callable[[], Sequence[Run]], execution: Execution) -> Found:
    """Rate, memory and the parts of a step of one pack; a pack that the memory cannot hold is an answer too."""
    runs = runs_of_pack()
    named = {"members": len(runs), "backend": execution.backend, "sequential": execution.sequential}
    try:
        with torch_settings(runs[0], execution):
            return named | _rate(runs, execution)
    except Exception as error:
        if not out_of_memory(error.__context__ or error) and not out_of_memory(error):
            raise  # the context too, since the end of a capture that failed raises something else
        return named | {"said": "too large for the memory", "out_of_memory": True}


def _rate(runs: Sequence[Run], execution: Execution) -> Found:
    if execution.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    pack = Pack(runs, execution)
    evaluator = Evaluator(pack)
    _timed_steps(pack, FIRST_STEPS)  # compiled, or captured, now
    first_seconds = time.perf_counter() - began
    block = _block_steps(pack, _timed_steps(pack, FIRST_STEPS) / FIRST_STEPS)
    train_steps(pack, pack.step + block)  # captured now
    step_ms = _step_ms(pack, block)
    per_second = 1e3 * len(pack) / step_ms
    return {
        "said": f"{per_second:,.0f}/s",
        "rate": per_second,
        "step_ms": step_ms,
        "parts_ms": _parts_ms(pack, evaluator, block),
        "block_steps": block,
        "first_seconds": first_seconds,
        **_memory(pack),
    }


def _timed_steps(pack: Pack, steps: int) -> float:
    """Seconds of so many steps."""
    wait_for(pack.device)
    began = time.perf_counter()
    train_steps(pack, pack.step + steps)
    wait_for(pack.device)
    return time.perf_counter() - began


def _block_steps(pack: Pack, step_seconds: float) -> int:
    """Steps that one graph serves, a power of two: as many as a block of data holds, and not too long."""
    longest = min(GRAPH_STEPS, pack.data.longest, max(1, int(BLOCK_SECONDS / step_seconds)))
    return 1 << (longest.bit_length() - 1)


def _step_ms(pack: Pack, block: int) -> float:
    """Milliseconds of a step of the whole pack, in training without evaluations."""
    seconds, steps = 0.0, 0
    while seconds < TIMED_SECONDS[pack.device.type]:
        seconds += _timed_steps(pack, block)
        steps += block
    return 1e3 * seconds / steps


def _parts_ms(pack: Pack, evaluator: Evaluator, block: int) -> dict[str, float]:
    """Milliseconds of a step's parts, and of one evaluation and one copy of all states."""
    start, stop = pack.step, pack.step + block
    batch = next(pack.batches(stop))
    parts: dict[str, tuple[Callable[[], Any], int]] = {
        "data": (lambda: pack.data.block(start, stop), block),
        "coefficients": (_coefficients(pack.schedules), BLOCK_STEPS),
        "update": (lambda: _again(pack, batch), batch.steps),
        "evaluation": (evaluator.rows, 1),
        "states": (pack.states, 1),
    }
    return {name: _milliseconds(pack, work) / steps for name, (work, steps) in parts.items()}


def _coefficients(schedules: Schedules) -> Callable[[], Any]:
    """A function that computes the coefficients of one block of steps after another."""
    starts = itertools.count(0, BLOCK_STEPS)  # each block once, since the last is kept

    def block() -> None:
        start = next(starts)
        schedules.coefficients(start, start + BLOCK_STEPS)

    return block


def _again(pack: Pack, batch: Batch) -> None:
    """Train on a batch and count its steps as not done, so that it may come again."""
    pack.update(batch)
    pack.step -= batch.steps


def _milliseconds(pack: Pack, work: Callable[[], Any]) -> float:
    """The median time of some work, after once without a clock."""
    work()
    found = list[float]()
    while len(found) < TIMES and sum(found) < PART_SECONDS:
        wait_for(pack.device)
        began = time.perf_counter()
        work()
        wait_for(pack.device)
        found.append(time.perf_counter() - began)
    return 1e3 * statistics.median(found)


def _memory(pack: Pack) -> Found:
    """Bytes of the device at the worst moment, per member; a CPU does not tell."""
    if pack.device.type != "cuda":
        return {"member_bytes": None}
    taken, reserved = torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved()
    return {"member_bytes": taken // len(pack), "taken_bytes": taken, "reserved_bytes": reserved}

"""Probes of variants: products of fewer bits, ResNet-18 stacked and one member at a time, and who waits for the device.

Shapes: E members, P parameters of one member.
"""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import BackendName, Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.runners.bench.probe_rates import rate
from deepboot.runners.bench.probe_studies import (
    ONLY_ON_A_GPU,
    STUDIES,
    Found,
    Parts,
    fast_backend,
    images,
    runs_with,
    sized,
)
from deepboot.runners.run.process import wait_for

PACK_MEMBERS = {"cuda": 64, "cpu": 2}
COMPARED_STEPS = {"cuda": 64, "cpu": 4}
WATCHED_STEPS = 200
FAST_IMAGES = {"precision": "bf16", "channels_last": True}


def precisions(device: str) -> Parts:
    """What products of fewer bits gain in speed, and how far they lead away from float32."""
    execution = Execution(device=device, backend=fast_backend(device))
    return {
        f"{name} {precision}": partial(
            precise, partial(runs_with, sized(STUDIES[name], device), PACK_MEMBERS[device]), precision, execution
        )
        for name in ("addition", "transformer")
        for precision in ("float32", "tf32", "bf16", "bf16_products")
    }


def precise(runs_in: Callable[..., list[Run]], precision: str, execution: Execution) -> Found:
    """The rate in one precision, and how far it leads from float32: a share of the way that parameters have come."""
    found = rate(partial(runs_in, precision=precision), execution)
    if "out_of_memory" in found:
        return found
    plain_EP, start_EP = _trained(runs_in(precision="float32"), execution)
    other_EP, _ = _trained(runs_in(precision=precision), execution)
    distance = float(((other_EP - plain_EP).norm(dim=1) / (plain_EP - start_EP).norm(dim=1)).max())
    said = f"{found['said']}, {distance:.1g} of the way from float32"
    problem = None if other_EP.isfinite().all() else "parameters are not finite"
    return found | {"said": said, "problem": problem, "distance": distance}


def _trained(runs: list[Run], execution: Execution) -> tuple[Tensor, Tensor]:
    """Parameters after some steps and at the start, (E, P)."""
    with torch_settings(runs[0], execution):
        pack = Pack(runs, execution)
        start_EP = pack.param_EP.clone()
        train_steps(pack, COMPARED_STEPS[execution.device])
        return pack.param_EP, start_EP


def resnet(device: str) -> Parts:
    """ResNet-18 of both worlds: stacked or one member at a time, batches of 128 and 1,024, bf16 and channels-last."""
    study, fast = images(device), fast_backend(device)
    batches = (128, 1_024) if device == "cuda" else (4,)
    parts = {
        f"{batch:,} {'sequential' if sequential else 'stacked'}": partial(
            rate,
            partial(runs_with, study, 2, batch_size=batch, **FAST_IMAGES),
            Execution(device=device, backend=fast, sequential=sequential),
        )
        for batch in batches
        for sequential in (True, False)
    }
    eager = Execution(device=device, sequential=True)
    return {
        **parts,
        "sequential, eager": partial(rate, partial(runs_with, study, 2, **FAST_IMAGES), eager),
        "sequential, float32": partial(rate, partial(runs_with, study, 2), eager),
    }


def waits(device: str) -> Parts:
    """Which lines make the host wait for the device: none between evaluations, one at each."""
    if device != "cuda":
        return {"eager and graphed": lambda: ONLY_ON_A_GPU}
    backends: tuple[BackendName, ...] = ("eager", "graphed")
    return {
        f"{name} {backend}": partial(
            waited, partial(runs_with, STUDIES[name], 8), Execution(device=device, backend=backend)
        )
        for name in ("parity", "addition")
        for backend in backends
    }


def waited(runs_of_pack: Callable[[], list[Run]], execution: Execution) -> Found:
    """How often training and one evaluation make the host wait, and in which lines."""
    runs = runs_of_pack()
    with torch_settings(runs[0], execution):
        pack = Pack(runs, execution)
        evaluator = Evaluator(pack)
        train_steps(pack, WATCHED_STEPS)  # captures its graphs
        evaluator.rows()
        wait_for(pack.device)
        training = waiting_lines(lambda: train_steps(pack, 2 * WATCHED_STEPS))
        evaluation = waiting_lines(evaluator.rows)
    return {
        "said": f"{len(training)} waits in training, {len(evaluation)} in an evaluation",
        "problem": f"training waits for the device at {', '.join(sorted(set(training)))}" if training else None,
        "training": training,
        "evaluation": evaluation,
    }


def waiting_lines(work: Callable[[], object]) -> list[str]:
    """The lines of some work that made the host wait for the device, each as often as it did."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [one for one in caught if "synchroniz" in str(one.message)]
    return [f"{Path(one.filename).name}:{one.lineno}" for one in waits]

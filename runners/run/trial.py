"""A short trial: how many member steps a second a pack makes, and what memory it takes."""

import time
from typing import Any

import torch
from pydantic import BaseModel

from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.backend_check import disagreement
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.wording import error_line
from deepboot.runners.run.execute import out_of_memory
from deepboot.runners.run.process import guest, prepare, wait_for

WARM_UP_STEPS = 2
TRIAL_SECONDS = 0.5


class Trial(Settings):
    """A pack of these runs, stepped in this way for so long once it is warm.

    Attributes:
        check: whether to try instead if the backend trains as ``eager`` does; the rate is then 0.
    """

    runs: list[Run]
    execution: Execution = Execution()
    plugins: tuple[str, ...] = ()
    trial_seconds: float = TRIAL_SECONDS
    check: bool = False


class Rate(BaseModel):
    """The result of a trial.

    Attributes:
        rate: member steps a second, evaluation left out; 0 where it failed.
        member_bytes: memory per member, as far as the device tells.
        first_seconds: time until the first steps were done, in which steps are compiled.
        problem: why it failed.
        out_of_memory: whether that is because the pack does not fit the device, which can be used further.
        checked: whether a check came to its end, so that its answer may be remembered.
    """

    rate: float
    member_bytes: int = 0
    first_seconds: float = 0.0
    problem: str | None = None
    out_of_memory: bool = False
    checked: bool = False


def measure(trial: Trial) -> Rate:
    """Carry out one trial; what a compiler or a device raises is part of the answer."""
    with guest():
        prepare(trial.execution.threads)
        try:
            if trial.check:
                return Rate(rate=0.0, problem=disagreement(trial.runs, trial.execution), checked=True)
            with torch_settings(trial.runs[0], trial.execution):
                return _measure(trial)
        except (Exception, SystemExit) as error:  # no compiler, no memory, what cannot be captured, a plugin
            return Rate(rate=0.0, problem=error_line(error), out_of_memory=out_of_memory(error))


def _measure(trial: Trial) -> Rate:
    on_gpu = trial.execution.device != "cpu"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    pack = Pack(trial.runs, trial.execution)
    evaluator = Evaluator(pack)  # which takes memory too
    budget = trial.runs[0].max_steps
    train_steps(pack, min(WARM_UP_STEPS * pack.stride, budget))  # the second stride is a replay
    wait_for(pack.device)
    warm, first = time.perf_counter(), pack.step
    block = max(pack.stride, 4)
    while pack.step == first or (time.perf_counter() - warm < trial.trial_seconds and pack.step < budget):
        train_steps(pack, min(pack.step + block, max(budget, pack.step + 1)))
        wait_for(pack.device)
        block *= 2 if (time.perf_counter() - warm) * 4 < trial.trial_seconds else 1
    seconds = max(time.perf_counter() - warm, 1e-9)
    taken = torch.cuda.max_memory_allocated() if on_gpu else sum(map(_bytes, _tensors(pack, evaluator)))
    return Rate(
        rate=(pack.step - first) * len(pack) / seconds,
        member_bytes=taken // len(pack),
        first_seconds=warm - began,
    )


def _bytes(tensor: torch.Tensor) -> int:
    """Bytes of a tensor; one that is expanded takes no more than its memory."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _tensors(pack: Pack, evaluator: Evaluator) -> list[torch.Tensor]:
    """The tensors that a pack keeps: parameters and their gradient, optimizer, data of a block, pools and test sets."""
    block = pack.data.block(pack.step, pack.step + pack.data.longest)
    kept: list[Any] = [pack.param_EP, pack.param_EP, *pack.members.optimizer_state.values(), block.x, block.y]
    kept += pack.members.transform_state.values()
    kept += [part for group in pack.data.groups if group.pool is not None for part in group.pool]
    return [*kept, evaluator.test.x, evaluator.test.y]

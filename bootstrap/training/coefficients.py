"""The optimizer's coefficients of many steps at a time: learning-rate schedule, corrections and decay of every member.

Shapes: E members, S steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepboot.bootstrap.optimizers import Optimizer, hyperparameters
from deepboot.bootstrap.streams import to_device
from deepboot.bootstrap.study.run import Run

BLOCK_STEPS = 64  # steps whose coefficients are computed together

Coefficients = dict[str, Tensor]  # by name, each (S, E, 1), or of one step (E, 1)


def coefficients_of(
    run: Run, optimizers: Sequence[Optimizer], start: int, stop: int, *, noisy: bool, device: torch.device
) -> Coefficients:
    """Coefficients of steps start .. stop - 1, each (S, E, 1), in the run's dtype.

    They are computed for whole blocks of steps, so that where a run is cut does not round them differently.

    Args:
        run: any of the members', which share a schedule and a budget.
        optimizers: one per member, of one kind.
        start, stop: updates done before the first and after the last of these steps.
        noisy: whether to add what noise needs: ``noise_rate``, and ``step``, int64, (S, 1, 1).
        device: where they are wanted.
    """
    first = start // BLOCK_STEPS * BLOCK_STEPS
    blocks = [_block(run, optimizers, begin, noisy=noisy) for begin in range(first, stop, BLOCK_STEPS)]
    tables = {name: torch.cat([block[name] for block in blocks])[start - first : stop - first] for name in blocks[0]}
    dtype = getattr(torch, run.dtype)
    on_device = {name: to_device(table_SE.to(dtype), device)[..., None] for name, table_SE in tables.items()}
    if noisy:
        on_device["step"] = torch.arange(start, stop, device=device)[:, None, None]
    return on_device


def _block(run: Run, optimizers: Sequence[Optimizer], begin: int, *, noisy: bool) -> dict[str, Tensor]:
    """Coefficients of one block of steps, float64, (BLOCK_STEPS, E)."""
    step_S1 = torch.arange(begin + 1, begin + BLOCK_STEPS + 1, dtype=torch.float64)[:, None]
    hyper = hyperparameters(optimizers)
    hyper["lr"] = hyper["lr"] * learning_rate_factor(run, step_S1)
    noise_rate = {"noise_rate": hyper["lr"]} if noisy else {}
    return {**optimizers[0].coefficients(hyper, step_S1), **noise_rate}


def learning_rate_factor(run: Run, step_S1: Tensor) -> Tensor:
    """Factor on the learning rate at these updates (1 for the first), (S, 1), by the run's schedule."""
    schedule = run.schedule
    warmup = (step_S1 / schedule.warmup_steps).clamp(max=1) if schedule.warmup_steps else torch.ones_like(step_S1)
    done = (step_S1 - 1 - schedule.warmup_steps).clamp(min=0) / max(run.max_steps - schedule.warmup_steps, 1)
    if schedule.shape == "cosine":
        return warmup * (1 + torch.cos(torch.pi * done)) / 2
    return warmup * (1 - done) if schedule.shape == "linear" else warmup

"""The optimizer's coefficients of many steps at a time: learning-rate schedule, corrections and decay of every member.

Shapes: E members, S steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from deepboot.bootstrap.optimizers import Hyper, Optimizer, hyperparameters
from deepboot.bootstrap.streams import to_device
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.layers import prefix, with_factors

BLOCK_STEPS = 64  # steps whose coefficients are computed together

Coefficients = dict[str, Tensor]  # by name, each (S, E, 1), or of one step (E, 1)


class Schedules:
    """Coefficients of any steps of a pack, in the runs' dtype, on the device.

    They are computed for whole blocks of steps, so that where a run is cut does not round them differently, and the
    last block is kept, since several calls ask for parts of it. Those of a layer with factors stand under its prefix.

    Args:
        runs: of the members, which share a schedule and a budget.
        optimizers: one per member, of one kind.
        noisy: whether to add what noise needs: ``noise_rate``, and ``step``, int64, (S, 1, 1), as transforms need it.
        host: whether to add the optimizer's numbers for the host, ``host``, float64, (S, E, K), where it has any.
        device: where they are wanted.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        optimizers: Sequence[Optimizer],
        *,
        noisy: bool,
        device: torch.device,
        host: bool = False,
    ):
        self._runs, self._run = runs, runs[0]
        self._optimizer, self._device = optimizers[0], device
        self._noisy, self._host = noisy, host
        self._dtype = getattr(torch, runs[0].dtype)
        self._hyper = hyperparameters(optimizers)
        self._number, self._last = -1, Coefficients()

    def coefficients(self, start: int, stop: int) -> Coefficients:
        """Coefficients of steps start .. stop - 1, each (S, E, 1)."""
        first = start // BLOCK_STEPS
        blocks = [self._block(number) for number in range(first, (stop - 1) // BLOCK_STEPS + 1)]
        start, stop = start - first * BLOCK_STEPS, stop - first * BLOCK_STEPS
        if len(blocks) == 1:
            return {name: table[start:stop] for name, table in blocks[0].items()}
        return {name: torch.cat([block[name] for block in blocks])[start:stop] for name in blocks[0]}

    def _block(self, number: int) -> Coefficients:
        """Coefficients of one block of steps, each (BLOCK_STEPS, E, 1)."""
        if number != self._number:
            begin = number * BLOCK_STEPS
            step_S1 = torch.arange(begin + 1, begin + BLOCK_STEPS + 1, dtype=torch.float64)[:, None]
            factor_S1, rates = learning_rate_factor(self._run, step_S1), self._optimizer.rates
            hyper = {**self._hyper, **{name: self._hyper[name] * factor_S1 for name in rates}}
            self._number, self._last = number, self._tables(hyper, step_S1)
            for layer in self._run.layers:
                own = self._tables(with_factors(hyper, self._runs, layer, rates), step_S1)
                self._last |= {f"{prefix(layer)}{name}": table for name, table in own.items()}
            if self._noisy:
                self._last["noise_rate"] = self._on_device(hyper["lr"])
            if self._noisy or self._run.transforms:
                self._last["step"] = torch.arange(begin, begin + BLOCK_STEPS, device=self._device)[:, None, None]
        return self._last

    def _tables(self, hyper: Hyper, step_S1: Tensor) -> Coefficients:
        """The optimizer's coefficients for these hyperparameters, each (S, E, 1), and its numbers for the host."""
        tables = self._optimizer.coefficients(hyper, step_S1)
        numbers = self._optimizer.host_coefficients(hyper, step_S1) if self._host else None
        on_device = {name: self._on_device(table_SE) for name, table_SE in tables.items()}
        return on_device if numbers is None else {**on_device, "host": numbers}

    def _on_device(self, table_SE: Tensor) -> Tensor:
        return to_device(table_SE.to(self._dtype), self._device)[..., None]


def learning_rate_factor(run: Run, step_S1: Tensor) -> Tensor:
    """Factor on the learning rate at these updates (1 for the first), (S, 1), by the run's schedule."""
    schedule = run.schedule
    warmup = (step_S1 / schedule.warmup_steps).clamp(max=1) if schedule.warmup_steps else torch.ones_like(step_S1)
    done = (step_S1 - 1 - schedule.warmup_steps).clamp(min=0) / max(run.max_steps - schedule.warmup_steps, 1)
    if schedule.shape == "cosine":
        return warmup * (1 + torch.cos(torch.pi * done)) / 2
    return warmup * (1 - done) if schedule.shape == "linear" else warmup

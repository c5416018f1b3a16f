"""The one member step and the one training loop, for a pack of members stepped together.

Shapes: E members, S steps of a chunk, B samples of a batch, V classes, P parameters.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bootstrap import metrics, registry, streams
from bootstrap.data import Supply, build_task
from bootstrap.evaluate import Evaluator
from bootstrap.feed import Feed
from bootstrap.models.stack import Stack
from bootstrap.optimizers import Optimizer, hyperparameters
from bootstrap.run import Run, evaluation_steps, scheduled_steps
from bootstrap.study import own_settings
from bootstrap.task import Task

COEFFICIENT_STEPS = 64  # steps whose coefficients are computed together
ONLINE_NUMBERS = {"cpu": 1 << 17, "cuda": 1 << 26}  # logits noted before their errors are counted

State = dict[str, Tensor]  # one member's: "parameters" (P,), "slots.<name>" (P,), "step" (), "online" (3,)


@dataclass
class Outcome:
    """What a run gave so far: its evaluated rows, how it ended, and the state to go on from."""

    run: Run
    rows: list[dict[str, Any]] = field(default_factory=list)
    status: str = "finished"
    last_step: int = 0
    seconds: float = 0.0
    state: State = field(default_factory=dict)


Snapshot = Callable[[], list[Outcome]]


def train(
    runs: Sequence[Run],
    *,
    device: torch.device | str = "cpu",
    begun: Sequence[Outcome] | None = None,
    tick: Callable[[Snapshot], None] = lambda snapshot: None,
) -> list[Outcome]:
    """Train a pack of runs to their budget.

    Args:
        runs: of one shape: all but world, pool size, streams' seeds and numeric hyperparameters is equal.
        device: where everything is computed.
        begun: what the runs gave so far, all up to one step; None starts at step 0.
        tick: called after every step with a function that gives the outcomes so far. Training goes on
            from these, at any step, exactly as it would have.
    """
    began = time.perf_counter()
    pack = Pack(runs, device, [outcome.state for outcome in begun] if begun else None)
    outcomes = [replace(outcome, rows=[*outcome.rows]) for outcome in begun or map(Outcome, runs)]
    seconds = [outcome.seconds for outcome in outcomes]
    evaluated = max(outcome.last_step for outcome in outcomes) if begun else -1
    scheduled = scheduled_steps(runs[0].evaluation, runs[0].max_steps)

    def snapshot() -> list[Outcome]:
        pack.online.count()
        elapsed = (time.perf_counter() - began) / len(runs)
        parts = zip(outcomes, pack.states(), seconds, strict=True)
        return [
            replace(outcome, rows=[*outcome.rows], state=state, seconds=before + elapsed)
            for outcome, state, before in parts
        ]

    for stop in evaluation_steps(runs[0].evaluation, runs[0].max_steps):
        if stop <= evaluated:
            continue
        train_steps(pack, stop, lambda: tick(snapshot))
        for outcome, row in zip(outcomes, pack.evaluator.rows(), strict=True):
            if outcome.status == "finished":
                outcome.rows.append(row)
                outcome.last_step = stop
                finite = math.isfinite(row["test_loss"]) and math.isfinite(row["weight_norm"])
                outcome.status = "finished" if finite else "diverged"
        if stop in scheduled:
            pack.online.sums_3E.zero_()
        if all(outcome.status == "diverged" for outcome in outcomes):
            break
    return snapshot()


def train_steps(pack: "Pack", stop: int, tick: Callable[[], None] = lambda: None) -> None:
    """The member step, again and again: train every member of a pack up to step ``stop``."""
    while pack.step < stop:
        chunk = pack.feed.chunk(pack.step, stop)
        coefficients = pack.coefficients(pack.step, pack.step + chunk.steps)
        for x_EB, y_EB, at in zip(*chunk.batches(), coefficients, strict=True):
            logits_EBV = pack.logits(x_EB)
            loss_E = pack.loss(logits_EBV, y_EB).mean(1)
            pack.update(pack.stack.gradient(loss_E.sum()), at)
            pack.online.see(logits_EBV.detach(), y_EB, loss_E.detach())
            pack.step += 1
            tick()
        pack.online.count()


class Online:
    """Loss and error of the batches since the last evaluation, as they were before their updates.

    Batches are counted several at a time: as many as fit a core's cache, since their logits are
    read again.

    Attributes:
        sums_3E: float64, (3, E): sum of losses, of errors, and the number of batches.
    """

    def __init__(self, sums_3E: Tensor):
        self.sums_3E = sums_3E
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []
        self._numbers = 0

    def see(self, logits_EBV: Tensor, label_EB: Tensor, loss_E: Tensor) -> None:
        """Take note of one batch."""
        self._batches.append((logits_EBV, label_EB, loss_E))
        self._numbers += logits_EBV.numel()
        if self._numbers >= ONLINE_NUMBERS[logits_EBV.device.type]:
            self.count()

    def count(self) -> None:
        """Add all noted batches to the sums; their labels' memory may be used again afterwards."""
        if not self._batches:
            return
        logits_SEBV, label_SEB, loss_SE = (torch.stack(parts) for parts in zip(*self._batches, strict=True))
        wrong_SE = metrics.wrong(logits_SEBV, label_SEB).double().mean(-1)
        each_S3E = torch.stack((loss_SE.double(), wrong_SE, torch.ones_like(wrong_SE)), 1)
        # added one after another, so that sums do not depend on how batches were grouped
        self.sums_3E.copy_(torch.cat((self.sums_3E[None], each_S3E)).cumsum(0)[-1])
        self._batches, self._numbers = [], 0


class Pack:
    """Stacked members: one model, one optimizer, one step counter, and what they are evaluated on."""

    def __init__(self, runs: Sequence[Run], device: torch.device | str, states: Sequence[State] | None = None):
        first = runs[0]
        self.runs, self.device = runs, torch.device(device)
        self.dtype = getattr(torch, first.dtype)
        self.task = build_task(first.task)
        _same_recording(first, self.task)
        self.stack = Stack(first.model["name"], own_settings(first.model), self.task, self.device)
        self.stack.module.to(self.dtype)
        self._loss = registry.find("loss", first.loss["name"]).target
        self._loss_settings = own_settings(first.loss)
        scale = [run.model["output_scale"] for run in runs]
        self.output_scale = torch.tensor(scale, dtype=self.dtype, device=self.device)[:, None, None]
        self.rescales = any(value != 1 for value in scale)
        self.optimizers: list[Optimizer] = [_optimizer(run) for run in runs]
        self.optimizer = type(self.optimizers[0])
        self.supply = Supply(self.task, runs, self.device)
        self.feed = Feed(self.supply, runs, self.dtype)
        self.step = 0
        self.online = Online(torch.zeros(3, len(runs), dtype=torch.float64, device=self.device))
        keys = streams.keys([run.stream_seed("init") for run in runs], "init", self.device)
        scale_E1 = torch.tensor([[run.model["init_scale"]] for run in runs], device=self.device)
        self.param_EP = self.stack.initial(keys, scale_E1).to(self.dtype)
        self.slots = self.optimizer.begin(self.param_EP, self.optimizers)
        if states is not None:
            self._restore(states)
        self.stack.bind(self.param_EP)
        self.evaluator = Evaluator(self)

    def logits(self, x: Tensor, members: slice | None = None) -> Tensor:
        """Logits of all members, or of those bound to the model, (E, B * answers, V)."""
        logits_EBV = self.stack(x)
        if not self.rescales:
            return logits_EBV
        return logits_EBV * (self.output_scale if members is None else self.output_scale[members])

    def loss(self, logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
        """Loss of every sample, (E, B)."""
        return self._loss(logits_EBV, label_EB, **self._loss_settings)

    def coefficients(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """The optimizer's coefficients of steps start .. stop - 1, each (E, 1), one step after another.

        They are computed for whole blocks of steps, so that where a run is cut does not round them differently.
        """
        for block in range(start // COEFFICIENT_STEPS, (stop - 1) // COEFFICIENT_STEPS + 1):
            begin = block * COEFFICIENT_STEPS
            step_S1 = torch.arange(begin + 1, begin + COEFFICIENT_STEPS + 1, dtype=torch.float64)[:, None]
            hyper = hyperparameters(self.optimizers)
            hyper["lr"] = hyper["lr"] * learning_rate_factor(self.runs[0], step_S1)
            tables = {
                name: table_SE.to(self.dtype).to(self.device)[..., None].unbind(0)
                for name, table_SE in self.optimizer.coefficients(hyper, step_S1).items()
            }
            for step in range(max(start - begin, 0), min(stop - begin, COEFFICIENT_STEPS)):
                yield {name: table[step] for name, table in tables.items()}

    def update(self, grad_EP: Tensor, at: dict[str, Tensor]) -> None:
        """One optimizer update of every member."""
        with torch.no_grad():
            self.optimizer.update(self.param_EP, grad_EP, self.slots, at)

    def states(self) -> list[State]:
        """Every member's state, from which training goes on exactly as it would have."""
        return [
            {
                "parameters": self.param_EP[place].clone(),
                "step": torch.tensor(self.step),
                "online": self.online.sums_3E[:, place].clone(),
                **{f"slots.{name}": slot[place].clone() for name, slot in self.slots.items()},
            }
            for place in range(len(self.runs))
        ]

    def _restore(self, states: Sequence[State]) -> None:
        self.step = int(states[0]["step"])
        assert all(int(state["step"]) == self.step for state in states), "members of a pack share one step counter"
        self.param_EP = torch.stack([state["parameters"] for state in states]).to(self.device)
        self.online = Online(torch.stack([state["online"] for state in states], 1).to(self.device))
        for name, begun in self.slots.items():
            rows = [state.get(f"slots.{name}", begun[place]) for place, state in enumerate(states)]
            self.slots[name] = torch.stack([row.to(self.device) for row in rows])


def learning_rate_factor(run: Run, step_S1: Tensor) -> Tensor:
    """What the schedule multiplies the learning rate by at these updates (1 for the first), (S, 1)."""
    schedule = run.schedule
    warmup = (step_S1 / schedule.warmup_steps).clamp(max=1) if schedule.warmup_steps else torch.ones_like(step_S1)
    done = (step_S1 - 1 - schedule.warmup_steps).clamp(min=0) / max(run.max_steps - schedule.warmup_steps, 1)
    if schedule.shape == "cosine":
        return warmup * (1 + torch.cos(torch.pi * done)) / 2
    return warmup * (1 - done) if schedule.shape == "linear" else warmup


def _same_recording(run: Run, task: Task) -> None:
    """Refuse a recording that was changed since the run was planned: its identity names other data."""
    if run.code.get("data") != getattr(task, "fingerprint", None):
        raise ValueError("the recording of `task` was changed while the study ran. Run the study again.")


def _optimizer(run: Run) -> Optimizer:
    return registry.find("optimizer", run.optimizer["name"]).target(**own_settings(run.optimizer))

"""``deepboot bench``: one run's steps a second against the shortest honest plain PyTorch loop.

Both sides train the same model on the same task with the same batch size and thread, in this
process, by turns; the ratio of their times is what is reported, since absolute times wander.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bootstrap.pack import Pack
from bootstrap.registry import suggestion
from bootstrap.run import Run, evaluation_steps
from bootstrap.sweep import runs_of
from bootstrap.train import train_steps
from runners import environment, shipped
from runners.process import prepare

TURNS = 5


@dataclass(frozen=True)
class Figure:
    """What one benchmark measured; times are milliseconds of one step, medians over turns."""

    name: str
    plain_ms: float
    harness_ms: float
    ratio: float
    evaluation_share: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.name:12} plain {self.plain_ms:7.3f} ms   harness {self.harness_ms:7.3f} ms   "
            f"ratio {self.ratio:.2f}   evaluation {self.evaluation_share:.1%}"
        )


class PlainMLP(nn.Module):
    """Two embedded operands, one hidden layer: what a person would write."""

    def __init__(self, modulus: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(modulus + 2, width)
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, modulus)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(self.embedding(x[:, [0, 2]]).flatten(1))))


class PlainTransformer(nn.Module):
    """torch's own encoder layers with a causal mask, logits at the last position."""

    def __init__(self, modulus: int, width: int, heads: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(modulus + 2, width)
        self.position = nn.Parameter(torch.randn(4, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.output = nn.Linear(width, modulus, bias=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.blocks(self.embedding(x) + self.position, mask=self.mask, is_causal=True)
        return self.output(hidden[:, -1])


def _addition(model: dict[str, Any], batch: int, max_steps: int) -> dict[str, Any]:
    return {
        "question": "How fast is one run?",
        "task": {"name": "binary_operations", "operation": "x+y", "modulus": 97},
        "model": model,
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98]},
        "training": {"train_fraction": 0.5, "batch_size": batch, "max_steps": max_steps, "seeds": 1, "ideal": False},
    }


@dataclass(frozen=True)
class Contest:
    """The same model twice: as a study for the harness, as a module for the plain loop."""

    study: dict[str, Any]
    module: Callable[[], nn.Module]
    steps: int  # of one turn


CONTESTS = {
    "mlp": Contest(_addition({"name": "mlp", "width": 128}, 512, 10_000), lambda: PlainMLP(97, 128), 400),
    "transformer": Contest(
        _addition({"name": "transformer"}, 512, 10_000), lambda: PlainTransformer(97, 128, 4, 2), 20
    ),
}


def run(names: Sequence[str], out: Path | None = None) -> list[str]:
    """Run the named benchmarks, or all of them, on one thread; lines to print.

    Raises:
        ValueError: no benchmark of that name.
    """
    for name in names:
        if name not in CONTESTS:
            raise ValueError(f"unknown benchmark {name!r}. {suggestion(name, sorted(CONTESTS))}")
    shipped.load()
    threads = torch.get_num_threads()
    prepare(1)  # for both sides
    try:
        figures = [_measure(name, CONTESTS[name]) for name in names or CONTESTS]
    finally:
        torch.set_num_threads(threads)
    machine = environment.processor()
    if out is not None:
        out.write_text(json.dumps({"machine": machine, "figures": [asdict(figure) for figure in figures]}, indent=2))
    return [
        f"{machine}, one thread, {TURNS} turns each; ratio = plain / harness time of a step, evaluation included",
        *(figure.line() for figure in figures),
    ]


def _measure(name: str, contest: Contest) -> Figure:
    (specification,) = runs_of(contest.study)
    pack = Pack([specification], "cpu")
    plain = _plain_loop(pack, contest)
    train_steps(pack, 10)
    plain(10)
    plain_times, step_times, evaluation_times = [], [], []
    for _ in range(TURNS):
        plain_times.append(_seconds(lambda: plain(contest.steps)) / contest.steps)
        goal = pack.step + contest.steps
        step_times.append(_seconds(lambda goal=goal: train_steps(pack, goal)) / contest.steps)  # type: ignore[misc]
        evaluation_times.append(_seconds(pack.evaluator.rows))
    evaluation = statistics.median(evaluation_times) * _evaluations_per_step(specification)
    harness = [step + evaluation for step in step_times]
    ratio = statistics.median(a / b for a, b in zip(plain_times, harness, strict=True))
    middle = statistics.median(harness)
    return Figure(name, 1e3 * statistics.median(plain_times), 1e3 * middle, ratio, evaluation / middle)


def _evaluations_per_step(specification: Run) -> float:
    """How many evaluations the default schedule has per step of the study's budget."""
    return len(evaluation_steps(specification.evaluation, specification.max_steps)) / specification.max_steps


def _plain_loop(pack: Pack, contest: Contest) -> Callable[[int], None]:
    """The loop a person would write, on the same pool, reshuffled every pass."""
    torch.manual_seed(0)
    pool = pack.feed.groups[0].pool
    assert pool is not None
    x, y = pool.x[0], pool.y[0]
    model = contest.module()
    settings = {key: contest.study["optimizer"][key] for key in ("lr", "weight_decay", "betas")}
    optimizer = torch.optim.AdamW(model.parameters(), **settings)
    batch = contest.study["training"]["batch_size"]

    def loop(steps: int) -> None:
        order, place = torch.randperm(len(x)), 0
        for _ in range(steps):
            if place + batch > len(x):
                order, place = torch.randperm(len(x)), 0
            chosen = order[place : place + batch]
            place += batch
            loss = nn.functional.cross_entropy(model(x[chosen]), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

"""``deepboot bench images``: loader and training loop for images, against torchvision's and a plain loop.

Both sides work on the same random images of 32 x 32 pixels, by turns, on one thread of a CPU or on one GPU.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.run import Run, evaluation_steps
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.training.train import train_steps
from deepboot.datasets.shapes.task import Shapes
from deepboot.runners.bench.contests import plain_cnn, plain_resnet
from deepboot.runners.run.process import prepare

IMAGES, SIZE, BATCH, STEPS = 20_000, 32, 128, 39_000
TURNS = 5
WIDTH = 16  # of the small network on a CPU
MODELS = {"cpu": {"name": "cnn", "width": WIDTH}, "cuda": {"name": "resnet"}}
DRAWN = {"cpu": 4_096, "cuda": 1 << 18}  # images drawn at a time
TIMED = {"cpu": 10, "cuda": 200}  # steps of one turn


@dataclass(frozen=True)
class Versus:
    """One task in two implementations: rates a second and their ratio, all medians over turns."""

    name: str
    harness: float
    other: str
    other_rate: float
    ratio: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.name:28} {self.harness:12,.0f} images/s   {self.other:24} {self.other_rate:12,.0f} "
            f"images/s   ratio {self.ratio:.2f}"
        )


@dataclass(frozen=True)
class EvaluationShare:
    """The share of evaluations in the time of a training run of the usual length."""

    name: str
    share: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return f"{self.name:28} {self.share:.1%} of the time, {STEPS:,} steps of {BATCH} images, the default schedule"


@dataclass(frozen=True)
class Made:
    """Images of a generator a second, median over turns."""

    name: str
    rate: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return f"{self.name:28} {self.rate:12,.0f} images/s"


def race(device: str) -> list[Versus | EvaluationShare | Made]:
    """Loader, loop and evaluation of one member, each beside another implementation."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, IMAGES)
        np.savez(Path(folder) / "images.npz", x=images, y=labels)
        augmented, plain = (_pack(Path(folder) / "images.npz", device, kind) for kind in ("crop_flip", "none"))
    prepare(1)
    return [
        _loader(augmented, images, labels),
        _loop(augmented, device),
        _whole(plain, device),
        _evaluation(plain, device),
        *(_made(size, device) for size in (16, 32)),
    ]


def _pack(path: Path, device: str, augmentation: str) -> Pack:
    run: Run
    (run,) = runs_of({
        "question": "How fast is it?", "task": {"name": "recording", "path": str(path), "num_classes": 10},
        "model": MODELS[device], "optimizer": {"name": "sgd", "lr": 0.1},
        "data": {"augmentation": augmentation},
        "training": {
            "train_size": IMAGES // 2, "batch_size": BATCH, "max_steps": STEPS, "seeds": 1, "ideal": False,
            "precision": "bf16" if device != "cpu" else "float32", "channels_last": device != "cpu",
        },
    })  # fmt: skip
    return Pack([run], device)


def _loader(pack: Pack, images: np.ndarray, labels: np.ndarray) -> Versus:
    """Ready batches: gathered, cropped, flipped and normalised."""
    batches = DataLoader(_Torchvision(images, labels), batch_size=BATCH, shuffle=True, drop_last=True)
    theirs = iter(batches)
    ours = _ready(pack)

    def step(source: Iterator[Any]) -> Callable[[], Any]:
        return lambda: next(source)

    rates = _rates(pack.device, {"ours": (step(ours), 40), "theirs": (step(theirs), 4)})
    return _versus("loader", "torchvision + DataLoader", rates, BATCH)


def _ready(pack: Pack) -> Iterator[Tensor]:
    start = 0
    while True:
        block = pack.batches.block(start, start + pack.batches.longest)
        for x_EB in block.batches()[0]:
            yield pack.member_step.read(x_EB)
        start += block.steps


def _loop(pack: Pack, device: str) -> Versus:
    """Training with the loader, and the same on one batch that never changes."""
    train_steps(pack, 2)
    block = pack.batches.block(pack.step, pack.step + TIMED[device])
    steps = block.steps

    def constant() -> None:
        for done in pack.advance(block):
            pack.step -= done

    rates = _rates(
        pack.device,
        {"ours": (lambda: train_steps(pack, pack.step + steps), 1), "theirs": (constant, 1)},
    )
    return _versus("training with its loader", "one batch for ever", rates, BATCH * steps)


def _whole(pack: Pack, device: str) -> Versus:
    """Training without augmentation beside the shortest loop with the same network."""
    train_steps(pack, 2)
    plain = _plain(pack)
    plain(2)
    steps = TIMED[device]
    rates = _rates(
        pack.device,
        {"ours": (lambda: train_steps(pack, pack.step + steps), 1), "theirs": (lambda: plain(steps), 1)},
    )
    return _versus(f"training, {pack.runs[0].model['name']}", "plain PyTorch loop", rates, BATCH * steps)


def _evaluation(pack: Pack, device: str) -> EvaluationShare:
    steps = TIMED[device]
    rates = _rates(
        pack.device,
        {"ours": (lambda: train_steps(pack, pack.step + steps), 1), "theirs": (Evaluator(pack).rows, 1)},
    )
    training = STEPS / (statistics.median(rates["ours"]) * steps)
    evaluating = len(evaluation_steps(pack.runs[0].evaluation, STEPS)) / statistics.median(rates["theirs"])
    return EvaluationShare("evaluation", evaluating / (training + evaluating))


def _made(size: int, device: str) -> Made:
    """Fresh images of the task ``shapes``, as they are stored."""
    task, key = Shapes(size=size), streams.keys([0], "data", device)
    index = torch.arange(DRAWN[device], device=device)[None]
    rates = _rates(torch.device(device), {"ours": (lambda: task.sample(key, index), 1)})
    return Made(f"shapes, {size} x {size}", DRAWN[device] * statistics.median(rates["ours"]))


def _plain(pack: Pack) -> Callable[[int], None]:
    """The loop a person would write: images normalised beforehand, reshuffled every pass."""
    pool, device = pack.batches.groups[0].pool, pack.device
    assert pool is not None
    x, y = pack.member_step.read(pool.x[0]), pool.y[0]
    if device.type == "cuda":
        x = x.contiguous(memory_format=torch.channels_last)
    module = (plain_cnn(WIDTH) if device.type == "cpu" else plain_resnet()).to(device)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    order, first = torch.randperm(len(x), device=device), 0

    def loop(steps: int) -> None:
        nonlocal order, first
        for _ in range(steps):
            if first + BATCH > len(x):
                order, first = torch.randperm(len(x), device=device), 0
            chosen = order[first : first + BATCH]
            first += BATCH
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                logits = module(x[chosen])
            loss = nn.functional.cross_entropy(logits.float(), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop


class _Torchvision(Dataset[tuple[Tensor, int]]):
    """The usual data set: images as PIL, one transform at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels
        self.transform = transforms.Compose([
            transforms.ToPILImage(), transforms.RandomCrop(SIZE, padding=4), transforms.RandomHorizontalFlip(),
            transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def _rates(device: torch.device, sides: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, list[float]]:
    """How often a second each side's work is done, turn by turn.

    Args:
        sides: by name what is done, and how many times a turn.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(TURNS):
        for name, (work, times) in sides.items():
            began = _now(device)
            for _ in range(times):
                work()
            rates[name].append(times / (_now(device) - began))
    return rates


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _versus(name: str, other: str, rates: dict[str, list[float]], images: int) -> Versus:
    """Both sides' rates in images a second, from how often a second so many images are done."""
    ours, theirs = rates["ours"], rates["theirs"]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Versus(name, images * statistics.median(ours), other, images * statistics.median(theirs), ratio)

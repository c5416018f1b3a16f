"""``deepboot bench images``: loader and training loop for images, against torchvision's, a naive and a fast loop.

All sides work on the same random images of 32 x 32 pixels, by turns, on one thread of a CPU or on one GPU.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
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
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.shapes.task import Shapes
from deepboot.runners.bench.contests import plain_cnn, plain_resnet
from deepboot.runners.bench.turns import (
    TRIAL_SECONDS,
    TURN_SECONDS,
    TURNS,
    Race,
    Stepper,
    harness_stepper,
    lap,
    race,
    turns,
    warm,
)
from deepboot.runners.run.process import prepare, wait_for

IMAGES, SIZE, BATCH, STEPS = 20_000, 32, 128, 39_000
WIDTH = 16  # of the small network on a CPU
MODELS = {"cpu": {"name": "cnn", "width": WIDTH}, "cuda": {"name": "resnet"}}
MADE = {"cpu": 4_096, "cuda": 1 << 18}  # images drawn at a time
PRECISIONS = {"cpu": ("float32", "bf16"), "cuda": ("bf16",)}  # of training
LAYOUTS = {"cpu": (False, True), "cuda": (True,)}  # of the harness's images: whether channels come last
LAYOUT_NAMES = {False: "channels first", True: "channels last"}
HOPELESS = 4  # times as long as in float32, above which bf16 is not raced: the processor has no instructions for it
TIMED = {"cpu": 10, "cuda": 200}  # steps of one turn


@dataclass(frozen=True)
class Versus:
    """One thing done in two ways; rates a second are medians over turns, the ratio is the median of theirs."""

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
    """What evaluations take of a training run of the usual length."""

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


@dataclass(frozen=True)
class NotRaced:
    """A race that was not held."""

    name: str
    reason: str

    def line(self) -> str:
        """The figure as a line of a table."""
        return f"{self.name:28} not raced: {self.reason}"


def race_images(device: str) -> Iterator[Race | NotRaced | Versus | EvaluationShare | Made]:
    """Loader, loops and evaluation of one member, each beside what it is compared with."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, IMAGES)
        np.savez(Path(folder) / "images.npz", x=images, y=labels)
        path = Path(folder) / "images.npz"
        augmented, plain = (
            Pack([_run(path, device, kind)], Execution(device=device)) for kind in ("crop_flip", "none")
        )
        runs = {
            precision: [_run(path, device, "none", precision=precision, channels_last=one) for one in LAYOUTS[device]]
            for precision in PRECISIONS[device]
        }
        packs = {name: [Pack([run], Execution(device=device)) for run in runs[name]] for name in runs}
    prepare(1)
    yield _loader(augmented, images, labels)
    yield _loop(augmented, device)
    yield from (_training(precision, of_precision, device) for precision, of_precision in packs.items())
    yield _evaluation(plain, device)
    yield from (_made(size, device) for size in (16, 32))


def _run(
    path: Path, device: str, augmentation: str, *, precision: str | None = None, channels_last: bool | None = None
) -> Run:
    """A run on a recording; on a GPU in bf16 and channels last, unless told otherwise."""
    run: Run
    (run,) = runs_of({
        "question": "How fast is it?", "task": {"name": "recording", "path": str(path), "num_classes": 10},
        "model": MODELS[device], "optimizer": {"name": "sgd", "lr": 0.1},
        "data": {"augmentation": augmentation},
        "training": {
            "train_size": IMAGES // 2, "batch_size": BATCH, "max_steps": STEPS, "seeds": 1, "ideal": False,
            "precision": precision or ("bf16" if device != "cpu" else "float32"),
            "channels_last": device != "cpu" if channels_last is None else channels_last,
        },
    })  # fmt: skip
    return run


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
        block = pack.data.block(start, start + pack.data.longest)
        for x_EB in block.batches()[0]:
            yield pack.member_step.read(x_EB)
        start += block.steps


def _loop(pack: Pack, device: str) -> Versus:
    """Training with the loader, and the same on one batch that never changes."""
    train_steps(pack, 2)
    steps = TIMED[device]
    batch = next(pack.batches(pack.step + steps))

    def constant() -> None:
        for _ in range(steps):
            pack.update(batch)
            pack.step -= batch.steps

    rates = _rates(
        pack.device,
        {"ours": (lambda: train_steps(pack, pack.step + steps), 1), "theirs": (constant, 1)},
    )
    return _versus("training with its loader", "one batch for ever", rates, BATCH * steps)


def _training(precision: str, packs: Sequence[Pack], device: str) -> Race | NotRaced:
    """Training without augmentation beside the naive loop, and beside the faster of an opponent's loops.

    Args:
        precision: of harness and opponent; the naive loop has its own.
        packs: the harness's runs in every memory layout; the fastest is raced.
        device: "cpu" or "cuda".
    """
    name = f"training, {packs[0].runs[0].model['name']}, {precision}"
    wait = partial(wait_for, device)

    def rate(stepper: Stepper) -> float:
        return lap(replace(stepper, evaluate=None), TRIAL_SECONDS, wait).trial_rate(single_threaded=device == "cpu")

    if device == "cpu" and precision == "bf16":
        slowdown = _slowdown(packs[0])
        if slowdown > HOPELESS:
            return NotRaced(name, f"a step takes {slowdown:.0f} times as long as in float32 on this CPU")
    opponents = {}
    for compiled in (False, True):
        update = image_opponent(packs[0], compiled=compiled)
        with suppress(Exception):  # no compiler, or what it cannot do
            opponents["compiled" if compiled else "eager"] = warm(Stepper(update))
    opponent = max(opponents, key=lambda name: rate(opponents[name]))
    harnesses = {LAYOUT_NAMES[pack.runs[0].channels_last]: warm(harness_stepper(pack)) for pack in packs}
    harness = max(harnesses, key=lambda name: rate(harnesses[name]))
    sides = {"naive": warm(Stepper(_plain(packs[0]))), "opponent": opponents[opponent], "harness": harnesses[harness]}
    laps = turns({name: partial(lap, stepper, TURN_SECONDS, wait) for name, stepper in sides.items()})
    return race(
        name, laps, unit="images", scale=BATCH,
        opponent=f"channels last, {opponent}", harness=f"{harness}, eager", single_threaded=device == "cpu",
    )  # fmt: skip


def _slowdown(pack: Pack) -> float:
    """How many times as long as in float32 a step of the opponent takes in the precision of a pack."""
    x, y = next(_image_batches(pack))
    seconds = []
    for precision in (torch.float32, x.dtype):
        opponent, inputs = (
            ImageOpponent(_network(pack), compiled=False, bf16=precision != torch.float32),
            x.to(precision),
        )
        opponent.update(inputs, y)
        began = time.perf_counter()
        opponent.update(inputs, y)
        seconds.append(time.perf_counter() - began)
    return seconds[1] / seconds[0]


def image_opponent(pack: Pack, *, compiled: bool, backend: str = "inductor") -> Callable[[int], object]:
    """The loop of an opponent who tries: images normalised beforehand, channels last, fused SGD, bf16 where asked for.

    Args:
        pack: whose pool and precision it takes.
        compiled: whether the gradient is compiled.
        backend: of torch.compile.
    """
    bf16 = pack.runs[0].precision == "bf16"
    opponent = ImageOpponent(_network(pack), compiled=compiled, bf16=bf16, backend=backend)
    batches = _image_batches(pack)

    def loop(steps: int) -> None:
        for _ in range(steps):
            opponent.update(*next(batches))

    return loop


class ImageOpponent:
    """One network, trained by an opponent who tries.

    Args:
        module: the network, which is changed in place.
        compiled: whether the gradient is compiled.
        bf16: whether the network computes in bfloat16.
        backend: of torch.compile.
    """

    def __init__(self, module: nn.Module, *, compiled: bool, bf16: bool = False, backend: str = "inductor"):
        device = next(module.parameters()).device.type
        module.to(memory_format=torch.channels_last)
        self._optimizer = torch.optim.SGD(module.parameters(), lr=0.1, fused=True)

        def loss(x: Tensor, y: Tensor) -> Tensor:
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                logits = module(x)
            return nn.functional.cross_entropy(logits.float() if bf16 else logits, y)

        if compiled:
            torch.compiler.reset()
        self._loss = torch.compile(loss, fullgraph=True, dynamic=False, backend=backend) if compiled else loss

    def update(self, x: Tensor, y: Tensor) -> Tensor:
        """Train on a batch; its mean loss before."""
        loss: Tensor = self._loss(x, y)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()


def _image_batches(pack: Pack) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of a pool that lies on the device with channels last, in a new order every pass."""
    pool = pack.data.groups[0].pool
    assert pool is not None
    x_NHWC, y = pack.member_step.read(pool.x[:1])[0].permute(0, 2, 3, 1).contiguous(), pool.y[0]
    if pack.runs[0].precision == "bf16":
        x_NHWC = x_NHWC.bfloat16()
    while True:
        for chosen in torch.randperm(len(y), device=y.device)[: len(y) // BATCH * BATCH].split(BATCH):
            yield x_NHWC.index_select(0, chosen).permute(0, 3, 1, 2), y.index_select(0, chosen)


def _network(pack: Pack) -> nn.Module:
    return (plain_cnn(WIDTH) if pack.device.type == "cpu" else plain_resnet()).to(pack.device)


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
    index = torch.arange(MADE[device], device=device)[None]
    rates = _rates(torch.device(device), {"ours": (lambda: task.sample(key, index), 1)})
    return Made(f"shapes, {size} x {size}", MADE[device] * statistics.median(rates["ours"]))


def _plain(pack: Pack) -> Callable[[int], None]:
    """The naive loop: images normalised beforehand, reshuffled every pass."""
    pool, device = pack.data.groups[0].pool, pack.device
    assert pool is not None
    x, y = pack.member_step.read(pool.x[0]), pool.y[0]
    if device.type == "cuda":
        x = x.contiguous(memory_format=torch.channels_last)
    module = _network(pack)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    order, place = torch.randperm(len(x), device=device), 0

    def loop(steps: int) -> None:
        nonlocal order, place
        for _ in range(steps):
            if place + BATCH > len(x):
                order, place = torch.randperm(len(x), device=device), 0
            chosen = order[place : place + BATCH]
            place += BATCH
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

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(self.images[place]), int(self.labels[place])


def _rates(device: torch.device, sides: dict[str, tuple[Callable[[], Any], int]]) -> dict[str, list[float]]:
    """How often a second each side's work is done, turn by turn; each side's number of times a turn is given."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(TURNS):
        for name, (work, times) in sides.items():
            began = _now(device)
            for _ in range(times):
                work()
            found[name].append(times / (_now(device) - began))
    return found


def _now(device: torch.device) -> float:
    wait_for(device)
    return time.perf_counter()


def _versus(name: str, other: str, rates: dict[str, list[float]], each: int) -> Versus:
    ours, theirs = rates["ours"], rates["theirs"]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Versus(name, each * statistics.median(ours), other, each * statistics.median(theirs), ratio)

"""``deepboot bench``: one run, and packs of many, against the shortest honest plain PyTorch loop; cost against scale.

Both sides of a race train the same model on the same task with the same batch size on this machine, by
turns; the ratio of their times is what is reported, since absolute times wander.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepboot.bootstrap.study.run import Run, evaluation_steps
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import BackendName, Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.runners import builtins
from deepboot.runners.bench.contests import ALONE, PACKED, Contest, plain_loop
from deepboot.runners.bench.images import BATCH, SIZE, EvaluationShare, Made, Versus, race
from deepboot.runners.run import autotune, environment
from deepboot.runners.run.local import Bench, cores
from deepboot.runners.run.packing import ordered_members
from deepboot.runners.run.process import guest, prepare
from deepboot.runners.run.trial import Trial, measure

TURNS = 5
PACK_TURNS = 3
PACK_SEEDS = 512  # real runs of a study of packs: long enough for every pack size to be tried
SCALE = tuple(1 << power for power in range(11))  # members of a pack
LONGEST_STEP = 1.0  # seconds of one step of a pack, beyond which larger packs are not tried
PEAK_SIZE, PEAK_TIMES = 1_024, 20


@dataclass(frozen=True)
class Alone:
    """One run on one thread; times are milliseconds of one step, medians over turns."""

    name: str
    plain_ms: float
    harness_ms: float
    ratio: float
    evaluation_share: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.name:24} plain {self.plain_ms:8.3f} ms   harness {self.harness_ms:8.3f} ms   "
            f"ratio {self.ratio:.2f}   evaluation {self.evaluation_share:.1%}"
        )


@dataclass(frozen=True)
class Packed:
    """Many runs by the plan chosen for them, against one after another; rates are model steps a second.

    Attributes:
        peak_share: floating-point operations of the matrix products in a second, over those of a large product.
    """

    name: str
    plain_rate: float
    harness_rate: float
    ratio: float
    execution: str
    peak_share: float
    evaluation_share: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.name:24} plain {self.plain_rate:8,.0f}/s   harness {self.harness_rate:8,.0f}/s   "
            f"ratio {self.ratio:.2f}   {self.peak_share:.0%} of peak   evaluation {self.evaluation_share:.1%}   "
            f"{self.execution}"
        )


@dataclass(frozen=True)
class Scale:
    """One process stepping a pack of so many members; the rate is model steps a second."""

    name: str
    members: int
    backend: str
    rate: float
    member_bytes: int
    first_seconds: float

    def line(self) -> str:
        """The figure as a line of a table."""
        return (
            f"{self.name:24} {self.members:5} members   {self.rate:9,.0f}/s   "
            f"{self.member_bytes / 1e6:7.2f} MB a member   first step at {self.first_seconds:4.1f} s   {self.backend}"
        )


Figure = Alone | Packed | Scale | Versus | EvaluationShare | Made


def run(names: Sequence[str], out: Path | None = None, device: str = "cpu", figure: Path | None = None) -> list[str]:
    """Run the named benchmarks, "packs", "scale", "images" and those of one run, or all of one run; lines to print.

    Args:
        names: which.
        out: where to write the figures as JSON.
        device: "cpu" or "cuda".
        figure: where to draw those of "scale".

    Raises:
        ValueError: no benchmark of that name.
    """
    known = [*ALONE, "packs", "scale", "images"]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown benchmark {shown(name)}. {suggestion(name, known)}")
    builtins.load()
    figures: list[Figure] = []
    lines = [f"{environment.processor()}, {cores()} cores" if device == "cpu" else torch.cuda.get_device_name()]
    with guest():
        for name in names or ALONE:
            figures_of_section, text = _section(name, device)
            figures += figures_of_section
            lines += text
    if out is not None:
        out.write_text(json.dumps({"machine": lines[0], "figures": [asdict(figure) for figure in figures]}, indent=2))
    if figure is not None:
        _draw([asdict(one) for one in figures if isinstance(one, Scale)], figure)
    return lines


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Cost against scale as a figure."""
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

    from deepboot.reports.figures.cells import plot_scale

    canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
    plot_scale(pd.DataFrame(rows, columns=["name", "members", "rate"]), ax=canvas.subplots())
    canvas.savefig(path)


def _section(name: str, device: str) -> tuple[list[Figure], list[str]]:
    """The figures of one benchmark, with what a reader must know to read them."""
    figures: list[Figure]
    if name == "packs":
        peak = _peak(device)
        with Bench() as bench:
            figures = [_packed(one, contest, device, bench, peak) for one, contest in PACKED.items()]
        heading = (
            f"plain loop with {cores()} threads, one run after another; ratio = harness / plain model steps a second, "
            f"evaluation included; peak {peak / 1e9:,.0f} GFLOP/s of a {PEAK_SIZE:,}-square float32 product"
        )
    elif name == "scale":
        figures = [one for contest, backend in _scaled(device) for one in _scale(contest, backend, device)]
        heading = "one process, one thread; pool, test set, state and one block of data counted as memory"
    elif name == "images":
        figures = [*race(device)]
        heading = (
            f"batches of {BATCH} images of {SIZE} x {SIZE}, one member, {TURNS} turns each; ratio = harness / other"
        )
    else:
        figures = [_alone(name, ALONE[name])]
        heading = f"one thread, {TURNS} turns each; ratio = plain / harness time of a step, evaluation included"
    return figures, [heading, *(figure.line() for figure in figures)]


def _alone(name: str, contest: Contest) -> Alone:
    """One run, eager, on one thread of the CPU."""
    prepare(1)  # for both sides
    (specification,) = contest.runs()
    pack = Pack([specification])
    plain = plain_loop(contest)
    evaluator = Evaluator(pack)
    train_steps(pack, 10)
    plain(10)
    plain_times, step_times, evaluation_times = [], [], []
    for _ in range(TURNS):
        plain_times.append(_seconds(lambda: plain(contest.steps)) / contest.steps)
        goal = pack.step + contest.steps
        step_times.append(_seconds(lambda goal=goal: train_steps(pack, goal)) / contest.steps)  # type: ignore[misc]
        evaluation_times.append(_seconds(evaluator.rows))
    evaluation = statistics.median(evaluation_times) * _evaluations_per_step(specification)
    harness = [step + evaluation for step in step_times]
    ratio = statistics.median(a / b for a, b in zip(plain_times, harness, strict=True))
    middle = statistics.median(harness)
    return Alone(name, 1e3 * statistics.median(plain_times), 1e3 * middle, ratio, evaluation / middle)


def _packed(name: str, contest: Contest, device: str, bench: Bench, peak: float) -> Packed:
    """Many runs as the plan chosen for a study of them carries them out."""
    runs = contest.runs(PACK_SEEDS)
    plan = autotune.choose(runs, device, 1 if device != "cpu" else cores(), cores(), [], bench)
    settings = plan.of(runs[0])
    members = list(ordered_members(runs[: settings.pack_size]))
    trial = Trial(runs=members, execution=plan.execution(runs[0]), trial_seconds=2.0)
    prepare(cores())
    plain = plain_loop(contest, device)
    _timed(plain, contest.steps // 10, device)
    evaluation = _evaluation_seconds(members, device) * _evaluations_per_step(runs[0])
    plain_rates, rates = [], []
    for _ in range(PACK_TURNS):
        plain_rates.append(contest.steps / _timed(plain, contest.steps, device))
        together = bench(trial, plan.workers).rate
        rates.append(1 / (1 / together + evaluation / plan.workers))
    rate = statistics.median(rates)
    return Packed(
        name, statistics.median(plain_rates), rate,
        statistics.median(a / b for a, b in zip(rates, plain_rates, strict=True)),
        f"{plan.workers} x {plan.threads} threads, {len(members)} members, {settings.backend}",
        rate * _flops(runs[0]) / peak, evaluation / plan.workers * rate,
    )  # fmt: skip


def _scaled(device: str) -> list[tuple[tuple[str, Contest], BackendName]]:
    """Contests that are stepped at every scale, with the backends of the device."""
    backends: tuple[BackendName, ...] = ("graphed", "compiled_graphed") if device == "cuda" else ("eager",)
    return [(item, backend) for item in PACKED.items() for backend in backends]


def _scale(item: tuple[str, Contest], backend: BackendName, device: str) -> list[Scale]:
    """Packs of 1, 2, 4 … members, as far as memory and patience go."""
    name, contest = item
    figures: list[Scale] = []
    for members in SCALE:
        last = figures[-1] if figures else None
        too_large = last and last.member_bytes * members > autotune.FREE_SHARE * autotune.free_memory(device)
        if too_large or (last and members / last.rate > LONGEST_STEP):
            break
        runs = list(ordered_members(contest.runs(members)))
        rate = measure(Trial(runs=runs, execution=Execution(device=device, backend=backend), trial_seconds=1.0))
        if rate.problem is not None:
            break
        figures.append(Scale(name, members, backend, rate.rate, rate.member_bytes, rate.first_seconds))
    return figures


def _evaluation_seconds(runs: list[Run], device: str) -> float:
    """Seconds that one member's evaluation takes on one thread, or on the device."""
    prepare(1)
    evaluator = Evaluator(Pack(runs, Execution(device=device)))
    evaluator.rows()
    seconds = _seconds(evaluator.rows) / len(runs)
    prepare(cores())
    return seconds


def _evaluations_per_step(specification: Run) -> float:
    """How many evaluations the default schedule has per step of the study's budget."""
    return len(evaluation_steps(specification.evaluation, specification.max_steps)) / specification.max_steps


def _flops(specification: Run) -> float:
    """Floating-point operations of the matrix products of one member step."""
    pack = Pack([specification])
    with FlopCounterMode(display=False) as counter:
        train_steps(pack, 1)
    return float(counter.get_total_flops())


def _peak(device: str) -> float:
    """Floating-point operations a second of a large float32 matrix product, on all cores or on the device."""
    prepare(cores())
    a, b = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device) for _ in range(2))
    times = [_timed(lambda steps: [torch.mm(a, b) for _ in range(steps)], PEAK_TIMES, device) for _ in range(TURNS)]
    return 2 * PEAK_SIZE**3 * PEAK_TIMES / min(times)


def _timed(work: Callable[[int], Any], steps: int, device: str) -> float:
    """Seconds for so many steps, the device waited for."""
    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work(steps)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

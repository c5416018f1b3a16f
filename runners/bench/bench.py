"""``deepboot bench``: one run, and many, against an opponent who tries and a naive PyTorch loop; cost against scale.

All sides of a race train the same model on the same task with the same batch size on this machine, by turns; the
ratio of their times is what is reported, since absolute times wander. README's rows are against the opponent.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.execution import BackendName, Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.runners import builtins
from deepboot.runners.bench.cluster import PACK_SECONDS, TIMES, Overhead, overheads
from deepboot.runners.bench.contests import ALONE, PACKED, PAIRED, Contest
from deepboot.runners.bench.finished import Judged, judged_folders
from deepboot.runners.bench.images import BATCH, SIZE, EvaluationShare, Made, NotRaced, Versus, race_images
from deepboot.runners.bench.opponents import Variant, fastest
from deepboot.runners.bench.turns import (
    TURN_SECONDS,
    TURNS,
    Crew,
    Harness,
    Lap,
    Naive,
    Race,
    Side,
    Tried,
    race,
    trial,
    turns,
)
from deepboot.runners.run import autotune, environment, trusted_backends
from deepboot.runners.run.crew import Bench
from deepboot.runners.run.execution_plan import ExecutionPlan, PackSettings, short_key
from deepboot.runners.run.local import Processes, cores
from deepboot.runners.run.packing import ordered_members
from deepboot.runners.run.process import guest, prepare, wait_for
from deepboot.runners.run.terminal import note
from deepboot.runners.run.trial import Trial, measure

PACK_SEEDS = 512  # runs of a study of packs: enough for every pack size to be tried
SIZES = {"cpu": (1, 2, 4, 8), "cuda": (1, 16, 64, 256, 1024)}  # members that an opponent may step together
SCALE = tuple(1 << power for power in range(11))  # members of a pack
LONGEST_STEP = 1.0  # seconds of one step of a pack, beyond which larger packs are not tried
PEAK_SIZE = {"cpu": 1_024, "cuda": 8_192}  # of a square product that fills the device
PEAK_TIMES = 20
RULES = (
    f"medians of {TURNS} turns of {TURN_SECONDS:g} s; ratio = harness / other, of member steps a second, in brackets "
    "the lowest and highest of a turn and, for a machine that does other work too, the ratio by the time that the "
    "processes were given a processor; evaluation at the study's schedule is in the harness's time and in nobody "
    "else's; the time that compiling takes in nobody's"
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


Figure = Race | NotRaced | Scale | Versus | EvaluationShare | Made | Judged | Overhead


def run(
    names: Sequence[str], out: Path | None = None, device: str = "cpu", figure: Path | None = None
) -> Iterator[str]:
    """Run the named benchmarks, such as "packs", "scale" and "folders", or all of one run; lines to print.

    Each line comes as soon as it is measured, so that whoever interrupts keeps those before.

    Args:
        names: which.
        out: where to write the figures as JSON, those so far after each.
        device: "cpu" or "cuda".
        figure: where to draw those of "scale".

    Raises:
        ValueError: no benchmark of that name.
    """
    known = [*ALONE, "packs", "scale", "folders", "images", "cluster"]
    for name in names:
        if name not in known:
            raise ValueError(f"unknown benchmark {shown(name)}. {suggestion(name, [*known, 'gpu'])}")
    builtins.load()
    machine = f"{environment.processor()}, {cores()} cores" if device == "cpu" else torch.cuda.get_device_name()
    yield machine
    rows: list[dict[str, Any]] = []
    with guest():
        for name in names or ALONE:
            heading, figures = _section(name, device)
            yield heading
            for one in figures:
                rows.append({"kind": type(one).__name__, **asdict(one)})
                if out is not None:
                    write_json({"machine": machine, "figures": rows}, out)
                yield one.line()
    if figure is not None:
        _draw([row for row in rows if row["kind"] == Scale.__name__], figure)


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Cost against scale as a figure."""
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

    from deepboot.reports.figures.cells import plot_scale

    canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
    plot_scale(pd.DataFrame(rows, columns=["name", "members", "rate"]), ax=canvas.subplots())
    canvas.savefig(path)


def _section(name: str, device: str) -> tuple[str, Iterator[Figure]]:
    """What a reader must know to read the figures of one benchmark, and the figures as they are measured."""
    if name == "packs":
        peak = _peak(device)
        heading = (
            f"processes x threads of opponent and harness in the first column, naive: 1 x {cores()}, one real run "
            f"after another; {RULES}; peak {peak / 1e9:,.0f} GFLOP/s of a {PEAK_SIZE[device]:,}-square float32 product"
        )
        return heading, (_packed(one, contest, device, peak) for one, contest in (PACKED | PAIRED).items())
    if name == "scale":
        heading = "one process, one thread; pool, test set, state and one block of data counted as memory"
        return heading, itertools.chain.from_iterable(
            _scale(contest, backend, device) for contest, backend in _scaled(device)
        )
    if name == "folders":
        return "finished runs with invented evaluations; seconds of one processor", judged_folders()
    if name == "cluster":
        heading = (
            f"packs of about {PACK_SECONDS:g} s with checkpoints, one a worker, workers warm; medians of {TIMES} "
            "turns, in brackets the lowest and highest; overhead = time by Ray / time by processes of this machine - 1"
        )
        return heading, overheads()
    if name == "images":
        heading = (
            f"batches of {BATCH} images of {SIZE} x {SIZE}, one member; all sides 1 process x 1 thread of the host; "
            f"training against opponent and naive loop: {RULES}; other lines: medians of {TURNS} turns, "
            "ratio = harness / other"
        )
        return heading, race_images(device)
    return f"one run, all sides 1 process x 1 thread; {RULES}", _alone(name, ALONE[name])


def _note(sentence: str) -> None:
    note(f"  {sentence}")


def _alone(name: str, contest: Contest) -> Iterator[Race]:
    """One run on one thread of the CPU: nobody compiles, then whoever is faster compiled does."""
    runs = contest.runs()
    with Crew(1, 1) as naive, Crew(1, 1) as opponent, Crew(1, 1) as harness, Bench(Processes()) as bench:
        _build(naive, Naive(name))
        for compiles in (False, True):
            variant = fastest(_tried(opponent, name, "cpu"), (1,), compiles=compiles)
            execution = _fastest_execution(harness, runs, bench) if compiles else Execution()
            _build(opponent, Tried(name, variant))
            _build(harness, Harness(runs, execution))
            laps = turns(_laps(naive, opponent, harness))
            title = f"{name}, {'compiled where faster' if compiles else 'nobody compiles'}"
            yield race(title, laps, opponent=str(variant), harness=execution.backend)


def _packed(name: str, contest: Contest, device: str, peak: float) -> Race:
    """Many runs as the plan chosen for a study of them carries them out."""
    runs = contest.runs(PACK_SEEDS)
    with Bench(Processes()) as bench:
        plan = autotune.choose(runs, device, 1 if device != "cpu" else cores(), cores(), [], bench, _note)
        trusted_backends.distrust(plan, runs, [], bench, _note)
    own = (contest.members or PACK_SEEDS) // plan.workers  # members of one process at most
    settings = plan.of(runs[0])
    whole = 2 if contest.pairs else 1  # what was tried with real runs may be a pack of one
    members = ordered_members(contest.runs(max(whole, min(settings.pack_size, own))))
    execution = plan.execution(runs[0])
    with (
        Crew(1, cores(), device) as naive,
        Crew(plan.workers, plan.threads, device) as opponent,
        Crew(plan.workers, plan.threads, device) as harness,
    ):
        sizes = [size for size in SIZES[device] if size <= own and not (contest.pairs and size % 2)]
        variant = fastest(_tried(opponent, name, device), sizes)
        _build(naive, Naive(name, device))
        _build(opponent, Tried(name, variant, device))
        _build(harness, Harness(members, execution))
        laps = turns(_laps(naive, opponent, harness))
    return race(
        name, laps, opponent=str(variant), harness=f"{len(members)} members, {execution.backend}",
        processes=plan.workers, threads=plan.threads, peak_steps=peak / _flops(runs[0]),
        single_threaded=opponent.single_threaded,
    )  # fmt: skip


def _laps(naive: Crew, opponent: Crew, harness: Crew) -> dict[str, Callable[[], Lap]]:
    """A turn of each side, by its name."""
    crews = {"naive": naive, "opponent": opponent, "harness": harness}
    return {name: partial(crew.lap, TURN_SECONDS) for name, crew in crews.items()}


def _tried(crew: Crew, name: str, device: str) -> Callable[[Variant], float]:
    """The rate of a variant of a contest's opponent, by a trial in its processes."""
    return lambda variant: trial(crew, Tried(name, variant, device), _note, f"{name}, opponent, {variant}")


def _fastest_execution(crew: Crew, runs: list[Run], bench: Bench[Any]) -> Execution:
    """The faster of eager and compiled for one run, compiled only where it trains as eager does."""
    plan = ExecutionPlan(device="cpu", packs={short_key(runs[0]): PackSettings(backend="compiled")})
    trusted_backends.distrust(plan, runs, [], bench, _note)
    executions = {one.backend: one for one in (Execution(), plan.execution(runs[0]))}
    return max(
        executions.values(),
        key=lambda execution: trial(crew, Harness(runs, execution), _note, f"harness, {execution.backend}"),
    )


def _build(crew: Crew, side: Side) -> None:
    problem = crew.build(side)
    if problem is not None:
        raise ValueError(f"a side of the race cannot be built: {problem}")


def _scaled(device: str) -> list[tuple[tuple[str, Contest], BackendName]]:
    """Contests that are stepped at every scale, with the backends of the device."""
    backends: tuple[BackendName, ...] = ("graphed", "compiled_graphed") if device == "cuda" else ("eager",)
    return [(item, backend) for item in PACKED.items() for backend in backends]


def _scale(item: tuple[str, Contest], backend: BackendName, device: str) -> Iterator[Scale]:
    """Packs of 1, 2, 4 … members, as far as memory and patience go."""
    name, contest = item
    last: Scale | None = None
    for members in SCALE:
        too_large = last and last.member_bytes * members > autotune.FREE_SHARE * autotune.free_memory(device)
        if too_large or (last and members / last.rate > LONGEST_STEP):
            break
        runs = list(ordered_members(contest.runs(members)))
        rate = measure(Trial(runs=runs, execution=Execution(device=device, backend=backend), trial_seconds=1.0))
        if rate.problem is not None:
            break
        last = Scale(name, members, backend, rate.rate, rate.member_bytes, rate.first_seconds)
        yield last


def _flops(specification: Run) -> float:
    """Floating-point operations of the matrix products of one member step."""
    pack = Pack([specification])
    with FlopCounterMode(display=False) as counter:
        train_steps(pack, 1)
    return float(counter.get_total_flops())


def _peak(device: str) -> float:
    """Floating-point operations a second of a large float32 matrix product, on all cores or on the device."""
    prepare(cores())
    size = PEAK_SIZE[device]
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    times = [_timed(lambda steps: [torch.mm(a, b) for _ in range(steps)], PEAK_TIMES, device) for _ in range(TURNS)]
    return 2 * size**3 * PEAK_TIMES / min(times)


def _timed(work: Callable[[int], Any], steps: int, device: str) -> float:
    """Seconds for so many steps, the device waited for."""
    wait_for(device)
    began = time.perf_counter()
    work(steps)
    wait_for(device)
    return time.perf_counter() - began

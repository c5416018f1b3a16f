"""How many runs are stepped together, by how many processes, and by which program: measured, kept, restored.

A layout is chosen once for a study and lies in its folder as ``layout.json``; going on with the study
restores it. What was measured is also kept per machine, so that the next study of that shape need not be tried.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.models.convolutions import Conv2d
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.compatibility import LARGEST_TRIAL
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.training.backend import Program
from deepboot.runners.run import environment
from deepboot.runners.run.packing import families_of, ordered_members, pack_key
from deepboot.runners.run.trial import Rate, Trial

TRY_SECONDS = 120.0  # of a whole study, above which it is tried how it is done fastest
COMPILE_SECONDS = 300.0  # above which a compiled program is tried
WORTH = 1.05  # a layout is preferred to a simpler one only if it is this many times as fast
FAMILIES = {"cpu": (1, 2, 4, 8, 16), "cuda": (1, 4, 16, 64, 256, 1024, 4096)}  # real runs with their ideal one
APART_RATE = 500  # member steps a second of one process, below which members are tried one after another
FREE_SHARE = 0.5  # of the free memory that packs may plan with
FLOPS, STEP_SECONDS = 2e10, 3e-4  # of a modest core, by which it is guessed whether a study is worth a trial
SHORT, LONG = "a few seconds", "a minute or two, since it is compiled"  # that one trial takes

Measure = Callable[[Trial, int], Rate]  # a trial by so many processes at once: the sum of their rates


class Shape(BaseModel):
    """How packs of one shape are stepped.

    Attributes:
        pack_size: members at most, unless one family has more.
        program: how steps are carried out.
        apart: whether the members of a pack, which is then one family, are stepped one after another.
        measured: what was tried, in words.
    """

    pack_size: int = 1
    program: Program = "eager"
    apart: bool = False
    measured: list[str] = []

    @property
    def summary(self) -> str:
        """The same in a few words."""
        return f"{'one member at a time' if self.apart else f'up to {self.pack_size} members'}, {self.program}"


class Layout(BaseModel):
    """How a whole study is laid out.

    Attributes:
        device: what it was chosen for.
        workers, threads: processes, and threads of each.
        shapes: by the digest of `runners.run.packing.pack_key`.
        compiler: whether there is one that torch can use; None where nobody had to know.
    """

    device: str
    workers: int = 1
    threads: int = 1
    shapes: dict[str, Shape] = {}
    compiler: str | None = None

    def of(self, run: Run) -> Shape:
        """How a run's pack is stepped."""
        return self.shapes.get(digest(run), Shape())

    @property
    def summary(self) -> str:
        """The layout in a few words."""
        kinds = sorted({one.summary for one in self.shapes.values()})
        return f"{self.workers} processes of {self.threads} threads, packs of {' or '.join(kinds) or 'one family'}"


def digest(run: Run) -> str:
    """A short name for a run's shape."""
    return hashlib.sha256(pack_key(run).encode()).hexdigest()[:16]


def read(folder: Path) -> Layout | None:
    """The layout that a folder was begun with."""
    try:
        return Layout.model_validate_json((folder / "layout.json").read_text())
    except (OSError, ValueError):
        return None


def write(layout: Layout, folder: Path) -> None:
    """Keep the layout with the folder."""
    write_json(layout.model_dump(), folder / "layout.json")


def choose(
    runs: Sequence[Run],
    device: str,
    workers: int,
    threads: int,
    plugins: list[str],
    measure: Measure,
    say: Callable[[str], None] = lambda sentence: None,
) -> Layout:
    """The layout for these runs, after as many trials as they are worth.

    Args:
        runs: what is to be trained, in whole families.
        device: "cpu" or "cuda".
        workers: processes that are used if one thread each is best.
        threads: that one process may use instead.
        plugins: files that the runs need.
        measure: carries out a trial.
        say: is told what is tried, and how long that takes.
    """
    kinds: dict[str, list[list[Run]]] = {}
    for family in families_of(runs):
        kinds.setdefault(digest(family[0]), []).append(family)
    layout = Layout(device=device, workers=workers)
    longest = max(kinds.values(), key=_guess, default=[])
    for name, families in kinds.items():
        if _guess(families) / workers > TRY_SECONDS:
            layout.shapes[name] = _shape(families, layout, plugins, measure, say)
    if device == "cpu" and _guess(longest) / workers > TRY_SECONDS and threads > 1:
        say(f"Trying one process of {threads} threads: {SHORT}.")
        _threads(longest, layout, threads, plugins, measure)
    return layout


def _guess(families: list[list[Run]]) -> float:
    """Seconds that these runs may take on one modest core, or on a GPU at the very worst; nothing is tried for it."""
    if not families:
        return 0.0
    first = families[0][0]
    steps = sum(run.max_steps for family in families for run in family)
    return steps * max(STEP_SECONDS, 6 * _products(first) * first.batch_size / FLOPS)


def _products(run: Run) -> int:
    """Weights that one sample's forward pass multiplies with: each once, those of a convolution once per pixel.

    Of a model too large to be tried beforehand, each once.
    """
    task = build_task(run.task)
    stack = Stack(run.model["name"], own_settings(run.model), task)
    if stack.size > LARGEST_TRIAL:
        return stack.size
    x = task.decode(task.sample(torch.zeros(1, 2, dtype=torch.int32), torch.zeros(1, 1, dtype=torch.int64)).x)
    found = 0

    def count(module: nn.Module, _: Any, out: Any) -> None:
        nonlocal found
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        found += own * (out.shape[-2:].numel() if isinstance(module, Conv2d | nn.Conv2d) else 1)

    stack.bind(torch.zeros(1, stack.size), stack.begin(1))
    stack.module.eval()
    for module in stack.module.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        stack(x)
    return found


def _shape(
    families: list[list[Run]], layout: Layout, plugins: list[str], measure: Measure, say: Callable[[str], None]
) -> Shape:
    """The best number of members and program for the packs of one shape."""
    known = _remembered(layout, families[0][0])
    if known is not None:
        return known
    workers = layout.workers
    program: Program = "graphed" if layout.device == "cuda" else "eager"

    def attempt(families_together: int, program: Program, *, apart: bool = False) -> Rate:
        pack = ordered_members(run for family in families[:families_together] for run in family)
        trial = Trial(runs=list(pack), device=layout.device, program=program, apart=apart, plugins=plugins)
        what = f"{len(pack)} members{' one after another' if apart else ''}, {program}"
        say(f"Trying what is fastest, {what}: {LONG if program.startswith('compiled') else SHORT}.")
        rate = measure(trial, workers)
        told = f"{rate.rate:,.0f} member steps/s" if rate.problem is None else rate.problem
        found.measured.append(f"{what}: {told}")
        return rate

    found = Shape(pack_size=len(families[0]), program=program)
    best = attempt(1, program)
    if best.problem is not None and program == "graphed":
        found.program = program = "eager"
        best = attempt(1, program)
    seconds = sum(run.max_steps for family in families for run in family) / max(best.rate, 1e-9)
    if seconds < TRY_SECONDS and layout.device == "cpu":
        return found
    if best.rate < APART_RATE * workers and len(families[0]) > 1:
        rate = attempt(1, program, apart=True)
        if rate.rate > best.rate * WORTH:
            best, found.apart = rate, True
    together = 1
    for count in () if found.apart else FAMILIES[layout.device][1:]:
        if count * workers > len(families) or not _fits(best, count * len(families[0]) * workers, layout.device):
            break
        rate = attempt(count, program)
        if rate.rate < best.rate * WORTH:
            break
        best, together = rate, count
    found.pack_size = together * len(families[0])
    seconds = sum(run.max_steps for family in families for run in family) / max(best.rate, 1e-9)
    if seconds > COMPILE_SECONDS and layout.compiler in (None, "found"):
        faster: Program = "compiled_graphed" if program == "graphed" else "compiled"
        rate = attempt(together, faster, apart=found.apart)
        layout.compiler = "found" if rate.problem is None else f"none that torch can use ({rate.problem})"
        if rate.rate > best.rate * WORTH:
            found.program = faster
    _remember(layout, families[0][0], found)
    return found


def _threads(families: list[list[Run]], layout: Layout, threads: int, plugins: list[str], measure: Measure) -> None:
    """Give all cores to one process where that is faster than a process each, or where there is but one pack."""
    shape = layout.shapes[digest(families[0][0])]
    together = max(1, shape.pack_size // len(families[0]))
    packs = -(-len(families) // together)
    pack = list(ordered_members(run for family in families[:together] for run in family))
    trial = Trial(runs=pack, device=layout.device, program=shape.program, apart=shape.apart, plugins=plugins)
    apart = measure(trial, min(layout.workers, packs)).rate
    rate = measure(trial.model_copy(update={"threads": threads}), 1).rate
    shape.measured.append(f"one process of {threads} threads: {rate:,.0f} member steps/s, apart {apart:,.0f}")
    if rate > apart * WORTH:
        layout.workers, layout.threads = 1, threads


def _fits(one: Rate, members: int, device: str) -> bool:
    """Whether so many members may be tried, by the memory that one was seen to take."""
    return one.member_bytes * members < FREE_SHARE * free_memory(device)


def free_memory(device: str) -> int:
    """Bytes that are free, on the device or on the host."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 33


def cache_folder() -> Path:
    """Where what was measured on this machine is kept for later studies."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "deep-bootstrap"


def _memory() -> Path:
    return cache_folder() / "layouts.json"


def _machine(layout: Layout) -> str:
    device = torch.cuda.get_device_name() if layout.device == "cuda" else environment.processor()
    return f"{device}, {layout.workers} processes, torch {torch.__version__}"


def _remembered(layout: Layout, run: Run) -> Shape | None:
    """What was measured for this shape on this machine before."""
    try:
        return Shape.model_validate(json.loads(_memory().read_text())[_machine(layout)][digest(run)])
    except (OSError, ValueError, KeyError):
        return None


def _remember(layout: Layout, run: Run, found: Shape) -> None:
    """Keep what was measured; a home that cannot be written only means that it is measured again."""
    try:
        kept = json.loads(_memory().read_text()) if _memory().is_file() else {}
        kept.setdefault(_machine(layout), {})[digest(run)] = found.model_dump()
        _memory().parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, _memory())
    except (OSError, ValueError):
        return

"""Trials of how a study is carried out fastest: members together, processes, threads and backend.

What was measured is kept per machine, so that the next study with that pack key need not be tried.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.models.convolutions import Conv2d
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.compatibility import LARGEST_TRIAL
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.training.execution import BackendName, Execution
from deepboot.runners.run import environment
from deepboot.runners.run.execution_plan import ExecutionPlan, PackSettings, short_key
from deepboot.runners.run.packing import families_of, ordered_members
from deepboot.runners.run.trial import Rate, Trial

TRY_SECONDS = {"cpu": 120.0, "cuda": 10.0}  # of a whole study, as it is guessed, above which trials are made
COMPILE_SECONDS = 300.0  # above which a compiled backend is tried
WORTH = 1.05  # settings are preferred to simpler ones only if they are this many times as fast
# Real runs with their ideal one, stepped together in a trial. Four times as many at once: a step of two gains less than
# trials scatter by on a machine that does other work too, so that the search would end where it began.
FAMILIES = {"cpu": (1, 4, 16), "cuda": (1, 4, 16, 64, 256, 1024, 4096)}
# Member steps a second of one process, below which members are tried one after another, since one of them may fill the
# device. A GPU's is estimated, not measured: ResNet-18 in bfloat16 at batch 128 makes some 270 on an H200, the
# transformer of Power et al. 6,000 to 9,000 and an MLP on sparse parity 100,000, which one member leaves idle.
SEQUENTIAL_RATE = {"cpu": 500, "cuda": 2_000}
FREE_SHARE = 0.5  # of the free memory that packs may plan with
FLOPS, STEP_SECONDS = 2e10, 3e-4  # of a modest core, by which it is guessed whether a study is worth a trial
# Members that a CPU steps together where nothing is tried, and the largest step, in floating-point operations of one
# member, for which it does so; those of larger steps, which may want much memory, go one family at a time. LOG.md has
# what this gains.
UNTRIED, UNTRIED_OPERATIONS = 16, 4e8
SHORT, LONG = "a few seconds", "a minute or two, since it is compiled"  # that one trial takes

Measure = Callable[[Trial, int], Rate]  # a trial by so many processes at once: the sum of their rates


def choose(
    runs: Sequence[Run],
    device: str,
    workers: int,
    threads: int,
    plugins: list[str],
    measure: Measure,
    say: Callable[[str], None] = lambda sentence: None,
) -> ExecutionPlan:
    """The plan for these runs, after as many trials as they are worth.

    Args:
        runs: what is to be trained, in whole families.
        device: "cpu" or "cuda".
        workers: processes that are used if one thread each is best.
        threads: that one process may use instead.
        plugins: files that the runs need.
        measure: carries out a trial.
        say: called with a sentence before each trial: what is tried, and how long that takes.
    """
    by_key: dict[str, list[list[Run]]] = {}
    for family in families_of(runs):
        by_key.setdefault(short_key(family[0]), []).append(family)
    plan = ExecutionPlan(device=device, workers=workers)
    guesses = {key: _guess(families) / workers for key, families in by_key.items()}  # each builds a model once
    for key, families in by_key.items():
        if guesses[key] > TRY_SECONDS[device]:
            plan.packs[key] = _pack_settings(families, plan, plugins, measure, say)
        elif device == "cpu":
            plan.packs[key] = PackSettings(pack_size=_untried(families, workers))
    longest = max(guesses, key=guesses.__getitem__, default=None)
    if longest is not None and device == "cpu" and guesses[longest] > TRY_SECONDS[device] and threads > 1:
        say(f"Trying one process of {threads} threads: {SHORT}.")
        _choose_threads(by_key[longest], plan, threads, plugins, measure)
    return plan


def _untried(families: list[list[Run]], workers: int) -> int:
    """Members of a pack on a CPU where nothing is tried: few, and so that every process has as many packs."""
    if operations_per_step(families[0][0]) > UNTRIED_OPERATIONS:
        return len(families[0])
    members = sum(map(len, families))
    return math.ceil(members / (workers * math.ceil(members / (workers * UNTRIED))))


def _guess(families: list[list[Run]]) -> float:
    """Seconds that these runs may take on one modest core, or on a GPU at the very worst; nothing is tried for it."""
    first = families[0][0]
    steps = sum(run.max_steps for family in families for run in family)
    return steps * max(STEP_SECONDS, operations_per_step(first) / FLOPS)


def operations_per_step(run: Run) -> int:
    """About how many floating-point operations one of its updates takes.

    Six for every weight and sample: a product and a sum forward, and twice as many backward. A transformer multiplies
    with most of its weights at every token, and so takes more.
    """
    return 6 * products(run) * run.batch_size


def products(run: Run) -> int:
    """Weights that one sample's forward pass multiplies with: each once, those of a convolution once per pixel.

    Of a model too large to be tried beforehand, each once.
    """
    task = build_task(run.task)
    stack = Stack(run.model["name"], own_settings(run.model), task, training=False)
    if stack.size > LARGEST_TRIAL:
        return stack.size
    key_12 = torch.zeros(1, 2, dtype=torch.int32)
    x = task.decode(task.sample(key_12, torch.zeros(1, 1, dtype=torch.int64)).x)
    products = 0

    def count(module: nn.Module, _: Any, out: Any) -> None:
        nonlocal products
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        products += own * (out.shape[-2:].numel() if isinstance(module, Conv2d | nn.Conv2d) else 1)

    for module in stack.module.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        stack.logits(torch.zeros(1, stack.size), stack.initial_buffers(key_12), x)
    return products


def _pack_settings(
    families: list[list[Run]], plan: ExecutionPlan, plugins: list[str], measure: Measure, say: Callable[[str], None]
) -> PackSettings:
    """The best number of members and backend for the packs of one key."""
    known = _remembered(plan, families[0][0])
    if known is not None:
        return known
    workers = plan.workers
    backend: BackendName = "graphed" if plan.device == "cuda" else "eager"

    def attempt(families_together: int, backend: BackendName, *, sequential: bool = False) -> Rate:
        pack = ordered_members(run for family in families[:families_together] for run in family)
        execution = Execution(device=plan.device, backend=backend, sequential=sequential)
        trial_name = f"{len(pack)} members{' one after another' if sequential else ''}, {backend}"
        say(f"Trying what is fastest, {trial_name}: {LONG if execution.compiles else SHORT}.")
        rate = measure(Trial(runs=list(pack), execution=execution, plugins=plugins), workers)
        answer = f"{rate.rate:,.0f} member steps/s" if rate.problem is None else rate.problem
        settings.measured.append(f"{trial_name}: {answer}")
        return rate

    settings = PackSettings(pack_size=len(families[0]), backend=backend)
    best = attempt(1, backend)
    if best.problem is not None and backend == "graphed":
        settings.backend = backend = "eager"
        best = attempt(1, backend)
    seconds = sum(run.max_steps for family in families for run in family) / max(best.rate, 1e-9)
    if seconds < TRY_SECONDS["cpu"] and plan.device == "cpu":
        settings.pack_size = _untried(families, workers)
        return settings
    if best.rate < SEQUENTIAL_RATE[plan.device] * workers and len(families[0]) > 1:
        rate = attempt(1, backend, sequential=True)
        if rate.rate > best.rate * WORTH:
            best, settings.sequential = rate, True
    together, sharing = 1, workers if plan.device == "cpu" else 1  # GPUs have each their own memory
    most = len(families) // workers  # so that all workers have something to do
    counts = dict.fromkeys(min(count, most) for count in FAMILIES[plan.device])
    for count in () if settings.sequential else [count for count in counts if count > 1]:
        if not _fits(best, count * len(families[0]) * sharing, plan.device):
            break
        rate = attempt(count, backend)
        if rate.rate < best.rate * WORTH:
            break
        best, together = rate, count
    settings.pack_size = together * len(families[0])
    seconds = sum(run.max_steps for family in families for run in family) / max(best.rate, 1e-9)
    if seconds > COMPILE_SECONDS and plan.compiler in (None, "found"):
        faster: BackendName = "compiled_graphed" if backend == "graphed" else "compiled"
        rate = attempt(together, faster, sequential=settings.sequential)
        plan.compiler = "found" if rate.problem is None else f"none that torch can use ({rate.problem})"
        if rate.rate > best.rate * WORTH:
            settings.backend = faster
    _remember(plan, families[0][0], settings)
    return settings


def _choose_threads(
    families: list[list[Run]], plan: ExecutionPlan, threads: int, plugins: list[str], measure: Measure
) -> None:
    """Give all cores to one process where that is faster than a process each, or where there is but one pack."""
    settings = plan.packs[short_key(families[0][0])]
    together = max(1, settings.pack_size // len(families[0]))
    packs = -(-len(families) // together)
    pack = list(ordered_members(run for family in families[:together] for run in family))
    execution = plan.execution(pack[0])
    trial = Trial(runs=pack, execution=execution, plugins=plugins)
    by_processes = measure(trial, min(plan.workers, packs)).rate
    with_threads = trial.model_copy(update={"execution": execution.model_copy(update={"threads": threads})})
    by_threads = measure(with_threads, 1).rate
    settings.measured.append(
        f"one process of {threads} threads: {by_threads:,.0f} member steps/s, "
        f"processes of one thread: {by_processes:,.0f}"
    )
    if by_threads > by_processes * WORTH:
        plan.workers, plan.threads = 1, threads


def _fits(one: Rate, members: int, device: str) -> bool:
    """Whether so many members may be tried, by the memory that one was seen to take."""
    return one.member_bytes * members < FREE_SHARE * free_memory(device)


def free_memory(device: str) -> int:
    """Bytes that are free, on the device or on the host."""
    if device == "cuda":  # of another machine's, the trials themselves find out
        return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 1 << 50
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 33


def cache_folder() -> Path:
    """Where what was measured on this machine is kept for later studies."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "deep-bootstrap"


def _memory() -> Path:
    return cache_folder() / "packs.json"


def _machine(plan: ExecutionPlan) -> str:
    """The machine, and what is tried on it: what another search has found is not remembered."""
    tried = "/".join(map(str, FAMILIES[plan.device]))
    device = environment.device_name(plan.device)
    return f"{device}, {plan.workers} processes, torch {torch.__version__}, {tried} families"


def _remembered(plan: ExecutionPlan, run: Run) -> PackSettings | None:
    """Settings that were measured for this pack key on this machine before."""
    try:
        return PackSettings.model_validate(json.loads(_memory().read_text())[_machine(plan)][short_key(run)])
    except (OSError, ValueError, KeyError):
        return None


def _remember(plan: ExecutionPlan, run: Run, settings: PackSettings) -> None:
    """Keep what was measured; a home that cannot be written only means that it is measured again."""
    try:
        kept = json.loads(_memory().read_text()) if _memory().is_file() else {}
        kept.setdefault(_machine(plan), {})[short_key(run)] = settings.model_dump()
        _memory().parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, _memory())
    except (OSError, ValueError):
        return

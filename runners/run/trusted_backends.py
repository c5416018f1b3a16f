"""Fast programs are used only where they were seen to train as ``eager`` does.

What was seen is kept for the machine, by device, version of torch and architecture, so that it is tried once.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.training.backend import Program
from deepboot.runners.run import autotune, environment
from deepboot.runners.run.autotune import Layout, Measure, Shape
from deepboot.runners.run.packing import families_of, ordered_members
from deepboot.runners.run.trial import Trial

AGREES = ""  # what is kept of a program that may be used


def distrust(
    chosen: Layout, runs: Sequence[Run], plugins: list[str], measure: Measure, say: Callable[[str], None]
) -> None:
    """Replace each program of a layout that does not train as ``eager`` does, and say so.

    Args:
        chosen: changed in place.
        runs: what is to be trained.
        plugins: files that the runs need.
        measure: carries out a trial.
        say: is told one sentence for each program that is not used.
    """
    families = {autotune.digest(family[0]): family for family in families_of(runs)}
    for name, family in families.items():
        shape = chosen.shapes.get(name, Shape())
        if shape.program == "eager":
            continue
        problem = _problem(chosen, shape, list(ordered_members(family)), plugins, measure)
        if problem != AGREES:
            told = f"{shape.program} is not used here: {problem}"
            say(f"Program {told}. Steps are carried out one operation at a time (eager).")
            chosen.shapes[name] = shape.model_copy(update={"program": "eager", "measured": [*shape.measured, told]})


def _problem(chosen: Layout, shape: Shape, family: list[Run], plugins: list[str], measure: Measure) -> str:
    """Why a program is not to be used, from memory or from a trial that is then remembered."""
    machine, architecture = _machine(chosen), _architecture(family[0], shape.program, apart=shape.apart)
    known = _read().get(machine, {}).get(architecture)
    if isinstance(known, str):
        return known
    trial = Trial(
        runs=family, device=chosen.device, program=shape.program, apart=shape.apart, threads=chosen.threads,
        plugins=plugins, check=True,
    )  # fmt: skip
    answer = measure(trial, 1)
    problem = answer.problem or AGREES
    if answer.checked:  # that a worker was killed says nothing of the program
        _remember(machine, architecture, problem)
    return problem


def _machine(chosen: Layout) -> str:
    device = torch.cuda.get_device_name() if chosen.device == "cuda" else environment.processor()
    return f"{device}, torch {torch.__version__}"


def _architecture(run: Run, program: Program, *, apart: bool) -> str:
    """A short name for all that decides which code a program is made of."""
    parts = [
        program, apart, run.dtype, run.precision, run.channels_last, run.batch_size, run.task, own_settings(run.model),
        run.model["name"], run.loss, run.optimizer["name"], run.code, run.data.augmentation,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _path() -> Path:
    return autotune.cache_folder() / "programs.json"


def _read() -> dict[str, dict[str, str]]:
    try:
        kept = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return {name: held for name, held in kept.items() if isinstance(held, dict)} if isinstance(kept, dict) else {}


def _remember(machine: str, architecture: str, problem: str) -> None:
    """Keep what was seen; a home that cannot be written only means that it is tried again."""
    kept = _read()
    kept.setdefault(machine, {})[architecture] = problem
    try:
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, _path())
    except OSError:
        return

"""Fast backends are used only where they were seen to train as ``eager`` does.

The answer is kept for the machine, by device, version of torch and architecture, so that it is tried once.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.training.execution import Execution
from deepboot.runners.run import autotune, environment
from deepboot.runners.run.autotune import Measure
from deepboot.runners.run.execution_plan import ExecutionPlan, short_key
from deepboot.runners.run.packing import families_of, ordered_members
from deepboot.runners.run.trial import Trial

AGREES = ""  # is kept of a backend that may be used


def distrust(
    plan: ExecutionPlan, runs: Sequence[Run], plugins: list[str], measure: Measure, say: Callable[[str], None]
) -> None:
    """Replace each backend of a plan that does not train as ``eager`` does, and say so.

    Args:
        plan: changed in place.
        runs: all that are to be trained.
        plugins: files that the runs need.
        measure: carries out a trial.
        say: is called with one sentence for each backend that is not used.
    """
    families = {short_key(family[0]): family for family in families_of(runs)}
    for key, family in families.items():
        settings = plan.of(family[0])
        if settings.backend == "eager":
            continue
        problem = _problem(list(ordered_members(family)), plan.execution(family[0]), plugins, measure)
        if problem != AGREES:
            refusal = f"{settings.backend} is not used here: {problem}"
            say(f"Backend {refusal}. Steps are carried out one operation at a time (eager).")
            measured = [*settings.measured, refusal]
            plan.packs[key] = settings.model_copy(update={"backend": "eager", "measured": measured})


def _problem(family: list[Run], execution: Execution, plugins: list[str], measure: Measure) -> str:
    """Why a backend is not to be used, from memory or from a trial that is then remembered."""
    machine, architecture = _machine(execution), _architecture(family[0], execution)
    known = _read().get(machine, {}).get(architecture)
    if isinstance(known, str):
        return known
    answer = measure(Trial(runs=family, execution=execution, plugins=plugins, check=True), 1)
    problem = answer.problem or AGREES
    if answer.checked:  # that a worker was killed says nothing of the backend
        _remember(machine, architecture, problem)
    return problem


def _machine(execution: Execution) -> str:
    return f"{environment.device_name(execution.device)}, torch {torch.__version__}"


def _architecture(run: Run, execution: Execution) -> str:
    """A short name for everything by which a backend's code is made."""
    parts = [
        execution.backend, execution.sequential, run.dtype, run.precision, run.channels_last, run.batch_size, run.task,
        own_settings(run.model), run.model["name"], run.loss, run.optimizer["name"], run.code, run.data.augmentation,
    ]  # fmt: skip
    if run.transforms or run.layers:
        parts += [[one["name"] for one in run.transforms], sorted(run.layers)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _path() -> Path:
    return autotune.cache_folder() / "backends.json"


def _read() -> dict[str, dict[str, str]]:
    try:
        kept = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {machine: problems for machine, problems in kept.items() if isinstance(problems, dict)}


def _remember(machine: str, architecture: str, problem: str) -> None:
    """Keep an answer; a home that cannot be written only means that it is tried again."""
    kept = _read()
    kept.setdefault(machine, {})[architecture] = problem
    try:
        _path().parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, _path())
    except OSError:
        return

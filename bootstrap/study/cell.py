"""The pairs of runs of one point of a sweep: its pools and seeds in both worlds."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.compatibility import compatibility_problems, pools_of, task_and_problems
from deepboot.bootstrap.study.constructed import construction_problems
from deepboot.bootstrap.study.dtypes import eps_problems
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.optimizer_checks import optimizer_problems
from deepboot.bootstrap.study.probe_checks import probe_problems
from deepboot.bootstrap.study.run import TRAINING, Pair, Run
from deepboot.bootstrap.study.schema import CHOICES, Study, Training
from deepboot.bootstrap.task import Task, Universe

AS_GIVEN = ("data", "schedule", "evaluation", "keep", "probes", "stop")  # tables that a run has as the study has them


def cell_pairs(study: Study, faulty: set[str], largest: dict[str, int]) -> list[Pair]:
    """A pair of runs for every pool and seed, without phases and without weights to start from.

    Args:
        faulty: tables that are known to be faulty, so that nothing is reported that depends on them.
        largest: size of the study's largest pool by `universe_key`, where it is known.

    Raises:
        StudyError: all that is wrong with it beside the faulty tables.
    """
    task, problems = task_and_problems(study, faulty)
    pools: list[tuple[int, float | None]] = []
    if task is not None and faulty.isdisjoint(("data", "loss", "training")):
        pools, more = pools_of(study, task.size if isinstance(task, Universe) else None)
        problems += more or compatibility_problems(study, task, [size for size, _ in pools])
    if faulty.isdisjoint(("optimizer", "training", "schedule")):
        problems += optimizer_problems(study) or eps_problems(study)
    if task is not None and not problems and faulty.isdisjoint(("model", "start")):
        problems += construction_problems(study, task)
    if task is not None and not problems and faulty.isdisjoint(("model", "loss", "probes")):
        problems += probe_problems(study, task)
    if problems or faulty or task is None:
        raise StudyError(problems)
    training = study.training
    common = {
        **{name: getattr(study, name) for name in (*CHOICES, *AS_GIVEN)},
        **{name: getattr(training, name) for name in ("max_steps", *TRAINING)},
        "start": None,
        "largest_pool": max(largest.get(universe_key(study.task), 0), *(size for size, _ in pools)),
    }  # fmt: skip
    code = _code(study, task)
    real_code = {**code, **_rule_code(study)}
    ideal_per_pool = study.data.swapped_answers or study.stop is not None  # else all pools share one
    pairs = []
    for (size, fraction), seed in itertools.product(pools, seeds_of(training)):
        specific = {"seed": seed, "batch_size": size if training.batch_size == "full" else training.batch_size}
        ideal = None
        if training.ideal:
            ideal = Run(**common, **specific, code=code, world={"rule": "ideal"},
                        train_size=size if ideal_per_pool else None, train_fraction=None)  # fmt: skip
        real = Run(**common, **specific, code=real_code, world=training.world, train_size=size,
                   train_fraction=fraction, ideal_run_id=ideal.run_id if ideal else None)  # fmt: skip
        pairs.append(Pair(real, ideal))
    return pairs


def seeds_of(training: Training) -> Sequence[int]:
    """The seeds of a study's replicates."""
    return training.seeds if isinstance(training.seeds, list) else range(training.seeds)


def universe_key(task: dict[str, Any]) -> str:
    """A key of a task with its settings, the same for all runs that draw from the same universe."""
    return json.dumps(task, sort_keys=True)


def _code(study: Study, task: Task) -> dict[str, str]:
    """The part of a run's identity beside its settings: the task's version, recorded files, plugins' sources."""
    penalty, construct = study.training.penalty, study.start.construction if study.start is not None else None
    entries = [registry.find(kind, getattr(study, kind)["name"]) for kind in CHOICES]
    entries += [registry.find("penalty", penalty["name"])] if penalty is not None else []
    entries += [registry.find("transform", transform["name"]) for transform in study.training.transforms]
    entries += [registry.find("construction", construct["name"])] if construct is not None else []
    versions = {key: value for entry in entries if entry.kind != "task" for key, value in _version(entry).items()}
    fingerprint = getattr(task, "fingerprint", None)
    return {
        "task_version": str(task.version),
        **{_part(entry): entry.source for entry in entries if entry.source},
        **versions,
        **({"data": fingerprint} if fingerprint else {}),
    }


def _rule_code(study: Study) -> dict[str, str]:
    """The source and version of a plugin's index rule, on which the ideal world does not depend."""
    entry = registry.find("rule", study.training.world["rule"])
    return {**({"rule": entry.source} if entry.source else {}), **_version(entry)}


def _version(entry: Entry) -> dict[str, str]:
    """The ``version`` of a registered thing under its kind; empty where it has none."""
    return {f"{_part(entry)}_version": entry.version} if entry.version is not None else {}


def _part(entry: Entry) -> str:
    """The part that a registered thing has in a run: its kind; of transforms, of which a run may have several, more."""
    return f"transform {entry.name}" if entry.kind == "transform" else entry.kind

"""Problems of a study's optimizer, found by trying it: a rule that lacks a method, or one of torch's that fails."""

import json
from functools import lru_cache

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.build import missing_members
from deepboot.bootstrap.study.schema import Study, own_settings
from deepboot.bootstrap.torch_optimizers import is_stacked, trial_problem


def optimizer_problems(study: Study) -> list[str]:
    """Problems of the optimizer of a study whose tables ``optimizer``, ``schedule`` and ``training`` are sound."""
    entry = registry.find("optimizer", study.optimizer["name"])
    if is_stacked(entry.name):
        missing = missing_members(entry.target, "optimizer")
        return [f"`optimizer`: {missing}"] if missing else []
    problem = _trial_problem(entry, json.dumps(own_settings(study.optimizer)), scheduled=study.schedule.changes_rate)
    return ([f"`optimizer`: {problem}"] if problem else []) + _stacked_only(study)


@lru_cache(maxsize=256)
def _trial_problem(entry: Entry, settings: str, *, scheduled: bool) -> str | None:
    return trial_problem(entry.name, json.loads(settings), scheduled=scheduled)


def _stacked_only(study: Study) -> list[str]:
    """Problems of settings that act on a stacked optimizer's rates, which a torch optimizer keeps to itself."""
    name, training = study.optimizer["name"], study.training
    cure = "Remove it, or use a stacked optimizer such as adamw."
    problems = [
        f"`training.layers.{layer}.{key}`: optimizer {name!r} is one of torch, which no factor on a layer reaches, got "
        f"{getattr(factors, key):g}. {cure}"
        for layer, factors in training.layers.items()
        for key in ("lr", "weight_decay")
        if getattr(factors, key) != 1 and (key == "lr" or key in registry.settings("optimizer", name).model_fields)
    ]
    if training.update_noise:
        problems.append(
            "`training.update_noise`: it is scaled by the learning rate, which a torch optimizer such as "
            f"{name!r} keeps to itself, got {training.update_noise:g}. {cure}"
        )
    return problems

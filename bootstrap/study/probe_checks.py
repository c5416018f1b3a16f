"""Whether probes fit a task, model and loss, and what they measure: they are tried on two samples, untrained."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import registry
from deepboot.bootstrap.columns import probe_of
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.probes.measured import Measured, PoolSamples, measure
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.compatibility import cached, two_samples
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import Chosen, ProbeCommon, Study, own_settings
from deepboot.bootstrap.task import Samples, Task
from deepboot.bootstrap.wording import reason

LARGEST_TRIAL = 2_000_000  # parameters of a model; probes of a larger one are tried at its first evaluation


def probe_problems(study: Study, task: Task) -> list[str]:
    """Problems of probes with a task, model and loss that are not faulty."""
    return list(_tried(study, task)[0]) if study.probes else []


def value_names(runs: Iterable[Run]) -> dict[str, frozenset[str]]:
    """Names of every probe's values in the table ``probes``, by probe; none of a probe that is not tried beforehand."""
    names: dict[str, frozenset[str]] = {}
    for run in {json.dumps([run.task, run.model, run.loss, run.probes]): run for run in runs if run.probes}.values():
        found = _tried(run, build_task(run.task))[1]
        for probe in run.probes:
            names[probe] = names.get(probe, frozenset()) | {name for name in found if probe_of(name) == probe}
    return names


def _tried(chosen: Study | Run, task: Task) -> tuple[list[str], list[str]]:
    """Problems of probes, and names of their values; both empty where the model is too large to be tried."""
    entries = [registry.find("model", chosen.model["name"]), registry.find("loss", chosen.loss["name"])]
    entries += [registry.find("probe", name) for name in chosen.probes]
    tables = json.dumps([chosen.model, chosen.loss, chosen.probes])
    tried: tuple[list[str], list[str]] = cached(_trial, task, tables, tuple(entries))
    return tried


@lru_cache(maxsize=256)
def _trial(task: Task, tables: str, entries: tuple[Entry, ...]) -> tuple[list[str], list[str]]:
    """Problems of probes and names of their values, for a model, loss and probes as JSON, with all of their entries."""
    model, loss, probes = json.loads(tables)
    stack = Stack(model["name"], own_settings(model), task, training=False)
    if stack.size > LARGEST_TRIAL:
        return [], []
    measured = _untrained(task, stack, loss)
    problems: list[str] = []
    names: list[str] = []
    for name, settings in probes.items():
        try:
            names += measure(name, probe_settings(settings), measured)
        except (Exception, SystemExit) as error:  # a plugin's probe may raise anything
            problems.append(f"`probes.{name}`: {reason(error, 'Mend the probe.')}")
    return problems, names


def probe_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a probe: its settings without those that every probe has."""
    return {name: value for name, value in settings.items() if name not in ProbeCommon.model_fields}


def _untrained(task: Task, stack: Stack, chosen_loss: Chosen) -> Measured:
    """One member at its start, with two samples as its pool and as its test set."""
    key_12 = torch.zeros(1, 2, dtype=torch.int32)
    x, y = cached(two_samples, task)
    loss = registry.find("loss", chosen_loss["name"]).target
    own_12 = torch.ones(1, 2, dtype=torch.bool)

    def initial() -> tuple[Tensor, dict[str, Tensor]]:
        return stack.initial(key_12, torch.ones(1, 1)), stack.initial_buffers(key_12)

    param_1P, buffers = initial()
    return Measured(
        step=0,
        task=task,
        stack=stack,
        param_EP=param_1P,
        buffers=buffers,
        initial=initial,
        forward=lambda param_EP, buffers, x: stack.logits(param_EP, buffers, task.decode(x)),
        loss=lambda logits_EBV, label_EB: loss(logits_EBV, label_EB, **own_settings(chosen_loss)),
        test=Samples(x, y),
        test_block=2,
        pool=PoolSamples(x, y, y, own_12, own_12),
        key_E2=key_12,
    )

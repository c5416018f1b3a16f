"""The task of a study, and how many cells of a finite one there are to train and to test on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import Data, own_settings
from deepboot.bootstrap.task import Task, Universe
from deepboot.bootstrap.wording import nearest


def build_task(chosen: dict[str, Any]) -> Task:
    """The task of a study's ``task`` table.

    Raises:
        ValueError: its settings do not go together, or its class lacks what every task has.
    """
    target = registry.find("task", chosen["name"]).target
    if missing := missing_members(target, "task"):
        raise ValueError(missing)
    task: Task = target(**own_settings(chosen))
    return task


def missing_members(target: Any, kind: str) -> str:
    """Sentences about the members that a class of this kind lacks, with the nearest names that it has; or no text."""
    return " ".join(missing_member(target, kind, name) for name in sorted(getattr(target, "__abstractmethods__", ())))


def missing_member(target: Any, kind: str, name: str) -> str:
    """The message about a member that a class of this kind lacks."""
    near = nearest(name, [member for member in vars(target) if not member.startswith("_")])
    cure = f"Rename {near!r}, if that is meant for it, or define it." if near else "Define it."
    return f"class {target.__qualname__} lacks {name!r}, which every {kind} has. {cure}"


def capacity(task: Task, data: Data) -> int | None:
    """Number of training cells of a finite universe, and so of the ideal world's fresh samples; None if endless."""
    if not isinstance(task, Universe):
        return None
    if data.test_set == "reference":
        return task.size - len(task.reference or ())
    if data.test_set != "heldout":
        return task.size
    # With orbits the last test orbit may hold one cell more or less: one cell is left to neither.
    return task.size - held_out(task, data) - (data.split == "orbits")


def held_out(task: Universe, data: Data) -> int:
    """Number of cells held out for the test, before orbits are completed."""
    return max(1, round(data.test_fraction * task.size))


def run_keys(runs: Sequence[Run], stream: str, device: torch.device | str = "cpu") -> Tensor:
    """Keys of one stream of several runs, int32, (E, 2)."""
    return streams.keys([run.stream_seed(stream) for run in runs], stream, device)

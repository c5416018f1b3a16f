"""The worlds that a run reads, phase after phase, and which indices are left for samples that were never used."""

from collections.abc import Sequence
from typing import Any

import torch

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.build import build_task, capacity, run_keys
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.task import Task, Universe
from deepboot.bootstrap.usage import usage
from deepboot.bootstrap.worlds import World


def world_of(runs: Sequence[Run], task: Task | None, device: torch.device | str = "cpu") -> World:
    """The world of runs under one rule, whose indices they read; without their task, that of an endless one."""
    first = runs[0]
    sizes = [run.batch_size if run.rule == "ideal" else run.pool_size for run in runs]
    key_M2 = run_keys(runs, "order", device)
    rule = registry.find("rule", first.rule).target
    return World(
        rule, own_settings(first.world), sizes, key_M2, first.batch_size,
        capacity(task, first.data) if task is not None else None,
        origin=(first.first_step, first.first_draw), first_unread=[run.first_unread for run in runs],
    )  # fmt: skip


def worlds_of(run: Run, task: Task) -> list[World]:
    """A run's own world and those of its phases, in the order in which they take over."""
    return [world_of([stage], task) for stage in _stages(run)]


def unread_after(run: Run, step: int) -> int:
    """The first index such that a run has read neither it nor any after it by a step.

    Args:
        run: without phases; what it read before its ``first_step`` is in its ``first_unread``.
        step: optimizer updates done, after the run's ``first_step``.
    """
    return max(run.first_unread, world_of([run], None).largest_index(step) + 1)


def second_pass_problems(run: Run, task: Task, *, partner: bool) -> list[str]:
    """Problems of stages of a run that would read a finite universe again though the study does not allow it.

    The ideal world of a universe that can be made anew (all p² equations, say) may begin another pass unasked. A
    recording may not, and neither may a rule that promises samples which were never used.

    Args:
        run: with its phases.
        task: its task.
        partner: whether it is the ideal partner of a real run, which can be left out.
    """
    if not isinstance(task, Universe) or run.data.allow_reuse:
        return []
    stages = _stages(run)
    last_steps = [*(stage.first_step for stage in stages[1:]), run.max_steps]
    problems = []
    for number, (stage, last_step) in enumerate(zip(stages, last_steps, strict=True)):
        world = world_of([stage], task)
        if world.capacity is None or (task.endless_passes and world.may_begin_passes):
            continue
        needed = world.largest_index(last_step) + 1
        if needed > world.capacity:
            key = f"phases[{number - 1}]: `training.max_steps`" if number else "`training.max_steps`"
            reader = "ideal world" if stage.rule == "ideal" else f"rule '{stage.rule}'"
            what = "universe" if task.endless_passes else "recording"
            leave = "set training.ideal = false, " if partner else ""
            problems.append(
                f"{key}: the {reader} needs {needed:,} fresh samples, but the {what} has {world.capacity:,} for "
                f"training. Lower max_steps or batch_size, {leave}or set data.allow_reuse = true."
            )
    return problems


def _stages(run: Run) -> list[Run]:
    """The run until its first phase, then the run of each phase."""
    return [run, *(phase.run for phase in run.phases)]


def reuse_of(run: Run, steps: int) -> dict[str, Any]:
    """How a run uses its samples over this many steps: ``first_reuse_step`` and ``reuse``."""
    used = usage(worlds_of(run, build_task(run.task)), max(steps, 1))
    same_start = run.start is None or run.start.shared or run.rule == "ideal"
    first_reuse = used.first_reuse_step if same_start else 0  # worlds that start from different weights differ at once
    return {"first_reuse_step": first_reuse, "reuse": run.samples_seen(steps) / used.distinct}

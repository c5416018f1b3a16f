"""Facts of each run's data beside its settings, as columns ``facts.…`` of the table ``runs``."""

from typing import Any

import torch

from deepboot.bootstrap.samples.source import ENDLESS_TEST_SAMPLES
from deepboot.bootstrap.samples.split import mirrored_share, split_of
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.task import Universe


def facts_of(runs: list[Run]) -> dict[str, dict[str, Any]]:
    """What the data of each run were, beside its settings: classes, sizes of universe and test, mirrored share."""
    facts: dict[str, dict[str, Any]] = {}
    known: dict[tuple[str, int, int | None], dict[str, Any]] = {}
    data_of: dict[str, str] = {}  # what the seeds of a cell have in common, by cell_id
    for run in runs:
        if run.cell_id not in data_of:
            data_of[run.cell_id] = f"{run.task} {run.data} {run.streams} {run.train_size}"
        same_data = (data_of[run.cell_id], run.seed, run.largest_pool)
        if same_data not in known:
            known[same_data] = _facts(run)
        facts[run.run_id] = known[same_data]
    return facts


def _facts(run: Run) -> dict[str, Any]:
    task = build_task(run.task)
    if not isinstance(task, Universe):
        exact = run.data.test_samples is None and task.exact(torch.zeros(1, 2, dtype=torch.int32)) is not None
        test_size = None if exact else run.data.test_samples or ENDLESS_TEST_SAMPLES
        return {"facts.classes": task.classes, "facts.test_size": test_size}
    division = split_of(task, run)
    return {
        "facts.classes": task.classes,
        "facts.universe_size": task.size,
        "facts.training_cells": capacity(task, run.data),
        "facts.test_size": min(len(division.test), run.data.test_samples or task.size),
        "facts.mirrored_share": mirrored_share(task, division, run.train_size) if run.train_size else None,
    }

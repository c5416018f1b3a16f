"""What of a study is computed one member after another, because it is torch's own."""

import json
from collections.abc import Iterable

from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.schema import own_settings
from deepboot.bootstrap.torch_optimizers import is_stacked


def slow_parts(runs: Iterable[Run]) -> list[str]:
    """A sentence for every optimizer and model of these runs that takes members one after another."""
    runs = list(runs)
    optimizers = sorted({run.optimizer["name"] for run in runs})
    models = {json.dumps([run.model["name"], run.task]): run for run in runs}
    return [
        f"Optimizer {name!r} is one of torch: it steps one member after another, which is slower than a stacked one "
        "(see `adamw` in bootstrap/optimizers.py)."
        for name in optimizers
        if not is_stacked(name)
    ] + sorted({
        f"Model {run.model['name']!r} cannot be mapped over members by torch.func.vmap: it computes one member after "
        "another, which is slower."
        for run in models.values()
        if Stack(run.model["name"], own_settings(run.model), build_task(run.task)).loops_members
    })  # fmt: skip

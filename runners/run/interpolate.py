"""Loss and errors on the straight line between two kept checkpoints of a run."""

from typing import Any

import pandas as pd
import torch

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack
from deepboot.reports.notebook import NotebookResults
from deepboot.reports.representation.interpolation import SHARES, interpolation_table
from deepboot.reports.representation.kept import Weights, load_weights
from deepboot.runners import builtins


def interpolate(
    results: NotebookResults, *, seed: int, steps: tuple[int, int], world: str = "real",
    shares: tuple[float, ...] = SHARES, **where: Any,
) -> pd.DataFrame:  # fmt: skip
    """Loss and errors of a run's network with weights between those of two kept steps.

    They are measured as in training, on the same test set and the same samples of the run's own pool.

    Args:
        results: of ``load`` or `run_study`.
        seed, world: of the run.
        steps: at which its weights were kept, such as one where it has memorised and one where it has grokked.
        shares: of the second step's weights.
        where: further columns of ``runs``, as in `NotebookResults.weights`.

    Returns:
        ``share``, then ``train_loss, train_error, train_soft_error`` where the run has a pool, and the same of the test
        set, as `interpolation.barrier` and `figures.representation.plot_interpolation` read it.

    Raises:
        ValueError: no run or several, weights that were not kept, or a run that its study no longer plans.
    """
    first, second = (results.kept(seed=seed, world=world, step=step, **where) for step in steps)
    pack = Pack([_planned(results, str(first["run_id"]))])
    evaluator, named = Evaluator(pack), pack.member_step.stack.weights(pack.param_EP, pack.members.buffers)

    @torch.no_grad()
    def evaluate(weights: Weights) -> dict[str, float]:
        for name, tensor in named.items():
            tensor.copy_(torch.from_numpy(weights[name]))
        (row,) = evaluator.rows()
        return {name: value for name, value in row.items() if name.startswith(("train_", "test_"))}

    table = interpolation_table(load_weights(first["path"]), load_weights(second["path"]), evaluate, shares)
    return table.dropna(axis="columns", how="all")


def _planned(results: NotebookResults, run_id: str) -> Run:
    """The run of this id, as the results' own study plans it."""
    builtins.load()
    for run in runs_of(dict(results.study)):
        if run.run_id == run_id:
            return run
    raise ValueError(
        f"expected run {run_id} among those of the study in {results.folder}, which plans others: it, a plugin or the "
        "meaning of its settings was changed since. Run the study again into a new folder."
    )

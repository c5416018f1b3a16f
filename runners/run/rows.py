"""Rows of the table ``runs``: as a specification gives them, as planned, and with training and events."""

from typing import Any

from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.events import Curves
from deepboot.bootstrap.losses import default_metric
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import reuse_of
from deepboot.bootstrap.underway import outcome_row


def run_row(run: Run, trained: dict[str, Any], evaluations: Curves, facts: dict[str, Any]) -> dict[str, Any]:
    """One row of ``runs``: the specification, how training ended, and the events of its evaluations, sorted by step."""
    status = trained["status"]
    if status not in ("diverged", "failed"):
        complete = trained.get(STOPPED) is True or trained["last_step"] >= run.max_steps
        status = "finished" if complete else "unfinished"
    return outcome_row(planned_row(run, facts), {**trained, "status": status}, evaluations)


def planned_row(run: Run, facts: dict[str, Any]) -> dict[str, Any]:
    """A row of ``runs`` of which nothing is trained yet: the specification, and facts of the data."""
    return {
        **specification_row(run),
        "status": "unfinished",
        "last_step": 0,
        **({STOPPED: False} if run.stop is not None else {}),
        **facts,
    }


def specification_row(run: Run) -> dict[str, Any]:
    """A row of ``runs`` as its specification gives it, with the metric by which the run is judged."""
    metric = default_metric(run.loss["name"])
    return {
        "run_id": run.run_id,
        "ideal_run_id": run.ideal_run_id,
        "cell_id": run.cell_id,
        "world": run.rule,
        "seed": run.seed,
        **{kind: getattr(run, kind)["name"] for kind in ("task", "model", "optimizer")},
        **{name: getattr(run, name) for name in ("train_size", "train_fraction", "batch_size", "max_steps")},
        "metric": metric,
        **run.settings(),
        "evaluation.stopping_metric": run.evaluation.stopping_metric or f"train_{metric}",
    }


def planned_first_reuse(run: Run) -> int | None:
    """The first update that reuses a sample within the budget; None where every draw would have to be looked at."""
    counted = run.rule in ("real", "ideal") and not run.phases
    return reuse_of(run, run.max_steps)["first_reuse_step"] if counted else None

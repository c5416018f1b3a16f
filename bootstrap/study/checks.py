"""Problems of a study beside its single keys and its task: budgets, evaluations, numbers too large to plan."""

import math
from collections.abc import Sequence

from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.run import evaluation_steps
from deepboot.bootstrap.study.schema import Evaluation, Study
from deepboot.bootstrap.wording import shown

MOST_EVALUATIONS = 100_000  # of a run: its rows, a kilobyte each, are held in memory until it ends
MOST_ROWS = 50_000_000  # of a study's table of evaluations: 5 GB, which every report reads


def budget_problems(study: Study, faulty: set[str]) -> list[str]:
    """Problems with the budget, evaluations and precision, in tables that are not faulty already."""
    problems: list[str] = []
    if "training" in faulty:
        return problems
    training = study.training
    if training.dtype != "float32" and training.precision != "float32":
        problems.append(
            f"`training.precision`: {training.precision!r} is a precision of float32 and cannot be had with "
            f'training.dtype = "{training.dtype}". Remove one of the two.'
        )
    if "schedule" not in faulty and study.schedule.warmup_steps > training.max_steps:
        problems.append(
            f"`schedule.warmup_steps`: expected at most training.max_steps = {training.max_steps:,}, "
            f"got {study.schedule.warmup_steps:,}. Lower it."
        )
    if "evaluation" not in faulty:
        problems += _evaluation_problems(study, with_stop="stop" not in faulty)
    return problems


def _evaluation_problems(study: Study, with_stop: bool) -> list[str]:
    """Problems of too many evaluations, of some after the budget, or of too few for a streak."""
    evaluation, budget = study.evaluation, study.training.max_steps
    key, count = most_evaluations(evaluation, budget)
    if count > MOST_EVALUATIONS:
        cure = "Raise it" if isinstance(evaluation.schedule, int) else "Lower it"
        return [
            f"`evaluation.{key}`: expected at most {MOST_EVALUATIONS:,} evaluations of a run, got {count:,}. "
            f"{cure}, or lower training.max_steps."
        ]
    late = [step for step in evaluation.schedule if step > budget] if isinstance(evaluation.schedule, list) else []
    if late:
        return [
            f"`evaluation.schedule`: expected steps up to training.max_steps = {budget:,}, got {shown(late)}. "
            "Remove what is later, or raise training.max_steps."
        ]
    steps = len(evaluation_steps(evaluation, budget))
    streaks = {"evaluation.streak": evaluation.streak}
    if with_stop and study.stop is not None:
        streaks["stop.streak"] = study.stop.streak
    return [
        f"`{name}`: expected at most the {steps} evaluations that a run has, got {streak:,}: so long a streak never "
        "comes. Lower it, or evaluate more often."
        for name, streak in streaks.items()
        if streak > steps
    ]


def most_evaluations(evaluation: Evaluation, max_steps: int) -> tuple[str, int]:
    """The key that decides how often a run is evaluated, and the largest number of its evaluations."""
    if isinstance(evaluation.schedule, list):
        return "schedule", len({*evaluation.schedule, max_steps})
    if isinstance(evaluation.schedule, int):
        return "schedule", 1 + math.ceil(max_steps / evaluation.schedule)
    return "per_octave", math.ceil(math.log2(max_steps) * evaluation.per_octave) + 2


def table_problems(cells: Sequence[Replicates]) -> list[str]:
    """Problems of runs whose table of evaluations would be too large."""
    runs = sum(map(len, cells))
    rows = sum(len(cell) * most_evaluations(cell.run.evaluation, cell.run.max_steps)[1] for cell in cells)
    if rows <= MOST_ROWS:
        return []
    return [
        f"`evaluation.schedule`: expected at most {MOST_ROWS:,} evaluations in a study, got {rows:,} of "
        f"{runs:,} runs. Evaluate less often, or divide the study."
    ]

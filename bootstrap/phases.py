"""What runs become at later steps, and the weights of other studies that they start from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from bootstrap import results
from bootstrap.mistakes import StudyError
from bootstrap.run import Phase, Run, Source
from bootstrap.study import Change, Start, Study, parse, with_value
from bootstrap.task import expanded

CHANGEABLE = (
    "data.label_noise", "data.labels", "optimizer", "training.clip_norm", "training.train_fraction",
    "training.train_size", "training.update_noise", "training.weight_noise", "training.world",
)  # fmt: skip
WEIGHTS = "weights"  # the folder of kept weights inside an output folder


def weights_file(folder: Path, run_id: str, step: int) -> Path:
    """Where a run's weights of one step are kept, as safetensors under the parameters' names."""
    return folder / WEIGHTS / f"{run_id}-{step}.safetensors"


def of(point: dict[str, Any], cell_runs: Callable[[Study], list[Run]]) -> list[Run]:
    """The runs of one point of a sweep, with all their phases and with the weights they start from.

    Args:
        point: the study as it was written, without a sweep.
        cell_runs: gives the runs of a study that has neither phases nor a start.

    Raises:
        StudyError: all that is wrong with it.
    """
    study = parse(point)
    problems = [problem for number, change in enumerate(study.phases) for problem in _problems(study, number, change)]
    if problems:
        raise StudyError(problems)
    stages = [cell_runs(study)]
    later = {key: value for key, value in point.items() if key not in ("phases", "start")}
    for number, change in enumerate(study.phases):
        for dotted, value in change.set.items():
            later = with_value(later, dotted, value)
        stages.append(_as_many(_said_where(number, later, cell_runs), stages[0], number))
    return _paired([_whole(runs, study) for runs in zip(*stages, strict=True)])


def _problems(study: Study, number: int, change: Change) -> list[str]:
    """What is wrong with a change of settings, beside the settings themselves."""
    place = f"`phases[{number}]"
    found = [
        f"{place}.set`: {dotted!r} cannot change within a run. Change one of {', '.join(CHANGEABLE)}."
        for dotted in change.set
        if dotted == "optimizer.name" or not any(dotted == name or dotted.startswith(f"{name}.") for name in CHANGEABLE)
    ]
    before = study.phases[number - 1].at_step if number else 0
    if not before < change.at_step < study.training.max_steps:
        found.append(
            f"{place}.at_step`: expected a step between {before + 1} and {study.training.max_steps - 1:,}, "
            f"got {change.at_step:,}. Phases follow each other within training.max_steps."
        )
    return found


def _said_where(number: int, later: dict[str, Any], cell_runs: Callable[[Study], list[Run]]) -> list[Run]:
    try:
        return cell_runs(parse(later))
    except StudyError as error:
        raise StudyError([f"phases[{number}]: {problem}" for problem in error.problems]) from error


def _as_many(runs: list[Run], first: list[Run], number: int) -> list[Run]:
    """One run per run of the first phase: in the same order, or each pool's replaced by the only one."""
    if len(runs) == len(first):
        return runs
    seeds = {run.seed for run in runs}
    by_world = {(run.seed, run.rule == "ideal"): run for run in runs}
    if len(runs) != len(seeds) * len({ideal for _, ideal in by_world}):
        raise StudyError([
            f"`phases[{number}].set`: expected one pool, or as many as training.train_size lists at first, got another "
            "number. Give one."
        ])  # fmt: skip
    return [by_world[run.seed, run.rule == "ideal"] for run in first]


def _whole(stages: tuple[Run, ...], study: Study) -> Run:
    """One run with its phases and its source of weights."""
    first = stages[0]
    largest = max(run.largest_pool or 0 for run in stages)
    phases: list[Phase] = []
    before = first
    for change, run in zip(study.phases, stages[1:], strict=True):
        drawn = before.first_draw + (change.at_step - before.first_step) * before.batch_size
        origin = {"first_step": change.at_step, "first_draw": drawn}
        before = run.model_copy(update={"largest_pool": largest, "ideal_run_id": None, **origin})
        phases.append(Phase(at_step=change.at_step, run=before))
    source = _source(study.start, first) if study.start is not None else None
    return first.model_copy(update={"phases": tuple(phases), "start": source, "largest_pool": largest})


def _paired(runs: list[Run]) -> list[Run]:
    """The runs with every real one's partner under the identity that the partner has now."""
    half = len(runs) // 2 if any(run.ideal_run_id for run in runs) else len(runs)
    real, ideal = runs[:half], runs[half:]
    for place, partner in enumerate(ideal):
        real[place] = real[place].model_copy(update={"ideal_run_id": partner.run_id})
    return real + ideal


def _source(start: Start, run: Run) -> Source:
    """The kept weights that a run starts from.

    Raises:
        StudyError: no folder, no such run, several, or their weights were not kept.
    """
    try:
        folder = expanded(start.folder)
    except ValueError as error:
        raise StudyError([f"`start.folder`: {error}"]) from error
    if not (folder / "runs.parquet").exists():
        raise StudyError([
            f"`start.folder`: {folder} holds no results. Run that study into it first, with keep.weights = \"final\"."
        ])  # fmt: skip
    meant = _meant(results.read_table(folder / "runs.parquet", results.RUN_COLUMNS), start, run)
    if len(meant) != 1:
        raise StudyError([
            f"`start`: expected one run of {folder} for the {run.rule} run of seed {run.seed}, found {len(meant)}. "
            "Narrow it down with start.where, start.world and start.seed."
        ])  # fmt: skip
    (source,) = meant.to_dict("records")
    step = int(source["last_step"]) if start.step is None else start.step
    path = weights_file(folder, str(source["run_id"]), step)
    if not path.is_file():
        raise StudyError([
            f"`start`: the weights of run {source['run_id']} at step {step:,} were not kept ({path} is missing). "
            'Run that study with keep.weights = "final" or "evaluations".'
        ])  # fmt: skip
    cell_id, run_id = str(source["cell_id"]), str(source["run_id"])
    return Source(
        path=str(path), cell_id=cell_id, run_id=run_id, step=step, named_step=start.step, layers=start.layers
    )  # fmt: skip


def _meant(runs: pd.DataFrame, start: Start, run: Run) -> pd.DataFrame:
    """The runs of a folder that a start means."""
    world = run.rule if start.world == "same" else start.world
    chosen = runs[(runs["world"] == world) & (runs["seed"] == (run.seed if start.seed is None else start.seed))]
    for name, value in start.where.items():
        if name not in chosen:
            raise StudyError(
                [f"`start.where`: {start.folder} has no column {name!r}. Use a column of its runs.parquet."]
            )
        chosen = chosen[chosen[name] == value]
    return chosen

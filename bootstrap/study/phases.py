"""What runs become at later steps, and the weights of other studies that they start from."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepboot.bootstrap import columns
from deepboot.bootstrap.registry import shown
from deepboot.bootstrap.study import checks
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import read, with_value
from deepboot.bootstrap.study.paths import written
from deepboot.bootstrap.study.run import KeptWeights, Phase, Run
from deepboot.bootstrap.study.run_worlds import unread_after
from deepboot.bootstrap.study.schema import IN_PHASE, Change, Start, Study

if TYPE_CHECKING:
    import pandas as pd

CellRuns = Callable[[Study, set[str]], list[Run]]  # of a study, as far as its tables are not among these faulty ones

WEIGHTS = "weights"  # the folder of kept weights inside an output folder


def weights_file(folder: Path, run_id: str, step: int) -> Path:
    """Where a run's weights of one step are kept, as safetensors under the parameters' names."""
    return folder / WEIGHTS / f"{run_id}-{step}.safetensors"


def of(point: dict[str, Any], cell_runs: CellRuns) -> list[Run]:
    """The runs of one point of a sweep, with all their phases and with the weights they start from.

    Args:
        point: the study as it was written, without a sweep.
        cell_runs: gives the runs of a study that has neither phases nor a start; takes the study and the names of its
            faulty tables, and raises a StudyError with all that is wrong beside them where there are any.

    Raises:
        StudyError: all that is wrong with it, as far as each part can be judged without the faulty ones.
    """
    study, faulty, problems = read(point)
    runs, found = _stage(study, faulty, cell_runs)
    problems += checks.of_budget(study, faulty) + _folder_problems(study, faulty) + found
    stages, known = [runs], set(problems)
    later = {key: value for key, value in point.items() if key not in ("phases", "start")}
    for number, change in enumerate(study.phases if "phases" not in faulty else ()):
        impossible = _problems(study, number, change) if "training" not in faulty else []
        if not impossible and faulty.isdisjoint(dotted.partition(".")[0] for dotted in change.set):
            later, runs, found = _next_stage(later, change, cell_runs)
            stages.append(runs)
            impossible = [f"phases[{number}]: {problem}" for problem in found if problem not in known]
            known.update(found)
        problems += impossible
    if problems:
        raise StudyError(problems)
    alike = [stages[0], *(_as_many(stage, stages[0], number) for number, stage in enumerate(stages[1:]))]
    return _paired([_whole(runs, study) for runs in zip(*alike, strict=True)])


def _stage(study: Study, faulty: set[str], cell_runs: CellRuns) -> tuple[list[Run], list[str]]:
    """The runs of one phase by themselves, or none and what is wrong."""
    try:
        return cell_runs(study, faulty), []
    except StudyError as error:
        return [], error.problems


def _next_stage(
    before: dict[str, Any], change: Change, cell_runs: CellRuns
) -> tuple[dict[str, Any], list[Run], list[str]]:
    """The study after a change of settings, its runs, and all that is wrong with it."""
    later = before
    try:
        for dotted, value in change.set.items():
            later = with_value(later, dotted, value)
    except StudyError as error:
        return before, [], error.problems
    study, faulty, problems = read(later)
    runs, found = _stage(study, faulty, cell_runs)
    return later, runs, problems + found


def _problems(study: Study, number: int, change: Change) -> list[str]:
    """What is wrong with a change of settings, beside the settings themselves."""
    place = f"`phases[{number}]"
    found = [
        f"{place}.set`: {shown(dotted)} cannot change within a run. Change one of {', '.join(IN_PHASE)}."
        for dotted in change.set
        if dotted == "optimizer.name" or not any(dotted == name or dotted.startswith(f"{name}.") for name in IN_PHASE)
    ]
    before = study.phases[number - 1].at_step if number else 0
    if not before < change.at_step < study.training.max_steps:
        found.append(
            f"{place}.at_step`: expected a step between {before + 1} and {study.training.max_steps - 1:,}, "
            f"got {change.at_step:,}. Phases follow each other within training.max_steps."
        )
    return found


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
        unread = unread_after(before, change.at_step)
        origin = {"first_step": change.at_step, "first_draw": drawn, "first_unread": unread}
        before = run.model_copy(update={"largest_pool": largest, "ideal_run_id": None, **origin})
        phases.append(Phase(at_step=change.at_step, run=before))
    source = _source(study.start, first) if study.start is not None else None
    return first.model_copy(update={"phases": tuple(phases), "start": source, "largest_pool": largest})


def idle(runs: list[Run]) -> list[str]:
    """Why a phase of a study is none: it changes no setting of any of these runs."""
    numbers = range(1, 1 + max((len(run.phases) for run in runs), default=0))
    return [
        f"`phases[{number - 1}].set`: this phase changes nothing, since these are the values that it follows. "
        "Change a value, or remove the phase."
        for number in numbers
        if not any(
            name.startswith(f"phases.{number}.") and name != f"phases.{number}.at_step"
            for run in runs
            for name in run.settings()
        )
    ]


def _paired(runs: list[Run]) -> list[Run]:
    """The runs with every real one's partner under the identity that the partner has now."""
    half = len(runs) // 2 if any(run.ideal_run_id for run in runs) else len(runs)
    real, ideal = runs[:half], runs[half:]
    for index, one in enumerate(real[: len(ideal)]):
        if one.stop is not None:
            ideal[index] = ideal[index].model_copy(update={"partner": one.cell_id})
        real[index] = one.model_copy(update={"ideal_run_id": ideal[index].run_id})
    return real + ideal


def _folder_problems(study: Study, faulty: set[str]) -> list[str]:
    """Why there is no folder to start from."""
    if study.start is None or "start" in faulty:
        return []
    try:
        folder = written(study.start.folder, "start.folder")
    except StudyError as error:
        return error.problems
    if (folder / "runs.parquet").is_file():
        return []
    return [f'`start.folder`: {folder} holds no results. Run that study into it first, with keep.weights = "final".']


def _source(start: Start, run: Run) -> KeptWeights:
    """The kept weights that a run starts from, in a folder with results.

    Raises:
        StudyError: no such run, several, or their weights were not kept.
    """
    from deepboot.bootstrap import results  # loads pandas, which no worker needs

    folder = written(start.folder, "start.folder")
    meant = _meant(results.read_table(folder / "runs.parquet", columns.RUN_COLUMNS), start, run)
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
    return KeptWeights(
        path=str(path), cell_id=cell_id, run_id=run_id, step=step, named_step=start.step, layers=start.layers,
        shared=start.world != "same",
    )  # fmt: skip


def _meant(runs: "pd.DataFrame", start: Start, run: Run) -> "pd.DataFrame":
    """The runs of a folder that a start means."""
    world = run.rule if start.world == "same" else start.world
    chosen = runs[(runs["world"] == world) & (runs["seed"] == (run.seed if start.seed is None else start.seed))]
    for name, value in start.where.items():
        if name not in chosen:
            raise StudyError(
                [f"`start.where`: {start.folder} has no column {shown(name)}. Use a column of its runs.parquet."]
            )
        if isinstance(value, list | dict):
            raise StudyError([f"`start.where`: expected one value of {name}, got {shown(value)}. Give one."])
        chosen = chosen[chosen[name] == value]
    return chosen

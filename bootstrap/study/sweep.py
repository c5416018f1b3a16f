"""From a study to its runs: all pairs at every point of its sweep, real runs before the ideal runs they share."""

import itertools
import json
from collections.abc import Collection, Set
from typing import Any

from deepboot.bootstrap.study import checks, phases
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.cell import cell_pairs, universe_key
from deepboot.bootstrap.study.messages import StudyError, key_of, not_about
from deepboot.bootstrap.study.points import points_and_problems, size_problems
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import second_pass_problems
from deepboot.bootstrap.task import Task
from deepboot.bootstrap.wording import shown


def runs_of(raw: dict[str, Any]) -> list[Run]:
    """Every run of a study, real runs before the ideal runs they share, without duplicates.

    Raises:
        StudyError: all mistakes of all points of the sweep, at once.
    """
    at_points, problems = points_and_problems(raw)
    faulty = [key_of(problem).removeprefix("sweep.") for problem in problems]
    too_many = size_problems(at_points)
    # too large a study is checked at its first point only, without making its runs
    by_point, more = _runs_at(at_points[:1], {}, {"training"}) if too_many else _runs_at(at_points, {})
    problems += too_many + not_about(more, faulty)
    if not problems and any(run.data.test_set == "rest" for runs in by_point for run in runs):
        by_point, problems = _runs_at(at_points, _largest_pools(by_point))
    runs = [run for at_point in by_point for run in at_point]
    if not problems:
        problems = (
            _equal_point_problems(raw.get("sweep", {}), by_point)
            + phases.idle_phase_problems(runs)
            + phases.rescaling_problems(runs)
            + checks.table_problems(runs)
        )
    problems = problems or _second_pass_problems(runs)
    if problems:
        raise StudyError(problems)
    once: dict[str, Run] = {}
    for run in runs:
        once.setdefault(run.run_id, run)
    return list(once.values())


def _runs_at(
    at_points: list[dict[str, Any]], largest: dict[str, int], known_faulty: Set[str] = frozenset()
) -> tuple[list[list[Run]], list[str]]:
    """The runs at every point of a sweep, and problems at any of them beside known faulty tables."""
    by_point: list[list[Run]] = []
    problems: list[str] = []
    for point in at_points:
        try:
            pairs = phases.phased_pairs(point, lambda study, faulty: cell_pairs(study, faulty | known_faulty, largest))
        except StudyError as error:
            problems += error.problems
        else:
            by_point.append([pair.real for pair in pairs] + [pair.ideal for pair in pairs if pair.ideal is not None])
    return by_point, problems


def _largest_pools(by_point: list[list[Run]]) -> dict[str, int]:
    """The size of the largest pool of the whole study in each universe, by its task."""
    largest: dict[str, int] = {}
    for run in itertools.chain.from_iterable(by_point):
        universe = universe_key(run.task)
        largest[universe] = max(largest.get(universe, 0), run.largest_pool or 0)
    return largest


def _equal_point_problems(sweep: dict[str, list[Any]], by_point: list[list[Run]]) -> list[str]:
    """Problems of points of a sweep with a run that an earlier point has too. Ideal runs may be shared."""
    labels = [", ".join(f"{key} = {shown(value)}" for key, value in zip(sweep, values, strict=True))
              for values in itertools.product(*sweep.values())]  # fmt: skip
    first: dict[str, str] = {}  # the first point of each run
    problems = []
    for label, runs in zip(labels, by_point, strict=True):
        ideal_run_ids = {run.ideal_run_id for run in runs}
        run_ids = {run.run_id for run in runs} - ideal_run_ids
        earlier = next((first[run_id] for run_id in run_ids if run_id in first), None)
        if earlier is not None:
            problems.append(
                f"`sweep`: the points ({earlier}) and ({label}) ask for the same run. Remove one of the two."
            )
        first.update(dict.fromkeys(run_ids, label))
    return problems


def _second_pass_problems(runs: Collection[Run]) -> list[str]:
    """Problems of runs that would read a finite universe again; of each configuration one seed is enough to see it."""
    tasks: dict[str, Task] = {}
    ideal_run_ids = {run.ideal_run_id for run in runs}
    problems = []
    for run in {run.cell_id: run for run in runs}.values():
        key = json.dumps(run.task)
        if key not in tasks:
            tasks[key] = build_task(run.task)
        problems += second_pass_problems(run, tasks[key], partner=run.run_id in ideal_run_ids)
    return problems

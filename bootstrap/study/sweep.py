"""From a study to its runs: all pairs at every point of its sweep, real runs before the ideal runs they share."""

import itertools
import json
from collections.abc import Collection, Sequence, Set
from typing import Any

from deepboot.bootstrap.study import checks, phases
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.cell import cell_pairs, universe_key
from deepboot.bootstrap.study.messages import StudyError, key_of, not_about
from deepboot.bootstrap.study.points import point_label, points_and_problems, size_problems, values_at_points
from deepboot.bootstrap.study.replicates import Replicates, without_duplicates
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.run_worlds import second_pass_problems
from deepboot.bootstrap.task import Task


def runs_of(raw: dict[str, Any]) -> list[Run]:
    """Every run of a study, real runs before the ideal runs they share, without duplicates.

    Raises:
        StudyError: all mistakes of all points of the sweep, at once.
    """
    return list(itertools.chain.from_iterable(cells_of(raw)))


def cells_of(raw: dict[str, Any]) -> list[Replicates]:
    """The runs of `runs_of` in their order, of which those that differ in their seed alone are checked once.

    Raises:
        StudyError: all mistakes of all points of the sweep, at once.
    """
    at_points, problems = points_and_problems(raw)
    faulty = [key_of(problem).removeprefix("sweep.") for problem in problems]
    too_many = size_problems(at_points)
    # too large a study is checked at its first point only, without making its runs
    by_point, more = _cells_at(at_points[:1], {}, {"training"}) if too_many else _cells_at(at_points, {})
    problems += too_many + not_about(more, faulty)
    if not problems and any(cell.run.data.test_set == "rest" for cells in by_point for cell in cells):
        by_point, problems = _cells_at(at_points, _largest_pools(by_point))
    cells = [cell for at_point in by_point for cell in at_point]
    if not problems:
        one_of_each = [cell.run for cell in cells]
        problems = (
            _equal_point_problems(raw, by_point)
            + phases.idle_phase_problems(one_of_each)
            + phases.rescaling_problems(one_of_each)
            + checks.table_problems(cells)
        )
    problems = problems or _second_pass_problems(cells)
    if problems:
        raise StudyError(problems)
    return without_duplicates(cells)


def _cells_at(
    at_points: list[dict[str, Any]], largest: dict[str, int], known_faulty: Set[str] = frozenset()
) -> tuple[list[list[Replicates]], list[str]]:
    """The runs at every point of a sweep, and problems at any of them beside known faulty tables."""
    by_point: list[list[Replicates]] = []
    problems: list[str] = []
    for point in at_points:
        try:
            pairs = phases.phased_pairs(point, lambda study, faulty: cell_pairs(study, faulty | known_faulty, largest))
        except StudyError as error:
            problems += error.problems
        else:
            real = [Replicates(pair.real, seeds, pair.ideal) for pair, seeds in pairs]
            by_point.append(real + [Replicates(pair.ideal, seeds) for pair, seeds in pairs if pair.ideal is not None])
    return by_point, problems


def _largest_pools(by_point: list[list[Replicates]]) -> dict[str, int]:
    """The size of the largest pool of the whole study in each universe, by its task."""
    largest: dict[str, int] = {}
    for cell in itertools.chain.from_iterable(by_point):
        universe = universe_key(cell.run.task)
        largest[universe] = max(largest.get(universe, 0), cell.run.largest_pool or 0)
    return largest


def _equal_point_problems(raw: dict[str, Any], by_point: list[list[Replicates]]) -> list[str]:
    """Problems of points of a sweep with a run that an earlier point has too. Ideal runs may be shared."""
    labels = [point_label(values) for values in values_at_points(raw)]
    earlier: dict[tuple[bytes, bytes], list[tuple[Sequence[int], str]]] = {}  # seeds and their points, by identity
    problems = []
    for label, cells in zip(labels, by_point, strict=True):
        ideal = {cell.ideal.identity for cell in cells if cell.ideal is not None}
        own = [cell for cell in cells if cell.run.identity not in ideal]
        first = next((at for cell in own for seeds, at in earlier.get(cell.run.identity, ())
                      if not set(seeds).isdisjoint(cell.seeds)), None)  # fmt: skip
        if first is not None:
            problems.append(f"`sweep`: the points ({first}) and ({label}) ask for the same run. Remove one of the two.")
        for cell in own:
            earlier.setdefault(cell.run.identity, []).append((cell.seeds, label))
    return problems


def _second_pass_problems(cells: Collection[Replicates]) -> list[str]:
    """Problems of runs that would read a finite universe again; of each configuration one seed is enough to see it."""
    tasks: dict[str, Task] = {}
    ideal = {cell.ideal.identity for cell in cells if cell.ideal is not None}
    problems = []
    for cell in {cell.run.cell_id: cell for cell in cells}.values():
        key = json.dumps(cell.run.task)
        if key not in tasks:
            tasks[key] = build_task(cell.run.task)
        problems += second_pass_problems(cell.run, tasks[key], partner=cell.run.identity in ideal)
    return problems

"""From a study to its runs: the sweep's points, every pool, every seed, and their ideal partners."""

import itertools
import json
import math
from collections.abc import Collection, Set
from typing import Any

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry, shown
from deepboot.bootstrap.study import checks, phases
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.checks import MOST_PAIRS
from deepboot.bootstrap.study.compatibility import built, pools_of, problems_of
from deepboot.bootstrap.study.messages import StudyError, beside, place_of, unwritable
from deepboot.bootstrap.study.parse import with_value
from deepboot.bootstrap.study.run import TRAINING, Run
from deepboot.bootstrap.study.run_worlds import second_passes
from deepboot.bootstrap.study.schema import CHOICES, NO_SETTING_OF_A_RUN, Study
from deepboot.bootstrap.task import Task, Universe


def points(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw study at every point of its sweep's product, without the sweep.

    Raises:
        StudyError: the sweep is no table of lists, sweeps what is no setting, or has too many points.
    """
    swept, problems = _sound_points(raw)
    if problems:
        raise StudyError(problems)
    return swept


def _sound_points(raw: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The points of a study's sweep, without those of its lists that are faulty, and what is wrong with these."""
    sweep = raw.get("sweep", {})
    problems = _sweep_problems(sweep)
    base = {key: value for key, value in raw.items() if key != "sweep"}
    if not isinstance(sweep, dict):
        return [base], problems
    faulty = {place_of(problem) for problem in problems}
    sound = {key: values for key, values in sweep.items() if beside([f"`sweep.{key}`"], faulty)}
    sizes = [len(values) for values in sound.values()]
    if math.prod(sizes) > MOST_PAIRS:
        lists = " × ".join(f"{size:,}" for size in sizes)
        problems.append(
            f"`sweep`: expected at most {MOST_PAIRS:,} points, got {math.prod(sizes):,} ({lists}). Shorten its lists."
        )
        return [base], problems
    swept = []
    for values in itertools.product(*sound.values()):
        point = base
        try:
            for dotted, value in zip(sound, values, strict=True):
                point = with_value(point, dotted, value)
        except StudyError as error:
            problems += error.problems
            continue
        swept.append(point)
    return swept, problems


def _sweep_problems(sweep: Any) -> list[str]:
    found = unwritable(sweep, "sweep")
    if not isinstance(sweep, dict):
        return found or [
            f'`sweep`: expected a table of lists, got {shown(sweep)}. Write for instance "optimizer.lr" = [0.1, 0.01].'
        ]
    faulty = [place_of(problem) for problem in found]
    for dotted, values in sweep.items():
        where = f"`sweep.{dotted}`"
        if not beside([where], faulty):
            continue
        if dotted.partition(".")[0] in NO_SETTING_OF_A_RUN:
            found.append(f"{where}: this is no setting of a run. Sweep over a setting such as optimizer.lr.")
        elif isinstance(values, dict) and values:
            found += [
                f'{where}: expected a list, got a table. Put the dotted name in quotes: "{name}".'
                for name in _inner_names(dotted, values)
            ]
        elif not isinstance(values, list) or not values:
            got = "an empty list" if values == [] else "an empty table" if values == {} else shown(values)
            found.append(f"{where}: expected a list of at least one value, got {got}. List what to sweep over.")
    return found


def _inner_names(dotted: str, values: Any) -> list[str]:
    """Dotted names of all that lies in nested tables, which is what TOML makes of an unquoted dotted name."""
    if not isinstance(values, dict) or not values:
        return [dotted]
    return [name for key, inner in values.items() for name in _inner_names(f"{dotted}.{key}", inner)]


def runs_of(raw: dict[str, Any]) -> list[Run]:
    """Every run of a study, real runs before the ideal runs they share, without duplicates.

    Raises:
        StudyError: all mistakes of all points of the sweep, at once.
    """
    swept, problems = _sound_points(raw)
    faulty = [place_of(problem).removeprefix("sweep.") for problem in problems]
    too_many = checks.of_size(swept)
    # of too large a study one point is looked at, without making its runs, for what else is wrong with it
    found, more = _at_points(swept[:1], {}, {"training"}) if too_many else _at_points(swept, {})
    problems += too_many + beside(more, faulty)
    if not problems and any(run.data.test_set == "rest" for runs in found for run in runs):
        found, problems = _at_points(swept, _largest_pools(found))
    runs = [run for at_point in found for run in at_point]
    if not problems:
        problems = _same_runs(raw.get("sweep", {}), found) + phases.idle(runs) + checks.of_rows(runs)
    problems = problems or _second_passes(runs)
    if problems:
        raise StudyError(problems)
    once: dict[str, Run] = {}
    for run in runs:
        once.setdefault(run.run_id, run)
    return list(once.values())


def _second_passes(runs: Collection[Run]) -> list[str]:
    """Why some runs would read a finite universe again; seeds of one configuration read alike."""
    tasks: dict[str, Task] = {}
    partners = {run.ideal_run_id for run in runs}
    problems = []
    for run in {run.cell_id: run for run in runs}.values():
        name = json.dumps(run.task)
        if name not in tasks:
            tasks[name] = build_task(run.task)
        problems += second_passes(run, tasks[name], partner=run.run_id in partners)
    return problems


def _at_points(
    swept: list[dict[str, Any]], largest: dict[str, int], known: Set[str] = frozenset()
) -> tuple[list[list[Run]], list[str]]:
    """The runs of every point of a sweep, and all that is wrong with any of them beside known faulty tables."""
    found: list[list[Run]] = []
    problems: list[str] = []
    for point in swept:
        try:
            found.append(phases.of(point, lambda study, faulty: _cell_runs(study, faulty | known, largest)))
        except StudyError as error:
            problems += error.problems
    return found, problems


def _universe(task: dict[str, Any]) -> str:
    return json.dumps(task, sort_keys=True)


def _largest_pools(found: list[list[Run]]) -> dict[str, int]:
    """The size of the largest pool of the whole study in each universe, by the task that it belongs to."""
    largest: dict[str, int] = {}
    for run in (run for runs in found for run in runs):
        universe = _universe(run.task)
        largest[universe] = max(largest.get(universe, 0), run.largest_pool or 0)
    return largest


def _same_runs(sweep: dict[str, list[Any]], found: list[list[Run]]) -> list[str]:
    """Why points of a sweep are no different ones: they ask for the same run. Ideal runs may be shared."""
    points_ = [", ".join(f"{key} = {shown(value)}" for key, value in zip(sweep, values, strict=True))
               for values in itertools.product(*sweep.values())]  # fmt: skip
    first: dict[str, str] = {}
    problems = []
    for point, runs in zip(points_, found, strict=True):
        partners = {run.ideal_run_id for run in runs}
        own = {run.run_id for run in runs} - partners
        twice = next((first[run_id] for run_id in own if run_id in first), None)
        if twice is not None:
            problems.append(f"`sweep`: the points ({twice}) and ({point}) ask for the same run. Remove one of the two.")
        first.update(dict.fromkeys(own, point))
    return problems


def _cell_runs(study: Study, faulty: set[str], largest: dict[str, int]) -> list[Run]:
    """The runs of one point of the sweep: its pools and seeds in both worlds.

    Args:
        faulty: tables that are known to be faulty, so that nothing is said that depends on them.
        largest: the largest pool of the study in each universe, where it is known.

    Raises:
        StudyError: all that is wrong with it beside the faulty tables.
    """
    task, problems = built(study, faulty)
    pools: list[tuple[int, float | None]] = []
    if task is not None and faulty.isdisjoint(("data", "loss", "training")):
        pools, more = pools_of(study, task.size if isinstance(task, Universe) else None)
        problems += more or problems_of(study, task, [size for size, _ in pools])
    if problems or faulty or task is None:
        raise StudyError(problems)
    training = study.training
    seeds = training.seeds if isinstance(training.seeds, list) else list(range(training.seeds))
    code = _code(study, task)
    largest_pool = max(largest.get(_universe(study.task), 0), *(size for size, _ in pools))
    real, ideal = [], []
    for (size, fraction), seed in itertools.product(pools, seeds):
        common = {
            **{name: getattr(study, name) for name in (*CHOICES, "data", "schedule", "evaluation", "keep", "stop")},
            **{name: getattr(training, name) for name in TRAINING},
            "start": None, "seed": seed, "code": code,
            "largest_pool": largest_pool,
            "batch_size": size if training.batch_size == "full" else training.batch_size,
            "max_steps": training.max_steps,
        }  # fmt: skip
        partner = None
        if training.ideal:
            own_pool = size if study.data.swapped_answers or study.stop is not None else None
            partner = Run(**common, world={"rule": "ideal"}, train_size=own_pool, train_fraction=None)
            ideal.append(partner)
        real.append(
            Run(**{**common, "code": {**code, **_rule_code(study)}}, world=training.world, train_size=size,
                train_fraction=fraction, ideal_run_id=partner.run_id if partner else None)
        )  # fmt: skip
    return real + ideal


def _code(study: Study, task: Task) -> dict[str, str]:
    """What the run depends on beside its settings: the task's version, recorded files, plugins' sources."""
    entries = [registry.find(kind, getattr(study, kind)["name"]) for kind in CHOICES]
    stated = {key: value for entry in entries if entry.kind != "task" for key, value in _stated(entry).items()}
    fingerprint = getattr(task, "fingerprint", None)
    return {
        "task_version": str(task.version),
        **{entry.kind: entry.source for entry in entries if entry.source},
        **stated,
        **({"data": fingerprint} if fingerprint else {}),
    }


def _rule_code(study: Study) -> dict[str, str]:
    """The source and version of a plugin's index rule, on which the ideal world does not depend."""
    entry = registry.find("rule", study.training.world["rule"])
    return {**({"rule": entry.source} if entry.source else {}), **_stated(entry)}


def _stated(entry: Entry) -> dict[str, str]:
    """The version that something registered states, if it states one."""
    return {f"{entry.kind}_version": entry.version} if entry.version is not None else {}

"""The points of a study's sweep and the number of its pairs, from its tables alone. Loads no torch."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.messages import StudyError, key_of, not_about, unwritable_problems
from deepboot.bootstrap.study.schema import NO_SETTING_OF_A_RUN
from deepboot.bootstrap.wording import shown

MOST_PAIRS = 1_000_000  # of a study: planned in 10 s and 1 GB; beyond a tenth of it, trained shard by shard
MOST_CELLS = 50_000  # of a study: each is checked by itself, in one to two milliseconds


def points(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw study at every point of its sweep's product, without the sweep.

    Raises:
        StudyError: the sweep is no table of lists, sweeps what is no setting, or has too many points.
    """
    at_points, problems = points_and_problems(raw)
    if problems:
        raise StudyError(problems)
    return at_points


def number_of_pairs(raw: dict[str, Any]) -> int:
    """Pairs of runs of a whole study: its points times their pools times their seeds.

    No run is made and no data are needed. A study has at most twice as many runs: pairs may share an ideal run.

    Raises:
        StudyError: as `points`.
    """
    return sum(math.prod(_pools_and_seeds(point.get("training"))) for point in points(raw))


def points_and_problems(raw: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The points of a study's sweep over all lists that are not faulty, and the problems of the others."""
    sweep = raw.get("sweep", {})
    problems = _sweep_problems(sweep)
    base = {key: value for key, value in raw.items() if key != "sweep"}
    if not isinstance(sweep, dict):
        return [base], problems
    faulty = {key_of(problem) for problem in problems}
    lists = {dotted: values for dotted, values in sweep.items() if not_about([f"`sweep.{dotted}`"], faulty)}
    sizes = [len(values) for values in lists.values()]
    if math.prod(sizes) > MOST_CELLS:
        product = " × ".join(f"{size:,}" for size in sizes)
        problems.append(
            f"`sweep`: expected at most {MOST_CELLS:,} points, got {math.prod(sizes):,} ({product}). Shorten its lists."
        )
        return [base], problems
    at_points = []
    values_at_points, more = _values_at_points(lists, raw.get("settings"))
    problems += more
    for values in values_at_points:
        point = base
        try:
            for dotted, value in values.items():
                point = with_value(point, dotted, value)
        except StudyError as error:
            problems += error.problems
            continue
        at_points.append(point)
    return at_points, problems


def values_at_points(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The values that every point of `points` has of its own, by dotted name: swept ones, then those set together.

    Args:
        raw: a study whose sweep and settings have no problems.
    """
    return _values_at_points(raw.get("sweep", {}), raw.get("settings"))[0]


def _values_at_points(lists: dict[str, list[Any]], together: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The values at every point of a sweep over these lists, and problems of the settings that go together."""
    swept = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    entries = together if isinstance(together, list) else []
    if not entries or not all(_is_entry(entry) for entry in entries):
        return swept, []  # the study's own schema reports what they are not
    problems = [problem for number, entry in enumerate(entries) for problem in _entry_problems(number, entry, lists)]
    if problems:
        return swept, problems
    values = []
    for point in swept:
        fitting = [entry["set"] for entry in entries if fits(entry.get("where", {}), point)]
        if not fitting:
            problems.append(f"`settings`: none of them fits the point ({point_label(point)}). Add one that does.")
        values += [{**point, **chosen} for chosen in fitting]
    if len(values) > MOST_CELLS:
        problems.append(
            f"`settings`: expected at most {MOST_CELLS:,} points with them, got {len(values):,}. Remove some."
        )
    return (swept if problems else values), problems


def fits(where: dict[str, Any], point: dict[str, Any]) -> bool:
    """Whether a point of a sweep has these values, by the names that are swept or names inside swept tables.

    >>> fits({"optimizer.name": "sgd"}, {"optimizer": {"name": "sgd", "lr": 0.1}})
    True
    """
    known = {**inside_tables(point), **point}
    return all(known.get(name) == value for name, value in where.items())


def inside_tables(values: dict[str, Any]) -> dict[str, Any]:
    """The same values by dotted name, with those inside a swept table in its place.

    >>> inside_tables({"optimizer": {"name": "sgd", "lr": 0.1}, "model.width": 8})
    {'optimizer.name': 'sgd', 'optimizer.lr': 0.1, 'model.width': 8}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {f"{name}.{key}": held for key, held in value.items()} if isinstance(value, dict) else {name: value}
    return found


def point_label(values: dict[str, Any]) -> str:
    """The values of a point, as a message names it.

    >>> point_label({"optimizer.name": "sgd", "model.width": 8})
    "optimizer.name = 'sgd', model.width = 8"
    """
    return ", ".join(f"{name} = {shown(value)}" for name, value in values.items())


def _is_entry(entry: Any) -> bool:
    """Whether this is a table of settings that go together."""
    return isinstance(entry, dict) and all(isinstance(entry.get(key, {}), dict) for key in ("where", "set"))


def _entry_problems(number: int, entry: dict[str, Any], lists: dict[str, list[Any]]) -> list[str]:
    """Problems of one table of settings that go together, beside its values."""
    problems = [
        f"`settings[{number}].where`: expected swept settings, got {shown(name)}. Name one that `sweep` lists."
        for name in entry.get("where", {})
        if not any(f"{name}.".startswith(f"{swept}.") for swept in lists)
    ]
    for name in entry.get("set", {}):
        if name.partition(".")[0] in NO_SETTING_OF_A_RUN:
            problems.append(f"`settings[{number}].set`: {shown(name)} is no setting of a run. Remove it.")
        elif name in lists:
            problems.append(f"`settings[{number}].set`: {shown(name)} is swept already. Remove it here or there.")
    return problems


def _sweep_problems(sweep: Any) -> list[str]:
    """Problems of a sweep's keys and lists, before any of its values is tried."""
    problems = unwritable_problems(sweep, "sweep")
    if not isinstance(sweep, dict):
        return problems or [
            f'`sweep`: expected a table of lists, got {shown(sweep)}. Write for instance "optimizer.lr" = [0.1, 0.01].'
        ]
    faulty = [key_of(problem) for problem in problems]
    for dotted, values in sweep.items():
        key = f"`sweep.{dotted}`"
        if not not_about([key], faulty):
            continue
        if dotted.partition(".")[0] in NO_SETTING_OF_A_RUN:
            problems.append(f"{key}: this is no setting of a run. Sweep over a setting such as optimizer.lr.")
        elif isinstance(values, dict) and values:
            problems += [
                f'{key}: expected a list, got a table. Put the dotted name in quotes: "{name}".'
                for name in _inner_names(dotted, values)
            ]
        elif not isinstance(values, list) or not values:
            got = "an empty list" if values == [] else "an empty table" if values == {} else shown(values)
            problems.append(f"{key}: expected a list of at least one value, got {got}. List what to sweep over.")
    return problems


def _inner_names(dotted: str, values: Any) -> list[str]:
    """Dotted names of all values in nested tables, into which TOML turns a dotted name without quotes."""
    if not isinstance(values, dict) or not values:
        return [dotted]
    return [name for key, inner in values.items() for name in _inner_names(f"{dotted}.{key}", inner)]


def size_problems(points: Sequence[dict[str, Any]]) -> list[str]:
    """Problems of a study with too many runs to be planned, from its tables alone, before any run is made."""
    counts = [_pools_and_seeds(point.get("training")) for point in points]
    pools, seeds = max(counts, key=math.prod, default=(1, 1))
    factors = {"sweep": len(points), "training.train_size": pools, "training.seeds": seeds}
    cells, pairs = sum(own for own, _ in counts), sum(map(math.prod, counts))
    if cells > MOST_CELLS:
        del factors["training.seeds"]
        limit, got = f"{MOST_CELLS:,} cells", cells
    elif pairs > MOST_PAIRS:
        limit, got = f"{MOST_PAIRS:,} pairs of runs", pairs
    else:
        return []
    key = max(factors, key=lambda name: factors[name])
    return [
        f"`{key}`: expected at most {limit} in a study, got {got:,} ({len(points):,} points, up to {pools:,} pools, "
        f"up to {seeds:,} seeds). Lower the largest number, or divide the study."
    ]


def _pools_and_seeds(training: Any) -> tuple[int, int]:
    """Numbers of pools and of seeds in a table ``training``, whatever else is wrong with it."""
    table = training if isinstance(training, dict) else {}
    pools = table.get("train_size", table.get("train_fraction"))
    seeds = table.get("seeds")
    count = seeds if isinstance(seeds, int) else len(seeds) if isinstance(seeds, list) else 1
    return max(1, len(pools)) if isinstance(pools, list) else 1, max(1, count)

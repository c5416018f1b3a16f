"""From a study to its runs: the sweep's points, every pool, every seed, and their ideal partners."""

import itertools
import json
import math
from collections.abc import Collection, Set
from functools import lru_cache
from typing import Any

import torch

from bootstrap import checks, data, phases, registry
from bootstrap.checks import MOST_PAIRS
from bootstrap.mistakes import StudyError, beside, place_of, unwritable
from bootstrap.models.stack import Stack
from bootstrap.registry import Entry, reason, shown
from bootstrap.run import TRAINING, Run
from bootstrap.run_worlds import second_passes
from bootstrap.study import CHOICES, Study, own_settings, with_value
from bootstrap.task import Image, Inputs, Samples, Task, Universe
from bootstrap.worlds import World

NOT_SWEPT = ("question", "source", "claims", "plugins", "scale", "sweep", "keep")
LARGEST_TRIAL = 50_000_000  # parameters of a model that is tried before it is trained
LARGEST_UNIVERSE = 100_000_000  # cells that are put in order in memory


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
        if dotted.partition(".")[0] in NOT_SWEPT:
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
            tasks[name] = data.build_task(run.task)
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
    task, problems = _built(study, faulty)
    pools: list[tuple[int, float | None]] = []
    if task is not None and faulty.isdisjoint(("data", "loss", "training")):
        pools, more = _pools(study, task.size if isinstance(task, Universe) else None)
        problems += more or _problems(study, task, [size for size, _ in pools])
    if problems or faulty or task is None:
        raise StudyError(problems)
    training = study.training
    seeds = training.seeds if isinstance(training.seeds, list) else list(range(training.seeds))
    code = _code(study, task)
    largest_pool = max(largest.get(_universe(study.task), 0), *(size for size, _ in pools))
    real, ideal = [], []
    for (size, fraction), seed in itertools.product(pools, seeds):
        common = {
            **{kind: getattr(study, kind) for kind in ("task", "model", "optimizer", "loss")},
            **{part: getattr(study, part) for part in ("data", "schedule", "evaluation", "keep")},
            **{name: getattr(training, name) for name in ("streams", *TRAINING)},
            "stop": study.stop, "start": None, "seed": seed, "code": code,
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


def _built(study: Study, faulty: set[str]) -> tuple[Task | None, list[str]]:
    """The study's task, and what is wrong with it, or with its model, which is tried on two of its samples."""
    if "task" in faulty:
        return None, []
    try:
        task = data.build_task(study.task)
        size = task.size if isinstance(task, Universe) else 0
        if size > LARGEST_UNIVERSE:
            return None, [
                f"`task`: expected at most {LARGEST_UNIVERSE:,} cells, got {size:,}. Choose a smaller universe."
            ]
        _look_at(task)
        _cached(_two_samples, task)
    except (Exception, SystemExit) as error:  # a plugin's task may raise anything
        return None, [f"`task`: {reason(error, 'Mend the task.')}"]
    try:
        if "model" not in faulty:
            _cached(_try_model, task, json.dumps(study.model), registry.find("model", study.model["name"]))
    except StudyError as error:
        return task, error.problems
    return task, []


def _look_at(task: Task) -> None:
    """Ask a task for all that a study is checked by, so that what a plugin's task raises is known to be its own."""
    if not isinstance(task.inputs, Inputs):
        raise ValueError(f"expected its `inputs` to be Tokens, Vector or Image, got {shown(task.inputs)}. Mend them.")
    if not isinstance(task.classes, int) or task.classes < 1:
        raise ValueError(f"expected its `classes` to be a number above 0, got {shown(task.classes)}. Mend them.")
    if isinstance(task, Universe):
        _ = task.mirror(torch.arange(1)), task.reference


def _cached(check: Any, task: Task, *more: Any) -> Any:
    """What a check of a task gives, without its cache where a plugin's task is not hashable."""
    return (check if _is_hashable(task) else check.__wrapped__)(task, *more)


def _is_hashable(task: Task) -> bool:
    try:
        hash(task)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=256)
def _two_samples(task: Task) -> Samples:
    """The first two samples of a task under some key."""
    return task.sample(torch.zeros(1, 2, dtype=torch.int32), torch.arange(2)[None])


@lru_cache(maxsize=256)
def _try_model(task: Task, model: str, entry: Entry) -> None:
    """Refuse a model that cannot be built for a task or cannot compute two of its samples."""
    settings = json.loads(model)
    try:
        stack = Stack(entry.name, own_settings(settings), task)
        if stack.size > LARGEST_TRIAL:
            return
        key_12 = torch.zeros(1, 2, dtype=torch.int32)
        x, y = _cached(_two_samples, task)
        stack.bind(stack.initial(key_12, torch.ones(1, 1)), stack.begin(1))
        shape, expected = tuple(stack(task.decode(x)).shape), (1, y.numel(), task.classes)
    except (Exception, SystemExit) as error:  # a plugin's model may raise anything
        raise StudyError([f"`model`: {reason(error, 'Mend the model, or give it another task.')}"]) from error
    if shape != expected:
        raise StudyError([
            f"`model`: expected logits of shape {expected} for two samples, got {shape}. "
            "Its forward pass must give one row of class logits per answer."
        ])  # fmt: skip


def _pools(study: Study, universe: int | None) -> tuple[list[tuple[int, float | None]], list[str]]:
    """Every pool's size, with its share of the universe where there is one; or why they cannot be had."""
    sizes, fractions = study.training.train_size, study.training.train_fraction
    if fractions is None:
        listed = sizes if isinstance(sizes, list) else [sizes or 0]
        return [(size, size / universe if universe else None) for size in listed], []
    if universe is None:
        return [], [
            f"`training.train_fraction`: task {study.task['name']!r} is endless, so a pool is no fraction of it. "
            "Give training.train_size instead."
        ]
    pools: dict[int, float | None] = {}
    for share in fractions if isinstance(fractions, list) else [fractions]:
        size = round(share * universe)
        if size in pools:
            return [], [
                f"`training.train_fraction`: expected different pools, got {pools[size]} and {share}, both {size:,} of "
                f"{universe:,} cells. Remove one."
            ]
        pools[size] = share
    return list(pools.items()), []


def _problems(study: Study, task: Task, sizes: list[int]) -> list[str]:
    """Pools, batches and budgets that the task cannot serve."""
    problems = []
    place = "training.train_size" if study.training.train_size is not None else "training.train_fraction"
    room = data.capacity(task, study.data)
    batch = study.training.batch_size
    for size in sizes:
        if size < 1:
            problems.append(f"`{place}`: expected a pool of at least 1 sample, got {size}. Raise it.")
        if room is not None and size > room:
            problems.append(
                f"`{place}`: a pool of {size:,} does not fit into the {room:,} training cells. {_room(study, task)}"
            )
        elif room is not None and size == room and study.data.test_set == "rest":
            problems.append(
                f"`{place}`: a pool of {size:,} leaves no cell to test on. "
                'Lower it, or set data.test_set = "population".'
            )
        if isinstance(batch, int) and batch > size:
            problems.append(
                f"`training.batch_size`: expected at most the pool's {size:,} samples, got {batch:,}. "
                'Lower it, or set it to "full".'
            )
        if study.data.swapped_answers > size:
            problems.append(
                f"`data.swapped_answers`: expected at most the pool's {size:,} samples, "
                f"got {study.data.swapped_answers:,}. Lower it."
            )
    if study.data.test_set != "heldout" and room is None:
        problems.append(
            f"`data.test_set`: this task is endless, so no cells can be held out or left over, "
            f"got {study.data.test_set!r}. Remove the key."
        )
    if study.training.world["rule"] == "ideal" and study.training.ideal:
        problems.append(
            "`training.world.rule`: the ideal world is trained beside every other one already. "
            "Choose a rule for the finite pool, or set training.ideal = false."
        )
    problems += _augmentation_problems(study, task) + _label_problems(study, task)
    try:
        problems += _rule_problems(study, sizes)
    except (Exception, SystemExit) as error:  # a plugin's rule may raise anything
        problems.append(f"`training.world`: {reason(error, 'Mend the rule.')}")
    problems += _reference_problems(study, task)
    if study.data.split == "orbits" and (not isinstance(task, Universe) or not _has_mirror(task)):
        problems.append('`data.split`: this task has no mirror images, so there are no orbits. Set it to "cells".')
    if study.data.noisy_test and not study.data.label_noise:
        problems.append("`data.noisy_test`: there is no label noise to put on the test. Set data.label_noise.")
    return problems


def _augmentation_problems(study: Study, task: Task) -> list[str]:
    """Why the inputs cannot be augmented, if they cannot."""
    if study.data.augmentation == "none" or isinstance(task.inputs, Image):
        return []
    return [
        f"`data.augmentation`: only images can be augmented, got {study.data.augmentation!r} "
        f"for {type(task.inputs).__name__.lower()} inputs. Remove the key."
    ]


def _label_problems(study: Study, task: Task) -> list[str]:
    """Why loss and noise do not go with real-valued labels, if they do not."""
    if task.classes > 1:
        return []
    try:
        loss = registry.find("loss", study.loss["name"]).target
        loss(torch.zeros(1, 1, 1), torch.zeros(1, 1), **own_settings(study.loss))
    except (Exception, SystemExit) as error:  # a plugin's loss may raise anything
        return [f"`loss.name`: {reason(error, 'Use mse.')}"]
    if study.data.label_noise or study.data.labels != "true":
        return ["`data`: real-valued labels have no classes to be replaced by. Remove label_noise and labels."]
    return []


def _reference_problems(study: Study, task: Task) -> list[str]:
    """Why the task's own test set cannot be used as asked for, if it cannot."""
    if study.data.test_set != "reference" or not isinstance(task, Universe):
        return []
    found, wanted = task.reference, study.data.test_samples
    if not found:
        return [
            f"`data.test_set`: task {study.task['name']!r}, with these settings, names no test set of its own, "
            "got 'reference'. Set it to \"heldout\"."
        ]
    problems = []
    if wanted and wanted > len(found):
        problems.append(
            f"`data.test_samples`: expected at most the {len(found):,} cells of the reference test set, "
            f"got {wanted:,}. Lower it."
        )
    if study.data.split == "orbits":
        problems.append('`data.split`: the reference test set does not keep orbits together. Set it to "cells".')
    return problems


def _rule_problems(study: Study, sizes: list[int]) -> list[str]:
    """Why the index rule refuses its settings, if it does."""
    rule = registry.find("rule", study.training.world["rule"]).target
    try:
        World(
            rule, own_settings(study.training.world), [max(1, sizes[0])], torch.zeros(1, 2, dtype=torch.int32), 1, None
        ).indices(0, 1)
    except ValueError as error:
        return [f"`training.world`: {error}"]
    return []


def _room(study: Study, task: Task) -> str:
    """How to make room for a pool that is too large."""
    if study.data.test_set != "heldout" or not isinstance(task, Universe):
        return "Lower it."
    share = int(1000 * (data.capacity(task, study.data) or 0) / task.size) / 1000
    return f'Lower it (train_fraction at most {share:g}), lower data.test_fraction, or set data.test_set = "rest".'


def _has_mirror(task: Universe) -> bool:
    return task.mirror(torch.arange(1)) is not None


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

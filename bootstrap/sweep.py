"""From a study to its runs: the sweep's points, every pool, every seed, and their ideal partners."""

import itertools
import json
from collections.abc import Collection
from functools import lru_cache
from typing import Any

import torch

from bootstrap import data, phases, registry
from bootstrap.mistakes import StudyError, unwritable
from bootstrap.models.stack import Stack
from bootstrap.run import TRAINING, Run
from bootstrap.run_worlds import second_passes
from bootstrap.study import Study, own_settings, with_value
from bootstrap.task import Image, Task, Universe
from bootstrap.worlds import World

NOT_SWEPT = ("question", "source", "claims", "plugins", "scale", "sweep", "keep")
LARGEST_TRIAL = 50_000_000  # parameters of a model that is tried before it is trained
LARGEST_UNIVERSE = 100_000_000  # cells that are put in order in memory


def points(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw study at every point of its sweep's product, without the sweep.

    Raises:
        StudyError: the sweep is no table of lists, or sweeps what is no setting.
    """
    sweep = raw.get("sweep", {})
    problems = _sweep_problems(sweep)
    if problems:
        raise StudyError(problems)
    base = {key: value for key, value in raw.items() if key != "sweep"}
    swept = []
    for values in itertools.product(*sweep.values()):
        point = base
        for dotted, value in zip(sweep, values, strict=True):
            point = with_value(point, dotted, value)
        swept.append(point)
    return swept


def _sweep_problems(sweep: Any) -> list[str]:
    found = unwritable(sweep, "sweep")
    if found:
        return found
    if not isinstance(sweep, dict):
        return [f'`sweep`: expected a table of lists, got {sweep!r}. Write for instance "optimizer.lr" = [0.1, 0.01].']
    for dotted, values in sweep.items():
        where = f"`sweep.{dotted}`"
        if dotted.partition(".")[0] in NOT_SWEPT:
            found.append(f"{where}: this is no setting of a run. Sweep over a setting such as optimizer.lr.")
        elif isinstance(values, dict) and values:
            found += [
                f'{where}: expected a list, got a table. Put the dotted name in quotes: "{name}".'
                for name in _inner_names(dotted, values)
            ]
        elif not isinstance(values, list) or not values:
            got = "an empty list" if values == [] else "an empty table" if values == {} else repr(values)
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
    found: dict[str, Run] = {}
    problems: list[str] = []
    for point in points(raw):
        try:
            for run in phases.of(point, _cell_runs):
                found.setdefault(run.run_id, run)
        except StudyError as error:
            problems += error.problems
    problems += _second_passes(found.values())
    if problems:
        raise StudyError(problems)
    return list(found.values())


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


def _cell_runs(study: Study) -> list[Run]:
    """The runs of one point of the sweep: its pools and seeds in both worlds."""
    task = _built(study)
    universe = task.size if isinstance(task, Universe) else None
    pools = _pools(study, universe)
    _check(study, task, [size for size, _ in pools])
    training = study.training
    seeds = training.seeds if isinstance(training.seeds, list) else list(range(training.seeds))
    code = _code(study, task)
    real, ideal = [], []
    for (size, fraction), seed in itertools.product(pools, seeds):
        common = {
            **{kind: getattr(study, kind) for kind in ("task", "model", "optimizer", "loss")},
            **{part: getattr(study, part) for part in ("data", "schedule", "evaluation", "keep")},
            **{name: getattr(training, name) for name in ("streams", *TRAINING)},
            "stop": study.stop, "start": None, "seed": seed, "code": code,
            "largest_pool": max(size for size, _ in pools),
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


def _built(study: Study) -> Task:
    """The study's task, once its model has agreed to it and given logits for two of its samples."""
    try:
        task = data.build_task(study.task)
    except ValueError as error:
        raise StudyError([f"`task`: {error}"]) from error
    if isinstance(task, Universe) and task.size > LARGEST_UNIVERSE:
        raise StudyError([
            f"`task`: expected at most {LARGEST_UNIVERSE:,} cells, got {task.size:,}. Choose a smaller universe."
        ])  # fmt: skip
    _try_model(json.dumps(study.model), task)
    return task


@lru_cache(maxsize=256)
def _try_model(model: str, task: Task) -> None:
    """Refuse a model that cannot be built for a task or cannot compute two of its samples."""
    settings = json.loads(model)
    try:
        stack = Stack(settings["name"], own_settings(settings), task)
        if stack.size > LARGEST_TRIAL:
            return
        key_12 = torch.zeros(1, 2, dtype=torch.int32)
        x, y = task.sample(key_12, torch.arange(2)[None])
        stack.bind(stack.initial(key_12, torch.ones(1, 1)), stack.begin(1))
        shape, expected = tuple(stack(task.decode(x)).shape), (1, y.numel(), task.classes)
    except Exception as error:  # a plugin's model may raise anything
        raise StudyError([f"`model`: {error}"]) from error
    if shape != expected:
        raise StudyError([
            f"`model`: expected logits of shape {expected} for two samples, got {shape}. "
            "Its forward pass must give one row of class logits per answer."
        ])  # fmt: skip


def _pools(study: Study, universe: int | None) -> list[tuple[int, float | None]]:
    """Every pool's size, and its share of the universe where there is one."""
    sizes, fractions = study.training.train_size, study.training.train_fraction
    if fractions is not None:
        if universe is None:
            raise StudyError([
                f"`training.train_fraction`: task {study.task['name']!r} is endless, so a pool is no fraction of it. "
                "Give training.train_size instead."
            ])  # fmt: skip
        shares = fractions if isinstance(fractions, list) else [fractions]
        return [(round(share * universe), share) for share in shares]
    listed = sizes if isinstance(sizes, list) else [sizes or 0]
    return [(size, size / universe if universe else None) for size in listed]


def _check(study: Study, task: Task, sizes: list[int]) -> None:
    """Refuse pools, batches and budgets that the task cannot serve."""
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
    problems += _rule_problems(study, sizes) + _augmentation_problems(study, task) + _label_problems(study, task)
    problems += _reference_problems(study, task)
    if study.data.split == "orbits" and (not isinstance(task, Universe) or not _has_mirror(task)):
        problems.append('`data.split`: this task has no mirror images, so there are no orbits. Set it to "cells".')
    if study.data.noisy_test and not study.data.label_noise:
        problems.append("`data.noisy_test`: there is no label noise to put on the test. Set data.label_noise.")
    if problems:
        raise StudyError(problems)


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
    except ValueError as error:
        return [f"`loss.name`: {error}"]
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
    chosen = {kind: getattr(study, kind)["name"] for kind in ("task", "model", "optimizer", "loss")}
    entries = [registry.find(kind, name) for kind, name in chosen.items()]  # type: ignore[arg-type]
    sources: dict[str, str] = {entry.kind: entry.source for entry in entries if entry.source}
    fingerprint = getattr(task, "fingerprint", None)
    return {"task_version": str(task.version), **sources, **({"data": fingerprint} if fingerprint else {})}


def _rule_code(study: Study) -> dict[str, str]:
    """The source of a plugin's index rule, on which the ideal world does not depend."""
    source = registry.find("rule", study.training.world["rule"]).source
    return {"rule": source} if source else {}

"""Whether a study's task, model, pools, rule and loss go together, by trying them on a few samples."""

import json
from functools import lru_cache
from typing import Any

import torch

from deepboot.bootstrap import registry
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.layer_names import layer_problems
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import Study, own_settings
from deepboot.bootstrap.study.signatures import constructor_problem, forward_problem
from deepboot.bootstrap.task import Image, Inputs, Samples, Task, Universe
from deepboot.bootstrap.wording import reason, shown
from deepboot.bootstrap.worlds import World

LARGEST_TRIAL = 50_000_000  # parameters of a model that is tried before it is trained
LARGEST_UNIVERSE = 100_000_000  # cells that are put in order in memory


def task_and_problems(study: Study, faulty: set[str]) -> tuple[Task | None, list[str]]:
    """The study's task, None where it is faulty; and what is wrong with it, or with the model, tried on two samples."""
    if "task" in faulty:
        return None, []
    try:
        task = build_task(study.task)
        size = task.size if isinstance(task, Universe) else 0
        if size > LARGEST_UNIVERSE:
            return None, [
                f"`task`: expected at most {LARGEST_UNIVERSE:,} cells, got {size:,}. Choose a smaller universe."
            ]
        _check_properties(task)
        cached(two_samples, task)
    except (Exception, SystemExit) as error:  # a plugin's task may raise anything
        return None, [f"`task`: {reason(error, 'Mend the task.')}"]
    try:
        if "model" not in faulty:
            names = cached(_try_model, task, json.dumps(study.model), registry.find("model", study.model["name"]))
            return task, layer_problems(study, names, faulty) if "training" not in faulty else []
    except StudyError as error:
        return task, error.problems
    return task, []


def _check_properties(task: Task) -> None:
    """Read every property of a task that the checks below need, so that an error in a plugin's task is raised here.

    Raises:
        ValueError: its inputs or classes are not what a task may have.
    """
    if not isinstance(task.inputs, Inputs):
        raise ValueError(f"expected its `inputs` to be Tokens, Vector or Image, got {shown(task.inputs)}. Mend them.")
    if not isinstance(task.classes, int) or task.classes < 1:
        raise ValueError(f"expected its `classes` to be a number above 0, got {shown(task.classes)}. Mend them.")
    if isinstance(task, Universe):
        _ = task.mirror(torch.arange(1)), task.reference


def cached(function: Any, task: Task, *arguments: Any) -> Any:
    """The result of a cached function of a task; it is computed anew where a plugin's task is not hashable."""
    return (function if _is_hashable(task) else function.__wrapped__)(task, *arguments)


def _is_hashable(task: Task) -> bool:
    try:
        hash(task)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=256)
def two_samples(task: Task) -> Samples:
    """Two samples of a task, inputs (1, 2, ...) and labels, under a key of zeros."""
    return task.sample(torch.zeros(1, 2, dtype=torch.int32), torch.arange(2)[None])


@lru_cache(maxsize=256)
def _try_model(task: Task, model: str, entry: Entry) -> list[str]:
    """Names of a model's parameters; one that cannot be built or cannot compute two samples of the task is refused."""
    settings = json.loads(model)
    try:
        _require(constructor_problem(entry.target))
        stack = Stack(entry.name, own_settings(settings), task)
        _require(forward_problem(stack.module))
        if stack.size > LARGEST_TRIAL:
            return stack.names
        key_12 = torch.zeros(1, 2, dtype=torch.int32)
        x, y = cached(two_samples, task)
        logits = stack.logits(stack.initial(key_12, torch.ones(1, 1)), stack.initial_buffers(key_12), task.decode(x))
        # a model may have more than there are classes
        wanted = getattr(stack.module, "logits_per_answer", task.classes)
        shape, expected = tuple(logits.shape), (1, y.numel(), wanted)
    except (Exception, SystemExit) as error:  # a plugin's model may raise anything
        raise StudyError([f"`model`: {reason(error, 'Mend the model, or give it another task.')}"]) from error
    if shape != expected:
        raise StudyError([
            f"`model`: expected logits of shape {expected} for two samples, got {shape}. "
            "Its forward pass must give one row of class logits per answer."
        ])  # fmt: skip
    return stack.names


def _require(problem: str) -> None:
    """Raise a problem as an error, unless it is no text."""
    if problem:
        raise ValueError(problem)


def pools_of(study: Study, universe: int | None) -> tuple[list[tuple[int, float | None]], list[str]]:
    """Every pool's size, with its share of the universe where there is one; or no pools, and why not."""
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


def compatibility_problems(study: Study, task: Task, sizes: list[int]) -> list[str]:
    """Problems of a task with pools, batches, labels and index rule that do not go together.

    Args:
        sizes: of all pools.
    """
    problems = [problem for size in sizes for problem in _pool_problems(study, task, size)]
    if study.data.test_set != "heldout" and not isinstance(task, Universe):
        problems.append(
            f"`data.test_set`: this task is endless, so no cells can be held out or left over, "
            f"got {study.data.test_set!r}. Remove the key."
        )
    if study.training.world["rule"] == "ideal" and study.training.ideal:
        problems.append(
            "`training.world.rule`: the ideal world is trained beside every other one already. "
            "Choose a rule for the finite pool, or set training.ideal = false."
        )
    problems += _augmentation_problems(study, task) + _label_problems(study, task) + _correctness_problems(study, task)
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


def _pool_problems(study: Study, task: Task, size: int) -> list[str]:
    """Problems of a pool of this size: too large for the task, or too small for a batch or for its swapped answers."""
    key = "training.train_size" if study.training.train_size is not None else "training.train_fraction"
    cells, batch, swapped = capacity(task, study.data), study.training.batch_size, study.data.swapped_answers
    problems = []
    if size < 1:
        problems.append(f"`{key}`: expected a pool of at least 1 sample, got {size}. Raise it.")
    if cells is not None and size > cells:
        problems.append(
            f"`{key}`: a pool of {size:,} does not fit into the {cells:,} training cells. {_cure_of_size(study, task)}"
        )
    elif cells is not None and size == cells and study.data.test_set == "rest":
        problems.append(
            f'`{key}`: a pool of {size:,} leaves no cell to test on. Lower it, or set data.test_set = "population".'
        )
    if isinstance(batch, int) and batch > size:
        problems.append(
            f"`training.batch_size`: expected at most the pool's {size:,} samples, got {batch:,}. "
            'Lower it, or set it to "full".'
        )
    if swapped > size:
        problems.append(
            f"`data.swapped_answers`: expected at most the pool's {size:,} samples, got {swapped:,}. Lower it."
        )
    return problems


def _cure_of_size(study: Study, task: Task) -> str:
    """The cure of a pool that is too large."""
    if study.data.test_set != "heldout" or not isinstance(task, Universe):
        return "Lower it."
    share = int(1000 * (capacity(task, study.data) or 0) / task.size) / 1000
    return f'Lower it (train_fraction at most {share:g}), lower data.test_fraction, or set data.test_set = "rest".'


def _augmentation_problems(study: Study, task: Task) -> list[str]:
    """Problems of an augmentation with inputs that are no images."""
    if study.data.augmentation == "none" or isinstance(task.inputs, Image):
        return []
    return [
        f"`data.augmentation`: only images can be augmented, got {study.data.augmentation!r} "
        f"for {type(task.inputs).__name__.lower()} inputs. Remove the key."
    ]


def _label_problems(study: Study, task: Task) -> list[str]:
    """Problems of a loss and of label noise with real-valued labels."""
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


def _correctness_problems(study: Study, task: Task) -> list[str]:
    """Problems of a squared error that counts as right with the task's labels and test set."""
    if study.evaluation.correct_below is None:
        return []
    if task.classes > 1:
        return [
            "`evaluation.correct_below`: only predictions of real-valued labels have a squared error, "
            f"this task has {task.classes} classes. Remove the key."
        ]
    if study.data.test_samples is None and task.exact(torch.zeros(1, 2, dtype=torch.int32)) is not None:
        return [
            "`evaluation.correct_below`: the exact test set of this task gives mean squared errors alone, and none of "
            "its samples is right or wrong by itself. Set data.test_samples, so that samples are drawn."
        ]
    return []


def _reference_problems(study: Study, task: Task) -> list[str]:
    """Problems of the task's own test set with the settings of the test."""
    if study.data.test_set != "reference" or not isinstance(task, Universe):
        return []
    cells, wanted = task.reference, study.data.test_samples
    if not cells:
        return [
            f"`data.test_set`: task {study.task['name']!r}, with these settings, names no test set of its own, "
            "got 'reference'. Set it to \"heldout\"."
        ]
    problems = []
    if wanted and wanted > len(cells):
        problems.append(
            f"`data.test_samples`: expected at most the {len(cells):,} cells of the reference test set, "
            f"got {wanted:,}. Lower it."
        )
    if study.data.split == "orbits":
        problems.append('`data.split`: the reference test set does not keep orbits together. Set it to "cells".')
    return problems


def _rule_problems(study: Study, sizes: list[int]) -> list[str]:
    """Problems of an index rule that refuses its settings with one of these pools."""
    rule, key_12 = registry.find("rule", study.training.world["rule"]).target, torch.zeros(1, 2, dtype=torch.int32)
    settings, batch = own_settings(study.training.world), study.training.batch_size
    for size in (max(1, size) for size in sizes):
        try:
            World(rule, settings, [size], key_12, min(batch, size) if batch != "full" else size, None).indices(0, 1)
        except ValueError as error:
            return [f"`training.world`: {error}"]
    return []


def _has_mirror(task: Universe) -> bool:
    return task.mirror(torch.arange(1)) is not None

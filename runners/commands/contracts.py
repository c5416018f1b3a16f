"""Contracts of what a plugin registers, each a function that returns sentences about what is not kept."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.samples.source import TEST_START
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Image, Inputs, Tokens, Universe
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.bootstrap.wording import reason
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.judgement import Judgement
from deepboot.runners import study_files
from deepboot.runners.run.engine import run_study

TASKS: tuple[dict[str, Any], ...] = (
    {"name": "sparse_parity", "num_bits": 8},
    {"name": "binary_operations", "modulus": 11},
    {"name": "shapes", "size": 8},
)  # of vectors, of tokens and of images
STEPS = 8
KEY_E2 = streams.keys((0, 1), "data")
TOLERANCE = 1e-3  # of a member's parameters alone and in a pack, which round differently


def problems(entry: Entry) -> list[str]:
    """All that is wrong with an entry, as far as it can be tried."""
    try:
        return [] if untried(entry) else CONTRACTS[entry.kind](entry.name)
    except StudyError as error:
        return error.problems
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        return [reason(error, f"Mend the {entry.kind}.")]


def untried(entry: Entry) -> str:
    """Why only the settings of an entry are read, and it is not tried itself; empty if it is.

    Raises:
        ValueError: its settings cannot be read.
    """
    fields = registry.settings(entry.kind, entry.name).model_fields
    needed = [name for name, field in fields.items() if field.is_required()]
    return f"{', '.join(needed)} {'has' if len(needed) == 1 else 'have'} no default" if needed else ""


def _task(name: str) -> list[str]:
    """Shapes, label range, and samples that are a function of key and index alone."""
    task = build_task(registry.settings("task", name)().model_dump() | {"name": name})
    count = min(64, task.size) if isinstance(task, Universe) else 64
    index = torch.arange(count).expand(2, -1)
    torch.manual_seed(0)
    x, y = task.sample(KEY_E2, index)
    torch.manual_seed(1)
    again, one = task.sample(KEY_E2, index), task.sample(KEY_E2, index[:, 1:2])
    test = task.sample_test(KEY_E2, TEST_START + index)
    answers = 1 if isinstance(task.inputs, Image) else task.inputs.answers
    wanted_y = (2, count) if answers == 1 else (2, count, answers)
    wanted_x = (2, count, *_shape(task.inputs))
    found = {
        f"expected inputs of shape {wanted_x}, got {tuple(x.shape)}. Mend `inputs` or `sample`.":
            x.shape == wanted_x,
        f"expected labels of shape {wanted_y}, got {tuple(y.shape)}. Return one label per answer.": y.shape == wanted_y,
        f"expected labels of dtype {_label_dtype(task.classes)}, got {y.dtype}. Convert them.":
            y.dtype == _label_dtype(task.classes),
        f"expected labels in 0 .. {task.classes - 1}, got {y.min().item():g} .. {y.max().item():g}. Mend `classes`.":
            task.classes == 1 or bool(0 <= y.min() <= y.max() < task.classes),
        "expected different labels among the first samples, got one. A task of one label cannot be learned.":
            y.unique().numel() > 1,
        "expected the same samples for the same key and index, got others. Draw from bootstrap.streams only.":
            torch.equal(x, again.x) and torch.equal(y, again.y),
        "expected a sample that does not depend on the others of its batch. Compute it from its own index.":
            torch.equal(one.x, x[:, 1:2]) and torch.equal(one.y, y[:, 1:2]),
        f"expected test samples of the shapes of training samples, got inputs {tuple(test.x.shape)} and labels "
        f"{tuple(test.y.shape)}. Mend `sample_test`.": (test.x.shape, test.y.shape) == (x.shape, y.shape),
        "expected other samples for other keys, got the same. Use key_E2, or extend Universe.":
            isinstance(task, Universe) or not torch.equal(x[0], x[1]),
    }  # fmt: skip
    return [sentence for sentence, kept in found.items() if not kept]


def _on_some_task(tasks: Iterable[dict[str, Any]], **changes: Any) -> list[str]:
    """What is wrong on the first kind of inputs that is not refused; else all refusals."""
    refusals: list[str] = []
    for task in tasks:
        try:
            return _trained(task=task, **changes)
        except StudyError as error:
            refusals += error.problems
    return list(dict.fromkeys(refusals))


def _tasks_of(model: str) -> list[dict[str, Any]]:
    """The tasks whose inputs have what a model's constructor asks of them; all of them if none has."""
    return [task for task in TASKS if not _is_of_other_inputs(model, task)] or list(TASKS)


def _is_of_other_inputs(model: str, task: dict[str, Any]) -> bool:
    """Whether a model asks a task's inputs for what they lack, such as tokens for the `size` of vectors."""
    try:
        Stack(model, {}, build_task(task))
    except (Exception, SystemExit) as error:  # a plugin's model may raise anything; the trial says what is wrong
        return isinstance(error, AttributeError) and isinstance(error.obj, Inputs)
    return False


def _trained(**changes: Any) -> list[str]:
    """What is wrong with members that train in a pack, alone, and from a state on."""
    runs = runs_of(_study(changes))
    pack, resumed = Pack(runs), Pack(runs)
    start_EP = pack.param_EP.clone()
    train_steps(pack, STEPS)
    train_steps(resumed, STEPS // 2)
    resumed = Pack(runs, states=resumed.states())
    train_steps(resumed, STEPS)
    alone = [Pack([run]) for run in runs]
    for one in alone:
        train_steps(one, STEPS)
    rows = [row for outcome in train(runs) for row in outcome.rows]
    alone_EP = torch.cat([one.param_EP for one in alone])
    found = {
        "expected parameters that change in training, in place, got those of the start.":
            not torch.equal(pack.param_EP, start_EP),
        "expected finite losses, got others after a few steps. Lower the rate, or mend the gradient.":
            all(row["test_loss"] == row["test_loss"] for row in rows),
        "expected members that do not depend on their neighbours in a pack, got others when each trains alone.":
            _near(pack.param_EP, alone_EP),
        "expected training to go on from a state to the same bits, got others. Keep everything in the state.":
            torch.equal(pack.param_EP, resumed.param_EP),
    }  # fmt: skip
    return [sentence for sentence, kept in found.items() if not kept]


def _claim(name: str) -> list[str]:
    """A study that claims it is judged, with an estimate inside its interval and an n of N."""
    raw = _study({"claims": [{"kind": name}]})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_bytes(study_files.to_toml(raw))
        judged = judge(run_study(path, Path(folder) / "out", workers=1))
    return list(dict.fromkeys(sentence for one in judged for sentence in _judged(one)))


def _judged(one: Judgement) -> list[str]:
    """What is wrong with one judgement."""
    effect = one.effect
    if effect is None:
        return []
    estimate, interval = effect.estimate, effect.interval
    found = {
        "expected a reason where there is no interval. Give Effect(reason=...).":
            interval is not None or effect.reason != "",
        f"expected an n of at most the total, got {effect.n} of {effect.total}. Mend Effect(n=..., total=...).":
            effect.missing >= 0,
        "expected an interval that holds its estimate. Mend one of the two.":
            estimate is None or interval is None or (interval.low <= estimate.high and estimate.low <= interval.high),
    }  # fmt: skip
    return [sentence for sentence, kept in found.items() if not kept]


def _near(here_EP: Tensor, there_EP: Tensor) -> bool:
    return torch.allclose(here_EP, there_EP, rtol=TOLERANCE, atol=TOLERANCE)


def _study(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A study of two seeds in both worlds that takes a moment."""
    training = {"train_size": 32, "batch_size": 8, "max_steps": STEPS, "seeds": 2, **changes.get("training", {})}
    base = {"question": "Does it keep its contracts?", "task": TASKS[0], "model": {"name": "mlp", "width": 8},
            "optimizer": {"name": "sgd"}, "data": {"test_samples": 16}}  # fmt: skip
    return {**base, **changes, "training": training}


def _label_dtype(classes: int) -> torch.dtype:
    return torch.float32 if classes == 1 else torch.int64


def _shape(inputs: Any) -> tuple[int, ...]:
    """Shape of one input."""
    if isinstance(inputs, Image):
        return inputs.channels, inputs.height, inputs.width
    return (inputs.length,) if isinstance(inputs, Tokens) else (inputs.size,)


CONTRACTS: dict[str, Callable[[str], list[str]]] = {
    "task": _task,
    "model": lambda name: _on_some_task(_tasks_of(name), model={"name": name}),
    "optimizer": lambda name: _trained(optimizer={"name": name}),
    "loss": lambda name: _trained(loss={"name": name}),
    "transform": lambda name: _trained(training={"transforms": [{"name": name}]}),
    "rule": lambda name: _trained(training={"world": {"rule": name}}),
    "probe": lambda name: _trained(probes={name: {}}),
    "penalty": lambda name: _trained(training={"penalty": {"name": name}}),
    "construction": lambda name: _on_some_task(TASKS, start={"construction": {"name": name}}),
    "claim": _claim,
}

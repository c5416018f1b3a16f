"""Promises that every registered model, loss, optimizer and rule keeps, with every kind of task."""

import itertools

import pytest
import torch

from bootstrap import registry
from bootstrap.mistakes import StudyError
from bootstrap.pack import Pack
from bootstrap.sweep import runs_of
from bootstrap.train import train_steps
from runners import shipped
from tests.bootstrap.conftest import parity

shipped.load()
TASKS = {
    "sparse_parity": {"num_bits": 12},
    "binary_operations": {"modulus": 11},
    "multi_digit_addition": {"num_digits": 1, "shows_answers": False},
}
REFUSED = {("transformer", "sparse_parity")}
SETTINGS = {
    "mlp": {"width": 128},
    "transformer": {"width": 32, "heads": 2, "layers": 1},
    "sgd": {"lr": 0.05, "momentum": 0.9},
    "adam": {"lr": 3e-3},
    "adamw": {"lr": 3e-3},
    "mse": {"target": 3.0},
    "fresh": {"share": 0.5},
    "redraw": {"share": 0.5},
    "sliding": {"shift": 8},
    "switch": {"at_step": 3},
}


def named(name, key="name"):
    return {key: name, **SETTINGS.get(name, {})}


def study(**choices):
    base = {"task": {"name": "sparse_parity", "num_bits": 12}, "data": {"test_samples": 32}, "training__ideal": False}
    return parity(**{**base, "training__train_size": 32, "training__batch_size": "full", **choices})


def final_error(runs, steps):
    pack = Pack(runs, "cpu")
    train_steps(pack, steps)
    return pack.evaluator.rows()[0]["train_error"]


@pytest.mark.parametrize(("model", "task"), list(itertools.product(registry.names("model"), TASKS)))
def test_every_model_overfits_32_points_of_every_task_it_accepts(model, task):
    """A network that cannot fit 32 samples has a broken gradient; a refusal names the model."""
    raw = study(model=named(model), task={"name": task, **TASKS[task]}, optimizer=named("adam"))
    if (model, task) in REFUSED:
        with pytest.raises(StudyError, match=r"^`model`: model 'transformer' reads tokens"):
            runs_of(raw)
    else:
        assert final_error(runs_of(raw), 400) == 0


PAIRS = list(itertools.product(registry.names("optimizer"), registry.names("loss")))


@pytest.mark.parametrize(("optimizer", "loss"), PAIRS)
def test_every_optimizer_overfits_32_points_under_every_loss(optimizer, loss):
    """All pairs of optimizer and loss fit 32 samples of parity."""
    assert final_error(runs_of(study(optimizer=named(optimizer), loss=named(loss))), 400) == 0


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_two_sizes_in_one_process_do_not_disturb_each_other(optimizer):
    """A wider network trained in between changes nothing."""
    narrow = runs_of(study(optimizer=named(optimizer)))
    wide = runs_of(study(optimizer=named(optimizer), model={"name": "mlp", "width": 48, "depth": 2}))
    first, between, second = (Pack(runs, "cpu") for runs in (narrow, wide, narrow))
    for pack in (first, between, second):
        train_steps(pack, 5)
    assert torch.equal(first.param_EP, second.param_EP)
    assert between.param_EP.shape != first.param_EP.shape


@pytest.mark.parametrize("rule", registry.names("rule"))
def test_every_rule_trains_beside_the_ideal_world(rule):
    """Each rule's world runs to its budget with finite metrics."""
    raw = study(training__world=named(rule, "rule"), training__ideal=rule != "ideal", training__batch_size=8)
    pack = Pack(runs_of(raw), "cpu")
    train_steps(pack, 9)
    assert all(row["test_loss"] == row["test_loss"] for row in pack.evaluator.rows())

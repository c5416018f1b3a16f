"""Promises that every registered model, loss, optimizer, transform and rule keeps, with every kind of task."""

import itertools
import math

import numpy as np
import pytest
import torch

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.runners import builtins
from tests.bootstrap.conftest import parity

builtins.load()
TASKS = {
    "sparse_parity": {"num_bits": 12},
    "binary_operations": {"modulus": 11},
    "multi_digit_addition": {"num_digits": 1, "shows_answers": False},
    "recording": {},
}
REFUSED = {
    ("transformer", "sparse_parity"): r"reads tokens, but this task gives vector inputs",
    ("transformer", "recording"): r"reads tokens, but this task gives image inputs",
    **{
        (model, task): "reads images, this task gives (vector|tokens) inputs"
        for model in ("alexnet", "cnn", "dconv", "densenet", "resnet", "vgg", "vit")
        for task in TASKS
        if task != "recording"
    },
}
SETTINGS = {
    "mlp": {"width": 128},
    "transformer": {"width": 32, "heads": 2, "layers": 1},
    "alexnet": {"width": 8},
    "cnn": {"width": 4},
    "dconv": {"width": 2},
    "densenet": {"depth": 10, "growth": 4},
    "resnet": {"width": 4, "blocks": 1},
    "vgg": {"width": 4},
    "vit": {"width": 32, "heads": 2, "layers": 2},
    "sgd": {"lr": 0.05, "momentum": 0.9},
    "adam": {"lr": 3e-3},
    "adamw": {"lr": 3e-3},
    "muon": {"adam_lr": 3e-3},
    "mse": {"target": 3.0},
    "clip": {"norm": 0.1},
    "grokfast_ma": {"window": 4},
    "fresh": {"share": 0.5},
    "redraw": {"share": 0.5},
    "sliding": {"shift": 8},
    "consecutive": {"times": 2},
    "spacing": {"times": 2, "gap": 1},
    "growing": {"first": 8, "growth": 4},
    "switch": {"at_step": 3},
}


def named(name, key="name"):
    return {key: name, **SETTINGS.get(name, {})}


def study(**choices):
    base = {"task": {"name": "sparse_parity", "num_bits": 12}, "data": {"test_samples": 32}, "training__ideal": False}
    return parity(**{**base, "training__train_size": 32, "training__batch_size": "full", **choices})


def fits(runs, steps):
    """Whether no sample of the pool is wrong any more after so many steps, or before them, asked every 20."""
    pack = Pack(runs)
    evaluator = Evaluator(pack)
    while pack.step < steps:
        train_steps(pack, pack.step + 20)
        if evaluator.rows()[0]["train_error"] == 0:
            return True
    return False


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A recording of 80 random images of 16 x 16 pixels in five classes."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    values = np.random.default_rng(0)
    np.savez(path, x=values.integers(0, 256, (80, 16, 16, 3), dtype=np.uint8), y=values.integers(0, 5, 80))
    return {"path": str(path)}


@pytest.mark.parametrize(("model", "task"), list(itertools.product(registry.names("model"), TASKS)))
def test_every_model_overfits_32_points_of_every_task_it_accepts(model, task, images):
    """A network that cannot fit 32 samples has a broken gradient; a refusal names the model."""
    if task == "recording":
        settings = {"task": {"name": task, **images}, "data": {"test_samples": 16}}
    else:
        settings = {"task": {"name": task, **TASKS[task]}}
    raw = study(model=named(model), optimizer=named("adam"), **settings)
    if (model, task) in REFUSED:
        with pytest.raises(StudyError, match=f"^`model`: model '{model}' {REFUSED[model, task]}"):
            runs_of(raw)
    else:
        assert fits(runs_of(raw), 200 if task == "recording" else 400)


PAIRS = list(itertools.product(registry.names("optimizer"), registry.names("loss")))


@pytest.mark.parametrize(("optimizer", "loss"), PAIRS)
def test_every_optimizer_overfits_32_points_under_every_loss(optimizer, loss):
    """All pairs of optimizer and loss fit 32 samples of parity."""
    assert fits(runs_of(study(optimizer=named(optimizer), loss=named(loss))), 400)


@pytest.mark.parametrize("transform", registry.names("transform"))
def test_every_transform_lets_a_network_overfit_32_points(transform):
    """As it does without; and it changes how it gets there."""
    chains = ([named(transform)], [])
    with_it, without = (runs_of(study(optimizer=named("adam"), training__transforms=chain)) for chain in chains)
    assert fits(with_it, 400)
    packs = Pack(with_it), Pack(without)
    for pack in packs:
        train_steps(pack, 5)
    assert not torch.equal(*(pack.param_EP for pack in packs))


@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_two_sizes_in_one_process_do_not_disturb_each_other(optimizer):
    """A wider network trained in between changes nothing."""
    narrow = runs_of(study(optimizer=named(optimizer)))
    wide = runs_of(study(optimizer=named(optimizer), model={"name": "mlp", "width": 48, "depth": 2}))
    first, between, second = (Pack(runs) for runs in (narrow, wide, narrow))
    for pack in (first, between, second):
        train_steps(pack, 5)
    assert torch.equal(first.param_EP, second.param_EP)
    assert between.param_EP.shape != first.param_EP.shape


@pytest.mark.parametrize("rule", registry.names("rule"))
def test_every_rule_trains_beside_the_ideal_world(rule):
    """Each rule's world runs to its budget with finite metrics."""
    raw = study(training__world=named(rule, "rule"), training__ideal=rule != "ideal", training__batch_size=8)
    pack = Pack(runs_of(raw))
    train_steps(pack, 9)
    assert all(math.isfinite(row[name]) for row in Evaluator(pack).rows() for name in ("test_loss", "online_loss"))

"""A fast backend is trusted only after it trained as the plain one does."""

import functools

import pytest
import torch

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training import pack as packs
from deepboot.bootstrap.training.backend import Eager
from deepboot.bootstrap.training.backend_check import CHECKED_STEPS, TOLERANCE, disagreement
from deepboot.bootstrap.training.execution import Execution
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
TRANSFORMER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
COMPILED = Execution(backend="compiled")


class Spoilt(Eager):
    """Steps that go wrong from some step on."""

    def __init__(self, groups, step, spoil, after):
        super().__init__(groups, step)
        self._spoil, self._left = spoil, after

    def update(self, batch):
        super().update(batch)
        self._left -= 1
        if self._left < 0:
            for group in self.groups:
                self._spoil(group.members)


def forgotten(members):
    """What a graph does that writes its gradient to memory that nobody reads: the last update is undone."""
    members.param_EP[0] -= 0.01


def spoil(monkeypatch, how):
    """Let every backend but the plain one be made by another function of the pack's groups and step."""
    make = packs.backend_of

    def backend_of(execution, groups, step, cache):
        return make(execution, groups, step, cache) if execution.backend == "eager" else how(groups, step)

    monkeypatch.setattr(packs, "backend_of", backend_of)


@pytest.mark.parametrize("after", [0, CHECKED_STEPS])
@pytest.mark.parametrize(
    "break_it",
    [
        forgotten,
        lambda members: members.param_EP.mul_(1.01),
        lambda members: members.param_EP.fill_(torch.nan),
        lambda members: members.sums_3E[0].mul_(1.1),
    ],
)
def test_a_backend_that_trains_otherwise_is_noticed(break_it, after, monkeypatch):
    """Wrong weights or sums of one member, or NaN, at once or only after the evaluation, are a disagreement."""
    spoil(monkeypatch, lambda groups, step: Spoilt(groups, step, break_it, after))
    problem = disagreement(runs_of(parity(training__max_steps=100)), COMPILED)
    assert "differ from those of eager by" in problem
    assert f"of their size, and {TOLERANCE['float32']:g} is allowed" in problem


def test_a_backend_that_cannot_be_carried_out_is_not_trusted(monkeypatch):
    """The reason is its error, in one line."""

    def raising(groups, step):
        raise RuntimeError("no compiler\nand a long trace")

    spoil(monkeypatch, raising)
    assert disagreement(runs_of(parity()), COMPILED) == "RuntimeError: no compiler"


@pytest.mark.parametrize("budget", [3, 5, 100])
def test_the_plain_backend_agrees_with_itself_whatever_the_budget(budget, monkeypatch):
    """Also where the whole run is shorter than the check."""
    spoil(monkeypatch, Eager)
    assert disagreement(runs_of(parity(training__max_steps=budget)), COMPILED) is None


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16}, pytest.param(TRANSFORMER, marks=pytest.mark.slow)])
def test_a_compiled_backend_agrees(model, monkeypatch):
    """Traced as one function, networks with every option of their members train alike within the tolerance."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    raw = parity(task=ADDITION, model={**model, "output_scale": 2.0}, training__train_size=24, training__max_steps=99)
    raw["training"].update(transforms=[{"name": "clip", "norm": 1.0}], weight_noise=0.01, update_noise=0.1)
    assert disagreement(runs_of(raw), COMPILED) is None


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["compiled", "graphed", "compiled_graphed"])
@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16}, TRANSFORMER])
def test_every_backend_agrees_on_a_gpu(backend, model):
    """Pools of two sizes, so that the evaluation between computes with members that the step does not."""
    raw = parity(task=ADDITION, model=model, training__train_size=[16, 24], training__max_steps=99, training__seeds=2)
    assert disagreement(runs_of(raw), Execution(device="cuda", backend=backend)) is None

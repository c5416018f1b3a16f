"""However steps are carried out, the mathematics is the same."""

import functools
import shutil

import pytest
import torch

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training import pack as packs
from deepboot.bootstrap.training.backend import BackendCache, Compiled
from deepboot.bootstrap.training.execution import BACKENDS, Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity
from tests.bootstrap.models.test_models import Plain, own_models  # noqa: F401 (a fixture)

TRANSFORMER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}
ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}


def close(one, other):
    """Two outcomes agree to rounding, row by row and in their parameters."""
    assert [row["step"] for row in one.rows] == [row["step"] for row in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        for name in ("test_loss", "test_soft_error", "train_loss", "online_loss", "online_error"):
            assert a[name] == pytest.approx(b[name], abs=2e-5, nan_ok=True), name
    torch.testing.assert_close(one.state["parameters"], other.state["parameters"], rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
def test_a_compiled_step_is_the_eager_one_to_rounding():
    """Rows and weights of an MLP with every trait agree, and a second pack of that shape compiles nothing anew."""
    raw = parity(training__seeds=2, training__max_steps=30, model__output_scale=2.0, evaluation__schedule=10)
    raw["training"].update(transforms=[{"name": "clip", "norm": 1.0}], weight_noise=0.01, update_noise=0.1)
    runs = runs_of(raw)
    cache, compiled = BackendCache(), Execution(backend="compiled")
    for one, other in zip(train(runs), train(runs, compiled, cache=cache), strict=True):
        close(one, other)
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    train(runs, compiled, cache=cache)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize(
    "model",
    [
        {"name": "mlp", "width": 16},
        *(pytest.param(one, marks=pytest.mark.slow) for one in (TRANSFORMER, {"name": "test_plain"})),
    ],
)
def test_the_graph_that_is_compiled_gives_the_weights_of_the_eager_steps(model, monkeypatch, own_models):  # noqa: F811
    """Traced as one function of the flat parameters, in float64, the step is the same to rounding."""
    register("model", "test_plain")(Plain)
    task = {} if model["name"] == "test_plain" else {"task": ADDITION}
    runs = runs_of(parity(**task, model=model, training__seeds=2, training__train_size=24, training__dtype="float64"))
    eager = train(runs)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    for one, other in zip(eager, train(runs, Execution(backend="compiled")), strict=True):
        close(one, other)


@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16}, TRANSFORMER, {"name": "test_plain"}])
def test_members_stepped_one_after_another_are_those_stepped_at_once(model, own_models):  # noqa: F811
    """With every trait and in both worlds: an MLP to the last bit, others to rounding."""
    register("model", "test_plain")(Plain)
    task = {} if model["name"] == "test_plain" else {"task": ADDITION}
    raw = parity(**task, model={**model, "output_scale": 2.0}, training__seeds=2, training__train_size=[16, 24])
    raw["training"].update(
        transforms=[{"name": "clip", "norm": 1.0}], weight_noise=0.01, update_noise=0.1, max_steps=20
    )
    runs = runs_of(raw)
    for one, other in zip(train(runs), train(runs, Execution(sequential=True)), strict=True):
        close(one, other)
        if model["name"] == "mlp":
            assert torch.equal(one.state["parameters"], other.state["parameters"])
            assert str(one.rows) == str(other.rows)  # NaN included


def test_the_step_that_a_graph_replays_is_the_eager_one(monkeypatch):
    """One operation after another, with its counting and noise: weights and sums are equal to the last bit."""
    raw = parity(training__seeds=2, training__max_steps=20, evaluation__schedule=10, model__width=128)
    raw["training"].update(transforms=[{"name": "clip", "norm": 1.0}], weight_noise=0.01, update_noise=0.1)
    runs = runs_of(raw)
    plain, make = train(runs), packs.backend_of

    def replayed(execution, groups, step, cache):
        graphed = make(Execution(backend="graphed"), groups, step, cache)
        return Compiled(groups, step, graphed._steps)

    monkeypatch.setattr(packs, "backend_of", replayed)
    for one, other in zip(plain, train(runs), strict=True):
        assert str(one.rows) == str(other.rows)
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


@pytest.mark.gpu
@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("model", [{"name": "mlp", "width": 16}, TRANSFORMER])
def test_every_backend_trains_alike_on_a_gpu(backend, model):
    """Compiled, replayed as CUDA graphs, or both: rows and weights are those of the eager backend to rounding."""
    raw = parity(task=ADDITION, model=model, training__train_size=24, training__seeds=3, training__max_steps=200)
    runs = runs_of(raw)
    eager, other = train(runs, Execution(device="cuda")), train(runs, Execution(device="cuda", backend=backend))
    for one, two in zip(eager, other, strict=True):
        close(one, two)


@pytest.mark.gpu
def test_nothing_waits_for_the_device_between_evaluations():
    """With synchronisation forbidden, a replayed pack trains on through new passes over its pools."""
    runs = runs_of(parity(training__seeds=4, training__max_steps=500, evaluation__schedule=500))
    pack = Pack(runs, Execution(device="cuda", backend="graphed"))
    train_steps(pack, 200)  # captures its graphs
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_steps(pack, 400)
    finally:
        torch.cuda.set_sync_debug_mode("default")

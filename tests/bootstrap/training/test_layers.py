"""Factors per layer: against torch's parameter groups, and against the same training without them."""

import functools

import pytest
import torch

from deepboot.bootstrap import optimizers
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.layers import columns_of
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.runners.run.packing import pack_key
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.alone import trained_as_alone
from tests.bootstrap.training.plain import trained_by_torch

STEPS = 40
DEEP = {"name": "mlp", "width": 12, "depth": 2}
LAYERS = {
    "hidden": {"lr": 0.3, "weight_decay": 2.0},
    "hidden.1.bias": {"lr": 2.0, "weight_decay": 0.0},
    "output": {"weight_decay": 0.0},
}
OPTIMIZERS = {
    "sgd": ({"name": "sgd", "lr": 0.2, "momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD),
    "adamw": ({"name": "adamw", "lr": 0.01, "weight_decay": 0.5, "betas": [0.9, 0.98]}, torch.optim.AdamW),
    "adam": ({"name": "adam", "lr": 0.01, "weight_decay": 0.1}, torch.optim.Adam),
}


def runs(layers, **changes):
    """The runs of a study of a network of two hidden layers with these factors."""
    changes = {"model": DEEP, "training__dtype": "float64", "training__max_steps": STEPS, **changes}
    return runs_of(parity(training__layers=layers, **changes))


def groups(leaves, optimizer):
    """Torch's parameter groups for ``LAYERS``, written out."""
    lr, decay = optimizer["lr"], optimizer["weight_decay"]
    factors = {
        "hidden.0.weight": (0.3, 2.0), "hidden.0.bias": (0.3, 2.0), "hidden.1.weight": (0.3, 2.0),
        "hidden.1.bias": (2.0, 0.0), "output.weight": (1.0, 0.0), "output.bias": (1.0, 0.0),
    }  # fmt: skip
    assert factors.keys() == leaves.keys()
    return [
        {"params": [leaf], "lr": factors[name][0] * lr, "weight_decay": factors[name][1] * decay}
        for name, leaf in leaves.items()
    ]


@pytest.fixture(params=[False, True])
def fused(request, monkeypatch):
    """Whether Adam's updates are those of torch's own kernel."""
    monkeypatch.setattr(optimizers, "FUSED_PARAMETERS", 1 if request.param else 1 << 62)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_follows_torchs_parameter_groups(name, fused):
    """40 steps in float64; a parameter has the factors of the longest name that it begins with."""
    optimizer, kind = OPTIMIZERS[name]
    (run,) = runs(LAYERS, optimizer=optimizer, training__ideal=False)
    pack = Pack([run])
    start_P = pack.param_EP[0].clone()
    train_steps(pack, STEPS)
    own = {key: value for key, value in optimizer.items() if key not in ("name", "lr", "weight_decay")}
    expected_P = trained_by_torch(run, STEPS, lambda leaves: kind(groups(leaves, optimizer), **own))
    assert (expected_P - start_P).norm() > 0.3
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-10)


SWEEP = {"training.layers.hidden.lr": [0.3, 1.0], 'training.layers."hidden.1.bias".weight_decay': [0.0, 3.0]}


@pytest.mark.parametrize("sequential", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_members_with_factors_of_their_own_are_what_they_are_alone(name, sequential, fused):
    """To the last bit, beside each other or one after another."""
    members = runs(LAYERS, optimizer=OPTIMIZERS[name][0], sweep=SWEEP, training__dtype="float32")
    assert len(members) == 8
    trained_as_alone(members, Execution(sequential=sequential))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_factors_of_one_change_no_bit(name):
    """Several updates of parts of the parameters are the one update of all, if torch's own kernel does not do them.

    That one rounds the last few numbers of what it is given in another way than the others.
    """
    ones = {"hidden.0": {}, "output.bias": {}}
    optimizer = OPTIMIZERS[name][0]
    plain, split = (
        train(runs(layers, optimizer=optimizer, training__dtype="float32", training__seeds=2)) for layers in ({}, ones)
    )
    for one, other in zip(plain, split, strict=True):
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
        assert one.run.run_id != other.run.run_id


def test_without_factors_the_optimizer_updates_all_parameters_in_one_call(monkeypatch):
    """And with them once for each range of neighbours under one name."""
    shapes, update = [], optimizers.AdamW.update

    def noted(param_EP, *rest):
        shapes.append(tuple(param_EP.shape))
        update(param_EP, *rest)

    monkeypatch.setattr(optimizers.AdamW, "update", staticmethod(noted))
    train_steps(Pack(runs({})), 1)
    train_steps(Pack(runs(LAYERS)), 1)
    assert shapes == [(2, 290), (2, 252), (2, 12), (2, 26)]


def test_columns_are_the_fewest_ranges_of_one_layer_each():
    """They cover all parameters in order, those without factors too."""
    (run, _) = runs({"hidden.1": {}})
    columns = columns_of(Pack([run]).member_step.stack, run)
    assert columns == [(None, slice(0, 108), None), ("hidden.1", slice(108, 264), None), (None, slice(264, 290), None)]


def test_an_initial_scale_is_that_of_exactly_the_named_parameters():
    """All other numbers are the same bits; the model's own scale and another member's are factors of their own."""
    layers = {"hidden": {"init_scale": 3.0}, "hidden.1.weight": {"init_scale": 0.5}, "output.weight": {"init_scale": 0}}
    plain = Pack(runs({}, model__init_scale=2.0, training__ideal=False, training__dtype="float32"))
    sweep = {"training.layers.hidden.init_scale": [3.0, 1.0]}
    scaled = Pack(runs(layers, model__init_scale=2.0, training__ideal=False, training__dtype="float32", sweep=sweep))
    factors = {"hidden.0.weight": 3, "hidden.0.bias": 3, "hidden.1.weight": 0.5, "hidden.1.bias": 3, "output.weight": 0}
    for member, changes in enumerate(({}, {"hidden.0.weight": 1, "hidden.0.bias": 1, "hidden.1.bias": 1})):
        for name, weights in plain.weights(0).items():
            assert torch.equal(scaled.weights(member)[name], {**factors, **changes}.get(name, 1) * weights), name


def test_a_layer_with_a_learning_rate_of_zero_stays_as_it_starts():
    """Under Adam as well; the others learn."""
    pack = Pack(runs({"hidden.0": {"lr": 0.0}}))
    before = pack.weights(0)
    train_steps(pack, 5)
    assert {name for name, value in pack.weights(0).items() if torch.equal(value, before[name])} == {
        "hidden.0.weight", "hidden.0.bias",
    }  # fmt: skip


def test_decay_toward_the_start_has_factors_too():
    """What AdamW decays to is cut into layers as the parameters are."""
    optimizer = {"name": "adamw", "lr": 0.01, "weight_decay": 5.0, "decay_to": "init"}
    plain, held = (
        Pack(runs(layers, optimizer=optimizer, training__ideal=False))
        for layers in ({}, {"output": {"weight_decay": 19.0}})
    )
    start = plain.weights(0)
    for pack in (plain, held):
        train_steps(pack, STEPS)
    far, near = ((pack.weights(0)["output.weight"] - start["output.weight"]).norm() for pack in (plain, held))
    assert near < far / 3


def test_noise_knows_no_factors():
    """Update noise goes by the learning rate of the whole member, also in a layer that does not learn."""
    pack, quiet = (
        Pack(runs({"hidden.0": {"lr": 0.0}}, training__ideal=False, training__update_noise=noise)) for noise in (0.5, 0)
    )
    for one in (pack, quiet):
        train_steps(one, 1)
    added = (pack.weights(0)["hidden.0.weight"] - quiet.weights(0)["hidden.0.weight"]) / (0.5 * 1e-2)
    assert added.std() == pytest.approx(1, abs=4 / (2 * added.numel()) ** 0.5)


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_factors_can_be_compiled(name, monkeypatch):
    """Traced as one function, the steps are the eager ones to rounding."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    members = runs(LAYERS, optimizer=OPTIMIZERS[name][0], training__max_steps=8)
    for one, other in zip(train(members), train(members, Execution(backend="compiled")), strict=True):
        torch.testing.assert_close(one.state["parameters"], other.state["parameters"], rtol=0, atol=1e-12)


def test_a_phase_changes_a_factor():
    """From that step on the run is what a pack with the new factors makes of its state."""
    change = {"at_step": 20, "set": {"training.layers.hidden.lr": 0.0, 'training.layers."output".weight_decay': 3.0}}
    (changed,) = runs(LAYERS, phases=[change], training__ideal=False)
    (plain,) = runs(LAYERS, training__ideal=False)
    later = {**LAYERS, "hidden": {**LAYERS["hidden"], "lr": 0.0}, "output": {"weight_decay": 3.0}}
    first = Pack([plain])
    train_steps(first, 20)
    second = Pack(runs(later, training__ideal=False), states=first.states())
    train_steps(second, STEPS)
    (found,) = train([changed])
    assert torch.equal(found.state["parameters"], second.param_EP[0])
    columns = {name: value for name, value in changed.settings().items() if name.startswith("phases.1.training")}
    assert columns == {
        "phases.1.training.layers.hidden.lr": 0.0, "phases.1.training.layers.output.weight_decay": 3.0,
    }  # fmt: skip


def test_a_phase_may_end_all_factors():
    """Which changes something, though no factor has a new value."""
    (run,) = runs(LAYERS, phases=[{"at_step": 20, "set": {"training.layers": {}}}], training__ideal=False)
    assert run.settings()["phases.1.training.layers"] is None


def test_factors_are_part_of_the_identity_and_their_absence_is_not():
    """Runs of before there were factors keep their ids and packs; names are common to a pack, numbers are not."""
    plain, empty = runs_of(parity())[0], runs_of(parity(training__layers={}))[0]
    one, other, renamed = (
        runs_of(parity(training__layers=layers))[0]
        for layers in ({"hidden": {"lr": 0.5}}, {"hidden": {"lr": 0.1}}, {"output": {"lr": 0.5}})
    )
    assert len({run.run_id for run in (plain, one, other, renamed)}) == 4
    assert plain.run_id == empty.run_id
    assert "layers" not in plain._configuration()
    assert pack_key(one) == pack_key(other)
    assert len({pack_key(run) for run in (plain, one, renamed)}) == 3
    assert "layers" not in pack_key(plain)


def test_the_table_names_layers_and_their_factors():
    """A column of names, and one for each factor; null where there are none."""
    found = {name: value for name, value in runs({"hidden.0": {"lr": 0.5}})[0].settings().items() if "layers" in name}
    assert found == {
        "training.layers": '["hidden.0"]', "training.layers.hidden.0.lr": 0.5,
        "training.layers.hidden.0.weight_decay": 1.0, "training.layers.hidden.0.init_scale": 1.0,
    }  # fmt: skip
    assert {name: value for name, value in runs({})[0].settings().items() if "layers" in name} == {
        "training.layers": None
    }

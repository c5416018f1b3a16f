"""Probes inside a pack: training does not feel them, and a member's values do not depend on its neighbours."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from torch import nn

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study import probe_checks
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.test_train import ADDITION, TRANSFORMER, extended

EVERYWHERE = {
    "class_accuracy": {}, "layer_norms": {}, "logit_scale": {}, "logit_per_norm": {"degree": 2.0},
    "ntk_distance": {"samples": 4}, "sharpness": {"iterations": 3}, "softmax_collapse": {}, "swapped_answers": {},
}  # fmt: skip
OF_SOME_TASKS = ["bits", "excluded_loss", "fourier", "neurons", "population_loss", "restricted_loss"]
SWAPPED = {"training__seeds": 2, "data__swapped_answers": 6, "training__dtype": "float64"}
MAPPED = {"name": "test_mapped"}


@pytest.fixture
def mapped():
    """A model of torch's own layers, which is mapped over members."""

    @register("model", "test_mapped")
    class Mapped(nn.Module):
        """Two of torch's layers."""

        def __init__(self, inputs, classes):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(inputs.size, 8), nn.Tanh(), nn.Linear(8, classes))

        def forward(self, x):
            return self.layers(x)


def values(outcomes):
    """Rows of probes by run and step."""
    return {(row["run_id"], row["step"]): row["values"] for one in outcomes for row in one.probes}


def close(one, other):
    """Whether two tables of values have the same names in the same order, and values but for rounding in float64."""
    assert one.keys() == other.keys()
    for key in one:
        assert list(one[key]) == list(other[key])
        np.testing.assert_allclose([*one[key].values()], [*other[key].values()], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("study", [{}, {"model": TRANSFORMER, "task": ADDITION}, {"model": MAPPED}])
@pytest.mark.usefixtures("mapped")
def test_rows_and_weights_are_the_same_bits_with_probes_and_without(study):
    """Run ids too: a probe is no part of what a run is."""
    plain, probed = (runs_of(parity(**study, **more)) for more in ({}, {"probes": EVERYWHERE}))
    assert [run.run_id for run in plain] == [run.run_id for run in probed]
    for one, other in zip(train(plain), train(probed), strict=True):
        np.testing.assert_equal(one.rows, other.rows)
        assert torch.equal(one.state["parameters"], other.state["parameters"])
        assert not one.probes
        assert [row["step"] for row in other.probes] == [row["step"] for row in other.rows]


@pytest.mark.parametrize("study", [{}, {"model": TRANSFORMER, "task": ADDITION}, {"model": MAPPED}])
@pytest.mark.usefixtures("mapped")
def test_a_members_values_are_those_that_it_has_alone(study):
    """Stacked, mapped and sequential members, in pools of two sizes, in float64."""
    changes = {"training__train_size": [16, 24], "training__max_steps": 3, **SWAPPED, **study, "probes": EVERYWHERE}
    runs = runs_of(parity(**changes))
    packed = values(train(runs))
    close(packed, values([outcome for run in runs for outcome in train([run])]))
    close(packed, values(train(runs, Execution(sequential=True))))


def test_worlds_have_equal_values_until_the_first_reuse():
    """To the bit, where both have one; only the real world has a pool."""
    real, ideal = train(runs_of(parity(probes=EVERYWHERE)))
    for one, other in zip(real.probes[:4], ideal.probes[:4], strict=True):
        for name, value in one["values"].items():
            assert other["values"][name] == value or name in ("sharpness", "softmax_collapse", "swapped_answers")
        assert np.isnan(other["values"]["sharpness"])
        assert np.isfinite(one["values"]["sharpness"])
    assert real.probes[4]["values"]["ntk_distance"] != ideal.probes[4]["values"]["ntk_distance"]


def test_a_probe_may_be_measured_at_every_so_many_evaluations():
    """From the first on, whatever the budget: a longer one goes on with the same steps."""
    probes = {"layer_norms": {"every": 2}, "logit_scale": {}}
    changes = {"probes": probes, "evaluation__schedule": [1, 2, 4, 5], "training__ideal": False}
    (short,) = train(runs_of(parity(**changes)))
    norms = [row["step"] for row in short.probes if "layer_norms.hidden.0.weight" in row["values"]]
    assert norms == [1, 4, 6]  # of 1, 2, 4, 5 and the budget
    assert [row["step"] for row in short.probes if "logit_scale" in row["values"]] == [1, 2, 4, 5, 6]
    changes["evaluation__schedule"] = [1, 2, 4, 5, 7, 8]
    (long,) = train(runs_of(parity(**changes, training__max_steps=9)))
    norms = [row["step"] for row in long.probes if "layer_norms.hidden.0.weight" in row["values"]]
    assert norms == [1, 4, 7, 9]


def test_a_seldom_probe_is_also_measured_at_the_last_evaluation():
    """Of the budget, or where the stop rule ends a pair, which may be at another step for each; of others' no value."""
    changes = {"training__seeds": 4, "evaluation__schedule": [1, 2, 4, 5], "training__dtype": "float64"}
    changes |= {"probes": {"layer_norms": {"every": 3}, "logit_scale": {}}}
    for outcome in train(runs_of(parity(**changes))):
        norms = [row["step"] for row in outcome.probes if "layer_norms.hidden.0.weight" in row["values"]]
        assert norms == [1, 5, 6]
    changes |= {"stop": {"metric": "test_error", "at_most": 0.42, "streak": 1}, "training__max_steps": 40}
    changes["evaluation__schedule"] = 1
    runs = runs_of(parity(**changes))
    outcomes = train(runs)
    ends = {one.last_step for one in outcomes if one.stopped}
    assert len(ends) > 1
    assert any(end % 3 for end in ends)
    for outcome in outcomes:
        norms = [row["step"] for row in outcome.probes if "layer_norms.hidden.0.weight" in row["values"]]
        assert norms == sorted({*range(0, outcome.last_step + 1, 3), outcome.last_step})
    pairs = [[run for run in runs if run.seed == seed] for seed in range(4)]
    close(values(outcomes), values([outcome for seed in range(4) for outcome in train(pairs[seed])]))


def test_training_goes_on_with_the_same_values():
    """From a checkpoint, and from a shorter budget."""
    changes = {"probes": EVERYWHERE | {"layer_norms": {"every": 4}}, **SWAPPED}
    runs = runs_of(parity(**changes))
    snapshots = []
    whole = train(runs, on_steps=lambda steps, snapshot: snapshots.append(snapshot()))
    for snapshot in snapshots:
        close(values(train(runs, resume_from=snapshot)), values(whole))
    longer = runs_of(parity(**changes, training__max_steps=9))
    resumed = train(longer, resume_from=_without_probes(extended(whole, longer)))
    at_once = {key: row for key, row in values(train(longer)).items() if key[1] > 6}
    close(values(resumed), at_once)


def _without_probes(outcomes):
    return [dataclasses.replace(one, probes=[]) for one in outcomes]


def test_the_start_is_that_of_the_run_in_all_its_phases():
    """In a later phase the tangent kernel is still compared with step 0."""
    changes = {"probes": {"ntk_distance": {"samples": 4}}, "training__dtype": "float64"}
    phases = [{"at_step": 3, "set": {"optimizer.lr": 1e-12}}]
    for outcome in train(runs_of(parity(**changes, phases=phases))):
        distance = {row["step"]: row["values"]["ntk_distance"] for row in outcome.probes}
        assert distance[0] < 1e-12
        assert distance[3] > 1e-6
        assert distance[6] == pytest.approx(distance[3], rel=1e-6)


def test_a_member_that_has_ended_is_not_measured_further():
    """One diverges and leaves the pack; the others' values are what they are without it."""
    raw = parity(probes={"layer_norms": {}}, evaluation__schedule=1, optimizer={"name": "sgd"})
    raw["sweep"] = {"optimizer.lr": [0.1, 1e30]}
    runs = runs_of(raw)
    outcomes = train(runs)
    assert {one.status for one in outcomes} == {"finished", "diverged"}
    for one in outcomes:
        assert [row["step"] for row in one.probes] == [row["step"] for row in one.rows]
        close(values([one]), values(train([one.run]))) if one.status == "finished" else None


def test_a_probe_cannot_change_what_is_trained():
    """It works on copies."""

    def spoiler(measured):
        measured.param_EP.zero_()
        for buffer in measured.buffers.values():
            buffer.zero_()
        return measured.nan()

    register("probe", "test_spoiler")(spoiler)
    plain, spoilt = (runs_of(parity(probes=probes)) for probes in ({}, {"test_spoiler": {}}))
    for one, other in zip(train(plain), train(spoilt), strict=True):
        assert torch.equal(one.state["parameters"], other.state["parameters"])


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda m: m.param_EP, r"probe 'test_bad': expected a tensor of shape (1,), one number for each member, as "
         "'test_bad', got shape (1, 178). Return such a tensor, or several by name."),
        (lambda m: {"part": 3.0}, "probe 'test_bad': expected a tensor of shape (1,), one number for each member, as "
         "'test_bad.part', got float. Return such a tensor, or several by name."),
        (lambda m: {}, "probe 'test_bad' returned no value. Return NaN where there is nothing to measure."),
        (lambda m: 1 / 0, "ZeroDivisionError: division by zero. Mend the probe."),
    ],
)  # fmt: skip
def test_a_users_probe_that_returns_something_else_is_refused_before_training(returned, message):
    """It is tried on two samples of an untrained member."""
    register("probe", "test_bad")(returned)
    with pytest.raises(StudyError) as caught:
        runs_of(parity(probes={"test_bad": {}}))
    assert caught.value.problems == [f"`probes.test_bad`: {message}"]


def test_probes_of_a_large_model_are_tried_when_they_are_measured(monkeypatch):
    """Planning would take too long; what is wrong with them then ends their pack."""
    monkeypatch.setattr(probe_checks, "LARGEST_TRIAL", 100)
    register("probe", "test_bad")(lambda measured: {})
    runs = runs_of(parity(probes={"test_bad": {}}))
    with pytest.raises(ValueError, match=r"^probe 'test_bad' returned no value\. Return NaN where there is nothing "):
        train(runs)


def test_a_probe_has_the_same_names_for_all_members():
    """One that leaves a name out in the ideal world is refused when that is seen."""
    register("probe", "test_some")(lambda m: {"a": m.nan(), **({"b": m.nan()} if m.pool is not None else {})})
    message = (
        "probe 'test_some': expected the same names for all members, but some lack 'test_some.b'. Return NaN where "
    )
    with pytest.raises(ValueError, match=re.escape(message + "there is nothing to measure.")):
        train(runs_of(parity(probes={"test_some": {}})))


@pytest.mark.parametrize(
    ("probes", "problem"),
    [
        ({"layer_norm": {}}, "`probes.layer_norm`: unknown probe 'layer_norm'. Did you mean 'layer_norms'? Known: "
         f"{', '.join(sorted([*OF_SOME_TASKS, *EVERYWHERE]))}."),
        ({"ntk_distance": {"sampels": 3}}, "`probes.ntk_distance.sampels`: unknown key. Did you mean 'samples'? "
         "Known: samples."),
        ({"ntk_distance": {"samples": 0}}, "`probes.ntk_distance.samples`: expected a number above 0, got 0. "
         "Change it."),
        ({"layer_norms": {"every": 0}}, "`probes.layer_norms.every`: expected a number above 0, got 0. Change it."),
        ({"layer_norms": 3}, "`probes.layer_norms`: expected a table, got 3. Change its type or value."),
        ({"fourier": {}}, "`probes.fourier`: expected a task of tokens with a modulus, such as binary_operations, got "
         "SparseParity. Remove the probe."),
    ],
)  # fmt: skip
def test_what_is_wrong_with_probes_is_said_before_training(probes, problem):
    """A name, a setting, a value, or a task that it does not fit."""
    with pytest.raises(StudyError) as caught:
        runs_of(parity(probes=probes))
    assert caught.value.problems == [problem]


def test_members_of_one_pack_share_the_starting_weights_that_they_had():
    """What a probe is given as the start is what the pack began with, scales of each member included."""
    raw = parity(probes={"test_start": {}}, training__seeds=2)
    raw["sweep"] = {"model.init_scale": [1.0, 3.0]}
    starts = []
    register("probe", "test_start")(lambda m: starts.append(m.initial()[0]) or m.nan())
    runs = sorted(runs_of(raw), key=lambda run: run.rule == "ideal")
    starts.clear()
    train(runs)
    assert torch.equal(torch.cat(starts[:2]), Pack(runs).param_EP)
    assert registry.find("probe", "test_start").summary == ""

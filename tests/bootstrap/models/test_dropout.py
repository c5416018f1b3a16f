"""Dropout by draw: masks that are pure functions of stream, layer, pass and place in the batch."""

import functools
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats
from torch import nn
from torch.nn import functional

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.layers import Dropout
from deepboot.bootstrap.models.prefixes import SAMPLES_PER_TOKEN
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import KeptWeights
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
MLP = {"name": "mlp", "width": 15, "depth": 2, "dropout": 0.3}
TRANSFORMER = {"name": "transformer", "layers": 2, "width": 16, "heads": 2, "dropout": 0.3}
MODELS = [MLP, TRANSFORMER]


def layer(probability=0.3, members=2):
    """A dropout of its own, with a key for each member."""
    dropout = Dropout(probability)
    dropout.key, dropout.passes = streams.keys(range(members), "noise"), torch.zeros(members, dtype=torch.int64)
    return dropout


def study(model=MLP, **changes):
    return parity(
        **{"model": model, "task": ADDITION, "training__train_size": 24, "training__batch_size": 8, **changes}
    )


def plain_mask(key, name, number, rows, width, probability):
    """The factors of one member at a pass, (rows, width), written out word by word."""
    (low, high) = (torch.tensor(word, dtype=torch.int32) for word in streams.key(0, name))
    of_layer = streams.threefry(*key, low, high)
    zero = torch.zeros((), dtype=torch.int32)
    of_pass = streams.threefry(*of_layer, zero + number, zero)
    factors = torch.zeros(rows, width)
    for row in range(rows):
        for place in range(width):
            words = streams.threefry(*of_pass, zero + row, zero + place // 4)
            half = words[place % 4 // 2].item() >> 16 * (place % 2) & 0xFFFF
            unsigned = (half + 2**15) % 2**16
            factors[row, place] = (unsigned >= round(probability * 2**16)) / (1 - probability)
    return factors


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_numbers_are_dropped_at_their_rate_and_the_others_scaled(probability):
    """By a binomial test, in every column too; what is left is divided by its probability."""
    out = layer(probability, members=1)(torch.ones(1, 20_000, 16))
    kept = out != 0
    assert stats.binomtest(int(kept.sum()), kept.numel(), 1 - probability).pvalue > 1e-3
    assert all(stats.binomtest(int(n), 20_000, 1 - probability).pvalue > 1e-4 for n in kept.sum((0, 1)))
    assert torch.allclose(out[kept], torch.tensor(1 / (1 - probability)), rtol=2e-4)


def test_neighbours_are_dropped_independently():
    """Pairs of columns that share a random word, pairs that do not, rows and passes: each is both kept as by chance."""
    dropout = layer(0.5, members=1)
    first, second = (dropout(torch.ones(1, 20_000, 8))[0] != 0 for _ in range(2))
    pairs = [(first[:, 0], first[:, 1]), (first[:, 1], first[:, 2]), (first[:-1], first[1:]), (first, second)]
    for one, other in pairs:
        assert stats.binomtest(int((one & other).sum()), one.numel(), 0.25).pvalue > 1e-3


def test_a_mask_depends_on_member_layer_pass_and_place_alone():
    """Not on the numbers, the batch's size or the global generators; a second pass and another member have others."""
    one, other = layer(), layer()
    x = torch.ones(2, 6, 9)
    first = one(x)
    torch.manual_seed(3)
    assert torch.equal(other(2 * x[:, :4]) / 2, first[:, :4])
    assert not torch.equal(one(x), first)
    assert not torch.equal(first[0], first[1])
    assert one.passes.tolist() == [2, 2]


def test_a_gradient_flows_through_what_is_kept_alone():
    """It is the mask itself, 0 where a number was dropped."""
    x = torch.randn(2, 5, 8, requires_grad=True)
    out = layer()(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.allclose(gradient, out / x)
    assert 0 < (gradient == 0).sum() < gradient.numel()


def test_an_evaluation_drops_nothing_and_counts_nothing():
    """Logits of evaluation are those of the network without dropout, and no pass is counted."""
    for model in MODELS:
        packs = [Pack(runs_of(study({**model, "dropout": rate}))) for rate in (0.3, 0.0)]
        x = packs[0].source.test().x
        assert torch.equal(*(pack.logits(slice(0, 2), x) for pack in packs))
        counted = [tensor for name, tensor in packs[0].members.buffers.items() if name.endswith("passes")]
        assert len(counted) == (2 if model is MLP else 4)
        assert all(tensor.tolist() == [0, 0] for tensor in counted)


def test_training_is_a_plain_loop_with_the_same_masks():
    """An MLP of two hidden layers, step by step, in float64, with factors that are drawn one by one."""
    (run,) = runs_of(parity(model=MLP, training__ideal=False, training__dtype="float64", optimizer={"name": "sgd"}))
    pack = Pack([run])
    weights = {name: tensor[0].clone() for name, tensor in pack.member_step.stack.named(pack.param_EP).items()}
    leaves = {name: tensor.requires_grad_() for name, tensor in weights.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=0.1)
    key = torch.tensor(streams.key(run.stream_seed("noise"), "noise"), dtype=torch.int32).unbind()
    for number, batch in enumerate(pack.batches(run.max_steps)):
        h = batch.x[0].double()
        for index in range(2):
            h = functional.linear(h, leaves[f"hidden.{index}.weight"], leaves[f"hidden.{index}.bias"][0]).relu()
            h = h * plain_mask(key, f"dropouts.{index}.key", number, len(h), 15, 0.3)
        loss = functional.cross_entropy(
            functional.linear(h, leaves["output.weight"], leaves["output.bias"][0]), batch.labels[0]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        pack.update(batch)
    for name, tensor in pack.member_step.stack.named(pack.param_EP).items():
        torch.testing.assert_close(tensor[0], leaves[name].detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dropped", "factors"), [("both", 2), ("feed_forward", 1)])
def test_a_transformer_drops_from_both_branches_or_from_the_second(dropped, factors):
    """Where each branch adds 1 to every number of the stream, it adds its factors in training."""
    (run,) = runs_of(study({**TRANSFORMER, "layers": 1, "norm": "none", "dropped": dropped}, training__ideal=False))
    pack = Pack([run])
    weights = pack.member_step.stack.named(pack.param_EP)
    for name in ("mix", "down"):
        weights[f"blocks.0.{name}.weight"].zero_()
        weights[f"blocks.0.{name}.bias"].fill_(1)
    x = pack.source.test().x[:, :3]
    key = torch.tensor(streams.key(run.stream_seed("noise"), "noise"), dtype=torch.int32).unbind()
    masks = [plain_mask(key, f"blocks.0.dropouts.{index}.key", 0, 3, 16, 0.3) for index in (0, 1)]
    added = masks[0] + masks[1] if factors == 2 else 1 + masks[1]
    last = weights["embedding.weight"][0, x[0, :, -1]] + weights["position"][0, -1]
    expected = (last + added) @ weights["output.weight"][0].T
    logits = pack.member_step.stack.logits(pack.param_EP, pack.members.buffers, x)
    torch.testing.assert_close(logits[0], expected, rtol=1e-3, atol=1e-4)
    assert len(pack.members.buffers) == 2 * factors


def test_samples_that_would_share_rows_have_masks_of_their_own():
    """In a batch with many samples a token equal samples are computed apart in training, and together in evaluation."""
    pack = Pack(runs_of(study(TRANSFORMER)))
    x = pack.source.test().x[:, :1].expand(-1, 9 * SAMPLES_PER_TOKEN, -1)
    logits = pack.member_step.stack.logits(pack.param_EP, pack.members.buffers, x)
    assert len(torch.unique(logits[0], dim=0)) == x.shape[1]
    evaluated = pack.logits(slice(0, 2), x)
    assert torch.allclose(evaluated, evaluated[:, :1].expand_as(evaluated), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_worlds_are_equal_until_the_first_reuse_and_their_masks_after_it(model):
    """Weights agree to the last bit until a sample is used again; keys and passes go on being equal."""
    runs = runs_of(study(model))
    for steps, equal in [(1, True), (3, True), (6, False)]:
        pack = Pack(runs)
        train_steps(pack, steps)
        assert torch.equal(*pack.param_EP) == equal
        assert all(torch.equal(*buffer) for buffer in pack.members.buffers.values())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("at", [1, 5])
def test_training_goes_on_from_any_step_to_the_last_bit(model, at):
    """Cut at a step, a run draws the masks that it would have drawn."""
    runs = runs_of(study(model, training__max_steps=8))
    taken = []

    def on_steps(steps, snapshot):
        taken.append(snapshot())

    whole = train(runs, on_steps=on_steps)
    for one, other in zip(whole, train(runs, resume_from=taken[at - 1]), strict=True):
        assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)
        np.testing.assert_equal(one.rows, other.rows)


@pytest.mark.parametrize("execution", [Execution(), Execution(sequential=True)])
def test_a_member_has_the_same_masks_alone_and_beside_others(execution):
    """Weights of an MLP to the last bit, whoever shares the pack and however it is stepped."""
    runs = runs_of(study(training__seeds=3))
    for outcome in train(runs, execution):
        (alone,) = train([outcome.run])
        assert all(torch.equal(alone.state[name], outcome.state[name]) for name in alone.state)


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
@pytest.mark.parametrize("model", [MLP, pytest.param(TRANSFORMER, marks=pytest.mark.slow)])
def test_the_graph_that_is_compiled_has_the_masks_of_the_eager_steps(model, monkeypatch):
    """Traced as one function of the flat parameters, in float64, the step is the same to rounding."""
    runs = runs_of(study(model, training__dtype="float64"))
    eager = train(runs)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    for one, other in zip(eager, train(runs, Execution(backend="compiled")), strict=True):
        torch.testing.assert_close(one.state["parameters"], other.state["parameters"], rtol=1e-3, atol=1e-4)


def test_a_network_of_torchs_own_layers_can_use_it():
    """A plugin's module is mapped over the members, each with masks of its own."""

    @register("model", "test_dropped")
    class Dropped(nn.Module):
        def __init__(self, inputs, classes):
            super().__init__()
            self.first, self.last, self.dropout = nn.Linear(8, 9), nn.Linear(9, classes), Dropout(0.5)

        def forward(self, x):
            return self.last(self.dropout(self.first(x).relu()))

    runs = runs_of(parity(model={"name": "test_dropped"}, training__seeds=2))
    pack = Pack(runs)
    train_steps(pack, 2)
    assert pack.members.buffers["dropout.passes"].tolist() == [2, 2, 2, 2]
    for run, param_P in zip(runs, pack.param_EP, strict=True):
        alone = Pack([run])
        train_steps(alone, 2)
        torch.testing.assert_close(alone.param_EP[0], param_P)


def test_keys_and_counters_are_no_weights(tmp_path):
    """Kept weights have the names of the network without dropout, from which a run with its own keys may start."""
    plain, dropped = (Pack(runs_of(study({**MLP, "dropout": rate}, training__ideal=False))) for rate in (0.0, 0.3))
    train_steps(plain, 3)
    assert dropped.weights(0).keys() == plain.weights(0).keys()
    path = tmp_path / "kept.safetensors"
    save_file(plain.weights(0), path)
    kept = KeptWeights(path=str(path), cell_id="", run_id="", step=3, named_step=None, layers=[])
    begun = Pack([dropped.runs[0].model_copy(update={"start": kept})])
    assert torch.equal(begun.param_EP, plain.param_EP)
    assert all(torch.equal(begun.members.buffers[name], own) for name, own in dropped.members.buffers.items())


def test_no_dropout_leaves_a_run_as_it_was():
    """The setting came later: at 0 it is no part of the identity, and there is no layer for it."""
    for model in MODELS:
        none, some = ({**model, "dropout": rate} for rate in (0.0, 0.3))
        bare = {name: value for name, value in model.items() if name != "dropout"}
        ids = [[run.run_id for run in runs_of(study(each))] for each in (bare, none, some)]
        assert ids[0] == ids[1] != ids[2]
        assert not Pack(runs_of(study(bare))).members.buffers


def test_a_dropout_of_everything_is_refused():
    """The message names the limit."""
    with pytest.raises(
        StudyError, match=f"^{re.escape('`model.dropout`: expected a number below 1, got 1. Change it.')}$"
    ):
        runs_of(study({**MLP, "dropout": 1.0}))

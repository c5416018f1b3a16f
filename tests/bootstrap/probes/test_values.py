"""Norms, logits, spectra, bits and memorised labels of networks whose answer is known."""

import math
import re

import numpy as np
import pytest
import torch

from deepboot.bootstrap.probes.bits import bits
from deepboot.bootstrap.probes.fourier import fourier
from deepboot.bootstrap.probes.logits import logit_per_norm, logit_scale, softmax_collapse
from deepboot.bootstrap.probes.memorized import swapped_answers
from deepboot.bootstrap.probes.norms import layer_norms
from deepboot.reports.representation.layers import token_layers
from deepboot.reports.representation.spectra import fourier_shares, key_frequencies
from tests.bootstrap.probes.spy import ADDITION, given, noise

ONE_LAYER = {"name": "transformer", "layers": 1, "width": 16, "heads": 2}


def test_norms_are_those_of_each_parameter():
    """As torch has them, for every member; their squares add up to that of all parameters."""
    for measured in given(noise(), training__seeds=2):
        norms = layer_norms(measured)
        assert list(norms) == ["hidden.0.weight", "hidden.0.bias", "output.weight", "output.bias"]
        for name, parameter in measured.named.items():
            expected = torch.stack([torch.linalg.vector_norm(one) for one in parameter])
            torch.testing.assert_close(norms[name], expected)
        total = torch.linalg.vector_norm(measured.param_EP, dim=1)
        torch.testing.assert_close(sum(value.square() for value in norms.values()), total.square())


def test_the_logit_scale_is_the_centred_logit_of_the_right_class():
    """A network that answers (3, 1) whatever it reads has 1 where the label is 0, and -1 where it is 1."""
    constant = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    (measured, _) = given(lambda name, parameter: constant if name == "output.bias" else torch.zeros_like(parameter))
    ones = measured.test.y.double().mean(1)
    assert 0 < ones < 1
    torch.testing.assert_close(logit_scale(measured), 1 - 2 * ones)


def test_the_logit_scale_of_the_pool_counts_its_own_samples():
    """Of pools of two sizes in one pack, with the labels that they train on; the ideal world has none."""
    constant = torch.tensor([[3.0, 1.0]], dtype=torch.float64)
    parts = given(
        lambda name, parameter: constant if name == "output.bias" else torch.zeros_like(parameter),
        training__train_size=[20, 33], training__batch_size=20, data__label_noise=0.3,
    )  # fmt: skip
    assert len(parts) == 2
    for measured in parts:
        found = logit_scale(measured, of="train")
        if measured.pool is None:
            assert found.isnan().all()
            continue
        for member, own in enumerate(measured.pool.own_EK):
            ones = measured.pool.y[member][own].double().mean()
            torch.testing.assert_close(found[member], 1 - 2 * ones)
        torch.testing.assert_close(
            logit_per_norm(measured, of="train"), found / torch.linalg.vector_norm(measured.param_EP, dim=1)
        )


@pytest.mark.parametrize(("degree", "growth"), [(1.0, 3.0), (2.0, 1.0)])
def test_the_logit_by_the_norm_grows_as_the_degree_says(degree, growth):
    """Two layers without biases are of degree 2: three times the parameters are nine times the logits."""
    model = {"name": "mlp", "width": 16, "bias": False}
    (one, _), (three, _) = (
        given(lambda name, p, times=times: times * noise(3)(name, p), model=model) for times in (1.0, 3.0)
    )
    torch.testing.assert_close(logit_scale(three), 9 * logit_scale(one))
    expected = growth * logit_per_norm(one, degree=degree)
    torch.testing.assert_close(logit_per_norm(three, degree=degree), expected)
    by_hand = logit_scale(one) / torch.linalg.vector_norm(one.param_EP, dim=1) ** degree
    torch.testing.assert_close(logit_per_norm(one, degree=degree), by_hand)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("of_loss", ["float16", "float32", "float64"])
def test_a_label_has_collapsed_where_its_logit_has_no_gradient(dtype, of_loss):
    """Where softmax is 1 in the loss's number type, by margins from none to far beyond the last collapse."""
    parts = given(
        noise(1), training__dtype=dtype, loss={"name": "cross_entropy", "dtype": of_loss},
        training__train_size=[20, 33], training__batch_size=20, optimizer={"name": "sgd"},
    )  # fmt: skip
    for measured in parts:
        if measured.pool is None:
            assert softmax_collapse(measured).isnan().all()
            continue
        y = measured.pool.y
        margin_EB = torch.linspace(0, 150, y.shape[1]).expand(y.shape) * torch.tensor([[1.0], [0.5]])[: len(y)]
        logits_EBV = margin_EB[..., None] * torch.nn.functional.one_hot(y, 2) - 1
        logits_EBV = logits_EBV.to(getattr(torch, dtype))
        fitted = type(measured)(**{**vars(measured), "forward": lambda *_, z=logits_EBV: z, "test_block": 1_000})
        computed_EBV = logits_EBV.to(measured.loss(logits_EBV, y).dtype)
        gone_EB = computed_EBV.log_softmax(2).gather(2, y[..., None])[..., 0].exp() == 1
        for member, own in enumerate(measured.pool.own_EK):
            expected = gone_EB[member][own].double().mean()
            assert 0 < expected < 1
            assert softmax_collapse(fitted)[member] == expected


def test_softmax_collapses_where_the_others_no_longer_add_to_one():
    """At margins of 16.6 in float32 and 36.7 in float64, half a unit in the last place below 1 for one other class."""
    for dtype, digits in (("float32", 24), ("float64", 53)):
        (measured, _) = given(training__dtype=dtype, loss={"name": "cross_entropy", "dtype": dtype})
        y = measured.pool.y
        for margin, collapsed in ((digits * math.log(2) - 0.8, 0.0), (digits * math.log(2) + 0.1, 1.0)):
            logits_EBV = margin * torch.nn.functional.one_hot(y, 2).to(getattr(torch, dtype))
            fitted = type(measured)(**{**vars(measured), "forward": lambda *_, z=logits_EBV: z, "test_block": 1_000})
            assert softmax_collapse(fitted).item() == collapsed


def test_another_loss_collapses_where_it_has_no_slope():
    """StableMax only where the other classes vanish beside the label's logit; the hinge loss beyond its margin."""
    margins = torch.tensor([0.5, 2.0, 60.0, 2.0**60], dtype=torch.float64)
    for loss, expected in (
        ({"name": "cross_entropy", "dtype": "float64"}, [0, 0, 1, 1]),
        ({"name": "stablemax", "dtype": "float64"}, [0, 0, 0, 1]),  # the other class has a share of 1 / (2 + margin)
        ({"name": "hinge"}, [0, 1, 1, 1]),
    ):
        (measured, _) = given(training__dtype="float64", loss=loss)
        y = measured.pool.y
        for margin, collapsed in zip(margins, expected, strict=True):
            logits_EBV = margin * torch.nn.functional.one_hot(y, 2)
            fitted = type(measured)(**{**vars(measured), "forward": lambda *_, z=logits_EBV: z, "test_block": 1_000})
            with torch.no_grad():
                assert softmax_collapse(fitted).item() == collapsed


def waves(name, parameter):
    """Two frequencies, 3 and 1, of 7 numbers in the table; the first has nine times the power of the second."""
    if name != "embeddings.0.weight":
        return torch.zeros_like(parameter)
    number = torch.arange(parameter.shape[1], dtype=torch.float64)[:, None]
    angle = 2 * math.pi * number * torch.tensor([3.0, 1.0], dtype=torch.float64) / 7
    table = torch.zeros(parameter.shape[1:], dtype=torch.float64)
    table[:, :2], table[:, 2:4] = angle.cos() * torch.tensor([3, 1]), angle.sin() * torch.tensor([3, 1])
    return table


def test_planted_frequencies_are_found():
    """Nine tenths of the power are in one frequency, and the two tokens that are no numbers do not count."""
    model = {"name": "mlp", "width": 16, "embedding": 8}
    for measured in given(waves, task=ADDITION, model=model):
        values = fourier(measured)
        assert list(values) == ["embedding.largest_share", "embedding.frequencies"]
        torch.testing.assert_close(values["embedding.largest_share"], torch.tensor([0.9], dtype=torch.float64))
        assert values["embedding.frequencies"].item() in (1, 2)  # the share is 0.9 but for rounding


@pytest.mark.parametrize("operation", ["x+y", "x*y"])
@pytest.mark.parametrize(
    ("model", "layers"),
    [
        ({"name": "mlp", "width": 16, "embedding": 8}, ["embedding", "input 1", "input 2", "output"]),
        ({"name": "mlp", "width": 16, "embedding": 8, "operands": "sum"}, ["embedding", "input", "output"]),
        ({"name": "mlp", "width": 16, "embedding": 0}, ["input 1", "input 2", "output"]),
        ({"name": "mlp", "width": 16, "embedding": 8, "shared_embedding": False},
         ["embedding 1", "embedding 2", "input 1", "input 2", "output"]),
        ({"name": "mlp", "width": 16, "embedding": 8, "projection": 4}, ["embedding", "input 1", "input 2", "output"]),
        ({"name": "mlp", "width": 16, "embedding": 8, "operands": "sum", "projection": 8, "tied": True},
         ["embedding", "input", "output"]),
        (ONE_LAYER, ["embedding", "output"]),
    ],
)  # fmt: skip
def test_spectra_agree_with_those_of_kept_weights(model, layers, operation):
    """Of random weights, in every layer, in the order of numbers that the operation adds in."""
    order = [1, 3, 2, 6, 4, 5] if operation == "x*y" else list(range(7))
    for measured in given(noise(1), task=ADDITION | {"operation": operation}, model=model, training__seeds=2):
        kinds = list(dict.fromkeys(layer.split()[0] for layer in layers))
        values = fourier(measured, parameter=kinds)
        assert list(values) == [f"{layer}.{part}" for layer in layers for part in ("largest_share", "frequencies")]
        for member in range(2):
            weights = {name: parameter[member].numpy() for name, parameter in measured.named.items()}
            for layer, values_PD in token_layers(weights, np.array(order), 9).items():
                if layer not in layers:
                    continue
                shares = fourier_shares(values_PD)
                assert values[f"{layer}.largest_share"][member].item() == pytest.approx(shares.max(), rel=1e-12)
                assert values[f"{layer}.frequencies"][member] == len(key_frequencies(shares))


def test_a_layer_without_variance_has_no_spectrum():
    """NaN, not a frequency picked by chance."""
    (measured, _) = given(lambda _, parameter: torch.ones_like(parameter), task=ADDITION)
    assert all(value.isnan().all() for value in fourier(measured, parameter=["output"]).values())


def test_bits_have_the_norms_of_their_weights():
    """Relevant bits with columns of norm 2, six others of norm 1: root mean squares, and 6 of 14 squares."""

    def columns(name, parameter):
        weight = torch.zeros_like(parameter)
        if name == "hidden.0.weight":
            weight[:, 0, :2], weight[:, 1, 2:] = 2.0, -1.0
        return weight

    for measured in given(columns):
        values = bits(measured)
        assert {name: value.item() for name, value in values.items()} == pytest.approx(
            {"relevant": 2.0, "distractors": 1.0, "distractor_share": 6 / 14}
        )


def test_without_distractors_they_have_no_share():
    """All bits are relevant."""
    (measured, _) = given(task__num_relevant=8)
    assert bits(measured)["distractor_share"].isnan().all()


def test_memorised_labels_are_counted_among_the_exchanged_ones():
    """A network that always says 1 gives the exchanged labels that are 1; the ideal world has no pool."""
    says_1 = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    real, ideal = given(
        lambda name, parameter: says_1 if name == "output.bias" else torch.zeros_like(parameter),
        data__swapped_answers=12, training__seeds=2,
    )  # fmt: skip
    for member in range(2):
        changed = real.pool.y[member] != real.pool.clean[member]
        assert 0 < changed.sum() < 12
        expected = real.pool.y[member][changed].double().mean()
        torch.testing.assert_close(swapped_answers(real)[member], expected)
        assert expected == 0.5  # labels are exchanged among themselves
    assert swapped_answers(ideal).isnan().all()


def test_a_network_that_has_learned_its_pool_has_memorised_all_and_one_that_knows_the_truth_none():
    """By hand: logits that read the label, or the parity, off a copy of the pool."""
    (real, _) = given(data__swapped_answers=12)
    for label, share in ((real.pool.y, 1.0), (real.pool.clean, 0.0)):
        logits = torch.nn.functional.one_hot(label, 2).double()
        knows = type(real)(**{**vars(real), "forward": lambda *_, answer=logits: answer, "test_block": 1_000})
        assert swapped_answers(knows).item() == share


def test_without_exchanged_labels_there_is_nothing_to_memorise():
    """NaN; label noise exchanges none."""
    (real, _) = given(data__label_noise=0.5)
    assert (real.pool.y != real.pool.clean).any()
    assert swapped_answers(real).isnan().all()


def test_pools_of_one_pack_are_each_members_own():
    """Samples beyond a smaller pool are not counted as memorised."""
    real, _ = given(training__train_size=[8, 24], data__swapped_answers=8)
    assert real.pool.own_EK.sum(1).tolist() == [8, 24]
    labels = torch.nn.functional.one_hot(torch.where(real.pool.own_EK, real.pool.y, real.pool.clean), 2).double()
    knows = type(real)(**{**vars(real), "forward": lambda *_: labels, "test_block": 1_000})
    assert swapped_answers(knows).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("probe", "changes", "message"),
    [
        (fourier, {}, "expected a task of tokens with a modulus, such as binary_operations, got SparseParity. "
         "Remove the probe."),
        (lambda measured: fourier(measured, parameter="input"), {"task": ADDITION, "model": ONE_LAYER},
         "this model has no layer 'input', only position, embedding.weight, "),
        (bits, {"task": ADDITION}, "expected a task with num_relevant, such as sparse_parity, and a model with "
         "hidden.0.weight, such as mlp, got BinaryOperations and "),
        (logit_scale, {"task": {"name": "gaussian"}, "loss": {"name": "mse"}},
         "labels of this task are numbers, so no class has a logit. Remove the probe."),
        (softmax_collapse, {"task": {"name": "gaussian"}, "loss": {"name": "mse"}},
         "labels of this task are numbers, so no class has a logit. Remove the probe."),
        (swapped_answers, {"task": {"name": "gaussian"}, "loss": {"name": "mse"}},
         "labels of this task are numbers, which no network gives exactly. Remove the probe."),
    ],
)  # fmt: skip
def test_a_probe_that_does_not_fit_says_so(probe, changes, message):
    """With what it needs, what it got and the cure."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        probe(given(**changes)[0])

"""Evenness of hidden units: known of the constructed network, and the same as that of kept weights."""

import math
import re

import numpy as np
import pytest
import torch

from deepboot.bootstrap.probes.neurons import neurons
from deepboot.reports.representation.layers import token_layers
from deepboot.reports.representation.neurons import largest_gap, phases
from tests.bootstrap.probes.spy import ADDITION, given, noise

UNITS = {"name": "mlp", "width": 5, "operands": "sum", "bias": False, "embedding": 2}
CONSTRUCTED = {"construction": {"name": "modular_circle", "frequency": 2}}


def of(measured):
    return {name: value[0].item() for name, value in neurons(measured).items()}


def test_the_constructed_network_is_even():
    """Five units of equal norm at even angles; their outputs, at doubled angles, are even, too."""
    (measured, _) = given(task=ADDITION, model={**UNITS, "activation": "quadratic"}, start=CONSTRUCTED)
    assert of(measured) == pytest.approx({"input_spread": 0, "output_spread": 0, "input_gap": 1, "output_gap": 1})


def test_a_tied_output_is_seen_through_its_embedding():
    """Units at angles 0, 1, 2, 3 and 4 twelfths of a turn, one of them twice as long, and outputs at doubled angles."""
    angle = 2 * math.pi * torch.arange(5, dtype=torch.float64) / 12
    length = torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64)
    planted = {
        "hidden.0.weight": length[:, None] * torch.stack((angle.cos(), angle.sin()), 1),
        "projection.weight": torch.stack(((2 * angle).cos(), (2 * angle).sin())),
    }
    (measured, _) = given(
        planted.get, task=ADDITION,
        model=UNITS | {"projection": 2, "tied": True}, start={"construction": {"name": "circular_embedding"}},
    )  # fmt: skip
    expected = {"input_spread": 0.4 / 1.2, "output_spread": 0, "input_gap": 5 * 8 / 12, "output_gap": 5 * 4 / 12}
    assert of(measured) == pytest.approx(expected)


@pytest.mark.parametrize("model", [{"embedding": 8}, {"embedding": 0}, {"embedding": 8, "operands": "concat"}])
def test_units_of_random_weights_are_those_of_kept_weights(model):
    """Norms and phases as `reports.representation` has them, at the frequency of most power, for every member."""
    (measured, _) = given(noise(2), task=ADDITION, model=UNITS | model, training__seeds=2)
    values = neurons(measured)
    for member in range(2):
        weights = {name: parameter[member].numpy() for name, parameter in measured.named.items()}
        layers = token_layers(weights, np.arange(7), 9)
        inputs = layers.get("input", layers.get("input 1"))
        frequency = int((abs(np.fft.rfft(inputs, axis=0)[1:]) ** 2).sum(1).argmax()) + 1
        norms = np.linalg.norm(weights["hidden.0.weight"], axis=1)
        assert values["input_spread"][member].item() == pytest.approx(norms.std() / norms.mean())
        for name, layer in (("input_gap", inputs), ("output_gap", layers["output"])):
            assert values[name][member].item() == pytest.approx(largest_gap(phases(layer, frequency)))


@pytest.mark.parametrize(
    ("changes", "got"), [({}, "SparseParity"), ({"task": ADDITION, "model": UNITS | {"depth": 2}}, "BinaryOperations")]
)
def test_other_tasks_and_models_are_refused(changes, got):
    """With what is needed, what came, and the cure."""
    sentence = (
        "expected a task of tokens with a modulus, such as binary_operations, and an mlp with one hidden layer, got "
        f"{got} and "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}.*Remove the probe.$"):
        neurons(given(**changes)[0])

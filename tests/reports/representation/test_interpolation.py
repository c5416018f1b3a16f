import re

import numpy as np
import pytest

from deepboot.reports.representation.interpolation import barrier, interpolated, interpolation_table
from tests.reports.representation.networks import accuracy, five_neurons


def test_the_ends_are_the_two_checkpoints():
    """To the last bit and in their dtype; between them lies the weighted mean."""
    random = np.random.default_rng(0)
    first, second = ({"w": random.normal(size=(3, 2)).astype("float32")} for _ in range(2))
    (_, start), (_, middle), (_, end) = interpolated(first, second, np.array([0.0, 0.25, 1.0]))
    assert (start["w"] == first["w"]).all()
    assert (end["w"] == second["w"]).all()
    assert middle["w"] == pytest.approx(0.75 * first["w"] + 0.25 * second["w"])
    assert middle["w"].dtype == np.float32


def test_a_network_and_its_mirror_image_have_a_barrier():
    """Turned by a half turn the units answer as before; halfway to it every weight of theirs is 0."""
    network = five_neurons()
    turned = network | {"hidden.0.weight": -network["hidden.0.weight"]}
    table = interpolation_table(network, turned, lambda weights: {"error": 1 - accuracy(weights, 23)}, [0, 0.5, 1])
    assert table["error"].tolist() == pytest.approx([0, 22 / 23, 0])
    assert barrier(table["share"], table["error"]) == pytest.approx(22 / 23)


def test_a_straight_and_a_sagging_loss_have_no_barrier():
    """The rise is above the line between both ends, not above 0."""
    assert barrier([0, 0.5, 1], [3, 2, 1]) == 0
    assert barrier([0, 0.5, 1], [3, 1, 1]) == 0
    assert barrier([0, 0.5, 1], [3, 2.5, 1]) == 0.5


def test_checkpoints_of_two_models_are_refused():
    """By the first parameter that differs; and shares that do not go from end to end."""
    sentence = "expected two checkpoints of one model, but 'b' has the shapes (2,) and None. Choose runs of one model."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        next(interpolated({"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.zeros(2)}))
    sentence = "shares must ascend from 0 to 1, got 0 … 0.5. Sort the table by share."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        barrier([0, 0.5], [1, 1])

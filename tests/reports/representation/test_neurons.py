import numpy as np
import pytest

from deepboot.reports.representation.neurons import evenness_table, largest_gap, neuron_table, phases, resultant
from tests.reports.representation.networks import accuracy, five_neurons, noise, ring, tied_neurons, write_folder


@pytest.mark.parametrize("n", [3, 5, 8])
def test_even_angles_and_their_harmonics(n):
    """Turned by anything, their largest gap is 1, and they cancel at every harmonic but n."""
    angles = 0.7 + 2 * np.pi * np.arange(n) / n
    assert largest_gap(angles) == pytest.approx(1)
    assert [resultant(angles, m) for m in range(1, n + 1)] == pytest.approx([0] * (n - 1) + [1], abs=1e-12)


def test_uneven_angles():
    """Equal ones leave a whole turn; a missing one of five leaves two gaps; random ones about 0.89 / √n."""
    assert largest_gap([1.0] * 4) == pytest.approx(4)
    assert resultant([1.0] * 4) == pytest.approx(1)
    assert largest_gap(2 * np.pi * np.arange(4) / 5) == pytest.approx(2 * 4 / 5)
    random = np.random.default_rng(0).uniform(0, 2 * np.pi, (2000, 25))
    assert np.mean([resultant(angles, 3) for angles in random]) == pytest.approx(0.886 / 5, rel=0.05)


def test_phases_under_a_circle_are_the_angles_of_the_weights():
    """E W^T at the circle's frequency has the atan2 of both weights as its phase."""
    weight = noise(6, 2)
    assert phases(ring(23, 4) @ weight.T, 4) == pytest.approx(np.arctan2(weight[:, 1], weight[:, 0]))


def test_the_constructed_network_is_even_and_right(tmp_path):
    """Five units at angles 2π j / 5 answer all of 23² sums; each sends its output to the doubled angle."""
    weights = five_neurons()
    assert accuracy(weights, 23) == 1
    folder = write_folder(tmp_path, {("a", 5): weights})
    units = neuron_table(folder)
    assert units["frequency"].tolist() == [4] * 5
    assert units["frequency_share"].to_numpy() == pytest.approx(1)
    assert np.mod(units["phase"].to_numpy() + 1e-6, 2 * np.pi) == pytest.approx(2 * np.pi * np.arange(5) / 5, abs=1e-5)
    assert units["phase_error"].to_numpy() == pytest.approx(0, abs=1e-5)
    (even,) = evenness_table(folder).to_dict("records")
    assert (even["neurons"], even["frequency"]) == (5, 4)
    assert [even[name] for name in ("gap", "output_gap")] == pytest.approx([1, 1], abs=1e-5)
    assert [even[f"resultant{m}"] for m in ("", "_2", "_n")] == pytest.approx([0, 0, 1], abs=1e-5)
    assert (even["input_spread"], even["output_spread"]) == pytest.approx((0, 0), abs=0.01)


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_or_projected_network_is_the_same_to_its_units(tied, tmp_path):
    """In six numbers, with its embedding or another matrix behind a projection: the table of the plain network."""
    weights = tied_neurons()
    if not tied:
        weights["output.weight"] = weights["embeddings.0.weight"][:23]
    plain = neuron_table(write_folder(tmp_path / "plain", {("a", 5): five_neurons()}))
    seen = neuron_table(write_folder(tmp_path / "tied", {("a", 5): weights}))
    for name in plain.columns[plain.columns.get_loc("neuron") :]:
        assert seen[name].to_numpy() == pytest.approx(plain[name].to_numpy(), abs=1e-5), name


def test_uneven_units_are_seen_and_wrong(tmp_path):
    """Angles squeezed into a quarter of a turn leave the rest empty, and sums are answered wrongly."""
    weights = five_neurons(spread=0.25)
    assert accuracy(weights, 23) < 0.9
    (uneven,) = evenness_table(write_folder(tmp_path, {("a", 5): weights})).to_dict("records")
    assert uneven["gap"] == pytest.approx(4)  # four steps of a twentieth leave four fifths of a turn
    assert uneven["output_gap"] == pytest.approx(3)
    assert uneven["resultant"] > 0.85


def test_squares_need_even_doubled_angles_only(tmp_path):
    """Units at θ and θ + π are one under a square: spread over half a turn, five of them answer every sum."""
    weights = five_neurons(spread=0.5)
    assert accuracy(weights, 23) == 1
    (half,) = evenness_table(write_folder(tmp_path, {("a", 5): weights})).to_dict("records")
    assert (half["gap"], half["output_gap"]) == pytest.approx((3, 1), abs=1e-5)


def test_operands_of_their_own_add_their_phases(tmp_path):
    """With a table each, θ + φ is compared with the output; units without a clear frequency are left out."""
    angle = 2 * np.pi * 4 * np.arange(23) / 23
    table = np.concatenate([np.stack([np.cos(angle), np.sin(angle)], -1), np.zeros((2, 2))])
    theta, phi = np.array([0.3, 1.0, -2.0]), np.array([0.5, -0.4, -1.5])
    weights = {
        "embeddings.0.weight": table,
        "hidden.0.weight": np.stack([np.cos(theta), np.sin(theta), np.cos(phi), np.sin(phi)], -1),
        "output.weight": np.cos(angle[:, None] - theta - phi),
    }
    folder = write_folder(tmp_path, {("a", 5): weights, ("b", 5): blurred(weights)})
    assert neuron_table(folder, where={"seed": 0})["phase_error"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert evenness_table(folder, where={"seed": 0})["neurons"].tolist() == [3]
    assert evenness_table(folder, where={"seed": 1}).empty


def blurred(weights):
    """The same network with an embedding of noise."""
    return weights | {"embeddings.0.weight": noise(25, 2, seed=3)}


def test_neurons_need_one_hidden_layer(tmp_path):
    """A deeper network has no such angles."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons() | {"hidden.1.weight": noise(5, 5)}})
    with pytest.raises(ValueError, match=r"^neurons need an mlp with one hidden layer, got model 'mlp' with .*`\.$"):
        neuron_table(folder)

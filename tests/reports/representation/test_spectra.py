import numpy as np
import pytest

from deepboot.reports.representation.spectra import (
    fourier_shares,
    frequency_p_values,
    frequency_table,
    key_frequencies,
    participation,
    spectrum_table,
)
from tests.reports.representation.networks import five_neurons, noise, ring, write_folder


@pytest.mark.parametrize(("tokens", "frequency"), [(97, 1), (97, 48), (24, 5)])
def test_a_circle_has_one_frequency(tokens, frequency):
    """In whatever plane it lies, moved off the origin."""
    share = fourier_shares(ring(tokens, frequency, features=7) + 3)
    assert share[frequency - 1] == pytest.approx(1)
    assert key_frequencies(share) == [frequency]
    assert participation(share) == pytest.approx(1)


@pytest.mark.parametrize("tokens", [23, 24])
def test_shares_are_the_r_squared_of_each_frequency(tokens):
    """By least squares on cos and sin, also of the one frequency of an even p without a sin; they sum to 1."""
    values = noise(tokens, 3)
    share = fourier_shares(values)
    centred = values - values.mean(0)
    for frequency in range(1, tokens // 2 + 1):
        design = ring(tokens, frequency)
        fit = design @ np.linalg.lstsq(design, centred, rcond=None)[0]
        assert share[frequency - 1] == pytest.approx(np.sum(fit**2) / np.sum(centred**2))
    assert share.sum() == pytest.approx(1)


def test_frequencies_are_counted_by_the_power_that_they_hold():
    """Circles of power 8, 4 and 1: the first two hold 92 %; three equal ones participate as three."""
    squares = {3: 8, 10: 4, 7: 1}
    mixed = np.concatenate([ring(31, f, radius=np.sqrt(square)) for f, square in squares.items()], axis=1)
    share = fourier_shares(mixed)
    assert key_frequencies(share) == [3, 10]
    assert key_frequencies(share, held=0.6) == [3]
    assert key_frequencies(share, held=0.95) == [3, 10, 7]
    assert participation(share) == pytest.approx(13**2 / (64 + 16 + 1))


def test_a_frequency_in_noise_is_found_if_it_is_strong_enough():
    """At a third of the noise's standard deviation it is significant, and alone; at a thirtieth it is not."""
    strong, weak = (frequency_p_values(noise(59, 32) + r * np.sqrt(2) * np.tile(ring(59, 5), 16)) for r in (0.33, 0.03))
    assert np.flatnonzero(strong <= 0.05).tolist() == [4]
    assert weak[4] > 0.05


def test_chance_finds_a_frequency_in_one_layer_of_twenty():
    """The smallest p value of pure noise is at most 0.05 in a twentieth of 200 layers, within three standard errors."""
    smallest = [frequency_p_values(noise(23, 4, seed=seed), shuffles=99, seed=seed).min() for seed in range(200)]
    assert abs(np.mean(np.array(smallest) <= 0.05) - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 200)


def test_a_layer_that_does_not_vary_has_no_spectrum():
    """Its shares are unknown, and no frequency is its key."""
    share = fourier_shares(np.ones((7, 2)))
    assert np.isnan(share).all()
    assert key_frequencies(share) == []


def test_the_spectrum_of_a_folder_over_training(tmp_path):
    """Random weights spread over all frequencies; the constructed network has 4 in each layer, and 8 nowhere."""
    random = {name: noise(*array.shape).astype("float32") for name, array in five_neurons().items()}
    folder = write_folder(tmp_path, {("a", 0): random, ("a", 100): five_neurons()})
    table = spectrum_table(folder)
    assert len(table) == 2 * 3 * 11
    key = table[table["key"] & (table["step"] == 100)]
    assert key[["layer", "frequency"]].to_numpy().tolist() == [["embedding", 4], ["input", 4], ["output", 4]]
    assert key["share"].to_numpy() == pytest.approx(1)
    counts = frequency_table(folder).set_index(["step", "layer"])
    assert (counts.loc[0, "holding_90"] > 4).all()
    assert (counts.loc[0, "significant"] == 0).all()
    assert (counts.loc[100, "frequencies"] == "4").all()
    assert counts.loc[100, "participation"].to_numpy() == pytest.approx(1)

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from deepboot.reports.representation.chains import best_chain, chain_table, link_ratios
from tests.reports.representation.networks import five_neurons, noise, ring, write_folder


@pytest.mark.parametrize(("tokens", "frequency"), [(97, 12), (24, 7)])
def test_the_chain_of_a_circle_inverts_its_frequency(tokens, frequency):
    """Tokens n and n + k are neighbours where k f = ± 1; links are sides of the polygon; chance never does as well."""
    points = ring(tokens, frequency, features=5, radius=3)
    best = best_chain(points)
    assert best.stride * frequency % tokens in (1, tokens - 1)
    assert best.ratio == pytest.approx(6 * np.sin(np.pi / tokens) / pdist(points).mean())
    assert best.p == 0.001


def test_a_chain_in_noise_is_found_if_it_is_strong_enough():
    """A circle of radius 1 in noise of 0.3 in each of ten features, and one of radius 0.1."""
    strong, weak = (best_chain(ring(59, 1, features=10, radius=r) + noise(59, 10, 0.3), shuffles=199) for r in (1, 0.1))
    assert (strong.stride, strong.p) == (1, 0.005)
    assert weak.p > 0.05


def test_chance_finds_a_chain_in_one_layer_of_twenty():
    """P values of points in random order are uniform."""
    found = [best_chain(noise(13, 3, seed=seed), shuffles=99, seed=seed).p for seed in range(200)]
    assert abs(np.mean(np.array(found) <= 0.05) - 0.05) <= 3 * np.sqrt(0.05 * 0.95 / 200)
    assert abs(np.mean(np.array(found) <= 0.5) - 0.5) <= 3 * np.sqrt(0.25 / 200)


def test_ratios_average_to_one():
    """Every pair is a link of one stride, so that over all strides of an odd p the mean ratio is 1."""
    assert link_ratios(noise(23, 4)).mean() == pytest.approx(1)


def test_chains_of_a_folder(tmp_path):
    """The constructed network of frequency 4 modulo 23 has the stride 6, 4 · 6 = 24, in its t-SNE picture as well."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons()})
    for space in ("weights", "pca", "t-sne"):
        table = chain_table(folder, space=space, shuffles=99)
        assert table["layer"].tolist() == ["embedding", "input", "output"]
        assert set(table["stride"]) == {6}
        assert set(table["p"]) == {0.01}

import re

import numpy as np
import pytest

from deepboot.reports.representation.cosets import best_partition, coset_parts, coset_table, neighbour_share
from deepboot.reports.representation.groups import SUBGROUPS
from tests.reports.representation.networks import ADDITION, five_neurons, noise, write_folder


def clustered(part, distance, features=12, seed=0):
    """Points in noise of standard deviation 1, each moved by its part's own vector of this standard deviation."""
    centre = noise(max(part) + 1, features, distance, seed=seed + 1)
    return centre[part] + noise(len(part), features, seed=seed)


def test_planted_cosets_are_found_with_side_and_conjugate():
    """Right cosets of the third conjugate of D5 are all neighbours; left ones and those of a smaller group are not."""
    parts = {side: coset_parts(SUBGROUPS["D5"], 5, side) for side in ("left", "right")}
    points = clustered(parts["right"][2], 4)
    found = best_partition(points, parts["right"])
    assert (found.best, found.share, found.p) == (2, 1.0, 0.005)
    assert found.chance == pytest.approx(9 / 119)
    assert best_partition(points, parts["left"]).share < 0.5
    inside = best_partition(points, coset_parts(SUBGROUPS["C5"], 5, "right"))  # the five rotations of the ten
    assert inside.share == pytest.approx(4 / 9, abs=0.1)


def test_cosets_too_faint_are_not_found():
    """At a tenth of the noise the best of all conjugates is one that chance gives too."""
    parts = coset_parts(SUBGROUPS["D5"], 5, "left")
    assert best_partition(clustered(parts[1], 0.1), parts).p > 0.05


def test_chance_finds_cosets_in_one_layer_of_twenty():
    """Over five conjugates at once, in 100 layers of noise, within three standard errors."""
    parts = coset_parts(SUBGROUPS["S4"], 5, "left")
    found = np.array([best_partition(noise(120, 3, seed=seed), parts, shuffles=99, seed=seed).p for seed in range(100)])
    assert np.mean(found <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert abs(np.mean(found <= 0.5) - 0.5) <= 3 * np.sqrt(0.25 / 100)


def test_parts_have_one_size():
    """Neighbours are as many as the rest of a part."""
    sentence = "expected parts of one size of at least 2, got sizes [1, 3]."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        neighbour_share(noise(4, 2), [0, 0, 0, 1])


def test_cosets_of_a_folder(tmp_path):
    """An output layer that knows where 4 goes: left cosets of S4 agree, right ones and an embedding of noise do not."""
    part = coset_parts(SUBGROUPS["S4"], 5, "left")[0]
    weights = {
        "embeddings.0.weight": noise(122, 6),
        "hidden.0.weight": noise(8, 12),
        "output.weight": clustered(part, 6),
    }
    settings = {"task": "permutations", "task.degree": 5}
    folder = write_folder(tmp_path, {("a", 5): weights}, **settings)
    table = coset_table(folder, subgroups={"S4": SUBGROUPS["S4"]}, shuffles=99).set_index(["layer", "side"])
    assert table.loc[("output", "left"), ["share", "p", "cosets"]].tolist() == [1.0, 0.01, 5]
    assert table.loc[("output", "right"), "share"] < 0.5
    assert table.loc["embedding", "p"].min() > 0.05


def test_cosets_of_the_picture(tmp_path):
    """Even and odd permutations that lie apart do so in t-SNE, which is counted there."""
    part = coset_parts(SUBGROUPS["A4"], 4, "left")[0]
    weights = {"embedding.weight": noise(26, 2), "output.weight": clustered(part, 6)}
    folder = write_folder(tmp_path, {("a", 5): weights}, task="permutations", **{"task.degree": 4})
    table = coset_table(folder, subgroups={"A4": SUBGROUPS["A4"]}, space="t-sne", shuffles=99)
    table = table.set_index(["layer", "side"])
    assert set(table["space"]) == {"t-sne"}
    assert table.loc[("output", "left"), "share"] > 0.9
    assert table.loc[("output", "left"), "p"] == 0.01
    assert table.loc["embedding", "p"].min() > 0.05


def test_cosets_need_permutations(tmp_path):
    """Addition has none here."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons()}, **ADDITION)
    sentence = "cosets need runs of task permutations, got 'binary_operations'. Choose runs with `where`."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        coset_table(folder)

"""What kept weights have learned, as the page draws it."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepboot.bootstrap import results
from deepboot.reports import compare
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.figures.learned import draw_learned
from deepboot.reports.representation.groups import permutations
from tests.reports.representation.networks import five_neurons, noise, tied_neurons, write_folder


def learned(folder):
    return draw_learned(compare(results.read(folder)))


def test_a_constructed_network_is_one_frequency_and_one_chain(tmp_path):
    """Of the run with the first seed among those that kept weights, at its last step; the page draws it once."""
    kept = {(run, step): five_neurons() for run in ("a", "b") for step in (0, 10)}
    drawing = learned(write_folder(tmp_path, kept))
    assert drawing.caption.endswith(
        "(1 of 2 real runs with kept weights). real, seed 0: 1 of 11 frequencies hold 90 % of the embedding's power, "
        "chain p 0.005."
    )
    names = [one.name for one in draw_all(compare(results.read(tmp_path)))]
    assert names.count("learned") == 1


def test_a_tied_network_is_drawn_as_well(tmp_path):
    """Its output is its embedding, through a projection."""
    drawing = learned(write_folder(tmp_path, {("a", 5): tied_neurons()}))
    assert "1 of 11 frequencies hold 90 % of the embedding's power, chain p 0.005" in drawing.caption


def test_the_units_of_one_frequency_are_counted(tmp_path):
    """All five of the constructed network, and none where the embedding is noise; a deeper network has no such row."""
    even, blurred = five_neurons(), five_neurons() | {"embeddings.0.weight": noise(25, 2, seed=3)}
    shallow, deep = {"model.depth": 1}, {"model.depth": 2}
    caption = learned(write_folder(tmp_path / "even", {("a", 5): even}, **shallow)).caption
    assert caption.endswith("chain p 0.005, 5 of 5 units of frequency 4.")
    assert "in the direction of their phase" in caption
    caption = learned(write_folder(tmp_path / "blurred", {("a", 5): blurred}, **shallow)).caption
    assert caption.endswith("none of 5 units of one frequency.")
    assert "units" not in learned(write_folder(tmp_path / "deep", {("a", 5): even}, **deep)).caption


def test_bits_that_do_not_matter_are_counted(tmp_path):
    """Three of four bits matter; the fourth holds a quarter of the squared weights."""
    weights = {"hidden.0.weight": np.eye(4, dtype=np.float32), "output.weight": np.ones((2, 4), dtype=np.float32)}
    settings = {"task": "sparse_parity", "task.num_bits": 4, "task.num_relevant": 3}
    drawing = learned(write_folder(tmp_path, {("a", 0): weights, ("a", 5): weights}, **settings))
    assert drawing.caption.endswith("real, seed 0: 0.25 of the squared input weights on bits that do not matter.")


def test_permutations_are_coloured_by_their_cosets(tmp_path):
    """The output's rows of S4 lie in two clusters: the even permutations, and the others."""
    sign = np.array([np.linalg.det(np.eye(4)[element]) for element in permutations(4)])
    rows = np.stack([10 * sign, np.arange(24) / 24], -1).astype(np.float32)
    weights = {"embedding.weight": np.ones((26, 2), dtype=np.float32), "output.weight": rows}
    settings = {"task": "permutations", "task.degree": 4, "model": "transformer"}
    drawing = learned(write_folder(tmp_path, {("a", 5): weights}, **settings))
    words = r"1 of nearest neighbours in one coset \(A4, left\), p 0.005, and (\S+) in the picture\.$"
    found = re.search(words, drawing.caption)
    assert found
    assert float(found[1]) > 0.9  # t-SNE bends the two clusters


@pytest.mark.parametrize("task", ["gaussian", "binary_operations"])
def test_what_cannot_be_read_is_left_out(task, tmp_path):
    """Weights of another task or model, and folders without any."""
    folder = write_folder(tmp_path, {("a", 5): {"stem.weight": np.ones((2, 2))}}, task=task)
    assert learned(folder) is None
    save_file({"w": np.ones(1)}, folder / "weights" / "another-5.safetensors")
    (folder / "weights" / "a-5.safetensors").unlink()
    assert learned(folder) is None

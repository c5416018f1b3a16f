import numpy as np
import pytest

from deepboot.reports.representation.bits import bit_table, distractor_table
from tests.reports.representation.networks import ADDITION, five_neurons, noise, write_folder

PARITY = {"task": "sparse_parity", "task.num_bits": 10, "task.num_relevant": 3}


def test_distractors_that_decay(tmp_path):
    """At the start 7 of 10 bits hold 70 % of the squares; halved, they hold 7 / 4 of 3 + 7 / 4."""
    signs = np.sign(noise(16, 10))
    halved = signs * np.where(np.arange(10) < 3, 1, 0.5)
    kept = {("a", 0): {"hidden.0.weight": signs}, ("a", 9): {"hidden.0.weight": halved}}
    folder = write_folder(tmp_path, kept, **PARITY)
    table = distractor_table(folder)
    assert table["relevant"].tolist() == [4, 4]
    assert table["distractors"].tolist() == [4, 2]
    assert table["distractor_share"].tolist() == pytest.approx([0.7, 1.75 / 4.75])
    bits = bit_table(folder, steps=[9])
    assert bits["norm"].tolist() == [4] * 3 + [2] * 7
    assert bits["relevant"].tolist() == [True] * 3 + [False] * 7


def test_bits_need_parity(tmp_path):
    """Addition has none."""
    folder = write_folder(tmp_path, {("a", 5): five_neurons()}, **ADDITION)
    with pytest.raises(
        ValueError, match=r"^bits need runs of task sparse_parity .*, got task 'binary_operations' with "
    ):
        bit_table(folder)

import re

import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.datasets.sparse_parity import SparseParity

KEY_12 = streams.keys((0,), "data")
INDEX = torch.arange(200).view(1, -1)


def test_the_label_is_the_parity_of_the_first_bits():
    """Counting ones among the relevant bits gives the label, and the other bits vary too."""
    x, y = SparseParity(num_bits=6, num_relevant=2).sample(KEY_12, INDEX)
    assert x.unique().tolist() == [0, 1]
    assert [int(sum(row[:2])) % 2 for row in x[0].tolist()] == y[0].tolist()
    assert (x[0].std(0) > 0.4).all()


def test_both_encodings_write_the_same_bits():
    """-1 / +1 stand for 0 / 1."""
    zero, minus = (SparseParity(encoding=encoding).sample(KEY_12, INDEX) for encoding in ("01", "+-1"))
    assert torch.equal(minus.x, 2 * zero.x - 1)
    assert torch.equal(minus.y, zero.y)


def test_bits_are_shown_with_a_bar_behind_the_relevant_ones():
    """Both encodings are written as 0 and 1."""
    for encoding, x in (("01", [1.0, 0, 0, 1]), ("+-1", [1.0, -1, -1, 1])):
        task = SparseParity(num_bits=4, num_relevant=3, encoding=encoding)
        assert task.show(torch.tensor(x), torch.tensor(1)) == "100|1 -> 1"


def test_no_more_bits_are_relevant_than_there_are():
    """num_relevant above num_bits is refused."""
    sentence = "num_relevant must be at most num_bits = 3, got 4. Lower num_relevant or raise num_bits."
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        SparseParity(num_bits=3, num_relevant=4)

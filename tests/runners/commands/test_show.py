import re

import numpy as np
import pytest
import torch
from PIL import Image

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.datasets.recording import Recording
from deepboot.datasets.shapes.task import Shapes
from deepboot.runners.commands import contact_sheet, listing

KEY_12 = streams.keys((0,), "data")


def test_images_are_drawn_by_class_with_their_index():
    """Every sample on the sheet is the stream's at the index beneath it, and of the class at its left."""
    task = Shapes(size=8)
    sheet = contact_sheet.collect(task, KEY_12, 3)
    assert sheet.names == list(task.class_names)
    for label, (row, indices) in enumerate(zip(sheet.rows, sheet.indices, strict=True)):
        x, y = task.sample(KEY_12, torch.tensor([indices]))
        assert len(indices) == 3
        assert y[0].tolist() == [label] * 3
        assert torch.equal(row, x[0].float() / 255)


def test_the_figure_holds_every_image_and_writes_its_index():
    """As many images as samples; names, indices and the title stand as text."""
    sheet = contact_sheet.collect(Shapes(size=8), KEY_12, 2)
    axes = contact_sheet.draw(sheet, "a title").axes[0]
    assert len(axes.images) == 20
    texts = [text.get_text() for text in axes.texts]
    assert texts[:4] == ["a title", "striped disc", *map(str, sheet.indices[0])]
    np.testing.assert_array_equal(axes.images[0].get_array(), sheet.rows[0][0].permute(1, 2, 0))


def test_a_sheet_is_written_to_the_current_folder_or_where_asked(tmp_path, monkeypatch):
    """The path is printed; the settings and the number of columns are those asked for."""
    monkeypatch.chdir(tmp_path)
    lines = listing.samples("digits", [], seed=0, count=2)
    assert "2 of each class, with their indices: digits.png" in lines
    listing.samples("digits", [], seed=0, count=4, out=tmp_path / "wide.png")
    with Image.open("digits.png") as short, Image.open("wide.png") as long:
        narrow, wide = short.size, long.size
    assert wide[0] > narrow[0]
    assert wide[1] == narrow[1]


def test_a_recording_is_sampled_from_end_to_end(tmp_path):
    """Cells that are sorted by class are all found; a class with few cells has a short row; floats are scaled."""
    path = tmp_path / "sorted.npz"
    x = np.linspace(-3, 5, 30 * 2 * 4 * 5).reshape(30, 2, 4, 5)
    np.savez(path, x=x, y=np.repeat([0, 1, 2], [14, 14, 2]))
    sheet = contact_sheet.collect(Recording(path=str(path)), KEY_12, 4)
    assert sheet.names == ["0", "1", "2"]
    assert [len(row) for row in sheet.rows] == [4, 4, 2]
    assert sheet.indices[2] == [28, 29]
    assert len(contact_sheet.draw(sheet, "t").axes[0].images) == 10
    shown = torch.cat(sheet.rows)
    assert shown.min() == 0
    assert shown.max() == 1


def test_other_tasks_stay_text():
    """Bits are printed, and --out is refused."""
    lines = listing.samples("sparse_parity", ["num_bits=6"], seed=0, count=3)
    assert sum("->" in line for line in lines) == 3
    sentence = "--out x.png: task 'sparse_parity' has no images to draw. Leave --out away: its samples are text."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        listing.samples("sparse_parity", [], seed=0, count=3, out=listing.Path("x.png"))


def test_a_sheet_that_cannot_be_written_is_one_sentence(tmp_path):
    """A missing folder and an unknown format are named."""
    missing = tmp_path / "none" / "x.png"
    sentence = f"--out {missing} cannot be written: No such file or directory. Give a file in a folder of yours."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        listing.samples("digits", [], seed=0, count=1, out=missing)
    sentence = "--out x.gif: expected a file that ends in .png, .svg, .pdf, .jpg. Add .png to it."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}$"):
        listing.samples("digits", [], seed=0, count=1, out=listing.Path("x.gif"))


@pytest.mark.parametrize("samples", ["-1", "0"])
def test_fewer_than_one_sample_is_refused(samples, deepboot):
    """In one sentence."""
    ran = deepboot("show", "sparse_parity", "--samples", samples)
    assert ran.returncode == 2
    assert ran.stderr == f"--samples: expected a number above 0, got {samples}. Change it.\n"

import hashlib
import re
import zipfile

import numpy as np
import pytest
import torch

from deepboot.bootstrap.task import Image, Tokens, Vector
from deepboot.datasets.recording import Recording

LABELS = np.array([0, 2, 1])
VECTORS = np.array([[0.5, 1], [2, 3], [4, 5]])
FORMS = (
    "x must be tokens, integers (n, length), vectors, floats (n, size), or images, uint8 "
    "(n, height, width, channels) or floats (n, channels, height, width); "
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def record(**arrays):
    """A recording of these arrays in a new file."""
    np.savez("mine.npz", **arrays)
    return Recording(path="mine.npz")


def refused(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def test_floats_become_float32_vectors():
    """A matrix of floats is read as vectors, in the order of the file."""
    task = record(x=VECTORS, y=LABELS)
    assert (task.inputs, task.classes, task.size) == (Vector(2), 3, 3)
    x, y = task.cells(torch.tensor([[2, 0]]))
    assert x.dtype == torch.float32
    assert (x.tolist(), y.tolist()) == ([[[4, 5], [0.5, 1]]], [[1, 0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_integers_become_tokens(dtype):
    """A matrix of any integers is read as tokens; a position that never changes is no varying one."""
    task = record(x=np.array([[3, 9, 0], [4, 9, 1], [3, 9, 1]], dtype), y=LABELS.astype(dtype))
    assert task.inputs == Tokens(vocab=10, length=3, varying=(0, 2))
    x, y = task.cells(torch.arange(3))
    assert x.dtype == y.dtype == torch.int64
    assert x[1].tolist() == [4, 9, 1]


def test_one_sequence_alone_varies_everywhere():
    """Where no position changes, all count as varying, so that a model still reads them."""
    assert record(x=np.array([[1, 2]]), y=np.array([0])).inputs.varying == (0, 1)


def test_bytes_become_images_with_channels_first():
    """Every pixel keeps its place when channels move to the front; 0 and 255 become -1 and 1."""
    raw = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    raw[0, 0, 0], raw[1, 3, 2] = (0, 255), (255, 51)
    task = record(x=raw, y=LABELS)
    assert task.inputs == Image(channels=2, height=4, width=5)
    stored = task.cells(torch.arange(3)).x
    assert stored.dtype == torch.uint8
    x = task.decode(stored)
    assert x.dtype == torch.float32
    for n, h, w, c in np.ndindex(raw.shape):
        assert x[n, c, h, w].item() == pytest.approx(raw[n, h, w, c] / 127.5 - 1, abs=1e-6)
    assert x[0, :, 0, 0].tolist() == [-1, 1]


def test_float_images_are_taken_as_they_are():
    """A float array of four axes is channels first already."""
    raw = np.random.default_rng(0).normal(size=(3, 2, 4, 5)).astype(np.float32)
    task = record(x=raw, y=LABELS)
    assert task.inputs == Image(channels=2, height=4, width=5)
    assert torch.equal(task.cells(torch.arange(3)).x, torch.from_numpy(raw))


def test_an_image_is_shown_by_its_size():
    """Pixels are not printed, other inputs are."""
    task = record(x=np.zeros((3, 4, 5, 2), np.uint8), y=LABELS)
    assert task.show(*task.cells(torch.tensor(1))) == "image (2, 4, 5) with values 0 .. 0 -> 2"
    task = record(x=VECTORS, y=LABELS)
    assert task.show(*task.cells(torch.tensor(0))) == "[0.5, 1.0] -> 0"


def test_other_contents_are_another_recording():
    """A rewritten file has another fingerprint and other samples, though its path and size are the same."""
    first = record(x=VECTORS, y=LABELS)
    with open("mine.npz", "rb") as file:
        assert first.fingerprint == hashlib.sha256(file.read()).hexdigest()
    second = record(x=VECTORS + 1, y=LABELS)
    assert first.fingerprint != second.fingerprint
    assert first.cells(torch.tensor(0)).x.tolist() == [0.5, 1]
    assert second.cells(torch.tensor(0)).x.tolist() == [1.5, 2]


def test_the_ideal_world_does_not_start_over_unasked():
    """A recording ends."""
    assert not record(x=VECTORS, y=LABELS).endless_passes


def test_more_classes_may_be_named_than_occur():
    """num_classes above the largest label is kept."""
    record(x=VECTORS, y=LABELS)
    assert Recording(path="mine.npz", num_classes=10).classes == 10


def test_fewer_classes_than_occur_are_refused():
    """A label at or above num_classes is named."""
    record(x=VECTORS, y=LABELS)
    with refused(
        "recording mine.npz: labels in y must be below num_classes = 2, got 2. Raise num_classes or mend the labels."
    ):
        Recording(path="mine.npz", num_classes=2)


def test_a_missing_file_is_refused():
    """So is a folder."""
    for path in ("none.npz", "."):
        with refused(f"recording {path} is not a file. Give the path of an .npz file with arrays x and y."):
            Recording(path=path)


@pytest.mark.parametrize("content", ["array", "text", "empty"])
def test_another_kind_of_file_is_refused(content):
    """A single .npy array, a text and an empty file are no .npz."""
    with open("mine.npz", "wb") as file:
        if content == "array":
            np.save(file, VECTORS)
        file.write(b"x, y\n" if content == "text" else b"")
    with refused(
        "recording mine.npz: expected an .npz file, which is a zip archive, got another kind of file. "
        "Save it with numpy.savez(path, x=x, y=y)."
    ):
        Recording(path="mine.npz")


def test_a_damaged_file_is_refused():
    """A byte changed in the middle is noticed."""
    record(x=VECTORS, y=LABELS)
    with open("mine.npz", "r+b") as file:
        file.seek(file.read().index(VECTORS.tobytes()))
        file.write(b"\xff")
    with refused(
        "recording mine.npz: cannot be read: Bad CRC-32 for file 'x.npy'. "
        "Save it with numpy.savez(path, x=x, y=y), as plain arrays of numbers."
    ):
        Recording(path="mine.npz")


@pytest.mark.parametrize(
    ("arrays", "found"), [({"X": VECTORS, "Y": LABELS}, "X, Y"), ({"x": VECTORS}, "x"), ({}, "none")]
)
def test_missing_arrays_are_refused(arrays, found):
    """The message lists the arrays that are there."""
    with refused(
        f"recording mine.npz: expected arrays x and y, got {found}. Save it with numpy.savez(path, x=x, y=y)."
    ):
        record(**arrays)


def test_pickled_objects_are_refused():
    """Objects could run code when they are loaded."""
    with refused(
        "recording mine.npz: cannot be read: Object arrays cannot be loaded when allow_pickle=False. "
        "Save it with numpy.savez(path, x=x, y=y), as plain arrays of numbers."
    ):
        record(x=np.array([{}, {}, None]), y=LABELS)


def test_a_zip_of_other_things_is_refused():
    """Members that are no arrays are not taken for arrays."""
    with zipfile.ZipFile("mine.npz", "w") as archive:
        archive.writestr("x", "one")
        archive.writestr("y", "two")
    with refused(
        "recording mine.npz: y must hold one whole number per sample, got |S3 of shape (). Save y as int64, (n,)."
    ):
        Recording(path="mine.npz")


@pytest.mark.parametrize("labels", [LABELS.astype(float), LABELS[:, None], LABELS > 0, np.array(["a", "b", "c"])])
def test_labels_that_are_no_whole_numbers_are_refused(labels):
    """Floats, one-hot columns, truth values and words are no labels."""
    with refused(
        f"recording mine.npz: y must hold one whole number per sample, got {labels.dtype} of shape {labels.shape}. "
        "Save y as int64, (n,)."
    ):
        record(x=VECTORS, y=labels)


def test_negative_numbers_are_refused():
    """Neither labels nor tokens may be negative; vectors may."""
    with refused("recording mine.npz: y must count from 0, got -1. Number its values 0, 1, 2 and on."):
        record(x=VECTORS, y=LABELS - 1)
    with refused("recording mine.npz: x must count from 0, got -4. Number its values 0, 1, 2 and on."):
        record(x=np.array([[1], [-4], [2]]), y=LABELS)
    assert record(x=-VECTORS, y=LABELS).cells(torch.tensor(0)).x.tolist() == [-0.5, -1]


def test_unequal_lengths_are_refused():
    """Every input needs its label."""
    with refused("recording mine.npz: x and y must be equally long, got 2 and 3 samples. Cut the longer."):
        record(x=VECTORS[:2], y=LABELS)


@pytest.mark.parametrize(
    "x", [np.zeros(3), np.zeros((3, 4, 5)), np.zeros((3, 4, 5, 2), np.int64), VECTORS > 1, VECTORS + 1j]
)
def test_inputs_of_another_form_are_refused(x):
    """Neither single numbers, nor images without channels, nor integer images of other types are guessed at."""
    with refused(f"recording mine.npz: {FORMS}got {x.dtype} of shape {x.shape}. Save it in one of these forms."):
        record(x=x, y=LABELS)


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_empty_recordings_are_refused(shape):
    """No samples, or samples of nothing, cannot be learnt from."""
    with refused(
        f"recording mine.npz: x must hold at least one sample, and no empty ones, got shape {shape}. Add some."
    ):
        record(x=np.zeros(shape), y=LABELS[: shape[0]])


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e39])
def test_values_that_are_not_finite_are_refused(value):
    """NaN, infinity and what overflows float32 are named by their sample."""
    x = VECTORS.copy()
    x[1, 0] = value
    with refused("recording mine.npz: x must be finite in float32, sample 1 is not. Remove or mend it."):
        record(x=x, y=LABELS)

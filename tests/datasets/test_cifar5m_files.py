"""CIFAR-5m's parts become one array: every pixel in its place, all parts in order, or nothing at all."""

import hashlib
import json
import os
import re
import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest

from deepboot.datasets.cifar5m import prepare, prepared, preparing, published, read, verify
from deepboot.datasets.cifar5m.folder import locked
from tests.datasets.published import COUNT, damage, part, write

FILES = ["cifar5m.json", "images.npy", "labels.npy"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks a part, the last not full."""
    monkeypatch.setattr(published, "BLOCK", 16)
    monkeypatch.setattr(prepared, "BLOCK", 16)


def refused(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def arrays(root):
    """The prepared arrays, as anybody can read them."""
    return np.load(root / "images.npy"), np.load(root / "labels.npy")


def left(root):
    """All files but the published parts and the lock."""
    return sorted(path.name for path in root.iterdir() if path.suffix not in (".npz", ".lock") and path.name != ".lock")


def test_channels_move_and_pixels_stay(tmp_path):
    """Each pixel of each image is where a transposition puts it; reshaping would mix the channels."""
    write(tmp_path, 0)
    assert prepare(tmp_path, [0]).count == COUNT
    images, labels = arrays(tmp_path)
    x, y = part(0)
    assert images.shape == (COUNT, 3, 32, 32)
    assert images.dtype == labels.dtype == np.uint8
    for n, h, w, c in [(0, 0, 1, 2), (7, 31, 0, 1), (COUNT - 1, 12, 30, 0)]:
        assert images[n, c, h, w] == x[n, h, w, c]
    assert (images == x.transpose(0, 3, 1, 2)).all()
    assert not (images == x.reshape(images.shape)).all()
    assert (labels == y).all()


def test_every_part_stands_behind_the_one_before(tmp_path):
    """No part overwrites another: the offset advances."""
    write(tmp_path, 0, 1, 2)
    found = prepare(tmp_path, [0, 1, 2])
    images, labels = arrays(tmp_path)
    for number in range(3):
        x, y = part(number)
        rows = found.rows(number)
        assert rows == range(number * COUNT, (number + 1) * COUNT)
        assert (images[rows.start : rows.stop] == x.transpose(0, 3, 1, 2)).all()
        assert (labels[rows.start : rows.stop] == y).all()


def test_parts_stand_in_order_whatever_order_they_come_in(tmp_path):
    """Neither the order of the names nor that of the folder matters, nor which of its names a file has."""
    one, other = tmp_path / "one", tmp_path / "other"
    write(one, 0, 2, 5)
    write(other, 5, 2, name="cifar5m_part{}.npz")
    write(other, 0)
    prepare(one, [0, 2, 5])
    prepare(other, [5, 0, 2, 5])
    for name in FILES[1:]:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert [entry.part for entry in read(other).parts] == [0, 2, 5]
    assert [entry.source for entry in read(other).parts] == ["part0.npz", "cifar5m_part2.npz", "cifar5m_part5.npz"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.uint64, ">i2"])
def test_labels_of_any_integers_become_bytes(tmp_path, dtype):
    """The published type is not known for sure."""
    write(tmp_path, 3, dtype=dtype)
    prepare(tmp_path, [3])
    assert (arrays(tmp_path)[1] == part(3)[1]).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_preparing_holds_a_few_blocks_in_memory(tmp_path, compressed):
    """A part of 9 MB takes less than 1 MB, so that 3 GB as bytes, let alone 24 GB as floats, are never held."""
    write(tmp_path, 0, count=3_000, compressed=compressed)
    tracemalloc.start()
    try:
        prepare(tmp_path, [0])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert (arrays(tmp_path)[0] == part(0, 3_000)[0].transpose(0, 3, 1, 2)).all()


def test_lower_case_keys_are_as_good(tmp_path):
    """Keys x and y instead of X and Y."""
    x, y = part(0)
    np.savez(tmp_path / "part0.npz", x=x, y=y)
    prepare(tmp_path, [0])
    assert (arrays(tmp_path)[1] == y).all()


def test_the_index_tells_counts_classes_and_checksums(tmp_path):
    """Each part's own, of the bytes as they lie in the files."""
    write(tmp_path, 0, 5)
    prepare(tmp_path, [0, 5])
    entry = json.loads((tmp_path / "cifar5m.json").read_text())["parts"][1]
    images, labels = (array[COUNT:] for array in arrays(tmp_path))
    assert entry == {
        "part": 5, "source": "part5.npz", "count": COUNT, "class_counts": [6] * 10,
        "images_sha256": hashlib.sha256(images.tobytes()).hexdigest(),
        "labels_sha256": hashlib.sha256(labels.tobytes()).hexdigest(),
    }  # fmt: skip


def test_what_is_prepared_is_not_prepared_again(tmp_path, monkeypatch):
    """Unless there is more to prepare, which then stands beside what was there."""
    write(tmp_path, 0, 5)
    first = prepare(tmp_path, [0])
    monkeypatch.setattr(preparing, "_write", None)
    assert prepare(tmp_path, [0]) == first
    monkeypatch.undo()
    assert [entry.part for entry in prepare(tmp_path, [5]).parts] == [0, 5]
    assert verify(tmp_path)


def test_a_part_that_was_prepared_is_kept_without_its_file(tmp_path):
    """It is copied from the array, unless that has changed."""
    write(tmp_path, 0, 1, 2)
    prepare(tmp_path, [0, 2])
    for number in (0, 2):
        (tmp_path / f"part{number}.npz").unlink()
    prepare(tmp_path, [1])
    images, labels = arrays(tmp_path)
    assert (images == np.concatenate([part(number)[0] for number in range(3)]).transpose(0, 3, 1, 2)).all()
    assert (labels == np.concatenate([part(number)[1] for number in range(3)])).all()
    assert verify(tmp_path)
    write(tmp_path, 5)
    change(tmp_path / "images.npy", -1, bytes([images[-1, -1, -1, -1] ^ 1]))
    with refused(
        "part 2 has changed since it was prepared: its checksums are others. Delete cifar5m.json and prepare all parts "
        "again from their .npz files."
    ):
        prepare(tmp_path, [5])
    assert left(tmp_path) == FILES


@pytest.mark.parametrize("moment", ["in the first part", "between parts", "images named", "labels named"])
def test_a_crash_leaves_nothing_that_looks_finished(tmp_path, monkeypatch, moment):
    """Whenever it comes; the next attempt succeeds, and the array that was there before is whole or gone."""
    write(tmp_path, 0, 1, 2)
    prepare(tmp_path, [0])
    told, named, replace = [], [], os.replace

    def tell(count):
        told.append(count)
        if (moment, len(told)) in [("in the first part", 2), ("between parts", 4)]:
            raise KeyboardInterrupt

    def crash(written, final):
        if moment == ("images named", "labels named", "")[len(named)]:
            raise KeyboardInterrupt
        named.append(final)
        replace(written, final)

    class Told:
        def __enter__(self):
            return tell

        def __exit__(self, *args):
            pass

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, [0, 1, 2], progress=lambda total: Told())
    monkeypatch.undo()
    if "named" in moment:
        assert "cifar5m.json" not in left(tmp_path)
        with pytest.raises(ValueError, match=r"no prepared CIFAR-5m here \(cifar5m.json is missing\)"):
            read(tmp_path)
    else:
        assert left(tmp_path) == FILES
        assert [entry.part for entry in read(tmp_path).parts] == [0]
    assert prepare(tmp_path, [0, 1, 2]).count == 3 * COUNT
    assert verify(tmp_path)
    assert left(tmp_path) == FILES


def test_what_a_killed_process_left_is_written_over(tmp_path):
    """Unfinished files are neither read nor kept."""
    write(tmp_path, 0)
    for name in FILES:
        (tmp_path / f"{name}.unfinished").write_bytes(bytes(10_000_000))
    with pytest.raises(ValueError, match="no prepared CIFAR-5m"):
        read(tmp_path)
    prepare(tmp_path, [0])
    assert left(tmp_path) == FILES


def test_a_missing_part_is_refused(tmp_path):
    """With the command that brings it."""
    write(tmp_path, 0)
    with refused(
        f"{tmp_path}: part 1 is missing, expected part1.npz or cifar5m_part1.npz. Download it: deepboot data cifar5m "
        f"download --root {tmp_path} --parts 1. Or name those that are there with --parts."
    ):
        prepare(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    """It is not made."""
    root = tmp_path / "none"
    with refused(
        f"{root} is no folder. Download the parts first: deepboot data cifar5m download --root {root} --parts 0 5"
    ):
        prepare(root, [5, 0])
    assert not root.exists()


def test_a_part_under_both_names_is_refused(tmp_path):
    """Nobody knows which is meant."""
    write(tmp_path, 0)
    write(tmp_path, 0, name="cifar5m_part{}.npz")
    with refused(f"{tmp_path}: part 0 is there twice, as part0.npz and as cifar5m_part0.npz. Remove one of them."):
        prepare(tmp_path, [0])


def test_a_full_disk_is_noticed_before_anything_is_written(tmp_path, monkeypatch):
    """What an earlier attempt left counts as free."""
    write(tmp_path, 0)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with refused(
        f"{tmp_path}: 185.4 kB are needed, 100.0 kB are free. Free some space, or choose another folder with --root."
    ):
        prepare(tmp_path, [0])
    assert left(tmp_path) == []
    (tmp_path / "images.npy.unfinished").write_bytes(bytes(100_000))
    prepare(tmp_path, [0])


def test_preparing_waits_for_nobody(tmp_path):
    """A folder that another process writes is refused."""
    write(tmp_path, 0)
    with locked(tmp_path), refused(f"{tmp_path}: another process is writing here. Wait for it, or stop it."):
        prepare(tmp_path, [0])


@pytest.mark.parametrize("array", ["X", "Y"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_changed_byte_is_noticed(tmp_path, array, compressed):
    """The archive's own checksums are looked at, and nothing is prepared."""
    write(tmp_path, 0, 1, compressed=compressed)
    if compressed:
        content = bytearray((tmp_path / "part1.npz").read_bytes())
        with zipfile.ZipFile(tmp_path / "part1.npz") as archive:
            info = archive.getinfo(f"{array}.npy")
        content[info.header_offset + info.compress_size // 2 + 40] ^= 1
        (tmp_path / "part1.npz").write_bytes(content)
    else:
        damage(tmp_path / "part1.npz", array)
    with pytest.raises(ValueError, match=r"part1.npz: cannot be read: .*Delete it and download it again: deepboot "):
        prepare(tmp_path, [0, 1])
    assert left(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_no_archive_is_refused(tmp_path, content):
    """An empty file, a text and a part that was cut off."""
    write(tmp_path, 0)
    file = tmp_path / "part0.npz"
    file.write_bytes(file.read_bytes()[:100_000] if content is None else content)
    with refused(
        f"{file}: cannot be read: File is not a zip file. Delete it and download it again: "
        f"deepboot data cifar5m download --root {tmp_path} --parts 0"
    ):
        prepare(tmp_path, [0])


X, Y = part(0)
SAVE = "Save it with numpy.savez(file, X=images, Y=labels), or download it again."
IMAGES = "Save the images in this form, or download the part again."
LABELS = "Save the labels as int64, (n,), or download the part again."


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        ({"X": X}, f"expected one array Y, got arrays X. {SAVE}"),
        ({"images": X, "Y": Y}, f"expected one array X, got arrays images, Y. {SAVE}"),
        ({}, f"expected one array X, got arrays (none). {SAVE}"),
        ({"X": X, "x": X, "Y": Y}, f"expected one array X, got arrays X, x, Y. {SAVE}"),
        (
            {"X": X.transpose(0, 3, 1, 2), "Y": Y},
            f"X must be uint8 of shape (n, 32, 32, 3), channels last, got uint8 of shape (60, 3, 32, 32). {IMAGES}",
        ),
        (
            {"X": X / 255, "Y": Y},
            f"X must be uint8 of shape (n, 32, 32, 3), channels last, got float64 of shape (60, 32, 32, 3). {IMAGES}",
        ),
        (
            {"X": np.asfortranarray(X), "Y": Y},
            "X must be uint8 of shape (n, 32, 32, 3), channels last, got uint8 of shape (60, 32, 32, 3) in Fortran "
            f"order. {IMAGES}",
        ),
        (
            {"X": X, "Y": Y.astype(float)},
            f"Y must hold one whole number per image, got float64 of shape (60,). {LABELS}",
        ),
        (
            {"X": X, "Y": np.eye(10, dtype=int)[Y]},
            f"Y must hold one whole number per image, got int64 of shape (60, 10). {LABELS}",
        ),
        (
            {"X": X, "Y": Y[:-1]},
            "expected as many images as labels, and at least one, got 60 and 59. Download the part again.",
        ),
        (
            {"X": X[:0], "Y": Y[:0]},
            "expected as many images as labels, and at least one, got 0 and 0. Download the part again.",
        ),
        (
            {"X": X, "Y": Y + 1},
            f"Y must hold labels from 0 to 9, got 10 for image {Y.argmax()}. Download the part again.",
        ),
        (
            {"X": X, "Y": Y - 1},
            f"Y must hold labels from 0 to 9, got -1 for image {Y.argmin()}. Download the part again.",
        ),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path, saved, sentence):
    """By name, with what to do, and before anything is written."""
    np.savez(tmp_path / "part0.npz", **saved)
    with refused(f"{tmp_path / 'part0.npz'}: {sentence}"):
        prepare(tmp_path, [0])
    assert left(tmp_path) == []


def test_members_that_are_no_arrays_are_refused(tmp_path):
    """Texts, and headers that promise more than there is."""
    file = tmp_path / "part0.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", "one")
        archive.writestr("Y.npy", "two")
    with pytest.raises(ValueError, match=rf"part0.npz: X is no array of numbers \(.*\). {re.escape(SAVE)}"):
        prepare(tmp_path, [0])
    write(tmp_path, 0)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("X.npy", members["X.npy"][:-5])
        archive.writestr("Y.npy", members["Y.npy"])
    with refused(f"{file}: X must have 184,320 bytes of values by its header, got 184,315. Download the part again."):
        prepare(tmp_path, [0])


def test_verifying_says_what_is_there(tmp_path, monkeypatch):
    """Small files are told from the published set, and the published set from a part of it."""
    write(tmp_path, 0, 5)
    prepare(tmp_path, [0, 5])
    lines = [f"part {number}: 60 images, checksums and labels right" for number in (0, 5)]
    assert verify(tmp_path) == [*lines, "Not the published CIFAR-5m, whose parts have 1,000,448 images each."]
    monkeypatch.setattr(prepared, "OFFICIAL_IMAGES", 60)
    official = "120 images, as many as these parts of the published CIFAR-5m have; without parts 1, 2, 3, 4."
    assert verify(tmp_path) == [*lines, official]


def change(file, place, value):
    with file.open("r+b") as opened:
        opened.seek(place, os.SEEK_END)
        opened.write(value)


def test_verifying_notices_every_change(tmp_path):
    """A pixel, a label in range, a label out of range, and a count in the index, each in its part."""
    write(tmp_path, 0, 5)
    prepare(tmp_path, [0, 5])
    kept = {name: (tmp_path / name).read_bytes() for name in FILES}
    again = (
        f"Delete {tmp_path / 'cifar5m.json'} and prepare again: deepboot data cifar5m prepare --root {tmp_path} "
        "--parts 0 5"
    )
    old, last = part(5)[1][-1], -COUNT * 3_072 - 1
    for name, place, value, expected in [
        ("images.npy", -1, None, ["part 5: its images must have SHA-256"]),
        ("images.npy", last, None, ["part 0: its images must have SHA-256"]),
        ("labels.npy", -1, (old + 1) % 10, ["part 5: its labels must have SHA-256", "part 5: its classes must have"]),
        ("labels.npy", -1, 10, ["part 5: its labels must have SHA-256", "part 5: its labels must be from 0 to 9"]),
    ]:
        change(tmp_path / name, place, bytes([kept[name][place] ^ 1 if value is None else value]))
        with pytest.raises(ValueError, match="must") as caught:
            verify(tmp_path)
        *problems, cure = str(caught.value).split("\n")
        assert cure == again
        assert len(problems) == len(expected)
        assert all(one.startswith(f"{tmp_path}: {two}") for one, two in zip(problems, expected, strict=True))
        (tmp_path / name).write_bytes(kept[name])
    index = json.loads(kept["cifar5m.json"])
    index["parts"][1]["class_counts"] = [7, 5, *[6] * 8]
    (tmp_path / "cifar5m.json").write_text(json.dumps(index))
    with refused(
        f"{tmp_path}: part 5: its classes must have [7, 5, 6, 6, 6, 6, 6, 6, 6, 6] images, got "
        f"[6, 6, 6, 6, 6, 6, 6, 6, 6, 6].\n{again}"
    ):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected", "got"),
    [
        ("images.npy", lambda old: old[:-1], "uint8 of shape (60, 3, 32, 32)", None),
        ("images.npy", lambda old: old + b"12", "no bytes behind the array", "2"),
        ("labels.npy", lambda old: b"", "uint8 of shape (60,)", None),
        ("labels.npy", None, "uint8 of shape (60,)", None),
        ("cifar5m.json", lambda old: old[:-9], "what preparing wrote", "something else"),
        ("cifar5m.json", lambda old: b'{"format": 2, "parts": []}', "what preparing wrote", "something else"),
    ],
)
def test_files_of_another_size_are_not_read(tmp_path, name, content, expected, got):
    """Cut, prolonged, emptied or missing: a task refuses them at once, and preparing mends them."""
    write(tmp_path, 0)
    prepare(tmp_path, [0])
    file = tmp_path / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content(file.read_bytes()))
    cure = f"Prepare it: deepboot data cifar5m prepare --root {tmp_path}"
    with pytest.raises(ValueError, match="expected") as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{file}: expected {expected}, got {got or ''}")
    assert str(caught.value).endswith(cure)
    prepare(tmp_path, [0])
    assert verify(tmp_path)

"""The published parts of CIFAR-5m: their names, and their arrays read block by block.

A part is an ``.npz`` with uint8 images ``X``, (n, 32, 32, 3), and integer labels ``Y``, (n,). Six parts of
1,000,448 images each; smaller ones of the same form are as good.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from deepboot.datasets.cifar5m.folder import command

OFFICIAL_URL = "https://storage.googleapis.com/gresearch/cifar5m"
OFFICIAL_IMAGES = 1_000_448  # in each part
ALL_PARTS = (0, 1, 2, 3, 4, 5)
IMAGE = (32, 32, 3)
IMAGE_BYTES = 32 * 32 * 3
CLASSES = 10
BLOCK = 4_096  # images read at a time, 12.6 MB

READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Part:
    """One published file whose headers have been checked.

    Attributes:
        images, labels: the names of its two arrays, X and Y in either case.
        count: how many images it has.
    """

    number: int
    file: Path
    images: str
    labels: str
    count: int


class Header(NamedTuple):
    """The header of an array in the file, and how many bytes of values really follow it."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    value_bytes: int


def part_numbers(parts: Iterable[int]) -> list[int]:
    """The numbers of these parts, each once, in the order of the published set.

    Raises:
        ValueError: a number that no part has, or none at all.
    """
    parts = list(parts)
    for part in parts:
        if part not in ALL_PARTS:
            raise ValueError(f"--parts: expected numbers from 0 to 5, got {part}. Name some of 0 1 2 3 4 5.")
    if not parts:
        raise ValueError("--parts: expected numbers from 0 to 5, got none. Name some of 0 1 2 3 4 5.")
    return sorted(set(parts))


def find(root: Path, number: int) -> Path | None:
    """The file of a part under either of its two names; None if there is none.

    Raises:
        ValueError: both are there.
    """
    names = [f"part{number}.npz", f"cifar5m_part{number}.npz"]
    files = [root / name for name in names if (root / name).is_file()]
    if len(files) > 1:
        raise ValueError(f"{root}: part {number} is there twice, as {names[0]} and as {names[1]}. Remove one of them.")
    return files[0] if files else None


def opened(file: Path, number: int) -> Part:
    """A part of the published form, by its headers; its values are not read.

    Raises:
        ValueError: it cannot be read, or holds other arrays.
    """
    with _damage_reported(file, number), zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    keys = {}
    for key in ("X", "Y"):
        matching = [name for name in names if name.upper() == key]
        if len(matching) != 1:
            raise ValueError(
                f"{file}: expected one array {key}, got arrays {', '.join(names) or '(none)'}. "
                "Save it with numpy.savez(file, X=images, Y=labels), or download it again."
            )
        keys[key] = matching[0]
    return Part(number, file, keys["X"], keys["Y"], _image_count(file, number, keys["X"], keys["Y"]))


def _image_count(file: Path, number: int, images: str, labels: str) -> int:
    """The number of images in a file, after its arrays' headers have been checked."""
    x, y = (_header(file, number, name) for name in (images, labels))
    if x.shape[1:] != IMAGE or len(x.shape) != 4 or x.fortran or x.dtype != np.uint8:
        order = " in Fortran order" if x.fortran else ""
        raise ValueError(
            f"{file}: {images} must be uint8 of shape (n, 32, 32, 3), channels last, got {x.dtype} of shape {x.shape}"
            f"{order}. Save the images in this form, or download the part again."
        )
    if len(y.shape) != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{file}: {labels} must hold one whole number per image, got {y.dtype} of shape {y.shape}. "
            "Save the labels as int64, (n,), or download the part again."
        )
    if x.shape != (*y.shape, *IMAGE) or not x.shape[0]:
        raise ValueError(
            f"{file}: expected as many images as labels, and at least one, got {x.shape[0]:,} and {y.shape[0]:,}. "
            "Download the part again."
        )
    for name, header, bytes_each in ((images, x, IMAGE_BYTES), (labels, y, y.dtype.itemsize)):
        if header.value_bytes != header.shape[0] * bytes_each:
            raise ValueError(
                f"{file}: {name} must have {header.shape[0] * bytes_each:,} bytes of values by its header, "
                f"got {header.value_bytes:,}. Download the part again."
            )
    return x.shape[0]


def labels_of(part: Part) -> np.ndarray:
    """All labels of a part, uint8, (n,).

    Raises:
        ValueError: damage, or a label that is none of 0 to 9.
    """
    with _member(part.file, part.number, part.labels) as stream:
        dtype = _read_header(stream)[2]
        y = np.frombuffer(stream.read(), dtype)
    wrong = (y < 0) | (y >= CLASSES)
    if wrong.any():
        raise ValueError(
            f"{part.file}: {part.labels} must hold labels from 0 to 9, got {y[wrong.argmax()]} for image "
            f"{wrong.argmax():,}. Download the part again."
        )
    return y.astype(np.uint8)


def blocks(part: Part) -> Iterator[np.ndarray]:
    """The images of a part in their order, some at a time, uint8, (up to ``BLOCK``, 32, 32, 3).

    The archive's own checksum of all of them is compared when the last has been read.

    Raises:
        ValueError: damage.
    """
    with _member(part.file, part.number, part.images) as stream:
        _read_header(stream)
        for begin in range(0, part.count, BLOCK):
            count = min(BLOCK, part.count - begin)
            yield np.frombuffer(stream.read(count * IMAGE_BYTES), np.uint8).reshape(count, *IMAGE)
        stream.read(1)  # returns nothing, but zipfile compares the checksum at the end of the array


@contextmanager
def _member(file: Path, number: int, name: str) -> Iterator[IO[bytes]]:
    """One array of an archive as a stream of bytes that begins with its header."""
    with _damage_reported(file, number), zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        yield stream


def _header(file: Path, number: int, name: str) -> Header:
    """The header of one array of an archive."""
    with _damage_reported(file, number), zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        try:
            shape, fortran, dtype = _read_header(stream)
        except (ValueError, KeyError) as error:
            raise ValueError(
                f"{file}: {name} is no array of numbers ({error}). "
                "Save it with numpy.savez(file, X=images, Y=labels), or download it again."
            ) from error
        return Header(shape, fortran, dtype, archive.getinfo(f"{name}.npy").file_size - stream.tell())


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether it is in Fortran order, and dtype; the stream is then at the first value."""
    version = np.lib.format.read_magic(stream)
    return READERS[version](stream)


@contextmanager
def _damage_reported(file: Path, number: int) -> Iterator[None]:
    """Any error of a damaged archive becomes a ValueError with the command that downloads it again."""
    try:
        yield
    except DAMAGE as error:
        raise ValueError(
            f"{file}: cannot be read: {error}. Delete it and download it again: "
            f"{command('download', file.parent, [number])}"
        ) from error

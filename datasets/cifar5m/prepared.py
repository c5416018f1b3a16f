"""The prepared array of CIFAR-5m: its index, its two files mapped into memory, and their check."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveInt, ValidationError

from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.study.paths import expanded
from deepboot.datasets.cifar5m.folder import Advance, Progress, bytes_of, command, silent
from deepboot.datasets.cifar5m.published import ALL_PARTS, BLOCK, CLASSES, IMAGE_BYTES, OFFICIAL_IMAGES

INDEX, IMAGES, LABELS = "cifar5m.json", "images.npy", "labels.npy"
IMAGE = (3, 32, 32)


class PreparedPart(Settings):
    """One part in the array.

    Attributes:
        part: its number.
        source: the file that it was read from.
        count: its number of images.
        class_counts: how many of them have each label.
        images_sha256, labels_sha256: of its bytes in the two files.
    """

    part: Annotated[int, Field(ge=0, le=5)]
    source: str
    count: PositiveInt
    class_counts: Annotated[tuple[int, ...], Field(min_length=CLASSES, max_length=CLASSES)]
    images_sha256: str
    labels_sha256: str


class Prepared(Settings):
    """The index of a prepared array: its parts in their order in the two files."""

    format: Literal[1] = 1
    parts: Annotated[tuple[PreparedPart, ...], Field(min_length=1)]

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(entry.count for entry in self.parts)

    def rows(self, part: int) -> range:
        """The rows of a part's images in both files."""
        position = [entry.part for entry in self.parts].index(part)
        begin = sum(entry.count for entry in self.parts[:position])
        return range(begin, begin + self.parts[position].count)


class Arrays(NamedTuple):
    """Images, uint8, (n, 3, 32, 32), and labels, uint8, (n,), mapped from their files and read where needed."""

    images: np.ndarray
    labels: np.ndarray


def read(root: str | Path) -> Prepared:
    """The index of the prepared array in a folder.

    Raises:
        ValueError: there is none, or the files are not as it says.
    """
    root = expanded(root)
    file = root / INDEX
    if not file.is_file():
        raise ValueError(f"{root}: no prepared CIFAR-5m here ({INDEX} is missing). {_cure(root)}")
    try:
        index = Prepared.model_validate_json(file.read_bytes(), strict=True)
    except (ValidationError, OSError) as error:
        raise ValueError(f"{file}: expected what preparing wrote, got something else. {_cure(root)}") from error
    arrays(root, index)
    return index


def arrays(root: Path, index: Prepared) -> Arrays:
    """Both files of a prepared array, mapped.

    Raises:
        ValueError: one is missing, or of another size than the index says.
    """
    shapes = {IMAGES: (index.count, *IMAGE), LABELS: (index.count,)}
    return Arrays(*(_mapped(root, name, shape) for name, shape in shapes.items()))


def _mapped(root: Path, name: str, shape: tuple[int, ...]) -> np.memmap:
    """One file of a prepared array, mapped, after its size and dtype have been checked."""
    file, array = root / name, None
    try:
        array = np.lib.format.open_memmap(file, mode="r")
        got = f"{array.dtype} of shape {array.shape}"
    except (OSError, ValueError, EOFError) as error:
        got = str(error)
    if array is None or array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"{file}: expected uint8 of shape {shape}, got {got}. {_cure(root)}")
    surplus = bytes_of(file) - array.offset - array.nbytes
    if surplus:
        raise ValueError(f"{file}: expected no bytes behind the array, got {surplus:,}. {_cure(root)}")
    return array


def rows_of(whole: Arrays, rows: range) -> Arrays:
    """Some rows of both."""
    return Arrays(*(array[rows.start : rows.stop] for array in whole))


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Images in their order, (up to ``BLOCK``, 3, 32, 32) at a time."""
    return (images[begin : begin + BLOCK] for begin in range(0, len(images), BLOCK))


def _cure(root: Path) -> str:
    """How to get a prepared array, as the last sentence of a message."""
    return f"Prepare it: {command('prepare', root)}"


def fingerprint(index: Prepared, *splits: tuple[int, ...]) -> str:
    """A SHA-256 of the stored checksums of parts, in hexadecimal: another one for other images or labels.

    Args:
        splits: numbers of parts; the same parts divided otherwise have another fingerprint.
    """
    by_part = {entry.part: entry for entry in index.parts}
    sums = [[[by_part[part].images_sha256, by_part[part].labels_sha256] for part in parts] for parts in splits]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def class_counts(labels: np.ndarray) -> tuple[int, ...]:
    """How many labels there are of each class."""
    return tuple(np.bincount(labels, minlength=CLASSES).tolist())


def verify(root: str | Path, *, progress: Progress = silent) -> list[str]:
    """What a prepared array holds, after all of it has been read: a line per part, and how it compares as a whole.

    Raises:
        ValueError: all that is not as the index says, one line each.
    """
    root = expanded(root)
    index = read(root)
    whole = arrays(root, index)
    problems: list[str] = []
    with progress(index.count * IMAGE_BYTES) as advance:
        for entry in index.parts:
            part = rows_of(whole, index.rows(entry.part))
            problems += [f"{root}: part {entry.part}: {problem}" for problem in _problems(entry, part, advance)]
    if problems:
        again = command("prepare", root, [entry.part for entry in index.parts])
        raise ValueError("\n".join([*problems, f"Delete {root / INDEX} and prepare again: {again}"]))
    lines = [f"part {entry.part}: {entry.count:,} images, checksums and labels right" for entry in index.parts]
    return [*lines, _comparison(index)]


def _problems(entry: PreparedPart, part: Arrays, advance: Advance) -> Iterator[str]:
    """Problems of one part: checksums, labels or classes that are not those of the index."""
    pixels = hashlib.sha256()
    for block in blocks(part.images):
        pixels.update(block.data)
        advance(block.nbytes)
    labels = np.array(part.labels)
    if pixels.hexdigest() != entry.images_sha256:
        yield f"its images must have SHA-256 {entry.images_sha256}, got {pixels.hexdigest()}."
    if hashlib.sha256(labels.data).hexdigest() != entry.labels_sha256:
        yield f"its labels must have SHA-256 {entry.labels_sha256}, got {hashlib.sha256(labels.data).hexdigest()}."
    if labels.max() >= CLASSES:
        yield f"its labels must be from 0 to 9, got {labels.max()}."
    elif class_counts(labels) != entry.class_counts:
        yield f"its classes must have {list(entry.class_counts)} images, got {list(class_counts(labels))}."


def _comparison(index: Prepared) -> str:
    """How the parts compare with the published set."""
    missing = sorted(set(ALL_PARTS) - {entry.part for entry in index.parts})
    if any(entry.count != OFFICIAL_IMAGES for entry in index.parts):
        return f"Not the published CIFAR-5m, whose parts have {OFFICIAL_IMAGES:,} images each."
    lacking = f"; without parts {', '.join(map(str, missing))}" if missing else ""
    return f"{index.count:,} images, as many as these parts of the published CIFAR-5m have{lacking}."

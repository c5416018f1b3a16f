"""From the published parts to one array: images channels first, all parts one after another."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from deepboot.bootstrap.study.paths import expanded
from deepboot.datasets.cifar5m import prepared, published
from deepboot.datasets.cifar5m.folder import (
    Advance,
    Progress,
    bytes_of,
    check_free_space,
    command,
    finish,
    locked,
    silent,
)
from deepboot.datasets.cifar5m.prepared import IMAGES, INDEX, LABELS, Prepared, PreparedPart
from deepboot.datasets.cifar5m.published import ALL_PARTS, IMAGE_BYTES

HEADERS = 1_024  # bytes, more than the headers of both files take
UNFINISHED = ".unfinished"


class Source(NamedTuple):
    """A part that is to be written into the array.

    Attributes:
        file: the name of the published file.
        labels: uint8, (n,).
        blocks: its images, uint8, (some, 3, 32, 32) at a time.
        old_entry: its entry in the old index, where it is taken from the array that was there before.
    """

    part: int
    file: str
    labels: np.ndarray
    blocks: Iterator[np.ndarray]
    old_entry: PreparedPart | None = None


def prepare(root: str | Path, parts: Sequence[int] = ALL_PARTS, *, progress: Progress = silent) -> Prepared:
    """Write the prepared array of these parts, and of those that it had before, unless it has them all.

    Parts that it had before are taken from it; their published files may be gone.

    The files get their names when all is written, ``cifar5m.json`` last: what was interrupted never looks
    finished, and is begun anew. At no time is more than a block of images in memory.

    Args:
        root: folder of the published parts, in which the array is written too.
        parts: their numbers.
        progress: shows the bytes of images that are written.

    Raises:
        ValueError: a part is missing, damaged or of another form, or the disk has no room.
    """
    root = expanded(root)
    wanted = set(published.part_numbers(parts))
    if not root.is_dir():
        raise ValueError(f"{root} is no folder. Download the parts first: {command('download', root, sorted(wanted))}")
    with locked(root):
        old = _old_index(root)
        old_entries = {entry.part: entry for entry in old.parts} if old else {}
        if old and wanted <= {*old_entries}:
            return old
        sources = [
            _from_array(root, old, old_entries[number]) if old and number in old_entries else _from_file(root, number)
            for number in sorted(wanted | {*old_entries})
        ]
        count = sum(len(source.labels) for source in sources)
        check_free_space(root, count * (IMAGE_BYTES + 1) + HEADERS, bytes_of(_unfinished(root, IMAGES)))
        try:
            with progress(count * IMAGE_BYTES) as advance:
                entries = _write(root, sources, count, advance)
            return _name_files(root, entries)
        finally:
            for name in (IMAGES, LABELS, INDEX):
                _unfinished(root, name).unlink(missing_ok=True)


def _old_index(root: Path) -> Prepared | None:
    """The index of the array that was prepared before, None if there is none or its files are not as it says."""
    with suppress(ValueError):
        return prepared.read(root)
    return None


def _from_file(root: Path, number: int) -> Source:
    """A part from its published file."""
    file = published.find(root, number)
    if file is None:
        raise ValueError(
            f"{root}: part {number} is missing, expected part{number}.npz or cifar5m_part{number}.npz. "
            f"Download it: {command('download', root, [number])}. Or name those that are there with --parts."
        )
    part = published.opened(file, number)
    return Source(number, file.name, published.labels_of(part), map(_channels_first, published.blocks(part)))


def _channels_first(block: np.ndarray) -> np.ndarray:
    """Images with the axis of their channels moved; a reshape would mix their pixels."""
    return np.ascontiguousarray(block.transpose(0, 3, 1, 2))


def _from_array(root: Path, old: Prepared, entry: PreparedPart) -> Source:
    """A part from the array that was prepared before."""
    part = prepared.rows_of(prepared.arrays(root, old), old.rows(entry.part))
    return Source(entry.part, entry.source, np.array(part.labels), prepared.blocks(part.images), entry)


def _write(root: Path, sources: list[Source], count: int, advance: Advance) -> tuple[PreparedPart, ...]:
    """Write all images and labels under unfinished names."""
    with _unfinished(root, IMAGES).open("wb") as images, _unfinished(root, LABELS).open("wb") as labels:
        _write_header(images, (count, *prepared.IMAGE))
        _write_header(labels, (count,))
        return tuple(_append(source, images, labels, advance) for source in sources)


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _append(source: Source, images: IO[bytes], labels: IO[bytes], advance: Advance) -> PreparedPart:
    """Append one part to both files, and return its entry in the index.

    Raises:
        ValueError: it was taken from the array that was there before, and its checksums are others now.
    """
    pixels = hashlib.sha256()
    for block in source.blocks:
        images.write(block.data)
        pixels.update(block.data)
        advance(block.nbytes)
    labels.write(source.labels.data)
    entry = PreparedPart(
        part=source.part,
        source=source.file,
        count=len(source.labels),
        class_counts=prepared.class_counts(source.labels),
        images_sha256=pixels.hexdigest(),
        labels_sha256=hashlib.sha256(source.labels.data).hexdigest(),
    )
    if source.old_entry not in (None, entry):
        raise ValueError(
            f"part {source.part} has changed since it was prepared: its checksums are others. Delete {INDEX} and "
            "prepare all parts again from their .npz files."
        )
    return entry


def _name_files(root: Path, entries: tuple[PreparedPart, ...]) -> Prepared:
    """The new index, after the finished files have been given their names, its own the last."""
    index = Prepared(parts=entries)
    _unfinished(root, INDEX).write_text(index.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (root / INDEX).unlink(missing_ok=True)  # between the old index and the new one nothing looks finished
    for name in (IMAGES, LABELS, INDEX):
        finish(_unfinished(root, name), root / name)
    return prepared.read(root)


def _unfinished(root: Path, name: str) -> Path:
    return root / f"{name}{UNFINISHED}"

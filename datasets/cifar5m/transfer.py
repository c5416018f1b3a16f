"""Downloading the published parts: a transfer that broke off goes on where it stopped."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from deepboot.bootstrap.study.paths import expanded
from deepboot.datasets.cifar5m import published
from deepboot.datasets.cifar5m.folder import Advance, Progress, bytes_of, check_free_space, finish, locked, silent
from deepboot.datasets.cifar5m.published import ALL_PARTS, OFFICIAL_IMAGES, OFFICIAL_URL

ATTEMPTS = 6  # in a row that bring nothing
TIMEOUT = 60  # seconds without a byte
CHUNK = 1 << 20
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
BROKEN = (URLError, HTTPException, ConnectionError, TimeoutError, SSLError)

Pause = Callable[[float], object]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Wanted:
    """A file to be downloaded: its size in bytes on the server, and its path in the folder."""

    part: int
    url: str
    size: int
    file: Path

    @property
    def unfinished(self) -> Path:
        """Its path until all of it has come."""
        return _unfinished(self.file)


def download(
    root: str | Path,
    parts: Sequence[int] = ALL_PARTS,
    base_url: str = OFFICIAL_URL,
    *,
    progress: Progress = silent,
    pause: Pause = time.sleep,
) -> list[Path]:
    """The files of these parts, after those that are missing have been fetched.

    Half a file stays under the name ``.part`` and the next download goes on with it. A file gets its name when
    its size is the server's and its headers are those of a part; its contents are checked when it is prepared.

    Args:
        root: where they go; made if it is missing.
        parts: their numbers.
        base_url: the folder of ``part0.npz`` on a server.
        progress: shows the bytes that are missing.
        pause: waits so many seconds, before something that failed is tried again.

    Raises:
        ValueError: the server has no such file, is out of reach, or sends something else; or the disk has no room.
    """
    root, numbers = expanded(root), published.part_numbers(parts)
    if not re.match(r"https?://", base_url):
        raise ValueError(f"--url: expected an address with http:// or https://, got {base_url!r}. Write it in full.")
    with locked(root):
        missing = [number for number in numbers if _existing(root, number) is None]
        files = [_wanted(root, number, base_url, pause) for number in missing]
        missing_bytes = sum(wanted.size - bytes_of(wanted.unfinished) for wanted in files)
        check_free_space(root, missing_bytes)
        with progress(missing_bytes) as advance:
            for wanted in files:
                _fetch(wanted, advance, pause)
                _accept(wanted, official=base_url.rstrip("/") == OFFICIAL_URL)
        return [file for number in numbers if (file := _existing(root, number)) is not None]


def _existing(root: Path, number: int) -> Path | None:
    """The file of a part that is in the folder already, after its headers have been checked; None if there is none."""
    file = published.find(root, number)
    if file is not None:
        published.opened(file, number)
    return file


def _unfinished(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _wanted(root: Path, number: int, base_url: str, pause: Pause) -> Wanted:
    """The file of a part, with its size on the server."""
    name = f"part{number}.npz"
    url, file = f"{base_url.rstrip('/')}/{name}", root / name
    size = _patiently(lambda: _size_on_server(url), url, pause)
    if bytes_of(_unfinished(file)) > size:
        _unfinished(file).unlink()  # it is part of another file
    return Wanted(number, url, size, file)


def _size_on_server(url: str) -> int:
    """The size of a file in bytes, from a request for its first byte, since some servers answer nothing but GET."""
    with _open(url, "bytes=0-0") as answer:
        header = answer.headers.get("Content-Range" if answer.status == 206 else "Content-Length", "")
    size = header.rpartition("/")[2]
    if not size.isdecimal():
        raise ValueError(f"{url}: the server does not say how long the file is. Name another one with --url.")
    return int(size)


def _fetch(wanted: Wanted, advance: Advance, pause: Pause) -> None:
    """Bring the rest of a file, in as many requests as it takes."""
    while bytes_of(wanted.unfinished) < wanted.size:
        _patiently(lambda: _append(wanted, advance), wanted.url, pause)


def _append(wanted: Wanted, advance: Advance) -> None:
    """Append what one request brings.

    Raises:
        ConnectionError: it brought less than there was before. One of ``BROKEN`` means the same.
    """
    have = bytes_of(wanted.unfinished)
    try:
        with _open(wanted.url, f"bytes={have}-") as answer:
            start = _start(answer, wanted, have)
            advance(start - have)
            with wanted.unfinished.open("ab" if start else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))
    except BROKEN:
        if bytes_of(wanted.unfinished) <= have:
            raise
    if bytes_of(wanted.unfinished) <= have:
        raise ConnectionError(f"the connection ended at byte {bytes_of(wanted.unfinished):,} of {wanted.size:,}")


def _start(answer: HTTPResponse, wanted: Wanted, have: int) -> int:
    """The byte of the file at which an answer begins: the one that was asked for, or 0 from a server without ranges."""
    if answer.status == 206:
        header, start = answer.headers.get("Content-Range", ""), have
        matches = re.fullmatch(rf"bytes {have}-\d+/{wanted.size}", header)
    else:
        header, start = answer.headers.get("Content-Length", ""), 0
        matches = re.fullmatch(str(wanted.size), header)
    if not matches:
        raise ValueError(
            f"{wanted.url}: expected {wanted.size:,} bytes from byte {start:,} on, but the server now sends "
            f"{header!r}. Delete {wanted.unfinished} and download again."
        )
    return start


def _accept(wanted: Wanted, *, official: bool) -> None:
    """Give a file its name if it is a part; delete it if it is not."""
    try:
        count = published.opened(wanted.unfinished, wanted.part).count
    except ValueError as error:
        wanted.unfinished.unlink()
        raise ValueError(
            f"{wanted.url}: what came is no part of CIFAR-5m and has been deleted. The reason: {error}"
        ) from error
    if official and count != OFFICIAL_IMAGES:
        wanted.unfinished.unlink()
        raise ValueError(
            f"{wanted.url}: expected {OFFICIAL_IMAGES:,} images, as published, got {count:,}, which were deleted. "
            "Name another server with --url."
        )
    finish(wanted.unfinished, wanted.file)


def _open(url: str, wanted_range: str) -> HTTPResponse:
    """The server's answer.

    Raises:
        ValueError: it refuses for good.
        ConnectionError: it may answer later. One of ``BROKEN`` means the same.
    """
    request = Request(url, headers={"Range": wanted_range, "User-Agent": "deepboot"})
    try:
        return urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code in TRANSIENT:
            raise ConnectionError(f"the server answers {error.code} {error.reason}") from error
        raise ValueError(f"{url}: the server answers {error.code} {error.reason}. Check --parts and --url.") from error


def _patiently(attempt: Callable[[], Result], url: str, pause: Pause) -> Result:
    """The result of an attempt, which is repeated after 1, 2, 4 … seconds while the connection breaks.

    Raises:
        ValueError: it broke every time.
    """
    for failures in range(ATTEMPTS):
        try:
            return attempt()
        except BROKEN as error:
            last = error.reason if isinstance(error, URLError) else error
            if failures < ATTEMPTS - 1:
                pause(2.0**failures)
    raise ValueError(
        f"{url}: {ATTEMPTS} attempts in a row brought nothing, the last because of: {last}. Check the connection; "
        "then the same command goes on where it stopped."
    )

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
from deepboot.datasets.cifar5m.place import Progress, Tell, bytes_of, check_room, held, keep, silent
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
    """A file of the server, of so many bytes, and where it goes."""

    part: int
    url: str
    size: int
    file: Path

    @property
    def begun(self) -> Path:
        """Where it is until all of it has come."""
        return _begun(self.file)


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
        progress: is told the number of bytes that are missing.
        pause: waits so many seconds, before something that failed is tried again.

    Raises:
        ValueError: the server has no such file, is out of reach, or sends something else; or the disk has no room.
    """
    root, numbers = expanded(root), published.in_order(parts)
    if not re.match(r"https?://", base_url):
        raise ValueError(f"--url: expected an address with http:// or https://, got {base_url!r}. Write it in full.")
    with held(root):
        missing = [number for number in numbers if _here(root, number) is None]
        wanted = [_wanted(root, number, base_url, pause) for number in missing]
        left = sum(each.size - bytes_of(each.begun) for each in wanted)
        check_room(root, left)
        with progress(left) as tell:
            for each in wanted:
                _fetch(each, tell, pause)
                _accept(each, official=base_url.rstrip("/") == OFFICIAL_URL)
        return [file for number in numbers if (file := _here(root, number)) is not None]


def _here(root: Path, number: int) -> Path | None:
    """The file of a part that is there already, and is one."""
    file = published.find(root, number)
    if file is not None:
        published.opened(file, number)
    return file


def _begun(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _wanted(root: Path, number: int, base_url: str, pause: Pause) -> Wanted:
    """What the server says of a file."""
    name = f"part{number}.npz"
    url, file = f"{base_url.rstrip('/')}/{name}", root / name
    size = _patiently(lambda: _asked_size(url), url, pause)
    if bytes_of(_begun(file)) > size:
        _begun(file).unlink()  # what was begun is of another file
    return Wanted(number, url, size, file)


def _asked_size(url: str) -> int:
    """Bytes of a file: asked with a request for its first one, since some servers answer nothing but GET."""
    with _open(url, "bytes=0-0") as answer:
        told = answer.headers.get("Content-Range" if answer.status == 206 else "Content-Length", "")
    size = told.rpartition("/")[2]
    if not size.isdecimal():
        raise ValueError(f"{url}: the server does not say how long the file is. Name another one with --url.")
    return int(size)


def _fetch(wanted: Wanted, tell: Tell, pause: Pause) -> None:
    """Bring the rest of a file, in as many requests as it takes."""
    while bytes_of(wanted.begun) < wanted.size:
        _patiently(lambda: _append(wanted, tell), wanted.url, pause)


def _append(wanted: Wanted, tell: Tell) -> None:
    """Append what one request brings.

    Raises:
        ConnectionError: it brought less than there was before. One of ``BROKEN`` means the same.
    """
    have = bytes_of(wanted.begun)
    try:
        with _open(wanted.url, f"bytes={have}-") as answer:
            start = _start(answer, wanted, have)
            tell(start - have)
            with wanted.begun.open("ab" if start else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    tell(len(chunk))
    except BROKEN:
        if bytes_of(wanted.begun) <= have:
            raise
    if bytes_of(wanted.begun) <= have:
        raise ConnectionError(f"the connection ended at byte {bytes_of(wanted.begun):,} of {wanted.size:,}")


def _start(answer: HTTPResponse, wanted: Wanted, have: int) -> int:
    """The place in the file where an answer begins: where it was asked to, or 0 where the server knows no ranges."""
    if answer.status == 206:
        told = answer.headers.get("Content-Range", "")
        expected = re.fullmatch(rf"bytes {have}-\d+/{wanted.size}", told)
        start = have
    else:
        told = answer.headers.get("Content-Length", "")
        expected = re.fullmatch(str(wanted.size), told)
        start = 0
    if not expected:
        raise ValueError(
            f"{wanted.url}: expected {wanted.size:,} bytes from byte {start:,} on, but the server now sends {told!r}. "
            f"Delete {wanted.begun} and download again."
        )
    return start


def _accept(wanted: Wanted, *, official: bool) -> None:
    """Give a file its name if it is a part; delete it if it is not."""
    try:
        count = published.opened(wanted.begun, wanted.part).count
    except ValueError as error:
        wanted.begun.unlink()
        raise ValueError(
            f"{wanted.url}: what came is no part of CIFAR-5m and has been deleted. The reason: {error}"
        ) from error
    if official and count != OFFICIAL_IMAGES:
        wanted.begun.unlink()
        raise ValueError(
            f"{wanted.url}: expected {OFFICIAL_IMAGES:,} images, as published, got {count:,}, which were deleted. "
            "Name another server with --url."
        )
    keep(wanted.begun, wanted.file)


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
    """What an attempt brings, which is repeated after 1, 2, 4 … seconds while the connection breaks.

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

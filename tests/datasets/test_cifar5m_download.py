"""Downloading CIFAR-5m's parts from a server that misbehaves."""

import re
import shutil

import pytest

from deepboot.datasets.cifar5m import download, transfer
from deepboot.datasets.cifar5m.folder import locked
from tests.datasets.published import serving, write

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def fetch(server, tmp_path):
    """Downloads part 0, noting the pauses."""

    def call(parts=(0,), **changes):
        call.pauses = []
        return download(tmp_path / "here", parts, server.url, pause=call.pauses.append, **changes)

    return call


def refused(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def whole(server, tmp_path, number=0):
    return (tmp_path / "here" / f"part{number}.npz").read_bytes() == (server.folder / f"part{number}.npz").read_bytes()


class Told:
    """Progress that remembers its total and what it was told."""

    def __call__(self, total):
        self.total, self.counts = total, []
        return self

    def __enter__(self):
        return self.counts.append

    def __exit__(self, *args):
        pass


def test_parts_are_fetched_once(server, tmp_path, fetch):
    """All bytes come, are counted, and are not asked for again."""
    told = Told()
    files = fetch((5, 0), progress=told)
    assert files == [tmp_path / "here" / "part0.npz", tmp_path / "here" / "part5.npz"]
    assert whole(server, tmp_path, 0)
    assert whole(server, tmp_path, 5)
    assert sum(told.counts) == told.total == sum(file.stat().st_size for file in files)
    server.asked.clear()
    assert fetch((5, 0)) == files
    assert server.asked == []
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [".lock", "part0.npz", "part5.npz"]


def test_a_part_under_its_other_name_is_not_fetched(server, tmp_path, fetch):
    """``cifar5m_part0.npz`` is part 0."""
    write(tmp_path / "here", 0, name="cifar5m_part{}.npz")
    assert fetch() == [tmp_path / "here" / "cifar5m_part0.npz"]
    assert server.asked == []


def test_dropped_connections_go_on_where_they_stopped(server, tmp_path, fetch):
    """Every request asks for what is missing; none that brought something counts as a failure."""
    server.faults = ["", *["drop 20000"] * 7]
    fetch()
    assert whole(server, tmp_path)
    assert server.asked[1:] == [f"bytes={20_000 * place}-" for place in range(8)]
    assert fetch.pauses == []


def test_an_interrupted_download_is_resumed(server, tmp_path, fetch):
    """What a stopped process left is kept, and only the rest is fetched and counted."""
    size = (server.folder / "part0.npz").stat().st_size

    def stop(seconds):
        raise KeyboardInterrupt

    server.faults = ["", "drop 1000", "drop 0"]
    with pytest.raises(KeyboardInterrupt):
        download(tmp_path / "here", [0], server.url, pause=stop)
    assert (tmp_path / "here" / "part0.npz.part").stat().st_size == 1_000
    assert not (tmp_path / "here" / "part0.npz").exists()
    told = Told()
    fetch(progress=told)
    assert whole(server, tmp_path)
    assert server.asked[-1] == "bytes=1000-"
    assert sum(told.counts) == told.total == size - 1_000


def test_a_server_that_knows_no_ranges_starts_over(server, tmp_path, fetch):
    """The beginning is not appended to what is there already, and what comes twice is counted once."""
    server.ranges, server.faults, told = False, ["", "drop 20000"], Told()
    fetch(progress=told)
    assert whole(server, tmp_path)
    assert sum(told.counts) == told.total


def test_too_long_a_beginning_is_of_another_file(server, tmp_path, fetch):
    """It is thrown away."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "part0.npz.part").write_bytes(bytes(1_000_000))
    fetch()
    assert whole(server, tmp_path)


def test_failures_are_repeated_with_longer_pauses(server, tmp_path, fetch):
    """A busy server, and connections that bring nothing."""
    server.faults = ["503", "429", "", "drop 0", "500", "drop 0"]
    fetch()
    assert whole(server, tmp_path)
    assert fetch.pauses == [1, 2, 1, 2, 4]


def test_a_server_that_only_fails_is_given_up(server, fetch):
    """After six attempts, and what to do is said."""
    server.faults = ["503"] * 6
    with refused(
        f"{server.url}/part0.npz: 6 attempts in a row brought nothing, the last because of: the server answers 503 "
        "Service Unavailable. Check the connection; then the same command goes on where it stopped."
    ):
        fetch()
    assert fetch.pauses == [1, 2, 4, 8, 16]


def test_connections_that_always_break_are_given_up(server, tmp_path, fetch):
    """A server without ranges that never gets further than the last time."""
    server.ranges, server.faults = False, ["", *["drop 20000"] * 7]
    size = (server.folder / "part0.npz").stat().st_size
    with refused(
        f"{server.url}/part0.npz: 6 attempts in a row brought nothing, the last because of: the connection ended at "
        f"byte 20,000 of {size:,}. Check the connection; then the same command goes on where it stopped."
    ):
        fetch()
    assert (tmp_path / "here" / "part0.npz.part").stat().st_size == 20_000


def test_nobody_there_is_given_up(tmp_path):
    """A port on which nothing listens."""
    with serving(tmp_path) as server:
        url = server.url
    with pytest.raises(ValueError, match=r"6 attempts in a row brought nothing, the last because of: .*refused"):
        download(tmp_path / "here", [0], url, pause=lambda seconds: None)


def test_a_missing_file_is_refused_at_once(server, tmp_path, fetch):
    """404 is no failure that passes, and no other part is fetched before it is noticed."""
    with refused(f"{server.url}/part3.npz: the server answers 404 Not Found. Check --parts and --url."):
        fetch((0, 3))
    assert fetch.pauses == []
    assert not list((tmp_path / "here").glob("part*"))


def test_a_file_that_changes_its_size_is_refused(server, tmp_path, fetch):
    """Two files must not be put together."""
    size = (server.folder / "part0.npz").stat().st_size
    server.faults = ["", "drop 1000", "other"]
    with refused(
        f"{server.url}/part0.npz: expected {size:,} bytes from byte 1,000 on, but the server now sends 'bytes "
        f"1000-{size + 3}/{size + 4}'. Delete {tmp_path / 'here' / 'part0.npz.part'} and download again."
    ):
        fetch()


def test_a_server_that_keeps_lengths_to_itself_is_refused(server, fetch):
    """Without a length nobody knows when a file is complete."""
    server.ranges = server.says_length = False
    with refused(f"{server.url}/part0.npz: the server does not say how long the file is. Name another one with --url."):
        fetch()


def test_something_else_under_the_name_is_deleted(server, tmp_path, fetch):
    """A page of text, or a file that was cut on the server, is no part."""
    (server.folder / "part0.npz").write_bytes((server.folder / "part5.npz").read_bytes()[:-100])
    here = tmp_path / "here"
    with refused(
        f"{server.url}/part0.npz: what came is no part of CIFAR-5m and has been deleted. The reason: "
        f"{here / 'part0.npz.part'}: cannot be read: File is not a zip file. Delete it and download it again: "
        f"deepboot data cifar5m download --root {here} --parts 0"
    ):
        fetch()
    assert not list(here.glob("part*"))


def test_the_official_server_has_parts_of_official_size(server, monkeypatch, fetch, tmp_path):
    """Another number of images under the official address is refused; elsewhere any number will do."""
    monkeypatch.setattr(transfer, "OFFICIAL_URL", server.url)
    with refused(
        f"{server.url}/part0.npz: expected 1,000,448 images, as published, got 60, which were deleted. "
        "Name another server with --url."
    ):
        fetch()
    assert not list((tmp_path / "here").glob("part*"))


def test_a_full_disk_is_noticed_before_anything_is_fetched(server, tmp_path, monkeypatch, fetch):
    """The sizes of all parts are asked first."""
    usage = shutil.disk_usage(tmp_path)
    here = tmp_path / "here"
    needed = sum((server.folder / f"part{number}.npz").stat().st_size for number in (0, 5))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with refused(
        f"{here}: {needed / 1000:.1f} kB are needed, 200.0 kB are free. Free some space, or choose another folder "
        "with --root."
    ):
        fetch((0, 5))
    assert server.asked == ["bytes=0-0"] * 2


def test_two_downloads_into_one_folder_are_refused(tmp_path, fetch):
    """The second one says so, before both append to one file."""
    with (
        locked(tmp_path / "here"),
        refused(f"{tmp_path / 'here'}: another process is writing here. Wait for it, or stop it."),
    ):
        fetch()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    """A file stands in its place."""
    (tmp_path / "here").write_text("")
    with refused(f"{tmp_path / 'here'}: cannot be written: File exists. Choose another folder with --root."):
        download(tmp_path / "here", [0])


@pytest.mark.parametrize("url", ["ftp://example.org", "/data", ""])
def test_other_addresses_are_refused(tmp_path, url):
    """Only the web is read."""
    with refused(f"--url: expected an address with http:// or https://, got {url!r}. Write it in full."):
        download(tmp_path, [0], url)


@pytest.mark.parametrize(("parts", "got"), [([6], "6"), ([0, -1], "-1"), ([], "none")])
def test_other_parts_are_refused(tmp_path, parts, got):
    """There are six, from 0."""
    with refused(f"--parts: expected numbers from 0 to 5, got {got}. Name some of 0 1 2 3 4 5."):
        download(tmp_path, parts)

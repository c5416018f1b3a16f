"""What a person may write for a folder, and what is said where it cannot be had."""

import importlib.util

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.remote import location as locations
from deepboot.runners.remote.location import is_remote, local_path, location


@pytest.mark.parametrize("text", ["s3://bucket/a", "memory://x", "GS://bucket/a", "abfs+x://a"])
def test_a_protocol_makes_a_location(text):
    """Whatever its case; whether it is known is asked later."""
    assert is_remote(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [("results/demo", "results/demo"), ("file:///data/out", "/data/out"), ("FILE:///a", "/a")],
)
def test_a_path_stays_a_path(text, path):
    """Also as a URL."""
    assert not is_remote(text)
    assert local_path(text).as_posix() == path


def test_a_location_has_a_path_and_a_name():
    """A slash at its end makes no difference."""
    one, other = location("memory://a/b/demo"), location("memory://a/b/demo/")
    assert one.url == other.url == "memory://a/b/demo"
    assert one.name == "demo"
    assert one.inside("runs.parquet") == other.inside("runs.parquet") == "/a/b/demo/runs.parquet"


def problem(url):
    with pytest.raises(StudyError) as caught:
        location(url)
    (sentence,) = caught.value.problems
    return sentence


def test_mistakes_in_a_location_are_one_sentence():
    """An unknown protocol with the nearest one, no folder, and a file system inside another."""
    assert problem("sfpt://bucket/a") == (
        "sfpt://bucket/a: unknown protocol 'sfpt'. Did you mean 'sftp'? Known: abfs, az, file, gcs, gs, hdfs, memory, "
        "s3, sftp, smb."
    )
    assert problem("s3://") == (
        "s3://: expected a folder at one location, got 's3://'. Write for instance s3://bucket/results/demo."
    )
    assert problem("zip://a::s3://bucket/a.zip").startswith("zip://a::s3://bucket/a.zip: expected a folder at one")


def test_missing_packages_are_named(monkeypatch):
    """Fsspec is an extra of ours; what a protocol needs beside it is the user's to install."""

    def without(protocol):
        raise ImportError("Install s3fs to access S3")

    with monkeypatch.context() as patch:
        patch.setattr(fsspec, "get_filesystem_class", without)
        assert problem("s3://bucket/a") == "s3://bucket/a: the package s3fs is not installed. Run `pip install s3fs`."
    found = importlib.util.find_spec
    monkeypatch.setattr(locations, "find_spec", lambda name: None if name == "fsspec" else found(name))
    assert problem("s3://bucket/a") == (
        's3://bucket/a: the package fsspec is not installed. Run `pip install "deep-bootstrap[remote]"`.'
    )


class Broken(MemoryFileSystem):
    """A file system that raises the same error whatever it is asked."""

    protocol = "broken"
    error = PermissionError("Access Denied")

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        raise self.error

    def find(self, path, **kwargs):
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            PermissionError("Access Denied"),
            "no access (PermissionError: Access Denied). Give these credentials the right to list, read, write and "
            "delete.",
        ),
        (
            FileNotFoundError("The specified bucket does not exist"),
            "none there (FileNotFoundError: The specified bucket does not exist). Make the bucket first, or correct "
            "its name.",
        ),
        (
            RuntimeError("Unable to locate credentials"),
            "RuntimeError: Unable to locate credentials. Check the address, the network and the credentials.",
        ),
    ],
)
def test_what_a_file_system_raises_ends_a_command_with_status_2(error, told, study, deepboot, monkeypatch):
    """Whether it is written or read; nothing is trained, and no copy stays."""
    fsspec.register_implementation("broken", Broken, clobber=True)
    monkeypatch.setattr(Broken, "error", error)
    for words in (("run", study(), "--out", "broken://a/b"), ("claims", "broken://a/b"), ("report", "broken://a/b")):
        ran = deepboot(*words)
        expected = f"broken://a/b: expected a place to read and write, got {told}\n"
        assert (ran.returncode, ran.stderr) == (2, expected), words

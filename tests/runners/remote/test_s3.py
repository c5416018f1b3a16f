"""A server that speaks S3, in a process of its own, and s3fs before it: what memory cannot show."""

import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

from deepboot.runners import run_study
from deepboot.runners.remote.here import here
from deepboot.runners.remote.location import location
from deepboot.runners.remote.lock import FILE, Lock
from tests.runners.run.test_engine import equal

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of botocore's own
pytest.importorskip("moto.server", reason="moto[server] is not installed")
s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of an empty server, by its URL."""
    port = unused_port()
    address = f"http://127.0.0.1:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        while not answers(address):
            assert server.poll() is None
            time.sleep(0.1)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.kill()
        server.wait()


def unused_port():
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(address):
    """Whether a server is there."""
    try:
        with urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def test_a_study_is_trained_into_a_bucket_and_read_from_there(bucket, study, tmp_path, deepboot):
    """By worker processes, extended, reported and judged; the tables are those of a folder."""
    path, url = study(training__seeds=2), f"{bucket}/results/small"
    assert deepboot("run", path, "--out", url, "--workers", 2, "--pack-size", 2).returncode == 0
    ran = deepboot("run", path, "--out", url, "--set", "training.seeds=3")
    assert ran.returncode == 0, ran.stderr
    run_study(path, tmp_path / "here", workers=1, pack_size=2, changes=["training.seeds=3"])
    with here([url]) as found:
        equal(found.folders[0], tmp_path / "here")
    assert f"Report: {url}/report.html" in deepboot("report", url).stdout
    assert deepboot("claims", url).returncode == 0
    names = location(url).system.find(location(url).path)
    assert not [name for name in names if "shards" in name or "checkpoints" in name or FILE in name]


def test_a_lock_is_made_by_one_alone(bucket, deepboot, study):
    """The server itself refuses the second one; a bucket that is not there is said."""
    held = Lock(location(f"{bucket}/a"))
    with pytest.raises(FileExistsError):
        held._where.system.pipe_file(held._path, b"", mode="create")
    ran = deepboot("run", study(), "--out", f"{bucket}/a")
    assert (ran.returncode, "is being written by process" in ran.stderr) == (2, True)
    held.release()
    for command in (("run", study(), "--out", "s3://nowhere/a"), ("report", "s3://nowhere/a")):
        ran = deepboot(*command)
        assert ran.returncode == 2
        assert ran.stderr.startswith("s3://nowhere/a: expected a place to read and write, got none there")
        assert ran.stderr.endswith("Make the bucket first, or correct its name.\n")

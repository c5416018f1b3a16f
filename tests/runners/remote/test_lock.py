"""One writer at a location: who comes second is told who writes, and who is gone is taken over."""

import json
import os
import platform
import subprocess
import sys
import time

import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners.remote import lock
from deepboot.runners.remote.location import location
from deepboot.runners.remote.lock import FILE, LEASE_SECONDS, Lock


@pytest.fixture
def where(away, monkeypatch):
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.0)
    return location(away)


def write(where, **content):
    """Put a lock there, as another process would."""
    where.system.pipe_file(where.inside(FILE), json.dumps(content).encode())


def other(**changes):
    return {"key": "theirs", "process": 12, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00",
            "seen": time.time(), **changes}  # fmt: skip


def test_a_second_writer_is_told_who_writes(where, files):
    """Until the first lets go, which leaves nothing behind."""
    held = Lock(where)
    with pytest.raises(StudyError) as caught:
        Lock(where)
    (told,) = caught.value.problems
    assert told.startswith(f"{where.url} is being written by process {os.getpid()} on {platform.node()} since ")
    assert told.endswith(" (last sign 0 s ago). Wait for it, or choose another with --out.")
    held.release()
    assert files(where.url) == {}
    Lock(where).release()


def test_a_silent_or_dead_writer_is_taken_over(where):
    """Of another machine after a while, of this one at once; a renewed lock stays its holder's."""
    write(where, **other(seen=time.time() - LEASE_SECONDS + 30))
    with pytest.raises(StudyError, match="is being written by process 12 on elsewhere"):
        Lock(where)
    write(where, **other(seen=time.time() - LEASE_SECONDS - 30))
    held = Lock(where)
    assert held.taken_over == (
        f"{where.url} was held by process 12 on elsewhere since 2026-01-01T00:00:00+00:00 (last sign 2.5 min ago), "
        "which is gone: its lock is taken over."
    )
    assert held.is_own()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write(where, **other(host=platform.node(), process=dead.pid))
    assert Lock(where).is_own()
    where.system.pipe_file(where.inside(FILE), b"no JSON")
    assert Lock(where).taken_over.startswith(f"{where.url} was held by another process, which is gone")


def test_a_lock_that_was_taken_over_is_not_given_back(where, files):
    """It is the other's now."""
    held = Lock(where)
    write(where, **other())
    assert not held.is_own()
    held.release()
    assert json.loads(files(where.url)[FILE])["key"] == "theirs"


def test_of_two_who_come_at_once_one_goes(where, monkeypatch):
    """Where a file system cannot refuse to write over a file, the last one has it."""
    pipe = type(where.system).pipe_file

    def and_another(system, path, value, mode="overwrite", **more):
        pipe(system, path, value)
        pipe(system, path, json.dumps(other()).encode())

    monkeypatch.setattr(type(where.system), "pipe_file", and_another)
    with pytest.raises(StudyError, match="is being written by process 12 on elsewhere"):
        Lock(where)

"""Commands on a location do what they do on a folder, and name it in all that they say."""

import json
import threading
import time
from contextlib import contextmanager, suppress
from tempfile import gettempdir

import pandas as pd
import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.remote import writing
from deepboot.runners.remote.here import here
from deepboot.runners.remote.location import location
from deepboot.runners.remote.lock import FILE, Lock
from tests.runners.run.test_engine import equal

CLAIM = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}


def test_run_report_claims_watch_and_export_read_and_write_a_location(study, tmp_path, deepboot, away, files):
    """The tables are those of a folder; pages lie beside them; nothing of the copy's path is said or left."""
    path = study(training__seeds=2, claims=[CLAIM])
    ran = deepboot("run", path, "--out", away, "--workers", 1, "--pack-size", 2)
    assert ran.returncode == 0, ran.stderr
    assert f"Report: {away}/report.html" in ran.stdout
    assert f"Next: deepboot claims {away} " in ran.stdout
    there = set(files(away))
    assert {"study.toml", "environment.json", "runs.parquet", "evaluations.parquet", "claims.json", "report.html",
            "report.md"} <= there  # fmt: skip
    assert not {name for name in there if name.startswith((".", "shards", "checkpoints"))}
    run_study(path, tmp_path / "here", workers=1, pack_size=2)
    with here([away]) as found:
        equal(found.folders[0], tmp_path / "here")
    said = [ran, deepboot("claims", away), deepboot("watch", away), deepboot("export", away, "--out", tmp_path / "csv")]
    said.append(deepboot("report", away))
    assert [one.returncode for one in said] == [0] * 5, [one.stderr for one in said]
    assert f"Finished. Next: deepboot report {away}" in said[2].stdout
    assert len(pd.read_csv(tmp_path / "csv" / "runs.csv")) == 4
    planned = deepboot("run", path, "--out", away, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert deepboot("plan", path, "--out", away).returncode == 0
    assert not [one for one in [*said, planned] if "deepboot-" in one.stdout + one.stderr]
    pages = [data.decode() for name, data in files(away).items() if name.startswith("report.")]
    assert len(pages) == 2
    assert not [page for page in pages if f"{gettempdir()}/deepboot-" in page]


def test_a_page_may_be_written_here(study, tmp_path, deepboot, away, files, monkeypatch):
    """With --out, and where several folders have no place in common; what is there is not touched."""
    monkeypatch.chdir(tmp_path)
    run_study(study(), away, workers=1)
    before = files(away)
    assert deepboot("report", away, "--out", tmp_path / "page.html").returncode == 0
    assert (tmp_path / "page.html").is_file()
    both = deepboot("report", away, away)
    assert "Report: comparison.html" in both.stdout, both.stderr
    assert files(away) == before
    told = deepboot("report", away, "--open")
    assert (told.returncode, told.stderr) == (
        2, f"--open: expected a page on this machine, got one at {away}. Leave --open out, and write a page here with "
        f"`deepboot report {away} --out report.html --open`.\n",
    )  # fmt: skip


def test_a_location_goes_on_and_is_extended(study, tmp_path, away, interrupted_at_5, files):
    """From the checkpoints that were pushed when it was interrupted, then by more seeds; as in a folder."""
    path = study(training__seeds=2)
    with suppress(KeyboardInterrupt), writing.writing(away, print) as copy:
        interrupted_at_5(path, copy.folder, pack_size=2)
        raise KeyboardInterrupt
    assert [name for name in files(away) if name.startswith("checkpoints/")]
    assert FILE not in files(away)
    run_study(path, away, workers=1)
    assert not [name for name in files(away) if name.startswith("checkpoints/")]
    done = run_study(path, away, workers=1, changes=["training.seeds=3"])
    assert done.folder is None
    assert len(done.runs) == 6
    run_study(path, tmp_path / "whole", workers=1, pack_size=2, changes=["training.seeds=3"])
    with here([away]) as found:
        equal(found.folders[0], tmp_path / "whole")


def test_what_is_trained_is_pushed_meanwhile(away, files, monkeypatch):
    """And the lock renewed, while another process is refused."""
    monkeypatch.setattr(writing, "PUSH_SECONDS", 0.02)
    with writing.writing(away, print) as copy:
        first = json.loads(files(away)[FILE])["seen"]
        (copy.folder / "study.toml").write_text("question")
        until = time.monotonic() + 30
        while "study.toml" not in files(away) or json.loads(files(away)[FILE])["seen"] == first:
            assert time.monotonic() < until
            time.sleep(0.01)
        with pytest.raises(StudyError, match=r"is being written by process \d+ on .* Wait for it"), \
                writing.writing(away, print):  # fmt: skip
            pass
    assert set(files(away)) == {"study.toml"}


@contextmanager
def failing(away):
    """Write to a location by a copy, which comes; the problems of its end are in the list that comes with it."""
    problems = []
    try:
        with writing.writing(away, print) as copy:
            yield problems, copy
    except StudyError as error:
        problems += error.problems


def test_a_push_that_fails_keeps_the_copy_and_says_where(away, files, monkeypatch):
    """In training it is tried again; at the end the person is told how to go on."""
    monkeypatch.setattr(writing, "PUSH_SECONDS", 0.01)
    tried = threading.Event()

    def push():
        tried.set()
        raise StudyError(["gone"])

    with failing(away) as (caught, copy):
        monkeypatch.setattr(copy, "push", push)
        (copy.folder / "study.toml").write_text("question")
        assert tried.wait(30)
        time.sleep(0.05)
    assert caught[0] == "gone"
    assert caught[1] == (
        f"What was trained lies in {copy.folder}: go on there with `deepboot run STUDY --out {copy.folder}`, or copy "
        "its files to the location."
    )
    assert (copy.folder / "study.toml").is_file()
    copy.remove()


def test_a_location_that_was_taken_over_is_not_written(away, files, monkeypatch):
    """Two writers would mix their tables: the copy of the first stays here."""
    with failing(away) as (caught, copy):
        location(away).system.rm_file(location(away).inside(FILE))
        other = Lock(location(away))
        (copy.folder / "study.toml").write_text("question")
    assert caught[0] == f"{away} was taken over by another process while it was written."
    assert set(files(away)) == {FILE}
    assert other.is_own()
    copy.remove()


def test_errors_name_the_location(study, deepboot, away):
    """Of a study with mistakes nothing is left there."""
    ran = deepboot("report", away)
    assert (ran.returncode, ran.stderr.startswith(f"{away} holds no runs.parquet")) == (2, True), ran.stderr
    assert deepboot("run", study(optimizer__lr=-1.0), "--out", away).returncode == 2
    assert not location(away).system.find(location(away).path)

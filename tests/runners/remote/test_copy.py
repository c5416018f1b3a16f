"""A local copy follows its location, and puts back what changes, in an order that survives an interruption."""

import shutil

import fsspec
import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.remote import copy as copies
from deepboot.runners.remote.copy import Copy
from deepboot.runners.remote.location import location
from tests.runners.run.test_engine import equal


@pytest.fixture
def pair(away):
    """Two copies of one location."""
    both = Copy(location(away)), Copy(location(away))
    yield both
    for one in both:
        one.remove()


def test_what_changes_in_one_copy_comes_to_the_other(pair, files):
    """New, changed and removed files; hidden ones stay, but for the view of a process that trains."""
    one, other = pair
    for name in ("runs.parquet", "shards/a.json", ".lock", ".progress.json", "figures/.x.part"):
        (one.folder / name).parent.mkdir(exist_ok=True)
        (one.folder / name).write_text(name)
    one.push()
    assert set(files(one.where.url)) == {"runs.parquet", "shards/a.json", ".progress.json"}
    other.pull()
    assert (other.folder / "shards" / "a.json").read_text() == "shards/a.json"
    (one.folder / "shards" / "a.json").unlink()
    (one.folder / "runs.parquet").write_text("newer")
    one.push()
    other.pull()
    assert not (other.folder / "shards" / "a.json").exists()
    assert (other.folder / "runs.parquet").read_text() == "newer"
    assert not list(other.folder.glob("**/*.part"))


def test_only_what_changed_is_carried(pair, monkeypatch):
    """Neither a second push nor a second pull does anything."""
    one, other = pair
    (one.folder / "a").write_text("a")
    one.push()
    other.pull()
    system, carried = type(one.where.system), []
    for name in ("pipe_file", "get_file", "rm_file"):
        monkeypatch.setattr(system, name, lambda *words, name=name, **more: carried.append(name))
    one.push()
    other.push()
    other.pull()
    assert carried == []


def test_folders_that_a_reader_does_not_need_are_left(pair):
    """And what is not brought is not taken for removed."""
    one, other = pair
    for name in ("states/a", "runs.parquet"):
        (one.folder / name).parent.mkdir(exist_ok=True)
        (one.folder / name).write_text(name)
    one.push()
    other.pull(leave=("states",))
    assert sorted(path.name for path in other.folder.iterdir()) == ["runs.parquet"]
    (other.folder / "report.html").write_text("page")
    other.push()
    one.pull()
    assert (one.folder / "states" / "a").exists()
    assert (one.folder / "report.html").read_text() == "page"


def pushed(copy):
    """Whether a push comes to its end."""
    try:
        copy.push()
    except StudyError:
        return False
    return True


def test_an_interrupted_push_leaves_a_folder_that_goes_on(study, tmp_path, away, interrupted_at_5, monkeypatch):
    """Wherever it ends, the same command fills the tables as if nothing had happened."""
    path = study(training__seeds=2)
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    interrupted_at_5(path, tmp_path / "before", pack_size=2)
    shutil.copytree(tmp_path / "before", tmp_path / "after")
    run_study(path, tmp_path / "after", workers=1)
    system, deeds = fsspec.filesystem("memory"), []

    def count(name, do):
        def deed(*words, **more):
            if len(deeds) == allowed:
                raise ConnectionError("gone")
            deeds.append(name)
            return do(*words, **more)

        return deed

    allowed, ended = -2, False
    monkeypatch.setattr(copies, "AT_ONCE", 1)  # so that there is one order
    while not ended:
        system.store.clear()
        one = Copy(location(away))
        shutil.copytree(tmp_path / "before", one.folder, dirs_exist_ok=True)
        one.push()
        shutil.rmtree(one.folder)
        shutil.copytree(tmp_path / "after", one.folder)
        deeds.clear()
        allowed += 3
        with monkeypatch.context() as patch:
            for name in ("pipe_file", "rm_file"):
                patch.setattr(system, name, count(name, getattr(system, name)), raising=False)
            ended = pushed(one)
        other = Copy(location(away))
        other.pull()
        run_study(path, other.folder, workers=1)
        equal(other.folder, tmp_path / "whole")
        one.remove()
        other.remove()
    assert allowed > 5


def test_nothing_is_removed_there_before_the_tables_have_its_rows(pair, files, monkeypatch):
    """A shard that goes while a push is under way stays there until the next one, which brings the tables."""
    one, _ = pair
    names = ("shards/a.json", "evaluations.parquet", "runs.parquet")
    for name in names:
        (one.folder / name).parent.mkdir(exist_ok=True)
        (one.folder / name).write_text("before")
    one.push()
    (one.folder / "shards" / "a.json").unlink()
    looks, look = [], one._files

    def merged_after_the_first_look():
        found = look()
        if not looks:
            for name in names[1:]:
                (one.folder / name).write_text("with the rows")
        looks.append(found)
        return found

    monkeypatch.setattr(one, "_files", merged_after_the_first_look)
    one.push()
    assert set(files(one.where.url)) == set(names)
    one.push()
    assert set(files(one.where.url).values()) == {b"with the rows"}
    assert set(files(one.where.url)) == set(names[1:])


def test_tables_are_pushed_together(pair, monkeypatch):
    """Runs alone were seen to change: their evaluations, written before them, go first all the same."""
    one, _ = pair
    for name in ("runs.parquet", "evaluations.parquet"):
        (one.folder / name).write_text("before")
    one.push()
    (one.folder / "runs.parquet").write_text("after it")
    put, carried = type(one.where.system).pipe_file, []
    monkeypatch.setattr(
        type(one.where.system), "pipe_file",
        lambda system, path, *more, **words: (carried.append(path), put(system, path, *more, **words)),
    )  # fmt: skip
    one.push()
    assert [path.rpartition("/")[2] for path in carried] == ["evaluations.parquet", "runs.parquet"]


def test_a_bucket_that_goes_is_no_file_that_went(pair, monkeypatch):
    """What the store does not find is said; what is not found here is left for the next push."""
    one, _ = pair
    (one.folder / "runs.parquet").write_text("rows")

    def missing(*_, **__):
        raise FileNotFoundError("The specified bucket does not exist")

    with monkeypatch.context() as patch:
        patch.setattr(type(one.where.system), "pipe_file", missing)
        assert not pushed(one)
    look = one._files()
    (one.folder / "runs.parquet").unlink()
    monkeypatch.setattr(one, "_files", lambda: look)
    assert pushed(one)

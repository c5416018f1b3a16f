"""Invented folders are what a command and a report would find after all runs are done."""

from deepboot.bootstrap import results
from deepboot.runners import study_files
from deepboot.runners.bench.finished import judged_folders, write_finished
from deepboot.runners.run import work
from deepboot.runners.run.repair import repair

CHANGES = ["training.seeds=4", "evaluation.per_octave=2"]


def test_an_invented_folder_has_nothing_left_to_do(tmp_path):
    """Every run of the study is finished, nothing is damaged, and no pack is left."""
    folder = tmp_path / "out"
    assert write_finished(folder, study_files.load("demo", changes=CHANGES)) == 8
    planned = work.plan("demo", folder, changes=CHANGES)
    assert planned.pending == 0
    assert repair(folder, planned.runs) == []
    held = results.read(folder)
    assert held.damage == ()
    assert set(held.runs["run_id"]) == {run.run_id for run in planned.runs}
    assert held.runs["status"].eq("finished").all()


def test_folders_are_read_and_judged():
    """A line for each size, with its runs and evaluations."""
    (found,) = judged_folders([8])
    assert found.runs == 8
    assert found.evaluations % 8 == 0
    assert "8 runs" in found.line()

"""A study is looked at while it is under way, or after an interrupt: the rows of its unfinished runs are there."""

import json
import re

import pandas as pd
import pytest

from deepboot.bootstrap import results
from deepboot.reports.comparison import compare
from deepboot.reports.measures.events import event_bounds
from deepboot.runners import run_study
from deepboot.runners.run import checkpoints, engine, execute, local, output_folder, work
from tests.runners.run.test_engine import equal

CLAIM = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.5}


@pytest.fixture
def interrupted(study, tmp_path, interrupted_at_5):
    """A study of 4 pairs in a folder: one pack done, one with a checkpoint at step 5, two not begun."""
    path, out = study(training__seeds=4, training__max_steps=12, claims=[CLAIM]), tmp_path / "out"
    interrupted_at_5(path, out)
    return path, out


def test_an_interrupted_study_has_rows_of_its_unfinished_runs(interrupted, tmp_path):
    """Status, last evaluated step, events and settings are there, and what is not trained yet is counted."""
    path, out = interrupted
    held = results.read(out)
    assert held.runs["status"].tolist().count("finished") == 2
    going = held.runs[held.runs["status"] == "unfinished"]
    assert sorted(going["world"]) == ["ideal", "real"]
    assert going["last_step"].tolist() == [4, 4]
    assert going["samples_seen"].tolist() == [32, 32]
    assert len(held.planned) == 8
    run_study(path, tmp_path / "whole", workers=1)
    whole = results.read(tmp_path / "whole")
    assert whole.planned == ()
    rows = held.evaluations[held.evaluations["run_id"].isin(going["run_id"])]
    expected = whole.evaluations.merge(rows[["run_id", "step"]], on=["run_id", "step"])
    pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected, check_exact=True)
    assert list(held.runs.columns) == list(whole.runs.columns)
    same = ["ideal_run_id", "cell_id", "world", "seed", "first_reuse_step", "optimizer.lr", "max_steps"]
    told, true = (table.set_index("run_id").loc[going["run_id"], same] for table in (held.runs, whole.runs))
    pd.testing.assert_frame_equal(told, true)


def test_reports_and_claims_work_on_it_and_say_so_far(interrupted, deepboot):
    """Terminal, page and text say how many runs are done; an unfinished run is censored and has no final error."""
    _, out = interrupted
    sentence = "So far: 2 of 8 runs are done, 2 are under way, 4 have not begun."
    told = deepboot("report", out)
    assert told.returncode == 0, told.stderr
    assert sentence in told.stdout
    assert sentence in (out / "report.html").read_text()
    assert f"**{sentence}**" in (out / "report.md").read_text()
    assert "None: all" not in (out / "report.md").read_text()
    judged = deepboot("claims", out)
    assert (judged.returncode, judged.stderr) == (0, "")
    assert sentence in judged.stdout
    as_json = deepboot("claims", out, "--json")
    assert json.loads(as_json.stdout)["claims"][0]["verdict"] == "inconclusive"
    assert sentence in as_json.stderr
    comparison = compare(results.read(out))
    going = comparison.runs[comparison.runs["status"] == "unfinished"]
    bounds = event_bounds(going, "grokking")
    assert bounds["outcome"].tolist() == ["censored", "censored"]
    assert bounds["low"].tolist() == [4, 4]
    assert comparison.final()[going["run_id"]].isna().all()
    assert comparison.pairs_at("end").dropna(subset="step")["status"].tolist() == ["finished"]


def test_an_unfinished_run_goes_on_from_its_checkpoint_to_the_same_tables(interrupted, tmp_path, monkeypatch):
    """Looking at it changes nothing: the pack starts at step 5, and the tables are those of no interrupt."""
    path, out = interrupted
    results.read(out)
    run_study(path, tmp_path / "whole", workers=1)
    steps = []
    monkeypatch.setattr(engine.Observer, "progress", lambda self, done, rows: steps.append(done))
    run_study(path, out, workers=1)
    equal(tmp_path / "whole", out)
    assert sum(steps) == 6 * 12
    assert not (out / "planned.parquet").exists()
    assert results.read(out).planned == ()


def test_a_folder_in_use_is_read_without_its_lock(interrupted, monkeypatch):
    """Another process holds it, and a checkpoint vanishes between listing and reading: what is left is read."""
    _, out = interrupted
    read = results.underway.checkpoint_outcomes

    def vanished(path):
        path.unlink(missing_ok=True)
        return read(path)

    with output_folder.held(out):
        assert len(results.read(out).runs) == 4
        monkeypatch.setattr(results.underway, "checkpoint_outcomes", vanished)
        assert len(results.read(out).runs) == 2
        assert results.read(out).damage == ()


def test_a_study_that_has_just_begun_is_not_mistaken_for_no_study(study, tmp_path):
    """Nothing is evaluated yet, and that is said."""
    runs = work.plan(study()).runs
    (tmp_path / "out").mkdir()
    output_folder.announce(tmp_path / "out", runs, {})
    sentence = (
        f"{tmp_path / 'out'}: a study has begun here, but no run of it has been evaluated and saved yet. "
        "Ask again after the first checkpoint."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        results.read(tmp_path / "out")


def test_an_interrupted_extension_has_unfinished_runs(study, tmp_path, monkeypatch):
    """Finished at 5 steps of then 5, now of 12: unfinished until the longer budget is done, and not begun anew."""
    out = tmp_path / "out"
    run_study(study(training__max_steps=5), out, workers=1)

    def stop(jobs, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "run_jobs", stop)
    longer = study(training__max_steps=12)
    with pytest.raises(KeyboardInterrupt):
        run_study(longer, out, workers=1)
    monkeypatch.undo()
    runs = results.read(out).runs
    assert runs["status"].tolist() == ["unfinished", "unfinished"]
    assert runs["last_step"].tolist() == [5, 5]
    assert work.plan(longer, out).packs[0].start == 5
    run_study(longer, out, workers=1)
    run_study(longer, tmp_path / "whole", workers=1)
    equal(tmp_path / "whole", out)


def test_members_that_ended_within_an_unfinished_pack_have_their_own_status(study, tmp_path, monkeypatch):
    """One that diverged is diverged already, its neighbours are unfinished; its pack is planned as before."""
    path, out = study(sweep={"optimizer.lr": [0.01, 1e38]}, training__max_steps=40), tmp_path / "out"
    write = checkpoints.write_checkpoint

    def and_stop(place, pack, outcomes, execution):
        write(place, pack, outcomes, execution)
        if int(outcomes[0].state["step"]) >= 20:
            execute.stopping.set()  # as a signal does: the step that heeds it has just written its checkpoint

    monkeypatch.setattr(checkpoints, "write_checkpoint", and_stop)
    before = [pack.name for pack in work.plan(path, pack_size=4).packs]
    with pytest.raises(KeyboardInterrupt):
        run_study(path, out, workers=1, pack_size=4, checkpoint_seconds=0)
    assert sorted(results.read(out).runs["status"]) == ["diverged", "diverged", "unfinished", "unfinished"]
    assert [pack.name for pack in work.plan(path, out, pack_size=4).packs] == before

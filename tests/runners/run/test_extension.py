"""Which studies may be trained into one folder."""

import pytest

from deepboot.bootstrap.results import read
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from tests.runners.run.test_engine import equal


@pytest.mark.parametrize(
    ("sweep", "before"),
    [
        ({"optimizer.lr": [0.1, 0.01]}, {}),
        ({"optimizer": [{"name": "sgd", "lr": 0.1}, {"name": "adamw", "lr": 0.01}]}, {}),
        ({"training.world.share": [0.2, 0.5]}, {"training__world": {"rule": "fresh", "share": 0.5}}),
        ({"training.transforms.0.norm": [0.1, 1.0]}, {"training__transforms": [{"name": "clip", "norm": 1.0}]}),
        ({"training.transforms": [[], [{"name": "grokfast"}]]}, {"training__transforms": [{"name": "grokfast"}]}),
        ({'training.layers."hidden.0".lr': [0.1, 1.0]}, {"training__layers": {"hidden.0": {"lr": 1.0}}}),
    ],
)
def test_a_setting_that_becomes_a_sweep_with_its_value_extends_a_study(sweep, before, study, tmp_path):
    """The old runs are among the new ones; the narrow study may be run into the folder again."""
    run_study(study(**before), tmp_path / "grown", workers=1)
    wide = study("wide.toml", sweep=sweep, **before)
    run_study(wide, tmp_path / "grown", workers=1)
    run_study(wide, tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")
    run_study(study(**before), tmp_path / "grown", workers=1)


def test_a_setting_that_becomes_a_sweep_without_its_value_is_another_study(study, tmp_path):
    """None of the old runs would be among the new ones."""
    run_study(study(), tmp_path / "out", workers=1)
    with pytest.raises(StudyError) as caught:
        run_study(study(sweep={"optimizer.lr": [0.1, 0.2]}), tmp_path / "out", workers=1)
    assert caught.value.problems == [
        f"output folder {tmp_path / 'out'} holds another study: it differs in optimizer.lr. Choose another with --out."
    ]


def test_a_folder_from_before_a_setting_came_is_extended(study, tmp_path):
    """What its study does not name has its default there."""
    run_study(study(), tmp_path / "out", workers=1)
    path = tmp_path / "out" / "study.toml"
    text = path.read_text()
    older = (
        text.replace("transforms = []\n", "").replace("[training.layers]\n", "").replace("single_logit = false\n", "")
    )
    assert len(older) < len(text) - 50
    path.write_text(older)
    run_study(study("more.toml", training__seeds=3), tmp_path / "out", workers=1)


def test_another_number_of_a_transform_is_another_study(study, tmp_path):
    """The message names it by its index."""
    run_study(study(training__transforms=[{"name": "clip", "norm": 1.0}]), tmp_path / "out", workers=1)
    with pytest.raises(StudyError) as caught:
        run_study(study(training__transforms=[{"name": "clip", "norm": 2.0}]), tmp_path / "out", workers=1)
    assert caught.value.problems == [
        f"output folder {tmp_path / 'out'} holds another study: it differs in training.transforms.0.norm. "
        "Choose another with --out."
    ]


def test_a_longer_budget_goes_on_with_the_state_of_the_transforms(study, tmp_path):
    """From the files that the shorter one left, to the tables of one that was long at once."""
    settings = {"training__transforms": [{"name": "grokfast"}], "training__layers": {"hidden": {"lr": 0.5}}}
    run_study(study(**settings, training__max_steps=20), tmp_path / "grown", workers=1)
    long = study("long.toml", **settings, training__max_steps=40)
    run_study(long, tmp_path / "grown", workers=1)
    run_study(long, tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_the_same_command_writes_no_table_again(study, tmp_path):
    """The tables and what is beside them are left as they are, to the time of their files."""
    path, out = study(), tmp_path / "out"
    run_study(path, out, workers=1)
    before = {file: file.stat().st_mtime_ns for file in out.iterdir()}
    run_study(path, out, workers=1)
    assert {file: file.stat().st_mtime_ns for file in out.iterdir()} == before


def test_a_new_threshold_is_applied_although_the_command_that_brought_it_was_killed(study, tmp_path, monkeypatch):
    """It had written the study, and not yet the tables."""
    out = tmp_path / "out"
    run_study(study(), out, workers=1)
    before = read(out).runs
    changed = study("changed.toml", evaluation__threshold=0.4)
    with monkeypatch.context() as patched:
        patched.setattr("deepboot.runners.run.output_folder.merge", lambda *_: None)
        run_study(changed, out, workers=1)
    assert "threshold = 0.4" in (out / "study.toml").read_text()
    assert read(out).runs["grokking_high"].equals(before["grokking_high"])
    run_study(changed, out, workers=1)
    run_study(changed, tmp_path / "whole", workers=1)
    equal(out, tmp_path / "whole")
    assert not read(out).runs["grokking_high"].equals(before["grokking_high"])

"""Which studies may be trained into one folder."""

import pytest

from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from tests.runners.run.test_engine import equal


@pytest.mark.parametrize(
    ("sweep", "before"),
    [
        ({"optimizer.lr": [0.1, 0.01]}, {}),
        ({"optimizer": [{"name": "sgd", "lr": 0.1}, {"name": "adamw", "lr": 0.01}]}, {}),
        ({"training.world.share": [0.2, 0.5]}, {"training__world": {"rule": "fresh", "share": 0.5}}),
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

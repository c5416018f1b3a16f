"""How a study is carried out, as its folder keeps it."""

import json

from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.runners.run.execution_plan import ExecutionPlan, PackSettings, read_plan, short_key, write_plan
from tests.bootstrap.conftest import parity


def plan_of(run):
    settings = PackSettings(pack_size=8, backend="compiled", sequential=True, measured=["8 members, compiled: 5"])
    return ExecutionPlan(device="cpu", workers=2, threads=3, packs={short_key(run): settings}, compiler="found")


def test_a_plan_is_read_as_it_was_written(tmp_path):
    """A run's execution follows from it; a run of another key has the plain one, with the plan's device and threads."""
    run, other = runs_of(parity())[0], runs_of(parity(model__width=8))[0]
    write_plan(plan_of(run), tmp_path)
    plan = read_plan(tmp_path)
    assert plan == plan_of(run)
    assert plan.execution(run) == Execution(backend="compiled", threads=3, sequential=True)
    assert plan.execution(other) == Execution(threads=3)


def test_a_layout_of_version_0_2_is_read(tmp_path):
    """Under its file name and the names of its keys; a plan of today goes before it."""
    run = runs_of(parity())[0]
    settings = {"pack_size": 8, "program": "compiled", "apart": True, "measured": ["8 members, compiled: 5"]}
    layout = {"device": "cpu", "workers": 2, "threads": 3, "shapes": {short_key(run): settings}, "compiler": "found"}
    (tmp_path / "layout.json").write_text(json.dumps(layout))
    assert read_plan(tmp_path) == plan_of(run)
    write_plan(ExecutionPlan(device="cuda"), tmp_path)
    assert read_plan(tmp_path).device == "cuda"


def test_a_plan_that_cannot_be_read_is_none(tmp_path):
    """No file, no JSON, or JSON of another form: it is chosen anew."""
    assert read_plan(tmp_path) is None
    for text in ("{", "[]", '{"device": 3}'):
        (tmp_path / "execution_plan.json").write_text(text)
        assert read_plan(tmp_path) is None

"""Every shipped study runs at quick size from the command line to verdicts: all of its runs, all of its claims.

Each trains in its test's own process: ``pytest -m slow -n 2 tests/runners/test_shipped_quick.py`` keeps two cores busy
with two studies. ``--junit-xml FILE`` records every study's `processor_seconds` and `verdicts`, from which its tables
`[cost]` and `[verdicts]` are copied. A refuted claim is a result, not a failure.
"""

import json
import os
import tomllib

import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.reports.claims.family import cases, counts
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.runners import study_files
from deepboot.runners.shipped import shipped


def quick():
    """The shipped studies that have a quick size."""
    return [name for name, path in shipped().items() if "quick" in tomllib.loads(path.read_text()).get("scale", {})]


@pytest.mark.slow
@pytest.mark.parametrize("name", quick())
def test_a_quick_study_ends_with_all_runs_and_all_verdicts(name, tmp_path, deepboot, record_property):
    """Every planned run has ended, every claim is judged on their cells, and every published number is beside ours."""
    began = sum(os.times()[:4])
    ran = deepboot("run", name, "--scale", "quick", "--workers", 1, "--out", tmp_path / "out")
    record_property("processor_seconds", round(sum(os.times()[:4]) - began))
    assert ran.returncode == 0, ran.stderr
    found = results.read(tmp_path / "out")
    study = study_files.load(name, scale="quick")
    assert {run.run_id for run in runs_of(study)} == set(found.runs["run_id"])
    assert found.runs["status"].isin(["finished", "diverged"]).all()
    assert (tmp_path / "out" / "report.html").is_file()
    judged = json.loads(deepboot("claims", tmp_path / "out", "--json").stdout)
    record_property("verdicts", counts(cases(judge(compare(found)))))
    assert {one["number"] for one in judged["claims"]} == set(range(1, len(study["claims"]) + 1))
    assert all(one["effect"] and (one["n"] or one["reason"]) for one in judged["claims"])  # if on none, it says why
    sources = {(entry["quantity"], entry["source"]) for entry in study.get("published", [])}
    assert {(one["quantity"], one["source"]) for one in judged["published"]} == sources

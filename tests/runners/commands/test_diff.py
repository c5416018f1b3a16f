"""``deepboot diff`` of study files, shipped names and output folders."""

import json
from dataclasses import replace

import pytest
import tomli_w

from deepboot.bootstrap import results
from deepboot.runners.study_files import resolved
from tests.bootstrap.conftest import parity
from tests.reports.conftest import synthetic

RATE = {"kind": "rate", "event": "grokking", "world": "real", "min_rate": 0.6}


@pytest.fixture(autouse=True)
def short_names(tmp_path, monkeypatch):
    """Names of files are given as from their folder: long ones would be wrapped."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Writes an output folder of made-up results under a real study, and returns its path."""

    def write(name, study, environment=(), **made):
        path = tmp_path / name
        path.mkdir()
        results.write(replace(synthetic(2, evaluations=40, **made), study=study), path)
        (path / "study.toml").write_text(tomli_w.dumps(resolved(study)))
        (path / "environment.json").write_text(json.dumps({"cores": 2, "seconds": 3.1, **dict(environment)}))
        return path

    return write


def test_study_files_differ_by_settings_sweeps_claims_and_runs(study, deepboot):
    """Both values by dotted name, without defaults; the rest in one sentence."""
    first = study("first.toml", training__seeds=2, claims=[RATE], evaluation={"streak": 3})
    second = study(
        "second.toml", training__seeds=3, optimizer={"name": "sgd", "lr": 0.1}, sweep={"model.width": [8, 16]}
    )
    said = deepboot("diff", first.name, second.name)
    assert said.returncode == 0, said.stderr
    assert (
        said.stdout
        == """\
A  first.toml: Is this a test?
B  second.toml: Is this a test?

The published numbers are equal.

Settings that differ:
setting                 A      B
----------------------------------
optimizer.name          adamw  sgd
optimizer.lr            0.01   0.1
optimizer.weight_decay  0.01   0
training.seeds          2      3

Sweeps that differ:
setting      A   B
------------------------
model.width  16  [8, 16]

Claims only in A:
  rate (event grokking, world real, min_rate 0.6)

Runs: 0 in both, 4 only in A, 12 only in B.
"""
    )


def test_equal_studies_are_two_sentences(study, deepboot):
    """A shipped name stands beside its own file as well."""
    path = study(training__seeds=2)
    lines = deepboot("diff", path.name, path.name).stdout.splitlines()[3:]
    assert lines == [
        "The settings, sweeps, claims and published numbers are equal.",
        "",
        "Runs: 4 in both, 0 only in A, 0 only in B.",
    ]


def test_runs_that_need_absent_data_are_not_known(study, deepboot):
    """The settings are compared all the same."""
    said = deepboot("diff", study(), "cifar5m-baseline").stdout
    assert "\ntask.name " in said
    assert "Runs: those of B are not known. `task`: " in said.replace("\n  ", " ")


def test_folders_differ_by_environment_results_and_verdicts(folder, deepboot):
    """What the command alone changes is left out; the plan by which runs were carried out is not."""
    raw = parity(training__seeds=2, claims=[RATE])
    first = folder("first", raw, {"packages": {"torch": "2.11"}}, claims=[RATE])
    second = folder("second", raw, {"packages": {"torch": "2.15"}, "seconds": 9.9}, claims=[RATE], censored=(0, 1))
    (second / "execution_plan.json").write_text('{"device": "cpu", "workers": 2, "threads": 1}')
    said = deepboot("diff", first, second).stdout
    assert "The settings, sweeps, claims and published numbers are equal.\n" in said
    assert "packages.torch  2.11  2.15\n" in said
    assert "execution       –     2 processes of 1 threads, packs of one family\n" in said
    assert "seconds" not in said
    assert "Runs: 4 in both, 0 only in A, 0 only in B.\n" in said
    assert "> 4,000 (0 of 2)" in said
    assert "Cells that compare: 2, of which 1 read the same in both." in " ".join(said.split())
    assert "rate (event grokking, world " in said.partition("Verdicts:")[2]
    assert max(map(len, said.splitlines())) <= 100


def test_a_folder_stands_beside_a_study_file(folder, study, deepboot):
    """Defaults that the file leaves out are no difference; there are no results to compare."""
    said = deepboot("diff", folder("out", parity(training__seeds=2)), study(training__seeds=2)).stdout
    assert "The settings, sweeps, claims and published numbers are equal.\n" in said
    assert "Results" not in said


def test_json_holds_all_of_it(folder, deepboot):
    """Values, not texts; what is infinite is null."""
    first = folder("first", parity(claims=[RATE]), claims=[RATE])
    second = folder("second", parity(optimizer__lr=0.1), diverged=(0, 1), claims=[RATE])
    found = json.loads(deepboot("diff", first, second, "--json").stdout)
    assert found["settings"] == [{"name": "optimizer.lr", "a": 0.01, "b": 0.1}]
    assert found["claims"] == {"only_in_a": [RATE], "only_in_b": []}
    assert {name: len(ids) for name, ids in found["runs"].items()} == {"in_both": 4, "only_in_a": 0, "only_in_b": 0}
    real, ideal = found["cells"]
    assert (real["cell"], real["a"]["world"], real["b"]["test_error"], real["b"]["runs"]) == ("real", "real", None, 2)
    assert real["a"]["grokking"]["reached"] == 2
    assert ideal["a"] == ideal["b"]
    (verdict,) = found["verdicts"]
    assert [len(verdict[name]) for name in ("a", "b")] == [1, 0]


@pytest.mark.parametrize("first", ["dmeo", ".", "missing.toml"])
def test_what_cannot_be_read_ends_with_status_2(first, deepboot, tmp_path, monkeypatch):
    """One sentence for a misspelt name, a folder without results, and a file that is not there."""
    monkeypatch.chdir(tmp_path)
    ran = deepboot("diff", first, "demo")
    assert (ran.returncode, len(ran.stderr.splitlines()), ran.stdout) == (2, 1, "")

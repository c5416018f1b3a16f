import re
import subprocess
import sys

import numpy as np
import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.study.kept_weights import weights_file
from deepboot.reports import compare
from deepboot.reports.representation.kept import kept_table, load_weights, over_kept
from tests.reports.representation.networks import write_folder


@pytest.fixture
def folder(tmp_path):
    """Run a with steps 0, 9 and 10, run b-1 with steps 0 and 10."""
    kept = {(run, step): {"w": np.array([float(step)])} for run in ("a", "b-1") for step in (0, 9, 10)}
    del kept["b-1", 9]
    return write_folder(tmp_path, kept)


def raises(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def test_files_are_those_that_a_study_keeps(folder):
    """Their paths are the harness's own, in the order of runs and of steps as numbers."""
    table = kept_table(folder)
    assert table[["run_id", "step"]].to_numpy().tolist() == [["a", 0], ["a", 9], ["a", 10], ["b-1", 0], ["b-1", 10]]
    for row in table.itertuples():
        assert row.path == weights_file(folder, row.run_id, row.step)
    assert load_weights(table["path"][2])["w"].tolist() == [10.0]


def test_runs_and_steps_are_chosen(folder):
    """By columns of the table of runs, with one value or several; by all, the last or named steps."""
    assert kept_table(folder, where={"seed": 1})["run_id"].unique().tolist() == ["b-1"]
    assert kept_table(folder, where={"seed": [0, 1], "task.modulus": 23}, steps="last")["step"].tolist() == [10, 10]
    assert kept_table(folder, steps=[9])["run_id"].tolist() == ["a"]


def test_a_folder_its_results_and_a_comparison_are_one(folder):
    """All three lead to the same rows."""
    read = results.read(folder)
    expected = kept_table(str(folder))
    assert kept_table(read).equals(expected)
    assert kept_table(compare(read)).equals(expected)


def test_rows_stand_after_their_run_and_step(folder):
    """An analysis sees weights and settings; its rows come after the keys, and none is a table of the keys alone."""
    table = over_kept(folder, lambda weights, run: [{"double": 2 * weights["w"][0], "p": run["task.modulus"]}])
    assert list(table) == ["run_id", "cell_id", "cell", "world", "seed", "step", "double", "p"]
    assert table["double"].tolist() == [0, 18, 20, 0, 20]
    assert set(table["p"]) == {23}
    assert list(over_kept(folder, lambda weights, run: []))[-1] == "step"


def test_what_is_not_there_is_named(folder):
    """A column, a step, weights that nobody kept, and a damaged file."""
    with pytest.raises(
        ValueError, match=r"^`where`: the runs have no column 'x'\. Known: run_id, .*, task.modulus, .*\.$"
    ):
        kept_table(folder, where={"x": 23})
    with raises("no weights were kept at step 7, 8. Kept: 0, 9, 10."):
        kept_table(folder, steps=[0, 7, 8])
    with raises(
        f"no weights of the 0 chosen runs were kept in {folder}. "
        'Run the study with keep.weights = "evaluations", and check `where`.'
    ):
        kept_table(folder, where={"seed": 5})
    path = kept_table(folder)["path"][0]
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"is no whole safetensors file \(.*\)\. Nothing makes kept weights again: "):
        load_weights(path)


def test_nothing_here_loads_torch():
    """Neither arrays and tables nor figures."""
    path = "deepboot.reports.representation"
    lines = [f"from {path} import bits, chains, circles, cosets, embeddings, interpolation, neurons, spectra"]
    lines += ["from deepboot.reports.figures import representation", "import sys", "assert 'torch' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)

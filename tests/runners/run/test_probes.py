"""Probes from a study's file to its folder's table, the page and the exported files."""

import json
import tomllib

import pandas as pd
import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.columns import PROBE_COLUMNS
from deepboot.bootstrap.files import DamagedFileError
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study
from deepboot.runners.run import execute, local
from deepboot.runners.run.extension import refuse_another
from tests.runners.run.test_engine import equal as equal_runs

PROBES = {"layer_norms": {}, "logit_scale": {}, "sharpness": {"every": 3, "iterations": 2}}
USER = '''from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "largest_weight")
def largest_weight(measured: Measured, *, scale: float = 1.0) -> Tensor:
    """The largest absolute value of all parameters."""
    return scale * measured.param_EP.abs().amax(1)
'''


def equal(one, other):
    """Whether two folders hold the same three tables to the last bit."""
    equal_runs(one, other)
    tables = (results.read(folder).probes for folder in (one, other))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def trained(monkeypatch):
    """The names of the packs that are trained from now on."""
    names = []

    def counting(job, *words):
        names.append(job.name)
        return execute.execute(job, *words)

    monkeypatch.setattr(local, "execute", counting)
    return names


def test_values_are_in_a_table_beside_the_evaluations(study, tmp_path):
    """Run, step, name and value; sorted as the evaluations are; a study without probes has no such file."""
    read = run_study(study(training__seeds=2, probes=PROBES), tmp_path / "out", workers=1)
    assert dict(read.probes.dtypes.astype(str)) == PROBE_COLUMNS
    assert not read.probes.duplicated(["run_id", "step", "name"]).any()
    steps = read.probes.drop_duplicates(["run_id", "step"])[["run_id", "step"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(steps, read.evaluations[["run_id", "step"]])
    squares = read.probes[read.probes["name"].str.startswith("layer_norms.")]
    norms = (squares.assign(value=squares["value"] ** 2).groupby(["run_id", "step"])["value"].sum()) ** 0.5
    expected = read.evaluations.set_index(["run_id", "step"])["weight_norm"]
    pd.testing.assert_series_equal(norms.sort_index(), expected.sort_index(), check_names=False)
    assert sorted(read.probes.loc[read.probes["name"] == "sharpness", "step"].unique()) == [0, 3, 6]
    bare = run_study(study("bare.toml", training__seeds=2), tmp_path / "bare", workers=1)
    equal_runs(tmp_path / "out", tmp_path / "bare")
    assert bare.probes.empty
    assert not (tmp_path / "bare" / "probes.parquet").exists()
    assert tomllib.loads((tmp_path / "out" / "study.toml").read_text())["probes"]["sharpness"]["every"] == 3


def test_more_seeds_and_a_longer_budget_add_rows(study, tmp_path):
    """The table is that of the study trained at once, also where a probe is measured at few evaluations."""
    longer = study("longer.toml", training__seeds=3, training__max_steps=11, probes=PROBES)
    run_study(study(training__seeds=2, probes=PROBES), tmp_path / "grown", workers=1)
    run_study(longer, tmp_path / "grown", workers=1)
    run_study(longer, tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_what_a_seldom_probe_had_at_the_end_of_a_shorter_budget_is_left_out(study, tmp_path):
    """Its last evaluation is an ordinary one of the longer budget, at which the probe is not due."""
    seldom = {"layer_norms": {"every": 4}, "logit_scale": {}}
    longer = study("longer.toml", training__seeds=2, training__max_steps=11, probes=seldom)
    short = run_study(study(training__seeds=2, probes=seldom), tmp_path / "grown", workers=1)

    def steps(read):
        return sorted(read.probes.loc[read.probes["name"] == "layer_norms.hidden.0.weight", "step"].unique())

    assert steps(short) == [0, 4, 6]
    grown = run_study(longer, tmp_path / "grown", workers=1)
    assert 6 not in steps(grown)
    assert steps(grown)[-1] == 11
    run_study(longer, tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_packs_of_any_size_have_the_same_values(study, tmp_path):
    """To the last bit, wherever in a pack a run lies."""
    path = study(training__seeds=4, model__width=97, training__max_steps=2, probes=PROBES | {"logit_per_norm": {}})
    for pack_size in (2, 16):
        run_study(path, tmp_path / str(pack_size), workers=1, pack_size=pack_size)
    equal(tmp_path / "2", tmp_path / "16")


@pytest.fixture
def interrupted(study, tmp_path, interrupted_at_5):
    """A study in whose folder one pack is done and the other has a checkpoint at step 5."""
    path, out = study(training__seeds=2, probes=PROBES), tmp_path / "out"
    interrupted_at_5(path, out, pack_size=2)
    return path, out


def test_a_stopped_study_shows_its_values_so_far_and_goes_on_to_the_same_table(interrupted, tmp_path):
    """Those of the pack under way are in its checkpoint, and the probes' definitions are there for the page."""
    path, out = interrupted
    held = results.read(out)
    going = held.runs.loc[held.runs["status"] == "unfinished", "run_id"]
    assert sorted(held.probes.loc[held.probes["run_id"].isin(going), "step"].unique()) == [0, 1, 2, 3, 4]
    definition = json.loads((out / "environment.json").read_text())["probes"]["layer_norms"]
    assert definition == "Euclidean norm of each parameter, under its name in the model."
    run_study(path, out, workers=1)
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    equal(out, tmp_path / "whole")


def test_the_values_of_a_killed_command_are_read_from_its_shards(study, tmp_path, monkeypatch):
    """As if it had been killed before the tables were written; the next command writes them."""
    path, out = study(training__seeds=2, probes=PROBES), tmp_path / "out"
    run_study(path, tmp_path / "whole", workers=1)
    monkeypatch.setattr("deepboot.runners.run.output_folder.merge", lambda *_: None)
    run_study(path, out, workers=1)
    monkeypatch.undo()
    assert not (out / "probes.parquet").exists()
    names = ["run_id", "step", "name"]
    one, other = (results.read(folder).probes.sort_values(names, ignore_index=True)
                  for folder in (out, tmp_path / "whole"))  # fmt: skip
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    run_study(path, out, workers=1)
    equal(out, tmp_path / "whole")


def test_a_probe_that_comes_after_the_runs_is_refused(study, tmp_path, monkeypatch):
    """Nothing is trained again and nothing claims to be measured: a new folder measures it."""
    out = tmp_path / "out"
    before = run_study(study(training__seeds=2, probes={"layer_norms": {}}), out, workers=1)
    names = trained(monkeypatch)
    with pytest.raises(StudyError) as caught:
        run_study(study(training__seeds=2, probes=PROBES), out, workers=1)
    first = ", ".join(before.runs["run_id"][:3])
    assert caught.value.problems == [
        f"output folder {out}: its 4 runs ({first} and 1 more) lack the probe logit_scale and sharpness, and no run is "
        "trained again for a probe. Choose another folder with --out, where all runs are measured, or remove it from "
        "[probes]."
    ]
    with pytest.raises(StudyError) as caught:
        run_study(study(training__seeds=2, probes={"layer_norms": {"every": 2}}), out, workers=1)
    assert caught.value.problems == [
        f"output folder {out} holds another study: it differs in probes.layer_norms.every. Choose another with --out."
    ]
    assert names == []
    pd.testing.assert_frame_equal(results.read(out).probes, before.probes, check_exact=True)
    run_study(study(training__seeds=2, probes={"layer_norms": {}}), out, workers=1)
    assert names == []
    run_study(study(training__seeds=2, probes=PROBES), tmp_path / "new", workers=1)
    equal_runs(out, tmp_path / "new")


def test_a_folder_that_was_begun_without_a_probe_is_refused_before_it_has_runs(tmp_path):
    """Its checkpoints may hold evaluations already."""
    (tmp_path / "study.toml").write_text('question = "?"\ntask = {}\n')
    with pytest.raises(StudyError) as caught:
        refuse_another(tmp_path, {"question": "?", "probes": {"layer_norms": {"every": 1}}})
    assert caught.value.problems == [
        f"output folder {tmp_path}: its runs lack the probe layer_norms, and no run is trained again for a probe. "
        "Choose another folder with --out, where all runs are measured, or remove it from [probes]."
    ]


def test_a_damaged_table_is_named_and_its_runs_are_trained_again(study, tmp_path, monkeypatch):
    """Values are measured in training only; the old file is kept."""
    path, out = study(training__seeds=2, probes=PROBES), tmp_path / "out"
    run_study(path, out, workers=1)
    run_study(path, tmp_path / "whole", workers=1)
    table = out / "probes.parquet"
    table.write_bytes(table.read_bytes()[:200])
    with pytest.raises(DamagedFileError) as caught:
        results.read(out)
    assert str(caught.value).startswith(f"{table} is damaged: ")
    assert str(caught.value).endswith(
        f". `deepboot run {out}` moves it aside and trains the runs again whose values it has lost."
    )
    names = trained(monkeypatch)
    run_study(path, out, workers=1)
    assert len(names) >= 1
    assert (out / "probes.parquet.damaged").exists()
    equal(out, tmp_path / "whole")


def test_only_runs_whose_values_are_lost_are_trained_again(study, tmp_path, capsys, monkeypatch):
    """A table without the rows of one pair, and one that is gone altogether."""
    path, out = study(training__seeds=2, probes=PROBES), tmp_path / "out"
    held = run_study(path, out, workers=1, pack_size=2)
    run_study(path, tmp_path / "whole", workers=1, pack_size=2)
    lost = held.runs.loc[held.runs["seed"] == 1, "run_id"].tolist()
    results.write_table(held.probes[~held.probes["run_id"].isin(lost)], out / "probes.parquet")
    sentence = f"{out / 'probes.parquet'} is damaged: it has no rows of 2 of the 4 runs, such as {lost[0]}."
    with pytest.raises(DamagedFileError) as caught:
        results.read(out)
    assert str(caught.value).startswith(sentence)
    names = trained(monkeypatch)
    run_study(path, out, workers=1, pack_size=2)
    assert len(names) == 1
    aside = "Both tables are kept, as runs.parquet.damaged and evaluations.parquet.damaged."
    said = f"{sentence} {aside} 2 runs are whole without it; the others are trained again."
    assert said in capsys.readouterr().err
    equal(out, tmp_path / "whole")
    (out / "probes.parquet").unlink()
    run_study(path, out, workers=1, pack_size=2)
    assert "is damaged: it is missing, and there are no rows of 4 of the 4 runs, such as " in capsys.readouterr().err
    equal(out, tmp_path / "whole")


def test_values_outlive_damage_of_the_other_tables(study, tmp_path):
    """Runs are made again from evaluations and states, with the values that were there."""
    path, out = study(training__seeds=2, probes=PROBES), tmp_path / "out"
    run_study(path, out, workers=1)
    (out / "runs.parquet").write_bytes(b"no table")
    run_study(path, out, workers=1)
    run_study(path, tmp_path / "whole", workers=1)
    equal(out, tmp_path / "whole")


def test_a_users_probe_is_one_function_in_a_plugin(study, tmp_path, deepboot_with_figures):
    """Its values are in the table, in a figure of the page under its own words, in the list and in exported files."""
    (tmp_path / "mine.py").write_text(USER)
    out = tmp_path / "out"
    path = study(plugins=["mine.py"], probes={**PROBES, "largest_weight": {"scale": 2.0}})
    deepboot = deepboot_with_figures
    said = deepboot("run", path, "--out", out, "--workers", 1)
    assert said.returncode == 0, said.stderr
    read = results.read(out)
    largest = read.probes[read.probes["name"] == "largest_weight"]
    assert len(largest) == len(read.evaluations)
    assert largest["value"].gt(0).all()
    page, text = ((out / name).read_text() for name in ("report.html", "report.md"))
    for shown in ("figure-probes", "figure-probe-layer_norms"):
        assert f'id="{shown}"' in page
    assert "largest_weight: The largest absolute value of all parameters." in page
    assert "layer_norms: Euclidean norm of each parameter, under its name in the model." in text
    order = [page.index(f'id="figure-{name}"') for name in ("test_error", "probe-layer_norms", "bootstrap_error")]
    assert order == sorted(order)
    exported = deepboot("export", out, "--out", tmp_path / "tables", "--format", "csv")
    assert str(tmp_path / "tables" / "probes.csv") in exported.stdout
    assert len(pd.read_csv(tmp_path / "tables" / "probes.csv")) == len(read.probes)
    assert "  layer_norms              Euclidean norm of each" in deepboot("list", "probes").stdout


def test_a_value_that_no_probe_has_is_refused_before_the_run(study, tmp_path):
    """Its claim would be judged on nothing: the probes are tried beforehand, and their values are known by name."""
    claim = {"kind": "final_error", "metric": "probes.layer_norms.hiden.0.weight", "max": 10.0}
    with pytest.raises(StudyError, match=r"the probe has no value 'probes.layer_norms.hiden.0.weight'. Did you mean"):
        run_study(study(probes=PROBES, claims=[claim]), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()

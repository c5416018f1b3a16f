"""From a study file to the tables of its folder: what is run, kept, extended, refused."""

import contextlib
import json
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepboot.bootstrap import results
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.results import Results, typed, write
from deepboot.bootstrap.study.kept_weights import WEIGHTS, weights_file
from deepboot.bootstrap.study.messages import StudyError
from deepboot.runners import run_study, study_files
from deepboot.runners.run import engine, local, work
from deepboot.runners.shipped import shipped

EXACT = {"check_exact": True}


def tables(folder):
    """Both tables as they are written, without the seconds."""
    read = results.read(folder)
    return read.runs.drop(columns="seconds"), read.evaluations


def equal(one, other):
    """Whether two folders hold the same tables to the last bit."""
    for left, right in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(left, right, **EXACT)


def test_tables_have_exactly_the_promised_columns(study, tmp_path):
    """The leading columns are those of the schema, then dotted settings; every run and step has its row."""
    read = run_study(study(training__seeds=2), tmp_path / "out", workers=1)
    assert list(read.runs.columns[: len(RUN_COLUMNS)]) == list(RUN_COLUMNS)
    assert all("." in name for name in read.runs.columns[len(RUN_COLUMNS) :])
    assert list(read.evaluations.columns) == list(EVALUATION_COLUMNS)
    assert dict(read.runs.dtypes.astype(str).iloc[: len(RUN_COLUMNS)]) == RUN_COLUMNS
    assert len(read.runs) == 4
    assert set(read.evaluations["run_id"]) == set(read.runs["run_id"])
    real = read.runs[read.runs["world"] == "real"]
    assert set(real["ideal_run_id"]) == set(read.runs.loc[read.runs["world"] == "ideal", "run_id"])
    assert real["optimizer.lr"].eq(0.01).all()


def test_reuse_and_first_reuse_are_counted(study, tmp_path):
    """24 samples, 6 steps of 8: each is used twice, first again at step 3; the ideal world reuses none."""
    runs = run_study(study(), tmp_path / "out", workers=1).runs.set_index("world")
    assert runs.loc["real", ["reuse", "first_reuse_step", "samples_seen"]].tolist() == [2.0, 3, 48]
    assert runs.loc["ideal", "reuse"] == 1.0
    assert pd.isna(runs.loc["ideal", "first_reuse_step"])
    assert pd.isna(runs.loc["ideal", "train_size"])


def test_a_list_of_pools_costs_one_ideal_run_per_seed(study, tmp_path):
    """Three pools and two seeds are six real and two ideal runs; with full batches six of each."""
    shared = run_study(study(training__train_size=[8, 16, 24], training__seeds=2), tmp_path / "a", workers=1)
    own = run_study(
        study(training__train_size=[8, 16, 24], training__seeds=2, training__batch_size="full"),
        tmp_path / "b", workers=1,
    )  # fmt: skip
    assert shared.runs["world"].value_counts().to_dict() == {"real": 6, "ideal": 2}
    assert own.runs["world"].value_counts().to_dict() == {"real": 6, "ideal": 6}


def test_running_again_trains_nothing(study, tmp_path, monkeypatch):
    """A finished folder is left as it is."""
    path = study()
    run_study(path, tmp_path / "out", workers=1)
    before = tables(tmp_path / "out")
    monkeypatch.setattr(local, "run_jobs", lambda jobs, **_: pytest.fail("trained again") if jobs else [])
    run_study(path, tmp_path / "out", workers=1)
    for left, right in zip(before, tables(tmp_path / "out"), strict=True):
        pd.testing.assert_frame_equal(left, right, **EXACT)


def test_rows_are_in_one_order_however_they_came_about(study, tmp_path):
    """By run, in the order of the study, and step: at once, in two goes, and after a repeated command."""
    path = study(training__seeds=4, training__train_size=[16, 24])
    whole = run_study(path, tmp_path / "whole", workers=1)
    run_study(path, tmp_path / "grown", workers=1, changes=["training.seeds=[2, 1]"])
    run_study(path, tmp_path / "grown", workers=1)
    equal(tmp_path / "whole", tmp_path / "grown")
    run_study(path, tmp_path / "grown", workers=1)
    equal(tmp_path / "whole", tmp_path / "grown")
    steps = [(run, step) for run in whole.runs["run_id"] for step in (0, 1, 2, 3, 4, 5, 6)]
    assert list(zip(whole.evaluations["run_id"], whole.evaluations["step"], strict=True)) == steps


def test_more_seeds_and_a_longer_budget_extend_a_folder_to_what_one_run_gives(study, tmp_path):
    """Two seeds to step 5, then three to step 11, equals three to step 11 at once, to the last bit."""
    run_study(study(training__max_steps=5, training__seeds=2), tmp_path / "grown", workers=1)
    longer = study(training__max_steps=11, training__seeds=3)
    run_study(longer, tmp_path / "grown", workers=1)
    run_study(longer, tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_a_longer_budget_without_kept_states_starts_over(study, tmp_path):
    """Without final states the runs are trained from step 0 again, with the same result."""
    changes = {"keep__final_state": False}
    run_study(study(training__max_steps=5, **changes), tmp_path / "grown", workers=1)
    assert not (tmp_path / "grown" / "states").exists()
    run_study(study(training__max_steps=11, **changes), tmp_path / "grown", workers=1)
    run_study(study(training__max_steps=11, **changes), tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_a_truncated_state_is_not_used(study, tmp_path):
    """A state that cannot be read makes its run start over instead of failing."""
    run_study(study(training__max_steps=5), tmp_path / "grown", workers=1)
    for path in (tmp_path / "grown" / "states").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    run_study(study(training__max_steps=11), tmp_path / "grown", workers=1)
    run_study(study(training__max_steps=11), tmp_path / "whole", workers=1)
    equal(tmp_path / "grown", tmp_path / "whole")


def test_results_do_not_depend_on_torch_threads_or_generators(study, tmp_path):
    """The same study twice, with the global generators disturbed between, is the same table."""
    import torch

    path = study()
    run_study(path, tmp_path / "a", workers=1)
    torch.manual_seed(99)
    np.random.seed(99)
    run_study(path, tmp_path / "b", workers=1)
    equal(tmp_path / "a", tmp_path / "b")


def test_thresholds_may_change_without_training(study, tmp_path, monkeypatch):
    """A lower threshold finds other events in the same evaluations."""
    run_study(study(evaluation={"schedule": 1, "streak": 1}), tmp_path / "out", workers=1)
    monkeypatch.setattr(local, "run_jobs", lambda jobs, **_: pytest.fail("trained again") if jobs else [])
    easy = {"schedule": 1, "streak": 1, "threshold": 0.05}
    read = run_study(study(evaluation=easy), tmp_path / "out", workers=1)
    assert (read.runs["grokking_high"] == 0).all()


def test_a_folder_with_another_study_is_refused_by_what_differs(study, tmp_path):
    """Another width is another study; nothing of the first is touched."""
    run_study(study(), tmp_path / "out", workers=1)
    before = tables(tmp_path / "out")
    with pytest.raises(StudyError) as caught:
        run_study(study(model__width=8), tmp_path / "out", workers=1)
    assert caught.value.problems == [
        f"output folder {tmp_path / 'out'} holds another study: it differs in model.width. Choose another with --out."
    ]
    for left, right in zip(before, tables(tmp_path / "out"), strict=True):
        pd.testing.assert_frame_equal(left, right, **EXACT)


def test_an_unwritable_folder_is_refused(study, tmp_path):
    """A file where the folder should be is named, with what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError) as caught:
        run_study(study(), tmp_path / "file" / "out", workers=1)
    assert caught.value.problems == [
        f"output folder {tmp_path / 'file' / 'out'} cannot be written: Not a directory. Choose another with --out."
    ]


def test_a_failing_pack_is_reported_and_the_others_are_kept(study, tmp_path):
    """A plugin loss that raises in one cell leaves the other cell's runs in the tables, the failed ones marked."""
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from deepboot.bootstrap.registry import register\n"
        "from deepboot.bootstrap.losses import cross_entropy\n"
        "@register('loss', 'fragile')\n"
        "def fragile(logits_EBV, label_EB, *, limit: float = 1e9):\n"
        '    """Raises where the limit is negative."""\n'
        "    assert limit > 0, 'a planted failure'\n"
        "    return cross_entropy(logits_EBV, label_EB)\n"
    )
    path = study(plugins=["plugin.py"], loss={"name": "fragile"}, sweep={"loss.limit": [1.0, -1.0]})
    with pytest.raises(engine.TrainingError, match="AssertionError: a planted failure"):
        run_study(path, tmp_path / "out", workers=1)
    runs = results.read(tmp_path / "out").runs
    assert runs.groupby("loss.limit")["status"].unique().map(list).to_dict() == {-1.0: ["failed"], 1.0: ["finished"]}
    assert "a planted failure" in (tmp_path / "out" / "failures.log").read_text()


def test_diverged_runs_are_kept_with_their_step(study, tmp_path):
    """An absurd learning rate gives status diverged, no event after it, and no retraining."""
    path = study(optimizer={"name": "sgd", "lr": 1e30})
    runs = run_study(path, tmp_path / "out", workers=1).runs
    assert (runs["status"] == "diverged").all()
    assert runs["grokking_high"].isna().all()
    assert (runs["last_step"] < 6).all()
    assert work.plan(path, tmp_path / "out").packs == []


def test_claims_are_registered_at_the_first_run_only(study, tmp_path):
    """A claim added later is in the study but not among the registered ones."""
    claim = {"kind": "rate", "event": "grokking", "min_rate": 0.5}
    run_study(study(claims=[claim]), tmp_path / "out", workers=1)
    first = json.loads((tmp_path / "out" / "claims.json").read_text())
    run_study(study(claims=[claim, {**claim, "min_rate": 0.9}]), tmp_path / "out", workers=1)
    assert json.loads((tmp_path / "out" / "claims.json").read_text()) == first
    assert [one["min_rate"] for one in first["registered"]] == [0.5]
    assert first["seeds"] == [0]
    assert len(results.read(tmp_path / "out").study["claims"]) == 2


def test_study_toml_runs_the_same_runs(study, tmp_path):
    """What the folder keeps as its study has the run ids of the original."""
    path = study(sweep={"optimizer.lr": [0.1, 0.01]}, scale={"full": {"training.seeds": 3}})
    run_study(path, tmp_path / "out", scale="full", workers=1)
    again = work.plan(tmp_path / "out" / "study.toml")
    assert {run.run_id for run in again.runs} == set(results.read(tmp_path / "out").runs["run_id"])


def test_runs_are_in_the_order_of_the_study(study, tmp_path, monkeypatch):
    """Whoever finished first; runs that the study no longer has come last."""
    path = study(sweep={"optimizer.lr": [0.3, 0.1, 0.2]}, training__seeds=2)
    in_order = local.run_jobs
    with monkeypatch.context() as patched:
        patched.setattr(local, "run_jobs", lambda jobs, **how: in_order(jobs[::-1], **how))
        runs = run_study(path, tmp_path / "out", workers=1, pack_size=2).runs
    assert runs.loc[runs["world"] == "real", "optimizer.lr"].tolist() == [0.3, 0.3, 0.1, 0.1, 0.2, 0.2]
    assert runs.loc[runs["world"] == "real", "seed"].tolist() == [0, 1, 0, 1, 0, 1]
    other = study(sweep={"optimizer.lr": [0.2, 0.4]}, training__seeds=1)
    runs = run_study(other, tmp_path / "out", workers=1).runs
    assert runs.loc[runs["world"] == "real", "optimizer.lr"].tolist()[:2] == [0.2, 0.4]
    assert len(runs) == 14


def test_every_rule_can_be_swept_with_one_shared_ideal_world(study, tmp_path):
    """Rules are cells, named by their rule in the column ``world``."""
    worlds = [{"rule": "real"}, {"rule": "fresh", "share": 0.5}, {"rule": "sliding", "shift": 2}]
    runs = run_study(study(sweep={"training.world": worlds}), tmp_path / "out", workers=1).runs
    assert runs["world"].value_counts().to_dict() == {"real": 1, "fresh": 1, "sliding": 1, "ideal": 1}
    assert runs["ideal_run_id"].nunique() == 1
    assert runs.loc[runs["world"] == "fresh", "training.world.share"].item() == 0.5


def test_facts_about_a_finite_universe_are_beside_the_settings(study, tmp_path):
    """Classes, sizes of universe and test set and the mirrored share are columns of the run."""
    task = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
    runs = run_study(study(task=task, data={}), tmp_path / "out", workers=1).runs
    assert runs["facts.classes"].eq(7).all()
    assert runs["facts.universe_size"].eq(49).all()
    assert runs["facts.test_size"].eq(10).all()
    assert runs.loc[runs["world"] == "real", "facts.mirrored_share"].between(0, 1).all()


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_shipped_studies_are_valid_at_every_scale(small, tmp_path):
    """Every shipped study, at each of its scales, can be planned; CIFAR-5m's place taken by drawn images."""
    drawn = ['task={ name = "shapes" }', "data.test_set=heldout"]
    for name, path in shipped().items():
        raw = tomllib.loads(path.read_text())
        scales = {None: {}, **raw.get("scale", {})}
        for scale, changed in scales.items():
            if (scale == ("quick" if "quick" in scales else None)) != small:
                continue
            changes = drawn if changed.get("task", raw["task"])["name"] == "cifar5m" else []
            if "folder" in raw.get("start", {}):
                changes = [*changes, f"start.folder={pretrained(tmp_path / str(scale), raw, scale)}"]
            assert work.plan(name, scale=scale, changes=changes).runs, (name, scale)
    with pytest.raises(StudyError, match="no prepared CIFAR-5m here"):
        work.plan("deep-bootstrap", scale="full")


def pretrained(folder, raw, scale):
    """The place of the runs that a study starts from, with the names of their weights; nothing is trained."""
    runs = work.plan(Path(raw["start"]["folder"]).name, scale=scale).runs
    steps = raw["scale"][scale]['sweep."start.step"'] if scale else raw["sweep"]["start.step"]
    (folder / WEIGHTS).mkdir(parents=True)
    for run in runs:
        for step in steps:
            weights_file(folder, run.run_id, step).touch()
    rows = [{"run_id": run.run_id, "cell_id": run.cell_id, "world": run.rule, "seed": run.seed} for run in runs]
    write(Results(typed(rows, RUN_COLUMNS), typed([], EVALUATION_COLUMNS)), folder)
    (folder / "study.toml").touch()
    return folder


def test_changes_and_scales_are_applied_in_that_order(study):
    """--set wins over --scale, replaces a swept list, and takes text where it is no TOML."""
    path = study(sweep={"optimizer.lr": [0.1, 0.2]}, scale={"big": {"training.seeds": 5, "training.max_steps": 9}})
    raw = study_files.load(path, scale="big", changes=["training.seeds=2", "optimizer.lr=0.5", "model.activation=gelu"])
    assert (raw["training"]["seeds"], raw["training"]["max_steps"]) == (2, 9)
    assert raw["optimizer"]["lr"] == 0.5
    assert raw["model"]["activation"] == "gelu"
    assert raw["sweep"] == {}


def test_a_recording_is_found_beside_its_study(study, tmp_path):
    """A relative path is read from the study's folder, and the file's content, not its place, is the identity."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        np.savez(tmp_path / place / "mine.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    task = {"name": "recording", "path": "mine.npz"}
    changes = {"task": task, "data": {}, "training__max_steps": 4, "training__batch_size": 8}
    ids = [{run.run_id for run in work.plan(study(f"{place}/small.toml", **changes)).runs} for place in ("one", "two")]
    assert ids[0] == ids[1]
    read = run_study(tmp_path / "one" / "small.toml", tmp_path / "out", workers=1)
    assert (read.runs["status"] == "finished").all()


def test_the_ideal_world_of_a_recording_refuses_a_second_pass(study, tmp_path):
    """48 training samples do not last for 7 steps of 8, unless reuse is allowed."""
    np.savez(tmp_path / "mine.npz", x=np.ones((60, 2), np.float32), y=np.arange(60) % 2)
    task = {"name": "recording", "path": "mine.npz"}
    with pytest.raises(StudyError) as caught:
        work.plan(study(task=task, data={}, training__max_steps=7))
    assert caught.value.problems == [
        "`training.max_steps`: the ideal world needs 56 fresh samples, but the recording has 48 for training. "
        "Lower max_steps or batch_size, set training.ideal = false, or set data.allow_reuse = true."
    ]
    assert work.plan(study(task=task, data={"allow_reuse": True}, training__max_steps=7)).runs


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training__world": {"rule": "ideal"}}, "`training.max_steps`: the ideal world needs 160 fresh samples"),
        (
            {"training__world": {"rule": "fresh", "share": 0.5}},
            "`training.max_steps`: the rule 'fresh' needs 92 fresh samples",
        ),
        (
            {"training__world": {"rule": "switch", "at_step": 10}},
            "`training.max_steps`: the rule 'switch' needs 160 fresh samples",
        ),
        (
            {"phases": [{"at_step": 4, "set": {"training.world": {"rule": "ideal"}}}]},
            "phases[0]: `training.max_steps`: the ideal world needs 160 fresh samples",
        ),
        (
            {"training__world": {"rule": "sliding", "shift": 8}},
            "`training.max_steps`: the rule 'sliding' needs 72 fresh samples",
        ),
    ],
)
def test_no_world_of_a_recording_begins_a_second_pass_unasked(study, tmp_path, changes, sentence):
    """Whichever rule or phase reads beyond the 48 training samples is refused, unless reuse is allowed."""
    np.savez(tmp_path / "mine.npz", x=np.ones((60, 2), np.float32), y=np.arange(60) % 2)
    raw = {"task": {"name": "recording", "path": "mine.npz"}, "training__ideal": False, **changes}
    with pytest.raises(StudyError) as caught:
        work.plan(study(data={}, training__max_steps=20, **raw))
    assert caught.value.problems == [
        f"{sentence}, but the recording has 48 for training. Lower max_steps or batch_size, "
        "or set data.allow_reuse = true."
    ]
    assert work.plan(study(data={"allow_reuse": True}, training__max_steps=20, **raw)).runs


def test_samples_that_are_promised_as_never_used_end_with_a_small_universe(study):
    """The ideal world of all 49 equations may go round; a rule that adds fresh samples to a pool may not."""
    task = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
    raw = {"task": task, "data": {}, "training__max_steps": 20, "training__world": {"rule": "fresh", "share": 0.5}}
    with pytest.raises(StudyError) as caught:
        work.plan(study(**raw))
    assert caught.value.problems == [
        "`training.max_steps`: the rule 'fresh' needs 92 fresh samples, but the universe has 39 for training. "
        "Lower max_steps or batch_size, or set data.allow_reuse = true."
    ]
    assert work.plan(study(**{**raw, "training__world": {"rule": "redraw", "share": 0.5}})).runs


@pytest.mark.parametrize("pack_size", [4, 7, 64])
def test_packs_of_any_size_give_the_same_tables(study, tmp_path, pack_size):
    """Seeds, learning rates, decays, pools and rules stepped together are each what they are alone, to the last bit."""
    worlds = [{"rule": "real"}, {"rule": "fresh", "share": 0.5}]
    sweep = {"optimizer.lr": [0.01, 0.1], "training.world": worlds}
    path = study(training__seeds=3, sweep=sweep, training__train_size=[16, 24], model__width=97)
    run_study(path, tmp_path / "pairs", workers=1)
    run_study(path, tmp_path / "packs", workers=1, pack_size=pack_size)
    equal(tmp_path / "pairs", tmp_path / "packs")
    planned = work.plan(path, pack_size=pack_size).packs
    assert max(len(pack.runs) for pack in planned) <= max(pack_size, 5)
    for pack in planned:
        held = {run.run_id for run in pack.runs}
        assert all(run.ideal_run_id in held for run in pack.runs if run.ideal_run_id)


def test_what_is_left_of_a_study_is_packed_as_before(study, tmp_path):
    """A finished pack leaves the others' names, and so their checkpoints, as they were."""
    path = study(training__seeds=4)
    run_study(path, tmp_path / "out", changes=["training.seeds=2"], workers=1)
    names = [pack.name for pack in work.plan(path, pack_size=4).packs]
    left = [pack.name for pack in work.plan(path, tmp_path / "out", pack_size=4).packs]
    assert len(names) == 2
    assert left == names[1:]


def test_shards_together_are_the_study(study, tmp_path):
    """Every cell is in exactly one of three shards, pairs whole; their folders export as the study's tables."""
    path = study(sweep={"optimizer.lr": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]})
    run_study(path, tmp_path / "whole", workers=1)
    folders = []
    for number in (1, 2, 3):
        with contextlib.suppress(StudyError):  # a shard without cells
            run_study(path, tmp_path / f"shard{number}", workers=1, shard=f"{number}/3")
            folders.append(tmp_path / f"shard{number}")
    assert len(folders) > 1
    together = pd.concat([results.read(folder).runs for folder in folders])
    whole = results.read(tmp_path / "whole").runs
    assert sorted(together["run_id"]) == sorted(whole["run_id"])


def test_a_shard_that_is_none_is_refused(study):
    """k/n with k from 1 to n, in one sentence."""
    for wrong in ("0/3", "4/3", "x", "1/0"):
        with pytest.raises(StudyError) as caught:
            work.plan(study(), shard=wrong)
        assert caught.value.problems == [
            f"--shard {wrong}: expected k/n with 1 <= k <= n. Write 2/8 for the second of eight."
        ]


@pytest.mark.parametrize("has_units", [True, False])
def test_a_precision_that_the_machine_does_not_have_is_said(study, tmp_path, monkeypatch, capsys, has_units):
    """On the terminal and in environment.json; the study is trained in float32 then."""
    monkeypatch.setattr(engine.environment, "multiplies_bfloat16", lambda device: has_units)
    read = run_study(study(training__precision="bf16_products", training__seeds=1), tmp_path / "out", workers=1)
    assert read.environment["multiplies bfloat16"] is has_units
    said = (
        'training.precision = "bf16_products": this machine has no units for products of bfloat16, so they are '
        "computed in float32. Times and results are those of float32."
    )
    assert (said in capsys.readouterr().err) is not has_units

"""A run's identity: what changes it, and what does not."""

import re

import numpy as np
import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.study import run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets.sparse_parity import SparseParity
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ADDITION, ids, recording


def test_a_streams_own_seed_replaces_the_runs():
    """All other streams keep the run's."""
    one = runs_of(parity(training__streams={"init": 9}, training__seeds=[4]))[0]
    assert (one.stream_seed("init"), one.stream_seed("data")) == (9, 4)


def shuffled(value):
    """The same tables with their keys in reverse order."""
    return {k: shuffled(v) for k, v in reversed(value.items())} if isinstance(value, dict) else value


def test_identity_does_not_depend_on_the_order_of_keys():
    """Nor on defaults being written out."""
    raw = parity(data={"label_noise": 0.1, "test_samples": 64})
    assert ids(shuffled(raw)) == ids(raw)
    assert ids(parity(data__label_noise=0.0, optimizer__weight_decay=0.01, loss={"name": "cross_entropy"})) == ids(
        parity()
    )


def test_identity_is_16_hexadecimal_digits_and_different_for_every_run():
    """Real and ideal, seeds and sizes."""
    found = ids(parity(training__train_size=[24, 48], training__seeds=3))
    assert len(set(found)) == 9
    assert all(re.fullmatch("[0-9a-f]{16}", run_id) for run_id in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer__lr": 0.02},
        {"optimizer__betas": [0.9, 0.98]},
        {"optimizer__decay_to": "init"},
        {"optimizer": {"name": "adam", "lr": 1e-2}},
        {"model__width": 17},
        {"model__init_scale": 2.0},
        {"model__output_scale": 0.5},
        {"task__num_relevant": 3},
        {"task__encoding": "+-1"},
        {"loss": {"name": "cross_entropy", "dtype": "float64"}},
        {"loss": {"name": "mse"}},
        {"data__label_noise": 0.1},
        {"data__swapped_answers": 2},
        {"data__test_samples": 65},
        {"schedule__shape": "linear"},
        {"schedule__warmup_steps": 2},
        {"training__batch_size": 12},
        {"training__seeds": [1]},
        {"training__dtype": "float64"},
        {"training__streams": {"init": 5}},
        {"training__streams": {"test": 5}},
        {"evaluation__schedule": 2},
        {"evaluation__per_octave": 4},
        {"evaluation__train_samples": 10},
    ],
)
def test_identity_changes_with_all_that_changes_weights_or_rows(changes):
    """Of the real run and of the ideal run."""
    assert not set(ids(parity(**changes))) & set(ids(parity()))


@pytest.mark.parametrize(
    "changes",
    [
        {"training__max_steps": 600},
        {"evaluation__threshold": 0.9},
        {"evaluation__streak": 5},
        {"evaluation__stopping_metric": "train_loss"},
        {"evaluation__stopping_threshold": 0.5},
        {"keep__final_state": False},
        {"question": "Another one?"},
        {"source": "A paper"},
        {"claims": [{"kind": "grokking_delay", "min_ratio": 2}]},
        {"scale": {"full": {"training.seeds": 3}}},
    ],
)
def test_identity_does_not_change_with_what_is_only_judged_or_kept(changes):
    """Budgets, thresholds, claims and words: a finished run is not run again."""
    assert ids(parity(**changes)) == ids(parity())


def test_more_seeds_and_sizes_keep_the_runs_that_were_there():
    """A study can be extended."""
    small, large = (
        set(ids(parity(training__seeds=n, training__train_size=sizes))) for n, sizes in ((2, 24), (5, [48, 24]))
    )
    assert small < large


@pytest.mark.parametrize("shape", ["cosine", "linear"])
def test_identity_changes_with_the_budget_where_the_schedule_uses_it(shape):
    """A learning rate that falls to 0 at max_steps is another one with another budget."""
    short, long = (set(ids(parity(schedule__shape=shape, training__max_steps=n))) for n in (6, 12))
    assert not short & long


def test_the_pool_is_part_of_the_real_run_only():
    """Another pool or rule, the same ideal run."""
    base = runs_of(parity())
    for changes in ({"training__train_size": 25}, {"training__world": {"rule": "fresh", "share": 0.1}}):
        real, ideal = runs_of(parity(**changes))
        assert (real.run_id == base[0].run_id, ideal.run_id == base[1].run_id) == (False, True)


def test_identity_knows_the_largest_pool_only_where_the_test_set_depends_on_it():
    """With test_set = "rest" another largest pool is another test set."""
    for test_set, same in (("rest", False), ("heldout", True), ("population", True)):
        one, two = (
            runs_of(parity(task=ADDITION, data={"test_set": test_set}, training__train_size=sizes))[0].run_id
            for sizes in ([10, 20], [10, 30])
        )
        assert (one == two) == same, test_set


def test_cells_are_the_same_for_all_seeds():
    """And differ where anything else does."""
    runs = runs_of(parity(training__seeds=3, training__train_size=[24, 48]))
    assert len({one.cell_id for one in runs}) == 3
    assert len({one.cell_id for one in runs if one.train_size == 24}) == 1


def test_identity_changes_with_the_version_of_the_task(monkeypatch):
    """The same settings that give other samples."""
    before = set(ids(parity()))
    monkeypatch.setattr(SparseParity, "version", SparseParity.version + 1)
    assert not before & set(ids(parity()))


def test_identity_changes_with_the_meaning_of_a_specification(monkeypatch):
    """Raised by us when the same specification gives other numbers."""
    before = set(ids(parity()))
    monkeypatch.setattr(run, "MEANING", run.MEANING + 1)
    assert not before & set(ids(parity()))


PLUGIN = """
from deepboot.bootstrap.registry import register

@register("{kind}", "{name}")
def mine({parameters}):
    return {value}
"""


@pytest.mark.parametrize(
    ("kind", "parameters", "changes"),
    [
        ("loss", "logits, label", {"loss": {"name": "test_mine"}}),
        ("rule", "draws", {"training__world": {"rule": "test_mine"}}),
    ],
)
def test_identity_changes_with_the_source_of_the_plugin_that_a_run_uses(tmp_path, kind, parameters, changes):
    """An edited file is another run; a study that does not use it is not touched."""
    path = tmp_path / "mine.py"
    found, others = [], []
    for value in (1, 2, 2):
        path.write_text(PLUGIN.format(kind=kind, name="test_mine", parameters=parameters, value=value))
        registry.load_plugin(path)
        found.append(runs_of(parity(**changes))[0].run_id)
        others.append(ids(parity()))
    assert found[0] != found[1] == found[2]
    assert others[0] == others[1] == others[2]


def test_a_plugins_rule_is_no_part_of_the_ideal_run(tmp_path):
    """The ideal world does not read it: all rules share one ideal run."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(kind="rule", name="test_mine", parameters="draws", value="draws.pool_index()"))
    registry.load_plugin(path)
    assert runs_of(parity(training__world={"rule": "test_mine"}))[1].run_id == runs_of(parity())[1].run_id


def test_identity_changes_with_the_contents_of_a_recording(tmp_path):
    """The same file name with other labels is other data."""
    path = tmp_path / "mine.npz"
    before = ids(recording(path, labels=np.arange(30) % 2))
    after = ids(recording(path, labels=np.arange(30) // 15))
    assert not set(before) & set(after)
    assert ids(recording(path, labels=np.arange(30) % 2)) == before


def test_a_penalty_is_part_of_the_identity_and_its_absence_is_not():
    """Runs of before there were penalties keep their ids."""
    plain, weak, strong = (
        runs_of(parity(**({"training__penalty": {"name": "l1", "strength": strength}} if strength else {})))[0]
        for strength in (None, 0.1, 0.2)
    )
    assert len({one.run_id for one in (plain, weak, strong)}) == 3
    assert "penalty" not in plain._configuration()


def test_identity_leaves_out_a_later_setting_at_its_default():
    """So that runs of before it keep theirs; any other value is another run, in another cell."""
    before = runs_of(parity())[0]
    assert "single_logit" in before.model
    assert "single_logit" not in before._configuration()["model"]
    same, other = (runs_of(parity(model__single_logit=value))[0] for value in (False, True))
    assert same.run_id == before.run_id
    assert (other.run_id == before.run_id, other.cell_id == before.cell_id) == (False, False)


def test_identity_leaves_out_a_later_setting_of_an_index_rule_at_its_default():
    """In the first phase and in later ones, as of a model."""
    raw = parity(training__world={"rule": "fresh", "share": 0.5})
    change = {"at_step": 4, "set": {"training.world": {"rule": "redraw", "share": 0.5}}}
    for changes in ({}, {"phases": [change]}):
        before = runs_of({**raw, **changes})[0]
        assert before.world["whole_batches"] is False
        assert "whole_batches" not in str(before._configuration())
    worlds = [{"rule": "fresh", "share": 0.5, "whole_batches": value} for value in (False, True)]
    same, other = (runs_of(parity(training__world=world))[0] for world in worlds)
    assert same.run_id == runs_of(raw)[0].run_id
    assert other.run_id != same.run_id


def test_a_changed_copy_of_a_run_has_an_identity_of_its_own():
    """Ids are computed once a run, and a copy must not take over those of the original."""
    one, other = runs_of(parity(training__seeds=[4, 5], training__ideal=False))
    before = (one.run_id, one.cell_id)
    copy = one.model_copy(update={"seed": 5})
    assert (copy.run_id, copy.cell_id) == (other.run_id, other.cell_id)
    assert copy == other
    assert one.model_copy(update={"optimizer": {**one.optimizer, "lr": 0.9}}).cell_id != one.cell_id
    assert (one.run_id, one.cell_id) == before
    assert "run_id" not in one.model_dump()


def test_seeds_share_their_settings_and_a_changed_copy_has_its_own():
    """Settings of a cell are described once; who changes a table of them changes no other run's."""
    one, other = runs_of(parity(training__seeds=[4, 5], training__ideal=False))
    assert one.first_settings is other.first_settings
    one.settings()["optimizer.lr"] = 0.7
    assert other.settings()["optimizer.lr"] == other.optimizer["lr"]
    changed = one.model_copy(update={"optimizer": {**one.optimizer, "lr": 0.9}})
    assert changed.settings()["optimizer.lr"] == 0.9
    assert one.settings()["optimizer.lr"] == one.optimizer["lr"]

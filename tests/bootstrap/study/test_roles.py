"""Roles of settings: every list of settings is derived from them, and a new field gets the cautious one."""

from typing import Annotated

import pytest

from deepboot.bootstrap.columns import RUN_COLUMNS
from deepboot.bootstrap.events import CRITERIA
from deepboot.bootstrap.registry import Settings
from deepboot.bootstrap.study.roles import Role, dotted_names, fields_where, role_of
from deepboot.bootstrap.study.run import NOT_IDENTITY, PER_MEMBER, TRAINING, Phase, Run
from deepboot.bootstrap.study.schema import (
    EXTENDABLE,
    IN_PHASE,
    JUDGING,
    NO_SETTING_OF_A_RUN,
    Evaluation,
    ModelScales,
    Study,
    Training,
)
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.runners.run.packing import pack_key
from tests.bootstrap.conftest import parity


def test_what_is_no_part_of_a_runs_identity():
    """Another partner, other kept files, N given as a share, and all settings that only judge rows."""
    assert sorted(dotted_names(NOT_IDENTITY)) == [
        "evaluation.stopping_metric", "evaluation.stopping_threshold", "evaluation.streak", "evaluation.threshold",
        "ideal_run_id", "keep", "probes", "train_fraction",
    ]  # fmt: skip
    assert NO_SETTING_OF_A_RUN == (
        "question", "source", "plugins", "keep", "probes", "sweep", "settings", "tune", "scale", "claims", "published",
        "cost", "verdicts",
    )  # fmt: skip


def test_what_members_of_a_pack_may_differ_in():
    """Beside the numbers of their optimizers."""
    assert sorted(dotted_names(PER_MEMBER)) == [
        "code", "data.label_noise", "ideal_run_id", "largest_pool", "norm_clamp", "partner", "seed", "start", "streams",
        "train_fraction", "train_size", "update_noise", "weight_noise", "world",
    ]  # fmt: skip
    assert list(fields_where(lambda role: role.per_member, ModelScales)) == ["init_scale", "output_scale"]


def test_what_may_change_when_a_study_is_extended():
    """More seeds, budget and pools, and what changes no run."""
    assert sorted(EXTENDABLE) == [
        "claims", "cost", "evaluation.stopping_metric", "evaluation.stopping_threshold", "evaluation.streak",
        "evaluation.threshold", "keep", "plugins", "published", "settings", "source", "sweep", "training.max_steps",
        "training.seeds", "training.train_fraction", "training.train_size", "tune", "verdicts",
    ]  # fmt: skip


def test_what_may_change_in_a_phase():
    """In the order in which a message lists it."""
    assert IN_PHASE == (
        "data.label_noise", "data.labels", "optimizer", "training.layers", "training.norm_clamp", "training.penalty",
        "training.train_fraction", "training.train_size", "training.transforms", "training.update_noise",
        "training.weight_noise", "training.world",
    )  # fmt: skip


def test_what_rows_are_judged_by():
    """The settings that `run_events` takes, each of which a folder may change without training anew."""
    assert JUDGING == CRITERIA == ("threshold", "streak", "stopping_metric", "stopping_threshold")
    assert all(not role.identity and role.extendable for role in (role_of(name, Evaluation) for name in JUDGING))


def test_settings_of_training_that_a_run_has_as_the_study_gives_them():
    """Every other one has a column of its own, or decides which runs there are."""
    assert TRAINING == (
        "streams", "dtype", "precision", "channels_last", "penalty", "transforms", "layers", "weight_noise",
        "update_noise", "norm_clamp",
    )  # fmt: skip
    assert {*Training.model_fields} - {*TRAINING} - {*RUN_COLUMNS} == {"ideal", "seeds"}


def test_a_field_of_a_run_takes_the_role_that_the_study_declares():
    """Unless it declares one itself; where neither does, the defaults are the cautious ones."""
    assert role_of("weight_noise", Run, Training, Study) == Role(per_member=True, in_phase=True)
    assert role_of("seed", Run, Training, Study) == Role(per_member=True)
    assert role_of("dtype", Run, Training, Study) == Role()
    assert Role() == Role(identity=True, per_member=False, extendable=False, in_phase=False, judged=False)


class _Widened(Run):
    """A run with a field that no role was thought of for."""

    thinking: int = 0


_Widened.model_rebuild(_types_namespace={"Phase": Phase})


def test_a_field_without_a_role_is_part_of_the_identity_and_common_to_a_pack():
    """Two runs that differ in it are two runs, two configurations, and never stepped together."""
    one, other = (_Widened(**runs_of(parity())[0].model_dump(), thinking=number) for number in (0, 1))
    assert one.run_id != other.run_id
    assert one.cell_id != other.cell_id
    assert pack_key(one) != pack_key(other)


@pytest.mark.parametrize("wanted", ["per_member", "extendable", "in_phase", "judged"])
def test_a_setting_without_a_role_has_none_of_the_permissions(wanted):
    """Inside a table too; one that is declared is found there."""

    class Table(Settings):
        plain: int = 0
        declared: Annotated[int, Role(**{wanted: True})] = 0

    class Tables(Settings):
        table: Table = Table()

    found = fields_where(lambda role: getattr(role, wanted), Tables)
    assert list(dotted_names(found)) == ["table.declared"]

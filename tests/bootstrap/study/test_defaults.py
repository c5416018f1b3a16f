"""A study without its defaults, and how two studies differ."""

import pytest

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.defaults import defaults, without_defaults
from deepboot.bootstrap.study.difference import Difference, difference
from deepboot.bootstrap.study.parse import parse
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ids

STUDIES = {
    "plain": {},
    "another rule": {"training__world": {"rule": "sliding", "shift": 1}},
    "another loss": {"loss": {"name": "mse"}},
    "probes and a stop rule": {"probes": {"layer_norms": {}}, "stop": {}},
    "transforms and layers": {
        "training__transforms": [{"name": "clip", "norm": 1.0}],
        "training__layers": {"hidden.0": {"lr": 0.5}},
        "training__streams": {"init": 5},
    },
    "phases": {"phases": [{"at_step": 3, "set": {"optimizer.weight_decay": 0.5}}]},
}


@pytest.mark.parametrize("changes", STUDIES.values(), ids=STUDIES)
def test_a_study_without_its_defaults_has_the_same_runs(changes):
    """As its author wrote it, and with all defaults filled in, of which no more is left."""
    raw = parity(**changes)
    full = parse(raw).model_dump(mode="json", exclude_none=True)
    assert ids(without_defaults(raw)) == ids(raw)
    assert ids(without_defaults(full)) == ids(raw)
    assert len(str(without_defaults(full))) < len(str(full)) / 2


def test_defaults_of_a_swept_name_stay():
    """The decay is AdamW's default and not SGD's."""
    raw = parity(optimizer__weight_decay=0.01, sweep={"optimizer.name": ["adamw", "sgd"]})
    assert without_defaults(raw)["optimizer"] == raw["optimizer"]
    assert ids(without_defaults(raw)) == ids(raw)


def test_what_is_at_its_default_is_left_out():
    """A name stays where a setting beside it does; tables of which nothing is left go."""
    raw = parity(
        model__width=128, loss={"name": "cross_entropy"}, evaluation={"streak": 3}, training__world={"rule": "real"}
    )
    kept = without_defaults(raw)
    assert kept == parity() | {"model": {"name": "mlp"}}
    assert without_defaults(parity(loss={"name": "cross_entropy", "dtype": "float64"}))["loss"] == {
        "name": "cross_entropy", "dtype": "float64",
    }  # fmt: skip


def test_a_table_that_is_one_setting_stays_whole():
    """A plugin's setting may be a table: what is left out of it would not come back."""

    @register("loss", "with_table")
    def with_table(logits_EBV, label_EB, *, weights: dict[str, float] = {"a": 1.0}):  # noqa: B006 (never changed)
        """Has a table."""

    raw = parity(loss={"name": "with_table", "weights": {"a": 1.0, "b": 2.0}})
    assert without_defaults(raw)["loss"] == raw["loss"]
    assert defaults(raw)["loss.weights.a"] == 1.0


def test_settings_differ_by_their_values():
    """Whether a default was written out makes no difference, nor does one that the other study has no place for."""
    changed = parity(optimizer={"name": "sgd", "lr": 0.1}, probes={"layer_norms": {}}, training__streams={"init": 1})
    first, second = (parse(raw).model_dump(mode="json", exclude_none=True) for raw in (parity(), changed))
    found = difference(first, second)
    assert found.settings == [
        Difference("optimizer.name", "adamw", "sgd"),
        Difference("optimizer.lr", 0.01, 0.1),
        Difference("optimizer.weight_decay", 0.01, 0.0),
        Difference("training.streams.init", None, 1),
        Difference("probes.layer_norms.every", None, 1),
    ]
    assert (found.sweep, found.claims, found.published) == ([], ([], []), ([], []))
    assert difference(first, parity(optimizer__weight_decay=0.01)).settings == []


def test_sweeps_and_claims_differ_as_wholes():
    """A sweep beside the single value of the other study; claims by all that is judged, whatever their wording."""
    rate = {"kind": "rate", "min_rate": 0.5}
    first = parity(sweep={"model.width": [16, 32]}, claims=[rate, {"kind": "faster", "text": "It is faster."}])
    found = difference(first, parity(claims=[rate | {"min_rate": 0.6}, {"kind": "faster"}]))
    assert found.settings == []
    assert found.sweep == [Difference("model.width", [16, 32], 16)]
    assert found.claims == ([rate], [rate | {"min_rate": 0.6}])

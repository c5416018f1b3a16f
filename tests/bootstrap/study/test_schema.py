"""What a study's tables may hold, and their defaults."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import chosen, parse
from deepboot.bootstrap.study.run import evaluation_steps, scheduled_steps
from deepboot.bootstrap.study.schema import Data, Evaluation, Keep, Schedule, Streams
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ids


def test_a_minimal_study_has_every_default():
    """Names are looked up and their settings filled in, all the way down."""
    study = parse(parity(data={}))
    assert study.task == {"name": "sparse_parity", "num_bits": 8, "num_relevant": 2, "encoding": "01"}
    assert study.model == {
        "name": "mlp", "width": 16, "depth": 1, "activation": "relu", "bias": True, "initialization": "he",
        "embedding": 128, "shared_embedding": True, "operands": "concat", "batch_norm": False,
        "output_bias": None, "single_logit": False, "embedding_std": 1.0, "projection": 0, "tied": False,
        "dropout": 0.0, "embedded": "tokens", "queried": False, "readout": "learned", "curvature": 0.25,
        "init_scale": 1.0, "output_scale": 1.0,
    }  # fmt: skip
    assert study.optimizer == {
        "name": "adamw", "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01, "decay_to": "zero",
    }  # fmt: skip
    assert study.loss == {"name": "cross_entropy", "dtype": "float32"}
    assert (study.data, study.schedule, study.evaluation, study.keep) == (Data(), Schedule(), Evaluation(), Keep())
    assert (study.training.world, study.training.ideal, study.training.dtype) == ({"rule": "real"}, True, "float32")
    assert study.training.streams == Streams()
    assert (study.source, study.plugins, study.sweep, study.scale, study.claims) == ("", [], {}, {}, [])
    assert study.probes == {}


def test_probes_have_their_own_and_the_common_settings():
    """By name, filled in; a run has them as the study has."""
    study = parse(parity(probes={"layer_norms": {}, "ntk_distance": {"samples": 4, "every": 2}}))
    assert study.probes == {"layer_norms": {"every": 1}, "ntk_distance": {"samples": 4, "every": 2}}
    assert runs_of(parity(probes=study.probes))[0].probes == study.probes


def test_a_parsed_study_read_again_is_the_same_study():
    """What is written to study.toml gives the runs that it came from."""
    raw = parity(training__world={"rule": "switch", "at_step": 3}, evaluation__schedule=[1, 5])
    again = parse(raw).model_dump(mode="json")
    assert parse(again) == parse(raw)
    assert ids(again) == ids(raw)


def test_numbers_without_a_point_are_numbers_too():
    """Lr = 1 is 1.0, the same run."""
    assert parse(parity(optimizer__lr=1)).optimizer["lr"] == 1.0
    assert ids(parity(optimizer__lr=1)) == ids(parity(optimizer__lr=1.0))


def test_a_claim_takes_its_own_and_the_common_settings():
    """A well-formed claim is no mistake."""
    claim = {"kind": "grokking_delay", "min_ratio": 5.0, "where": {"train_size": 24}, "primary": True, "text": "Late."}
    assert parse(parity(claims=[claim])).claims == [claim]


def test_values_set_by_dotted_name_make_the_tables_on_the_way():
    """In a copy."""
    raw = {"a": {"b": 1}}
    assert with_value(raw, "a.c.d", [2]) == {"a": {"b": 1, "c": {"d": [2]}}}
    assert raw == {"a": {"b": 1}}


def test_settings_have_dotted_names_and_plain_values():
    """As columns of the table of runs: lists are JSON, tables are flattened, and none is left out."""
    found = runs_of(parity(training__streams={"init": 5}))[0].settings()
    assert found["optimizer.betas"] == "[0.9, 0.999]"
    assert found["model.init_scale"] == 1.0
    assert found["training.world.rule"] == "real"
    assert (found["training.streams.init"], found["training.streams.data"]) == (5, None)
    assert found["evaluation.schedule"] == "log"
    assert all(value is None or isinstance(value, str | int | float) for value in found.values())


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(per_octave=st.integers(1, 40), budgets=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_a_longer_budget_keeps_every_scheduled_evaluation(per_octave, budgets):
    """The schedule up to a step does not depend on the budget; the budget itself is always evaluated."""
    evaluation = Evaluation(per_octave=per_octave)
    short, long = sorted(budgets)
    assert scheduled_steps(evaluation, short) == {s for s in scheduled_steps(evaluation, long) if s <= short}
    steps = evaluation_steps(evaluation, short)
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, short)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (5, [0, 5, 10, 12]),
        (100, [0, 12]),
        ([3, 1, 50], [1, 3, 12]),
        ("log", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ],
)
def test_evaluations_are_those_of_the_schedule_and_the_last_step(schedule, expected):
    """Every so many steps, a list, or eight an octave."""
    evaluation = Evaluation(schedule=schedule)
    assert evaluation_steps(evaluation, 12) == expected


def test_one_chosen_name_is_filled_in_or_refused():
    """As ``deepboot show`` needs it."""
    assert chosen("loss", {"name": "mse"}) == {"name": "mse", "target": 1.0}
    with pytest.raises(StudyError) as caught:
        chosen("loss", {"name": "mse", "target": -1})
    assert caught.value.problems == ["`loss.target`: expected a number above 0, got -1. Change it."]

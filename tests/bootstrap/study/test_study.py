"""Studies: what is read, what is refused and in which words, the sweep, and the identity of a run."""

import copy
import datetime
import math
import re
from typing import Annotated

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from deepboot.bootstrap import registry
from deepboot.bootstrap.study import run
from deepboot.bootstrap.study.compatibility import _try_model
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import chosen, parse, with_value
from deepboot.bootstrap.study.run import evaluation_steps, scheduled_steps
from deepboot.bootstrap.study.schema import Data, Evaluation, Keep, ModelScales, Schedule, Streams, Study, Training
from deepboot.bootstrap.study.sweep import points, runs_of
from deepboot.datasets.sparse_parity import SparseParity
from tests.bootstrap.conftest import parity

CLAIMS = (
    "bootstrap_error, difference, equivalent, faster, final_difference, final_error, gap_share, grokking_delay, "
    "monotone, no_delay, outcome_profile, power_law, predicts, rank_agreement, rate, ratio, relapse, "
    "same_memorization, threshold, trend"
)
TASKS = (
    "binary_operations, cifar10, cifar5m, digits, gaussian, induction, multi_digit_addition, permutations, recording, "
    "shapes, sparse_parity"
)
MODELS = "alexnet, cnn, dconv, densenet, mlp, resnet, transformer, vgg, vit"
TOP = ", ".join(sorted(Study.model_fields))
ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
ADD = {"task": ADDITION, "data": {}}


def problems(raw):
    """All sentences of the refusal of a study."""
    with pytest.raises(StudyError) as caught:
        runs_of(raw)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def told(raw):
    """The runs of a study, or all sentences of its refusal."""
    try:
        return runs_of(raw), []
    except StudyError as error:
        return [], error.problems


def ids(raw):
    """Run identities in order."""
    return [run.run_id for run in runs_of(raw)]


def test_a_minimal_study_has_every_default():
    """Names are looked up and their settings filled in, all the way down."""
    study = parse(parity(data={}))
    assert study.task == {"name": "sparse_parity", "num_bits": 8, "num_relevant": 2, "encoding": "01"}
    assert study.model == {
        "name": "mlp", "width": 16, "depth": 1, "activation": "relu", "bias": True, "initialization": "he",
        "embedding": 128, "shared_embedding": True, "operands": "concat", "batch_norm": False,
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


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trainin": {}}, f"`trainin`: unknown key. Did you mean 'training'? Known: {TOP}."),
        ({"training__max_step": 3}, "`training.max_step`: unknown key. Did you mean 'max_steps'? "
         f"Known: {', '.join(sorted(Training.model_fields))}."),
        ({"training__streams": {"ini": 3}}, "`training.streams.ini`: unknown key. Did you mean 'init'? "
         "Known: augment, data, init, noise, order, test."),
        ({"evaluation__treshold": 3}, "`evaluation.treshold`: unknown key. Did you mean 'threshold'? "
         f"Known: {', '.join(sorted(Evaluation.model_fields))}."),
        ({"schedule__warmup": 3}, "`schedule.warmup`: unknown key. Did you mean 'warmup_steps'? "
         "Known: shape, warmup_steps."),
        ({"keep__final": True}, "`keep.final`: unknown key. Did you mean 'final_state'? "
         f"Known: {', '.join(sorted(Keep.model_fields))}."),
        ({"task__num_bit": 3}, "`task.num_bit`: unknown key. Did you mean 'num_bits'? "
         "Known: encoding, num_bits, num_relevant."),
        ({"optimizer__weightdecay": 0}, "`optimizer.weightdecay`: unknown key. Did you mean 'weight_decay'? "
         "Known: betas, decay_to, eps, lr, weight_decay."),
        ({"training__world": {"rule": "fresh", "shar": 1}}, "`training.world.shar`: unknown key. "
         "Did you mean 'share'? Known: share."),
        ({"loss": {"name": "mse", "zzz": 1}}, "`loss.zzz`: unknown key. Known: target."),
        ({"data__int": 3}, f"`data.int`: unknown key. Known: {', '.join(sorted(Data.model_fields))}."),
        ({"loss": {"name": "mse", "a[b]": 1}}, "`loss.a[b]`: unknown key. Known: target."),
        ({"[": 3}, f"`[`: unknown key. Known: {TOP}."),
    ],
)  # fmt: skip
def test_an_unknown_key_is_answered_with_the_nearest(changes, sentence):
    """At every depth, in the file's own words."""
    assert sentence in problems(parity(**changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"question": None}, "`question`: expected text, got None. Change its type or value."),
        ({"question": ["a"]}, "`question`: expected text, got ['a']. Change its type or value."),
        ({"task": "x"}, "`task`: expected a table, got 'x'. Change its type or value."),
        ({"data": 3}, "`data`: expected a table, got 3. Change its type or value."),
        ({"plugins": "x"}, "`plugins`: expected a list, got 'x'. Change its type or value."),
        ({"plugins": [3]}, "`plugins[0]`: expected text, got 3. Change its type or value."),
        ({"claims": "x"}, "`claims`: expected a list, got 'x'. Change its type or value."),
        ({"scale": {"full": 3}}, "`scale.full`: expected a table, got 3. Change its type or value."),
        ({"training__world": "ideal"}, "`training.world`: expected a table, got 'ideal'. Change its type or value."),
        ({"training__ideal": 1}, "`training.ideal`: expected true or false, got 1. Change its type or value."),
        ({"training__max_steps": 2.5}, "`training.max_steps`: expected a whole number, got 2.5. "
         "Change its type or value."),
        ({"training__max_steps": True}, "`training.max_steps`: expected a whole number, got True. "
         "Change its type or value."),
        ({"optimizer__lr": "big"}, "`optimizer.lr`: expected a number, got 'big'. Change its type or value."),
        ({"optimizer__betas": 0.9}, "`optimizer.betas`: expected a list, got 0.9. Change its type or value."),
        ({"model__bias": "true"}, "`model.bias`: expected true or false, got 'true'. Change its type or value."),
        ({"model__init_scale": "x"}, "`model.init_scale`: expected a number, got 'x'. Change its type or value."),
        ({"model__width": 1.0}, "`model.width`: expected a whole number, got 1.0. Change its type or value."),
        ({"task__encoding": "02"}, "`task.encoding`: expected '01' or '+-1', got '02'. Choose one of these."),
        ({"schedule__shape": "cosin"}, "`schedule.shape`: expected 'constant', 'cosine' or 'linear', got 'cosin'. "
         "Choose one of these."),
        ({"training__dtype": "float16"}, "`training.dtype`: expected 'float32' or 'float64', got 'float16'. "
         "Choose one of these."),
        ({"optimizer__betas": [0.9]}, "`optimizer.betas`: expected at least 2 values, got 1. Add what is missing."),
        ({"optimizer__betas": []}, "`optimizer.betas`: expected at least 2 values, got 0. Add what is missing."),
        ({"optimizer__betas": [0.9, 0.9, 0.9]}, "`optimizer.betas`: expected at most 2 values, got 3. "
         "Remove what is too much."),
        ({"data__test_set": datetime.date(2026, 7, 1)}, "`data.test_set`: expected text, a number, a list or a table, "
         "got 2026-07-01. Put it in quotes."),
        ({"claims": [{"kind": datetime.date(2026, 7, 1)}]}, "`claims[0].kind`: expected text, a number, a list or "
         "a table, got 2026-07-01. Put it in quotes."),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused(changes, expected):
    """One sentence: where, what was expected, what came, what to do."""
    assert problems(parity(**changes)) == [expected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__max_steps": 0}, "`training.max_steps`: expected a number above 0, got 0. Change it."),
        ({"data__label_noise": 50}, "`data.label_noise`: expected a number at most 1, got 50. Did you mean 0.5?"),
        ({"data__label_noise": -0.1}, "`data.label_noise`: expected a number at least 0, got -0.1. Change it."),
        ({"data__label_noise": 1000}, "`data.label_noise`: expected a number at most 1, got 1,000. Change it."),
        ({"data__label_noise": 100}, "`data.label_noise`: expected a number at most 1, got 100. Did you mean 1?"),
        ({"data__label_noise": 1.000001}, "`data.label_noise`: expected a number at most 1, got 1.000001. Change it."),
        ({"data__test_fraction": 100}, "`data.test_fraction`: expected a number below 1, got 100. Change it."),
        ({"data__test_fraction": 1.0}, "`data.test_fraction`: expected a number below 1, got 1. Change it."),
        ({"evaluation__threshold": 99}, "`evaluation.threshold`: expected a number at most 1, got 99. "
         "Did you mean 0.99?"),
        ({"optimizer__lr": 0}, "`optimizer.lr`: expected a number above 0, got 0. Change it."),
        ({"optimizer__lr": math.nan}, "`optimizer.lr`: expected a finite number, got nan. Change it."),
        ({"model__width": -3}, "`model.width`: expected a number at least 1, got -3. Change it."),
        ({"model__width": 65_537}, "`model.width`: expected a number at most 65,536, got 65,537. Change it."),
        ({"task": {"name": "binary_operations", "operation": "x+y", "modulus": 1 << 31}},
         "`task.modulus`: expected a number below 2,147,483,648, got 2,147,483,648. Change it."),
        ({"model__output_scale": 0}, "`model.output_scale`: expected a number above 0, got 0. Change it."),
        ({"loss": {"name": "mse", "target": 0}}, "`loss.target`: expected a number above 0, got 0. Change it."),
        ({"training__world": {"rule": "fresh", "share": -1}},
         "`training.world.share`: expected a number at least 0, got -1. Change it."),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(changes, expected):
    """A per cent where a share was meant is recognised."""
    assert problems(parity(**changes)) == [expected]


def test_a_train_fraction_in_per_cent_is_recognised():
    """50 is not in (0, 1], but 0.5 is."""
    found = problems(parity(**ADD, training={"train_fraction": 50, "batch_size": 4, "max_steps": 2, "seeds": 1}))
    assert "`training.train_fraction`: expected a number at most 1, got 50. Did you mean 0.5?" in found


def test_a_value_a_little_above_one_is_not_taken_for_per_cent():
    """beta2 = 1.5 is no 1.5 %, and 2.5 is none either."""
    for value in (1.5, 2.5):
        found = problems(parity(optimizer__betas=[0.9, value]))
        assert found == [f"`optimizer.betas[1]`: expected a number below 1, got {value}. Change it."]


def test_a_count_of_at_most_one_is_not_taken_for_a_share(own_registry):
    """0.5 is no count."""

    @registry.register("loss", "test_count")
    def count(logits, label, *, times: Annotated[int, Field(le=1)] = 1): ...

    found = problems(parity(loss={"name": "test_count", "times": 50}))
    assert found == ["`loss.times`: expected a number at most 1, got 50. Change it."]


CHANGE = "Change its type or value."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__train_size": 0}, "`training.train_size`: expected a number above 0, got 0. Change it."),
        ({"training__train_size": "all"},
         f"`training.train_size`: expected a whole number or a list, got 'all'. {CHANGE}"),
        ({"training__train_size": {}}, f"`training.train_size`: expected a whole number or a list, got {{}}. {CHANGE}"),
        ({"training__train_size": {"a": 1}},
         f"`training.train_size`: expected a whole number or a list, got {{'a': 1}}. {CHANGE}"),
        ({"training__train_size": [24, 0]}, "`training.train_size[1]`: expected a number above 0, got 0. Change it."),
        ({"training__train_size": [24, "x"]},
         f"`training.train_size[1]`: expected a whole number, got 'x'. {CHANGE}"),
        ({"training__train_size": [[24]]}, f"`training.train_size[0]`: expected a whole number, got [24]. {CHANGE}"),
        ({"training__train_size": None, "training__train_fraction": [0.5, 50]},
         "`training.train_fraction[1]`: expected a number at most 1, got 50. Did you mean 0.5?"),
        ({"training__train_size": None, "training__train_fraction": math.nan},
         "`training.train_fraction`: expected a finite number, got nan. Change it."),
        ({"training__batch_size": "ful"},
         f"`training.batch_size`: expected a whole number or 'full', got 'ful'. {CHANGE}"),
        ({"training__batch_size": 0}, "`training.batch_size`: expected a number above 0, got 0. Change it."),
        ({"training__seeds": 1.5}, f"`training.seeds`: expected a whole number or a list, got 1.5. {CHANGE}"),
        ({"training__seeds": [-1]}, "`training.seeds[0]`: expected a number at least 0, got -1. Change it."),
        ({"evaluation__schedule": "lin"},
         f"`evaluation.schedule`: expected 'log' or a whole number or a list, got 'lin'. {CHANGE}"),
        ({"evaluation__schedule": [-1]},
         "`evaluation.schedule[0]`: expected a number at least 0, got -1. Change it."),
        ({"data__test_samples": {"int": 3}},
         f"`data.test_samples`: expected a whole number, got {{'int': 3}}. {CHANGE}"),
        ({"claims": [{"kind": 3}]}, "`claims[0].kind`: expected the name of a claim, got 3. "
         f"Known: {CLAIMS}."),
    ],
)  # fmt: skip
def test_one_mistake_gives_one_message(changes, expected):
    """Also where a key takes a number or a list or a word, and about the value in the list that is wrong."""
    assert problems(parity(**changes)) == [expected]


def test_a_table_that_is_no_table_does_not_hide_or_repeat_other_mistakes():
    """A key with a dot in its name lies beside the table, not in it."""
    assert problems({**parity(data=3), "data.x": 1}) == [
        f"`data`: expected a table, got 3. {CHANGE}", f"`data.x`: unknown key. Did you mean 'data'? Known: {TOP}.",
    ]  # fmt: skip


def test_a_limit_that_only_pydantic_knows_is_told_in_its_words(own_registry):
    """With its own beginning of the sentence, or in brackets."""

    @registry.register("loss", "test_words")
    def words(
        logits, label, *, even: Annotated[int, Field(multiple_of=2)] = 2,
        word: Annotated[str, Field(min_length=2)] = "ab", several: Annotated[list[int], Field(min_length=2)],
    ): ...  # fmt: skip

    assert problems(parity(loss={"name": "test_words", "even": 3, "word": "a", "several": [1]})) == [
        f"`loss.even`: expected a multiple of 2, got 3. {CHANGE}",
        f"`loss.word`: expected another value (String should have at least 2 characters), got 'a'. {CHANGE}",
        "`loss.several`: expected at least 2 values, got 1. Add what is missing.",
    ]
    assert problems(parity(loss={"name": "test_words", "several": []})) == [
        "`loss.several`: expected at least one value, got an empty list. Add one or remove the key."
    ]


@pytest.mark.parametrize("key", ["optimizer__lr", "model__init_scale", "model__output_scale", "optimizer__eps"])
def test_infinite_settings_are_refused(key):
    """TOML can write inf, but no run can use it."""
    expected = f"`{key.replace('__', '.')}`: expected a finite number, got inf. Change it."
    assert problems(parity(**{key: math.inf})) == [expected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": {"name": "sparse_party"}},
         f"`task.name`: unknown task 'sparse_party'. Did you mean 'sparse_parity'? Known: {TASKS}."),
        ({"model": {"name": "transfomer"}},
         f"`model.name`: unknown model 'transfomer'. Did you mean 'transformer'? Known: {MODELS}."),
        ({"optimizer": {"name": "adamww"}},
         "`optimizer.name`: unknown optimizer 'adamww'. Did you mean 'adamw'? Known: adam, adamw, sgd."),
        ({"loss": {"name": "crossentropy"}},
         "`loss.name`: unknown loss 'crossentropy'. Did you mean 'cross_entropy'? Known: cross_entropy, hinge, mse."),
        ({"training__world": {"rule": "reel"}},
         "`training.world.rule`: unknown rule 'reel'. Did you mean 'real'? "
         "Known: fresh, ideal, real, redraw, sliding, switch."),
        ({"claims": [{"kind": "grokking_dely"}]},
         "`claims[0].kind`: unknown claim 'grokking_dely'. Did you mean 'grokking_delay'? "
         f"Known: {CLAIMS}."),
        ({"task": {}}, f"`task.name`: expected the name of a task, got None. Known: {TASKS}."),
        ({"task": {"name": 3}}, f"`task.name`: expected the name of a task, got 3. Known: {TASKS}."),
        ({"training__world": {}}, "`training.world.rule`: expected the name of a rule, got None. "
         "Known: fresh, ideal, real, redraw, sliding, switch."),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(changes, expected):
    """Tasks, models, optimizers, losses, rules and claims."""
    assert problems(parity(**changes)) == [expected]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (3, "`claims[0]`: expected a table, got 3. Change its type or value."),
        ({}, "`claims[0].kind`: expected a value, but the key is missing. Add it."),
        ({"kind": "grokking_delay"}, "`claims[0].min_ratio`: expected a value, but the key is missing. Add it."),
        ({"kind": "grokking_delay", "min_ratio": 2, "where": 3},
         "`claims[0].where`: expected a table, got 3. Change its type or value."),
        ({"kind": "grokking_delay", "min_ratio": 2, "confidence": 95},
         "`claims[0].confidence`: expected a number below 1, got 95. Did you mean 0.95?"),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_refused_by_its_number(claim, expected):
    """The first claim is number 0."""
    assert problems(parity(claims=[claim])) == [expected]


def test_missing_keys_are_named_all_at_once():
    """An empty study has five."""
    needed = ("question", "task", "model", "optimizer", "training")
    assert problems({}) == [f"`{key}`: expected a value, but the key is missing. Add it." for key in needed]
    training = ("batch_size", "max_steps", "seeds")
    assert problems(parity(training={"train_size": 4})) == [
        f"`training.{key}`: expected a value, but the key is missing. Add it." for key in training
    ]


def test_all_mistakes_are_reported_at_once():
    """Schema, names, their settings and claims in one go, over all points of the sweep, each once."""
    raw = parity(
        trainin={}, optimizer__lrr=1, model__width="x", task={"name": "party"}, claims=[{"kind": "none"}],
        training__max_steps=0, sweep={"optimizer.weight_decay": [0.1, -1, 0.2]},
    )  # fmt: skip
    found = problems(raw)
    wheres = ["trainin", "optimizer.lrr", "model.width", "task.name", "claims[0].kind", "training.max_steps"]
    assert len(found) == len(set(found)) == 7
    for where in [*wheres, "optimizer.weight_decay"]:
        assert sum(sentence.startswith(f"`{where}`: ") for sentence in found) == 1, where


def test_repeated_problems_are_kept_once():
    """A StudyError's text is its sentences, one a line."""
    error = StudyError(["b", "a", "b"])
    assert (error.problems, str(error)) == (["b", "a"], "b\na")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__train_fraction": 0.5}, "`training`: expected exactly one of train_size and train_fraction, "
         "got both. Give the pool one of the two."),
        ({"training__train_size": None}, "`training`: expected exactly one of train_size and train_fraction, "
         "got neither. Give the pool one of the two."),
        ({"training__train_size": []}, "`training.train_size`: expected at least one value, got an empty list. "
         "Add one."),
        ({"training__seeds": []}, "`training.seeds`: expected at least one value, got an empty list. Add one."),
        ({"training__seeds": [1, 2, 1]}, "`training.seeds`: expected different values, got [1, 2, 1]. "
         "Remove the repeated ones."),
        ({"training__train_size": [24, 24]}, "`training.train_size`: expected different values, got [24, 24]. "
         "Remove the repeated ones."),
        ({"evaluation__schedule": []}, "`evaluation.schedule`: expected at least one step, got an empty list. "
         'Add one, or use "log".'),
        ({"training__train_size": None, "training__train_fraction": 0.5},
         "`training.train_fraction`: task 'sparse_parity' is endless, so a pool is no fraction of it. "
         "Give training.train_size instead."),
        ({"training__batch_size": 1000}, "`training.batch_size`: expected at most the pool's 24 samples, got 1,000. "
         'Lower it, or set it to "full".'),
        ({"data__swapped_answers": 25}, "`data.swapped_answers`: expected at most the pool's 24 samples, got 25. "
         "Lower it."),
        ({"data__split": "orbits"}, "`data.split`: this task has no mirror images, so there are no orbits. "
         'Set it to "cells".'),
        ({"data__noisy_test": True}, "`data.noisy_test`: there is no label noise to put on the test. "
         "Set data.label_noise."),
        ({"task__num_relevant": 9}, "`task`: num_relevant must be at most num_bits = 8, got 9. "
         "Lower num_relevant or raise num_bits."),
        ({"model": {"name": "transformer"}}, "`model`: model 'transformer' reads tokens, but this task gives vector "
         "inputs. Use model 'mlp', or a task of tokens."),
        ({**ADD, "training__train_size": 40}, "`training.train_size`: a pool of 40 does not fit into the 39 training "
         "cells. Lower it (train_fraction at most 0.795), lower data.test_fraction, or set "
         'data.test_set = "rest".'),
        ({**ADD, "data": {"test_set": "population"}, "training__train_size": 50},
         "`training.train_size`: a pool of 50 does not fit into the 49 training cells. Lower it."),
        ({**ADD, "data": {"test_set": "rest"}, "training__train_size": 49},
         "`training.train_size`: a pool of 49 leaves no cell to test on. "
         'Lower it, or set data.test_set = "population".'),
        ({**ADD, "training": {"train_fraction": 0.001, "batch_size": "full", "max_steps": 2, "seeds": 1}},
         "`training.train_fraction`: expected a pool of at least 1 sample, got 0. Raise it."),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(changes, expected):
    """The full sentence, and no other."""
    assert problems(parity(**changes)) == [expected]


@pytest.mark.parametrize("task", [parity()["task"], {"name": "induction"}, {"name": "multi_digit_addition"}])
@pytest.mark.parametrize("test_set", ["rest", "population"])
def test_an_endless_task_has_no_cells_to_hold_out(task, test_set):
    """Vectors or tokens."""
    model = {"name": "mlp"} if task["name"] == "sparse_parity" else {"name": "transformer", "width": 8}
    assert problems(parity(task=task, model=model, data={"test_set": test_set})) == [
        "`data.test_set`: this task is endless, so no cells can be held out or left over, "
        f"got {test_set!r}. Remove the key."
    ]


def test_the_ideal_rule_beside_the_ideal_world_is_refused():
    """They would be the same run; alone it may be asked for."""
    assert problems(parity(training__world={"rule": "ideal"})) == [
        "`training.world.rule`: the ideal world is trained beside every other one already. "
        "Choose a rule for the finite pool, or set training.ideal = false."
    ]
    raw = parity(training__world={"rule": "ideal"})
    raw["training"]["ideal"] = False
    assert [one.rule for one in runs_of(raw)] == ["ideal"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"before": "reel"}, "unknown rule 'reel'. Did you mean 'real'? "
         "Known: fresh, ideal, real, redraw, sliding, switch."),
        ({"before": "fresh"}, "rule 'fresh' needs settings, which `switch` cannot give it. Use real or ideal."),
        ({"after": "switch"}, "rule 'switch' needs settings, which `switch` cannot give it. Use real or ideal."),
    ],
)  # fmt: skip
def test_a_switch_between_rules_that_do_not_exist_or_need_settings_is_refused(settings, sentence):
    """Before anything is trained."""
    world = {"rule": "switch", "at_step": 3, **settings}
    assert problems(parity(training__world=world)) == [f"`training.world`: {sentence}"]


TABLE = 'Write for instance "optimizer.lr" = [0.1, 0.01].'
LIST = "List what to sweep over."
QUOTES = "expected a list, got a table. Put the dotted name in quotes:"
NO_SETTING = "this is no setting of a run. Sweep over a setting such as optimizer.lr."


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("x", [f"`sweep`: expected a table of lists, got 'x'. {TABLE}"]),
        ([1], [f"`sweep`: expected a table of lists, got [1]. {TABLE}"]),
        ({"optimizer.lr": 3}, [f"`sweep.optimizer.lr`: expected a list of at least one value, got 3. {LIST}"]),
        ({"optimizer.lr": "ab"}, [f"`sweep.optimizer.lr`: expected a list of at least one value, got 'ab'. {LIST}"]),
        ({"optimizer.lr": []},
         [f"`sweep.optimizer.lr`: expected a list of at least one value, got an empty list. {LIST}"]),
        ({"optimizer": {}}, [f"`sweep.optimizer`: expected a list of at least one value, got an empty table. {LIST}"]),
        ({"optimizer": {"lr": [1]}}, [f'`sweep.optimizer`: {QUOTES} "optimizer.lr".']),
        ({"optimizer": {"lr": [1], "eps": [0]}},
         [f'`sweep.optimizer`: {QUOTES} "optimizer.lr".', f'`sweep.optimizer`: {QUOTES} "optimizer.eps".']),
        ({"training": {"streams": {"init": [1]}}}, [f'`sweep.training`: {QUOTES} "training.streams.init".']),
        ({"claims": {"kind": ["rate"]}}, [f"`sweep.claims`: {NO_SETTING}"]),
        ({"scale.full": 3}, [f"`sweep.scale.full`: {NO_SETTING}"]),
        ({"optimizer.lr": [0.1, datetime.date(2026, 7, 1)]},
         ["`sweep.optimizer.lr[1]`: expected text, a number, a list or a table, got 2026-07-01. Put it in quotes."]),
        ({"optimizer.lr": 10**5000},
         ["`sweep.optimizer.lr`: expected a whole number between -2^53 and 2^53, got one of 16610 bits. "
          "Move it into this range."]),
    ],
)  # fmt: skip
def test_a_sweep_that_is_no_table_of_lists_is_refused(sweep, expected):
    """With what to write instead; an unquoted dotted name is a nested table to TOML."""
    assert problems(parity(sweep=sweep)) == expected


def test_sweeping_inside_something_that_is_no_table_is_refused():
    """The dotted name is quoted."""
    expected = "`optimizer.lr.x`: expected `lr` to be a table, got 0.01. Check the dotted name."
    assert problems(parity(sweep={"optimizer.lr.x": [1]})) == [expected]
    with pytest.raises(StudyError, match=f"^{re.escape(expected)}$"):
        with_value(parity(), "optimizer.lr.x", 1)


def test_the_points_of_a_sweep_are_the_product_of_its_lists():
    """Every combination once, in the order of the file, without the sweep; the study stays as it was."""
    raw = parity(sweep={"optimizer.lr": [0.1, 0.2], "model.width": [4, 8, 16], "loss.name": ["mse"]})
    before = copy.deepcopy(raw)
    found = [(p["optimizer"]["lr"], p["model"]["width"], p["loss"]) for p in points(raw)]
    assert found == [(lr, width, {"name": "mse"}) for lr in (0.1, 0.2) for width in (4, 8, 16)]
    assert all("sweep" not in point for point in points(raw))
    assert len(runs_of(raw)) == 12
    assert raw == before


def test_a_study_without_sweep_is_one_point():
    """Itself."""
    assert points(parity()) == [parity()]


def test_equal_points_of_a_sweep_are_refused():
    """The same run would stand for two cells."""
    assert problems(parity(sweep={"optimizer.lr": [0.1, 0.2, 0.10]})) == [
        "`sweep`: the points (optimizer.lr = 0.1) and (optimizer.lr = 0.1) ask for the same run. Remove one of the two."
    ]


def test_values_set_by_dotted_name_make_the_tables_on_the_way():
    """In a copy."""
    raw = {"a": {"b": 1}}
    assert with_value(raw, "a.c.d", [2]) == {"a": {"b": 1, "c": {"d": [2]}}}
    assert raw == {"a": {"b": 1}}


@pytest.mark.parametrize(("seeds", "expected"), [(3, [0, 1, 2]), ([7, 2], [7, 2])])
def test_seeds_are_a_number_or_a_list(seeds, expected):
    """Three seeds are 0, 1 and 2; real runs come before ideal ones and name their partner."""
    runs = runs_of(parity(training__seeds=seeds))
    real, ideal = runs[: len(expected)], runs[len(expected) :]
    assert [one.seed for one in real] == [one.seed for one in ideal] == expected
    assert {one.rule for one in real} == {"real"}
    assert {one.rule for one in ideal} == {"ideal"}
    assert [one.ideal_run_id for one in real] == [one.run_id for one in ideal]
    assert {one.ideal_run_id for one in ideal} == {None}


def test_without_the_ideal_world_there_are_only_real_runs():
    """And they have no partner."""
    runs = runs_of(parity(training__ideal=False, training__seeds=2))
    assert [(one.rule, one.ideal_run_id) for one in runs] == [("real", None)] * 2


def test_a_list_of_train_sizes_shares_one_ideal_run_per_seed():
    """With a fixed batch; its train size is null."""
    runs = runs_of(parity(training__train_size=[24, 48, 64], training__seeds=2))
    ideal = [one for one in runs if one.rule == "ideal"]
    assert (len(runs), len(ideal)) == (8, 2)
    assert {one.train_size for one in ideal} == {None}
    for one in ideal:
        partners = [real for real in runs if real.ideal_run_id == one.run_id]
        assert {(real.train_size, real.seed) for real in partners} == {(n, one.seed) for n in (24, 48, 64)}


def test_with_full_batches_every_pool_has_its_own_ideal_run():
    """Its batch is as large as the pool."""
    runs = runs_of(parity(training__train_size=[24, 48], training__batch_size="full"))
    assert [(one.rule, one.batch_size) for one in runs] == [("real", 24), ("real", 48), ("ideal", 24), ("ideal", 48)]
    assert [one.ideal_run_id for one in runs[:2]] == [one.run_id for one in runs[2:]]
    assert len({one.run_id for one in runs}) == 4


def test_swapped_answers_give_every_pool_its_own_ideal_run():
    """The exchange depends on the pool's length."""
    runs = runs_of(parity(training__train_size=[24, 48], data__swapped_answers=4))
    assert [one.train_size for one in runs if one.rule == "ideal"] == [24, 48]


@pytest.mark.parametrize("test_set", ["heldout", "rest", "population"])
def test_pools_of_a_finite_universe_share_their_ideal_run_too(test_set):
    """Whatever the test set: it does not depend on the pool, but on the largest of them."""
    runs = runs_of(parity(task=ADDITION, data={"test_set": test_set}, training__train_size=[10, 20, 30]))
    assert len({one.ideal_run_id for one in runs if one.rule == "real"}) == 1


def test_train_fractions_are_shares_of_the_whole_universe():
    """0.5 of 49 cells is 24; sizes are told as fractions, too."""
    training = {"batch_size": 4, "max_steps": 2, "seeds": 1, "ideal": False}
    by_share = runs_of(parity(**ADD, training={**training, "train_fraction": [0.5, 0.2]}))
    assert [(one.train_size, one.train_fraction) for one in by_share] == [(24, 0.5), (10, 0.2)]
    by_size = runs_of(parity(**ADD, training={**training, "train_size": [24, 10]}))
    assert [one.train_fraction for one in by_size] == [24 / 49, 10 / 49]
    assert [one.run_id for one in by_size] == [one.run_id for one in by_share]
    assert runs_of(parity())[0].train_fraction is None


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


@pytest.fixture
def own_registry(monkeypatch):
    """What a test's plugins register is forgotten after it."""
    monkeypatch.setattr(registry, "_entries", {kind: dict(found) for kind, found in registry._entries.items()})


@pytest.mark.parametrize(
    ("kind", "parameters", "changes"),
    [
        ("loss", "logits, label", {"loss": {"name": "test_mine"}}),
        ("rule", "draws", {"training__world": {"rule": "test_mine"}}),
    ],
)
def test_identity_changes_with_the_source_of_the_plugin_that_a_run_uses(
    tmp_path, own_registry, kind, parameters, changes
):
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


def test_a_plugins_rule_is_no_part_of_the_ideal_run(tmp_path, own_registry):
    """The ideal world does not read it: all rules share one ideal run."""
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(kind="rule", name="test_mine", parameters="draws", value="draws.pool_index()"))
    registry.load_plugin(path)
    assert runs_of(parity(training__world={"rule": "test_mine"}))[1].run_id == runs_of(parity())[1].run_id


def recording(path, *, labels):
    """A study of six recorded samples."""
    np.savez(path, x=np.arange(60.0).reshape(-1, 2), y=labels)
    return parity(
        task={"name": "recording", "path": str(path)}, data={},
        training={"train_size": 8, "batch_size": 4, "max_steps": 2, "seeds": 1},
    )  # fmt: skip


def test_identity_changes_with_the_contents_of_a_recording(tmp_path):
    """The same file name with other labels is other data."""
    path = tmp_path / "mine.npz"
    before = ids(recording(path, labels=np.arange(30) % 2))
    after = ids(recording(path, labels=np.arange(30) // 15))
    assert not set(before) & set(after)
    assert ids(recording(path, labels=np.arange(30) % 2)) == before


def test_an_ideal_world_that_outruns_its_recording_is_refused(tmp_path):
    """Unless told to use samples again, or to do without it."""
    raw = recording(tmp_path / "mine.npz", labels=np.arange(30) % 2)
    raw["training"]["max_steps"] = 7
    assert problems(raw) == [
        "`training.max_steps`: the ideal world needs 28 fresh samples, but the recording has 24 for training. "
        "Lower max_steps or batch_size, set training.ideal = false, or set data.allow_reuse = true."
    ]
    assert len(runs_of({**raw, "data": {"allow_reuse": True}})) == 2
    raw["training"]["ideal"] = False
    assert len(runs_of(raw)) == 1


def test_settings_have_dotted_names_and_plain_values():
    """As columns of the table of runs: lists are JSON, tables are flattened, all of them told."""
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


@pytest.mark.parametrize("number", [10**5000, 10**400, -(10**30), 2**63, 2**53 + 1],
                         ids=["10^5000", "10^400", "-10^30", "2^63", "2^53+1"])  # fmt: skip
@pytest.mark.parametrize(
    "key", ["data__label_noise", "model__width", "task__num_bits", "evaluation__threshold", "training__max_steps"]
)
def test_enormous_integers_are_refused(key, number):
    """TOML's integers have no end in Python, float64's and int64's have."""
    assert problems(parity(**{key: number})) == [
        f"`{key.replace('__', '.')}`: expected a whole number between -2^53 and 2^53, "
        f"got one of {number.bit_length()} bits. Move it into this range."
    ]


def test_the_largest_integers_are_not_refused_for_their_size():
    """2^53 is the last up to which a float64 holds every one."""
    assert len(runs_of(parity(training__max_steps=2**53, training__seeds=[2**53]))) == 2


@pytest.mark.parametrize(
    ("kind", "name", "key", "least", "most"),
    [
        ("model", "mlp", "width", 1, 65_536),
        ("model", "mlp", "depth", 0, 100),
        ("model", "mlp", "embedding", 0, 65_536),
        ("model", "transformer", "layers", 1, 100),
        ("model", "transformer", "width", 1, 65_536),
        ("model", "transformer", "heads", 1, 65_536),
        ("model", "transformer", "feed_forward", 1, 65_536),
        ("task", "sparse_parity", "num_bits", 1, 4_096),
    ],
)
def test_sizes_have_a_least_and_a_largest_value(kind, name, key, least, most):
    """Both are accepted; a step further is refused before any memory is asked for."""
    for value in (least, most):
        assert chosen(kind, {"name": name, key: value})[key] == value
    for value, sign, limit in ((least - 1, "least", least), (most + 1, "most", most)):
        with pytest.raises(StudyError) as caught:
            chosen(kind, {"name": name, key: value})
        assert caught.value.problems == [
            f"`{kind}.{key}`: expected a number at {sign} {limit:,}, got {value:,}. Change it."
        ]


MODEL = """
import torch
from torch import nn
from deepboot.bootstrap.models.layers import constant, parameter
from deepboot.bootstrap.registry import register

@register("model", "test_mine")
class Mine(nn.Module):
    def __init__(self, inputs, classes, *, width{annotation} = 8):
        super().__init__()
        self.inner, self.output = nn.Linear(inputs.size, width), nn.Linear(width, {classes})
        self.inner.bias.requires_grad_({trained})

    def forward(self, x):
        {look}
        return self.output(self.inner(x))
"""
GOOD = {"annotation": ": int", "classes": "classes", "trained": "True", "look": "pass"}


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"look": 'raise RuntimeError("No inputs like these. Choose others.")'},
         ["`model`: No inputs like these. Choose others."]),
        ({"look": 'raise IndexError("No such layer. Count them.")'}, ["`model`: No such layer. Count them."]),
        ({"classes": "3"}, ["`model`: expected logits of shape (1, 2, 2) for two samples, got (1, 2, 3). "
         "Its forward pass must give one row of class logits per answer."]),
        ({"trained": "False"},
         ["`model`: model 'test_mine': parameter 'inner.bias' is frozen. Make it a buffer, or train it."]),
        ({"annotation": ""}, ["`model.name`: setting 'width' of 'test_mine' has no type. "
         "Annotate it where Mine is defined, for instance `width: float`."]),
    ],
)  # fmt: skip
def test_a_plugin_model_that_cannot_be_trained_is_refused_before_any_training(
    tmp_path, own_registry, changes, sentences
):
    """Its forward pass is tried on two samples."""
    _try_model.cache_clear()  # an edited file under the same name
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(**GOOD | changes))
    registry.load_plugin(path)
    runs, found = told(parity(model={"name": "test_mine"}))
    assert found == sentences
    assert len(runs) == (0 if sentences else 2)


KEYS = sorted({
    *Study.model_fields, *Training.model_fields, *Data.model_fields, *Evaluation.model_fields, *Streams.model_fields,
    *Schedule.model_fields, *ModelScales.model_fields, "name", "rule", "kind", "where", "width", "depth", "heads",
    "lr", "betas", "num_bits", "num_relevant", "modulus", "operation", "share", "full", "optimizer.lr",
    "int", "float", "a[b]",
})  # fmt: skip
NAMES = [
    "sparse_parity", "binary_operations", "multi_digit_addition", "permutations", "induction", "mlp", "transformer",
    "sgd", "adam", "adamw", "cross_entropy", "mse", "hinge", "real", "ideal", "fresh", "switch", "grokking_delay",
    "log", "full", "orbits", "rest", "population", "float64", "cosine",
]  # fmt: skip
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 60), st.floats(), st.sampled_from(NAMES), st.text(max_size=4), st.dates()
)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip
PLACES = [
    *Study.model_fields,
    *(f"training.{key}" for key in Training.model_fields),
    *(f"data.{key}" for key in Data.model_fields),
    *(f"evaluation.{key}" for key in Evaluation.model_fields),
    *(f"{table}.name" for table in ("task", "model", "optimizer", "loss")),
    *(f"model.{key}" for key in ("width", "depth", "bias", "init_scale", "heads", "layers", "nonsense")),
    *(f"optimizer.{key}" for key in ("lr", "betas", "weight_decay", "eps")),
    *(f"task.{key}" for key in ("num_bits", "num_relevant", "modulus", "operation", "num_digits", "degree", "path")),
    "training.world.rule", "training.world.share", "training.world.at_step", "training.streams.init", "schedule.shape",
    "sweep.optimizer.lr", "sweep.model.width", "sweep.training.seeds", "loss.dtype", "claims",
]  # fmt: skip
FUZZ = settings(
    max_examples=300, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


def only_refused(raw):
    """A study gives runs or sentences, and stays as it was."""
    before = repr(raw)
    runs, sentences = told(raw)
    assert bool(runs) != bool(sentences)
    assert all(re.fullmatch("[0-9a-f]{16}", one.run_id) for one in runs)
    assert all(sentence.startswith("`") and sentence.endswith((".", "?")) for sentence in sentences)
    assert repr(raw) == before


@FUZZ
@given(raw=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), VALUE, max_size=6))
def test_no_table_whatever_gives_anything_but_runs_or_sentences(raw):
    """Random nested tables of known and unknown keys."""
    only_refused(raw)


def mutated(raw, dotted, value):
    """The study with one value replaced, or removed where the value is ...; None if the place is not there."""
    changed = copy.deepcopy(raw)
    table, _, inner = dotted.partition(".")
    tables = [table, *([inner] if table in ("sweep",) and inner else inner.split(".") if inner else [])]
    place = changed
    for name in tables[:-1]:
        place = place.setdefault(name, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            return changed
    if value is ...:
        place.pop(tables[-1], None)
    else:
        place[tables[-1]] = value
    return changed


BASES = [
    parity(),
    parity(task=ADDITION, data={}, model={"name": "transformer", "width": 8, "heads": 2, "layers": 1}),
    parity(task={"name": "permutations", "degree": 3}, data={}, training__world={"rule": "fresh", "share": 0.1}),
    parity(sweep={"optimizer.lr": [0.1, 0.2]}, claims=[{"kind": "grokking_delay", "min_ratio": 2.0}]),
]


@FUZZ
@given(
    base=st.sampled_from(BASES),
    changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUE | st.just(...)), min_size=1, max_size=3),
)
def test_no_change_of_a_good_study_gives_anything_but_runs_or_sentences(base, changes):
    """One to three values replaced by anything, or left out."""
    raw = base
    for dotted, value in changes:
        raw = mutated(raw, dotted, value)
    only_refused(raw)

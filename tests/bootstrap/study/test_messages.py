"""Studies: what is read, what is refused and in which words, the sweep, and the identity of a run."""

import datetime
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
from pydantic import Field

from deepboot.bootstrap import registry
from deepboot.bootstrap.optimizers import Optimizer
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.compatibility import _try_model
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import chosen
from deepboot.bootstrap.study.schema import Data, Evaluation, Keep, Training
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ADD, CLAIMS, MODELS, RULES, TASKS, TOP, problems, recording, runs_and_problems


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
         "Did you mean 'share'? Known: share, whole_batches."),
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
        (
            {"model": {"name": "mlp", "width": [16, 32]}},
            "`model.width`: expected a whole number, got [16, 32]. "
            'Give one value. To try them all, sweep it: [sweep] and below it "model.width" = [16, 32].',
        ),
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
        ({"model__batch_norm": "true"},
         "`model.batch_norm`: expected true or false, got 'true'. Change its type or value."),
        ({"model__init_scale": "x"}, "`model.init_scale`: expected a number, got 'x'. Change its type or value."),
        ({"model__width": 1.0}, "`model.width`: expected a whole number, got 1.0. Change its type or value."),
        ({"task__encoding": "02"}, "`task.encoding`: expected '01' or '+-1', got '02'. Choose one of these."),
        ({"schedule__shape": "cosin"}, "`schedule.shape`: expected 'constant', 'cosine' or 'linear', got 'cosin'. "
         "Choose one of these."),
        ({"training__dtype": "float8"}, "`training.dtype`: expected 'float32', 'float64', 'bfloat16' or 'float16', "
         "got 'float8'. Choose one of these."),
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


def test_a_count_of_at_most_one_is_not_taken_for_a_share():
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


def test_a_limit_that_only_pydantic_knows_is_told_in_its_words():
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
         "`optimizer.name`: unknown optimizer 'adamww'. Did you mean 'adamw'? Known: adam, adamw, muon, sgd."),
        ({"loss": {"name": "crossentropy"}},
         "`loss.name`: unknown loss 'crossentropy'. Did you mean 'cross_entropy'? Known: cross_entropy, hinge, mse, "
         "stablemax."),
        ({"training__world": {"rule": "reel"}},
         "`training.world.rule`: unknown rule 'reel'. Did you mean 'real'? "
         f"Known: {RULES}."),
        ({"training__transforms": [{"name": "normalize"}, {"name": "clop", "norm": 1.0}]},
         "`training.transforms[1].name`: unknown transform 'clop'. Did you mean 'clip'? Known: clip, grokfast, "
         "grokfast_ma, normalize, orthogonal_gradient."),
        ({"training__transforms": [{}]},
         "`training.transforms[0].name`: expected the name of a transform, got None. "
         "Known: clip, grokfast, grokfast_ma, normalize, orthogonal_gradient."),
        ({"claims": [{"kind": "grokking_dely"}]},
         "`claims[0].kind`: unknown claim 'grokking_dely'. Did you mean 'grokking_delay'? "
         f"Known: {CLAIMS}."),
        ({"task": {}}, f"`task.name`: expected the name of a task, got None. Known: {TASKS}."),
        ({"task": {"name": 3}}, f"`task.name`: expected the name of a task, got 3. Known: {TASKS}."),
        ({"training__world": {}}, "`training.world.rule`: expected the name of a rule, got None. "
         f"Known: {RULES}."),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(changes, expected):
    """Tasks, models, optimizers, losses, rules and claims."""
    assert problems(parity(**changes)) == [expected]


@pytest.mark.parametrize(
    ("transforms", "expected"),
    [
        ("clip", ["`training.transforms`: expected a list, got 'clip'. Change its type or value."]),
        (["clip"], ["`training.transforms[0]`: expected a table, got 'clip'. Change its type or value."]),
        ([{"name": "clip"}],
         ["`training.transforms[0].norm`: expected a value, but the key is missing. Add it."]),
        ([{"name": "normalize"}, {"name": "clip", "norm": 0}],
         ["`training.transforms[1].norm`: expected a number above 0, got 0. Change it."]),
        ([{"name": "grokfast", "alpha": 1, "lamb": -1}],
         ["`training.transforms[0].alpha`: expected a number below 1, got 1. Change it.",
          "`training.transforms[0].lamb`: expected a number at least 0, got -1. Change it."]),
        ([{"name": "grokfast_ma", "window": 0}],
         ["`training.transforms[0].window`: expected a number at least 1, got 0. Change it."]),
        ([{"name": "orthogonal_gradient", "by": "layer"}],
         ["`training.transforms[0].by`: expected 'parameter' or 'run', got 'layer'. Choose one of these."]),
        ([{"name": "grokfast", "lambda": 2.0}],
         ["`training.transforms[0].lambda`: unknown key. Did you mean 'lamb'? Known: alpha, lamb."]),
    ],
)  # fmt: skip
def test_a_wrong_transform_is_refused_by_its_number(transforms, expected):
    """The first one is number 0, as in a sweep."""
    assert problems(parity(training__transforms=transforms)) == expected


CLIP = 'this is a transform now. Write training.transforms = [{ name = "clip", norm = 1.0 }].'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"training__clip_norm": 0.5}, [f"`training.clip_norm`: {CLIP}"]),
        ({"sweep": {"training.clip_norm": [0.5, 1.0]}}, [f"`training.clip_norm`: {CLIP}"]),
        ({"phases": [{"at_step": 3, "set": {"training.clip_norm": 0.5}}]}, [f"`phases[0].set`: {CLIP}"]),
    ],
)
def test_the_former_setting_for_clipping_is_answered_with_the_transform(changes, expected):
    """In the study's table, in a sweep and in a phase."""
    assert problems(parity(**changes)) == expected


PARAMETERS = "hidden.0.weight, hidden.0.bias, output.weight, output.bias"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ({"embedding": {}, "hidden": {}},
         ["`training.layers`: expected beginnings of the names of the model's parameters, got 'embedding'. "
          f"Known: {PARAMETERS}."]),
        ({"hidden": {"lr": -1.0}},
         ["`training.layers.hidden.lr`: expected a number at least 0, got -1. Change it."]),
        ({"hidden": {"weight_deccay": 0.0}},
         ["`training.layers.hidden.weight_deccay`: unknown key. Did you mean 'weight_decay'? "
          "Known: init_scale, lr, weight_decay."]),
        ({"hidden": 0.5}, ["`training.layers.hidden`: expected a table, got 0.5. Change its type or value."]),
        (["hidden"], ["`training.layers`: expected a table, got ['hidden']. Change its type or value."]),
    ],
)  # fmt: skip
def test_wrong_layers_are_refused(layers, expected):
    """Names that no parameter begins with, with those that there are; and factors that are none."""
    assert problems(parity(training__layers=layers)) == expected


def test_a_factor_on_a_weight_decay_that_an_optimizer_lacks_is_refused():
    """Other factors are not, nor is the factor 1."""

    @register("optimizer", "test_bare")
    @dataclass(frozen=True, kw_only=True)
    class Bare(Optimizer):
        """Gradient descent without decay."""

        @staticmethod
        def update(param_EP, grad_EP, optimizer_state, at):
            param_EP.addcmul_(grad_EP, at["lr"], value=-1)

    layers = {"hidden": {"lr": 0.1}, "output": {"weight_decay": 0.5}}
    assert problems(parity(optimizer={"name": "test_bare"}, training__layers=layers)) == [
        "`training.layers.output.weight_decay`: optimizer 'test_bare' has no weight decay that a factor could act on, "
        "got 0.5. Remove the key."
    ]
    layers["output"]["weight_decay"] = 1.0
    assert len(runs_of(parity(optimizer={"name": "test_bare"}, training__layers=layers))) == 2


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
         f"Known: {RULES}."),
        ({"before": "fresh"}, "rule 'fresh' needs settings, which `switch` cannot give it. Use real or ideal."),
        ({"after": "switch"}, "rule 'switch' needs settings, which `switch` cannot give it. Use real or ideal."),
    ],
)  # fmt: skip
def test_a_switch_between_rules_that_do_not_exist_or_need_settings_is_refused(settings, sentence):
    """Before anything is trained."""
    world = {"rule": "switch", "at_step": 3, **settings}
    assert problems(parity(training__world=world)) == [f"`training.world`: {sentence}"]


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
def test_a_plugin_model_that_cannot_be_trained_is_refused_before_any_training(tmp_path, changes, sentences):
    """Its forward pass is tried on two samples."""
    _try_model.cache_clear()  # an edited file under the same name
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(**GOOD | changes))
    registry.load_plugin(path)
    runs, found = runs_and_problems(parity(model={"name": "test_mine"}))
    assert found == sentences
    assert len(runs) == (0 if sentences else 2)


ENTRY = {"quantity": "grokking_delay", "value": 12.0, "source": "A 2020"}


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (ENTRY | {"quantity": "groking_delay"},
         f"`published[0].quantity`: unknown claim 'groking_delay'. Did you mean 'grokking_delay'? Known: {CLAIMS}."),
        (ENTRY | {"quantity": 3}, "`published[0].quantity`: expected text, got 3. Change its type or value."),
        ({"value": 1.0, "source": "A"}, "`published[0].quantity`: expected a value, but the key is missing. Add it."),
        ({"quantity": "rate", "value": 1.0},
         "`published[0].source`: expected a value, but the key is missing. Add it."),
        (ENTRY | {"range": [10.0, 15.0]}, "`published[0].value`: expected exactly one of value, range, at_least, "
         "at_most, got value and range. Keep one of them."),
        (ENTRY | {"value": None}, "`published[0].value`: expected exactly one of value, range, at_least, at_most, "
         "got none. Give one of them."),
        (ENTRY | {"value": None, "at_least": 1, "at_most": 2}, "`published[0].at_least`: expected exactly one of "
         "value, range, at_least, at_most, got at_least and at_most. Keep one of them."),
        (ENTRY | {"value": None, "range": [15, 10]}, "`published[0].range`: expected its lower end before its upper "
         "end, got [15.0, 10.0]. Exchange them."),
        (ENTRY | {"value": None, "range": [15]}, "`published[0].range`: expected at least 2 values, got 1. "
         "Add what is missing."),
        (ENTRY | {"value": "12"}, "`published[0].value`: expected a number, got '12'. Change its type or value."),
        (ENTRY | {"value": math.inf}, "`published[0].value`: expected a finite number, got inf. Change it."),
        (ENTRY | {"evidence": "weak"}, "`published[0].evidence`: expected 'solid' or 'direction', got 'weak'. "
         "Choose one of these."),
        (ENTRY | {"confidence": 0.4}, "`published[0].confidence`: expected a number above 0.5, got 0.4. Change it."),
        (ENTRY | {"ours": "11 (10 to 12), 8 of 8, agrees"}, "`published[0].command`: expected the command that "
         "measured `ours`, but the key is missing. Add it."),
    ],
)  # fmt: skip
def test_a_published_number_that_is_none_is_refused(entry, sentence):
    """By its number, with what was expected, what came, and the cure."""
    assert problems(parity(published=[entry])) == [sentence]


def test_published_numbers_and_costs_are_kept_in_a_list_and_a_table():
    """Anything else is refused, and they change no run."""
    wrong = parity(published="x", cost={"quick": 3})
    assert problems(wrong) == [
        "`published`: expected a list, got 'x'. Change its type or value.",
        "`cost.quick`: expected text, got 3. Change its type or value.",
    ]
    plain = runs_of(parity())
    assert runs_of(parity(published=[ENTRY], cost={"quick": "3 s"})) == plain

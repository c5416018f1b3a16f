"""Whatever a study holds, it gives runs or sentences."""

import copy
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepboot.bootstrap.study.schema import Data, Evaluation, ModelScales, Schedule, Streams, Study, Training
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ADDITION, runs_and_problems

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
DOTTED_NAMES = [
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


@pytest.fixture(autouse=True, scope="module")
def plain_numbers():
    """What trained in this process before may have left subnormal numbers as zero, which Hypothesis refuses."""
    torch.set_flush_denormal(False)


def only_refused(raw):
    """A study gives runs or sentences, and stays as it was."""
    before = repr(raw)
    runs, sentences = runs_and_problems(raw)
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
    """The study with one value replaced, or removed where the value is ...; unchanged if there is no such table."""
    changed = copy.deepcopy(raw)
    first, _, inner = dotted.partition(".")
    tables = [first, *([inner] if first in ("sweep",) and inner else inner.split(".") if inner else [])]
    table = changed
    for name in tables[:-1]:
        table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            return changed
    if value is ...:
        table.pop(tables[-1], None)
    else:
        table[tables[-1]] = value
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
    changes=st.lists(st.tuples(st.sampled_from(DOTTED_NAMES), VALUE | st.just(...)), min_size=1, max_size=3),
)
def test_no_change_of_a_good_study_gives_anything_but_runs_or_sentences(base, changes):
    """One to three values replaced by anything, or left out."""
    raw = base
    for dotted, value in changes:
        raw = mutated(raw, dotted, value)
    only_refused(raw)

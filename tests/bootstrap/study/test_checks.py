"""What a study is refused for beside its single keys: size, budget, coinciding runs; and all mistakes at once."""

import datetime

import pytest

from deepboot.bootstrap import registry
from deepboot.bootstrap.columns import EVALUATION_COLUMNS, RUN_COLUMNS
from deepboot.bootstrap.results import Results, typed, write
from deepboot.bootstrap.study import checks
from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.messages import LARGEST_NUMBER, StudyError
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity

UNIVERSE = {"name": "binary_operations", "operation": "x+y", "modulus": 7}


def problems(raw):
    """All sentences of the refusal of a study."""
    with pytest.raises(StudyError) as caught:
        runs_of(raw)
    return caught.value.problems


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training__seeds": 10**9},
         "`training.seeds`: expected at most 1,000,000 pairs of runs in a study, got 1,000,000,000 (1 points, "
         "up to 1 pools, up to 1,000,000,000 seeds). Lower the largest number, or divide the study."),
        ({"training__train_size": list(range(8, 60_008))},
         "`training.train_size`: expected at most 50,000 cells in a study, got 60,000 (1 points, "
         "up to 60,000 pools, up to 1 seeds). Lower the largest number, or divide the study."),
        ({"training__seeds": 1010, "sweep": {"optimizer.lr": [0.001 * n for n in range(1, 1000)]}},
         "`training.seeds`: expected at most 1,000,000 pairs of runs in a study, got 1,008,990 (999 points, "
         "up to 1 pools, up to 1,010 seeds). Lower the largest number, or divide the study."),
        ({"sweep": {"training.seeds": [10**6, 2]}},
         "`training.seeds`: expected at most 1,000,000 pairs of runs in a study, got 1,000,002 (2 points, "
         "up to 1 pools, up to 1,000,000 seeds). Lower the largest number, or divide the study."),
        ({"sweep": {"optimizer.lr": list(range(1, 1000)), "model.width": list(range(1, 1000))}},
         "`sweep`: expected at most 50,000 points, got 998,001 (999 × 999). Shorten its lists."),
        ({"evaluation": {"per_octave": 10**9}},
         "`evaluation.per_octave`: expected at most 100,000 evaluations of a run, got 2,584,962,503. "
         "Lower it, or lower training.max_steps."),
        ({"evaluation": {"schedule": 1}, "training__max_steps": 10**12},
         "`evaluation.schedule`: expected at most 100,000 evaluations of a run, got 1,000,000,000,001. "
         "Raise it, or lower training.max_steps."),
        ({"evaluation": {"schedule": list(range(100_001))}, "training__max_steps": 10**6},
         "`evaluation.schedule`: expected at most 100,000 evaluations of a run, got 100,002. "
         "Lower it, or lower training.max_steps."),
    ],
)  # fmt: skip
def test_a_study_too_large_to_plan_is_refused_by_the_number_that_is_too_large(changes, sentence):
    """Before anything of that size is made."""
    assert problems(parity(**changes)) == [sentence]


def test_a_table_of_evaluations_too_large_to_read_is_refused(monkeypatch):
    """Many runs times many evaluations, none of them too large alone."""
    monkeypatch.setattr(checks, "MOST_ROWS", 100)
    assert problems(parity(training__seeds=5, evaluation={"schedule": 1}, training__max_steps=20)) == [
        "`evaluation.schedule`: expected at most 100 evaluations in a study, got 210 of 10 runs. "
        "Evaluate less often, or divide the study."
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"question": ""}, "`question`: expected a question, got ''. Write down what the study asks."),
        ({"question": " \n"}, "`question`: expected a question, got ' \\n'. Write down what the study asks."),
        ({"schedule__warmup_steps": 7},
         "`schedule.warmup_steps`: expected at most training.max_steps = 6, got 7. Lower it."),
        ({"evaluation__schedule": [1, 2, 5, 7, 100]},
         "`evaluation.schedule`: expected steps up to training.max_steps = 6, got [7, 100]. "
         "Remove what is later, or raise training.max_steps."),
        ({"evaluation__streak": 8},
         "`evaluation.streak`: expected at most the 7 evaluations that a run has, got 8: so long a streak never "
         "comes. Lower it, or evaluate more often."),
        ({"stop": {"streak": 1_000}},
         "`stop.streak`: expected at most the 7 evaluations that a run has, got 1,000: so long a streak never "
         "comes. Lower it, or evaluate more often."),
        ({"optimizer__lr": 1e308},
         "`optimizer.lr`: expected a number between -3.4e+38 and 3.4e+38, as float32 holds them, got 1e+308. "
         "Move it into this range."),
        ({"training__dtype": "float64", "training__precision": "bf16"},
         "`training.precision`: 'bf16' is a precision of float32 and cannot be had with "
         'training.dtype = "float64". Remove one of the two.'),
        ({"sweep": {"evaluation.threshold": [0.9, 0.99]}},
         "`sweep`: the points (evaluation.threshold = 0.9) and (evaluation.threshold = 0.99) ask for the same run. "
         "Remove one of the two."),
        ({"sweep": {"training.max_steps": [6, 12]}},
         "`sweep`: the points (training.max_steps = 6) and (training.max_steps = 12) ask for the same run. "
         "Remove one of the two."),
        ({"task": UNIVERSE, "data": {}, "training": {"train_fraction": [0.51, 0.52, 0.6], "batch_size": 4,
                                                     "max_steps": 6, "seeds": 1}},
         "`training.train_fraction`: expected different pools, got 0.51 and 0.52, both 25 of 49 cells. Remove one."),
        ({"phases": [{"at_step": 3, "set": {"optimizer.lr": 0.01}}]},
         "`phases[0].set`: this phase changes nothing, since these are the values that it follows. "
         "Change a value, or remove the phase."),
    ],
)  # fmt: skip
def test_what_cannot_have_been_meant_is_refused(changes, sentence):
    """The full sentence, and no other."""
    assert problems(parity(**changes)) == [sentence]


def test_what_just_fits_is_accepted():
    """The ends of the ranges, and a phase that changes something at one point of the sweep only."""
    assert runs_of(parity(evaluation__streak=7, schedule__warmup_steps=6, optimizer__lr=LARGEST_NUMBER))
    assert runs_of(parity(evaluation__schedule=[0, 3, 6]))
    phase = [{"at_step": 3, "set": {"optimizer.lr": 0.01}}]
    assert len(runs_of(parity(phases=phase, sweep={"optimizer.lr": [0.01, 0.1]}))) == 4


def test_ideal_runs_may_be_shared_by_points_of_a_sweep():
    """Only runs of the pool stand for a point; of the ideal world alone, its own."""
    assert len(runs_of(parity(sweep={"training.train_size": [24, 25]}))) == 3
    alone = {"training__ideal": False, "training__world": {"rule": "ideal"}}
    assert problems(parity(**alone, sweep={"evaluation.streak": [3, 4]})) == [
        "`sweep`: the points (evaluation.streak = 3) and (evaluation.streak = 4) ask for the same run. "
        "Remove one of the two."
    ]


def largest(raw):
    """The largest pools that the test sets of a study's runs leave out."""
    return {phase.largest_pool for run in runs_of(raw) for phase in (run, *(one.run for one in run.phases))}


def test_all_cells_of_a_study_are_tested_on_what_its_largest_pool_leaves():
    """A pool of the sweep or of a phase counts too; another universe has its own largest pool."""
    base = {"task": UNIVERSE, "data": {"test_set": "rest"}}
    swept = parity(**base, training__train_size=10, sweep={"training.train_size": [10, 30, 20]})
    assert largest(swept) == {30}
    runs = runs_of(swept)
    assert len({run.run_id for run in runs if run.rule == "ideal"}) == 1
    assert {run.ideal_run_id for run in runs if run.rule == "real"} == {runs[1].run_id}
    assert [run.run_id for run in runs if run.rule == "real"] == [
        run.run_id for run in runs_of(parity(**base, training__train_size=[10, 30, 20])) if run.rule == "real"
    ]
    phased = parity(**base, training__train_size=10, sweep={"optimizer.lr": [0.1, 0.2]},
                    phases=[{"at_step": 3, "set": {"training.train_size": 12}}])  # fmt: skip
    assert largest(phased) == {12}
    apart = parity(**base, training__train_size=10, sweep={"task.modulus": [7, 11], "training.train_size": [10, 40]})
    apart["sweep"] = {"task": [UNIVERSE, {**UNIVERSE, "modulus": 11}], "training.train_size": [10, 12]}
    assert largest(apart) == {12}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stop": {"metrc": "test_error"}},
         "`stop.metrc`: unknown key. Did you mean 'metric'? Known: at_most, metric, streak."),
        ({"start": {"folder": "nowhere", "wold": "real"}},
         "`start.wold`: unknown key. Did you mean 'world'? Known: construction, folder, layers, seed, step, where, "
         "world."),
        ({"phases": [{"at_stp": 3, "set": {"optimizer.lr": 0.1}}]},
         "`phases[0].at_stp`: unknown key. Did you mean 'at_step'? Known: at_step, set."),
        ({"training": {"train_size": 24, "batch_size": 8, "max_steps": 6, "seed": 1}},
         "`training.seed`: unknown key. Did you mean 'seeds'? Known: batch_size, channels_last, dtype, ideal, "
         "layers, max_steps, norm_clamp, penalty, precision, seeds, streams, train_fraction, train_size, transforms, "
         "update_noise, weight_noise, world."),
        ({"question": ["a" * 5_000]},
         f"`question`: expected text, got ['{'a' * 53}… (5,004 characters). Change its type or value."),
        ({"start": {"folder": "a\0b"}},
         "`start.folder`: expected a path, got 'a\\x00b', which holds a null byte. Remove it."),
        ({"start": {"folder": "~nobody-of-that-name/x"}},
         "`start.folder`: there is no home folder ~nobody-of-that-name. Write the path from the root on."),
        ({"start": {"folder": "a" * 5_000}},
         f"`start.folder`: {'a' * 275}… (5,000 characters) cannot be used: File name too long. Give another path."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_the_right_words(changes, sentence):
    """One sentence, about the table and the key where it is."""
    assert problems(parity(**changes)) == [sentence]


@pytest.mark.parametrize("dotted", ['"a".b = 1\nc', '"a"]\nb=1\n[c', 'a".b', '"a" = {b = 1} #', '"'])
def test_a_dotted_name_that_is_none_is_refused(dotted):
    """Whatever TOML would make of it."""
    with pytest.raises(StudyError) as caught:
        with_value({}, dotted, 1)
    assert caught.value.problems == [
        f'`{dotted}`: expected a dotted name, of which parts may be in quotes. Write for instance sweep."model.width".'
    ]


def test_mistakes_of_all_stages_are_reported_at_once():
    """A date, a large integer, the sweep, the schema, names, the task, the budget and the phases hide nothing."""
    raw = parity(
        source=datetime.date(2026, 7, 1), trainin={}, keep={"weights": 10**30}, claims=[{"kind": "none"}],
        sweep={"optimizer.lr": 3, "model.depth": [1, -1]}, task__num_relevant=9, schedule__warmup_steps=7,
        phases=[{"at_step": 9, "set": {"optimizer.lr": 0.1}}, {"at_step": 3, "set": {"model.width": 8}}],
    )  # fmt: skip
    found = [(sentence.split("`")[1], sentence.split(": ", 1)[1].split(",")[0]) for sentence in problems(raw)]
    assert found == [
        ("sweep.optimizer.lr", "expected a list of at least one value"),
        ("source", "expected text"),
        ("keep.weights", "expected a whole number between -2^53 and 2^53"),
        ("trainin", "unknown key. Did you mean 'training'? Known: claims"),
        ("claims[0].kind", "unknown claim 'none'. Did you mean 'monotone'? Known: bootstrap_error"),
        ("schedule.warmup_steps", "expected at most training.max_steps = 6"),
        ("task", "num_relevant must be at most num_bits = 8"),
        ("phases[0].at_step", "expected a step between 1 and 5"),
        ("phases[1].set", "'model.width' cannot change within a run. Change one of data.label_noise"),
        ("phases[1].at_step", "expected a step between 10 and 5"),
        ("model.depth", "expected a number at least 0"),
    ]


def test_the_first_phase_does_not_hide_the_second():
    """Both are tried; what was wrong before any phase is not repeated."""
    raw = parity(
        training__batch_size=25,
        phases=[{"at_step": 2, "set": {"training.train_size": 12}}, {"at_step": 4, "set": {"optimizer.lr": -1.0}}],
    )
    assert problems(raw) == [
        '`training.batch_size`: expected at most the pool\'s 24 samples, got 25. Lower it, or set it to "full".',
        "phases[0]: `training.batch_size`: expected at most the pool's 12 samples, got 25. Lower it, or set it to "
        '"full".',
        "phases[1]: `optimizer.lr`: expected a number above 0, got -1. Change it.",
    ]


def test_nothing_is_said_that_depends_on_a_faulty_table():
    """A pool cannot be judged where the data's division is not known."""
    assert problems(parity(task=UNIVERSE, data={"tets_set": "rest"}, training__train_size=45)) == [
        "`data.tets_set`: unknown key. Did you mean 'test_set'? Known: allow_reuse, augmentation, label_noise, labels, "
        "noisy_test, split, swapped_answers, test_fraction, test_samples, test_set."
    ]


TASK = """
from dataclasses import dataclass
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector
import torch

@register("task", "test_mine")
@dataclass({frozen}kw_only=True)
class Mine(Task):
    size{annotation} = {default}

    @property
    def inputs(self):
        return Vector(3)

    @property
    def {classes}(self):
        return 2

    def {sample}(self, key_E2, index):
        {body}
        return Samples(torch.zeros(*index.shape, 3), torch.zeros_like(index))
"""
GOOD = {"frozen": "frozen=True, ", "annotation": ": int", "default": "3", "classes": "classes", "sample": "sample",
        "body": "pass"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"frozen": ""}, []),
        ({"annotation": ": list", "default": "__import__('dataclasses').field(default_factory=list)"},
         []),
        ({"classes": "clases", "sample": "samples"},
         ["`task`: class Mine lacks 'classes', which every task has. Rename 'clases', if that is meant for it, or "
          "define it. class Mine lacks 'sample', which every task has. Rename 'samples', if that is meant for it, or "
          "define it."]),
        ({"classes": "answers"}, ["`task`: class Mine lacks 'classes', which every task has. Define it."]),
        ({"default": "torch.zeros(1)"},
         ["`task`: a default of 'test_mine' is no value that a study can give: Unable to serialize unknown type: "
          "<class 'torch.Tensor'>. Mend it where it is defined."]),
        ({"body": "raise KeyError(3)"}, ["`task`: KeyError: 3. Mend the task."]),
        ({"body": "raise SystemExit"}, ["`task`: SystemExit. Mend the task."]),
        ({"annotation": ": 'Nothing'"},
         ["`task.name`: the types of the settings of 'test_mine' cannot be read: name 'Nothing' is not defined. "
          "Import or define them where Mine is defined."]),
        ({"annotation": ": torch.Tensor", "default": "None"},
         ["`task.name`: setting 'size' of 'test_mine' cannot be given by a study: Unable to generate "
          "pydantic-core schema for <class 'torch.Tensor'>. Set `arbitrary_types_allowed=True` in the model_config to "
          "ignore this error or implement `__get_pydantic_core_schema__` on your type to fully support it. Give it a "
          "plain name and type where Mine is defined, for instance `size: float`."]),
    ],
)  # fmt: skip
def test_a_plugin_task_that_is_none_is_refused_in_words(tmp_path, monkeypatch, changes, sentences):
    """Before any training, whatever its author forgot."""
    path = tmp_path / "mine.py"
    path.write_text(TASK.format(**GOOD | changes))
    registry.load_plugin(path)
    raw = parity(task={"name": "test_mine"})
    if sentences:
        assert problems(raw) == sentences
    else:
        assert len(runs_of(raw)) == 2


def test_a_column_of_a_start_is_compared_with_one_value(tmp_path):
    """A list or a table is none."""
    rows = [{"run_id": "a", "cell_id": "b", "world": "real", "seed": 0}]
    write(Results(typed(rows, RUN_COLUMNS), typed([], EVALUATION_COLUMNS)), tmp_path)
    (tmp_path / "study.toml").write_text("")
    assert problems(parity(start={"folder": str(tmp_path), "where": {"task": ["a", "b"]}})) == [
        "`start.where`: expected one value of task, got ['a', 'b']. Give one."
    ]

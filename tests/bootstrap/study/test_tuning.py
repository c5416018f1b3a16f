"""Arms and their settings: equal budgets, random settings by counter, and settings that go together at a point."""

import math

import numpy as np
import pytest
from scipy import stats

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import parse
from deepboot.bootstrap.study.points import points
from deepboot.bootstrap.study.schema import Tune
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.study.tuning import frozen, settings_by_arm, tuning_study
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import TOP, ids, problems

TUNE = {"seeds": [100, 101], "parameters": {"optimizer.lr": [0.01, 0.1], "model.width": [8, 16]}}
ARMS = {"optimizer": [{"name": "adamw"}, {"name": "sgd", "momentum": 0.9}]}
OF_SGD = {"optimizer.name": "sgd"}


def tuned(tune=TUNE, sweep=ARMS, **changes):
    """The study that is trained to tune a small one."""
    raw = {**parity(**changes), "sweep": sweep, **({"tune": tune} if tune is not None else {})}
    return tuning_study(raw, parse(points(raw)[0]))


def refusal(**changes):
    """All sentences with which tuning is refused."""
    with pytest.raises(StudyError) as caught:
        tuned(**changes)
    return caught.value.problems


def test_a_study_with_a_tune_table_has_the_runs_that_it_had():
    """By their identities, at every point."""
    raw = {**parity(), "sweep": ARMS}
    assert ids({**raw, "tune": TUNE}) == ids(raw)


def test_every_setting_of_every_arm_is_trained_on_the_tuning_seeds_alone():
    """All combinations, arm by arm, in the real world; all else is the study's."""
    runs = runs_of(tuned())
    assert [
        (run.optimizer["name"], run.optimizer["lr"], run.model["width"], run.seed, run.rule) for run in runs
    ] == [
        (name, lr, width, seed, "real")
        for name in ("adamw", "sgd") for lr in (0.01, 0.1) for width in (8, 16) for seed in (100, 101)
    ]  # fmt: skip
    assert {run.optimizer.get("momentum") for run in runs} == {None, 0.9}
    of_the_study = runs_of({**parity(optimizer__lr=0.1), "training": {**parity()["training"], "seeds": [100, 101]}})
    same = [run for run in runs if run.optimizer["name"] == "adamw" and run.optimizer["lr"] == 0.1]
    assert {run.run_id for run in of_the_study if run.rule == "real"} == {
        run.run_id for run in same if run.model["width"] == 16
    }


def test_the_ideal_world_is_tuned_by_itself():
    """Its runs alone are trained."""
    assert {run.rule for run in runs_of(tuned({**TUNE, "world": "ideal"}))} == {"ideal"}


def test_arms_may_have_parameters_of_their_own_of_as_many_settings():
    """By a name inside a swept table; the others have those of all."""
    own = [{"where": OF_SGD, "parameters": {"optimizer.momentum": [0.0, 0.5, 0.9, 0.99]}}]
    runs = runs_of(tuned({**TUNE, "own": own}))
    assert [run.optimizer["momentum"] for run in runs if run.optimizer["name"] == "sgd"] == [
        0.0, 0.0, 0.5, 0.5, 0.9, 0.9, 0.99, 0.99,
    ]  # fmt: skip
    assert len([run for run in runs if run.optimizer["name"] == "adamw"]) == 8


def test_random_settings_are_log_uniform_the_same_in_every_arm_and_the_first_of_more():
    """By Kolmogorov and Smirnov's test; more draws only add settings, and another parameter changes none."""
    lr = {"optimizer.lr": {"low": 1e-4, "high": 1e-1}}

    def drawn(draws, **more):
        tune = Tune(seeds=[9], draws=draws, parameters={**lr, **more})
        return [settings for _, settings in settings_by_arm({"sweep": ARMS}, tune)]

    first, second = drawn(200)
    assert first == second
    values = np.array([setting["optimizer.lr"] for setting in first])
    assert len(set(values)) == 200
    share = np.log(values / 1e-4) / math.log(1e3)
    assert stats.kstest(share, "uniform").pvalue > 0.01
    assert drawn(5)[0] == first[:5]
    both = drawn(5, **{"model.width": [8, 16]})[0]
    assert [setting["optimizer.lr"] for setting in both] == values[:5].tolist()
    assert {setting["model.width"] for setting in both} == {8, 16}
    assert all(float(f"{value:.4g}") == value for value in values)  # as it is written down


def test_listed_values_are_drawn_without_repeating_a_setting():
    """As many as there are: all of them."""
    tune = Tune(seeds=[9], draws=4, parameters={"optimizer.lr": [1, 2], "model.width": [8, 16]})
    ((_, settings),) = settings_by_arm({}, tune)
    assert sorted(map(str, settings)) == sorted(
        str({"optimizer.lr": lr, "model.width": width}) for lr in (1, 2) for width in (8, 16)
    )


def test_a_frozen_study_has_the_runs_of_its_settings():
    """One setting an arm, on its own seeds and in both worlds, as if each had been written by hand."""
    raw = {**parity(), "sweep": ARMS, "tune": TUNE, "scale": {"full": {}}}
    chosen = [({"optimizer": ARMS["optimizer"][0]}, {"optimizer.lr": 0.1}),
              ({"optimizer": ARMS["optimizer"][1]}, {"optimizer.lr": 0.01, "model.width": 8})]  # fmt: skip
    by_hand = [
        parity(optimizer={"name": "adamw", "lr": 0.1}),
        parity(optimizer={"name": "sgd", "momentum": 0.9, "lr": 0.01}, model__width=8),
    ]
    study = frozen(raw, chosen)
    assert ids(study) == [run_id for one in by_hand for run_id in ids(one)]
    assert "scale" not in study
    with pytest.raises(StudyError, match=r"^`settings`: this study has its settings already\. Tune the "):
        tuning_study(study, parse(points(study)[0]))


def together(*entries):
    """A small study over two widths with settings that go together."""
    return {**parity(training__ideal=False), "sweep": {"model.width": [8, 16]}, "settings": list(entries)}


def test_settings_go_together_at_the_points_where_they_belong():
    """Two for the first width, one for the second, in that order."""
    runs = runs_of(together(
        {"where": {"model.width": 8}, "set": {"optimizer.lr": 0.1, "optimizer.weight_decay": 0.2}},
        {"set": {"optimizer.lr": 0.3}},
    ))  # fmt: skip
    found = [(run.model["width"], run.optimizer["lr"], run.optimizer["weight_decay"]) for run in runs]
    assert found == [(8, 0.1, 0.2), (8, 0.3, 0.01), (16, 0.3, 0.01)]


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([{"where": {"model.width": 8}, "set": {"optimizer.lr": 0.1}}],
         "`settings`: none of them fits the point (model.width = 16). Add one that does."),
        ([{"where": {"model.depth": 8}, "set": {"optimizer.lr": 0.1}}],
         "`settings[0].where`: expected swept settings, got 'model.depth'. Name one that `sweep` lists."),
        ([{"set": {"model.width": 4}}],
         "`settings[0].set`: 'model.width' is swept already. Remove it here or there."),
        ([{"set": {"claims": []}}], "`settings[0].set`: 'claims' is no setting of a run. Remove it."),
        ([{"set": {}}], "`settings[0].set`: expected at least one value, got an empty list. Add one or remove the "
         "key."),
        ([{"set": {"optimizer.lr": 0.1}}, {"set": {"optimizer.lr": 0.1}}],
         "`sweep`: the points (model.width = 8, optimizer.lr = 0.1) and (model.width = 8, optimizer.lr = 0.1) ask for "
         "the same run. Remove one of the two."),
        ([{"set": {"optimizer.lr": -1}}], "`optimizer.lr`: expected a number above 0, got -1. Change it."),
        ([{"set": {"question.x": 1}}], "`settings[0].set`: 'question.x' is no setting of a run. Remove it."),
    ],
)  # fmt: skip
def test_settings_that_cannot_go_together_are_refused(entries, problem):
    """With the place, what was expected and the cure."""
    assert problem in problems(together(*entries))


@pytest.mark.parametrize(
    ("tune", "problem"),
    [
        ({"seeds": [0, 7]}, "`tune.seeds`: expected seeds that the study itself has not, got [0], which training.seeds "
         "has too. Choose others, such as 1_000 and the next."),
        ({"seeds": [7, 7]}, "`tune.seeds`: expected different values, got [7, 7]. Remove the repeated ones."),
        ({"seeds": []}, "`tune.seeds`: expected at least one value, got an empty list. Add one or remove the key."),
        ({"by": "grok"}, "`tune.by`: expected 'grokking', 'stable', 'memorization', 'stopping' or 'final_error', got "
         "'grok'. Choose one of these."),
        ({"sedes": [7]}, "`tune.sedes`: unknown key. Did you mean 'seeds'? Known: axis, by, draws, own, parameters, "
         "seeds, world."),
        ({"world": "ideal", "by": "stopping"}, "`tune.by`: the ideal world has no stopping step, since it has no pool. "
         'Choose "grokking".'),
        ({"parameters": {}}, "`tune.parameters`: expected at least one setting to tune. Write for instance "
         '"optimizer.lr" = [0.01, 0.1].'),
        ({"parameters": {"training.max_steps": [6, 60]}}, "`tune.parameters.training.max_steps`: this decides what is "
         "compared. Tune a setting such as optimizer.lr."),
        ({"parameters": {"task.num_bits": [6, 60]}}, "`tune.parameters.task.num_bits`: this decides what is compared. "
         "Tune a setting such as optimizer.lr."),
        ({"parameters": {"training": [{}]}}, "`tune.parameters.training`: this decides what is compared. Tune a "
         "setting such as optimizer.lr."),
        ({"parameters": {"optimizer.lr": 0.1}}, "`tune.parameters.optimizer.lr`: expected a list of different values, "
         "got 0.1. Change it."),
        ({"parameters": {"optimizer.lr": [0.1, 0.1]}}, "`tune.parameters.optimizer.lr`: expected a list of different "
         "values, got [0.1, 0.1]. Change it."),
        ({"parameters": {"optimizer": {"lr": [0.1]}}}, "`tune.parameters.optimizer`: expected a list, or a table of "
         "low and high, got {'lr': [0.1]}. A dotted name stands in quotes."),
        ({"parameters": {"optimizer.lr": {"low": 0, "high": 1}}}, "`tune.parameters.optimizer.lr`: expected 0 < low < "
         "high, got {'low': 0, 'high': 1}. Values are drawn log-uniformly."),
        ({"parameters": {"optimizer.lr": {"low": 0.1, "high": 1}}}, "`tune.draws`: expected a number of random "
         "settings, since optimizer.lr is a range. Add it."),
    ],
)  # fmt: skip
def test_a_faulty_tune_table_is_refused_before_anything_is_trained(tune, problem):
    """By every command that reads the study."""
    assert problems({**parity(), "tune": {**TUNE, **tune}}) == [problem]


def test_the_ideal_world_that_is_tuned_is_one_that_the_study_has():
    """Else the frozen settings would be of no run."""
    assert problems({**parity(training__ideal=False), "tune": {**TUNE, "world": "ideal"}}) == [
        '`tune.world`: this study trains no ideal world. Write "real", or set training.ideal = true.'
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tune": None}, "`tune`: expected a table that says what to try, but there is none. See docs/tuning.md."),
        ({"training__train_size": [16, 24]}, "`training.train_size`: expected one pool, since every arm has settings "
         'of its own, got a list. Sweep over it: "training.train_size" = [16, 24] in [sweep].'),
        ({"tune": {**TUNE, "own": [{"where": OF_SGD, "parameters": {"optimizer.lr": [0.1]}}]}},
         "`tune.own`: expected as many settings in every arm, got 4 for (optimizer = {'name': 'adamw'}) and 1 for "
         "(optimizer = {'name': 'sgd', 'momentum': 0.9}). List as many values, or set tune.draws."),
        ({"tune": {**TUNE, "own": [{"where": {"optimizer.name": "sdg"}, "parameters": {"optimizer.lr": [0.1]}}]}},
         "`tune.own[0].where`: no point of the sweep is (optimizer.name = 'sdg'). Write values of `sweep`."),
        ({"tune": {"seeds": [100], "own": [{"where": OF_SGD, "parameters": {"optimizer.lr": [0.1]}}]}},
         "`tune.parameters`: the arm (optimizer = {'name': 'adamw'}) has no setting to tune. Give it some, in "
         "tune.parameters or tune.own."),
        ({"sweep": {"model.width": [8, 16]}}, "`tune.parameters.model.width`: model.width is swept, so that every arm "
         "has its own already. Remove one of the two."),
        ({"tune": {**TUNE, "draws": 5}, "sweep": {}}, "`tune.draws`: expected at most the 4 settings that there are, "
         "got 5. Lower it, or list more values."),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_tuned_alike_are_refused(changes, problem):
    """An equal budget of settings is not a matter of trust."""
    assert problem in refusal(**changes)


def test_both_tables_are_known():
    """And named beside the others."""
    assert {"settings", "tune"} <= set(TOP.split(", "))

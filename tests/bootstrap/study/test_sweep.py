"""From a study to its runs: points, pools, seeds and partners."""

import copy
import datetime
import re

import pytest

from deepboot.bootstrap.study.dotted import with_value
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.points import number_of_pairs, points
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity
from tests.bootstrap.study.tables import ADD, ADDITION, problems

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


@pytest.mark.parametrize("index", ["2", "-1", "norm", "٠"])
def test_sweeping_over_what_a_list_lacks_is_refused(index):
    """The length of the list is named."""
    raw = parity(training__transforms=[{"name": "normalize"}, {"name": "clip", "norm": 1.0}])
    assert problems({**raw, "sweep": {f"training.transforms.{index}.norm": [1.0]}}) == [
        f"`training.transforms.{index}.norm`: expected an index into a list of 2, where 0 is the first, "
        f"got {index!r}. Check the dotted name."
    ]


def test_a_sweep_reaches_into_a_list_by_index_and_into_names_with_dots_in_quotes():
    """A value inside one of its tables, or a whole table; the study stays as it was."""
    raw = parity(training__transforms=[{"name": "normalize"}, {"name": "clip", "norm": 1.0}], model__depth=2)
    raw["sweep"] = {
        "training.transforms.1.norm": [0.1, 0.2],
        "training.transforms.0": [{"name": "normalize"}, {"name": "grokfast"}],
        'training.layers."hidden.1".lr': [0.5],
    }
    before = copy.deepcopy(raw)
    found = [
        ([one["name"] for one in run.transforms], run.transforms[1]["norm"], run.layers["hidden.1"].lr)
        for run in runs_of(raw) if run.rule == "real"
    ]  # fmt: skip
    assert found == [
        ([name, "clip"], norm, 0.5) for norm in (0.1, 0.2) for name in ("normalize", "grokfast")
    ]  # fmt: skip
    assert raw == before


def test_a_faulty_sweep_over_a_number_that_a_transform_needs_is_one_problem():
    """That the number is missing in the list of transforms follows from it."""
    raw = parity(training__transforms=[{"name": "clip"}], sweep={"training.transforms.0.norm": []})
    assert problems(raw) == [
        "`sweep.training.transforms.0.norm`: expected a list of at least one value, got an empty list. "
        "List what to sweep over."
    ]


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
    """0.5 of 49 cells is 24; sizes have their fractions beside them."""
    training = {"batch_size": 4, "max_steps": 2, "seeds": 1, "ideal": False}
    by_share = runs_of(parity(**ADD, training={**training, "train_fraction": [0.5, 0.2]}))
    assert [(one.train_size, one.train_fraction) for one in by_share] == [(24, 0.5), (10, 0.2)]
    by_size = runs_of(parity(**ADD, training={**training, "train_size": [24, 10]}))
    assert [one.train_fraction for one in by_size] == [24 / 49, 10 / 49]
    assert [one.run_id for one in by_size] == [one.run_id for one in by_share]
    assert runs_of(parity())[0].train_fraction is None


@pytest.mark.parametrize(
    ("changes", "pairs"),
    [
        ({}, 1),
        ({"training.seeds": [3, 5, 8]}, 3),
        ({"training.train_size": [40, 80], "sweep": {"optimizer.lr": [0.1, 0.2, 0.3]}}, 6),
        ({"sweep": {"training.seeds": [[0], [1, 2, 3]], "optimizer.lr": [0.1, 0.2]}}, 8),
    ],
)
def test_pairs_are_counted_without_making_runs(changes, pairs):
    """As many as the study has real runs: points times pools times seeds."""
    raw = parity()
    for dotted, value in changes.items():
        raw = with_value(raw, dotted, value)
    assert number_of_pairs(raw) == pairs
    assert sum(run.world["rule"] == "real" for run in runs_of(raw)) == pairs


def test_the_run_of_a_seed_does_not_depend_on_the_seeds_beside_it():
    """Runs that share their configuration are those that each seed has alone, in every field."""
    raw = {"training__train_size": [24, 48], "stop": {"metric": "test_loss", "at_most": 0.75}}
    together = {run.run_id: run for run in runs_of(parity(training__seeds=[4, 7], **raw))}
    alone = [run for seed in (4, 7) for run in runs_of(parity(training__seeds=[seed], **raw))]
    assert [together[run.run_id] for run in alone] == alone
    assert len(together) == len(alone) == 8


def test_points_with_other_seeds_share_no_run_twice():
    """Ideal partners that two pools and two lists of seeds have in common are trained once."""
    seeds = {"training.seeds": [[0, 1], [2, 3]], "training.train_size": [24, 48]}
    runs = runs_of(parity(sweep=seeds))
    assert [(run.rule, run.seed) for run in runs if run.rule == "ideal"] == [("ideal", seed) for seed in range(4)]
    assert {run.ideal_run_id for run in runs if run.rule == "real"} == {
        run.run_id for run in runs if run.rule == "ideal"
    }

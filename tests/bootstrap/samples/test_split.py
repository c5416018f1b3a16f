"""How a finite universe is divided: what is held out, kept together, mirrored."""

import pytest
import torch

from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.samples.split import divide, mirrored_share, split_of
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.schema import Data
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.worlds import ideal
from tests.bootstrap.conftest import parity

ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 7}


@pytest.fixture(scope="module")
def addition(names):
    return build_task(ADDITION)


def test_heldout_cells_are_seen_by_neither_world(addition):
    """A fifth of the cells is test; the other cells are all that any index can reach."""
    data = Data()
    division = divide(addition, data, (0, 0), None)
    assert len(division.test) == round(0.2 * 49)
    assert len(division.train) == capacity(addition, data) == 39
    assert set(division.train.tolist()) | set(division.test.tolist()) == set(range(49))
    assert not set(division.train.tolist()) & set(division.test.tolist())


def test_an_ideal_run_never_draws_a_held_out_cell(addition):
    """Over several passes of the universe the ideal world's inputs avoid all test inputs and reach all others."""
    runs = runs_of(parity(task=ADDITION))
    source = SampleSource(addition, runs[1:])
    from deepboot.bootstrap.study.run_worlds import world_of

    world = world_of(runs[1:], addition)
    assert world.rule is ideal
    x = source.train(slice(0, 1), *world.indices_and_range(0, 40)).x.flatten(0, 2)
    drawn, tested = ({tuple(row) for row in part.tolist()} for part in (x, source.test().x[0]))
    assert not drawn & tested
    assert len(drawn) == 39


def test_rest_tests_on_everything_outside_the_largest_pool(addition):
    """Pools are the first cells of one order, the test set is what the largest one leaves."""
    division = divide(addition, Data(test_set="rest"), (0, 0), 30)
    assert division.train[30:].tolist() == division.test.tolist()
    assert capacity(addition, Data(test_set="rest")) == 49


def test_rest_is_the_same_for_all_pools_of_a_study(addition):
    """A list of pools shares one test set, that of the largest pool."""
    runs = runs_of(parity(task=ADDITION, training__train_size=[10, 30], data={"test_set": "rest"}))
    tests = {tuple(split_of(addition, run).test.tolist()) for run in runs}
    assert len(tests) == 1
    assert len(next(iter(tests))) == 19


def test_population_tests_on_all_cells_in_both_worlds(addition):
    """Every cell is a test cell and every cell can be trained on."""
    division = divide(addition, Data(test_set="population"), (0, 0), None)
    assert sorted(division.test.tolist()) == sorted(division.train.tolist()) == list(range(49))


@pytest.mark.parametrize("test_set", ["heldout", "rest"])
@pytest.mark.parametrize("seed", range(6))
def test_orbits_keep_mirror_images_on_one_side(addition, test_set, seed):
    """With split = orbits no test cell has its mirror image among the training cells of the pool."""
    data = Data(test_set=test_set, split="orbits")
    division = divide(addition, data, (seed, seed), 25)
    pool = division.train[: 25 if test_set == "rest" else None]
    assert mirrored_share(addition, division, len(pool)) == 0
    if test_set == "heldout":
        assert len(division.train) == capacity(addition, data)


def test_mirrored_share_is_the_leak_of_a_symmetric_operation(addition):
    """With cells divided one by one it is the share of test cells off the diagonal whose mirror is in the pool."""
    division = divide(addition, Data(), (1, 1), None)
    pool = set(division.train.tolist()[:30])
    leaks = [cell for cell in division.test.tolist() if cell // 7 != cell % 7 and (cell % 7) * 7 + cell // 7 in pool]
    assert mirrored_share(addition, division, 30) == pytest.approx(len(leaks) / len(division.test))
    assert len(leaks) > 0


def test_division_depends_on_its_own_streams(addition):
    """The data seed moves the pool but not the held-out cells; the test seed moves these."""
    base, data, test = (divide(addition, Data(), seeds, None) for seeds in ((0, 0), (1, 0), (0, 1)))
    assert sorted(base.test.tolist()) == sorted(data.test.tolist()) != sorted(test.test.tolist())
    assert base.train.tolist() != data.train.tolist()


def test_endless_test_samples_are_the_members_own_and_shared_by_a_pair():
    """Seeds have different test sets, the two worlds of one seed the same."""
    runs = runs_of(parity(training__seeds=2))
    source = SampleSource(build_task(runs[0].task), runs)
    x = source.test().x
    by_seed = {run.seed: x[place] for place, run in enumerate(runs) if run.rule == "real"}
    for place, run in enumerate(runs):
        assert torch.equal(x[place], by_seed[run.seed])
    assert not torch.equal(by_seed[0], by_seed[1])

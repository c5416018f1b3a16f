"""What a folder does not hold yet, without making every run."""

from dataclasses import replace
from itertools import chain

import pytest

from deepboot.bootstrap.study.sweep import cells_of
from deepboot.runners.run.left import families_left, left_of
from deepboot.runners.run.packing import families_of, plan_packs
from tests.bootstrap.conftest import parity


def test_what_is_left_agrees_with_the_packs_of_the_runs():
    """Steps and runs of cells are those of the packs, where some runs are done and one is half done."""
    cells = cells_of(parity(training__train_size=[24, 48], training__seeds=3))
    done, half, *_ = chain.from_iterable(cells)
    start = {done.run_id: done.max_steps, half.run_id: 2}
    left, packs = left_of(cells, start), plan_packs(cells, start)
    assert sum(one.steps for one in left) == sum(pack.steps for pack in packs) == 7 * 6 + 4
    assert sum(len(one.seeds) for one in left) == sum(len(pack.runs) for pack in packs) == 8
    assert left[0].seeds == [1, 2]


def test_the_families_of_cells_are_those_of_their_runs():
    """At every seed both pools beside the ideal run that they share; nothing of what is done."""
    cells = cells_of(parity(training__train_size=[24, 48], training__seeds=3))
    (family,) = families_left(left_of(cells, {}))
    by_runs = families_of(chain.from_iterable(cells))
    at_seeds = [[run.run_id for run in members] for members in zip(*(one.cell for one in family), strict=True)]
    assert at_seeds == [[run.run_id for run in members] for members in by_runs]
    everything = {run.run_id: run.max_steps for run in chain.from_iterable(cells)}
    assert families_left(left_of(cells, everything)) == []


PHASES = [{"at_step": 4, "set": {"training.train_size": 24}}]


@pytest.mark.parametrize("phases", [{"phases": PHASES}, {"sweep": {"phases": [PHASES, []]}}])
def test_runs_with_phases_have_a_family_for_each_seed(phases):
    """Their seeds are cells of their own, so families are not thrown together over seeds; each can be packed."""
    cells = cells_of(parity(training__train_size=48, training__seeds=3, **phases))
    families = families_left(left_of(cells, {}))
    of_one = [family for family in families if any(one.cell.run.phases for one in family)]
    assert len(of_one) == 3
    assert all({seed for one in family for seed in one.seeds} == set(family[0].seeds) for family in families)
    packs = [plan_packs([replace(one.cell, seeds=family[0].seeds[:1]) for one in family], {}) for family in families]
    assert all(len(pack) == 1 for pack in packs)

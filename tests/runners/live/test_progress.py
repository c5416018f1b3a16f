"""The pace of long work, and where it is shown."""

import sys

import pytest

from deepboot.runners.live.pace import STEPS, Pace, sentence
from deepboot.runners.live.progress import shows_bars


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr("deepboot.runners.live.pace.time.monotonic", lambda: now[0])
    return now


def test_restored_steps_are_done_but_not_in_the_rate(clock):
    """90,000 of 100,000 steps come from a checkpoint; the other 1,000 took 10 s."""
    pace = Pace(100_000, restored=90_000)
    pace.add(90_000)
    assert (pace.done, pace.rate()) == (90_000, None)
    clock[0] += 10
    pace.add(1_000)
    assert (pace.done, pace.rate()) == (91_000, 100)


def test_a_rate_is_told_once_it_says_something(clock):
    """Few steps after a long start are no rate; ten seconds later the start does not count."""
    pace = Pace(1_000_000)
    assert pace.rate() is None
    clock[0] += 60
    pace.add(100)
    assert pace.rate() is None
    clock[0] += 10
    pace.add(10_000)
    assert pace.rate() == 1_000


def test_steps_that_are_taken_back_give_no_negative_rate(clock):
    """A pack that did not fit into memory starts over."""
    pace = Pace(1_000)
    pace.add(500)
    clock[0] += 10
    pace.add(-500)
    assert (pace.done, pace.rate()) == (0, 0)


def test_the_time_left_is_told_from_a_known_rate_and_as_a_bound_under_a_stop_rule():
    """Without a rate none is made up; a study with a stop rule may end at any evaluation."""
    assert sentence(0, 5_000, None, STEPS) == "0 of 5,000 steps, estimating the time left"
    assert sentence(2_000, 5_000, 200.0, STEPS, at_most=True) == (
        "2,000 of 5,000 steps, 200 a second, at most 15 s left"
    )
    assert sentence(91_000, 100_000, 100.0, STEPS) == "91,000 of 100,000 steps, 100 a second, 1.5 min left"


def test_a_notebook_has_a_bar_though_it_is_no_terminal(monkeypatch):
    """What Jupyter's kernel takes for standard error is no terminal, and yet writes over a line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not shows_bars()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert shows_bars()

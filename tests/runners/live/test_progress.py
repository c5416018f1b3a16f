"""What is told of long work while it is done."""

import sys

import pytest

from deepboot.runners.run.progress import Progress, shows_bars


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr("deepboot.runners.run.progress.time.monotonic", lambda: now[0])
    return now


def test_restored_steps_are_done_but_not_in_the_rate(clock):
    """90,000 of 100,000 steps come from a checkpoint; the other 1,000 took 10 s, so that 90 s, or 1.5 min, are left."""
    progress = Progress(100_000, restored=90_000)
    progress(90_000)
    assert progress.line() == "90,000 of 100,000 steps, estimating the time left"
    clock[0] += 10
    progress(1_000)
    assert progress.line() == "91,000 of 100,000 steps, 100 a second, 1.5 min left"


def test_a_rate_is_told_once_it_says_something(clock):
    """Few steps after a long start are no rate; ten seconds later the start does not count."""
    progress = Progress(1_000_000)
    assert progress.line() == "0 of 1,000,000 steps, estimating the time left"
    clock[0] += 60
    progress(100)
    assert progress.line() == "100 of 1,000,000 steps, estimating the time left"
    clock[0] += 10
    progress(10_000)
    assert progress.line() == "10,100 of 1,000,000 steps, 1,000 a second, 16.5 min left"


def test_the_time_left_of_a_study_with_a_stop_rule_is_a_bound(clock):
    """It may end at any evaluation."""
    progress = Progress(5_000, at_most=True)
    clock[0] += 10
    progress(2_000)
    assert progress.line() == "2,000 of 5,000 steps, 200 a second, at most 15 s left"


def test_a_notebook_has_a_bar_though_it_is_no_terminal(monkeypatch):
    """What Jupyter's kernel takes for standard error is no terminal, and yet writes over a line."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not shows_bars()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert shows_bars()

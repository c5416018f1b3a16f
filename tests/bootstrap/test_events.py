import numpy as np
import pandas as pd
import pytest

from deepboot.bootstrap.events import (
    Interval,
    crossing,
    lasting,
    run_events,
    stopping,
)

NAN = float("nan")


def curve(test_error, *, train_error=None, online_error=None, test_loss=None, step=None):
    """Evaluations of one run at steps 0, 10, 20, …; what is not given is null."""
    n = len(test_error)
    nothing = [NAN] * n
    return pd.DataFrame(
        {
            "step": pd.array(step or range(0, 10 * n, 10), dtype="Int64"),
            "train_loss": nothing if train_error is None else train_error,
            "train_error": nothing if train_error is None else train_error,
            "train_soft_error": nothing if train_error is None else train_error,
            "test_loss": test_error if test_loss is None else test_loss,
            "test_error": test_error,
            "online_loss": nothing,
            "online_error": nothing if online_error is None else online_error,
        },
    ).astype({"test_error": float, "test_loss": float})


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ([0, 0, 1, 1, 1, 0, 1], (10, 20)),  # a relapse afterwards changes nothing
        ([0, 1, 0, 1, 1, 1, 1], (20, 30)),  # a first blip is too short
        ([0, 0, 0, 0, 0, 1, 1], (60, None)),  # cut by the budget
        ([0, 0, 0, 0, 0, 0, 0], (60, None)),  # never
        ([1, 1, 1, 0, 0, 0, 0], (None, 0)),  # at the first evaluation
        ([0, 1, 1, NAN, 1, 1, 1], (30, 40)),  # NaN breaks a streak
        ([1], (0, None)),  # one row cannot hold a streak of three
        ([], (None, None)),
    ],
)
def test_crossing_begins_the_first_whole_streak(reached, expected):
    """The interval starts at the last evaluation below and ends where three in a row begin."""
    assert crossing(np.arange(len(reached)) * 10, reached, 3) == expected


def test_crossing_with_a_streak_of_one_takes_one_row():
    """A streak of one is reached by the only evaluation."""
    assert crossing([5], [True], 1) == Interval(None, 5)


def test_crossing_agrees_with_a_slow_search():
    """Random curves give what a plain search over streaks gives."""
    random = np.random.default_rng(0)
    for _ in range(300):
        reached = random.random(random.integers(1, 12)) < 0.6
        steps = np.cumsum(random.integers(1, 9, reached.size))
        starts = [i for i in range(reached.size - 1) if reached[i] and reached[i + 1]]
        expected = (steps[-1], None) if not starts else (steps[starts[0] - 1] if starts[0] else None, steps[starts[0]])
        assert crossing(steps, reached, 2) == expected


def stable(rows):
    """The interval of the stable event."""
    events = run_events(rows, world="real")
    return events["stable_low"], events["stable_high"]


def test_lasting_agrees_with_a_slow_search():
    """Random curves give the start of what they end with."""
    random = np.random.default_rng(0)
    for _ in range(300):
        reached = random.random(random.integers(1, 12)) < 0.7
        steps = np.cumsum(random.integers(1, 9, reached.size))
        starts = [i for i in range(reached.size - 1) if reached[i:].all()]
        expected = (steps[-1], None) if not starts else (steps[starts[0] - 1] if starts[0] else None, steps[starts[0]])
        assert lasting(steps, reached, 2) == expected


def test_stopping_needs_no_streak():
    """One evaluation at most at the threshold is enough, NaN never is."""
    assert stopping([0, 10, 20, 30], [0.9, NAN, 0.01, 0.5], 0.01) == (10, 20)
    assert stopping([0, 10], [0.9, 0.02], 0.01) == (10, None)


def test_a_threshold_is_reached_in_spite_of_rounding():
    """Seven wrong of a hundred is an accuracy of 0.93, in float32 too."""
    errors = [0.5, float(np.float32(0.07)), 0.07, 1 - 0.93]
    assert run_events(curve(errors), world="real", threshold=0.93)["grokking_high"] == 10


def test_run_events_of_a_grokking_run():
    """All event columns, from train and test curves."""
    rows = curve([1, 1, 1, 0.5, 0, 0, 0], train_error=[1, 0.3, 0.005, 0, 0, 0, 0])
    assert run_events(rows, world="real") == {
        "stopping_low": 10,
        "stopping_high": 20,
        "memorization_low": 10,
        "memorization_high": 20,
        "grokking_low": 30,
        "grokking_high": 40,
        "stable_low": 30,
        "stable_high": 40,
    }


def test_grokking_is_stable_from_after_the_last_fall():
    """The first streak groks; where the test accuracy falls again, its last rise counts, if that lasts for a streak."""
    errors = [1, 0, 0, 0, 0.5, 0, 0, 0.2, 0, 0, 0]
    assert stable(curve(errors)) == (70, 80)
    assert run_events(curve(errors), world="real")["grokking_high"] == 10
    assert stable(curve(errors[:-1])) == (90, None)
    assert stable(curve([0, 0, 0])) == (None, 0)
    assert stable(curve([0, 0])) == (10, None)


def test_nothing_of_a_diverged_run_is_stable():
    """However long it stayed above the threshold before."""
    assert stable(curve([1, 0, 0, 0, 1], test_loss=[1, 0, 0, 0, np.inf])) == (30, None)


def test_run_events_of_an_ideal_run():
    """Without a pool there is no stopping step, and memorisation is read off the online error."""
    rows = curve([1, 1, 0, 0, 0], online_error=[NAN, 0.2, 0, 0, 0])
    events = run_events(rows, world="ideal")
    assert (events["stopping_low"], events["stopping_high"]) == (None, None)
    assert (events["memorization_low"], events["memorization_high"]) == (10, 20)
    assert (events["grokking_low"], events["grokking_high"]) == (10, 20)


def test_stopping_metric_and_threshold_are_settings():
    """An MSE study stops on its train error."""
    rows = curve([1, 1, 1], train_error=[1, 0.2, 0.1]).assign(train_soft_error=0.9)
    events = run_events(rows, world="real", stopping_metric="train_error", stopping_threshold=0.2)
    assert (events["stopping_low"], events["stopping_high"]) == (0, 10)


def test_diverged_run_is_censored_at_its_last_finite_loss():
    """Rows without a finite loss hold no event, whatever their errors say."""
    rows = curve([1, 0.5, 0, 0, 0], train_error=[1, 0, 0, 0, 0], test_loss=[1, 1, NAN, NAN, NAN])
    events = run_events(rows, world="real")
    assert (events["grokking_low"], events["grokking_high"]) == (10, None)
    assert (events["memorization_low"], events["memorization_high"]) == (10, None)
    assert (events["stopping_low"], events["stopping_high"]) == (0, 10)


def test_event_reached_before_divergence_stays_reached():
    """A run that grokked and then diverged has grokked."""
    rows = curve([1, 0, 0, 0, 1], test_loss=[1, 0, 0, 0, np.inf])
    assert run_events(rows, world="real")["grokking_high"] == 10


def test_nan_in_the_middle_of_a_curve_breaks_the_streak():
    """A null error with finite losses is an evaluation that did not reach."""
    rows = curve([1, 0, 0, NAN, 0, 0, 0], test_loss=[1] * 7)
    assert run_events(rows, world="real")["grokking_low"] == 30


def test_empty_and_wholly_diverged_runs_measured_nothing():
    """No finite evaluation, no interval."""
    for rows in (curve([]), curve([NAN, NAN], test_loss=[NAN, np.inf])):
        assert set(run_events(rows, world="real").values()) == {None}


def test_one_row_is_censored():
    """A run evaluated once has not shown a streak."""
    assert run_events(curve([1.0]), world="real")["grokking_low"] == 0

"""Relapses and widths of many runs at once, against one run at a time."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepboot.bootstrap.events import crossing
from deepboot.reports.measures.after_grokking import after_grokking, after_grokking_by_run

NAN = np.nan


def one(errors, losses=None, **rule):
    """Relapses and width of one run, evaluated every ten steps."""
    steps = 10.0 * np.arange(len(errors))
    curves = {"step": steps[None], "test_error": np.array(errors, dtype=float)[None]}
    if losses is not None:
        curves["test_loss"] = np.array(losses, dtype=float)[None]
    after = after_grokking(curves, **rule)
    return int(after.relapses[0]), float(after.width[0])


def one_by_one(errors, losses, threshold, streak):
    """The same, evaluation by evaluation."""
    finite = [place for place, loss in enumerate(losses) if np.isfinite(loss)]
    if not np.isnan(losses).all():
        errors = errors[: finite[-1] + 1 if finite else 0]
    steps = [10.0 * place for place in range(len(errors))]
    grokked = crossing(steps, [error <= 1 - threshold + 1e-7 for error in errors], streak).high
    if grokked is None:
        return 0, NAN
    known = [(step, 1 - error) for step, error in zip(steps, errors, strict=True) if not np.isnan(error)]
    above = [accuracy >= threshold - 1e-7 for step, accuracy in known if step >= grokked]
    relapses = sum(before and not now for before, now in itertools.pairwise(above))
    rising = [point for point in known if point[0] <= grokked]
    base, rise = rising[0][1], rising[-1][1] - rising[0][1]
    if rise <= 0:
        return relapses, NAN
    shares = [(accuracy - base) / rise for _, accuracy in rising]
    leaves = max(place for place, share in enumerate(shares) if share < 0.1)
    arrives = min(place for place, share in enumerate(shares) if place > leaves and share >= 0.9)

    def at(level, place):
        (low, high), (start, end) = shares[place : place + 2], (rising[place][0], rising[place + 1][0])
        return start + (level - low) / (high - low) * (end - start)

    return relapses, at(0.9, arrives - 1) - at(0.1, leaves)


ERRORS = st.lists(st.sampled_from([0.0, 0.005, 0.2, 0.5, 0.95, 1.0, NAN]), min_size=1, max_size=12)
RUN = ERRORS.flatmap(
    lambda errors: st.tuples(
        st.just(errors), st.lists(st.sampled_from([1.0, NAN, np.inf]), min_size=len(errors), max_size=len(errors))
    )
)


@given(st.lists(RUN, min_size=1, max_size=5), st.sampled_from([0.5, 0.99]), st.integers(1, 4))
def test_many_runs_of_any_length_are_as_one_by_one(runs, threshold, streak):
    """Runs side by side have the relapses and the width that each has alone."""
    rows = pd.concat([
        pd.DataFrame({"run_id": str(number), "step": range(len(errors)), "test_error": errors, "test_loss": losses})
        for number, (errors, losses) in enumerate(runs)
    ]).assign(step=lambda table: 10 * table["step"])  # fmt: skip
    rules = pd.DataFrame(
        {"run_id": [str(number) for number in range(len(runs))], "threshold": threshold, "streak": streak}
    )
    table = after_grokking_by_run(rows, rules)
    expected = [one_by_one(errors, losses, threshold, streak) for errors, losses in runs]
    assert table["relapses"].tolist() == [relapses for relapses, _ in expected]
    assert table["transition_width"].to_numpy() == pytest.approx(
        np.array([width for _, width in expected]), nan_ok=True
    )


def test_relapses_count_every_fall_once():
    """Two falls below the threshold after grokking, the first two evaluations long."""
    assert one([1, 0, 0, 0, 0.5, 0.5, NAN, 0, 0.2, 0])[0] == 2
    assert one([1, 1, 0, 1])[0] == 0


def test_transition_width_of_a_straight_rise():
    """A linear rise over 100 steps takes 80 of them from 10 % to 90 %."""
    assert one([*np.linspace(1, 0, 11), 0, 0])[1] == pytest.approx(80)


def test_transition_width_skips_an_early_hump():
    """The 10 % level is left after the last evaluation below it."""
    assert one([1, 0.5, 1, 1, 0, 0, 0])[1] == pytest.approx(8)


def test_transition_width_needs_a_rise_to_the_threshold():
    """Never grokked and grokked from the start have no width."""
    assert np.isnan(one([1, 0.5, 0.4, 0.4])[1])
    assert np.isnan(one([0, 0, 0])[1])


def test_nothing_counts_after_the_last_finite_loss():
    """A run that diverged after grokking has not relapsed; without an evaluation there is neither."""
    assert one([1, 0, 0, 0, 1], losses=[1, 0, 0, 0, np.inf])[0] == 0
    assert one([1, 0, 0, 0, 1], losses=[1, 0, 0, 0, 9])[0] == 1
    assert one([]) == (0, pytest.approx(NAN, nan_ok=True))


def test_a_width_on_another_axis_is_found_in_updates():
    """Of a run whose samples grow from step to step, the width is that in updates, at the run's mean pace."""
    rows = pd.DataFrame(
        {"run_id": "a", "update": [0, 10, 20, 30], "step": [0, 100, 500, 900.0], "test_error": [1, 0, 0, 0]}
    )
    table = after_grokking_by_run(rows, pd.DataFrame({"run_id": ["a", "b"], "threshold": 0.99, "streak": 3}))
    assert table["transition_width"].tolist() == [pytest.approx(8 * 900 / 30), pytest.approx(NAN, nan_ok=True)]

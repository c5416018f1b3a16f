"""What becomes of runs that grok: how often they fall below the threshold again, and how long their rise took.

Many runs at once: a report of a hundred thousand of them asks for each.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepboot.bootstrap.events import LOSSES, ROUNDING, Curves, curves_of

READ = ("step", "update", *LOSSES, "test_error")  # columns of evaluations
AT_ONCE = 2_000  # runs, so that the curves beside those of the table stay few

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class AfterGrokking(NamedTuple):
    """What becomes of runs that grok.

    Attributes:
        relapses: int, (runs,), how often test accuracy falls below the threshold again; 0 for a run that never grokked.
            Each fall counts once. Nulls are neither a fall nor a recovery.
        width: float, (runs,), steps that test accuracy takes from 10 % to 90 % of its rise. The rise goes from the
            accuracy at the first evaluation (the base) to the accuracy at the evaluation where the run groks (the
            top). It leaves 10 % after its last evaluation below that level, and arrives at 90 % at the first evaluation
            at or above it after that, both interpolated linearly in steps. NaN where there is no rise: never grokked,
            or at the first evaluation.
    """

    relapses: Ints
    width: Floats


def after_grokking(curves: Curves, threshold: float = 0.99, streak: int = 3) -> AfterGrokking:
    """Relapses and widths of runs, up to the last evaluation of each where every loss is finite.

    Args:
        curves: by column float, (runs, evaluations), NaN where null and beyond the last evaluation of a run: ``step``,
            ``test_error`` and those losses that were measured.
        threshold: accuracy to reach, in (0, 1].
        streak: evaluations in a row at or above it.

    >>> step, error = [[0.0, 10, 20, 30, 40, 50]], [[1.0, 0, 0, 0, 0.5, 0]]
    >>> after_grokking({"step": np.array(step), "test_error": np.array(error)})
    AfterGrokking(relapses=array([1]), width=array([8.]))
    """
    steps, errors = curves["step"], np.where(_until_the_last_finite(curves), curves["test_error"], np.nan)
    reached = errors <= 1 - threshold + ROUNDING
    at = _first_streak(reached, streak)
    known = ~np.isnan(errors) & (at >= 0)[:, None]
    places = np.arange(errors.shape[1])
    falls = _falls(known & (places >= at[:, None]), reached)
    return AfterGrokking(falls, _widths(steps, 1 - errors, known & (places <= at[:, None]), at))


def after_grokking_by_run(evaluations: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """``run_id, relapses, transition_width`` of every run, the width in the unit of its steps.

    Args:
        evaluations: each run's in the order of its steps; where these are of another axis, with the optimiser updates
            under ``update``: the width is found in those.
        runs: ``run_id, threshold, streak``.
    """
    values = curves_of(evaluations[[name for name in READ if name in evaluations]])
    rows_of: dict[Any, Any] = evaluations.groupby("run_id", sort=False).indices
    rules: dict[Any, Any] = runs.groupby(["threshold", "streak"]).indices
    found = {"relapses": np.zeros(len(runs), dtype=np.int64), "transition_width": np.full(len(runs), np.nan)}
    for (threshold, streak), members in rules.items():
        for some in np.array_split(members, range(AT_ONCE, len(members), AT_ONCE)):
            curves = _side_by_side(values, [rows_of.get(run_id, ()) for run_id in runs["run_id"].iloc[some]])
            updates = {**curves, "step": curves["update"]} if "update" in curves else curves
            after = after_grokking(updates, float(threshold), int(streak))
            found["relapses"][some] = after.relapses
            found["transition_width"][some] = after.width * _paces(curves)
    return pd.DataFrame({"run_id": runs["run_id"], **found})


def _side_by_side(values: Curves, rows: list[Ints]) -> Curves:
    """The curves of runs, (runs, evaluations), of their rows in a table's columns; NaN beyond the last of each."""
    lengths = np.array([len(one) for one in rows], dtype=np.int64)
    there = np.arange(lengths.max(initial=0)) < lengths[:, None]
    taken = np.concatenate([*rows, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    curves = {name: np.full(there.shape, np.nan) for name in values}
    for name, curve in curves.items():
        curve[there] = values[name][taken]
    return curves


def _paces(curves: Curves) -> Floats:
    """The length of one optimiser update of each run on the axis of its steps."""
    if "update" not in curves or not curves["step"].size:
        return np.ones(len(curves["step"]))
    step, update = (np.nan_to_num(curves[name]).max(axis=1) for name in ("step", "update"))
    return np.divide(step, update, out=np.ones(len(step)), where=update > 0)


def _until_the_last_finite(curves: Curves) -> Bools:
    """Evaluations up to the last one where every loss that is measured is finite.

    A loss that is null at every step is not measured; the online loss of step 0 does not exist.
    """
    finite = ~np.isnan(curves["step"])
    for name in LOSSES:
        if name in curves:
            null = np.isnan(curves[name])
            unmeasured = null if name == "online_loss" else np.all(null, axis=1, keepdims=True)
            finite &= np.isfinite(curves[name]) | unmeasured
    places = np.where(finite, np.arange(finite.shape[1]), -1)
    return np.asarray(np.arange(finite.shape[1]) <= places.max(axis=1, initial=-1, keepdims=True))


def _first_streak(reached: Bools, streak: int) -> Ints:
    """The place of the first evaluation of the first streak of each run; −1 where it has none."""
    if reached.shape[1] < streak:
        return np.full(len(reached), -1)
    streaks = np.asarray(np.lib.stride_tricks.sliding_window_view(reached, streak, axis=1).all(axis=-1))
    return np.where(streaks.any(axis=1), streaks.argmax(axis=1), -1)


def _falls(later: Bools, reached: Bools) -> Ints:
    """How often each run falls: an evaluation below whose predecessor was not, nulls between them passed over."""
    places = np.where(later, np.arange(later.shape[1]), -1)
    before = np.maximum.accumulate(np.pad(places, ((0, 0), (1, 0)), constant_values=-1), axis=1)[:, :-1]
    above_before = np.take_along_axis(reached, np.maximum(before, 0), axis=1) & (before >= 0)
    return np.asarray((later & ~reached & above_before).sum(axis=1))


def _widths(steps: Floats, accuracy: Floats, until: Bools, top: Ints) -> Floats:
    """Steps from 10 % to 90 % of each run's rise, among the evaluations until it groks."""
    widths = np.full(len(steps), np.nan)
    runs = np.arange(len(steps))
    if not until.any():
        return widths
    base = accuracy[runs, until.argmax(axis=1)]
    rise = accuracy[runs, np.maximum(top, 0)] - base
    rising = until.any(axis=1) & (rise > 0)
    runs, steps, until = runs[rising], steps[rising], until[rising]
    share = (accuracy[rising] - base[rising, None]) / rise[rising, None]
    places = np.arange(steps.shape[1])
    leaves = _last(until & (share < 0.1))
    arrives = (until & (share >= 0.9) & (places > leaves[:, None])).argmax(axis=1)
    after = (until & (places > leaves[:, None])).argmax(axis=1)
    before = _last(until & (places < arrives[:, None]))
    start, end = (
        _between(level, *(np.take_along_axis(side, at[:, None], axis=1)[:, 0]
                          for at in ends for side in (share, steps)))
        for level, ends in ((0.1, (leaves, after)), (0.9, (before, arrives)))
    )  # fmt: skip
    widths[runs] = end - start
    return widths


def _between(level: float, low: Floats, start: Floats, high: Floats, end: Floats) -> Floats:
    """The step at which a straight line from one share and step to another reaches a level."""
    return start + (level - low) / (high - low) * (end - start)


def _last(places: Bools) -> Ints:
    """The last true place of each row, which has one."""
    return np.asarray(places.shape[1] - 1 - places[:, ::-1].argmax(axis=1))

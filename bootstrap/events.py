"""When a run memorises, groks, relapses and stops: crossings on its grid of evaluations.

An event lies between two evaluations, or beyond the budget. Everything here works on one run, with
its evaluations sorted by step, and never on an imputed value.
"""

import inspect
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ROUNDING = 1e-7  # errors are means of float32 zeros and ones: 7 wrong of 100 reach an accuracy of 0.93
LOSSES = ("train_loss", "test_loss", "online_loss")
ERRORS = ("train_error", "test_error", "online_error")
EVENT_CURVES = (*LOSSES, *ERRORS)  # that events are found in, beside a stopping metric

Curves = Mapping[str, NDArray[np.float64]]  # what a run measured: by column float, (evaluations,), NaN where null


class Interval(NamedTuple):
    """Steps between which an event happened: after ``low``, at the latest at ``high``.

    ``high`` None: censored, not reached by evaluation ``low``, the last one. ``low`` None: reached
    at ``high``, the first evaluation, or before it. Both None: not measured.
    """

    low: int | None
    high: int | None


def crossing(steps: ArrayLike, reached: ArrayLike, streak: int) -> Interval:
    """Interval (last evaluation below, first at or above] that begins the first streak of ``streak`` evaluations.

    Args:
        steps: int, (evaluations,), increasing.
        reached: bool, (evaluations,). False or NaN: not reached.
        streak: evaluations in a row that have to reach it, at least 1. A streak cut by the budget is censored.

    >>> crossing([0, 10, 20, 30, 40], [False, True, False, True, True], streak=2)
    Interval(low=20, high=30)
    >>> crossing([0, 10, 20, 30, 40], [False, True, False, True, True], streak=3)
    Interval(low=40, high=None)
    """
    steps = np.asarray(steps, dtype=np.int64)
    reaches = np.asarray(reached, dtype=float) == 1
    if steps.size == 0:
        return Interval(None, None)
    first = reaches.tobytes().find(b"\1" * streak)  # a byte for each evaluation
    if first < 0:
        return Interval(int(steps[-1]), None)
    return Interval(int(steps[first - 1]) if first else None, int(steps[first]))


def lasting(steps: ArrayLike, reached: ArrayLike, streak: int) -> Interval:
    """Interval (last evaluation below, first at or above] from which on every evaluation reaches it, to the last one.

    Args:
        steps: int, (evaluations,), increasing.
        reached: bool, (evaluations,). False or NaN: not reached.
        streak: evaluations that this takes, at least 1; fewer at the end are censored.

    >>> lasting([0, 10, 20, 30, 40], [False, True, False, True, True], streak=2)
    Interval(low=20, high=30)
    >>> lasting([0, 10, 20, 30, 40], [False, True, True, True, False], streak=2)
    Interval(low=40, high=None)
    """
    steps = np.asarray(steps, dtype=np.int64)
    below = (np.asarray(reached, dtype=float) != 1).nonzero()[0]
    first = int(below[-1]) + 1 if len(below) else 0  # of those that last
    if steps.size - first < max(streak, 1):
        return Interval(int(steps[-1]), None) if steps.size else Interval(None, None)
    return Interval(int(steps[first - 1]) if first else None, int(steps[first]))


def stopping(steps: ArrayLike, values: ArrayLike, threshold: float) -> Interval:
    """Interval that ends at the first evaluation with a value of at most ``threshold``; one such evaluation is enough.

    Args:
        steps: int, (evaluations,), increasing.
        values: float, (evaluations,): the real world's train soft error, or another metric.
        threshold: in the unit of the metric.
    Source: Nakkiran et al. 2021, arXiv 2010.08127 (train soft error at most 0.01).

    >>> stopping([0, 10, 20], [0.5, 0.2, 0.01], 0.01)
    Interval(low=10, high=20)
    """
    return crossing(steps, np.asarray(values, dtype=float) <= threshold + ROUNDING, streak=1)


def run_events(
    rows: pd.DataFrame | Curves,
    *,
    world: str,
    threshold: float = 0.99,
    streak: int = 3,
    stopping_metric: str = "train_soft_error",
    stopping_threshold: float = 0.01,
) -> dict[str, int | None]:
    """The event columns of ``runs``, for one run.

    Evaluations after the last one with finite losses do not count: a run that diverged is censored
    there, and nothing of it is stable. What was not measured is None at both ends (the stopping step of an ideal
    world).

    Args:
        rows: the run's evaluations, sorted by step, as a table or by `curves_of` it.
        world: the run's world. The ideal one has no pool, so neither a stopping step nor a train error: it
            memorises by its online error, as does any run without train errors.
        threshold: accuracy to reach, in (0, 1].
        streak: evaluations in a row at or above it.
        stopping_metric: a column of ``rows``.
        stopping_threshold: at most this value stops.
    """
    steps, curves = _finite_curves(rows, stopping_metric)
    memorizing = "online_error" if world == "ideal" or not _measured(curves, "train_error") else "train_error"
    can_stop = world != "ideal" and _measured(curves, stopping_metric)
    intervals = {
        "stopping": stopping(steps, curves[stopping_metric], stopping_threshold) if can_stop else None,
        "memorization": _reached(steps, curves, memorizing, threshold, streak),
        "grokking": _reached(steps, curves, "test_error", threshold, streak),
        "stable": _lasting(steps, curves, threshold, streak, diverged=len(steps) < len(rows["step"])),
    }
    return {
        f"{event}_{end}": getattr(interval, end, None)
        for event, interval in intervals.items()
        for end in ("low", "high")
    }


# settings of ``evaluation`` by which a run's events are found
CRITERIA = tuple(name for name in inspect.getfullargspec(run_events).kwonlyargs if name != "world")


def curves_of(rows: pd.DataFrame) -> Curves:
    """The columns of numbers of a table of evaluations; taken at once, since each access to a table costs."""
    numbers = rows.select_dtypes("number")
    return dict(zip(numbers.columns, numbers.to_numpy(dtype=np.float64, na_value=np.nan).T, strict=True))


def _finite_curves(rows: pd.DataFrame | Curves, *more: str) -> tuple[NDArray[np.int64], Curves]:
    """Steps, losses and errors, and more columns, up to the last evaluation where every loss is finite."""
    held = [name for name in dict.fromkeys((*EVENT_CURVES, *more)) if name in rows]
    values = curves_of(rows[["step", *held]]) if isinstance(rows, pd.DataFrame) else rows
    length = _finite_length({name: values[name] for name in held}, len(rows["step"]))
    return values["step"][:length].astype(np.int64), {name: values[name][:length] for name in held}


def _finite_length(curves: Curves, evaluations: int) -> int:
    """Evaluations up to the last one where every loss that is measured is finite.

    A loss that is null at every step is not measured; the online loss of step 0 does not exist.
    """
    finite = np.ones(evaluations, dtype=bool)
    for name in LOSSES:
        if _measured(curves, name):
            values = curves[name]
            finite &= np.isfinite(values) | (np.isnan(values) if name == "online_loss" else False)
    return int(finite.nonzero()[0][-1]) + 1 if finite.any() else 0


def _reached(steps: NDArray[np.int64], curves: Curves, column: str, threshold: float, streak: int) -> Interval:
    """Interval in which the accuracy of an error column reaches the threshold for a streak of evaluations."""
    if not _measured(curves, column):
        return Interval(None, None)
    return crossing(steps, curves[column] <= 1 - threshold + ROUNDING, streak)


def _lasting(steps: NDArray[np.int64], curves: Curves, threshold: float, streak: int, *, diverged: bool) -> Interval:
    """Interval from which on test accuracy stays at or above the threshold to the end of the run."""
    if not _measured(curves, "test_error"):
        return Interval(None, None)
    if diverged:
        return Interval(int(steps[-1]), None)
    return lasting(steps, curves["test_error"] <= 1 - threshold + ROUNDING, streak)


def _measured(curves: Curves, column: str) -> bool:
    return column in curves and not np.isnan(curves[column]).all()

"""Time in steps, in samples seen or in seconds: the words for each unit, and tables of runs expressed in it."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from deepboot.reports.text import EVENTS

Axis = Literal["step", "samples", "seconds"]
TIMES = (
    "first_reuse_step",
    "last_step",
    "max_steps",
    *(f"{event}_{end}" for event in EVENTS for end in ("low", "high")),
)
GRID_POINTS = 160  # of the times at which runs are interpolated that were evaluated at different ones


class Unit(NamedTuple):
    """A unit of time in words: the label of an axis, the plural in running text, and a sentence for captions."""

    label: str
    plural: str
    note: str


UNITS: dict[Axis, Unit] = {
    "step": Unit("step (optimiser updates)", "steps", ""),
    "samples": Unit("samples seen", "samples seen", " Time is counted in samples seen."),
    "seconds": Unit(
        "time (seconds)",
        "seconds",
        " Time is in seconds, a run's share of its pack's wall time, taken as proportional to its steps.",
    ),
}


@dataclass(frozen=True)
class StepTimes:
    """Times of a run's steps: linear between known ones, and at an even pace after the last."""

    steps: np.ndarray
    times: np.ndarray
    pace: float

    def at(self, steps: np.ndarray) -> np.ndarray:
        """Times of these steps; NaN stays NaN."""
        beyond = self.times[-1] + (steps - self.steps[-1]) * self.pace
        within = np.interp(steps, self.steps, self.times)
        return np.where(steps <= self.steps[-1], within, beyond)  # a NaN step takes the second branch, and stays NaN


def timed(runs: pd.DataFrame, evaluations: pd.DataFrame, axis: Axis) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with every step expressed in samples seen or in seconds.

    Samples are read from the run's evaluations, so a batch size may change on the way. Seconds are the run's, in
    proportion to its steps; a run without them has no times.

    Returns:
        runs whose `TIMES` are Float64, null where unknown; evaluations whose ``step`` is Float64, those without a
        time left out, with the optimiser updates under ``update``.
    """
    rows_of = evaluations.groupby("run_id", sort=False).indices
    steps, samples = (_numbers(evaluations[name]) for name in ("step", "samples_seen"))
    facts = _numbers(runs[["batch_size", "last_step", "seconds"]])
    events = _numbers(runs[list(TIMES)])
    timed_steps = np.full(len(evaluations), np.nan)
    for place, run_id in enumerate(runs["run_id"]):
        rows = rows_of.get(run_id, [])
        batch, last, seconds = facts[place]
        clock = _step_times(batch, last, seconds, steps[rows], samples[rows], axis)
        events[place] = clock.at(events[place])
        timed_steps[rows] = clock.at(steps[rows])
    times = pd.DataFrame(events, columns=list(TIMES), index=runs.index)
    timed_rows = evaluations.assign(update=evaluations["step"], step=timed_steps)
    timed_rows = timed_rows.dropna(subset="step").astype({"step": "Float64"}).reset_index(drop=True)
    return runs.assign(**{name: times[name].astype("Float64") for name in TIMES}), timed_rows


def on_one_grid(curves: pd.DataFrame) -> pd.DataFrame:
    """Runs interpolated at the same times, so that means over them exist: linearly, each within its own evaluations.

    Args:
        curves: rows of `Comparison.curves`: ``run_id, cell_id, step``, metrics, and columns that a run has once.
    """
    steps = _numbers(curves["step"])
    if not (steps > 0).any():
        return curves
    grid = np.concatenate([[0.0], np.geomspace(steps[steps > 0].min(), steps.max(), GRID_POINTS)])
    numbers = curves.select_dtypes("number").columns
    measured = [name for name in numbers if name not in ("step", "seed", "first_reuse_step")]
    groups = curves.groupby(["cell_id", "run_id"], sort=False)
    return pd.concat([_interpolated(run, grid, measured) for _, run in groups], ignore_index=True)


def _interpolated(run: pd.DataFrame, grid: np.ndarray, measured: list[str]) -> pd.DataFrame:
    """One run at the times of the grid, up to its last evaluation."""
    steps = _numbers(run["step"])
    inside = grid[grid <= steps[-1] * (1 + 1e-9)]
    constant = run.drop(columns=["step", *measured]).iloc[np.zeros(len(inside), dtype=int)]
    values = {name: _interpolated_values(inside, steps, _numbers(run[name])) for name in measured}
    return constant.assign(step=inside, **values)


def _interpolated_values(times: np.ndarray, steps: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values at these times; NaN before the run's first value and after its last."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(times.size, np.nan)
    return np.interp(times, steps[known], values[known], left=np.nan, right=np.nan)


def _step_times(
    batch: float, last: float, seconds: float, steps: np.ndarray, samples: np.ndarray, axis: Axis
) -> StepTimes:
    """Times of one run's steps, from the steps and samples of its evaluations, or from its seconds."""
    if axis == "seconds":
        pace = seconds / last if last > 0 else np.nan
        return StepTimes(np.zeros(1), np.array([0 * pace]), pace)  # 0 * NaN: without seconds step 0 has no time either
    known = np.isfinite(samples) & (steps > 0)
    return StepTimes(np.concatenate([[0.0], steps[known]]), np.concatenate([[0.0], samples[known]]), batch)


def _numbers(values: pd.Series | pd.DataFrame) -> np.ndarray:
    return np.asarray(values.astype("Float64").to_numpy(dtype=float, na_value=np.nan))

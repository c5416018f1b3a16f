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
class Clocks:
    """Times of the steps of many runs: linear between known ones of a run, and at its even pace after its last.

    Attributes:
        owners: int, (points,), the run of each known time, from 0, in order; the first of each run is of step 0.
        steps, times: float, (points,), rising within a run.
        pace: float, (runs,), time a step.
    """

    owners: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    pace: np.ndarray

    def at(self, runs: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Times of steps of these runs; NaN stays NaN.

        Args:
            runs: int, (n,), from 0.
            steps: float, (n,), at least 0, or NaN.
        """
        far = 1 + np.nanmax(np.append(self.steps, steps), initial=0)  # so that the places of two runs lie apart
        places, asked = self.owners * far + self.steps, runs * far + np.nan_to_num(steps)
        before = np.searchsorted(places, asked, side="right") - 1
        after = np.minimum(before + 1, len(places) - 1)
        last = (before == after) | (self.owners[after] != runs)
        with np.errstate(divide="ignore", invalid="ignore"):
            between = (self.times[after] - self.times[before]) / (self.steps[after] - self.steps[before])
        known = self.steps[before] == steps
        beyond = (steps - self.steps[before]) * np.where(last, self.pace[runs], between)
        return np.where(known, self.times[before], self.times[before] + beyond)


def timed(runs: pd.DataFrame, evaluations: pd.DataFrame, axis: Axis) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with every step expressed in samples seen or in seconds.

    Samples are read from the run's evaluations, so a batch size may change on the way. Seconds are the run's, in
    proportion to its steps; a run without them has no times.

    Returns:
        runs whose `TIMES` are Float64, null where unknown; evaluations whose ``step`` is Float64, those without a
        time left out, with the optimiser updates under ``update``.
    """
    owners = pd.Index(runs["run_id"], dtype=object).get_indexer(evaluations["run_id"].to_numpy(dtype=object))
    steps, samples = (_numbers(evaluations[name]) for name in ("step", "samples_seen"))
    clocks = _clocks(_numbers(runs[["batch_size", "last_step", "seconds"]]), owners, steps, samples, axis)
    events = _numbers(runs[list(TIMES)])
    events = clocks.at(np.arange(len(runs)).repeat(len(TIMES)), events.ravel()).reshape(events.shape)
    timed_steps = np.full(len(evaluations), np.nan)
    timed_steps[owners >= 0] = clocks.at(owners[owners >= 0], steps[owners >= 0])
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


def _clocks(facts: np.ndarray, owners: np.ndarray, steps: np.ndarray, samples: np.ndarray, axis: Axis) -> Clocks:
    """Times of steps, from the steps and samples of evaluations, or from the seconds of runs.

    Args:
        facts: float, (runs, 3): batch size, last step and seconds.
        owners: int, (evaluations,), the run of each, −1 for none of these.
        steps, samples: float, (evaluations,).
        axis: samples or seconds.
    """
    batch, last, seconds = facts.T
    first = np.arange(len(facts))
    if axis == "seconds":
        pace = np.divide(seconds, last, where=last > 0, out=np.full(len(facts), np.nan))
        return Clocks(first, np.zeros(len(facts)), 0 * pace, pace)  # NaN: without seconds step 0 has no time either
    known = np.isfinite(samples) & (steps > 0) & (owners >= 0)
    runs, grid, times = (
        np.concatenate([start, values[known]])
        for start, values in ((first, owners), (0.0 * first, steps), (0.0 * first, samples))
    )
    order = np.lexsort((grid, runs))
    return Clocks(runs[order], grid[order], times[order], batch)


def _numbers(values: pd.Series | pd.DataFrame) -> np.ndarray:
    return np.asarray(values.astype("Float64").to_numpy(dtype=float, na_value=np.nan))

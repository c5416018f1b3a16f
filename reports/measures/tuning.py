"""Which setting of an arm is best: settings in which more runs get there, then those in which they get there sooner.

Source: arXiv 2306.07179 (Dahl et al.) and arXiv 1909.03004 (Dodge et al.) on equal budgets for what is compared.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import UNKNOWN, Bounds, median_bounds

FINAL_ERROR = "final_error"
METRIC = "test_error"  # that is final


@dataclass(frozen=True)
class Trial:
    """One setting of an arm, with what its runs reached, one for each tuning seed.

    Attributes:
        setting: values of the tuned parameters, by dotted name.
        low, high: bounds of the step of each run's event, infinite above where it never came; or of its final error,
            infinite where it has none.
    """

    setting: Mapping[str, Any]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def reached(self) -> int:
        """Runs that got there."""
        return int(np.isfinite(self.high).sum())

    @property
    def median(self) -> Bounds:
        """Bounds of the median over runs; those that never got there rank last."""
        return median_bounds(self.low, self.high) or UNKNOWN

    @property
    def rank(self) -> tuple[int, float]:
        """The smaller, the better: by runs that got there, then by the upper end of the median."""
        return -self.reached, self.median.high


@dataclass(frozen=True)
class Choice:
    """The setting that is frozen for an arm.

    Attributes:
        trials: all of its settings, in the order in which they were tried.
        best: index of the one that is frozen.
        ties: indices of the others that are as good.
        edges: parameters of which it has the smallest or the largest value tried, with that word.
    """

    trials: tuple[Trial, ...]
    best: int
    ties: tuple[int, ...]
    edges: tuple[tuple[str, str], ...]

    @property
    def setting(self) -> Mapping[str, Any]:
        """The frozen setting."""
        return self.trials[self.best].setting


def choose(trials: Sequence[Trial]) -> Choice:
    """The best of an arm's settings; of equally good ones the first that was tried.

    The setting in which more runs got there wins. Where as many did, it is the one with the smaller median over all of
    its runs, in which a run that never got there, or diverged, comes after all that did. No run is left out.

    Args:
        trials: at least one; as many runs in each.
    """
    assert len({trial.high.size for trial in trials}) == 1, "every setting has the same seeds"
    ranks = [trial.rank for trial in trials]
    best = min(range(len(ranks)), key=ranks.__getitem__)  # the first of them
    ties = tuple(index for index, rank in enumerate(ranks) if rank == ranks[best] and index != best)
    return Choice(tuple(trials), best, ties, tuple(_edges(trials, best)))


def _edges(trials: Sequence[Trial], best: int) -> list[tuple[str, str]]:
    """Numeric parameters of which one setting has the smallest or the largest value of several."""
    found = []
    for name, value in trials[best].setting.items():
        values = {json.dumps(trial.setting[name]): trial.setting[name] for trial in trials}.values()
        if len(values) < 2 or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            continue
        if value in (min(values), max(values)):
            found.append((name, "smallest" if value == min(values) else "largest"))
    return found


def trial_of(comparison: Comparison, setting: Mapping[str, Any], run_ids: Sequence[str], by: str) -> Trial:
    """What a setting's runs reached.

    Args:
        comparison: on the axis of time that is asked for.
        setting: the values of the tuned parameters.
        run_ids: its runs, all of which have ended.
        by: an event of `event_bounds`, or "final_error".
    """
    runs = comparison.runs.set_index("run_id").loc[list(run_ids)].reset_index()
    if by == FINAL_ERROR:
        error = runs["run_id"].map(comparison.final(METRIC)).to_numpy(dtype=float, na_value=math.nan)
        error = np.where(np.isfinite(error), error, math.inf)
        return Trial(setting, error, error)
    bounds: pd.DataFrame = event_bounds(runs, by)
    low, high = (bounds[end].to_numpy(dtype=float) for end in ("low", "high"))
    unmeasured = np.isnan(low) | np.isnan(high)
    return Trial(setting, np.where(unmeasured, 0.0, low), np.where(unmeasured, math.inf, high))

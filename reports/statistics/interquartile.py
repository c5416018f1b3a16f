"""Scores of many tasks in one number and one curve: the interquartile mean and the performance profile.

A mean over tasks follows its outliers, a median follows one task. The interquartile mean drops the lower and the
upper quarter of all runs, the profile shows them all. Source: Agarwal et al. 2021, arXiv 2108.13264.
Shape letters: B resamples, T tasks, N runs of a task.
"""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.intervals import T_MIN, clopper_pearson
from deepboot.reports.statistics.paired import tail
from deepboot.reports.text import plural

COLUMNS = ("group", "task", "score")
QUARTER = 0.25  # share of the runs that is cut off at each end
FREEDOM_MIN = 8  # tasks · (runs − 1) below which the measured coverage of a resampled interval falls under 0.88


def interquartile_means(
    scores: pd.DataFrame, confidence: float = 0.95, *, resamples: int = 2_000, seed: int = 0
) -> pd.DataFrame:
    """Interquartile mean of every group's runs over all tasks, with a resampling interval.

    Runs are resampled within each task, n − 1 of its n: with all n the variance would be too small by (n − 1) / n
    (Rao and Wu 1988, Journal of the American Statistical Association 83, 231–241). The ends are percentiles, moved out
    as far as Student's t is wider than the normal (Hesterberg 2015, The American Statistician 69, 371–386). The tasks
    count as fixed: the interval does not cover other tasks.

    Args:
        scores: one row per run, with ``group`` (such as a world or a model), ``task`` and ``score``
            (any scale that the tasks share; for paired worlds the bootstrap error itself). ``inf`` may stand for
            a run that never got there.
        confidence: coverage, in (0, 1).
        resamples: number of resamples.
        seed: of numpy's generator; groups of one size are resampled in the same way.

    Returns:
        one row per group: ``group, tasks, n`` (runs of a task), ``mean`` (interquartile), ``low, high`` (null
        below 3 runs of a task or 8 degrees of freedom, tasks · (n − 1)) and ``note``.

    Raises:
        ValueError: a column is missing, a score is NaN, tasks have unequal numbers of runs, or confidence or
            resamples out of range.
    """
    _check(confidence, resamples)
    rows = []
    for group, scores_TN in _by_group(scores):
        tasks, n = scores_TN.shape
        low, high = _ends(_interquartile(_resample(scores_TN, resamples, seed)), scores_TN, confidence)
        mean = _interquartile(scores_TN.reshape(1, -1)).item()
        note = "" if _enough(scores_TN) else f"{plural(tasks, 'task')} of {plural(n, 'run')}: no interval"
        rows.append((group, tasks, n, mean, low, high, note))
    return pd.DataFrame(rows, columns=["group", "tasks", "n", "mean", "low", "high", "note"])


def performance_profiles(
    scores: pd.DataFrame,
    thresholds: ArrayLike,
    confidence: float = 0.95,
    *,
    resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of every group's runs, over all tasks, that score above each threshold.

    Resampled ends as in `interquartile_means`, at each threshold by itself; they have no width where every task lies
    wholly on one side. The exact ends are Clopper and Pearson's of all runs taken together: wider where the tasks
    differ, and right for few runs too (Hoeffding 1956, Annals of Mathematical Statistics 27, 713–721).

    Args:
        scores, confidence, resamples, seed: as in `interquartile_means`.
        thresholds: float, (k,), on the scale of the scores.

    Returns:
        one row per group and threshold: ``group, threshold, tasks, n, share`` (in [0, 1]), ``low, high`` (null
        as in `interquartile_means`) and ``exact_low, exact_high``.

    Raises:
        ValueError: as in `interquartile_means`, or thresholds that are not a row of numbers.
    """
    _check(confidence, resamples)
    cuts = np.asarray(thresholds, dtype=float)
    if cuts.ndim != 1 or cuts.size == 0 or np.isnan(cuts).any():
        raise ValueError(f"`thresholds` must be a row of numbers, got {cuts.tolist()}. Give the scores to look at.")
    rows = []
    for group, scores_TN in _by_group(scores):
        drawn = _resample(scores_TN, resamples, seed)
        for cut in cuts.tolist():
            above = int((scores_TN > cut).sum())
            ends = _ends((drawn > cut).mean(axis=1), scores_TN, confidence)
            exact = clopper_pearson(above, scores_TN.size, confidence)
            rows.append((group, cut, *scores_TN.shape, above / scores_TN.size, *ends, *exact))
    ends_of = ["low", "high", "exact_low", "exact_high"]
    return pd.DataFrame(rows, columns=["group", "threshold", "tasks", "n", "share", *ends_of])


def _check(confidence: float, resamples: int) -> None:
    if resamples * tail(confidence) < 20:
        few = f"got {resamples:,} at {confidence:g}"
        raise ValueError(f"`resamples` must leave 10 beyond each end, {few}. At 0.95 give 400 or more.")


def _by_group(scores: pd.DataFrame) -> Iterator[tuple[object, np.ndarray]]:
    """Every group's scores, (tasks, runs)."""
    missing = [name for name in COLUMNS if name not in scores]
    if missing or scores.empty:
        columns = ", ".join(map(str, scores.columns)) if missing else "no row"
        raise ValueError(f"`scores` must have rows of group, task and score, got {columns}. Give one row per run.")
    if scores["score"].isna().any():
        raise ValueError("`scores` must have a score in every row, got NaN. Give a run that failed the worst score.")
    for group, rows in scores.groupby("group", sort=False, dropna=False):
        values = [task["score"].to_numpy(dtype=float) for _, task in rows.groupby("task", sort=False, dropna=False)]
        counts = sorted({len(row) for row in values})
        if len(counts) > 1:
            raise ValueError(
                f"`scores` must have equally many runs of every task, got {counts[0]} to {counts[-1]} in group "
                f"{group!r}. Keep the seeds that all tasks have."
            )
        yield group, np.stack(values)


def _enough(scores_TN: np.ndarray) -> bool:
    tasks, n = scores_TN.shape
    return n >= T_MIN and tasks * (n - 1) >= FREEDOM_MIN


def _ends(drawn: np.ndarray, scores_TN: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentiles of a resampled number, moved out by Student's t; NaN where the runs are too few."""
    if not _enough(scores_TN):
        return math.nan, math.nan
    tasks, n = scores_TN.shape
    level = special.ndtr(-special.stdtrit(tasks * (n - 1), 1 - tail(confidence) / 2))
    low, high = np.quantile(drawn, [level, 1 - level], method="inverted_cdf")
    return float(low), float(high)


def _resample(scores_TN: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Scores of n − 1 runs of every task, drawn with replacement: (resamples, tasks · (n − 1)), at least one."""
    tasks, n = scores_TN.shape
    chosen_BTN = np.random.default_rng(seed).integers(n, size=(resamples, tasks, max(n - 1, 1)))
    return scores_TN[np.arange(tasks)[:, None], chosen_BTN].reshape(resamples, -1)


def _interquartile(rows: np.ndarray) -> np.ndarray:
    """Mean of each row without its lowest and highest quarter, each rounded down to whole runs."""
    return np.asarray(scipy.stats.trim_mean(rows, QUARTER, axis=1))

"""Log-rank tests of whether groups of runs reach an event at different steps, exact for few runs: groups, trend, pairs.

Steps are known between bounds as in `survival`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from deepboot.reports.statistics.survival import Array, at_risk_and_events, check_bounds, event_steps, half_open, rate

Ends = tuple[ArrayLike, ArrayLike]
DEALS = 800_000  # most ways to deal runs to groups that are counted: two groups of eleven, three of five
FLIPS = 14  # most pairs whose signs are all counted: 16,384 ways
ROUNDING = 1e-9  # the same scores summed in another order


@dataclass(frozen=True)
class RankTest:
    """A log-rank test.

    Attributes:
        statistic: chi-squared for `log_rank`, a standard normal deviate for `trend` and `paired_log_rank`.
        p_value: two-sided.
        exact: whether the p value counts arrangements of the runs; otherwise it is asymptotic.
        groups: one row per group: ``group, n, reached, expected`` (events if all groups were equal).
    """

    statistic: float
    p_value: float
    exact: bool
    groups: pd.DataFrame


def log_rank(groups: Mapping[str, Ends]) -> RankTest:
    """Log-rank test that two or more groups reach the event at equal rates.

    Groups are compared at evaluations that all runs share: intervals that overlap are joined. With few runs (two groups
    of 11, three of 5) the p value counts the ways to deal the runs to the groups, which holds if the groups have one
    budget; otherwise it is chi-squared's, which at three groups of 10 or 20 is below 0.05 in 5 to 7 % of equal groups.

    Args:
        groups: by group ``(low, high)``, each float, (runs of the group,), steps.

    Raises:
        ValueError: fewer than two groups, or a group without runs.

    Source: Mantel 1966; Peto and Peto 1972; ties with the hypergeometric variance.

    >>> log_rank({"a": ([0, 0, 0], [10, 10, 10]), "b": ([20, 20, 20], [30, 30, 30])}).p_value
    0.1
    """
    # SciPy's `logrank` compares two groups, by chi-squared: p = 0.025 for three runs that all come before three others,
    # and of ten deals one is as extreme
    runs = _grouped_runs(groups)
    excess, covariance = runs.excess()
    degrees = int(np.linalg.matrix_rank(covariance, hermitian=True))
    statistic = float(excess @ np.linalg.pinv(covariance, hermitian=True) @ excess)
    exact = runs.share_as_extreme(lambda sums: (sums**2 / runs.sizes).sum(axis=1))
    asymptotic = float(special.chdtrc(degrees, statistic)) if degrees else 1.0
    return RankTest(statistic, asymptotic if exact is None else exact, exact is not None, runs.table())


def trend(groups: Mapping[str, Ends], scores: Mapping[str, float]) -> RankTest:
    """Log-rank test that groups with higher scores reach the event earlier; a statistic below zero: later.

    Args:
        groups: as in `log_rank`.
        scores: by group, such as the log of its weight decay; only their spacing matters.

    Raises:
        ValueError: as in `log_rank`, or scores of other groups.

    Source: Tarone 1975.

    >>> groups = {"a": ([0, 0], [10, 10]), "b": ([10, 10], [20, 20]), "c": ([20, 20], [30, 30])}
    >>> trend(groups, {"a": 3, "b": 2, "c": 1}).p_value
    0.022...
    """
    runs = _grouped_runs(groups)
    if set(scores) != set(groups):
        raise ValueError(f"`scores` must be of the groups {', '.join(groups)}, got {', '.join(scores)}.")
    weights = np.array([scores[name] for name in groups], dtype=float)
    excess, covariance = runs.excess()
    deviate = _deviate(weights @ excess, weights @ covariance @ weights)
    exact = runs.share_as_extreme(lambda sums: np.abs(sums @ weights))
    return RankTest(deviate, _two_sided(deviate) if exact is None else exact, exact is not None, runs.table())


def paired_log_rank(first: Ends, second: Ends) -> RankTest:
    """Log-rank test within pairs, such as two groups' runs of a seed; above zero: the first runs are earlier.

    Every run has its log-rank score among the runs of both groups, and the signs of the pairs' differences are flipped.
    A pair is compared up to the step to which both of its runs were followed. With up to 14 pairs that differ
    the p value counts all their signs; otherwise it is the normal one.

    Args:
        first, second: ``(low, high)``, each float, (pairs,), steps, in one order.

    Raises:
        ValueError: no runs, or not as many second as first runs.

    Source: O'Brien and Fleming 1987, with the log-rank scores of Jung 1999.

    >>> paired_log_rank(([0] * 6, [10] * 6), ([10] * 6, [20] * 6)).p_value
    0.03125
    """
    ends = check_bounds(*first), check_bounds(*second)
    if ends[0][0].size != ends[1][0].size:
        raise ValueError(f"Every first run needs its second one, got {ends[0][0].size} and {ends[1][0].size} runs.")
    runs = _grouped_runs(dict(zip(("first", "second"), _followed_together(*np.stack(ends, axis=1)), strict=True)))
    differences = np.subtract(*runs.scores.reshape(2, -1))
    differences = differences[differences != 0]
    deviate = _deviate(differences.sum(), (differences**2).sum())
    exact = differences.size <= FLIPS
    return RankTest(deviate, _sign_flip_p(differences) if exact else _two_sided(deviate), exact, runs.table())


@dataclass(frozen=True)
class _GroupedRuns:
    """Runs of all groups, (n,), on shared evaluations."""

    names: tuple[str, ...]
    group: Array
    times: Array
    reached: Array

    @property
    def sizes(self) -> Array:
        return np.bincount(self.group)

    @property
    def scores(self) -> Array:
        """A run's event less the hazard it went through; over a group they sum to events less expected ones."""
        steps = event_steps(self.times)
        at_risk, events = at_risk_and_events(self.times, self.reached, steps)
        return self.reached - np.cumsum(rate(events, at_risk))[np.searchsorted(steps, self.times, side="right") - 1]

    def excess(self) -> tuple[Array, Array]:
        """Events less expected ones, (groups,), and their hypergeometric covariance, (groups, groups)."""
        steps = event_steps(self.times)
        total, events = at_risk_and_events(self.times, self.reached, steps)
        share = np.stack([rate(self._at_risk(group, steps), total) for group in range(len(self.names))], axis=1)
        spread = events * rate(total - events, total - 1)
        covariance = np.diag(spread @ share) - share.T @ (spread[:, None] * share)
        return np.bincount(self.group, self.scores), covariance

    def share_as_extreme(self, measure: Callable[[Array], Array]) -> float | None:
        """Share of the ways to deal the runs that are as extreme as the observed one; None for too many ways."""
        totals = self.sizes.cumsum()
        ways = math.prod(math.comb(int(total), int(size)) for total, size in zip(totals, self.sizes, strict=True))
        if ways > DEALS:
            return None
        observed = measure(np.bincount(self.group, self.scores)[None])
        return float(np.mean(measure(_deals(self.scores, self.sizes)) >= observed - ROUNDING))

    def table(self) -> pd.DataFrame:
        """``group, n, reached, expected``."""
        events = np.bincount(self.group, self.reached).astype(int)
        expected = events - np.bincount(self.group, self.scores)
        return pd.DataFrame({"group": self.names, "n": self.sizes, "reached": events, "expected": expected})

    def _at_risk(self, group: int, steps: Array) -> Array:
        return at_risk_and_events(self.times[self.group == group], self.reached[self.group == group], steps)[0]


def _grouped_runs(groups: Mapping[str, Ends]) -> _GroupedRuns:
    if len(groups) < 2:
        raise ValueError(f"A log-rank test compares two or more groups, got {len(groups)}.")
    bounds = [half_open(*ends) for ends in groups.values()]
    for name, (low, _) in zip(groups, bounds, strict=True):
        if low.size == 0:
            raise ValueError(f"Group '{name}' has no runs. Leave it out.")
    group = np.repeat(np.arange(len(bounds)), [low.size for low, _ in bounds])
    return _GroupedRuns(tuple(groups), group, *_joined(*np.concatenate(bounds, axis=1)))


def _joined(low: Array, high: Array) -> tuple[Array, Array]:
    """Each run's step, with intervals that overlap joined to their common end, and whether it is an event."""
    reached = np.isfinite(high)
    ends = np.unique(high[reached])[:, None]
    shared = ends[~((low < ends) & (ends < high) & reached).any(axis=1), 0]
    times = low.copy()
    times[reached] = shared[np.searchsorted(shared, high[reached])]
    return times, reached


def _followed_together(low_RP: Array, high_RP: Array) -> list[Ends]:
    """Pairs with a run that is censored where its partner is, if the partner had no event by then."""
    censored = np.isinf(high_RP) & np.isfinite(low_RP)
    limit_P = np.where(censored, low_RP, np.inf).min(axis=0)
    beyond = np.isfinite(high_RP) & (high_RP > limit_P)
    low_RP, high_RP = np.where(beyond, limit_P, low_RP), np.where(beyond, np.inf, high_RP)
    return list(zip(low_RP, high_RP, strict=True))


def _deals(scores: Array, sizes: Array) -> Array:
    """Sums of scores by group in every way to deal the runs to groups of these sizes, (ways, groups)."""
    rest, sums = scores[None], np.empty((1, 0))
    for size in sizes:
        left = rest.shape[1]
        chosen, others = _choices(left, size), _choices(left, left - size)[::-1]  # in this order they are complements
        sums = np.column_stack([sums.repeat(len(chosen), axis=0), rest[:, chosen].sum(axis=2).ravel()])
        rest = rest[:, others].reshape(len(sums), left - size)
    return sums


def _choices(total: int, size: int) -> Array:
    """All ways to choose, (ways, size), in lexicographic order."""
    return np.fromiter(chain.from_iterable(combinations(range(total), size)), dtype=np.int64).reshape(
        math.comb(total, size), size
    )


def _sign_flip_p(differences: Array) -> float:
    """Share of all sign patterns of the differences whose sum is as far from zero."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - ROUNDING))


def _deviate(total: Any, variance: Any) -> float:
    return float(total / math.sqrt(variance)) if variance > ROUNDING else 0.0


def _two_sided(deviate: float) -> float:
    return float(2 * special.ndtr(-abs(deviate)))

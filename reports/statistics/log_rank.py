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
DEALS = 800_000  # most ways to deal runs to arms that are gone through: two arms of eleven, three of five
FLIPS = 14  # most pairs whose signs are all gone through: 16,384 ways
ROUNDING = 1e-9  # the same scores summed in another order


@dataclass(frozen=True)
class RankTest:
    """A log-rank test.

    Attributes:
        statistic: chi-squared for `log_rank`, a standard normal deviate for `trend` and `paired_log_rank`.
        p_value: two-sided.
        exact: whether the p value counts arrangements of the runs; otherwise it is asymptotic.
        arms: one row per arm: ``arm, n, reached, expected`` (events if all arms were alike).
    """

    statistic: float
    p_value: float
    exact: bool
    arms: pd.DataFrame


def log_rank(groups: Mapping[str, Ends]) -> RankTest:
    """Log-rank test that two or more arms reach the event alike.

    Arms are compared at evaluations that all runs share: intervals that overlap are joined. With few runs (two arms of
    11, three of 5) the p value counts the ways to deal the runs to the arms, which holds if the arms have one budget;
    otherwise it is that of chi-squared, which at three arms of 10 or 20 is below 0.05 in 5 to 7 % of alike arms.

    Args:
        groups: by arm ``(low, high)``, each float, (runs of the arm,), steps.

    Raises:
        ValueError: fewer than two arms, or an arm without runs.

    Source: Mantel 1966; Peto and Peto 1972; ties with the hypergeometric variance.

    >>> log_rank({"a": ([0, 0, 0], [10, 10, 10]), "b": ([20, 20, 20], [30, 30, 30])}).p_value
    0.1
    """
    # SciPy's `logrank` compares two arms, by chi-squared: p = 0.025 for three runs that all come before three others,
    # of which one deal in ten is as extreme
    arms = _arms(groups)
    excess, covariance = arms.excess()
    degrees = int(np.linalg.matrix_rank(covariance, hermitian=True))
    statistic = float(excess @ np.linalg.pinv(covariance, hermitian=True) @ excess)
    exact = arms.dealt(lambda sums: (sums**2 / arms.sizes).sum(axis=1))
    asymptotic = float(special.chdtrc(degrees, statistic)) if degrees else 1.0
    return RankTest(statistic, asymptotic if exact is None else exact, exact is not None, arms.table())


def trend(groups: Mapping[str, Ends], scores: Mapping[str, float]) -> RankTest:
    """Log-rank test that arms reach the event the earlier, or below zero the later, the higher they score.

    Args:
        groups: as in `log_rank`.
        scores: by arm, such as the log of its weight decay; only their spacing matters.

    Raises:
        ValueError: as in `log_rank`, or scores of other arms.

    Source: Tarone 1975.

    >>> groups = {"a": ([0, 0], [10, 10]), "b": ([10, 10], [20, 20]), "c": ([20, 20], [30, 30])}
    >>> trend(groups, {"a": 3, "b": 2, "c": 1}).p_value
    0.022...
    """
    arms = _arms(groups)
    if set(scores) != set(groups):
        raise ValueError(f"`scores` must be of the arms {', '.join(groups)}, got {', '.join(scores)}.")
    weights = np.array([scores[name] for name in groups], dtype=float)
    excess, covariance = arms.excess()
    deviate = _deviate(weights @ excess, weights @ covariance @ weights)
    exact = arms.dealt(lambda sums: np.abs(sums @ weights))
    return RankTest(deviate, _two_sided(deviate) if exact is None else exact, exact is not None, arms.table())


def paired_log_rank(first: Ends, second: Ends) -> RankTest:
    """Log-rank test within pairs, such as two arms' runs of a seed; above zero: the first runs are the earlier.

    Every run has its log-rank score among the runs of both arms, and the signs of the pairs' differences are turned. A
    pair is compared up to the step to which both of its runs were followed. With up to 14 pairs that differ
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
    arms = _arms(dict(zip(("first", "second"), _followed_together(*np.stack(ends, axis=1)), strict=True)))
    differences = np.subtract(*arms.scores.reshape(2, -1))
    differences = differences[differences != 0]
    deviate = _deviate(differences.sum(), (differences**2).sum())
    exact = differences.size <= FLIPS
    return RankTest(deviate, _turned(differences) if exact else _two_sided(deviate), exact, arms.table())


@dataclass(frozen=True)
class _Arms:
    """Runs of all arms, (n,), on shared evaluations."""

    names: tuple[str, ...]
    arm: Array
    times: Array
    reached: Array

    @property
    def sizes(self) -> Array:
        return np.bincount(self.arm)

    @property
    def scores(self) -> Array:
        """A run's event less the hazard it went through; over an arm they sum to events less expected ones."""
        steps = event_steps(self.times)
        at_risk, events = at_risk_and_events(self.times, self.reached, steps)
        return self.reached - np.cumsum(rate(events, at_risk))[np.searchsorted(steps, self.times, side="right") - 1]

    def excess(self) -> tuple[Array, Array]:
        """Events less expected ones, (arms,), and their hypergeometric covariance, (arms, arms)."""
        steps = event_steps(self.times)
        total, events = at_risk_and_events(self.times, self.reached, steps)
        share = np.stack([rate(self._at_risk(arm, steps), total) for arm in range(len(self.names))], axis=1)
        spread = events * rate(total - events, total - 1)
        covariance = np.diag(spread @ share) - share.T @ (spread[:, None] * share)
        return np.bincount(self.arm, self.scores), covariance

    def dealt(self, measure: Callable[[Array], Array]) -> float | None:
        """Share of the ways to deal the runs that are as extreme as this one; None where they are too many."""
        totals = self.sizes.cumsum()
        ways = math.prod(math.comb(int(total), int(size)) for total, size in zip(totals, self.sizes, strict=True))
        if ways > DEALS:
            return None
        own = measure(np.bincount(self.arm, self.scores)[None])
        return float(np.mean(measure(_deals(self.scores, self.sizes)) >= own - ROUNDING))

    def table(self) -> pd.DataFrame:
        """``arm, n, reached, expected``."""
        reached = np.bincount(self.arm, self.reached)
        expected = reached - np.bincount(self.arm, self.scores)
        return pd.DataFrame({"arm": self.names, "n": self.sizes, "reached": reached.astype(int), "expected": expected})

    def _at_risk(self, arm: int, steps: Array) -> Array:
        return at_risk_and_events(self.times[self.arm == arm], self.reached[self.arm == arm], steps)[0]


def _arms(groups: Mapping[str, Ends]) -> _Arms:
    if len(groups) < 2:
        raise ValueError(f"A log-rank test compares two or more arms, got {len(groups)}.")
    bounds = [half_open(*ends) for ends in groups.values()]
    for name, (low, _) in zip(groups, bounds, strict=True):
        if low.size == 0:
            raise ValueError(f"Arm '{name}' has no runs. Leave it out.")
    arm = np.repeat(np.arange(len(bounds)), [low.size for low, _ in bounds])
    return _Arms(tuple(groups), arm, *_joined(*np.concatenate(bounds, axis=1)))


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
    """Sums of scores by arm in every way to deal the runs to arms of these sizes, (ways, arms)."""
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


def _turned(differences: Array) -> float:
    """Share of all signs of the differences whose sum is as far from zero."""
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - ROUNDING))


def _deviate(total: Any, variance: Any) -> float:
    return float(total / math.sqrt(variance)) if variance > ROUNDING else 0.0


def _two_sided(deviate: float) -> float:
    return float(2 * special.ndtr(-abs(deviate)))

"""What a claim is judged on, what its kind returns, and the decorator that makes a kind known.

A kind is one function from the evidence of one cell to an effect with its interval:

    @claim_kind("late", min_seeds=6)
    def late(evidence: Evidence, *, after: Annotated[int, Field(ge=0)]) -> Effect:
        bounds = event_bounds(evidence.runs_of("real"), "grokking")
        interval = median_interval(bounds["low"], bounds["high"], evidence.confidence)
        return Effect("median grokking step", Bounds(after, math.inf), len(bounds), "runs", interval=interval)

Its keyword-only parameters are its settings in a study; their annotations are their types and limits.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bootstrap.registry import find, register, settings
from reports.compare import Comparison, When
from reports.intervals import Bounds
from reports.wording import measure, span

Verdict = Literal["supported", "refuted", "inconclusive"]
MinSeeds = int | Callable[..., int | None]
_min_seeds: dict[str, MinSeeds] = {}


@dataclass(frozen=True)
class Evidence:
    """One cell's runs and pairs, and the confidence that its intervals must have.

    Attributes:
        comparison: the whole comparison that the cell belongs to.
        cell_id, world: which cell.
        cell: its label.
        confidence: coverage of the interval to compute, in (0, 1); already corrected for primary claims.
    """

    comparison: Comparison
    cell_id: str
    world: str
    cell: str
    confidence: float

    @property
    def runs(self) -> pd.DataFrame:
        """The cell's own runs."""
        return self._own(self.comparison.runs)

    @property
    def pairs(self) -> pd.DataFrame:
        """The cell's pairs, as in `Comparison.pairs`."""
        return self._own(self.comparison.pairs())

    @property
    def evaluations(self) -> pd.DataFrame:
        """The evaluations of the cell's runs and their ideal partners."""
        every = pd.concat([self.runs["run_id"], self.runs_of("ideal")["run_id"]])
        return self.comparison.evaluations[self.comparison.evaluations["run_id"].isin(every)]

    def runs_of(self, world: str) -> pd.DataFrame:
        """The cell's own runs, or for "ideal" their ideal partners."""
        if world != "ideal" or self.world == "ideal":
            return self.runs
        return self.comparison.runs[self.comparison.runs["run_id"].isin(self.runs["ideal_run_id"].dropna())]

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The cell's pairs at one of their steps, as in `Comparison.pairs_at`."""
        return self._own(self.comparison.pairs_at(when, metric))

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["cell_id"] == self.cell_id) & (table["world"] == self.world)]


@dataclass(frozen=True)
class Effect:
    """What a claim is about, measured in one cell.

    Attributes:
        name: what was measured, as a noun phrase.
        region: the claimed values, both ends included; infinite where not limited.
        n: how many entered.
        items: what they are, in the plural.
        estimate: bounds between which the estimate lies; equal where it is one number. None: no estimate.
        interval: confidence interval. None: it cannot be computed, and ``reason`` says why.
        note: what else has to be said, such as runs that do not enter.
    """

    name: str
    region: Bounds
    n: int
    items: str
    estimate: Bounds | None = None
    interval: Bounds | None = None
    reason: str = ""
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Supported if the interval lies wholly in the region, refuted if wholly outside, else inconclusive."""
        if self.interval is None:
            return "inconclusive"
        if self.region.low <= self.interval.low and self.interval.high <= self.region.high:
            return "supported"
        outside = self.interval.high < self.region.low or self.interval.low > self.region.high
        return "refuted" if outside else "inconclusive"

    @property
    def claimed(self) -> str:
        """The claimed region in words."""
        return f"exactly {measure(self.region.low)}" if self.region.low == self.region.high else span(self.region)

    @property
    def estimated(self) -> str:
        """The estimate in words, rounded by its interval; "more than …" where its upper bound is open."""
        if self.estimate is None:
            return "unknown"
        low, high = self.estimate
        finite = self.interval if self.interval and all(map(math.isfinite, self.interval)) else None
        if math.isinf(high):
            return f"more than {measure(low)}" if low > 0 else "unknown"
        if low == high:
            return measure(low, finite)
        return f"{measure(low, self.estimate)}–{measure(high, self.estimate)}"


def claim_kind(name: str, *, min_seeds: MinSeeds = 1) -> Callable[[Any], Any]:
    """Decorator that makes a function (evidence, settings) -> Effect a kind of claim.

    Args:
        name: what a study writes as ``kind``.
        min_seeds: fewest seeds with which a verdict can be reached at all: a number, or a function of the
            settings and the confidence, which may return None for never.
    """

    def decorate(function: Callable[..., Effect]) -> Callable[..., Effect]:
        registered = register("claim", name)(function)
        _min_seeds[name] = min_seeds
        return registered

    return decorate


def seeds_needed(kind: str, given: Mapping[str, Any], confidence: float = 0.95) -> int | None:
    """Fewest seeds with which a claim of this kind can be supported or refuted at all; None for never.

    Args:
        kind: the claim's kind.
        given: its settings, without the keys common to all claims.
        confidence: of its interval, corrected if it is primary.

    Raises:
        ValueError: no such kind, or settings that it does not take.
    """
    find("claim", kind)
    needed = _min_seeds.get(kind, 1)
    return needed if isinstance(needed, int) else needed(settings("claim", kind)(**given), confidence)

"""What a claim is judged on, what its kind returns, and the decorator that makes a kind known.

A kind is one function from the evidence of one cell to an effect with its interval:

    @claim_kind("late", min_seeds=6)
    def late(evidence: Evidence, *, after: Annotated[int, Field(ge=0)]) -> Effect:
        bounds = event_bounds(evidence.runs_of("real"), "grokking")
        interval = median_interval(bounds["low"], bounds["high"], evidence.confidence)
        return Effect("median grokking step", Bounds(after, math.inf), len(bounds), "runs", interval=interval)

Its keyword-only parameters are its settings in a study; their annotations are their types and limits. A kind that
compares cells is decorated with ``scope="cells"`` and takes `Across`: all cells that ``where`` selects, at once.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bootstrap.registry import find, register, settings
from reports.compare import Comparison, When
from reports.intervals import Bounds
from reports.wording import count, measure, span

Verdict = Literal["supported", "refuted", "inconclusive"]
Scope = Literal["cell", "cells"]
MinSeeds = int | Callable[..., int | None]
_min_seeds: dict[str, MinSeeds] = {}
_scopes: dict[str, Scope] = {}


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

    def partners(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The cell's pairs whose ideal run is there, and the rows of these ideal runs, in one order."""
        pairs = self.pairs.dropna(subset=["ideal_status"])
        return pairs, self.comparison.runs.set_index("run_id").loc[pairs["ideal_run_id"]].set_axis(pairs.index)

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The cell's pairs at one of their steps, as in `Comparison.pairs_at`."""
        return self._own(self.comparison.pairs_at(when, metric))

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        return table[(table["cell_id"] == self.cell_id) & (table["world"] == self.world)]


@dataclass(frozen=True)
class Across:
    """All cells that a claim selects, and the confidence that its interval must have.

    Attributes:
        comparison: the whole comparison that the cells belong to.
        cells: one row per cell, as in `Comparison.cells`: ``cell_id, world, cell`` (its label), ``runs``, then the
            settings that differ between the comparison's cells.
        confidence: as in `Evidence`.
    """

    comparison: Comparison
    cells: pd.DataFrame
    confidence: float

    @property
    def each(self) -> list[Evidence]:
        """Every cell on its own, in the order of ``cells``."""
        return [
            Evidence(self.comparison, cell_id, world, cell, self.confidence)
            for cell_id, world, cell in self.cells[["cell_id", "world", "cell"]].itertuples(index=False)
        ]

    def runs_of(self, world: str) -> pd.DataFrame:
        """The cells' own runs, or for "ideal" their ideal partners, with ``place``: of their cell, from 0."""
        tables = [one.runs_of(world).assign(place=place) for place, one in enumerate(self.each)]
        return pd.concat(tables, ignore_index=True)

    def pairs_at(self, when: When, metric: str | None = None) -> pd.DataFrame:
        """The cells' pairs at one of their steps, as in `Comparison.pairs_at`, with ``place`` as in `runs_of`."""
        tables = [one.pairs_at(when, metric).assign(place=place) for place, one in enumerate(self.each)]
        return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class Effect:
    """What a claim is about, measured in one cell, or once over several.

    Attributes:
        name: what was measured, as a noun phrase.
        region: the claimed values, both ends included; infinite where not limited.
        n: how many entered.
        items: what they are, in the plural.
        estimate: bounds between which the estimate lies; equal where it is one number. None: no estimate.
        interval: confidence interval. None: it cannot be computed, and ``reason`` says why.
        note: what else has to be said, such as runs that do not enter.
        words: the claimed region in words, where its numbers do not say it.
        whole: whether the values are counts, which are written in full.
        cells: how many cells were compared, where these are not all that the claim selects.
    """

    name: str
    region: Bounds
    n: int
    items: str
    estimate: Bounds | None = None
    interval: Bounds | None = None
    reason: str = ""
    note: str = ""
    words: str = ""
    whole: bool = False
    cells: int | None = None

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
        if self.words:
            return self.words
        if self.region.low == self.region.high:
            return f"exactly {count(self.region.low) if self.whole else measure(self.region.low)}"
        return _counts(self.region) if self.whole else span(self.region)

    @property
    def spanned(self) -> str:
        """The interval in words."""
        return _counts(self.interval) if self.whole and self.interval else span(self.interval)

    @property
    def estimated(self) -> str:
        """The estimate in words, rounded by its interval; "more than …" where its upper bound is open."""
        if self.estimate is None:
            return "unknown"
        low, high = self.estimate
        if self.whole:
            return _counts(self.estimate)
        finite = self.interval if self.interval and all(map(math.isfinite, self.interval)) else None
        if math.isinf(high):
            return f"more than {measure(low)}" if low > 0 else "unknown"
        if low == high:
            return measure(low, finite)
        return f"{measure(low, self.estimate)}–{measure(high, self.estimate)}"


def _counts(bounds: Bounds) -> str:
    """Counts that are never negative, in full: no lower end is an end at or below 0.

    >>> _counts(Bounds(750, 1250)), _counts(Bounds(0, 1250)), _counts(Bounds(1250, math.inf))
    ('750 to 1,250', 'at most 1,250', 'at least 1,250')
    """
    low, high = bounds
    if math.isinf(high):
        return f"at least {count(low)}" if low > 0 else "unknown"
    if low <= 0:
        return f"at most {count(high)}"
    return count(low) if low == high else f"{count(low)} to {count(high)}"


def claim_kind(name: str, *, min_seeds: MinSeeds = 1, scope: Scope = "cell") -> Callable[[Any], Any]:
    """Decorator that makes a function (evidence, settings) -> Effect a kind of claim.

    Args:
        name: what a study writes as ``kind``.
        min_seeds: fewest seeds with which a verdict can be reached at all: a number, or a function of the
            settings and the confidence, which may return None for never.
        scope: "cell", judged in every selected cell on its `Evidence`, or "cells", judged once on their `Across`.
    """

    def decorate(function: Callable[..., Effect]) -> Callable[..., Effect]:
        registered = register("claim", name)(function)
        _min_seeds[name] = min_seeds
        _scopes[name] = scope
        return registered

    return decorate


def scope_of(kind: str) -> Scope:
    """Whether a kind is judged in every selected cell, "cell", or once over all of them, "cells"."""
    return _scopes.get(kind, "cell")


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

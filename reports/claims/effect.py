"""The effect that a kind of claim returns: a measured quantity, the claimed region, and the verdict from both."""

import math
from dataclasses import dataclass
from typing import Literal

from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import count, estimate, known_to, measure, plural, span

Verdict = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Effect:
    """The quantity of a claim, measured in one cell, or once over several.

    Attributes:
        name: of the quantity, as a noun phrase.
        region: the claimed values, both ends included; infinite where not limited.
        n: how many runs, pairs, seeds or cells are known.
        items: which of these, in the plural.
        estimate: bounds between which the estimate lies; equal where it is one number. None: no estimate.
        interval: confidence interval. None: it cannot be computed.
        reason: why there is no interval; else empty.
        note: a clause for the reader, such as on runs that do not enter.
        words: the claimed region in words, where its numbers are not for a reader ("above 0").
        whole: whether the values are counts, which are written in full.
        cells: how many cells were compared, where these are not all that the claim selects.
        total: how many items there are, known or not; None: as many as ``n``.
        spread: where the interval is Student's t of the mean of the ``n`` values, one for each seed, their standard
            deviation: from it the seeds that a verdict needs are calculated. None: any other interval. A t interval
            that is cut off at the claimed ends is one too: by then the claim is supported.
        one_sided: whether two one-sided tests can support the claim, which need fewer seeds than an interval inside.
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
    total: int | None = None
    spread: float | None = None
    one_sided: bool = False

    @property
    def missing(self) -> int:
        """The number of items without a known value."""
        return 0 if self.total is None else self.total - self.n

    @property
    def count_text(self) -> str:
        """The known items of all: "5 of 8"."""
        return f"{count(self.n)} of {count(self.n + self.missing)}"

    @property
    def sample_text(self) -> str:
        """The known items of all, with their name: "5 of 8 pairs"."""
        return f"{count(self.n)} of {plural(self.n + self.missing, self.items.removesuffix('s'))}"

    @property
    def verdict(self) -> Verdict:
        """Supported if the interval lies wholly in the region, refuted if wholly outside, else inconclusive."""
        return "inconclusive" if self.interval is None else _verdict_of(self.interval, self.region)

    @property
    def leaning(self) -> Verdict:
        """The verdict to which the estimate points; inconclusive without one, or where its bounds lie on both sides."""
        return "inconclusive" if self.estimate is None else _verdict_of(self.estimate, self.region)

    @property
    def claimed_text(self) -> str:
        """The claimed region in words."""
        if self.words:
            return self.words
        if self.region.low == self.region.high:
            return f"exactly {count(self.region.low) if self.whole else measure(self.region.low)}"
        if self.whole or not all(map(math.isfinite, self.region)):
            return _counts(self.region) if self.whole else span(self.region)
        return f"{measure(self.region.low)} to {measure(self.region.high)}"  # as given: no width rounds what is claimed

    @property
    def interval_text(self) -> str:
        """The interval in words."""
        return _counts(self.interval) if self.whole and self.interval else span(self.interval)

    @property
    def estimate_text(self) -> str:
        """The estimate in words, rounded by its interval, so that no one takes its two bounds for an interval."""
        if self.estimate is None:
            return "unknown"
        if self.whole and self.estimate.low <= 0:
            return _counts(self.estimate)
        return estimate(self.estimate, self.interval, whole=self.whole)

    @property
    def known_to_text(self) -> str:
        """How closely the estimate is known, as a clause; empty where it is one number, or written as two."""
        closely = known_to(self.estimate) if self.estimate else ""
        return f"the {'known runs' if self.missing else 'evaluations'} fix it to within {closely}" if closely else ""


def _verdict_of(bounds: Bounds, region: Bounds) -> Verdict:
    """Supported by bounds inside the region, refuted by bounds outside, else inconclusive."""
    if region.low <= bounds.low and bounds.high <= region.high:
        return "supported"
    return "refuted" if bounds.high < region.low or bounds.low > region.high else "inconclusive"


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

"""Clauses of a plan: the effect of a claim that so many seeds can settle, before any run.

A clause is a function (settings, seeds, confidence) -> words, for `claim_kind`. Here are the clauses that several kinds
share, and their phrases.
"""

from typing import Any

from deepboot.reports.claims.kind import Clause
from deepboot.reports.statistics.intervals import clopper_pearson, order_rank
from deepboot.reports.statistics.power import POWER, effect_for_difference, margin_for_equivalence, share_for_count
from deepboot.reports.text import count, measure, percent

POWERED = f"({percent(POWER)} power)"


def mean_clause(items: str) -> Clause:
    """Clause of a kind that bounds the mean of these items by ``min`` and ``max``."""

    def clause(given: Any, n: int, confidence: float) -> str:
        if given.min is not None and given.max is not None and given.min < given.max:
            margin = (given.max - given.min) / 2
            middle = f", around a mean of {measure((given.min + given.max) / 2)}"
            return spread_below(margin, margin_for_equivalence(n, confidence=(1 + confidence) / 2), middle, items)
        bound = given.min if given.min is not None else given.max
        distance = deviations(effect_for_difference(n, confidence=confidence), items)
        return f"settled if the mean is at least {distance} away from {measure(bound)} {POWERED}"

    return clause


def median_clause(given: Any, n: int, confidence: float) -> str:
    """Clause of a kind that claims a median ratio of at least ``min_ratio``, of at most ``max_ratio``, or both."""
    needed = n + 1 - (order_rank(n, confidence) or 1)
    share = percent(share_for_count(needed, n))
    ends = [end for end in (given.min_ratio, getattr(given, "max_ratio", None)) if end is not None]
    side = f"on one side of {measure(ends[0])}"
    if len(ends) > 1:
        side = f"between {measure(ends[0])} and {measure(ends[1])}, or on one side of both,"
    return f"settled if {all_of(needed, n)} lie {side} ({percent(POWER)} power where {share} of all runs do)"


def share_clause(given: Any, n: int, confidence: float) -> str:
    """Clause of a kind that bounds a share by ``min_rate`` and ``max_rate``: the counts that support and refute it."""
    low, high = given.min_rate or 0.0, 1.0 if given.max_rate is None else given.max_rate
    intervals = [clopper_pearson(hits, n, confidence) for hits in range(n + 1)]
    inside = [hits for hits, ends in enumerate(intervals) if low <= ends.low and ends.high <= high]
    outside = [hits for hits, ends in enumerate(intervals) if ends.high < low or ends.low > high]
    verdicts = (("supported", inside), ("refuted", outside))
    phrases = [f"{verdict} {deciding_counts(hits, n)}" for verdict, hits in verdicts if hits]
    return ", ".join(phrases) or "neither supported nor refuted by any count"


def spread_below(margin: float, margin_in_sd: float, middle: str = "", items: str = "pairs") -> str:
    """The largest spread with which a margin is settled, from the margin in standard deviations that n can settle."""
    return f"settled if the spread of the {items} is below {measure(margin / margin_in_sd)}{middle} {POWERED}"


def deviations(effect: float, items: str = "pairs") -> str:
    """An effect in standard deviations of these items."""
    return f"{effect:.2g} standard deviations of the {items}"


def all_of(needed: int, n: int) -> str:
    """How many of n are needed.

    >>> all_of(7, 8), all_of(8, 8)
    ('7 of 8', 'all 8')
    """
    return f"{count(needed)} of {count(n)}" if needed < n else f"all {count(n)}"


def deciding_counts(counts: list[int], n: int) -> str:
    """Counts that lead to a verdict, and the true share at which one of them comes with power.

    >>> deciding_counts([8], 8), deciding_counts([3, 4], 8)
    ('by 8 of 8 (80 % power at a true share of 97.2 % or more)', 'by 3 to 4 of 8')
    """
    first, last = counts[0], counts[-1]
    if len(counts) < last - first + 1:
        return "by counts at both ends"
    if last == n:
        more = " or more" if first < n else ""
        return f"by {first} of {n}{more} (80 % power at a true share of {percent(share_for_count(first, n))} or more)"
    if first == 0:
        fewer = " or fewer" if last else ""
        return f"by {last} of {n}{fewer} (80 % power at {percent(1 - share_for_count(n - last, n))} or less)"
    return f"by {first} to {last} of {n}"

"""The verdict on a published number, from our estimate and its interval.

A published number is a value, a range, or a bound with an open end. A kind of claim may name the value of *no effect*,
as 1 of a ratio: with it a number has a direction, the side on which all of it lies. The rules, the first that applies:

1. not reached: our estimate has no upper end, since the median run did not reach the event within its budget.
2. undecided: there is no interval.
3. Of evidence for a direction: same direction if our interval lies on the number's side of no effect, differs if on the
   other, undecided if it holds no effect. Where there is no such side, the evidence counts as solid.
4. Of solid evidence: agrees if our interval holds the published value or a part of the published range, or lies wholly
   within a bound; undecided if it crosses a bound; else same direction if both lie on one side of no effect; else
   differs.
"""

import math
from typing import Literal

from deepboot.reports.claims.effect import Effect
from deepboot.reports.statistics.intervals import Bounds

Outcome = Literal["agrees", "same direction", "differs", "not reached", "undecided"]
OUTCOMES: dict[Outcome, str] = {
    "agrees": "our interval holds the published value or a part of the range, or lies within the bound, or within a "
    "range that stands for a word, such as partial (evidence: direction)",
    "same direction": "on the same side of no effect (a ratio of 1, a difference of 0); of one seed or an "
    "under-specified setting no more is to be expected",
    "differs": "neither",
    "not reached": "the median run did not reach the event within its budget",
    "undecided": "too few runs for an interval, or one that crosses the bound, the end of such a range or no effect",
}


def outcome_of(
    effect: Effect | None, published: Bounds, *, evidence: Literal["solid", "direction"], no_effect: float | None
) -> Outcome:
    """The verdict by the rules of this file.

    Args:
        effect: our estimate with its interval; None where no cell was selected.
        published: ends of the number, equal where it is a value, one of them infinite where it is a bound.
        evidence: of the paper.
        no_effect: of the kind of claim; None: it has none.
    """
    if effect is not None and effect.estimate is not None and math.isinf(effect.estimate.high):
        return "not reached"
    if effect is None or effect.interval is None:
        return "undecided"
    interval, expected = effect.interval, _direction(published, no_effect)
    ours = 0 if _holds(interval, no_effect) else _direction(interval, no_effect)
    if evidence == "direction" and expected:
        return "undecided" if not ours else "same direction" if ours == expected else "differs"
    if interval.low <= published.high and published.low <= interval.high:
        within = published.low <= interval.low and interval.high <= published.high
        about = evidence == "direction" and published.low < published.high  # a range that stands for a word
        return "agrees" if within or (all(map(math.isfinite, published)) and not about) else "undecided"
    return "same direction" if expected and ours == expected else "differs"


def _direction(bounds: Bounds, no_effect: float | None) -> int:
    """1 for bounds above no effect, -1 below, 0 on both sides of it or at it alone; their ends may touch it."""
    if no_effect is None or bounds.low == bounds.high == no_effect:
        return 0
    return 1 if bounds.low >= no_effect else -1 if bounds.high <= no_effect else 0


def _holds(bounds: Bounds, no_effect: float | None) -> bool:
    return no_effect is not None and bounds.low <= no_effect <= bounds.high

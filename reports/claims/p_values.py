"""P values of verdicts, by inverting their intervals: the kind measures its effect again at other confidences.

The p value of a verdict is the smallest error (1 − confidence) at which it would still be reached. So a claim is
supported or refuted exactly where its p value is at most the error that it allows, and any kind has one, also a user's
own. It is the p value of a two-sided interval: for a claim with one bound, twice the one-sided p value where the
interval is equal-tailed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from deepboot.reports.claims.effect import Effect, Verdict

Quantifier = Literal["all", "any"]

SMALLEST, LARGEST = 1e-6, 0.49  # errors that are tried: a claim's confidence is above a half
CALLS = 12  # at most; they settle p to less than 1 %
FINE = 1.002  # ratio of two errors that are as good as one
NEAR = 1.02  # ratio to the smallest p value so far below which a smaller one is searched for


@dataclass(frozen=True)
class Significance:
    """A verdict's p value.

    Attributes:
        towards: the verdict that p belongs to: the one reached, else the one to which the estimate points;
            "inconclusive" where it points to neither.
        p: smallest error at which it would be reached, at most 1 % too large; 1e-6 also means less, and 1 that no
            error up to 0.49 is enough. None where the estimate points to neither verdict.
    """

    towards: Verdict
    p: float | None

    @property
    def text(self) -> str:
        """The p value in words."""
        return p_value(self.p)


NOT_TESTED = Significance("inconclusive", None)


def p_value(p: float | None) -> str:
    """A p value as a reader would write it.

    >>> p_value(0.0314159), p_value(0.00031), p_value(1e-6), p_value(1.0), p_value(None)
    ('0.031', '0.00031', '< 0.0001', '> 0.49', '–')
    """
    if p is None:
        return "–"
    if p > LARGEST:
        return f"> {LARGEST}"
    return "< 0.0001" if p < 1e-4 else f"{p:.{1 - math.floor(math.log10(p))}f}"


@dataclass(frozen=True)
class Question:
    """A verdict as a function of the allowed error, in which it is monotone.

    Attributes:
        effect: the effect at ``error``.
        error: one minus the claim's confidence.
        verdict_at: the verdict at another error; one that the kind refuses (ValueError) is inconclusive.
    """

    effect: Effect
    error: float
    verdict_at: Callable[[float], Verdict]

    @property
    def towards(self) -> Verdict:
        """The verdict reached, else the one to which the estimate points."""
        return self.effect.leaning if self.effect.verdict == "inconclusive" else self.effect.verdict

    def holds(self, error: float) -> bool:
        """Whether it is reached at this error."""
        try:
            return self.verdict_at(error) == self.towards
        except ValueError:
            return False

    def p(self) -> float:
        """The smallest error at which it is reached, by bisection on the error's logarithm."""
        decided = self.effect.verdict != "inconclusive"
        if decided and self.holds(SMALLEST):
            return SMALLEST
        if not decided and not self.holds(LARGEST):
            return 1.0
        low, high = (SMALLEST, self.error) if decided else (self.error, LARGEST)
        for _ in range(CALLS - 1):
            if high / low < FINE:
                break
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.holds(middle) else (middle, high)
        return high


def significance(question: Question) -> Significance:
    """The p value of a verdict in one cell."""
    return NOT_TESTED if question.towards == "inconclusive" else Significance(question.towards, question.p())


def over_cells(cells: Sequence[Significance], quantifier: Quantifier) -> Significance:
    """The p value of a claim about all cells, or about any of them.

    One cell refutes "all", and one supports "any": with m cells that is m chances, so the smallest p of such cells is
    multiplied by m (Bonferroni, whatever the cells have in common). That every cell supports "all", or refutes "any",
    takes all of them, and their largest p needs no correction (intersection–union; Berger 1982). A cell of which
    nothing is known counts as p = 1.

    >>> cells = [Significance("supported", 0.001), Significance("supported", 0.04)]
    >>> over_cells(cells, "all").p, over_cells(cells, "any").p
    (0.04, 0.002)
    """
    decisive, unanimous = _overall_verdicts(quantifier)
    single = [cell.p for cell in cells if cell.towards == decisive and cell.p is not None]
    if single:
        return Significance(decisive, min(1.0, len(cells) * min(single)))
    if any(cell.p is None for cell in cells) or not cells:
        return NOT_TESTED
    return Significance(unanimous, max(cell.p for cell in cells if cell.p is not None))


def over_many(cells: Sequence[Question], quantifier: Quantifier) -> Significance:
    """The result of `over_cells`, to within 2 %, without the p value of every cell.

    A cell whose p value would change nothing is judged once, at the best or worst error so far: for m cells it takes
    little more than m calls of a kind, not twelve times as many.
    """
    decisive, unanimous = _overall_verdicts(quantifier)
    single = [cell for cell in cells if cell.towards == decisive]
    if single:
        least = 1.0
        for cell in single:
            least = min(least, cell.p()) if cell.holds(min(least / NEAR, LARGEST)) else least
        return Significance(decisive, min(1.0, len(cells) * least))
    if not cells or any(cell.towards == "inconclusive" for cell in cells):
        return NOT_TESTED
    most = SMALLEST
    for cell in cells:
        most = most if most > LARGEST or cell.holds(most) else cell.p()
    return Significance(unanimous, most)


def over_verdicts(verdicts: Sequence[Verdict], quantifier: Quantifier, surely: Callable[[int], bool]) -> Verdict:
    """The verdict of a claim about all cells, or about any, by the same rule as `over_cells`.

    Args:
        verdicts: of each cell, at the claim's error.
        quantifier: "all" or "any".
        surely: whether the verdict of the cell with this index is reached at the error divided by the number of cells.
    """
    decisive, unanimous = _overall_verdicts(quantifier)
    if any(verdict == decisive and surely(index) for index, verdict in enumerate(verdicts)):
        return decisive
    return unanimous if set(verdicts) == {unanimous} else "inconclusive"


def _overall_verdicts(quantifier: Quantifier) -> tuple[Verdict, Verdict]:
    """The overall verdict that one cell decides, and the verdict that takes every cell."""
    return ("refuted", "supported") if quantifier == "all" else ("supported", "refuted")

"""A claim among the others: its overall verdict, the p value of it, and that adjusted for the number of claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.p_values import Quantifier, Significance, over_cells, over_many
from deepboot.reports.statistics.multiplicity import benjamini_hochberg, holm

MOST_TESTED = 12  # cells of a claim that each get a p value: a kind is called a dozen times for one


@dataclass(frozen=True)
class Case:
    """One claim with all its judgements, and how many claims share its error.

    Attributes:
        judgements: in every cell that it selects, or one over all of them.
        holm, benjamini_hochberg: p values adjusted over the family of claims. None: not of the family, or no p value.
        family: "primary" or "all", the claims that are adjusted for each other, and how many they are.
    """

    judgements: tuple[Judgement, ...]
    holm: float | None = None
    benjamini_hochberg: float | None = None
    family: tuple[str, int] = ("all", 1)

    @property
    def first(self) -> Judgement:
        """The judgement that the claim's own text, number and flags are read off."""
        return self.judgements[0]

    @property
    def overall(self) -> Verdict:
        """The verdict over all cells."""
        return self.first.overall

    @property
    def quantifier(self) -> Quantifier:
        """Whether it is claimed for all cells or for any."""
        return self.first.claim.get("quantifier", "all")

    @cached_property
    def significance(self) -> Significance:
        """The p value of the overall verdict; see `over_cells`."""
        questions = [one.question for one in self.judgements]
        known = [question for question in questions if question]
        if len(self.judgements) > MOST_TESTED and len(known) == len(questions):
            return over_many(known, self.quantifier)
        return over_cells([one.significance for one in self.judgements], self.quantifier)

    def significance_of(self, judgement: Judgement) -> Significance | None:
        """The p value in one cell; None where there are so many cells that it is not computed."""
        return judgement.significance if len(self.judgements) <= MOST_TESTED else None

    def as_dict(self, judgement: Judgement) -> dict[str, Any]:
        """For JSON, beside one of its judgements: null p values were not computed or cannot be."""
        own, overall = self.significance_of(judgement), self.significance
        return {
            "p": own.p if own else None,
            "p_towards": own.towards if own else None,
            "p_overall": overall.p,
            "p_overall_towards": overall.towards,
            "p_holm": self.holm,
            "p_bh": self.benjamini_hochberg,
            "family": list(self.family),
        }


def cases(judgements: Iterable[Judgement]) -> list[Case]:
    """Every claim with its judgements, in the order of these, and adjusted p values.

    The family is the primary claims of one folder, or all of its claims where none is primary; withdrawn ones stay in
    it. A claim that has no p value counts as p = 1.
    """
    every = [Case(tuple(group)) for _, group in groupby(judgements, key=lambda one: (one.folder, one.number))]
    return [one for _, group in groupby(every, key=lambda one: one.first.folder) for one in _adjusted(list(group))]


def _adjusted(found: list[Case]) -> list[Case]:
    """The claims of one folder, adjusted for each other."""
    name = "primary" if any(one.first.primary for one in found) else "all"
    family = [place for place, one in enumerate(found) if name == "all" or one.first.primary]
    p_values = [_known(found[place].significance) for place in family]
    adjusted = dict(zip(family, zip(holm(p_values), benjamini_hochberg(p_values), strict=True), strict=True))
    return [
        Case(one.judgements, *_values(one, adjusted.get(place)), (name, len(family))) for place, one in enumerate(found)
    ]


def _values(case: Case, values: tuple[float, float] | None) -> tuple[float | None, float | None]:
    return (None, None) if values is None or case.significance.p is None else values


def _known(significance: Significance) -> float:
    return 1.0 if significance.p is None else significance.p

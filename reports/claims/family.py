"""The family of claims: each with its overall verdict, its p value, and p values adjusted for the number of claims."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.p_values import Quantifier, Significance, over_cells, over_many
from deepboot.reports.statistics.multiplicity import benjamini_hochberg, holm
from deepboot.reports.text import plural

Claim = TypeVar("Claim")  # as a study has it, or with its verdicts
MOST_TESTED = 12  # cells of a claim that each get a p value: a kind is called a dozen times for one


def leading(standing: Sequence[Claim], is_primary: Callable[[Claim], bool]) -> Claim | None:
    """The claim that a page's answer is about: the first that is primary, or else the first; None of none."""
    return next(filter(is_primary, standing), standing[0] if standing else None)


def counts(claims: Sequence["Case"]) -> str:
    """How many claims are supported, and what became of the others: "3 of 4 claims supported, 1 undecided".

    A claim that was withdrawn is none of them.
    """
    standing = [case for case in claims if not case.first.withdrawn]
    numbers = Counter(case.overall for case in standing)
    rest = [(numbers["refuted"], "refuted"), (numbers["inconclusive"], "undecided")]
    others = "".join(f", {n} {word}" for n, word in rest if n)
    return f"{numbers['supported']} of {plural(len(standing), 'claim')} supported{others}"


@dataclass(frozen=True)
class Case:
    """One claim with all its judgements and its p values within the family.

    Attributes:
        judgements: one in every cell that it selects, or one over all cells.
        significance: the p value of the overall verdict; see `over_cells`.
        holm, benjamini_hochberg: p values adjusted over the family of claims. None: not of the family, or no p value.
        family: which claims are adjusted for each other, "primary" or "all", and their number.
    """

    judgements: tuple[Judgement, ...]
    significance: Significance
    holm: float | None = None
    benjamini_hochberg: float | None = None
    family: tuple[str, int] = ("all", 1)

    @property
    def first(self) -> Judgement:
        """The first judgement: text, number and flags are the same in all of them."""
        return self.judgements[0]

    @property
    def overall(self) -> Verdict:
        """The verdict over all cells."""
        return self.first.overall

    @property
    def quantifier(self) -> Quantifier:
        """Whether it is claimed for all cells or for any."""
        return _quantifier(self.judgements)

    def significance_of(self, judgement: Judgement) -> Significance | None:
        """The p value in one cell; None over so many cells that it is not computed."""
        return judgement.significance if len(self.judgements) <= MOST_TESTED else None

    def as_dict(self, judgement: Judgement) -> dict[str, Any]:
        """For JSON, beside one of its judgements; a p value that is not computed or does not exist is null."""
        in_cell, overall = self.significance_of(judgement), self.significance
        return {
            "p": in_cell.p if in_cell else None,
            "p_towards": in_cell.towards if in_cell else None,
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
    groups = [tuple(group) for _, group in groupby(judgements, key=lambda one: (one.folder, one.number))]
    claims = [Case(group, _significance(group)) for group in groups]
    folders = groupby(claims, key=lambda claim: claim.first.folder)
    return [claim for _, group in folders for claim in _adjusted(list(group))]


def _significance(judgements: tuple[Judgement, ...]) -> Significance:
    """The p value of the overall verdict of a claim with these judgements."""
    quantifier = _quantifier(judgements)
    questions = [judgement.question for judgement in judgements]
    known = [question for question in questions if question]
    if len(judgements) > MOST_TESTED and len(known) == len(questions):
        return over_many(known, quantifier)
    return over_cells([judgement.significance for judgement in judgements], quantifier)


def _quantifier(judgements: tuple[Judgement, ...]) -> Quantifier:
    return judgements[0].claim.get("quantifier", "all")


def _adjusted(claims: list[Case]) -> list[Case]:
    """The claims of one folder, adjusted for each other."""
    name = "primary" if any(claim.first.primary for claim in claims) else "all"
    family = [index for index, claim in enumerate(claims) if name == "all" or claim.first.primary]
    p_values = [_p_or_1(claims[index].significance) for index in family]
    adjusted = dict(zip(family, zip(holm(p_values), benjamini_hochberg(p_values), strict=True), strict=True))
    return [
        Case(claim.judgements, claim.significance, *_adjusted_p(claim, adjusted.get(index)), (name, len(family)))
        for index, claim in enumerate(claims)
    ]


def _adjusted_p(claim: Case, values: tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Adjusted p values; None outside the family and for a claim without a p value."""
    return (None, None) if values is None or claim.significance.p is None else values


def _p_or_1(significance: Significance) -> float:
    return 1.0 if significance.p is None else significance.p

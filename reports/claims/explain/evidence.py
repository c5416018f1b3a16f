"""What a verdict rests on: its figure, its numbers, the runs it lacks, what was compared, what would change it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.explain.compared import contrast
from deepboot.reports.claims.explain.missing_runs import absent
from deepboot.reports.claims.explain.sensitivity import turning
from deepboot.reports.claims.family import Case
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import figures_of
from deepboot.reports.claims.p_values import p_value
from deepboot.reports.text import percent


@dataclass(frozen=True)
class Grounds:
    """The grounds of one judgement, in words.

    Attributes:
        cell: where it was judged; None where it could not be.
        verdict: there.
        figures: names of the report's figures that show it, the best one first.
        numbers: what and its value.
        runs: which runs never reached the event, diverged, failed or lack a partner.
        compared: what differs between the arms; empty where it speaks of one cell's own runs.
        change: what would change the verdict.
    """

    cell: str | None
    verdict: Verdict
    figures: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    runs: tuple[str, ...]
    compared: tuple[str, ...]
    change: tuple[str, ...]

    def figure(self, drawn: Collection[str]) -> str:
        """The first of its figures that a page has; empty without one."""
        return next((name for name in self.figures if name in drawn), "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; its numbers stand beside it, unrounded."""
        names = ("figures", "runs", "compared", "change")
        return {name: list(getattr(self, name)) for name in names}


def grounds(case: Case, judgement: Judgement) -> Grounds:
    """The grounds of one of a claim's judgements."""
    return Grounds(
        cell=judgement.cell,
        verdict=judgement.verdict,
        figures=figures_of(judgement.claim["kind"], judgement.settings),
        numbers=tuple(_numbers(case, judgement)),
        runs=tuple(absent(judgement)),
        compared=tuple(contrast(judgement)),
        change=tuple(turning(judgement)),
    )


def weightiest(case: Case, most: int) -> list[Judgement]:
    """The judgements that make the overall verdict or stand in its way, at most so many, in the study's order.

    First the cells that alone can decide it, which refute "all" or support "any", the most certain first; then the
    others, the least certain first.
    """
    alone: Verdict = "refuted" if case.quantifier == "all" else "supported"

    def weight(place: int) -> tuple[int, float]:
        one, found = case.judgements[place], case.significance_of(case.judgements[place])
        towards = one.question.towards if one.question else "inconclusive"
        p = 1.0 if found is None or found.p is None else found.p
        return (2 + (one.verdict == alone), -p) if towards == alone else (int(one.verdict == "inconclusive"), p)

    chosen = sorted(range(len(case.judgements)), key=weight, reverse=True)[:most]
    return [case.judgements[place] for place in sorted(chosen)]


def _numbers(case: Case, judgement: Judgement) -> list[tuple[str, str]]:
    effect = judgement.effect
    if effect is None:
        return []
    alone = len(case.judgements) == 1
    rows = [
        (f"n ({effect.items})", effect.counted),
        ("estimate", effect.estimated),
        (f"{percent(judgement.confidence)} interval", effect.spanned),
        ("claimed", effect.claimed),
    ]
    found = case.significance_of(judgement)
    if found is not None and found.p is not None:
        rows += [(f"p, for “{found.towards}”", found.written)]
    if alone and case.holm is not None and case.family[1] > 1:
        rows += [("p, Holm", p_value(case.holm)), ("p, Benjamini–Hochberg", p_value(case.benjamini_hochberg))]
    return rows

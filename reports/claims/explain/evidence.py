"""The evidence beside a verdict: its figure and numbers, missing runs, what was compared, and what would change it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from deepboot.reports.claims.effect import Verdict
from deepboot.reports.claims.explain.compared import compared
from deepboot.reports.claims.explain.missing_runs import missing_runs
from deepboot.reports.claims.explain.sensitivity import sensitivity
from deepboot.reports.claims.family import Case
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import figures_of
from deepboot.reports.claims.p_values import p_value
from deepboot.reports.text import percent


@dataclass(frozen=True)
class VerdictEvidence:
    """The evidence of one judgement, in words.

    Attributes:
        cell: label of the cell; None where the claim was not judged.
        verdict: in this cell.
        figures: names of the report's figures that show the effect, the best one first.
        numbers: names and values.
        runs: sentences on runs that never reached the event, diverged, failed or lack a partner.
        compared: sentences on the differences between the groups; empty for a claim about one cell's own runs.
        change: sentences on more seeds, a longer budget or a bound that would change the verdict.
    """

    cell: str | None
    verdict: Verdict
    figures: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    runs: tuple[str, ...]
    compared: tuple[str, ...]
    change: tuple[str, ...]

    def figure(self, on_page: Collection[str]) -> str:
        """The first of its figures that a page has; empty without one."""
        return next((name for name in self.figures if name in on_page), "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the numbers, which the judgement has unrounded."""
        names = ("figures", "runs", "compared", "change")
        return {name: list(getattr(self, name)) for name in names}


def evidence_of(case: Case, judgement: Judgement) -> VerdictEvidence:
    """The evidence of one of a claim's judgements."""
    return VerdictEvidence(
        cell=judgement.cell,
        verdict=judgement.verdict,
        figures=figures_of(judgement.claim["kind"], judgement.settings),
        numbers=tuple(_numbers(case, judgement)),
        runs=tuple(missing_runs(judgement)),
        compared=tuple(compared(judgement)),
        change=tuple(sensitivity(judgement)),
    )


def weightiest(case: Case, most: int) -> list[Judgement]:
    """The judgements on which the overall verdict depends most, at most so many, in the study's order.

    First the cells that alone can decide it, which refute "all" or support "any", the most certain first; then the
    others, the least certain first.
    """
    decisive: Verdict = "refuted" if case.quantifier == "all" else "supported"

    def weight(index: int) -> tuple[int, float]:
        judgement, significance = case.judgements[index], case.significance_of(case.judgements[index])
        towards = judgement.question.towards if judgement.question else "inconclusive"
        p = 1.0 if significance is None or significance.p is None else significance.p
        undecided = int(judgement.verdict == "inconclusive")
        return (2 + (judgement.verdict == decisive), -p) if towards == decisive else (undecided, p)

    chosen = sorted(range(len(case.judgements)), key=weight, reverse=True)[:most]
    return [case.judgements[index] for index in sorted(chosen)]


def _numbers(case: Case, judgement: Judgement) -> list[tuple[str, str]]:
    effect = judgement.effect
    if effect is None:
        return []
    single = len(case.judgements) == 1
    rows = [
        (f"n ({effect.items})", effect.count_text),
        ("estimate", effect.estimate_text),
        (f"{percent(judgement.confidence)} interval", effect.interval_text),
        ("claimed", effect.claimed_text),
    ]
    significance = case.significance_of(judgement)
    if significance is not None and significance.p is not None:
        rows += [(f"p, for “{significance.towards}”", significance.text)]
    if single and case.holm is not None and case.family[1] > 1:
        rows += [("p, Holm", p_value(case.holm)), ("p, Benjamini–Hochberg", p_value(case.benjamini_hochberg))]
    return rows

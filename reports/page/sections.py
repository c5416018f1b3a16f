"""The parts of a report: every study with its answer and claims, and tables in groups."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from deepboot.reports.claims.explain.evidence import VerdictEvidence, evidence_of, weightiest
from deepboot.reports.claims.explain.otherwise import otherwise
from deepboot.reports.claims.family import Case, cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.registration import Registration, studies
from deepboot.reports.comparison import Comparison
from deepboot.reports.page.answer import Answer, answer
from deepboot.reports.page.bars import bar
from deepboot.reports.page.summary import finding, overview, unreached
from deepboot.reports.tables import cells, verdicts
from deepboot.reports.tables.across_tasks import profiles, tasks
from deepboot.reports.tables.pairing import gap_shares, noise, pairing, predictions
from deepboot.reports.tables.table import Table
from deepboot.reports.tables.time_to_event import equality, incidence, means, ratios, time_ratios
from deepboot.reports.time_axis import Axis

MOST_SPELT = 3  # cells of one claim in sentences; of more cells the page has a count, and the table every one
STUDY_FILE = "study.toml"


@dataclass(frozen=True)
class Claim:
    """One claim as a row of the page: its case, its evidence, its bar, and verdicts by other measures that differ."""

    case: Case
    evidence: list[VerdictEvidence]
    bar: Markup
    otherwise: str

    @property
    def sentences(self) -> list[str]:
        """The verdict in words: of every cell, or of few of them, or over many how it differs from its registration."""
        few = len(self.case.judgements) <= MOST_SPELT
        told = [one.sentence for one in self.case.judgements] if few else [verdicts.changed(self.case)]
        return [sentence for sentence in (*told, self.otherwise) if sentence]


@dataclass(frozen=True)
class Part:
    """One study of the report.

    Attributes:
        folder: its name; empty where there is one study only.
        question, origin: as the study has them; maybe empty.
        problem: of the registration of its claims; empty without one.
        answer: to its question.
        comparison: of its runs alone, in steps.
        claims: its claims, withdrawn ones too.
        together, every: tables of all claims, and of every claim in every cell.
    """

    folder: str
    question: str
    origin: str
    problem: str
    comparison: Comparison
    answer: Answer
    claims: list[Claim]
    together: Table
    every: Table


def parts(comparison: Comparison) -> list[Part]:
    """Every study of a comparison, each judged by its own claims in its own cells."""
    judged = {
        folder: list(group) for folder, group in groupby(cases(judge(comparison)), lambda case: case.first.folder)
    }
    return [_part(folder, part, judged.get(folder, [])) for folder, part in studies(comparison).items()]


def _part(folder: str, comparison: Comparison, judged: list[Case]) -> Part:
    study = comparison.sources[0].study
    question = str(study.get("question") or "")
    found = [] if judged else [*overview(comparison), *finding(comparison)]
    answered = answer(question, judged, found)
    return Part(
        folder,
        question,
        str(study.get("source") or ""),
        Registration.of(comparison.sources[0]).problem,
        comparison,
        replace(answered, text=" ".join(filter(None, (answered.text, unreached(comparison))))),
        [Claim(case, _evidence(case), bar(case.judgements), otherwise(comparison, case)) for case in judged],
        verdicts.together(judged),
        verdicts.verdicts([one for case in judged for one in case.judgements]),
    )


def _evidence(case: Case) -> list[VerdictEvidence]:
    """The evidence of every judgement of a claim, or of the weightiest ones."""
    return [evidence_of(case, one) for one in weightiest(case, MOST_SPELT) if one.effect]


def tables(comparison: Comparison, axis: Axis) -> list[tuple[str, list[Table]]]:
    """The tables of a report in groups, each with a heading; tables and groups without rows are left out."""
    timed = comparison.over(axis)
    groups = [
        ("Memorisation and grokking", [cells.steps(timed), cells.delays(timed), *_of(comparison, time_ratios, ratios)]),
        ("How runs end", [cells.outcomes(comparison)]),
        ("Time to grokking in more detail", _of(comparison, means, equality, incidence)),
        (
            "Bootstrap error",
            [*(cells.errors(comparison, when) for when in ("stopping", "end")), gap_shares(comparison)],
        ),
        ("How far these numbers can be trusted", _of(comparison, predictions, pairing, noise)),
        ("All tasks", _of(comparison, tasks, profiles)),
        ("Data", [cells.facts(comparison)]),
        ("Environment", [cells.environments(comparison)]),
    ]
    with_rows = [(title, [table for table in group if table.rows]) for title, group in groups]
    return [(title, group) for title, group in with_rows if group]


def study_files(comparison: Comparison) -> list[tuple[str, str]]:
    """The text of every folder's study file, by its name; none of results in memory."""
    paths = [Path(source.folder) / STUDY_FILE for source in comparison.sources if source.folder is not None]
    return [(str(path), path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def _of(comparison: Comparison, *makers: Callable[[Comparison], Table]) -> list[Table]:
    return [maker(comparison) for maker in makers]

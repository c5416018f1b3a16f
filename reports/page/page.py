"""The report of an output folder: one page that opens offline, the same as text, and its figures as files."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.results import Results, read
from deepboot.bootstrap.study.messages import StudyError
from deepboot.reports.claims.explain.evidence import VerdictEvidence, evidence_of, weightiest
from deepboot.reports.claims.family import Case, cases
from deepboot.reports.claims.judge import judge
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.registration import Registration, studies
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.figures.gallery import draw_all
from deepboot.reports.interactive.page import interactive
from deepboot.reports.page.summary import excluded, finding, progress
from deepboot.reports.replication.ledger import replications
from deepboot.reports.tables import cells, verdicts
from deepboot.reports.tables.across_tasks import profiles, tasks
from deepboot.reports.tables.pairing import gap_shares, noise, pairing, predictions
from deepboot.reports.tables.replication import beside_published
from deepboot.reports.tables.table import Table, in_markdown
from deepboot.reports.tables.time_to_event import equality, incidence, means, ratios, time_ratios
from deepboot.reports.text import plural
from deepboot.reports.time_axis import Axis

TEMPLATES = Path(__file__).parent / "templates"
MOST_ROWS = 40  # of a table in the page; the text has all
MOST_SPELT = 3  # cells of one claim in sentences; of more cells the page has a count, and the table every one
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}


def write_report(
    source: Results | Path | Sequence[Path | Results] | Comparison, out: Path | None = None, *, axis: Axis = "step"
) -> Path:
    """Write ``report.html``, ``report.md`` and ``figures/`` and return the path of the page.

    Args:
        source: an output folder, results already read, several of them side by side, or their comparison.
        out: the page's file; the text takes its name and both lie beside ``figures/``. By default
            ``report.html`` in the output folder.
        axis: unit of time in the figures and in the tables of steps and delays; claims are judged in steps.

    Raises:
        ValueError: no folder to write to, or a folder without results.
        StudyError: the report cannot be written.
    """
    comparison = source if isinstance(source, Comparison) else compare(_read(source))
    results = list(comparison.sources)
    page = _page_file(results, out)
    context = _context(comparison, axis)
    try:
        _write(page, context)
    except OSError as error:
        raise StudyError([
            f"report {page} cannot be written: {_reason(error)}. The results are whole: make room, or give another "
            f"file with --out, and write it again with `deepboot report {' '.join(_folders(results))}`."
        ]) from error  # fmt: skip
    return page


def _read(source: Results | Path | Sequence[Path | Results]) -> list[Results]:
    several = list(source) if isinstance(source, Sequence) else [source]
    return [one if isinstance(one, Results) else read(one) for one in several]


def _write(page: Path, context: dict[str, Any]) -> None:
    figures = page.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for drawing in context["drawings"]:
        drawing.save(figures)
    write_atomically(page.with_suffix(".md"), _rendered("report.md.j2", context).encode())
    write_atomically(page, _rendered("report.html.j2", context).replace(" %", "\N{NO-BREAK SPACE}%").encode())


def _reason(error: OSError) -> str:
    """The system's message, and the file."""
    message = error.strerror or str(error)
    file = error.filename2 or error.filename
    return f"{message} ({file})" if file else message


def _folders(results: list[Results]) -> list[str]:
    return [str(one.folder) for one in results if one.folder is not None] or ["DIR"]


def _page_file(results: list[Results], out: Path | None) -> Path:
    if out is not None:
        return out
    if len(results) == 1 and results[0].folder is not None:
        return results[0].folder / "report.html"
    what = f"{len(results)} folders have" if len(results) > 1 else "results in memory have"
    raise ValueError(f"{what} no one place for a report. Give the file to write, such as `--out report.html`.")


def _context(comparison: Comparison, axis: Axis) -> dict[str, Any]:
    drawings = draw_all(comparison, axis)
    runs, timed = comparison.runs, comparison.over(axis)
    return {
        "title": _unique(comparison, "question")[:1] or ["Real and ideal world compared"],
        "questions": _unique(comparison, "question"),
        "origins": _unique(comparison, "source"),
        "counts": plural(len(runs), "run"),
        "pairs": plural(int(runs["ideal_run_id"].notna().sum()), "pair"),
        "cells": plural(len(comparison.cells()), "cell"),
        "judged": _judged(comparison),
        "published": beside_published(replications(comparison)),
        "so_far": progress(comparison),
        "unfinished": int((runs["status"] == "unfinished").sum()),
        "finding": finding(comparison),
        "excluded": excluded(comparison),
        "configuration": cells.configuration(comparison),
        "interactive": interactive(comparison),
        "drawings": drawings,
        "numbered": {drawing.name: number for number, drawing in enumerate(drawings, start=1)},
        "steps": [cells.steps(timed), cells.delays(timed), *_tables(comparison, time_ratios, ratios)],
        "more_steps": _tables(comparison, means, equality),
        "errors": [cells.errors(comparison, "stopping"), cells.errors(comparison, "end"), gap_shares(comparison)],
        "more_errors": _tables(comparison, predictions, pairing, noise),
        "tasks": _tables(comparison, tasks, profiles),
        "incidence": _tables(comparison, incidence),
        "facts": cells.facts(comparison),
        "environment": cells.environments(comparison),
        "commands": [str(one.environment["command"]) for one in comparison.sources if one.environment.get("command")],
        "marks": MARKS,
        "most": MOST_ROWS,
        "spelt": MOST_SPELT,
    }


def _judged(comparison: Comparison) -> list[dict[str, Any]]:
    """Every folder's claims with their evidence and tables; a folder without claims is left out."""
    problems = {folder: Registration.of(part.sources[0]).problem for folder, part in studies(comparison).items()}
    return [
        {
            "folder": folder,
            "problem": problems[folder],
            "claims": claims,
            "evidence": [_evidence(case) for case in claims],
            "together": verdicts.together(claims),
            "verdicts": verdicts.verdicts([one for case in claims for one in case.judgements]),
        }
        for folder, claims in (
            (folder, list(group)) for folder, group in groupby(cases(judge(comparison)), lambda case: case.first.folder)
        )
    ]


def _tables(comparison: Comparison, *makers: Callable[[Comparison], Table]) -> list[Table]:
    return [maker(comparison) for maker in makers]


def _evidence(case: Case) -> list[VerdictEvidence]:
    """The evidence of every judgement of a claim, or of the weightiest ones."""
    return [evidence_of(case, one) for one in weightiest(case, MOST_SPELT) if one.effect]


def _unique(comparison: Comparison, key: str) -> list[str]:
    return list(dict.fromkeys(str(one.study[key]) for one in comparison.sources if one.study.get(key)))


def _rendered(name: str, context: dict[str, Any]) -> str:
    page = name.endswith("html.j2")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=page,
        finalize=None if page else _in_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"pipe": _pipe, "safe_svg": Markup}
    environment.globals |= {"flags": verdicts.flags, "changed": verdicts.changed, "tally": verdicts.tally}
    environment.globals["style"] = Markup((TEMPLATES / "style.css").read_text())
    return environment.get_template(name).render(context).strip() + "\n"


def _in_markdown(value: Any) -> Any:
    return value if not isinstance(value, str) or isinstance(value, Markup) else in_markdown(value)


def _pipe(table: Table) -> Markup:
    return Markup(table.markdown)


__all__ = ["Judgement", "finding", "write_report"]

"""The report of an output folder: one page that opens offline, the same as text, and its figures as files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from deepboot.bootstrap.files import write_atomically
from deepboot.bootstrap.results import Results, read
from deepboot.bootstrap.study.messages import StudyError
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.p_values import p_value
from deepboot.reports.comparison import Comparison, compare
from deepboot.reports.figures.facets import Drawing
from deepboot.reports.figures.gallery import draw_all, draw_together
from deepboot.reports.figures.theme import tone_rules
from deepboot.reports.interactive.page import interactive
from deepboot.reports.page import sections
from deepboot.reports.page.glossary import glossary
from deepboot.reports.page.summary import excluded, finding, overview, progress
from deepboot.reports.replication.ledger import replications
from deepboot.reports.tables import settings, verdicts
from deepboot.reports.tables.replication import beside_published
from deepboot.reports.tables.table import Table, in_markdown
from deepboot.reports.text import percent, plural
from deepboot.reports.time_axis import Axis

TEMPLATES = Path(__file__).parent / "templates"
MOST_ROWS = 12  # of a table in the page; its CSV and the text have all
MOST_SENTENCES = 6  # of the finding that are not folded
SAFE = "/,:;=()*+!~"  # letters that an address in an attribute may hold as they are, which makes it shorter
MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}


def write_report(
    source: Results | str | Path | Sequence[str | Path | Results] | Comparison,
    out: str | Path | None = None,
    *,
    axis: Axis = "step",
    pdf: bool = False,
) -> Path:
    """Write ``report.html``, ``report.md`` and ``figures/`` and return the path of the page.

    Args:
        source: an output folder, results already read, several of them side by side, or their comparison.
        out: the page's file; the text takes its name and both lie beside ``figures/``. By default
            ``report.html`` in the output folder.
        axis: unit of time in the figures and in the tables of steps and delays; claims are judged in steps.
        pdf: write every figure as PDF, too, beside its SVG.

    Raises:
        ValueError: no folder to write to, or a folder without results.
        StudyError: the report cannot be written.
    """
    comparison = source if isinstance(source, Comparison) else compare(_read(source))
    results = list(comparison.sources)
    page = _page_file(results, out)
    context = _context(comparison, axis)
    try:
        _write(page, context, pdf)
    except OSError as error:
        raise StudyError([
            f"report {page} cannot be written: {_reason(error)}. The results are whole: make room, or give another "
            f"file with --out, and write it again with `deepboot report {' '.join(_folders(results))}`."
        ]) from error  # fmt: skip
    return page


def _read(source: Results | str | Path | Sequence[str | Path | Results]) -> list[Results]:
    several = [source] if isinstance(source, Results | str | Path) else source
    return [one if isinstance(one, Results) else read(one) for one in several]


def _write(page: Path, context: dict[str, Any], pdf: bool) -> None:
    figures = page.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for drawing in context["drawings"]:
        drawing.save(figures, commands=context["commands"], pdf=pdf)
    write_atomically(page.with_suffix(".md"), _rendered("report.md.j2", context).encode())
    write_atomically(page, _rendered("report.html.j2", context).replace(" %", "\N{NO-BREAK SPACE}%").encode())


def _reason(error: OSError) -> str:
    """The system's message, and the file."""
    message = error.strerror or str(error)
    file = error.filename2 or error.filename
    return f"{message} ({file})" if file else message


def _folders(results: list[Results]) -> list[str]:
    return [str(one.folder) for one in results if one.folder is not None] or ["DIR"]


def _page_file(results: list[Results], out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    if len(results) == 1 and results[0].folder is not None:
        return results[0].folder / "report.html"
    what = f"{len(results)} folders have" if len(results) > 1 else "results in memory have"
    raise ValueError(f"{what} no one place for a report. Give the file to write, such as `--out report.html`.")


def _unsaid(sentences: list[str], parts: list[sections.Part]) -> list[str]:
    """Those of the finding that no answer holds: where nothing was claimed, the answer is its beginning."""
    return [sentence for sentence in sentences if not any(sentence in part.answer.text for part in parts)]


def _context(comparison: Comparison, axis: Axis) -> dict[str, Any]:
    """All that the two templates show, of a comparison in steps, with figures and tables on this axis."""
    parts = sections.parts(comparison)
    shown = _shown(parts, axis)
    together = _together(comparison, parts, axis, sum(len(one.numbers) for one in shown.values()))
    runs = comparison.runs
    several = f"{len(parts)} studies side by side"
    return {
        "title": several if len(parts) > 1 else parts[0].question or "Real and ideal world compared",
        "parts": parts,
        "counts": plural(len(runs), "run"),
        "pairs": plural(int(runs["ideal_run_id"].notna().sum()), "pair"),
        "unpaired": not runs["ideal_run_id"].notna().any(),
        "cells": plural(len(comparison.cells()), "cell"),
        "so_far": progress(comparison),
        "unfinished": int((runs["status"] == "unfinished").sum()),
        "published": beside_published(replications(comparison)),
        "between": settings.between_folders(comparison),
        "shown": shown,
        "together": together,
        "headed": [("Figures", one, 1) for one in shown.values()]
        if len(parts) == 1
        else [
            *((f"Figures of {folder}", one, 0) for folder, one in shown.items()),
            ("Side by side", together, 0),
        ],
        "drawings": [drawing for one in (*shown.values(), together) for drawing in one.drawings],
        "overview": _unsaid(overview(comparison), parts),
        "finding": _unsaid(finding(comparison), parts),
        "excluded": excluded(comparison),
        "glossary": glossary(comparison),
        "swept": settings.swept(comparison),
        "chosen": settings.chosen(comparison),
        "untouched": settings.untouched(comparison),
        "tables": sections.tables(comparison, axis),
        "commands": [str(one.environment["command"]) for one in comparison.sources if one.environment.get("command")],
        "study_files": sections.study_files(comparison),
        "marks": MARKS,
        "most": MOST_ROWS,
        "few": MOST_SENTENCES,
    }


@dataclass(frozen=True)
class Shown:
    """The figures of one study.

    Attributes:
        prefix: of their names, where a page has those of several studies.
        drawings: in the order of the page.
        numbers: of every figure, by its name without the prefix; the pages of one figure share it.
        interactive: the figures that answer to the mouse.
    """

    prefix: str
    drawings: list[Drawing]
    numbers: dict[str, int]
    interactive: Markup | str = ""

    def number(self, drawing: Drawing) -> int:
        """The number of one of its drawings."""
        return self.numbers[(drawing.continues or drawing.name).removeprefix(self.prefix)]


def _shown(parts: list[sections.Part], axis: Axis) -> dict[str, Shown]:
    """The figures of every study, by its folder, numbered through the page."""
    shown: dict[str, Shown] = {}
    for place, part in enumerate(parts, start=1):
        prefix = f"study{place}-" if len(parts) > 1 else ""
        drawings = draw_all(part.comparison, axis)
        numbers = _numbered(drawings, sum(len(one.numbers) for one in shown.values()))
        html = interactive(part.comparison, numbers=numbers, prefix=prefix, first=not any(
            one.interactive for one in shown.values()))  # fmt: skip
        shown[part.folder] = Shown(prefix, [_prefixed(one, prefix) for one in drawings], numbers, html)
    return shown


def _together(comparison: Comparison, parts: list[sections.Part], axis: Axis, before: int) -> Shown:
    """The figures of what compares between several studies."""
    names = [Path(part.folder).name for part in parts]
    known = names if len(set(names)) == len(names) else [part.folder for part in parts]
    by_study = dict(zip(known, (part.comparison for part in parts), strict=True))
    drawings = draw_together(comparison, by_study, axis) if len(parts) > 1 else []
    prefix = "together-"
    return Shown(prefix, [_prefixed(one, prefix) for one in drawings], _numbered(drawings, before))


def _prefixed(drawing: Drawing, prefix: str) -> Drawing:
    """A drawing under a name that no other study's has, with its form for a narrow page."""
    narrow = drawing.narrow and replace(drawing.narrow, name=f"{prefix}{drawing.narrow.name}")
    continues = drawing.continues and f"{prefix}{drawing.continues}"
    return replace(drawing, name=f"{prefix}{drawing.name}", continues=continues, narrow=narrow)


def _numbered(drawings: list[Drawing], before: int = 0) -> dict[str, int]:
    """The number of every figure by its name, after so many others; the pages of one figure share it."""
    names = dict.fromkeys(drawing.continues or drawing.name for drawing in drawings)
    return {name: number for number, name in enumerate(names, start=before + 1)}


def _rendered(name: str, context: dict[str, Any]) -> str:
    return _environment(name.endswith("html.j2")).get_template(name).render(context).strip() + "\n"


@cache
def _environment(page: bool) -> jinja2.Environment:
    """Templates of pages, or of texts, each compiled once."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=page,
        finalize=None if page else _in_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"pipe": _pipe, "safe_svg": Markup, "csv_uri": _csv_uri, "p_value": p_value}
    environment.globals |= {"flags": verdicts.flags, "tally": verdicts.tally, "percent": percent}
    environment.globals["tones"] = Markup(tone_rules())
    for part in ("style.css", "buttons.js"):
        environment.globals[part.split(".")[0]] = Markup((TEMPLATES / part).read_text())
    return environment


def _in_markdown(value: Any) -> Any:
    return value if not isinstance(value, str) or isinstance(value, Markup) else in_markdown(value)


def _pipe(table: Table) -> Markup:
    return Markup(table.markdown)


def _csv_uri(table: Table) -> str:
    """A table as an address that a browser saves as a file, without a file beside the page."""
    return f"data:text/csv;charset=utf-8,{quote(table.csv, safe=SAFE)}"


__all__ = ["Judgement", "finding", "write_report"]

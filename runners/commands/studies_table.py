"""The shipped studies of grokking as a table in Markdown: that of the README."""

from collections.abc import Mapping
from typing import Any

from deepboot.bootstrap.study.schema import Published
from deepboot.reports.tables.table import Table
from deepboot.runners.commands.studies import COLUMNS, entries, facts, paper, published_short, raw_studies, rows


def markdown() -> str:
    """The studies of grokking as a table in Markdown: that of the README."""
    cells: list[tuple[str, ...]] = []
    for name, raw in raw_studies():
        if is_about_grokking(raw):
            numbers = [(published_short(entry), _with_command(entry)) for entry in entries(raw)]
            _, *others = facts(name, raw)
            cells += rows((f"`{name}`", raw["question"], paper(raw), *others), numbers)
    return Table("", ("study", "question", "paper", *COLUMNS[1:]), cells, frozenset(("pairs",))).markdown


def is_about_grokking(raw: Mapping[str, Any]) -> bool:
    """Whether a study is of grokking: all are, but those of Nakkiran's papers, which have a table of their own."""
    return not str(raw.get("source", "")).startswith("Nakkiran")


def _with_command(entry: Published) -> str:
    """Our number, and the command that measured it, in Markdown."""
    return f"{entry.ours} (`{entry.command}`)" if entry.ours else ""

"""The shipped studies of grokking and double descent as a table in Markdown: that of the README."""

from collections.abc import Mapping
from typing import Any

from deepboot.bootstrap.study.schema import Published
from deepboot.reports.tables.table import Table
from deepboot.runners.commands.studies import (
    COLUMNS,
    entries,
    facts,
    outcome,
    paper,
    published_short,
    raw_studies,
    rows,
)


def markdown() -> str:
    """The studies of grokking and double descent as a table in Markdown: that of the README."""
    cells: list[tuple[str, ...]] = []
    for name, raw in raw_studies():
        if not is_of_deep_bootstrap(raw):
            numbers = [(published_short(entry), _with_command(entry)) for entry in entries(raw)] or [("", outcome(raw))]
            _, *others = facts(name, raw)
            cells += rows((f"`{name}`", raw["question"], paper(raw), *others), numbers)
    return Table("", ("study", "question", "paper", *COLUMNS[1:]), cells, frozenset(("pairs",))).markdown


def is_of_deep_bootstrap(raw: Mapping[str, Any]) -> bool:
    """Whether a study is of the paper on the Deep Bootstrap: these have a table of their own."""
    return str(raw.get("source", "")).startswith("Nakkiran, Neyshabur, Sedghi 2021")


def _with_command(entry: Published) -> str:
    """Our number, and the command that measured it, in Markdown."""
    return f"{entry.ours} (`{entry.command}`)" if entry.ours else ""

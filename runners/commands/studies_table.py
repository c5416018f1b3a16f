"""The shipped studies of grokking as a table in Markdown: that of the README."""

from collections.abc import Mapping
from typing import Any

from deepboot.bootstrap.study.schema import Published
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import events_of
from deepboot.reports.replication.ledger import as_claim
from deepboot.reports.tables.table import Table
from deepboot.runners import builtins
from deepboot.runners.commands.studies import COLUMNS, entries, facts, paper, published_short, raw_studies, rows


def markdown() -> str:
    """The studies of grokking as a table in Markdown: that of the README."""
    builtins.load()
    cells: list[tuple[str, ...]] = []
    for name, raw in raw_studies():
        if asks_about_grokking(raw):
            numbers = [(published_short(entry), _with_command(entry)) for entry in entries(raw)]
            _, *others = facts(name, raw)
            cells += rows((f"`{name}`", raw["question"], paper(raw), *others), numbers)
    return Table("", ("study", "question", "paper", *COLUMNS[1:]), cells, frozenset(("pairs",))).markdown


def asks_about_grokking(raw: Mapping[str, Any]) -> bool:
    """Whether claims or published numbers of a study are about memorisation or grokking: steps, classes, or moments."""
    claims = [*raw.get("claims", []), *map(as_claim, raw.get("published", []))]
    events = [event for claim in claims for event in events_of(claim["kind"], parsed(claim)[1].model_dump())]
    events += [str(claim.get(moment)) for claim in claims for moment in ("since", "until")]
    classes = any(claim["kind"] == "outcome_profile" for claim in claims)  # those of papers on grokking
    return classes or not {"memorization", "grokking", "stable"}.isdisjoint(events)


def _with_command(entry: Published) -> str:
    """Our number, and the command that measured it, in Markdown."""
    return f"{entry.ours} (`{entry.command}`)" if entry.ours else ""

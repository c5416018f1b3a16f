"""Published numbers beside ours: as a table of a report, and as lines for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from deepboot.reports.claims.judgement import finite_ends
from deepboot.reports.replication.ledger import Replication
from deepboot.reports.replication.published import bounds_of, published_text
from deepboot.reports.replication.verdict import OUTCOMES
from deepboot.reports.tables.table import Table, notes_of

TITLE = "Beside the published numbers"
OURS = ("cell", "cell_id", "estimate", "interval", "n", "total", "confidence", "reason")  # of a judgement, for JSON


def beside_published(replications: Sequence[Replication]) -> Table:
    """Every published number with ours, its verdict, and what the paper leaves open."""
    rows: list[tuple[str, ...]] = [
        (
            one.folder,
            one.quantity,
            published_text(one.entry),
            one.estimate,
            one.counted,
            one.outcome,
            one.entry.source,
            one.entry.evidence,
            one.entry.unspecified,
            notes_of(one.entry.text.removesuffix(".") if one.reason else one.entry.text, one.reason),
        )
        for one in replications
    ]
    numbers = ("published", "ours", "n")
    columns = ("folder", "quantity", *numbers, "verdict", "source", "evidence", "left open by the paper", "note")
    meanings = "; ".join(f"{word}: {meaning}" for word, meaning in OUTCOMES.items())
    note = f"Ours: estimate and interval as of a claim. {meanings[0].upper()}{meanings[1:]}."
    return Table(TITLE, columns, rows, frozenset(numbers), note).filled


def lines(replications: Sequence[Replication]) -> Iterator[str]:
    """Lines for a terminal, one for each published number and cell, after a heading; none without any."""
    if replications:
        yield f"{TITLE}:"
    for one in replications:
        ours = f"ours {notes_of(f'{one.estimate}, {one.counted}', one.reason)}"
        yield f"{one.outcome:15} {one.quantity}: published {published_text(one.entry)}, {ours} ({one.entry.source})"


def as_dicts(replications: Sequence[Replication]) -> list[dict[str, Any]]:
    """For JSON: every published number, ours, the verdict on the two, and its source; an open end is null."""
    return [
        {
            "quantity": one.entry.quantity,
            "name": one.quantity,
            "theirs": finite_ends(bounds_of(one.entry)),
            "ours": {key: value for key, value in one.judgement.as_dict().items() if key in OURS},
            "outcome": one.outcome,
            "folder": one.folder or None,
            **{key: getattr(one.entry, key) for key in ("where", "source", "evidence", "text", "unspecified")},
        }
        for one in replications
    ]

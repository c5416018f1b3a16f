"""The shipped studies as a table for a terminal: what each asks, what it costs, and what came of it. Loads no torch."""

import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepboot.bootstrap.study.points import number_of_pairs
from deepboot.bootstrap.study.schema import Published
from deepboot.reports.replication.published import entry_of, published_text
from deepboot.reports.tables.terminal import row_lines, rule
from deepboot.reports.text import count
from deepboot.runners.shipped import shipped

WIDTHS = (23, 5, 20, 22, 22)  # of the columns in a terminal: with two spaces between them, 100
COLUMNS = ("study", "pairs", "time on a CPU", "published", "ours")
CHOICE = ". Choice:"  # in a study's source, before what the paper leaves open


def lines() -> Iterator[str]:
    """Lines for a terminal of 100 columns: every study's row, its question and its paper."""
    yield from row_lines(COLUMNS, WIDTHS)
    yield rule(WIDTHS)
    for name, raw in raw_studies():
        numbers = [(published_short(entry), entry.ours) for entry in entries(raw)] or [("", outcome(raw))]
        for cells in rows(facts(name, raw), numbers):
            yield from row_lines(cells, WIDTHS)
        yield from textwrap.wrap(f"{raw['question']} ({paper(raw)})", 98, initial_indent="  ", subsequent_indent="  ")
        yield ""
    yield "Next: deepboot list studies NAME   or deepboot run NAME --dry-run"


def raw_studies() -> Iterator[tuple[str, dict[str, Any]]]:
    """The name and the tables of every shipped study."""
    for name, path in shipped().items():
        yield name, tomllib.loads(path.read_text(encoding="utf-8"))


def paper(raw: Mapping[str, Any]) -> str:
    """The source of a study, without its choices."""
    return str(raw.get("source", "")).split(CHOICE, maxsplit=1)[0]


def facts(name: str, raw: dict[str, Any]) -> tuple[str, str, str]:
    """A study's name, its number of pairs, and its costs."""
    costs = [cost if scale == "default" else f"{scale}: {cost}" for scale, cost in raw.get("cost", {}).items()]
    return name, count(number_of_pairs(raw)), "; ".join(costs)


def outcome(raw: Mapping[str, Any]) -> str:
    """What came of a study's claims at its own size, or else at the first scale that was judged."""
    verdicts = raw.get("verdicts", {})
    for scale in ("default", *raw.get("scale", {})):
        if scale in verdicts:
            return verdicts[scale] if scale == "default" else f"{scale}: {verdicts[scale]}"
    return ""


def entries(raw: Mapping[str, Any]) -> list[Published]:
    """The published numbers of a study."""
    return [entry_of(entry) for entry in raw.get("published", [])]


def published_short(entry: Published) -> str:
    """A published number after its quantity: "rate at least 0.5"."""
    return f"{entry.quantity} {published_text(entry)}"


def rows(facts: tuple[str, ...], numbers: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Rows of one study: its facts with the first published number and ours, then the other numbers."""
    first, *others = numbers
    return [(*facts, *first), *((*[""] * len(facts), *one) for one in others)]

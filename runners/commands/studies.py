"""The shipped studies as a table: what each asks, whose question it is, what it costs, and what came of it."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import Published
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import events_of
from deepboot.reports.replication.ledger import as_claim, entry_of, published_text
from deepboot.reports.tables.table import Table
from deepboot.reports.tables.terminal import row_lines
from deepboot.reports.text import count, plural
from deepboot.runners import builtins, study_files

WIDTHS = (23, 5, 20, 22, 22)  # of the columns in a terminal: with two spaces between them, 100
COLUMNS = ("study", "runs", "time on a CPU", "published", "ours")
CHOICE = ". Choice:"  # in a study's source, before what the paper leaves open


def lines() -> Iterator[str]:
    """Lines for a terminal of 100 columns: every study's row, its question and its paper."""
    yield from row_lines(COLUMNS, WIDTHS)
    yield "-" * (sum(WIDTHS) + 2 * (len(WIDTHS) - 1))
    for name in study_files.shipped():
        raw = study_files.load(name)
        numbers = [(_published_short(entry), entry.ours) for entry in _entries(raw)]
        for row in _rows(_facts(name, raw), numbers):
            yield from row_lines(row, WIDTHS)
        yield from textwrap.wrap(f"{raw['question']} ({paper(raw)})", 98, initial_indent="  ", subsequent_indent="  ")
        yield ""
    yield "Next: deepboot list studies NAME   or deepboot run NAME --dry-run"


def markdown() -> str:
    """The studies of grokking as a table in Markdown: that of the README."""
    builtins.load()
    rows: list[tuple[str, ...]] = []
    for name in study_files.shipped():
        raw = study_files.load(name)
        if asks_about_grokking(raw):
            numbers = [(_published_short(entry), _with_command(entry)) for entry in _entries(raw)]
            _, *facts = _facts(name, raw)
            rows += _rows((f"`{name}`", raw["question"], paper(raw), *facts), numbers)
    return Table("", ("study", "question", "paper", *COLUMNS[1:]), rows, frozenset(("runs",))).markdown


def details(name: str) -> Iterator[str]:
    """Everything about one study: runs and time at every scale, its claims, and the published numbers.

    Raises:
        StudyError: no such study.
    """
    if name not in study_files.shipped():
        raise StudyError([f"unknown study {shown(name)}. {suggestion(name, sorted(study_files.shipped()))}"])
    builtins.load()
    raw = study_files.load(name)
    yield f"{name}: {raw['question']}"
    if raw.get("source"):
        yield f"after      {raw['source']}"
    for scale in (None, *raw.get("scale", {})):
        number, cost = number_of_runs(name, scale), raw.get("cost", {}).get(scale or "default", "time not measured")
        chosen = f"--scale {scale}" if scale else "as it is"
        yield f"{chosen:16} {plural(number, 'run') if number else 'runs unknown without its data'}, {cost}"
    for claim in raw.get("claims", []):
        yield f"claim      {claim.get('text') or claim['kind']}"
    for entry in _entries(raw):
        yield from _published(entry)
    yield f"\nNext: deepboot run {name} --dry-run"


def number_of_runs(name: str, scale: str | None = None) -> int | None:
    """The number of runs of a shipped study; None where it needs data or weights that are not here."""
    builtins.load()
    try:
        return len(runs_of(study_files.load(name, scale=scale)))
    except StudyError:
        return None


def paper(raw: Mapping[str, Any]) -> str:
    """The source of a study, without its choices."""
    return str(raw.get("source", "")).split(CHOICE, maxsplit=1)[0]


def asks_about_grokking(raw: Mapping[str, Any]) -> bool:
    """Whether claims or published numbers of a study are about memorisation or grokking: steps, classes, or moments."""
    claims = [*raw.get("claims", []), *map(as_claim, raw.get("published", []))]
    events = [event for claim in claims for event in events_of(claim["kind"], parsed(claim)[1].model_dump())]
    events += [str(claim.get(moment)) for claim in claims for moment in ("since", "until")]
    classes = any(claim["kind"] == "outcome_profile" for claim in claims)  # those of papers on grokking
    return classes or not {"memorization", "grokking", "stable"}.isdisjoint(events)


def _facts(name: str, raw: Mapping[str, Any]) -> tuple[str, str, str]:
    """A study's name, its number of runs, and its costs."""
    costs = [cost if scale == "default" else f"{scale}: {cost}" for scale, cost in raw.get("cost", {}).items()]
    number = number_of_runs(name)
    return name, count(number) if number else "–", "; ".join(costs)


def _entries(raw: Mapping[str, Any]) -> list[Published]:
    return [entry_of(entry) for entry in raw.get("published", [])]


def _published_short(entry: Published) -> str:
    return f"{entry.quantity} {published_text(entry)}"


def _with_command(entry: Published) -> str:
    """Our number, and the command that measured it, in Markdown."""
    return f"{entry.ours} (`{entry.command}`)" if entry.ours else ""


def _rows(facts: tuple[str, ...], numbers: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Rows of one study: its facts with the first published number and ours, then the other numbers."""
    first, *others = numbers or [("", "")]
    return [(*facts, *first), *((*[""] * len(facts), *one) for one in others)]


def _published(entry: Published) -> Iterator[str]:
    """Lines about a published number."""
    yield f"published  {_published_short(entry)} ({entry.source}; evidence: {entry.evidence})"
    more = {"": entry.text, "left open: ": entry.unspecified, "ours: ": entry.ours, "measured by: ": entry.command}
    yield from (f"           {word}{text}" for word, text in more.items() if text)

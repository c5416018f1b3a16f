"""Everything about one shipped study: runs and time at every scale, its claims, and the published numbers."""

from collections.abc import Iterator
from typing import Any

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.schema import Published
from deepboot.bootstrap.study.sweep import cells_of
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.reports.text import plural
from deepboot.runners import builtins, study_files
from deepboot.runners.commands.studies import entries, published_short
from deepboot.runners.commands.work_of_studies import price
from deepboot.runners.shipped import shipped


def details(name: str) -> Iterator[str]:
    """Everything about one study: runs and time at every scale, its claims, and the published numbers.

    Raises:
        StudyError: no such study.
    """
    if name not in shipped():
        raise StudyError([f"unknown study {shown(name)}. {suggestion(name, sorted(shipped()))}"])
    builtins.load()
    raw = study_files.load(name)
    yield f"{name}: {raw['question']}"
    if raw.get("source"):
        yield f"after      {raw['source']}"
    for scale in (None, *raw.get("scale", {})):
        chosen = f"--scale {scale}" if scale else "as it is"
        yield f"{chosen:16} {', '.join(_known(raw, name, scale))}"
    for claim in raw.get("claims", []):
        yield f"claim      {claim.get('text') or claim['kind']}"
    for entry in entries(raw):
        yield from _published(entry)
    yield f"\nNext: deepboot run {name} --dry-run"


def _known(raw: dict[str, Any], name: str, scale: str | None) -> Iterator[str]:
    """What is known of a study at a scale: how many runs it has, their price, and what came of its claims."""
    cells, size = cells_here(name, scale), scale or "default"
    measured = raw.get("cost", {}).get(size)
    yield plural(sum(map(len, cells)), "run") if cells else "runs unknown without its data"
    yield price(cells, measured) if cells else measured or "time not measured"
    if size in raw.get("verdicts", {}):
        yield raw["verdicts"][size]


def cells_here(name: str, scale: str | None = None) -> list[Replicates]:
    """The cells of a shipped study; none where it needs data or weights that are not here."""
    builtins.load()
    try:
        return cells_of(study_files.load(name, scale=scale))
    except StudyError:
        return []


def _published(entry: Published) -> Iterator[str]:
    """Lines about a published number."""
    yield f"published  {published_short(entry)} ({entry.source}; evidence: {entry.evidence})"
    more = {"": entry.text, "left open: ": entry.unspecified, "ours: ": entry.ours, "measured by: ": entry.command}
    yield from (f"           {word}{text}" for word, text in more.items() if text)

"""Everything about one shipped study: runs and time at every scale, its claims, and the published numbers."""

from collections.abc import Iterator

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import Published
from deepboot.bootstrap.study.sweep import cells_of
from deepboot.bootstrap.wording import shown, suggestion
from deepboot.reports.text import plural
from deepboot.runners import builtins, study_files
from deepboot.runners.commands.studies import entries, published_short
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
        number, size = number_of_runs(name, scale), scale or "default"
        chosen = f"--scale {scale}" if scale else "as it is"
        runs = plural(number, "run") if number else "runs unknown without its data"
        known = [raw.get("cost", {}).get(size, "time not measured"), raw.get("verdicts", {}).get(size)]
        yield f"{chosen:16} {', '.join(filter(None, (runs, *known)))}"
    for claim in raw.get("claims", []):
        yield f"claim      {claim.get('text') or claim['kind']}"
    for entry in entries(raw):
        yield from _published(entry)
    yield f"\nNext: deepboot run {name} --dry-run"


def number_of_runs(name: str, scale: str | None = None) -> int | None:
    """The number of runs of a shipped study; None where it needs data or weights that are not here."""
    builtins.load()
    try:
        return sum(map(len, cells_of(study_files.load(name, scale=scale))))
    except StudyError:
        return None


def _published(entry: Published) -> Iterator[str]:
    """Lines about a published number."""
    yield f"published  {published_short(entry)} ({entry.source}; evidence: {entry.evidence})"
    more = {"": entry.text, "left open: ": entry.unspecified, "ours: ": entry.ours, "measured by: ": entry.command}
    yield from (f"           {word}{text}" for word, text in more.items() if text)

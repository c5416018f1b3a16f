"""``deepboot show``: what a name of a study stands for, its settings, how a study uses it, and samples of a task."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from deepboot.bootstrap import registry
from deepboot.bootstrap.descriptions import prose
from deepboot.bootstrap.registry import KINDS, Kind, Settings
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.schema import ClaimCommon, ModelScales, ProbeCommon
from deepboot.bootstrap.wording import nearest, shown, suggestion
from deepboot.reports.tables.terminal import WIDTH
from deepboot.runners import builtins
from deepboot.runners.commands.example import example
from deepboot.runners.commands.listing import PLURALS, samples
from deepboot.runners.commands.settings_table import table
from deepboot.runners.commands.study_details import details
from deepboot.runners.shipped import shipped

Shown = Kind | Literal["study"]
COMMON: dict[Kind, type[Settings]] = {"model": ModelScales, "probe": ProbeCommon, "claim": ClaimCommon}
EXAMPLE_COMMAND = "Write for instance `deepboot show model mlp`."


def lines(words: Sequence[str], changes: Sequence[str], *, seed: int, count: int, out: Path | None) -> Iterator[str]:
    """All about one name, and of a task its first samples, as `listing.samples`.

    Args:
        words: a name, or the kind of a name and the name.
        changes: "setting=value" each, of a task.

    Raises:
        StudyError: no such kind or name, or settings and a file of what has no samples; as `listing.samples`.
    """
    builtins.load()
    kind, name = kind_and_name(words)
    if kind != "task" and (changes or out is not None):
        raise StudyError([f"--set and --out: only a task has samples, and {name!r} is a {kind}. Leave them away."])
    if kind == "study":
        yield from details(name)
        return
    yield from about(kind, name)
    if kind == "task":
        yield from _samples(name, changes, seed=seed, count=count, out=out)
    else:
        yield f"Next: deepboot list {_plural(kind)}   or deepboot new study my_study"


def kind_and_name(words: Sequence[str]) -> tuple[Shown, str]:
    """The kind of a name, or "study", and the name.

    Raises:
        StudyError: no such kind or name, several things of this name, or not one or two words.
    """
    if not 1 <= len(words) <= 2:
        raise StudyError([f"[KIND] NAME: expected one or two words, got {len(words)}. {EXAMPLE_COMMAND}"])
    name = words[-1]
    kinds: list[Shown] = [kind for kind in KINDS if name in registry.names(kind)]
    kinds += ["study"] if name in shipped() else []
    if len(words) == 2:
        return _kind(words[0]), name
    if "task" in kinds or len(kinds) == 1:
        return "task" if "task" in kinds else kinds[0], name
    if kinds:
        which = " or ".join(f"`deepboot show {kind} {name}`" for kind in kinds)
        raise StudyError([f"{name!r} is a {' and a '.join(kinds)}. Say which: {which}."])
    raise StudyError([_unknown(name)])


def _kind(word: str) -> Shown:
    """A kind by its name, in the singular or plural."""
    kinds: dict[str, Shown] = {kind: kind for kind in KINDS}
    kinds |= PLURALS
    kinds |= {"study": "study", "studies": "study"}
    if word not in kinds:
        known = [*KINDS, "study"]
        raise StudyError([f"`deepboot show` knows no kind {shown(word)}. {suggestion(word, known)}"])
    return kinds[word]


def _unknown(name: str) -> str:
    """The message about a name that nothing has."""
    known = {one: kind for kind in KINDS for one in registry.names(kind)} | dict.fromkeys(shipped(), "study")
    near = nearest(name, known)
    guess = f" Did you mean {near!r}, a {known[near]}?" if near is not None else ""
    return f"unknown name {shown(name)}.{guess} `deepboot list` has all names."


def about(kind: Kind, name: str) -> Iterator[str]:
    """What an entry is for, its settings, and TOML that uses it, in 100 columns.

    Raises:
        ValueError: no such entry.
    """
    target, schema = registry.find(kind, name).target, registry.settings(kind, name)
    yield from _wrapped(f"{kind} {name}: {prose(target)}")
    parts: list[tuple[Callable[..., Any], type[Settings]]] = [(target, schema)]
    parts += [(COMMON[kind], COMMON[kind])] if kind in COMMON else []
    if any(part.model_fields for _, part in parts):
        yield ""
        yield from table(*parts)
    yield "\nIn a study:\n"
    yield textwrap.indent(example(kind, name), "    ")
    yield ""


def _wrapped(text: str) -> Iterator[str]:
    """A text in lines of 100 columns; indented lines, as in a table, stay as they are."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        if paragraph.startswith(" "):
            yield paragraph
        else:
            yield from textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False)


def _samples(name: str, changes: Sequence[str], *, seed: int, count: int, out: Path | None) -> Iterator[str]:
    """Samples of a task, or which settings it needs for them."""
    given = {change.partition("=")[0].removeprefix("task.") for change in changes}
    fields = registry.settings("task", name).model_fields
    missing = [setting for setting, field in fields.items() if field.is_required() and setting not in given]
    if missing:
        told = " ".join(f"{setting}=…" for setting in missing)
        yield f"Next: deepboot show {name} --set {told}   (samples of your data)"
    else:
        yield from samples(name, changes, seed=seed, count=count, out=out)


def _plural(kind: Kind) -> str:
    return next(plural for plural, one in PLURALS.items() if one == kind)

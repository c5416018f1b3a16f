"""All names that a study can use, and the samples of a task."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.registry import KINDS, Kind
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.parse import chosen
from deepboot.bootstrap.task import Image, Task
from deepboot.bootstrap.wording import LONGEST_PATH, clipped, shown, suggestion
from deepboot.reports.tables.terminal import row_lines
from deepboot.runners import builtins, study_files
from deepboot.runners.commands.studies import raw_studies

IMAGE_FORMATS = (".png", ".svg", ".pdf", ".jpg")
IRREGULAR = {"loss": "losses", "penalty": "penalties"}
PLURALS: dict[str, Kind] = {IRREGULAR.get(kind, f"{kind}s"): kind for kind in KINDS}


def lines(plural: str) -> list[str]:
    """Names and first lines of one kind, or of all and of the studies, which `studies.lines` lists by themselves.

    Raises:
        StudyError: there is no such kind.
    """
    known = ["all", "studies", *PLURALS]
    if plural not in known:
        raise StudyError([f"`deepboot list` knows no {shown(plural)}. {suggestion(plural, known)}"])
    builtins.load(claims=plural in ("claims", "all"))
    listed: list[str] = []
    for name, kind in PLURALS.items():
        if plural in (name, "all"):
            listed.append(f"{name}:")
            listed += _rows((entry, registry.find(kind, entry).summary) for entry in registry.names(kind))
    if plural == "all":
        listed += ["studies:", *_rows((name, raw["question"]) for name, raw in raw_studies())]
    kind = PLURALS.get(plural, "model")
    return [*listed, f"Next: deepboot show {kind} {registry.names(kind)[-1]}"]


def _rows(entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines of 100 columns with names and what they are for."""
    for name, purpose in entries:
        yield from row_lines((f"  {name}", purpose.replace("``", "`")), (25, 73))


def samples(name: str, changes: Sequence[str], *, seed: int, count: int, out: Path | None = None) -> list[str]:
    """The first samples of a task's data stream, one line each; of images a contact sheet is written instead.

    Args:
        count: how many samples; of images, how many of each class.
        out: where the contact sheet goes; None is the task's name in the current folder.

    Raises:
        StudyError: no such task, settings that do not fit it, or ``out`` where it cannot be written.
    """
    if count < 1:
        raise StudyError([f"--samples: expected a number above 0, got {count}. Change it."])
    settings = _settings(name, changes)
    try:
        task = build_task(settings)
    except ValueError as error:
        raise StudyError([f"`task`: {error}"]) from error
    key = streams.keys([seed], "data")
    pairs = ", ".join(f"{setting} = {value}" for setting, value in settings.items() if setting != "name")
    head = [f"{name}: {pairs}" if pairs else name, f"inputs {task.inputs}, {task.classes} classes, seed {seed}"]
    next_line = f'Next: deepboot list studies   (a study with task.name = "{name}")'
    if isinstance(task.inputs, Image):
        path = out or Path(f"{name}.png")
        _draw(task, key, path, title=f"{name}, {pairs}" if pairs else name, count=count)
        return [*head, f"{count} of each class, with their indices: {path}", next_line]
    if out is not None:
        raise StudyError([f"--out {out}: task '{name}' has no images to draw. Leave --out away: its samples are text."])
    x, y = task.sample(key, torch.arange(count)[None])
    return [*head, *(f"{index:6}  {task.show(x[0, index], y[0, index])}" for index in range(count)), next_line]


def _settings(name: str, changes: Sequence[str]) -> dict[str, Any]:
    """All settings of a task with their defaults, after they have been checked."""
    builtins.load()
    raw: dict[str, object] = {"name": name}
    for change in changes:
        setting, sign, text = change.partition("=")
        if not sign:
            raise StudyError([f"--set {shown(change)}: expected key=value. Write for instance --set num_bits=10."])
        raw[setting.removeprefix("task.")] = study_files.toml_value(text)
    study, problems = study_files.with_absolute_paths({"task": raw}, Path())
    if problems:
        raise StudyError(problems)
    return chosen("task", study["task"])


def _draw(task: Task, key_12: Tensor, path: Path, *, title: str, count: int) -> None:
    """Write the contact sheet of an image task.

    Raises:
        StudyError: the path has another suffix than an image, or cannot be written.
    """
    from deepboot.runners.commands import contact_sheet  # loads matplotlib

    if path.suffix.lower() not in IMAGE_FORMATS:
        raise StudyError([f"--out {path}: expected a file that ends in {', '.join(IMAGE_FORMATS)}. Add .png to it."])
    try:
        contact_sheet.write(task, key_12, path, title=title, count=count)
    except OSError as error:
        name = clipped(str(path), LONGEST_PATH)
        raise StudyError(
            [f"--out {name} cannot be written: {error.strerror}. Give a file in a folder of yours."]
        ) from error

"""What can be named in a study, and what a task's samples look like."""

import tomllib
from collections.abc import Sequence

import torch

from bootstrap import registry, streams
from bootstrap.data import build_task
from bootstrap.mistakes import StudyError
from bootstrap.registry import KINDS, Kind
from bootstrap.study import chosen
from runners import shipped, studies

PLURALS: dict[str, Kind] = {("losses" if kind == "loss" else f"{kind}s"): kind for kind in KINDS}


def lines(plural: str) -> list[str]:
    """Names and first lines of one kind, or of all."""
    shipped.load()
    found: list[str] = []
    for name, kind in PLURALS.items():
        if plural in (name, "all"):
            found += [
                f"{name}:",
                *(f"  {entry:24} {registry.find(kind, entry).summary}" for entry in registry.names(kind)),
            ]
    if plural in ("studies", "all"):
        questions = {name: tomllib.loads(path.read_text())["question"] for name, path in studies.shipped().items()}
        found += ["studies:", *(f"  {name:24} {question}" for name, question in questions.items())]
    follow = {"studies": "deepboot run demo", "tasks": "deepboot show sparse_parity"}
    return [*found, f"Next: {follow.get(plural, 'deepboot list studies')}"]


def samples(name: str, changes: Sequence[str], *, seed: int, count: int) -> list[str]:
    """The first samples of a task's data stream, one line each.

    Raises:
        StudyError: no such task, or settings that do not fit it.
    """
    shipped.load()
    raw: dict[str, object] = {"name": name}
    for change in changes:
        setting, sign, text = change.partition("=")
        if not sign:
            raise StudyError([f"--set {change!r}: expected key=value. Write for instance --set num_bits=10."])
        raw[setting.removeprefix("task.")] = studies.value(text)
    settings = chosen("task", raw)
    try:
        task = build_task(settings)
    except ValueError as error:
        raise StudyError([f"`task`: {error}"]) from error
    key = streams.keys([seed], "data")
    x, y = task.sample(key, torch.arange(count)[None])
    shown = ", ".join(f"{setting} = {value}" for setting, value in settings.items() if setting != "name")
    return [
        f"{name}: {shown}",
        f"inputs {task.inputs}, {task.classes} classes, seed {seed}",
        *(f"{index:6}  {task.show(x[0, index], y[0, index])}" for index in range(count)),
        f'Next: deepboot list studies   (a study with task.name = "{name}")',
    ]

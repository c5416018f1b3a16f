"""Whether studies and plugins are sound: a plugin's entries are tried against the contracts of their kinds."""

from collections.abc import Sequence
from pathlib import Path

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.torch_optimizers import is_stacked
from deepboot.runners import builtins, study_files
from deepboot.runners.commands import contracts


def check(paths: Sequence[Path]) -> tuple[list[str], bool]:
    """A line for everything that was checked, with sentences about what is wrong; and whether nothing is."""
    lines, sound = [], True
    for path in paths:
        for head, wrong in checked(path):
            sound = sound and not wrong
            lines.append(f"{head}: {'to be mended' if wrong else 'passes'}")
            lines += [f"  {sentence}" for sentence in wrong]
    return lines, sound


def problems(path: Path) -> list[str]:
    """All that is wrong with a plugin or a study, one sentence each; empty if nothing is."""
    return [sentence for _, wrong in checked(path) for sentence in wrong]


def checked(path: Path) -> list[tuple[str, list[str]]]:
    """Everything in a plugin or a study that was checked, with what is wrong with it."""
    builtins.load()
    with registry.scratch():
        try:
            if path.suffix != ".py":
                runs = runs_of(study_files.load(path))
                return [(f"{path}: study of {len(runs)} runs", [])]
            entries = registry.load_plugin(path.resolve())
        except StudyError as error:
            return [(str(path), error.problems)]
        except ValueError as error:
            return [(str(path), [str(error)])]
        if not entries:
            return [(str(path), ["it registers nothing. Put @register(kind, name) before what a study is to name."])]
        return [(_head(path, entry), contracts.problems(entry)) for entry in entries]


def _head(path: Path, entry: Entry) -> str:
    """What is checked, and whether it is slow."""
    slow = entry.kind == "optimizer" and not is_stacked(entry.name)
    note = " (one of torch: it steps one member after another, slower than a stacked one)" if slow else ""
    return f"{path}: {entry.kind} {entry.name}{note}"

"""Whether studies and plugins are sound: a plugin's entries are tried against the contracts of their kinds."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import Entry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.torch_optimizers import is_stacked
from deepboot.runners import builtins
from deepboot.runners.commands import contracts
from deepboot.runners.run.work import plan


def check(paths: Sequence[Path]) -> tuple[list[str], bool]:
    """A line for everything that was checked, with sentences about what is wrong; and whether nothing is."""
    lines, sound = [], True
    for path in paths:
        for one in checked(path):
            sound = sound and not one.wrong
            lines += [f"{one.head}: {'to be mended' if one.wrong else one.outcome}"]
            lines += [f"  {sentence}" for sentence in one.wrong]
    return lines, sound


def problems(path: Path) -> list[str]:
    """All that is wrong with a plugin or a study, one sentence each; empty if nothing is."""
    return [sentence for one in checked(path) for sentence in one.wrong]


class Checked(NamedTuple):
    """Something that was checked: what it is, what is wrong with it, and what is said if nothing is."""

    head: str
    wrong: list[str]
    outcome: str = "passes"


def checked(path: Path) -> list[Checked]:
    """Everything in a plugin or a study that was checked, with what is wrong with it."""
    builtins.load()
    with registry.scratch():
        try:
            if path.suffix != ".py":
                cells = plan(path).all_cells
                return [Checked(f"{path}: study of {sum(map(len, cells))} runs", [], _passes(cells))]
            entries = registry.load_plugin(path.resolve())
        except StudyError as error:
            return [Checked(str(path), error.problems)]
        except ValueError as error:
            return [Checked(str(path), [str(error)])]
        if not entries:
            nothing = "it registers nothing. Put @register(kind, name) before what a study is to name."
            return [Checked(str(path), [nothing])]
        return [_entry(path, entry) for entry in entries]


def _passes(cells: Sequence[Replicates]) -> str:
    """That a study passes, and whether its stop rule can end a run before the run's event has lasted long enough."""
    for run in (cell.run for cell in cells):
        if run.stop is not None and run.stop.streak < run.evaluation.streak:
            stop, needed = run.stop.streak, run.evaluation.streak
            return (
                "passes, but a run can stop before its grokking is seen, and then counts as one that never grokked: "
                f"`stop.streak` is {stop}, `evaluation.streak` {needed}. Set stop.streak = {needed}."
            )
    return "passes"


def _entry(path: Path, entry: Entry) -> Checked:
    """An entry after it was tried, or after its settings were read, where it cannot be tried."""
    wrong = contracts.problems(entry)
    why = "" if wrong else contracts.untried(entry)
    return Checked(_head(path, entry), wrong, f"its settings can be read; not tried, since {why}" if why else "passes")


def _head(path: Path, entry: Entry) -> str:
    """What is checked, and whether it is slow."""
    slow = entry.kind == "optimizer" and not is_stacked(entry.name)
    note = " (one of torch: it steps one member after another, slower than a stacked one)" if slow else ""
    return f"{path}: {entry.kind} {entry.name}{note}"

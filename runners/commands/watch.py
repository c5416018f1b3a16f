"""``deepboot watch``: the live view of studies that other processes train, from their folders' files."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from deepboot.runners.live.folder import is_abandoned, silence, view_of
from deepboot.runners.live.screens import screen_on
from deepboot.runners.live.view import View

LOOK_SECONDS = 1.0  # between two looks at the folders
AWAY_SECONDS = 5.0  # the same where one of them has to be brought here


class Ending(NamedTuple):
    """How the training of a folder ended, in a sentence, and whether its study is whole."""

    sentence: str
    whole: bool


def watch(
    folders: Sequence[Path], stream: TextIO, bring: Callable[[], object] = lambda: None,
    look_seconds: float = LOOK_SECONDS,
) -> list[Ending]:  # fmt: skip
    """How the training of each folder ended; shows their views until all have.

    Args:
        folders: to look at.
        stream: where a person sees them.
        bring: called after each look, to bring what is new of folders that lie elsewhere.
        look_seconds: between two looks.

    Raises:
        StudyError: a folder is missing, or no study was run in it.
        DamagedFileError: its tables cannot be read.
    """
    with screen_on(stream, wait=0) as screen:
        while True:
            views = [_noted(view_of(folder)) for folder in folders]
            screen.show(*views)
            endings = [_ending(folder, view) for folder, view in zip(folders, views, strict=True)]
            ended = [ending for ending in endings if ending is not None]
            if len(ended) == len(folders):
                return ended
            time.sleep(look_seconds)
            bring()


def _noted(view: View) -> View:
    return view.model_copy(update={"note": silence(view)})


def _ending(folder: Path, view: View) -> Ending | None:
    """None while it goes on."""
    if view.state == "finished":
        return Ending(f"Finished. Next: deepboot report {folder}", whole=True)
    again = f"`deepboot run {folder}` goes on from its checkpoints."
    if view.state == "interrupted":
        return Ending(f"Nothing is training in {folder}, and some of its runs are not done. {again}", whole=False)
    if is_abandoned(folder):
        return Ending(f"The process that wrote {folder} is dead. {again}", whole=False)
    return None

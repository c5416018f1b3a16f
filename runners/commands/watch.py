"""``deepboot watch``: the live view of a study that another process trains, from its folder's files."""

import time
from pathlib import Path
from typing import TextIO

from deepboot.runners.live.folder import is_abandoned, silence, view_of
from deepboot.runners.live.screens import screen_on

LOOK_SECONDS = 1.0  # between two looks at the folder


def watch(folder: Path, stream: TextIO) -> tuple[str, bool]:
    """How watching ended, in a sentence, and whether the study is whole; shows the view until then.

    Raises:
        StudyError: the folder is missing, or no study was run in it.
        DamagedFileError: its tables cannot be read.
    """
    with screen_on(stream, wait=0) as screen:
        while True:
            view = view_of(folder)
            note = silence(view)
            screen.show(view, note)
            if view.state == "finished":
                return f"Finished. Next: deepboot report {folder}", True
            if view.state == "interrupted":
                return f"Nothing is training in {folder}, and some of its runs are not done. {_again(folder)}", False
            if is_abandoned(folder):
                return f"The process that wrote {folder} is dead. {_again(folder)}", False
            time.sleep(LOOK_SECONDS)


def _again(folder: Path) -> str:
    return f"`deepboot run {folder}` goes on from its checkpoints."

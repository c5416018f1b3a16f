"""Where views are shown: a table on a terminal, a bar under the cell of a notebook, a line a minute in a log."""

import sys
import time
from abc import ABC, abstractmethod
from typing import TextIO, final

from rich.console import Console, Group
from rich.live import Live
from tqdm import tqdm

from deepboot.runners.live.progress import BAR, LINE_SECONDS, in_notebook
from deepboot.runners.live.table import rendered
from deepboot.runners.live.view import View


class Screen(ABC):
    """Shows the views of one study or of several, again and again; ``with`` leaves whatever it is on as it was."""

    @abstractmethod
    def show(self, *views: View) -> None:
        """Show these views in place of those before."""

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        return None


@final
class TableScreen(Screen):
    """A table that is written over where it stands; what others print comes to lie above it."""

    def __init__(self, console: Console):
        self._live = Live(console=console, auto_refresh=False)

    def show(self, *views: View) -> None:
        self._live.update(Group(*map(rendered, views)), refresh=True)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


@final
class BarScreen(Screen):
    """One line that is written over, of the first view: a notebook shows no more without further packages."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def show(self, *views: View) -> None:
        view = views[0]
        if self._bar is None:
            self._bar = tqdm(total=view.steps, unit="step", unit_scale=True, desc=view.state, bar_format=BAR)
        self._bar.n = view.steps_done
        self._bar.set_postfix_str(view.line().partition(" steps, ")[2])

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


@final
class LineScreen(Screen):
    """A line now and then, for a file.

    Args:
        stream: where to.
        wait: seconds before the first line.
    """

    def __init__(self, stream: TextIO, wait: float):
        self._stream, self._due = stream, time.monotonic() + wait

    def show(self, *views: View) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + LINE_SECONDS
            for view in views:
                is_nameless = len(views) > 1 and view.state == "training"  # all other lines say whose they are
                name = f"{view.name}: " if is_nameless else ""
                note = f" ({view.note})" if view.note else ""
                print(f"{name}{view.line()}{note}", file=self._stream, flush=True)


def screen_on(stream: TextIO, wait: float = LINE_SECONDS) -> Screen:
    """The screen that fits a stream; the first line of a log comes after ``wait`` seconds."""
    console = Console(file=stream)
    if in_notebook():
        return BarScreen()
    if stream.isatty() and console.is_terminal and not console.is_dumb_terminal:
        return TableScreen(console)
    return LineScreen(stream, wait)


def standard_error() -> Screen:
    """The screen of training, whose results are elsewhere."""
    return screen_on(sys.stderr)

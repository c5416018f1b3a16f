"""Progress of files that are moved: a bar on a terminal or in a notebook, a line a minute in a log."""

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

from deepboot.runners.live.pace import MEGABYTES, Pace, sentence

LINE_SECONDS = 60
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}{postfix}"


class Progress:
    """Counts bytes that are done, and shows done / total, rate and time left; safe to call from threads.

    Args:
        total: bytes.
        work: what is done with them, before the bar.
    """

    def __init__(self, total: int, work: str):
        self._pace, self._said, self._lock = Pace(total), time.monotonic(), threading.Lock()
        self._bar = tqdm(total=total, unit="B", unit_scale=True, desc=work, bar_format=BAR) if shows_bars() else None

    def __call__(self, amount: int) -> None:
        with self._lock:
            self._pace.add(amount)
            if self._bar is not None:
                self._bar.set_postfix_str(self.line().partition(", ")[2], refresh=False)
                self._bar.update(amount)
            elif time.monotonic() - self._said >= LINE_SECONDS:
                self._said = time.monotonic()
                print(self.line(), file=sys.stderr, flush=True)  # noqa: T201 (this is the log)

    def line(self) -> str:
        """A line for a log: done / total, rate, time left."""
        return sentence(self._pace.done, self._pace.total, self._pace.rate(), MEGABYTES)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this: its standard error is no terminal, and yet writes over a line."""
    return "ipykernel" in sys.modules


def shows_bars() -> bool:
    """Whether a line that is written over is seen: on a terminal, and under the cell of a notebook."""
    return sys.stderr.isatty() or in_notebook()

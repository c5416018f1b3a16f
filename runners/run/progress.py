"""Progress of long work: a bar on a terminal or in a notebook, a line a minute in a log."""

import sys
import threading
import time
from types import TracebackType
from typing import Literal

from tqdm import tqdm

LINE_SECONDS = 60
WORTH_SECONDS, WORTH_SHARE = 10, 0.01  # of new work, or its share, from which a rate says something
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}{postfix}"
UNITS = {"step": (1, "steps"), "B": (1_000_000, "MB")}  # what is counted, and how a log says it


class Progress:
    """Counts done member steps, or bytes, and shows done / total, rate and time left; safe to call from threads.

    Args:
        total: what is to be done.
        work: what it is, before the bar.
        unit: what is counted.
        restored: how much of it an interrupted run did; it is counted as done, but not in the rate.
        at_most: whether a stop rule may end the work early, so that the time left is a bound.
    """

    def __init__(
        self,
        total: int,
        work: str = "training",
        unit: Literal["step", "B"] = "step",
        *,
        restored: int = 0,
        at_most: bool = False,
    ):
        self._scale, self._unit = UNITS[unit]
        self._total, self._done, self._restored, self._at_most = total, 0, restored, at_most
        self._began = self._said = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._lock = threading.Lock()
        self._bar = tqdm(total=total, unit=unit, unit_scale=True, desc=work, bar_format=BAR) if shows_bars() else None

    def __call__(self, steps: int) -> None:
        with self._lock:
            self._done += steps
            if self._first is None and self._done > self._restored:
                self._first = (time.monotonic(), self._done - self._restored)
            if self._bar is not None:
                self._bar.set_postfix_str(self._left(), refresh=False)
                self._bar.update(steps)
            elif time.monotonic() - self._said >= LINE_SECONDS:
                self._said = time.monotonic()
                print(self.line(), file=sys.stderr, flush=True)  # noqa: T201 (this is the log)

    def line(self) -> str:
        """A line for a log: done / total, rate, time left."""
        done, total = (number / self._scale for number in (self._done, self._total))
        return f"{done:,.0f} of {total:,.0f} {self._unit}, {self._left()}"

    def _left(self) -> str:
        rate = self._rate()
        if not rate:
            return "estimating the time left"
        bound = "at most " if self._at_most else ""
        left = duration((self._total - self._done) / rate)
        return f"{rate / self._scale:,.0f} a second, {bound}{left} left"

    def _rate(self) -> float | None:
        """New work a second; None while starting and compiling are most of what was seen."""
        if self._first is None:
            return None
        now, new = time.monotonic(), self._done - self._restored
        then, before = self._first
        if now - then >= WORTH_SECONDS:
            return (new - before) / (now - then)
        enough = new >= WORTH_SHARE * (self._total - self._restored)
        return new / max(now - self._began, 1e-9) if enough else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def shows_bars() -> bool:
    """Whether a line that is written over is seen: on a terminal, and under the cell of a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def duration(seconds: float) -> str:
    """A length of time as a person says it.

    >>> duration(42), duration(150), duration(9_000)
    ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

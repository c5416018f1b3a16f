"""Progress of long work: a bar on a terminal, a line a minute in a log."""

import sys
import threading
import time
from types import TracebackType
from typing import Literal

from tqdm import tqdm

LINE_SECONDS = 60
UNITS = {"step": (1, "steps"), "B": (1_000_000, "MB")}  # what is counted, and how a log says it


class Progress:
    """Counts done member steps, or bytes, and shows done / total, rate and time left; safe to call from threads."""

    def __init__(self, total: int, work: str = "training", unit: Literal["step", "B"] = "step"):
        self._scale, self._unit = UNITS[unit]
        self._total, self._done, self._began = total, 0, time.monotonic()
        self._said = self._began
        self._lock = threading.Lock()
        self._bar = tqdm(total=total, unit=unit, unit_scale=True, desc=work) if sys.stderr.isatty() else None

    def __call__(self, steps: int) -> None:
        with self._lock:
            self._done += steps
            if self._bar is not None:
                self._bar.update(steps)
            elif time.monotonic() - self._said >= LINE_SECONDS:
                self._said = time.monotonic()
                print(self.line(), file=sys.stderr, flush=True)  # noqa: T201 (this is the log)

    def line(self) -> str:
        """What a log is told: done / total, rate, time left."""
        rate = self._done / max(time.monotonic() - self._began, 1e-9)
        left = (self._total - self._done) / rate if rate else float("inf")
        done, total, rate = (number / self._scale for number in (self._done, self._total, rate))
        return f"{done:,.0f} of {total:,.0f} {self._unit}, {rate:,.0f} a second, {duration(left)} left"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def duration(seconds: float) -> str:
    """A length of time as a person says it.

    >>> duration(42), duration(150), duration(9_000)
    ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

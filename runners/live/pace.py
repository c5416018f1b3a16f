"""The pace of long work: what is done of it, how fast, and how long the rest will take."""

import time
from collections import deque
from typing import NamedTuple

WORTH_SECONDS, WORTH_SHARE = 10, 0.01  # of new work, or its share, from which a rate says something
RECENT_SECONDS = 60.0


class Unit(NamedTuple):
    """What is counted, and how many of it are one in a sentence."""

    name: str
    size: int


STEPS, MEGABYTES = Unit("steps", 1), Unit("MB", 1_000_000)


class Pace:
    """Counts work that is done; the rate and the time left are None until a rate is known.

    Args:
        total: what is to be done.
        restored: how much of it an interrupted run did; it is counted as done, but not in the rate.
    """

    def __init__(self, total: int, restored: int = 0):
        self.total, self.done = total, 0
        self._restored, self._began = restored, time.monotonic()
        self._first: tuple[float, int] | None = None

    def add(self, amount: int) -> None:
        """Count work that is done; a negative amount is to be done again."""
        self.done += amount
        if self._first is None and self.done > self._restored:
            self._first = (time.monotonic(), self.done - self._restored)

    def rate(self) -> float | None:
        """New work a second; None while starting and compiling are most of what was seen."""
        if self._first is None:
            return None
        now, new = time.monotonic(), self.done - self._restored
        then, before = self._first
        if now - then >= WORTH_SECONDS:
            return max(new - before, 0) / (now - then)
        enough = new >= WORTH_SHARE * (self.total - self._restored)
        return max(new, 0) / max(now - self._began, 1e-9) if enough else None


class Recent:
    """Work of the last minute; one place of several may end or begin while the others go on."""

    def __init__(self) -> None:
        self._began, self._done = time.monotonic(), deque[tuple[float, int]]()

    def add(self, amount: int) -> None:
        """Count work that was just done."""
        self._done.append((time.monotonic(), amount))

    def rate(self) -> float:
        """Work a second, over the last minute or since the beginning."""
        now = time.monotonic()
        while self._done and self._done[0][0] < now - RECENT_SECONDS:
            self._done.popleft()
        return sum(amount for _, amount in self._done) / max(min(now - self._began, RECENT_SECONDS), 1.0)


def sentence(done: int, total: int, rate: float | None, unit: Unit, *, at_most: bool = False) -> str:
    """Done of total, rate and time left, for a line of a log or under a table.

    Args:
        done, total: what was counted, one by one.
        rate: of it, a second; None or 0 where it is not known.
        unit: in which it is told.
        at_most: whether the work may end early, so that the time left is a bound.

    >>> sentence(2_000, 5_000, 200.0, STEPS)
    '2,000 of 5,000 steps, 200 a second, 15 s left'
    """
    counted = f"{done / unit.size:,.0f} of {total / unit.size:,.0f} {unit.name}"
    if not rate:
        return f"{counted}, estimating the time left"
    bound = "at most " if at_most else ""
    return f"{counted}, {rate / unit.size:,.0f} a second, {bound}{duration((total - done) / rate)} left"


def duration(seconds: float) -> str:
    """A length of time as a person says it.

    >>> duration(42), duration(150), duration(9_000)
    ('42 s', '2.5 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

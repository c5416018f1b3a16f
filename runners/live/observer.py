"""The observer of training: counts what workers report, shows it, and keeps it in the folder for others."""

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepboot.bootstrap.study.run import Run
from deepboot.reports.text import plural
from deepboot.runners.live import status
from deepboot.runners.live.pace import Pace, Recent
from deepboot.runners.live.screens import Screen
from deepboot.runners.live.tally import Row, Tally
from deepboot.runners.live.view import View
from deepboot.runners.sinks.feed import Feed

REFRESH_SECONDS = 0.5  # between two views on a screen
STATUS_SECONDS = 2.0  # between two views in the folder


class Observer:
    """Takes what training reports, from one thread; a thread of its own shows it while ``with`` lasts.

    Results do not depend on it: what it cannot show or write is left out.

    Args:
        folder: held for writing.
        runs: of the study, or of its shard.
        packs: that this command trains.
        pace: of their member steps.
        screen: where a person sees it.
        feed: to a program that draws curves, if one was asked for.
        at_most: whether a stop rule may end runs early.
    """

    def __init__(
        self, folder: Path, runs: Sequence[Run], packs: int, pace: Pace, screen: Screen, feed: Feed | None = None,
        *, at_most: bool = False,
    ):  # fmt: skip
        self._folder, self._screen, self._feed, self._at_most = folder, screen, feed, at_most
        self._pace, self._tally = pace, Tally(runs)
        self._nodes: dict[str, Recent] = {}
        self._packs, self._done, self._running = packs, 0, 0
        self._failures: list[str] = []
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="live view", daemon=True)

    def known(self, rows: Iterable[Row]) -> None:
        """Count evaluations of earlier commands."""
        self._tally.add(rows)

    def progress(self, steps: int, rows: Iterable[Row]) -> None:
        """Count member steps and evaluations."""
        with self._lock:
            self._pace.add(steps)
            new = self._tally.add(rows)
        if self._feed is not None:
            self._feed.add(new)

    def worked(self, node: str, steps: int) -> None:
        """Count member steps that a node of a cluster has done."""
        with self._lock:
            self._nodes.setdefault(node, Recent()).add(steps)

    def begun(self) -> None:
        """A pack begins."""
        with self._lock:
            self._running += 1

    def ended(self, run_ids: Iterable[str], failures: Sequence[str] = (), parts: int = 0) -> None:
        """A pack that was begun ends.

        Args:
            run_ids: of its runs.
            failures: why it failed, if it did.
            parts: packs that are trained in its place; 0 if it is done.
        """
        with self._lock:
            self._running -= 1
            self._packs += max(parts - 1, 0)
            self._done += not parts
            self._failures += failures
        if self._feed is not None and not parts and not failures:
            self._feed.ended(run_ids)

    def view(self) -> View:
        """The study as it is now."""
        with self._lock:
            over = "finished" if self._done == self._packs else "interrupted"
            return View(
                name=self._folder.name, state=over if self._closed.is_set() else "training",
                worlds=self._tally.worlds(), steps_done=self._pace.done, steps=self._pace.total,
                rate=self._pace.rate(), at_most=self._at_most, packs_done=self._done, packs_running=self._running,
                packs=self._packs, failures=self._told(),
                nodes={name: recent.rate() for name, recent in sorted(self._nodes.items())}, seen=time.time(),
            )  # fmt: skip

    def _told(self) -> str | None:
        """How many packs failed, and the last reason."""
        if not self._failures:
            return None
        return f"{plural(len(self._failures), 'pack')} failed, the last: {self._failures[-1].splitlines()[0]}"

    def __enter__(self) -> "Observer":
        self._screen.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._closed.set()
        try:
            self._thread.join()
            self._screen.show(self.view())
        finally:
            self._screen.__exit__()
            with suppress(OSError):
                status.remove(self._folder)
            if self._feed is not None:
                self._feed.close()

    def _watch(self) -> None:
        """Show the view twice a second and write it every two seconds, until the end."""
        due = 0.0
        while not self._closed.is_set():
            view = self.view()
            self._screen.show(view)
            if time.monotonic() >= due:
                due = time.monotonic() + STATUS_SECONDS
                with suppress(OSError):  # a full disk stops training by itself, where it loses results
                    status.write(self._folder, view)
            self._closed.wait(REFRESH_SECONDS)

"""The feed to a sink: a thread of its own, so that training never waits for a program that draws curves."""

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.wording import error_line
from deepboot.runners.sinks.sink import Row, Sink


class Feed:
    """Hands evaluations to a sink, in the order in which they came.

    Args:
        sink: is called from one thread only. After its first error it is left alone.
        runs: of the study.
        note: is called with a sentence about that error.
    """

    def __init__(self, sink: Sink, runs: Sequence[Run], note: Callable[[str], None]):
        self._sink, self._note = sink, note
        self._runs = {run.run_id: run for run in runs}
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sink", daemon=True)
        self._thread.start()

    def add(self, rows: Iterable[Row]) -> None:
        """Hand over evaluations of any runs of the study."""
        by_run: dict[str, list[Row]] = {}
        for row in rows:
            by_run.setdefault(row["run_id"], []).append(row)
        for run_id, own in by_run.items():
            self._calls.put(partial(self._sink.add, self._runs[run_id], own))

    def ended(self, run_ids: Iterable[str]) -> None:
        """Hand over that runs are done."""
        for run_id in run_ids:
            self._calls.put(partial(self._sink.finish, self._runs[run_id]))

    def close(self) -> None:
        """Wait until all that was handed over has arrived."""
        self._calls.put(self._sink.close)
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        works = True
        while (call := self._calls.get()) is not None:
            if not works:
                continue
            try:
                call()
            except (Exception, SystemExit) as error:  # whatever another program does must not end training
                works = False
                self._note(f"--log-to: {error_line(error)}. No more is handed over; training goes on, and its "
                           "folder holds every evaluation.")  # fmt: skip

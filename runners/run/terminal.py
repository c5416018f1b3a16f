"""The person at the terminal: what they ask for by a signal, and what they are told beside the results."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deepboot.runners.run.execute import stopping


@contextmanager
def stoppable() -> Iterator[None]:
    """A signal asks for checkpoints and a stop, a second one for a stop at once; they are as before afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        stopping.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask_to_stop(*_: object) -> None:
    if stopping.is_set():
        raise KeyboardInterrupt
    stopping.set()


def heed_stop() -> None:
    """Stop here if that was asked for.

    Raises:
        KeyboardInterrupt: it was.
    """
    if stopping.is_set():
        raise KeyboardInterrupt


def note(sentence: str) -> None:
    """Say something to the person at the terminal, beside the results."""
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201 (said to the person at the terminal)

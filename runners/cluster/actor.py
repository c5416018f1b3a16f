"""The actor: `runners.run.worker` in a process that Ray keeps, on whichever node has a device free.

Torch is loaded by the thread that trains, so that an actor says where it runs long before it can be asked to train.
"""

import json
import threading
from multiprocessing.connection import Pipe
from typing import Any

import ray

POLL_SECONDS = 0.5  # that a question for messages waits for one
THREADS = 4  # of the actor: a job is asked for, messages are waited for, and a stop comes, all at once


class TrainingActor:
    """Does one job or trial after another, in a thread of its own; what comes of them is waited for as messages.

    Its state is lost with its process: all that a successor needs is in the output folder.
    """

    def __init__(self) -> None:
        asked, self._jobs = Pipe(duplex=False)
        self._messages, said = Pipe(duplex=False)

        def serve() -> None:
            try:
                from deepboot.runners.run.worker import work

                work(asked, said)
            finally:
                said.close()

        threading.Thread(target=serve, name="jobs", daemon=True).start()

    def node(self) -> str:
        """The node that it runs on, by Ray's identifier."""
        return ray.get_runtime_context().get_node_id()

    def ask(self, asked: bytes) -> None:
        """Take a job or trial, as JSON."""
        self._jobs.send_bytes(asked)

    def messages(self) -> list[dict[str, Any]] | None:
        """Messages since the last call, after a short wait for one; None where there will be no more."""
        told = list[dict[str, Any]]()
        try:
            while self._messages.poll(0 if told else POLL_SECONDS):
                told.append(json.loads(self._messages.recv_bytes()))
        except (EOFError, OSError):
            return told or None
        return told

    def stop(self) -> None:
        """Ask for a checkpoint and the end; there are no more messages afterwards."""
        from deepboot.runners.run.execute import stopping

        stopping.set()
        self._jobs.close()

"""The actor: `runners.run.worker` in a process that Ray keeps, on whichever node has a device free.

Torch is loaded by the thread that trains, so that an actor says where it runs long before it can be asked to train.
"""

import json
import threading
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import ray

if TYPE_CHECKING:
    from deepboot.runners.cluster.travel import Files, Scratch

POLL_SECONDS = 0.5  # that a question for messages waits for one
THREADS = 4  # of the actor: a job is asked for, messages are waited for, and a stop comes, all at once


class Answer(NamedTuple):
    """What an actor has to say.

    Attributes:
        messages: since the last answer; None where there will be no more.
        files: that were written in its scratch folder until then.
    """

    messages: list[dict[str, Any]] | None
    files: "Files"


class TrainingActor:
    """Does one job or trial after another, in a thread of its own; what comes of them is waited for as messages.

    Its state is lost with its process: all that a successor needs is in the output folder.
    """

    def __init__(self) -> None:
        self._scratch: Scratch | None = None
        asked, self._jobs = Pipe(duplex=False)
        self._messages, said = Pipe(duplex=False)

        def serve() -> None:
            try:
                from deepboot.runners.run.worker import work

                work(asked, said)
            finally:
                said.close()

        threading.Thread(target=serve, name="jobs", daemon=True).start()

    def node(self, token: str) -> tuple[str, bool]:
        """The node that it runs on, by Ray's identifier, and whether a file of the driver's is seen there."""
        return ray.get_runtime_context().get_node_id(), Path(token).is_file()

    def ask(self, asked: bytes, files: "Files | None" = None) -> None:
        """Take a job or trial, as JSON; with what a job reads of an output folder that is not seen here."""
        if files is not None:
            asked = self._moved(json.loads(asked), files)
        self._jobs.send_bytes(asked)

    def _moved(self, job: dict[str, Any], files: "Files") -> bytes:
        """A job that trains in a new scratch folder; the one before it, all of which was sent, is removed."""
        from deepboot.runners.cluster.travel import Scratch

        before, self._scratch = self._scratch, Scratch(job["folder"], files)
        if before is not None:
            before.remove()
        return json.dumps({**job, "folder": str(self._scratch.path)}).encode()

    def messages(self) -> Answer:
        """Messages since the last call, after a short wait for one, and the files that they tell of."""
        told, over = list[bytes](), False
        try:
            while self._messages.poll(0 if told else POLL_SECONDS):
                told.append(self._messages.recv_bytes())
        except (EOFError, OSError):
            over = not told
        scratch = self._scratch
        files = scratch.written() if scratch is not None else {}  # after its messages: what they tell of is among them
        if scratch is not None:
            told = [scratch.told(message) for message in told]
            if over:
                scratch.remove()
        return Answer(None if over else [json.loads(message) for message in told], files)

    def stop(self) -> None:
        """Ask for a checkpoint and the end; there are no more messages afterwards."""
        from deepboot.runners.run.execute import stopping

        stopping.set()
        self._jobs.close()

"""A worker: a process of its own that does one job or trial after another, and the channel to it.

It is ``python -m deepboot.runners.run.worker``, a plain subprocess, so that notebooks, scripts without a main guard and
the command line all start it alike. Jobs come and messages go as JSON over two pipes that nothing else
knows of: whatever a plugin prints goes to the parent's standard error, and it can read nothing from standard input.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from deepboot.bootstrap import registry
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.training.backend import BackendCache
from deepboot.runners import builtins
from deepboot.runners.run.execute import Job, execute, stopping
from deepboot.runners.run.trial import Rate, Trial, measure

STOP_SECONDS = 60  # for a worker to end its step and write its checkpoint
GONE_SECONDS = 5  # for a worker that closed its channel to end
POLL_SECONDS = 0.2  # between two looks at whether a silent worker is alive, or a stop was asked for
PR_SET_PDEATHSIG = 1  # prctl(2)
STANDARD_ERROR = 2


class Worker:
    """A worker process as its parent sees it.

    Args:
        device: the GPU that it sees; as its parent if None.

    Raises:
        StudyError: the system cannot start a process, or cannot pass pipes on to one.
    """

    node = ""

    def __init__(self, device: str | None = None):
        if sys.platform == "win32":
            raise StudyError(
                ["worker processes need Linux or macOS. Use --workers 1 and --device cpu, or Linux under WSL."]
            )
        self.device = device
        sees = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
        jobs, self._jobs = Pipe(duplex=False)
        self.messages, messages = Pipe(duplex=False)
        ends = (jobs.fileno(), messages.fileno())
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deepboot.runners.run.worker", *map(str, ends), str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=STANDARD_ERROR, pass_fds=ends,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **sees},
                start_new_session=True,  # an interrupt from the keyboard reaches the parent alone, which then stops it
            )  # fmt: skip
        except OSError as error:
            raise StudyError(
                [f"a worker process cannot be started: {error.strerror}. Ask for fewer with --workers."]
            ) from error
        jobs.close()
        messages.close()

    def ask(self, asked: Job | Trial) -> None:
        """Hand a job or trial over.

        Raises:
            OSError: the process is dead.
        """
        self._jobs.send_bytes(asked.model_dump_json().encode())

    def message(self) -> dict[str, Any] | None:
        """Its next message, once there is one; None where the process has ended and left none."""
        try:
            while not self.messages.poll(POLL_SECONDS):
                if self.dead and not self.messages.poll():
                    return None
            return json.loads(self.messages.recv_bytes())
        except (EOFError, OSError):
            return None

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def dismiss(self) -> None:
        """Tell it that there is no more to do."""
        self._jobs.close()

    def ended(self) -> str:
        """How a worker that says nothing more has ended, in words."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GONE_SECONDS)
        self.kill()
        status = self.process.returncode
        if status >= 0:
            return f"exit status {status}"
        killed = f"killed by {signal.Signals(-status).name}"
        return f"{killed}, perhaps because memory ran out" if status == -signal.SIGKILL else killed

    def kill(self) -> None:
        """End it at once, if it has not ended yet."""
        self.process.kill()
        self.process.wait()
        self._jobs.close()
        self.messages.close()


def attentive(workers: Sequence[Worker]) -> list[Worker]:
    """Workers that have a message or have ended, after a short wait for one of them."""
    ready = wait([worker.messages for worker in workers], POLL_SECONDS)
    return [worker for worker in workers if worker.messages in ready or worker.dead]


def stop(workers: Sequence[Worker]) -> None:
    """End workers, once they have written their checkpoints; at once, if a person will not wait for that."""
    try:
        for worker in workers:
            worker.dismiss()  # an idle worker waits for its next job, not for signals
            worker.process.terminate()
        for worker in workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(STOP_SECONDS)
    finally:
        for worker in workers:
            worker.kill()


def work(jobs: Connection, messages: Connection) -> None:
    """Do jobs and trials until there are no more or the device is lost, and report on them."""

    def say(**message: Any) -> None:
        try:
            messages.send_bytes(json.dumps(message).encode())
        except OSError:
            os._exit(1)  # whoever asked is gone: leave the pack undone rather than write beside a successor

    builtins.load(claims=False)
    cache = BackendCache()
    say(ready=True)
    while True:
        try:
            asked = jobs.recv_bytes()
        except (EOFError, OSError):
            return
        if "trial_seconds" in json.loads(asked):
            say(rate=_tried(Trial.model_validate_json(asked)).model_dump())
            continue
        job = Job.model_validate_json(asked)
        try:
            result = execute(
                job, lambda steps, rows: say(steps=steps, rows=rows), lambda sentence: say(note=sentence), cache
            )
        except KeyboardInterrupt:
            return
        say(result=result.model_dump(mode="json"))
        if result.device_lost:
            return


def _tried(trial: Trial) -> Rate:
    """The result of a trial, whatever a plugin does."""
    try:
        for plugin in trial.plugins:
            registry.load_plugin(Path(plugin))
        return measure(trial)
    except BaseException as error:
        return Rate(rate=0.0, problem=f"{type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    """Ask Linux to end this process with the one that started it, so that no orphan writes into the folder."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def main(words: Sequence[str]) -> None:
    """Entry point: descriptors of the jobs' and the messages' pipe, and the parent's process number."""
    jobs, messages, parent = map(int, words)
    _end_with(parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    for end in (jobs, messages):
        os.set_inheritable(end, False)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # what is printed is seen, however this ends
    work(Connection(jobs, writable=False), Connection(messages, readable=False))


if __name__ == "__main__":
    main(sys.argv[1:])

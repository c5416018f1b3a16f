"""``deepboot bench gpu``: what only a GPU can answer about this project, the most valuable first, within a budget.

Every step is a process of its own with a time limit of its own, so that neither a crash nor a hang ends the others.
On a CPU the same steps run at small sizes, as a dry run.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.wording import clipped, shown, suggestion
from deepboot.runners.run import environment

LEAST_SECONDS = 10.0  # that must be left of the budget for a step to begin, unless its limit is shorter
PROBE = ("-m", "deepboot.runners.bench.probes")
PATIENCE = {"cuda": 1, "cpu": 3}  # times its limit that a step may take, since a CPU is often shared
LINE, LOG = 600, 20_000  # characters of a line, and of the end of a step's output that is kept
NO_TIME, TIMED_OUT, FAILED, PARTLY = "no time left", "timed out", "failed", "answered in part"
ANSWERED, SKIPPED = "answered", "not asked"
DRY = {"cuda": "", "cpu": "; a dry run at small sizes"}


@dataclass(frozen=True)
class Step:
    """One step of the plan.

    Attributes:
        name: of the probe.
        seconds: its limit on a GPU.
        words: what Python is started with; ``--answers FILE``, ``--until TIME`` and ``--device NAME`` follow.
    """

    name: str
    seconds: float
    words: tuple[str, ...] = ()

    def command(self, device: str, answers: Path, until: float) -> list[str]:
        """The command of its process."""
        words = self.words or (*PROBE, self.name)
        options = ("--device", device, "--answers", str(answers), "--until", str(until))
        return [sys.executable, *words, *options]


STEPS = (
    Step("bits", 40),
    Step("graphs", 75),
    Step("repeats", 45),
    Step("rates_graphed", 75),
    Step("rates_eager", 45),
    Step("rates_compiled", 90),
    Step("demo", 60),
    Step("precisions", 45),
    Step("resnet", 80),
    Step("waits", 30),
    Step("interrupt", 100),
    Step("tests", 110),
    Step("tests_compiled", 120),
)


@dataclass(frozen=True)
class Answer:
    """What came of a step.

    Attributes:
        step: its name.
        status: "answered", "not asked" (here nothing could answer it), "answered in part", "failed", "timed out" or
            "no time left".
        exit: status of its process; None where it had none, or was ended.
        seconds: how long it took.
        limit: how long it might have taken.
        parts: what its probe found, part by part.
        log: the end of its output.
    """

    step: str
    status: str
    exit: int | None = None
    seconds: float = 0.0
    limit: float = 0.0
    parts: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing from it that this device can answer."""
        return self.status in (ANSWERED, SKIPPED)

    def line(self) -> str:
        """The step, its seconds, and what it found in a few words, or the last line of its error."""
        return clipped(f"{self.step:15} {self.seconds:5.1f} s  {self.status:16} {self._words()}".rstrip(), LINE)

    def _words(self) -> str:
        problems = [f"{part['part']}: {part['problem']}" for part in self.parts if part.get("problem")]
        said = [f"{part['part']}: {part[key]}" for part in self.parts for key in ("skipped", "said") if part.get(key)]
        last_lines = [line.strip() for line in self.log.splitlines() if line.strip()][-1:]
        return "; ".join(problems or said or ([] if self.is_whole else last_lines))


def run(
    device: str,
    budget: float,
    only: str | None = None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    steps: Sequence[Step] = STEPS,
) -> int:
    """Carry out the steps of the plan in turn; exit status 0 if all of them answered, 1 if some did not.

    Args:
        device: "cuda", or "cpu" for a dry run.
        budget: seconds for all steps.
        only: a regular expression that the names of steps have to match.
        out: JSON file for all that was found, written anew after every step.
        say: called with a line before the first step, after each, and at the end.
        steps: the plan.

    Raises:
        ValueError: a budget, an expression or a file that cannot be used.
    """
    if not budget > 0:
        raise ValueError(f"--budget: expected a number of seconds above 0, got {budget:g}. Change it.")
    chosen, began, answers = _chosen(steps, only), time.monotonic(), list[Answer]()
    _write(device, began, answers, out)
    say(f"{environment.describe(device, 0.0)['device']}: {len(chosen)} steps, at most {budget:,.0f} s{DRY[device]}")
    with tempfile.TemporaryDirectory(prefix="deepboot-bench-") as folder:
        for step in chosen:
            answers.append(_answer(step, device, budget - (time.monotonic() - began), Path(folder)))
            _write(device, began, answers, out)
            say(answers[-1].line())
    missing = [f"{answer.step} ({answer.status})" for answer in answers if not answer.is_whole]
    took = f"in {time.monotonic() - began:.0f} s"
    if missing:
        say(f"{len(missing)} of {len(answers)} steps did not answer everything, {took}: {', '.join(missing)}.")
    else:
        say(f"All {len(answers)} steps answered, {took}.")
    return 1 if missing else 0


def _chosen(steps: Sequence[Step], only: str | None) -> list[Step]:
    """The steps whose names match."""
    try:
        chosen = [step for step in steps if re.search(only or "", step.name)]
    except re.error as error:
        raise ValueError(f"--only: expected a regular expression, got {shown(only)} ({error}). Change it.") from error
    if not chosen:
        raise ValueError(f"--only: no step matches {shown(only)}. {suggestion(str(only), [s.name for s in steps])}")
    return chosen


def _answer(step: Step, device: str, left: float, folder: Path) -> Answer:
    """What a step answers in a process of its own, in its own time or in what is left of the budget."""
    if left < min(LEAST_SECONDS, step.seconds):
        return Answer(step.name, NO_TIME)
    limit, began = min(PATIENCE[device] * step.seconds, left), time.monotonic()
    answers, log = folder / f"{step.name}.jsonl", folder / f"{step.name}.log"
    status = _exit_status(step.command(device, answers, time.time() + limit), log, limit, _environment(folder))
    parts = list(_parts(answers))
    text = log.read_text(errors="replace")[-LOG:]
    return Answer(step.name, _status(status, parts), status, time.monotonic() - began, limit, parts, text)


def _exit_status(command: Sequence[str], log: Path, limit: float, variables: dict[str, str]) -> int | None:
    """The exit status of a command; None if it was ended, with all that it started, when its time was over."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=variables,
            start_new_session=True,
        )  # fmt: skip
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):  # all of it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(folder: Path) -> dict[str, str]:
    """Variables of a step: what is compiled and remembered is kept in the plan's own folder, empty at first."""
    own = {"TMPDIR": "", "XDG_CACHE_HOME": "cache", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}
    return {**os.environ, "PYTHONUNBUFFERED": "1", **{name: str(folder / place) for name, place in own.items()}}


def _parts(path: Path) -> Iterator[dict[str, Any]]:
    """The answers of a probe; of one that was ended, without a line that it had not finished."""
    for line in path.read_text().splitlines() if path.is_file() else ():
        with suppress(ValueError):
            yield json.loads(line)


def _status(status: int | None, parts: list[dict[str, Any]]) -> str:
    """The exit status of a step in words."""
    if status is None:
        return TIMED_OUT
    if status != 0:
        return FAILED
    if any(part.get("left_out") for part in parts):
        return PARTLY
    return SKIPPED if parts and all(part.get("skipped") for part in parts) else ANSWERED


def _write(device: str, began: float, answers: Sequence[Answer], out: Path | None) -> None:
    """Write down versions, device and all answers so far."""
    if out is None:
        return
    found = environment.describe(device, time.monotonic() - began)
    try:
        write_json(
            {**found, "command": shlex.join(sys.orig_argv), "steps": [asdict(answer) for answer in answers]}, out
        )
    except OSError as error:
        raise ValueError(f"--json {out} cannot be written: {error.strerror}. Give another path.") from error

"""Doing one pack: train it, keep its states, write its shard. Also the worker process that does so.

A worker is ``python -m runners.execute``: it reads one job a line and says what it did, one JSON
object a line. It is a plain subprocess, so that notebooks, scripts without a main guard and the
command line all start it alike.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from bootstrap import registry
from bootstrap.data import build_task
from bootstrap.feed import world_of
from bootstrap.run import Run
from bootstrap.train import Outcome, train
from bootstrap.worlds import usage
from runners import checkpoints, folder, shipped
from runners.process import prepare


class Job(BaseModel):
    """A pack and where its results go."""

    name: str
    folder: str
    runs: list[Run]
    start: int = 0
    device: str = "cpu"
    threads: int = 1
    plugins: list[str] = []


@dataclass(frozen=True)
class Failure:
    """Why a pack could not be done."""

    job: str
    reason: str


def execute(job: Job, progress: Callable[[int], None]) -> Failure | None:
    """Do one job; what it gave lies in the folder afterwards, also if it failed."""
    place = Path(job.folder)
    prepare(job.threads)
    try:
        states = [checkpoints.read_state(place, run.run_id) for run in job.runs] if job.start else None
        outcomes = train(job.runs, device=job.device, states=states, progress=progress)  # type: ignore[arg-type]
    except Exception as error:  # whatever a plugin or a device may raise: the other packs go on
        reason = f"{type(error).__name__}: {error}"
        log = place / "failures.log"
        with log.open("a") as file:
            file.write(f"pack {job.name}\n{traceback.format_exc()}\n")
        folder.write_shard(place, job.name, [_failed(run) for run in job.runs], [])
        return Failure(job.name, f"{reason} (traceback in {log})")
    for outcome in outcomes:
        if outcome.run.keep.final_state and outcome.status == "finished":
            checkpoints.write_state(place, outcome.run.run_id, outcome.state)
    rows = [row for outcome in outcomes for row in outcome.rows]
    folder.write_shard(place, job.name, [_row(outcome) for outcome in outcomes], rows)
    return None


def _row(outcome: Outcome) -> dict[str, Any]:
    """What training knows of a run; the rest of its row follows from its specification."""
    run, steps = outcome.run, outcome.last_step
    used = usage(world_of([run], build_task(run.task)), max(steps, 1))
    return {
        **_failed(run),
        "status": outcome.status,
        "last_step": steps,
        "seconds": outcome.seconds,
        "first_reuse_step": used.first_reuse_step,
        "reuse": steps * run.batch_size / used.distinct,
    }


def _failed(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id, "cell_id": run.cell_id, "seed": run.seed, "status": "failed", "last_step": 0,
        "seconds": None, "first_reuse_step": None, "reuse": None,
    }  # fmt: skip


def work() -> None:
    """Read jobs from standard input until it ends; tell what happens on standard output."""
    shipped.load()

    def say(**message: Any) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            os._exit(1)  # whoever asked is gone: leave the pack undone rather than write beside a successor

    for line in sys.stdin:
        job = Job.model_validate_json(line)
        for plugin in job.plugins:
            registry.load_plugin(Path(plugin))
        failure = execute(job, lambda steps: say(steps=steps))
        say(done=job.name, failure=failure.reason if failure else None)


if __name__ == "__main__":
    work()

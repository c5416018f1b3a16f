"""How a whole study is carried out: packs, processes and threads, kept in its folder so that it goes on as begun.

A plan is chosen once, as `runners.run.autotune` measures it or as a person asks, and lies in the output folder as
``execution_plan.json``.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.execution import BackendName, Execution
from deepboot.runners.run.packing import pack_key

PLAN_FILE = "execution_plan.json"
EARLIER_FILE = "layout.json"  # of version 0.2
EARLIER_NAMES = {"shapes": "packs", "program": "backend", "apart": "sequential"}  # what its keys are called now


class PackSettings(BaseModel):
    """How packs of one key are stepped.

    Attributes:
        pack_size: members at most, unless one family has more.
        backend: how steps are carried out.
        sequential: whether the members of a pack, which is then one family, are stepped one after another.
        measured: the trials that this was chosen by, in words.
    """

    pack_size: int = 1
    backend: BackendName = "eager"
    sequential: bool = False
    measured: list[str] = []

    @property
    def summary(self) -> str:
        """The same in a few words."""
        members = "one member at a time" if self.sequential else f"up to {self.pack_size} members"
        return f"{members}, {self.backend}"


class ExecutionPlan(BaseModel):
    """How a whole study is carried out.

    Attributes:
        device: "cpu" or "cuda".
        workers, threads: processes, and threads of each.
        packs: settings of packs by `short_key` of their runs.
        compiler: whether there is one that torch can use; None where nobody had to know.
    """

    device: str
    workers: int = 1
    threads: int = 1
    packs: dict[str, PackSettings] = {}
    compiler: str | None = None

    def of(self, run: Run) -> PackSettings:
        """Settings of a run's pack."""
        return self.packs.get(short_key(run), PackSettings())

    def execution(self, run: Run) -> Execution:
        """How a run's pack is carried out."""
        settings = self.of(run)
        return Execution(
            device=self.device, backend=settings.backend, threads=self.threads, sequential=settings.sequential
        )

    @property
    def summary(self) -> str:
        """The plan in a few words."""
        packs = sorted({settings.summary for settings in self.packs.values()})
        return f"{self.workers} processes of {self.threads} threads, packs of {' or '.join(packs) or 'one family'}"


def short_key(run: Run) -> str:
    """A short name for a run's pack key."""
    return hashlib.sha256(pack_key(run).encode()).hexdigest()[:16]


def read_plan(folder: Path) -> ExecutionPlan | None:
    """The plan that a folder was begun with, None where there is none that can be read."""
    for name in (PLAN_FILE, EARLIER_FILE):
        try:
            return ExecutionPlan.model_validate(_renamed(json.loads((folder / name).read_text())))
        except (OSError, ValueError):
            continue
    return None


def write_plan(plan: ExecutionPlan, folder: Path) -> None:
    """Keep the plan with the folder."""
    write_json(plan.model_dump(), folder / PLAN_FILE)


def _renamed(value: Any) -> Any:
    """A plan's JSON with the names of today."""
    if not isinstance(value, dict):
        return value
    return {EARLIER_NAMES.get(name, name): _renamed(part) for name, part in value.items()}

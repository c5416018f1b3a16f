"""The state of a study at a moment: what the live view shows, and what it shows it from."""

import os
import platform
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from deepboot.runners.live.pace import STEPS, sentence

State = Literal["preparing", "training", "finished", "interrupted"]


class WorldView(BaseModel):
    """One world's runs so far.

    Attributes:
        world: name of its rule.
        runs: planned.
        evaluated: of them, those with an evaluation.
        memorised, grokked: of them, those that have met the study's criteria by their last evaluation.
        median_error: of the test errors at each run's last evaluation, in [0, 1]; None before there is any.
    """

    model_config = ConfigDict(frozen=True)

    world: str
    runs: int
    evaluated: int
    memorised: int
    grokked: int
    median_error: float | None

    def line(self) -> str:
        """The counts in words."""
        return f"{self.world}: {self.memorised:,} of {self.runs:,} memorised, {self.grokked:,} grokked"


class View(BaseModel):
    """A study at a moment.

    Attributes:
        name: of its folder.
        state: whether it is being trained; of a folder that nothing is written to, whether all its runs are done.
            Preparing: a process holds the folder, and does not train yet or no more.
        worlds: in the order of the plan.
        steps_done, steps: member steps of this command.
        rate: member steps a second; None until it is known.
        at_most: whether a stop rule may end runs early.
        packs_done, packs_running, packs: of this command, those that failed among the done ones.
        failures: how many packs or runs failed, and how the last one did, in one line; None where none did.
        note: a sentence of whoever watches it, such as how long ago the process gave its last sign; maybe empty.
        nodes: member steps a second on each node of a cluster; none where there is but one machine.
        seen: seconds since the epoch.
        process, host: who trains.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    worlds: tuple[WorldView, ...]
    steps_done: int = 0
    steps: int = 0
    rate: float | None = None
    at_most: bool = False
    packs_done: int = 0
    packs_running: int = 0
    packs: int = 0
    failures: str | None = None
    note: str = ""
    nodes: dict[str, float] = {}
    seen: float = 0.0
    process: int = Field(default_factory=os.getpid)
    host: str = Field(default_factory=platform.node)

    def line(self) -> str:
        """Member steps, rate, time left and nodes' rates, for a log; untrained, the state and each world's counts."""
        if self.state == "training":
            line = sentence(self.steps_done, self.steps, self.rate, STEPS, at_most=self.at_most)
            return "; ".join([line, *(f"{node}: {rate:,.0f} a second" for node, rate in self.nodes.items())])
        return "; ".join([f"{self.name}: {self.state}", *(world.line() for world in self.worlds)])

"""The contract of a sink: it is handed evaluations, run by run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from deepboot.bootstrap.study.run import Run

Row = dict[str, Any]


class Sink(ABC):
    """A program that draws curves; every training run is a run of its own there.

    What it raises is told once, and no more is handed to it: training goes on.
    """

    @abstractmethod
    def add(self, run: Run, rows: Sequence[Row]) -> None:
        """Take evaluations of a run, by step, later than those before."""

    @abstractmethod
    def finish(self, run: Run) -> None:
        """Take note that a run is done."""

    @abstractmethod
    def close(self) -> None:
        """Take note that nothing more comes; runs that are not done go on by another command."""


def name_of(run: Run) -> str:
    """A run's name in a list: its world, its seed, and the beginning of its run_id."""
    return f"{run.rule}-seed{run.seed}-{run.run_id[:6]}"


def values_of(row: Row) -> dict[str, float]:
    """The measured values of an evaluation, by name; what was not measured is left out."""
    return {
        name: value for name, value in row.items() if name not in ("run_id", "step") and not math.isnan(value)
    }  # fmt: skip

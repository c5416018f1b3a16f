"""How many runs of each world have memorised and grokked so far, counted as their evaluations come in."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepboot.bootstrap.events import LOSSES, ROUNDING
from deepboot.bootstrap.study.run import Run
from deepboot.runners.live.view import WorldView

Row = dict[str, Any]


@dataclass
class RunTally:
    """One run's evaluations so far, under the criteria of `bootstrap.events.run_events`.

    Attributes:
        memorising, grokking: evaluations in a row, up to the last one, at which the accuracy was reached.
        memorised, grokked: whether that was once a whole streak.
    """

    run: Run
    last_step: int = -1
    test_error: float = math.nan
    memorising: int = 0
    grokking: int = 0
    memorised: bool = False
    grokked: bool = False

    def add(self, row: Row) -> None:
        """Count one evaluation later than the last."""
        self.last_step, self.test_error = row["step"], row["test_error"]
        counts = not any(math.isinf(row[loss]) for loss in LOSSES) and not math.isnan(row["test_loss"])
        self.memorising = self.memorising + 1 if counts and self._reached(self._fitted_error(row)) else 0
        self.grokking = self.grokking + 1 if counts and self._reached(self.test_error) else 0
        streak = self.run.evaluation.streak
        self.memorised |= self.memorising >= streak
        self.grokked |= self.grokking >= streak

    def _fitted_error(self, row: Row) -> float:
        """The error by which the run memorises: on its pool, or where it has none, on its batches."""
        unmeasured = self.run.rule == "ideal" or math.isnan(row["train_error"])
        error: float = row["online_error" if unmeasured else "train_error"]
        return error

    def _reached(self, error: float) -> bool:
        return error <= 1 - self.run.evaluation.threshold + ROUNDING


class Tally:
    """All runs of a study.

    Args:
        runs: in the order in which worlds are told.
    """

    def __init__(self, runs: Sequence[Run]):
        self._runs = {run.run_id: RunTally(run) for run in runs}

    def add(self, rows: Iterable[Row]) -> list[Row]:
        """Count evaluations; those that were not known yet come back.

        A pack that starts over, or goes on from a checkpoint, tells of evaluations a second time.

        Args:
            rows: of the table ``evaluations``, by step within a run; of runs outside the study nothing is counted.
        """
        new = []
        for row in rows:
            known = self._runs.get(row["run_id"])
            if known is not None and row["step"] > known.last_step:
                known.add(row)
                new.append(row)
        return new

    def worlds(self) -> tuple[WorldView, ...]:
        """The counts of each world."""
        members: dict[str, list[RunTally]] = {}
        for one in self._runs.values():
            members.setdefault(one.run.rule, []).append(one)
        return tuple(_world(world, runs) for world, runs in members.items())


def _world(world: str, runs: Sequence[RunTally]) -> WorldView:
    evaluated = [one for one in runs if one.last_step >= 0]
    errors = [one.test_error for one in evaluated if math.isfinite(one.test_error)]
    return WorldView(
        world=world,
        runs=len(runs),
        evaluated=len(evaluated),
        memorised=sum(one.memorised for one in runs),
        grokked=sum(one.grokked for one in runs),
        median_error=float(np.median(errors)) if errors else None,
    )

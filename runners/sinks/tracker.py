"""Experiment trackers with ``init``, ``log`` and ``finish``, such as wandb and trackio."""

from collections.abc import Sequence
from types import ModuleType
from typing import final

from deepboot.bootstrap.study.run import Run
from deepboot.runners.sinks.sink import Row, Sink, name_of, values_of

FUNCTIONS = ("init", "log", "finish")


@final
class Tracker(Sink):
    """A module that knows one run at a time: each run is handed over whole, when it is done.

    A run that is interrupted is handed over by the command that finishes it, so none is there twice.

    Args:
        module: with ``init(project=, name=, config=)``, ``log(values, step=)`` and ``finish()``.
        project: under which the runs are filed.
    """

    def __init__(self, module: ModuleType, project: str):
        self._module, self._project = module, project
        self._rows: dict[str, list[Row]] = {}

    def add(self, run: Run, rows: Sequence[Row]) -> None:
        self._rows.setdefault(run.run_id, []).extend(rows)

    def finish(self, run: Run) -> None:
        rows = self._rows.pop(run.run_id, [])
        if not rows:
            return
        config = {"world": run.rule, "seed": run.seed, "run_id": run.run_id, "cell_id": run.cell_id, **run.settings()}
        self._module.init(project=self._project, name=name_of(run), config=config)
        for row in rows:
            self._module.log(values_of(row), step=row["step"])
        self._module.finish()

    def close(self) -> None:
        self._rows.clear()

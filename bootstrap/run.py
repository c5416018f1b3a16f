"""One run's specification: everything that gives its weights and its rows, and the hash of it."""

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, Literal

from bootstrap.registry import Settings
from bootstrap.study import CHOICES, Chosen, Data, Evaluation, Keep, Schedule, Streams

MEANING = 1  # raised whenever the same specification begins to give other numbers


class Run(Settings):
    """Everything that one run is: a pure function of this gives its weights and its rows."""

    task: Chosen
    model: Chosen
    optimizer: Chosen
    loss: Chosen
    world: Chosen
    data: Data
    schedule: Schedule
    evaluation: Evaluation
    keep: Keep
    streams: Streams
    dtype: Literal["float32", "float64"]
    seed: int
    train_size: int | None
    train_fraction: float | None
    largest_pool: int | None
    batch_size: int
    max_steps: int
    code: dict[str, str]
    ideal_run_id: str | None = None

    @property
    def rule(self) -> str:
        """Name of the world's index rule."""
        return self.world["rule"]

    def stream_seed(self, stream: str) -> int:
        """Seed of one stream: its own, or the run's."""
        own = getattr(self.streams, stream)
        return self.seed if own is None else own

    @property
    def run_id(self) -> str:
        """Hash of all that changes weights or evaluated rows, 16 hexadecimal digits."""
        return _digest({**self._configuration(), "seed": self.seed})

    @property
    def cell_id(self) -> str:
        """Hash of the configuration, the same for all seeds."""
        return _digest(self._configuration())

    def _configuration(self) -> dict[str, Any]:
        full = self.model_dump(mode="json", exclude={"ideal_run_id", "keep", "seed", "train_fraction"})
        if self.schedule.shape == "constant":
            del full["max_steps"]
        if self.data.test_set != "rest":
            del full["largest_pool"]
        judged = ("threshold", "streak", "stopping_metric", "stopping_threshold")
        if "data" in self.code:
            full["task"].pop("path", None)  # a recording is what is in it, wherever it lies
        full["evaluation"] = {k: v for k, v in full["evaluation"].items() if k not in judged}
        return {"meaning": MEANING, **full}

    def settings(self) -> dict[str, Any]:
        """Every setting under its dotted name, as the tables and ``where`` know it."""
        nested: dict[str, Any] = {
            **{kind: getattr(self, kind) for kind in CHOICES},
            **{part: getattr(self, part).model_dump() for part in ("data", "schedule", "evaluation")},
            "training": {"world": self.world, "streams": self.streams.model_dump(), "dtype": self.dtype},
        }
        return dict(_flat(nested))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat(nested: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value) if isinstance(value, list | tuple) else value


def evaluation_steps(evaluation: Evaluation, max_steps: int) -> list[int]:
    """Scheduled evaluations up to the budget, and the budget itself, sorted.

    >>> evaluation_steps(Evaluation(per_octave=2), 20)
    [0, 1, 2, 3, 4, 6, 8, 11, 16, 20]
    """
    return sorted(scheduled_steps(evaluation, max_steps) | {max_steps})


def scheduled_steps(evaluation: Evaluation, max_steps: int) -> set[int]:
    """Steps of the schedule that lie within the budget; they do not depend on it."""
    if isinstance(evaluation.schedule, list):
        return {step for step in evaluation.schedule if step <= max_steps}
    if isinstance(evaluation.schedule, int):
        return set(range(0, max_steps + 1, evaluation.schedule))
    octaves = math.log2(max_steps) if max_steps > 1 else 0
    count = math.ceil(octaves * evaluation.per_octave) + 1
    return {0} | {step for i in range(count) if (step := round(2 ** (i / evaluation.per_octave))) <= max_steps}

"""One run's specification, from which its weights and rows follow, and its identity, the hash of it."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field

from deepboot.bootstrap import registry
from deepboot.bootstrap.columns import RUN_COLUMNS
from deepboot.bootstrap.registry import LATER, Settings
from deepboot.bootstrap.study.roles import Role, fields_where
from deepboot.bootstrap.study.schema import (
    CHOICES,
    Chosen,
    Data,
    Dtype,
    Evaluation,
    Keep,
    LayerFactors,
    Precision,
    Schedule,
    Stop,
    Streams,
    Study,
    Training,
    own_settings,
)
from deepboot.bootstrap.task import DATA_PATHS

DIGITS = 16  # of the hashes that are ids
MEANING = 2  # raised whenever the same specification begins to give other numbers


class KeptWeights(Settings):
    """Weights that a run starts from.

    Attributes:
        path: of their file; not part of the run's identity, since the next fields name its contents.
        cell_id: the configuration of their run, the same for all seeds.
        run_id, step: their run, and the step after which they were kept.
        named_step: the step if the study names one; None: the last one, which may be another for each seed.
        layers: the beginnings of the names of the parameters that are taken; empty: all.
        shared: whether the run's partner starts from the same ones.
    """

    path: str
    cell_id: str
    run_id: str
    step: int
    named_step: int | None
    layers: list[str]
    shared: bool = True

    def settings(self) -> dict[str, Any]:
        """The settings that seeds of one configuration have in common."""
        named = {} if self.named_step is None else {"step": self.named_step}
        return {"cell_id": self.cell_id, "layers": self.layers, **named}


class Run(Settings):
    """Everything that a run's weights and rows depend on.

    A field that the study has under the same name takes its role from there.

    Attributes:
        construction: the construction that its weights start from.
        partner: of an ideal run under a stop rule, the ``cell_id`` of the real run that it stops with.
        phases: the run at later steps; the runs in them have no phases of their own.
        first_step, first_draw: of a run in a phase, the steps done and samples drawn before it.
        first_unread: of a run in a phase, the first index such that neither it nor any later one was read before.
    """

    task: Chosen
    model: Chosen
    optimizer: Chosen
    loss: Chosen
    world: Chosen
    data: Data
    schedule: Schedule
    evaluation: Evaluation
    keep: Keep
    probes: Annotated[dict[str, Chosen], LATER] = Field(default={})
    streams: Streams
    dtype: Dtype
    precision: Precision
    channels_last: bool
    penalty: Annotated[Chosen | None, LATER] = None
    transforms: Annotated[list[Chosen], LATER] = Field(default_factory=list)
    layers: Annotated[dict[str, LayerFactors], LATER] = Field(default_factory=dict)
    weight_noise: float
    update_noise: float
    norm_clamp: Annotated[float | None, LATER] = None
    stop: Stop | None
    start: KeptWeights | None
    construction: Annotated[Chosen | None, LATER] = None
    seed: Annotated[int, Role(per_member=True)]
    train_size: int | None
    train_fraction: float | None
    largest_pool: Annotated[int | None, Role(per_member=True)]
    batch_size: int
    max_steps: int
    code: Annotated[dict[str, str], Role(per_member=True)]
    ideal_run_id: Annotated[str | None, Role(identity=False, per_member=True)] = None
    partner: Annotated[str | None, Role(per_member=True)] = None
    phases: tuple["Phase", ...] = ()
    first_step: int = 0
    first_draw: int = 0
    first_unread: int = 0

    def in_force(self, update: int) -> "Run":
        """The run at an update, 1 for the first: this one, or that of the latest phase that has begun by then."""
        begun = [phase.run for phase in self.phases if phase.at_step < update]
        return begun[-1] if begun else self

    def samples_seen(self, step: int) -> int:
        """Samples drawn up to a step."""
        run = self.in_force(step)
        return run.first_draw + (step - run.first_step) * run.batch_size

    @property
    def rule(self) -> str:
        """Name of the world's index rule."""
        return self.world["rule"]

    @property
    def pool_size(self) -> int:
        """Samples in the pool by which its data are made, which an ideal run may have too; 0 where there is none."""
        return self.train_size or 0

    def stream_seed(self, stream: str) -> int:
        """Seed of one stream: its own, or the run's."""
        seed: int | None = getattr(self.streams, stream)
        return self.seed if seed is None else seed

    @cached_property  # asked for a dozen times a run, of a specification that never changes
    def run_id(self) -> str:
        """Hash of all that changes weights or evaluated rows, 16 hexadecimal digits."""
        return next(self.ids_at([self.seed]))

    @cached_property
    def cell_id(self) -> str:
        """Hash of the configuration, the same for all seeds."""
        return hashlib.sha256(_canonical(self._configuration())).hexdigest()[:DIGITS]

    @cached_property
    def identity(self) -> tuple[bytes, bytes]:
        """The JSON of which ``run_id`` is the hash, before and after its seed: what all seeds have in common."""
        source = [self.start.run_id, self.start.step] if self.start is not None else []
        full = {**self._configuration(), "source": source}
        before, after = ({name: full[name] for name in full if (name < "seed") == earlier} for earlier in (True, False))
        return _canonical(before)[:-1] + b',"seed":', b"," + _canonical(after)[1:]

    def ids_at(self, seeds: Iterable[int]) -> Iterator[str]:
        """The ``run_id`` that the run would have at each of these seeds."""
        before, after = self.identity
        common = hashlib.sha256(before)
        for seed in seeds:
            digest = common.copy()
            digest.update(b"%d%b" % (seed, after))
            yield digest.hexdigest()[:DIGITS]

    @property
    def of_one_seed(self) -> bool:
        """Whether parts of it, phases or kept weights, were made for its own seed alone."""
        return bool(self.phases) or self.start is not None

    def at_seed(self, seed: int, run_id: str, ideal_run_id: str | None) -> Self:
        """The run at another seed, whose ids are known; phases and kept weights, which may depend on it, are not made.

        It is a hundred times as fast as `model_copy`, and shares all fields and what was computed of them.
        """
        assert not self.of_one_seed or seed == self.seed, "phases and weights are those of one seed"
        copied = type(self).__new__(type(self))
        own = {"seed": seed, "ideal_run_id": ideal_run_id, "run_id": run_id}
        object.__setattr__(copied, "__dict__", {**self.__dict__, **own})
        for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
            object.__setattr__(copied, name, getattr(self, name))
        return copied

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, which has an identity of its own."""
        copied = super().model_copy(update=update, deep=deep)
        for name in ("run_id", "cell_id", "identity", "first_settings"):
            copied.__dict__.pop(name, None)
        return copied

    def _configuration(self) -> dict[str, Any]:
        """Everything in the identity that seeds have in common."""
        full = self.as_json(NOT_IDENTITY)
        del full["seed"]
        full["phases"] = [[phase.at_step, phase.run._configuration()] for phase in self.phases]
        if self.schedule.shape == "constant":
            del full["max_steps"]
        if self.start is not None:
            full["start"] = self.start.settings()
        if self.data.test_set != "rest":
            del full["largest_pool"]
        for name in ("partner", "first_unread"):
            if not full[name]:
                del full[name]
        if "data" in self.code:
            for name in DATA_PATHS:
                full["task"].pop(name, None)  # a recording is its contents, whatever its path
        # clipping was a setting of its own once, and its absence stays in the ids of all runs
        return {"meaning": MEANING, "clip_norm": None, **full}

    def as_json(self, exclude: dict[str, Any]) -> dict[str, Any]:
        """Its fields as JSON values, without these, and without later settings at their default."""
        full = self.model_dump(mode="json", exclude=exclude)
        schemas: list[tuple[dict[str, Any], type[Settings]]] = [(full, type(self)), (full["evaluation"], Evaluation)]
        schemas += [(full[kind], registry.settings(kind, full[kind]["name"])) for kind in CHOICES]
        if "world" in full:
            schemas.append((full["world"], registry.settings("rule", self.rule)))
        for values, schema in schemas:
            for name in registry.later_defaults(schema, values):
                del values[name]
        return full

    def settings(self) -> dict[str, Any]:
        """Every setting by its dotted name, as in the tables and in ``where``, then those that its phases change."""
        return {**self.first_settings, **_phase_columns(self)}

    @cached_property
    def first_settings(self) -> dict[str, Any]:
        """Every setting of the first phase by its dotted name, the same for all seeds; lists are JSON."""
        nested: dict[str, Any] = {
            **{kind: getattr(self, kind) for kind in CHOICES},
            **{part: getattr(self, part).model_dump() for part in ("data", "schedule", "evaluation")},
            "training": self.model_dump(include={"world", *TRAINING}) | self._names_in_order(),
            **{f"training.transforms.{index}": own_settings(one) for index, one in enumerate(self.transforms)},
            **{f"training.layers.{name}": factors.model_dump() for name, factors in self.layers.items()},
            "stop": self.stop.model_dump() if self.stop is not None else {},
            **({"stop.partner": self.partner} if self.partner is not None else {}),
            "start": self.start.settings() if self.start is not None else {},
            **({"start.construction": self.construction} if self.construction is not None else {}),
        }
        return dict(_flat(nested))

    def _names_in_order(self) -> dict[str, list[str] | None]:
        """Names of the transforms, and of the layers with factors of their own; None where there are none."""
        return {"transforms": [one["name"] for one in self.transforms] or None, "layers": sorted(self.layers) or None}


NOT_IDENTITY = fields_where(lambda role: not role.identity, Run, Training, Study)
PER_MEMBER = fields_where(lambda role: role.per_member, Run, Training, Study)
# settings of ``training`` that all runs of a study have as it gives them; a run's row has columns for the others
TRAINING = tuple(name for name in Training.model_fields if name in Run.model_fields and name not in RUN_COLUMNS)


class Phase(Settings):
    """A later phase of a run.

    Attributes:
        at_step: the last step before it.
        run: the run from then on.
        named: settings that the study gives it, by dotted name, changed or not; no part of the identity.
    """

    at_step: int
    run: Run
    named: tuple[str, ...] = ()


class Pair(NamedTuple):
    """A real run and the ideal run that it is compared with; None where the study trains no ideal world."""

    real: Run
    ideal: Run | None


def _phase_columns(run: Run) -> dict[str, Any]:
    """Settings that the phases of a run are given or change, as columns: ``phases.1.training.train_size`` and so on."""
    columns: dict[str, Any] = {}
    befores = [run, *(phase.run for phase in run.phases)]
    for number, (before, phase) in enumerate(zip(befores, run.phases, strict=False), 1):
        columns[f"phases.{number}.at_step"] = phase.at_step
        given = {name: value for name, value in _in_phase(phase.run).items() if _is_among(name, phase.named)}
        columns |= {f"phases.{number}.{name}": value for name, value in (given | changed(before, phase.run)).items()}
    return columns


def changed(before: Run, after: Run) -> dict[str, Any]:
    """Settings of a later phase that are not those of the phase before it, by dotted name."""
    old, new = _in_phase(before), _in_phase(after)
    return {name: value for name, value in new.items() if value != old.get(name)}


def _in_phase(run: Run) -> dict[str, Any]:
    return {"training.train_size": run.train_size, **run.first_settings}


def _is_among(name: str, given: Iterable[str]) -> bool:
    """Whether a setting is one of these, or inside one of them."""
    return any(name == one or name.startswith(f"{one}.") for one in given)


def _canonical(value: Any) -> bytes:
    """A value's JSON, of which ids are hashes: keys in order, without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _flat(nested: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by dotted name, lists as JSON."""
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


def probe_steps(run: Run) -> dict[str, frozenset[int]]:
    """Steps at which each probe is due by the schedule; it is measured at the run's last evaluation too.

    They do not depend on the budget, as those of the schedule do not.
    """
    steps = sorted(scheduled_steps(run.evaluation, run.max_steps))
    return {name: frozenset(steps[:: settings["every"]]) for name, settings in run.probes.items()}


def scheduled_steps(evaluation: Evaluation, max_steps: int) -> set[int]:
    """Steps of the schedule that lie within the budget; they do not depend on it."""
    if isinstance(evaluation.schedule, list):
        return {step for step in evaluation.schedule if step <= max_steps}
    if isinstance(evaluation.schedule, int):
        return set(range(0, max_steps + 1, evaluation.schedule))
    octaves = math.log2(max_steps) if max_steps > 1 else 0
    count = math.ceil(octaves * evaluation.per_octave) + 1
    return {0} | {step for i in range(count) if (step := round(2 ** (i / evaluation.per_octave))) <= max_steps}

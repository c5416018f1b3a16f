"""A study: the question, what is trained and what is claimed; its schema, and how it is read."""

import copy
import json
import re
import tomllib
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from pydantic_core import PydanticSerializationError

from bootstrap import registry
from bootstrap.mistakes import StudyError, beside, place_of, sentences, table_of, unwritable, writable
from bootstrap.registry import Kind, Settings, clipped, shown

Fraction = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["float32", "tf32", "bf16"]
Augmentation = Literal["none", "flip", "crop_flip"]
Chosen = dict[str, Any]  # {"name": ..., its settings}
CHOICES: tuple[Kind, ...] = ("task", "model", "optimizer", "loss")
STAND_INS: dict[str, Any] = {  # for tables that every study needs, where they are faulty
    "question": "?", "task": {}, "model": {}, "optimizer": {},
    "training": {"train_size": 1, "batch_size": 1, "max_steps": 1, "seeds": 1},
}  # fmt: skip
NAME = r'\s*(?:[\w-]+|"(?:[^"\\\n]|\\.)*")\s*'  # one part of a dotted name
DOTTED = rf"{NAME}(?:\.{NAME})*"


class Streams(Settings):
    """Seeds of single streams; None means the run's own seed."""

    init: int | None = None
    data: int | None = None
    order: int | None = None
    noise: int | None = None
    augment: int | None = None
    test: int | None = None


class Data(Settings):
    """How samples are divided between training and test, and what is done to their labels.

    Attributes:
        test_set: of a finite universe: cells that neither world sees (``heldout``), all outside the
            study's largest pool (``rest``; the ideal world draws them too), all cells (``population``), or those that
            the task itself names (``reference``; all others are for training).
        test_fraction: share of cells held out.
        test_samples: size of the test set; None is 5,000 of an endless task, all test cells of a finite one.
        split: divide ``cells``, or ``orbits``, which keep (a, b) and (b, a) together.
        labels: ``true``, or for training ``random`` ones, uniform over the classes and fixed per sample.
        label_noise: probability that a sample's label is replaced by a wrong one, uniformly.
        noisy_test: whether test labels are noisy too.
        swapped_answers: number of samples per pool whose labels are exchanged among themselves.
        augmentation: of training images, new for every draw: mirrored (``flip``), or shifted by up to 4 pixels and
            mirrored (``crop_flip``).
        allow_reuse: whether samples that a rule promises as never used may come round again, where a finite task has
            no others left: at the end of a recording, and of any finite universe under ``fresh`` or ``sliding``.
    """

    test_set: Literal["heldout", "rest", "population", "reference"] = "heldout"
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_samples: PositiveInt | None = None
    split: Literal["cells", "orbits"] = "cells"
    labels: Literal["true", "random"] = "true"
    label_noise: Annotated[float, Field(ge=0, le=1)] = 0.0
    noisy_test: bool = False
    swapped_answers: NonNegativeInt = 0
    augmentation: Augmentation = "none"
    allow_reuse: bool = False


class Training(Settings):
    """Pools, worlds, budget and replicates.

    Attributes:
        train_size: samples in the pool, N; a list is one real world each.
        train_fraction: N as a share of a finite universe, instead of ``train_size``.
        ideal: whether to train the ideal world too.
        world: the index rule of the finite pool's world, with its settings.
        batch_size: samples per step, or "full" for the whole pool.
        max_steps: the budget, in optimizer updates.
        seeds: number of replicates, or a list of their seeds.
        streams: seeds of single streams.
        dtype: of parameters and activations.
        precision: of products: ``float32``; ``tf32``, ten bits and fast on a GPU that has it; or ``bf16``, the forward
            and backward pass under autocast, with parameters and losses in float32.
        channels_last: whether images of members that are stepped apart lie pixel by pixel in memory.
        clip_norm: largest Euclidean norm of a member's gradient; a longer one is scaled down to it.
        weight_noise: standard deviation of normal noise on all weights, new for every gradient.
        update_noise: standard deviation of normal noise added to every update, times the learning rate.
    """

    train_size: PositiveInt | list[PositiveInt] | None = None
    train_fraction: Fraction | list[Fraction] | None = None
    ideal: bool = True
    world: dict[str, Any] = Field(default_factory=lambda: {"rule": "real"})
    batch_size: PositiveInt | Literal["full"]
    max_steps: PositiveInt
    seeds: PositiveInt | list[NonNegativeInt]
    streams: Streams = Streams()
    dtype: Literal["float32", "float64"] = "float32"
    precision: Precision = "float32"
    channels_last: bool = False
    clip_norm: PositiveFloat | None = None
    weight_noise: NonNegativeFloat = 0.0
    update_noise: NonNegativeFloat = 0.0


class Schedule(Settings):
    """Learning rate over the steps: a linear warm-up, then constant, or falling to 0 at ``max_steps``."""

    shape: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: NonNegativeInt = 0


class Evaluation(Settings):
    """When to evaluate, and what counts as reached.

    Attributes:
        schedule: "log", every so many steps, or a list of steps. The last step is evaluated too.
        per_octave: evaluations per doubling of the step, for "log".
        train_samples: at most this many samples of the pool are evaluated.
        threshold, streak: an accuracy counts as reached at the first of ``streak`` evaluations at or above it.
        stopping_metric, stopping_threshold: the real world has converged where this is at most that.
    """

    schedule: Literal["log"] | PositiveInt | list[NonNegativeInt] = "log"
    per_octave: PositiveInt = 8
    train_samples: PositiveInt = 2_000
    threshold: Fraction = 0.99
    streak: PositiveInt = 3
    stopping_metric: Literal["train_soft_error", "train_error", "train_loss"] | None = None
    stopping_threshold: PositiveFloat = 0.01


# settings of ``evaluation`` by which rows are judged: no part of a run, they may change without training anew
JUDGED = ("threshold", "streak", "stopping_metric", "stopping_threshold")


class Stop(Settings):
    """When a real run and its ideal partner end before the budget: together, once both have fulfilled this.

    A pair ends by its own two runs, whatever else the study trains. So under a stop rule every real run has an
    ideal partner of its own: pools share none, and a study with k pools trains k ideal runs per seed.
    A relapse after the stop is not seen. A diverged run is not waited for.

    Attributes:
        metric, at_most, streak: at so many evaluations in a row the metric is at most this.
    """

    metric: Literal["test_error", "test_soft_error", "test_loss"] = "test_error"
    at_most: PositiveFloat = 0.01
    streak: PositiveInt = 3


class Change(Settings):
    """Settings that are others from a step on, for all runs.

    Attributes:
        at_step: the last step that is still done with the old ones.
        set: new values by dotted name, such as ``training.train_size`` or ``optimizer.weight_decay``.
    """

    at_step: PositiveInt
    set: Annotated[dict[str, Any], Field(min_length=1)]


class Start(Settings):
    """Weights to start from: those that a run of another study kept (its ``keep.weights``).

    Attributes:
        folder: the other study's output folder.
        world: which of its runs both worlds start from: the ``real`` or the ``ideal`` one. ``same`` takes the run of
            the new run's own world; the worlds then differ from step 0 on, and so ``first_reuse_step`` is 0.
        seed: of that run; None takes the new run's own.
        where: further columns of its table of runs with their values, until only one run is meant.
        step: when they were kept; None is the last time.
        layers: the beginnings of the names of the parameters to take; all others start as usual. Empty takes all.
    """

    folder: str
    world: Literal["real", "ideal", "same"] = "real"
    seed: int | None = None
    where: dict[str, Any] = Field(default_factory=dict)
    step: NonNegativeInt | None = None
    layers: list[str] = Field(default_factory=list)


class Keep(Settings):
    """What stays in the output folder beside the tables.

    Attributes:
        final_state: every run's last state, without which a longer budget starts over.
        weights: every run's weights, in ``weights/``: never, at its end, or at all its evaluations.
    """

    final_state: bool = True
    weights: Literal["never", "final", "evaluations"] = "never"


class Study(Settings):
    """Question, configuration and claims, before names are looked up and lists are multiplied out."""

    question: str
    source: str = ""
    plugins: list[str] = Field(default_factory=list)
    task: Chosen
    model: Chosen
    optimizer: Chosen
    loss: Chosen = Field(default_factory=lambda: {"name": "cross_entropy"})
    data: Data = Data()
    training: Training
    schedule: Schedule = Schedule()
    evaluation: Evaluation = Evaluation()
    keep: Keep = Keep()
    stop: Stop | None = None
    start: Start | None = None
    phases: list[Change] = Field(default_factory=list)
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    scale: dict[str, dict[str, Any]] = Field(default_factory=dict)
    claims: list[dict[str, Any]] = Field(default_factory=list)


class ModelScales(Settings):
    """Settings that every model has: factors on its initial parameters and on its logits."""

    init_scale: PositiveFloat = 1.0
    output_scale: PositiveFloat = 1.0


class ClaimCommon(Settings):
    """Settings that every kind of claim has."""

    kind: str
    where: dict[str, Any] = Field(default_factory=dict)
    primary: bool = False
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    quantifier: Literal["all", "any"] = "all"
    text: str = ""


def own_settings(chosen: Chosen) -> dict[str, Any]:
    """What a chosen thing itself is called with: its settings, without its name and the scales of every model."""
    return {key: value for key, value in chosen.items() if key not in ("name", "rule", *ModelScales.model_fields)}


def parse(raw: dict[str, Any]) -> Study:
    """The study with every name looked up and every default filled in.

    Raises:
        StudyError: all that is wrong with it, at once.
    """
    study, _, problems = read(raw)
    if problems:
        raise StudyError(problems)
    return study


def read(raw: dict[str, Any]) -> tuple[Study, set[str], list[str]]:
    """A study as far as it can be read.

    Returns:
        The study, with stand-ins in place of its faulty tables; the names of these tables; all that is wrong.
    """
    problems = unwritable(raw)
    faulty = [place_of(problem) for problem in problems]
    raw = writable(raw) if problems else raw
    found: list[str] = []
    study = _validated(Study, raw, "", found)
    choices = raw if study is None else study.model_dump()
    resolved: dict[str, Any] = {
        kind: _choice(kind, choices[kind], kind, "name", found) for kind in CHOICES if kind in choices
    }
    training = choices.get("training")
    world = training.get("world") if isinstance(training, dict) else None
    rule = _choice("rule", world, "training.world", "rule", found) if world is not None else None
    claims = choices.get("claims")
    for number, claim in enumerate(claims if isinstance(claims, list) else []):
        _claim(claim, f"claims[{number}]", found)
    problems += beside(found, faulty)
    tables = {table_of(problem) for problem in problems}
    if study is None:
        tables |= {name for name in STAND_INS if name not in raw}
        study = _stand_in(raw, tables)
    contradictions = _contradictions(study, tables)
    tables |= {table_of(problem) for problem in contradictions}
    if rule is not None:
        resolved["training"] = study.training.model_copy(update={"world": rule})
    sound = {name: value for name, value in resolved.items() if name not in tables}
    return study.model_copy(update=sound), tables, problems + contradictions


def _stand_in(raw: dict[str, Any], faulty: set[str]) -> Study:
    """The study with something valid in place of its faulty tables."""
    sound = {name: raw[name] for name in Study.model_fields if name in raw and name not in faulty}
    study: Study = _validated(Study, STAND_INS | sound, "", [])
    return study


def with_value(raw: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy of a nested dictionary with the value at ``a.b.c`` replaced; a name in quotes may hold dots itself.

    >>> with_value({"sweep": {}}, 'sweep."model.width"', [8, 16])
    {'sweep': {'model.width': [8, 16]}}

    Raises:
        StudyError: something on the way is not a table, or the name is not written as TOML writes it.
    """
    *tables, last = _names(dotted)
    inner = changed = dict(raw)
    for name in tables:
        table = inner.get(name, {})
        if not isinstance(table, dict):
            raise StudyError([
                f"`{clipped(dotted)}`: expected `{name}` to be a table, got {shown(table)}. Check the dotted name."
            ])  # fmt: skip
        inner[name] = dict(table)
        inner = inner[name]
    inner[last] = copy.deepcopy(value)
    return changed


def _names(dotted: str) -> list[str]:
    """The names that a dotted name is made of."""
    if '"' not in dotted:
        return dotted.split(".")
    try:
        if not re.fullmatch(DOTTED, dotted):
            raise ValueError(dotted)
        table: Any = tomllib.loads(f"{dotted} = 0")
    except ValueError as error:
        raise StudyError([
            f"`{clipped(dotted)}`: expected a dotted name, of which parts may be in quotes. Write for instance "
            'sweep."model.width".'
        ]) from error  # fmt: skip
    names = []
    while isinstance(table, dict):
        ((name, table),) = table.items()
        names.append(name)
    return names


def chosen(kind: Kind, raw: dict[str, Any]) -> Chosen:
    """One registered name with all its settings filled in.

    Raises:
        StudyError: all that is wrong with it.
    """
    problems: list[str] = []
    found = _choice(kind, raw, kind, "name", problems)
    if found is None:
        raise StudyError(problems)
    return found


def _validated(schema: type[Settings], raw: Any, place: str, problems: list[str]) -> Any:
    try:
        return schema.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        problems += sentences(error, raw, place, schema)
    return None


def _choice(kind: Kind, raw: Any, place: str, name_key: str, problems: list[str]) -> Chosen | None:
    """A registered name with its settings filled in, or None and the reasons."""
    if not isinstance(raw, dict):
        return None  # the study's own schema has already said so
    name = raw.get(name_key)
    if not isinstance(name, str):
        problems.append(f"`{place}.{name_key}`: expected the name of a {kind}, got {shown(name)}. "
                        f"Known: {', '.join(registry.names(kind))}.")  # fmt: skip
        return None
    try:
        schema = registry.settings(kind, name)
    except ValueError as error:
        problems.append(f"`{place}.{name_key}`: {error}")
        return None
    own = {key: value for key, value in raw.items() if key != name_key}
    common: dict[str, Any] = {}
    if kind == "model":
        common = {key: own.pop(key) for key in list(own) if key in ModelScales.model_fields}
    settings = _validated(schema, own, place, problems)
    scales = _validated(ModelScales, common, place, problems) if kind == "model" else None
    if settings is None or (kind == "model" and scales is None):
        return None
    extra = scales.model_dump() if scales is not None else {}
    try:
        return {name_key: name, **settings.model_dump(mode="json", warnings="error"), **extra}
    except PydanticSerializationError as error:
        reason = str(error).split("\n")[-1].strip().rstrip(".")
        problems.append(f"`{place}`: a default of {name!r} is no value that a study can give: {reason}. "
                        "Mend it where it is defined.")  # fmt: skip
    return None


def _claim(raw: Any, place: str, problems: list[str]) -> None:
    if not isinstance(raw, dict):
        return
    common = {key: value for key, value in raw.items() if key in ClaimCommon.model_fields}
    _validated(ClaimCommon, common, place, problems)
    own = {key: value for key, value in raw.items() if key not in common}
    if "kind" in raw:
        _choice("claim", {"kind": raw["kind"], **own}, place, "kind", problems)


def _contradictions(study: Study, faulty: set[str]) -> list[str]:
    """What no single key can show to be wrong, in the tables that are not faulty already."""
    training, found = study.training, []
    if not study.question.strip():
        found.append(f"`question`: expected a question, got {study.question!r}. Write down what the study asks.")
    if (training.train_size is None) == (training.train_fraction is None):
        found.append(
            "`training`: expected exactly one of train_size and train_fraction, "
            f"got {'neither' if training.train_size is None else 'both'}. Give the pool one of the two."
        )
    for key in ("train_size", "train_fraction", "seeds"):
        values = getattr(training, key)
        if isinstance(values, list) and not values:
            found.append(f"`training.{key}`: expected at least one value, got an empty list. Add one.")
        elif isinstance(values, list) and len(set(values)) < len(values):
            found.append(f"`training.{key}`: expected different values, got {shown(values)}. Remove the repeated ones.")
    if isinstance(study.evaluation.schedule, list) and not study.evaluation.schedule:
        found.append('`evaluation.schedule`: expected at least one step, got an empty list. Add one, or use "log".')
    return [problem for problem in found if table_of(problem) not in faulty]

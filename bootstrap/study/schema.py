"""The schema of a study: its question, what is trained and what is claimed."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from deepboot.bootstrap.registry import LATER, Kind, Settings
from deepboot.bootstrap.study.roles import Role, dotted_names, fields_where, role_of

Fraction = Annotated[float, Field(gt=0, le=1)]
Dtype = Literal["float32", "float64", "bfloat16", "float16"]
Precision = Literal["float32", "tf32", "bf16", "bf16_products"]
Augmentation = Literal["none", "flip", "crop_flip"]
Chosen = dict[str, Any]  # {"name": ..., its settings}
TrainSize = PositiveInt | list[PositiveInt] | None
TrainFraction = Fraction | list[Fraction] | None
SweptValues = Annotated[list[Any], Field(min_length=1)]
POOL = Role(per_member=True, extendable=True, in_phase=True)
JUDGED = Role(identity=False, extendable=True, judged=True)
PUBLISHED_AS = ("value", "range", "at_least", "at_most")  # keys of which a published number has one
CHOICES: tuple[Kind, ...] = ("task", "model", "optimizer", "loss")


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
            study's largest pool (``rest``; the ideal world draws them too), all cells (``population``), or the
            task's own test set (``reference``; all other cells are for training).
        test_fraction: share of cells held out.
        test_samples: size of the test set; None is 5,000 of an endless task, all test cells of a finite one.
        split: divide ``cells``, or ``orbits``, which keep (a, b) and (b, a) together.
        labels: ``true``, or for training ``random`` ones, uniform over the classes and fixed per sample.
        label_noise: probability that a sample's label is replaced by a wrong one, uniformly.
        noisy_test: whether test labels are noisy too.
        swapped_answers: number of samples per pool whose labels are exchanged among themselves.
        augmentation: of training images, new for every draw: mirrored (``flip``), or shifted by up to 4 pixels and
            mirrored (``crop_flip``).
        allow_reuse: whether samples that a rule promises as never used may be used again where a finite task has
            no others left: at the end of a recording, and of any finite universe under ``fresh`` or ``sliding``.
    """

    test_set: Literal["heldout", "rest", "population", "reference"] = "heldout"
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    test_samples: PositiveInt | None = None
    split: Literal["cells", "orbits"] = "cells"
    labels: Annotated[Literal["true", "random"], Role(in_phase=True)] = "true"
    label_noise: Annotated[float, Field(ge=0, le=1), Role(per_member=True, in_phase=True)] = 0.0
    noisy_test: bool = False
    swapped_answers: NonNegativeInt = 0
    augmentation: Augmentation = "none"
    allow_reuse: bool = False


class LayerFactors(Settings):
    """Factors on what the optimizer and the model have for all parameters, for those of one layer.

    Attributes:
        lr: on the learning rate; 0 leaves the layer as it starts. Weight noise and update noise know no factors.
        weight_decay: on the weight decay.
        init_scale: on the parameters as they are drawn; kept weights to start from are taken as they are.
    """

    lr: NonNegativeFloat = 1.0
    weight_decay: NonNegativeFloat = 1.0
    init_scale: NonNegativeFloat = 1.0


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
        dtype: of parameters, activations and all that the optimizer keeps, each operation rounded to it; in 16 bits
            (``bfloat16``, ``float16``) an update or a decay below half a unit in a parameter's last place is lost.
            The cross-entropy has a ``loss.dtype`` of its own.
        precision: of products: ``float32``; ``tf32``, ten bits and fast on a GPU that has it; ``bf16``, the forward
            and backward pass under autocast, with parameters and losses in float32; or ``bf16_products``, all numbers
            in float32, but the operands of matrix products rounded to bfloat16 where the device has units for that, as
            processors with AMX do, and products in float32 elsewhere.
        channels_last: whether images are stored pixel by pixel in a GPU's memory; convolutions on a CPU always store
            them so.
        penalty: what the parameters add to the loss, ``{ name = "l1", strength = 1e-4 }``: ``l1``, ``l2`` or ``linf``.
            It is in the gradient, not in the losses of the tables.
        transforms: what is done to a member's gradient before the optimizer, one after another, after the penalty:
            ``[{ name = "clip", norm = 1.0 }]``. See `deepboot.bootstrap.transforms`.
        layers: factors by the beginnings of parameters' names; a parameter takes those of the longest that fits it.
        weight_noise: standard deviation of normal noise on all weights, new for every gradient.
        update_noise: standard deviation of normal noise added to every update, times the learning rate.
        norm_clamp: Euclidean norm of all parameters of a run, which are scaled to it after every update (not at
            step 0): ``weight_norm`` of the evaluations is held there (arXiv 2606.13753). None leaves it free.
    """

    train_size: Annotated[TrainSize, POOL] = None
    train_fraction: Annotated[TrainFraction, replace(POOL, identity=False)] = None  # the identity holds N instead
    ideal: bool = True
    world: Annotated[Chosen, Role(per_member=True, in_phase=True)] = Field(default_factory=lambda: {"rule": "real"})
    batch_size: PositiveInt | Literal["full"]
    max_steps: Annotated[PositiveInt, Role(extendable=True)]
    seeds: Annotated[PositiveInt | list[NonNegativeInt], Role(extendable=True)]
    streams: Annotated[Streams, Role(per_member=True)] = Streams()
    dtype: Dtype = "float32"
    precision: Precision = "float32"
    channels_last: bool = False
    penalty: Annotated[Chosen | None, Role(in_phase=True), LATER] = None
    transforms: Annotated[list[Chosen], Role(in_phase=True), LATER] = Field(default_factory=list)
    layers: Annotated[dict[str, LayerFactors], Role(in_phase=True), LATER] = Field(default_factory=dict)
    weight_noise: Annotated[NonNegativeFloat, Role(per_member=True, in_phase=True)] = 0.0
    update_noise: Annotated[NonNegativeFloat, Role(per_member=True, in_phase=True)] = 0.0
    norm_clamp: Annotated[PositiveFloat | None, Role(per_member=True, in_phase=True), LATER] = None


class Schedule(Settings):
    """Learning rate over the steps: a linear warm-up, then constant, or falling to 0 at ``max_steps``."""

    shape: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: NonNegativeInt = 0

    @property
    def changes_rate(self) -> bool:
        """Whether it ever asks for another learning rate than the optimizer's own."""
        return self.shape != "constant" or self.warmup_steps > 0


class Evaluation(Settings):
    """When to evaluate, and when an accuracy counts as reached.

    Attributes:
        schedule: "log", every so many steps, or a list of steps. The last step is evaluated too.
        per_octave: evaluations per doubling of the step, for "log".
        train_samples: at most this many samples of the pool are evaluated.
        threshold, streak: an accuracy counts as reached at the first of ``streak`` evaluations at or above it.
        correct_below: squared error below which a prediction of a real-valued label counts as right. The errors of the
            tables are then shares of wrong predictions, as those of classes; without it they are mean squared errors.
        stopping_metric, stopping_threshold: the real world has converged where this is at most that.
    """

    schedule: Literal["log"] | PositiveInt | list[NonNegativeInt] = "log"
    per_octave: PositiveInt = 8
    train_samples: PositiveInt = 2_000
    threshold: Annotated[Fraction, JUDGED] = 0.99
    streak: Annotated[PositiveInt, JUDGED] = 3
    correct_below: Annotated[PositiveFloat | None, LATER] = None
    stopping_metric: Annotated[Literal["train_soft_error", "train_error", "train_loss"] | None, JUDGED] = None
    stopping_threshold: Annotated[PositiveFloat, JUDGED] = 0.01


class Stop(Settings):
    """When a real run and its ideal partner end before the budget: together, once both have fulfilled this.

    A pair ends by its own two runs, whatever else the study trains. So under a stop rule every real run has an
    ideal partner of its own: pools share none, and a study with k pools trains k ideal runs per seed.
    A relapse after the stop is not seen. A diverged run is not waited for.

    Attributes:
        metric, at_most, streak: the metric is at most this at so many evaluations in a row.
    """

    metric: Literal["test_error", "test_soft_error", "test_loss"] = "test_error"
    at_most: PositiveFloat = 0.01
    streak: PositiveInt = 3


class Change(Settings):
    """New values of settings from a step on, for all runs.

    Attributes:
        at_step: the last step with the old values.
        set: new values by dotted name, such as ``training.train_size`` or ``optimizer.weight_decay``.
    """

    at_step: PositiveInt
    set: Annotated[dict[str, Any], Field(min_length=1)]


class Together(Settings):
    """Settings that have these values together, at the points of the sweep where they belong.

    Every point of the sweep is trained with each of the entries that fit it; one that fits none is a mistake.

    Attributes:
        where: values of swept settings by dotted name; empty: at every point.
        set: values by dotted name, such as ``optimizer.lr``.
    """

    where: dict[str, Any] = Field(default_factory=dict)
    set: Annotated[dict[str, Any], Field(min_length=1)]


class OwnParameters(Settings):
    """Parameters that are tuned in some arms, instead of those of all.

    Attributes:
        where: values of swept settings by dotted name: the arms.
        parameters: as in `Tune`.
    """

    where: Annotated[dict[str, Any], Field(min_length=1)]
    parameters: Annotated[dict[str, Any], Field(min_length=1)]


class Tune(Settings):
    """What ``deepboot tune`` tries in every arm, a point of the sweep, and what it takes for best; no run has it.

    Attributes:
        by: what a good setting makes early, ``grokking``, ``stable`` grokking, ``memorization`` or ``stopping``, or
            small: the ``final_error``, which is the last test error.
        axis: unit of time: optimizer updates (``step``), ``samples`` seen, or ``seconds``.
        world: whose runs are judged: those on the pool (``real``) or the ``ideal`` ones.
        seeds: tuning seeds; the study may have none of them.
        draws: number of random settings of every arm; None: all combinations of the listed values.
        parameters: values by dotted name: a list, or ``{ low = 1e-4, high = 1e-1 }`` to draw from, log-uniformly.
        own: other parameters for some arms, of as many settings.
    """

    by: Literal["grokking", "stable", "memorization", "stopping", "final_error"] = "grokking"
    axis: Literal["step", "samples", "seconds"] = "step"
    world: Literal["real", "ideal"] = "real"
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)]
    draws: PositiveInt | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    own: list[OwnParameters] = Field(default_factory=list)


class Start(Settings):
    """Weights to start from: kept by a run of another study (its ``keep.weights``), or constructed.

    Attributes:
        folder: the other study's output folder.
        construction: what works the weights out instead, ``{ name = "modular_circle" }``, for both worlds
            alike; parameters that it does not name start as usual. All other settings are about ``folder``.
        world: which of its runs both worlds start from: the ``real`` or the ``ideal`` one. ``same`` takes the run of
            the new run's own world; the worlds then differ from step 0 on, and so ``first_reuse_step`` is 0.
        seed: of that run; None takes the new run's own.
        where: further columns of its table of runs with their values, until only one run matches.
        step: the step after which they were kept; None is the last one.
        layers: the beginnings of the names of the parameters to take; all others start as usual. Empty takes all.
    """

    folder: str | None = None
    construction: Chosen | None = None
    world: Literal["real", "ideal", "same"] = "real"
    seed: int | None = None
    where: dict[str, Any] = Field(default_factory=dict)
    step: NonNegativeInt | None = None
    layers: list[str] = Field(default_factory=list)


class Keep(Settings):
    """The files that stay in the output folder beside the tables.

    Attributes:
        final_state: every run's last state, from which a longer budget goes on; without it, it starts over.
        weights: every run's weights, in ``weights/``: never, at its end, or at all its evaluations.
    """

    final_state: bool = True
    weights: Literal["never", "final", "evaluations"] = "never"


MEASURED = ("cost", "verdicts")  # tables on what runs of a study took and showed, which hold for this file's scales


class Study(Settings):
    """Question, configuration and claims of a study, before names are looked up and sweeps are multiplied out.

    Attributes:
        settings: values that settings have together at a point of the sweep, as ``deepboot tune`` freezes them.
        tune: what that command tries; runs do not depend on it.
        published: numbers that others published, which the study's own are set beside (`Published`).
        cost: measured time of the study by scale, ``default`` being none: ``quick = "50 s on 2 cores"``.
        verdicts: what came of its claims by scale, as ``deepboot claims`` ends: ``quick = "3 of 4 claims supported, 1
            undecided"``.
    """

    question: Annotated[str, Role(identity=False)]
    source: Annotated[str, Role(identity=False, extendable=True)] = ""
    plugins: Annotated[list[str], Role(identity=False, extendable=True)] = Field(default_factory=list)
    task: Chosen
    model: Chosen
    optimizer: Annotated[Chosen, Role(in_phase=True)]
    loss: Chosen = Field(default_factory=lambda: {"name": "cross_entropy"})
    data: Data = Data()
    training: Training
    schedule: Schedule = Schedule()
    evaluation: Evaluation = Evaluation()
    keep: Annotated[Keep, Role(identity=False, extendable=True)] = Keep()
    probes: Annotated[dict[str, Chosen], Role(identity=False)] = Field(default_factory=dict)  # settings by name
    stop: Stop | None = None
    start: Annotated[Start | None, Role(per_member=True)] = None
    phases: list[Change] = Field(default_factory=list)
    sweep: Annotated[dict[str, SweptValues], Role(identity=False, extendable=True)] = Field(default_factory=dict)
    settings: Annotated[list[Together] | None, Role(identity=False, extendable=True)] = None
    tune: Annotated[Tune | None, Role(identity=False, extendable=True)] = None
    scale: Annotated[dict[str, dict[str, Any]], Role(identity=False)] = Field(default_factory=dict)
    claims: Annotated[list[dict[str, Any]], Role(identity=False, extendable=True)] = Field(default_factory=list)
    published: Annotated[list[dict[str, Any]], Role(identity=False, extendable=True)] = Field(default_factory=list)
    cost: Annotated[dict[str, str], Role(identity=False, extendable=True)] = Field(default_factory=dict)
    verdicts: Annotated[dict[str, str], Role(identity=False, extendable=True)] = Field(default_factory=dict)


class ModelScales(Settings):
    """Settings that every model has: factors on its initial parameters and on its logits.

    Attributes:
        init_scale: factor of all parameters at the start.
        output_scale: factor of the logits, throughout training.
    """

    init_scale: Annotated[PositiveFloat, Role(per_member=True)] = 1.0
    output_scale: Annotated[PositiveFloat, Role(per_member=True)] = 1.0


class ProbeCommon(Settings):
    """Settings that every probe has.

    Attributes:
        every: measured at every so many evaluations of the schedule, from the first one on, and at the last one.
    """

    every: PositiveInt = 1


class ClaimCommon(Settings):
    """Settings that every kind of claim has.

    Attributes:
        kind: what is claimed: a name of ``deepboot list claims``.
        where: settings of the cells that it is about, by dotted name; all cells where it is empty.
        primary: whether it is corrected for multiple testing, together with the other primary claims.
        confidence: of its interval, before any correction.
        quantifier: whether it is about all of the selected cells or about any of them.
        text: the claim in a sentence, as the report prints it.
    """

    kind: str
    where: dict[str, Any] = Field(default_factory=dict)
    primary: bool = False
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    quantifier: Literal["all", "any"] = "all"
    text: str = ""


class Published(Settings):
    """A published number that a study measures again, without the settings of the kind that measures it.

    Attributes:
        quantity: the kind of claim whose estimate is the number.
        where, confidence: of our estimate, as a claim has them.
        value, range, at_least, at_most: one of these: a number, its two ends, or a bound.
        source: paper and figure.
        evidence: ``solid``, or ``direction`` where the paper shows one seed or leaves settings open, so that only the
            direction is to be expected again.
        unspecified: what the paper leaves open, and is our choice.
        text: what the paper says, in a sentence.
        ours: what was measured last, as the report writes it, and ``command``, the command that did.
    """

    quantity: str
    where: dict[str, Any] = Field(default_factory=dict)
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    value: FiniteFloat | None = None
    range: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None = None
    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None
    source: str
    evidence: Literal["solid", "direction"] = "solid"
    unspecified: str = ""
    text: str = ""
    ours: str = ""
    command: str = ""


def own_settings(chosen: Chosen) -> dict[str, Any]:
    """Keyword arguments of a chosen task, model, optimizer, loss or rule: without its name and every model's scales."""
    return {key: value for key, value in chosen.items() if key not in ("name", "rule", *ModelScales.model_fields)}


# dotted names of a study's settings by role
EXTENDABLE = frozenset(dotted_names(fields_where(lambda role: role.extendable, Study)))
IN_PHASE = tuple(sorted(dotted_names(fields_where(lambda role: role.in_phase, Study))))
JUDGING = tuple(dotted_names(fields_where(lambda role: role.judged, Evaluation)))  # inside ``evaluation``
NO_SETTING_OF_A_RUN = tuple(name for name in Study.model_fields if not role_of(name, Study).identity)

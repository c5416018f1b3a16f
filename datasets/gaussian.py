"""Gaussian inputs of a spiked spectrum and a linear teacher: the population's error is known exactly.

Shapes: E members, ``...`` any index shape, D dimensions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector


@register("task", "gaussian")
@dataclass(frozen=True, kw_only=True)
class Gaussian(Task):
    """Regression on normal inputs: the label is a linear function of them plus noise, a real number.

    Inputs are x ~ N(0, diag(spectrum)), labels <b, x> plus noise, of variance 1. The teacher b, a direction drawn from
    ``teacher_seed`` for all seeds alike, is random over all dimensions or the spikes alone. Models read the features of
    x: x itself, or x scaled to unit variance (``features = "white"``).

    The test set has no sampling error for models linear in their inputs (an mlp of depth 0 without bias): its
    samples are the axes, scaled so that their mean squared error is (w - b)^T diag(spectrum) (w - b), the excess over
    the noise. With ``data.test_samples`` the test is drawn like the training samples, as other models need it.
    The probe ``population_loss`` has that error of linear models whatever the test.

    With ``spikes = 0`` and ``bulk_variance = 1`` it is the linear teacher and student of Levi, Beck, Bar-Sinai 2023:
    x ~ N(0, I), a teacher of norm 1, and a test error that is |student - teacher|^2, which is 1 for a student that
    starts at 0 (``training.layers.output.init_scale = 0``). Share of right predictions: ``evaluation.correct_below``.
    Source: Nakkiran, Neyshabur, Sedghi 2021, arXiv 2010.08127 (toy example); Ghosh, Mei, Yu 2021, arXiv 2106.08619;
    Levi, Beck, Bar-Sinai 2023, arXiv 2310.16441.

    Args:
        dimensions: D.
        spikes: how many of them have ``spike_variance``; the others have ``bulk_variance``.
        noise: share of the labels' variance that no input explains.
        teacher: dimensions that the label depends on.
        spike_variance: variance of the inputs along a spike.
        bulk_variance: variance of the inputs along every other dimension.
        features: what a model reads: x itself ("raw"), or x scaled to variance 1 along every dimension ("white").
        teacher_seed: seed of the direction that the label depends on, the same for all runs.
    """

    dimensions: PositiveInt = 1_000
    spikes: NonNegativeInt = 20
    spike_variance: PositiveFloat = 1.0
    bulk_variance: PositiveFloat = 0.01
    noise: Annotated[float, Field(ge=0, lt=1)] = 0.0
    teacher: Literal["all", "spikes"] = "all"
    features: Literal["raw", "white"] = "raw"
    teacher_seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.spikes > self.dimensions:
            raise ValueError(f"spikes must be at most dimensions = {self.dimensions:,}, got {self.spikes:,}. Lower it.")
        if self.teacher == "spikes" and not self.spikes:
            raise ValueError("teacher = 'spikes' needs spikes of at least 1, got 0. Raise it, or set teacher = 'all'.")

    @property
    def inputs(self) -> Vector:
        return Vector(self.dimensions)

    @property
    def classes(self) -> int:
        return 1

    @cached_property
    def spectrum_D(self) -> Tensor:
        """Variances of x, float64, (D,)."""
        spectrum_D = torch.full((self.dimensions,), self.bulk_variance, dtype=torch.float64)
        spectrum_D[: self.spikes] = self.spike_variance
        return spectrum_D

    @cached_property
    def teacher_D(self) -> Tensor:
        """The coefficients b of x, float64, (D,), by which the label without noise has variance 1 - noise."""
        b_D = normal_teacher(self.teacher_seed, self.dimensions)
        if self.teacher == "spikes":
            b_D[self.spikes :] = 0
        return b_D * ((1 - self.noise) / (self.spectrum_D * b_D.square()).sum()).sqrt()

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        spread_D, b_D = (part_D.to(index.device) for part_D in (self.spectrum_D.sqrt(), self.teacher_D))
        z = streams.normal(key_E2, index, self.dimensions + 1).double()
        x, unexplained = z[..., :-1] * spread_D, z[..., -1]
        y = (x * b_D).sum(-1) + self.noise**0.5 * unexplained
        return Samples((z[..., :-1] if self.features == "white" else x).float(), y.float())

    def exact(self, key_E2: Tensor) -> Samples:
        length_D = (self.dimensions * self.spectrum_D).sqrt()
        white_D = torch.full_like(length_D, self.dimensions**0.5)
        x = torch.diag(white_D if self.features == "white" else length_D).float().to(key_E2.device)
        y = (length_D * self.teacher_D).float().to(key_E2.device)
        return Samples(x.expand(len(key_E2), -1, -1), y.expand(len(key_E2), -1))

    def show(self, x: Tensor, y: Tensor) -> str:
        return vector_and_label(x, y)


def normal_teacher(seed: int, dimensions: int) -> Tensor:
    """Independent normal coefficients of a teacher, float64, (D,)."""
    key = streams.keys([seed], "teacher")
    return streams.normal(key, torch.zeros(1, 1, dtype=torch.int64), dimensions)[0, 0].double()


def vector_and_label(x: Tensor, y: Tensor) -> str:
    """The first four numbers of a vector, and its real label, in words."""
    return f"[{', '.join(f'{value:.3f}' for value in x[:4].tolist())}, …] -> {y.item():.3f}"

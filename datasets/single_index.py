"""Regression on a power of one direction of normal inputs, which a kernel learns late and features learn early.

Shapes: E members, ``...`` any index shape, D dimensions.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from pydantic import Field, NonNegativeInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector
from deepboot.datasets.gaussian import normal_teacher, vector_and_label


@register("task", "single_index")
@dataclass(frozen=True, kw_only=True)
class SingleIndex(Task):
    """Regression on <b, x>^k / k! of x ~ N(0, I) with k = ``degree``, without noise; b is a direction of length 1.

    The labels depend on one of the D dimensions alone, in which they are a polynomial. A kernel that knows no direction
    needs about D^k samples for it, a network that finds b far fewer. At k = 2 the labels' variance is 1/2, and their
    mean, which a network without biases has to learn too, is 1/2.

    Args:
        dimensions: D, numbers of an input.
        degree: k, the power of the projection onto b.
        teacher_seed: seed of the direction b, the same for all runs.

    Source: Kumar et al. 2024, arXiv 2310.06110, section 5 (D = 100, k = 2; inputs of variance 1 / D there, with first
    weights of variance 1, are these inputs with weights of variance 1 / D).
    """

    dimensions: Annotated[int, Field(ge=1, le=4_096)] = 100
    degree: Annotated[int, Field(ge=1, le=8)] = 2
    teacher_seed: NonNegativeInt = 0

    @property
    def inputs(self) -> Vector:
        return Vector(self.dimensions)

    @property
    def classes(self) -> int:
        return 1

    @cached_property
    def direction_D(self) -> Tensor:
        """The direction b, of length 1, float64, (D,)."""
        b_D = normal_teacher(self.teacher_seed, self.dimensions)
        return b_D / b_D.square().sum().sqrt()

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        x = streams.normal(key_E2, index, self.dimensions)
        along = (x.double() * self.direction_D.to(x.device)).sum(-1)
        return Samples(x, (along**self.degree / math.factorial(self.degree)).float())

    def show(self, x: Tensor, y: Tensor) -> str:
        return vector_and_label(x, y)

"""Regression on the outputs of a random network, the teacher, at normal inputs.

Shapes: E members, ``...`` any index shape, D dimensions, N outputs, F inputs and H units of a layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.layers import Activation, activate
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector

Size = Annotated[int, Field(ge=1, le=4_096)]
SAMPLES = 1 << 14  # of inputs by which outputs are standardized; their variance is known to about 1 %


@register("task", "teacher_student")
@dataclass(frozen=True, kw_only=True)
class TeacherStudent(Task):
    """Regression on what a random network, the teacher, gives at x ~ N(0, I), without noise.

    The teacher has ``depth`` hidden layers of ``width`` units. Its weights and biases start as those of
    ``torch.nn.Linear``, uniform between plus and minus 1 / sqrt(inputs of the layer), times ``teacher_scale``; they are
    drawn from ``teacher_seed``, for all runs alike. A sample has ``outputs`` labels, each with its squared error. The
    student is any model of vectors, an mlp of the same shape in the paper; its loss is mse. From which squared error on
    a prediction is right is said by ``evaluation.correct_below``.

    Labels are computed in float64 and rounded to float32. Standardized ones have mean 0 and variance 1 at 16,384 fixed
    inputs, so that a squared error of 1 is that of the best constant; others are the teacher's own outputs.

    Args:
        dimensions: D, numbers of an input.
        width: units of each of the teacher's hidden layers.
        depth: its hidden layers; 0 is a linear teacher with biases.
        outputs: labels of a sample.
        activation: of its hidden units; "quadratic" is the square.
        teacher_scale: factor of its weights and biases.
        standardized: whether labels are shifted and scaled to mean 0 and variance 1, or are its outputs as they are.
        teacher_seed: seed of its weights, the same for all runs.

    Source: Liu, Michaud, Tegmark 2022, arXiv 2210.01117 (Omnigrok: tanh, 5-100-100-5, labels as they are).
    """

    dimensions: Size = 5
    width: Size = 100
    depth: Annotated[int, Field(ge=0, le=100)] = 2
    outputs: Size = 5
    activation: Activation = "tanh"
    teacher_scale: PositiveFloat = 1.0
    standardized: bool = True
    teacher_seed: NonNegativeInt = 0

    @property
    def inputs(self) -> Vector:
        return Vector(self.dimensions, answers=self.outputs)

    @property
    def classes(self) -> int:
        return 1

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        x = streams.normal(key_E2, index, self.dimensions)
        y = self.teach(x.double())
        if self.standardized:
            mean_N, deviation_N = (part_N.to(y.device) for part_N in self._moments)
            y = (y - mean_N) / deviation_N
        return Samples(x, (y if self.outputs > 1 else y[..., 0]).float())

    def teach(self, x: Tensor) -> Tensor:
        """The teacher's own outputs, float64, (..., N), of inputs (..., D)."""
        h = x
        for number, (weight_HF, bias_H) in enumerate(self.layers):
            h = activate(h, self.activation) if number else h
            h = h @ weight_HF.to(x.device).mT + bias_H.to(x.device)
        return h

    @cached_property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weights, (H, F), and biases, (H,), of the teacher's layers, float64, from the input on."""
        return list(self._layers())

    def _layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        sizes = [self.dimensions, *[self.width] * self.depth, self.outputs]
        for number, (fan_in, units) in enumerate(pairwise(sizes)):
            key = streams.subkeys(self._key, f"layer {number}")
            unit_HF = streams.uniform(key, torch.arange(units)[None], fan_in + 1)[0].double()
            drawn_HF = (2 * unit_HF - 1) * (self.teacher_scale / fan_in**0.5)
            yield drawn_HF[:, :-1], drawn_HF[:, -1]

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of every output, float64, (N,)."""
        x = streams.normal(streams.subkeys(self._key, "inputs"), torch.arange(SAMPLES)[None], self.dimensions)[0]
        y = self.teach(x.double())
        return y.mean(0), y.std(0, correction=0)

    @property
    def _key(self) -> Tensor:
        return streams.keys([self.teacher_seed], "teacher")

    def show(self, x: Tensor, y: Tensor) -> str:
        left, right = (", ".join(f"{value:.3f}" for value in part.flatten().tolist()) for part in (x[:8], y))
        return f"[{left}{', …' if self.dimensions > 8 else ''}] -> {f'[{right}]' if y.dim() else right}"

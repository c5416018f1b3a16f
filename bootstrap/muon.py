"""Muon: hidden matrices by their orthogonalised momentum, all other parameters by AdamW.

Shapes: E members, P parameters of one member, R rows and C columns of a matrix, S steps.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from deepboot.bootstrap.optimizers import AdamW, Hyper, Moments, Momentum
from deepboot.bootstrap.registry import register

QUINTIC = (3.4445, -4.7750, 2.0315)  # a, b, c of aX + b(XX^T)X + c(XX^T)^2X, which brings singular values near 1
ITERATIONS = 5
SMALLEST = 1e-7  # norm below which a momentum is not scaled up to 1
OTHERS = ("embedding", "position", "token", "output")  # what names begin with of matrices that are not hidden
CONVOLUTION = 4  # axes of a convolution's weights


@register("optimizer", "muon")
@dataclass(frozen=True, kw_only=True)
class Muon(Moments):
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): steps along orthogonalised momentum.

    The momentum of every hidden matrix, with Nesterov's look ahead, is brought near the closest matrix whose singular
    values are all 1, by five Newton-Schulz iterations with the authors' coefficients, in the run's number type (the
    authors take bfloat16). A convolution is the matrix of its filters. Embeddings, positions, the output layer (by
    their names, which begin with ``embedding``, ``position``, ``token`` or ``output``) and everything with one row,
    column or axis are updated by AdamW. Keys and values of a transformer of this package are one matrix.

    Args:
        lr: learning rate of hidden matrices, at its highest where there is a schedule.
        momentum: share of the running mean of the gradient that is kept at every update of a hidden matrix.
        scale: factor on the step of a matrix of R rows and C columns: the root of max(1, R / C) ("original"), 0.2 times
            that of max(R, C), which gives steps of AdamW's size ("match_rms_adamw"; arXiv 2502.16982), or the root of
            R / C ("spectral_unclamped").
        weight_decay: share of the parameters, times their learning rate, that is taken off at every update.
        adam_lr: learning rate of all other parameters; a schedule scales both.
    """

    rates = ("lr", "adam_lr")

    lr: PositiveFloat = 0.02
    momentum: Momentum = 0.95
    scale: Literal["original", "match_rms_adamw", "spectral_unclamped"] = "original"
    weight_decay: NonNegativeFloat = 0.0
    adam_lr: PositiveFloat = 3e-4
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    eps: NonNegativeFloat = 1e-10

    @staticmethod
    def coefficients(hyper: Hyper, step_S1: Tensor) -> dict[str, Tensor]:
        lr_SE = hyper["lr"]
        return {
            **Moments.coefficients(_of_adam(hyper), step_S1),
            "momentum": hyper["momentum"].expand_as(lr_SE),
            "matrix_keep": (1 - hyper["momentum"]).expand_as(lr_SE),
            "matrix_rate": lr_SE,
            "matrix_remain": 1 - lr_SE * hyper["weight_decay"],
        }

    @staticmethod
    def host_coefficients(hyper: Hyper, step_S1: Tensor) -> Tensor:
        return Moments.host_coefficients(_of_adam(hyper), step_S1)

    @staticmethod
    def update(param_EP: Tensor, grad_EP: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        AdamW.update(param_EP, grad_EP, optimizer_state, at)

    @classmethod
    def matrix(cls, name: str, shape: torch.Size) -> tuple[int, int] | None:
        if len(shape) not in (2, CONVOLUTION) or name.startswith(OTHERS):
            return None
        rows, columns = shape[0], math.prod(shape[1:])
        return (rows, columns) if min(rows, columns) > 1 else None

    def update_matrix(self, param_ERC: Tensor, grad_ERC: Tensor, optimizer_state: dict[str, Tensor], at: Hyper) -> None:
        own = {name: at[name][..., None] for name in ("momentum", "matrix_keep", "matrix_rate", "matrix_remain")}
        mean_ERC = optimizer_state["mean"].lerp_(grad_ERC, own["matrix_keep"])
        step_ERC = orthogonalized(grad_ERC.lerp(mean_ERC, own["momentum"]))
        rate_E11 = own["matrix_rate"] * self._factor(*param_ERC.shape[1:])
        param_ERC.mul_(own["matrix_remain"]).addcmul_(step_ERC, rate_E11, value=-1)

    def _factor(self, rows: int, columns: int) -> float:
        """The factor on the step of a matrix, by its shape."""
        if self.scale == "match_rms_adamw":
            return 0.2 * math.sqrt(max(rows, columns))
        return math.sqrt(rows / columns if self.scale == "spectral_unclamped" else max(1, rows / columns))


def orthogonalized(matrix_ERC: Tensor) -> Tensor:
    """Matrices with the same singular vectors and singular values between 0.68 and 1.21, (E, R, C).

    A singular value of less than 0.0016 of its matrix's norm stays smaller.
    """
    wide_ERC = matrix_ERC if matrix_ERC.shape[1] <= matrix_ERC.shape[2] else matrix_ERC.mT
    norm_E11 = wide_ERC.double().square().sum((1, 2), keepdim=True).sqrt().clamp(min=SMALLEST)
    x_ERC = (wide_ERC / norm_E11).to(matrix_ERC.dtype)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram_ERR = x_ERC @ x_ERC.mT
        x_ERC = torch.baddbmm(x_ERC, torch.baddbmm(gram_ERR, gram_ERR, gram_ERR, beta=b, alpha=c), x_ERC, beta=a)
    return x_ERC if wide_ERC is matrix_ERC else x_ERC.mT


def _of_adam(hyper: Hyper) -> dict[str, Tensor]:
    """The hyperparameters of the parameters that AdamW updates."""
    return {**hyper, "lr": hyper["adam_lr"].expand_as(hyper["lr"])}

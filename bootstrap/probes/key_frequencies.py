"""Loss with only the key frequencies of a modular operation in the logits, and without them.

Source: Nanda et al. 2023, arXiv 2301.05217, section 5.1. Shapes: E members, N numbers that the operation acts on, S
sums 0 .. N - 1, V classes, F frequencies 1 .. N // 2, K samples of a pool.
"""

from typing import NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor

from deepboot.bootstrap.cyclic import PRODUCTS, powers_of_a_root
from deepboot.bootstrap.probes.fourier import fourier_shares
from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Tokens

SIGNS = {"x+y": 1, "x*y": 1, "x-y": -1, "x/y": -1}  # operations that add or subtract the places of two numbers
NUMBER = 5  # of key frequencies, as in the paper's network


class _Circle(NamedTuple):
    """The numbers in the order in which the operation adds or subtracts their places.

    Attributes:
        number_N: the number at each place.
        sign: of the second number's place.
        left, right: positions of the two numbers in an input.
    """

    number_N: Tensor
    sign: int
    left: int
    right: int


@register("probe", "restricted_loss")
def restricted_loss(
    measured: Measured, *, number: PositiveInt = NUMBER, frequencies: list[PositiveInt] | None = None
) -> Tensor:
    """Mean loss over all pairs of numbers, where the logits keep their mean and their key frequencies alone.

    The logits of all pairs (a, b) are projected on the waves cos(2π f (a + b) / p) and sin(2π f (a + b) / p) of the key
    frequencies f, class by class; their mean over all pairs is added, and all else is left out. It falls before the
    test loss does where a network forms the waves before it unlearns what it has memorised. Labels are true ones. For
    "x-y" it is a - b. Under "x*y" and "x/y" a and b are exponents of the smallest root and p - 1 takes the place of p;
    pairs with a 0 are left out. An evaluation computes all pairs: p^2 samples.

    The paper takes the key frequencies of the final network, which is not known yet: give them as ``frequencies`` where
    they are. Otherwise they are the ``number`` of frequencies that hold the most of the power of these waves in the
    logits at this evaluation, the lower of two equal ones. Few of them matter: with all of them a network that has
    memorised a third of the pairs has a small restricted loss, since every pair then shares what its sum has learned.

    Args:
        measured: of "x+y", "x-y", "x*y" or "x/y" modulo p.
        number: of key frequencies that are looked for.
        frequencies: the key frequencies, 1 .. p // 2, instead of those that are found.

    Raises:
        ValueError: the task is another, or has no such frequency.
    """
    circle = _circle(measured)
    mean_ESV = _means_by_sum(measured, circle)
    kept_ESV = _waves(mean_ESV, number, frequencies) + mean_ESV.mean(1, keepdim=True)
    answer_ES = circle.number_N.expand(len(kept_ESV), -1)
    return measured.loss(kept_ESV, answer_ES).double().mean(1)


@register("probe", "excluded_loss")
def excluded_loss(
    measured: Measured, *, number: PositiveInt = NUMBER, frequencies: list[PositiveInt] | None = None
) -> Tensor:
    """Mean loss over the pool's samples, where the logits lack their key frequencies.

    The part of the logits that `restricted_loss` keeps, without the mean, is taken away, and the loss is that of the
    labels that are trained on. It follows the training loss while a network memorises, and rises once the waves do the
    work. The pool's samples are those that are evaluated; pairs with a 0 are left out under "x*y" and "x/y". In the
    ideal world, which has no pool, it is NaN. An evaluation computes all pairs: p^2 samples.

    Args:
        measured: of "x+y", "x-y", "x*y" or "x/y" modulo p.
        number: of key frequencies that are looked for.
        frequencies: the key frequencies, 1 .. p // 2, instead of those that are found.

    Raises:
        ValueError: the task is another, or has no such frequency.
    """
    circle, pool = _circle(measured), measured.pool
    if pool is None:
        return measured.nan()
    wave_ESV = _waves(_means_by_sum(measured, circle), number, frequencies)
    sum_EK, has_place_EK = _sums(circle, pool.x)
    own_EK = pool.own_EK & has_place_EK
    logits_EKV = measured.logits(pool.x, measured.test_block).double()
    member_E1 = torch.arange(len(sum_EK), device=sum_EK.device)[:, None]
    loss_EK = measured.loss(logits_EKV - wave_ESV[member_E1, sum_EK], pool.y).double()
    return loss_EK.where(own_EK, 0).sum(1) / own_EK.sum(1)


def _circle(measured: Measured) -> _Circle:
    """The circle of a task's numbers.

    Raises:
        ValueError: the task has none.
    """
    task, inputs = measured.task, measured.task.inputs
    modulus, operation = getattr(task, "modulus", None), getattr(task, "operation", None)
    is_pair = isinstance(inputs, Tokens) and inputs.operands == modulus and len(inputs.varying) == 2
    if operation not in SIGNS or modulus is None or not is_pair:
        got = type(task).__name__ + (f" with operation {operation!r}" if operation is not None else "")
        raise ValueError(
            f"expected a task of two numbers modulo p, such as binary_operations with one of {', '.join(SIGNS)}, "
            f"got {got}. Remove the probe."
        )
    assert isinstance(inputs, Tokens)
    numbers = powers_of_a_root(modulus) if operation in PRODUCTS else list(range(modulus))
    left, right = inputs.varying
    return _Circle(torch.tensor(numbers, device=measured.param_EP.device), SIGNS[operation], left, right)


def _means_by_sum(measured: Measured, circle: _Circle) -> Tensor:
    """Mean logits of all pairs with each sum of places, float64, (E, S, V).

    All that the waves of a sum, or of a difference, can have of the logits: a wave does not tell such pairs apart. Sums
    are computed in blocks whose size does not depend on the pack.
    """
    count, device = len(circle.number_N), circle.number_N.device
    place_SN, sum_SN = torch.arange(count, device=device), torch.arange(count, device=device)[:, None]
    other_SN = (circle.sign * (sum_SN - place_SN)) % count
    left_SN, right_SN = circle.number_N[place_SN].expand(count, -1), circle.number_N[other_SN]
    example_E1L = measured.test.x[:, :1]
    means = []
    for left, right in zip(*(part.split(max(1, measured.test_block // count)) for part in (left_SN, right_SN)),
                           strict=True):  # fmt: skip
        x = example_E1L.repeat(1, left.numel(), 1)
        x[..., circle.left], x[..., circle.right] = left.flatten(), right.flatten()
        logits_EBV = measured.forward(measured.param_EP, measured.buffers, x).double()
        means.append(logits_EBV.unflatten(1, left.shape).mean(2))
    return torch.cat(means, 1)


def _sums(circle: _Circle, x: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of places of every input, (E, K), and whether both of its numbers have a place, bool, (E, K)."""
    count = len(circle.number_N)
    place_P = torch.full((int(circle.number_N.max()) + 1,), -1, device=x.device)
    place_P[circle.number_N] = torch.arange(count, device=x.device)
    left_EK, right_EK = place_P[x[..., circle.left]], place_P[x[..., circle.right]]
    return (left_EK + circle.sign * right_EK) % count, (left_EK >= 0) & (right_EK >= 0)


def _waves(mean_ESV: Tensor, number: int, frequencies: list[int] | None) -> Tensor:
    """The part of mean logits that is in key frequencies, without their mean over sums, (E, S, V).

    Raises:
        ValueError: a frequency that so few sums do not have.
    """
    members, sums = mean_ESV.shape[:2]
    highest = sums // 2
    key_EF = torch.zeros(members, highest + 1, dtype=torch.bool, device=mean_ESV.device)
    if frequencies is not None:
        wrong = [frequency for frequency in frequencies if frequency > highest]
        if wrong or not frequencies:
            raise ValueError(
                f"frequencies: expected some of 1 .. {highest}, got {wrong or 'none'}. Change them, or leave them out."
            )
        key_EF[:, frequencies] = True
    else:
        most_EF = fourier_shares(mean_ESV).nan_to_num(0).argsort(dim=1, descending=True, stable=True)[:, :number]
        key_EF.scatter_(1, most_EF + 1, value=True)
    wave_EFV = torch.fft.rfft(mean_ESV, dim=1) * key_EF[..., None]
    return torch.fft.irfft(wave_EFV, n=sums, dim=1)

"""Whether a fast program trains as the plain one does; it is believed only after that was seen."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.backend import Program
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.training.train import train_steps

CHECKED_STEPS = 12  # before an evaluation, and again after it
TOLERANCE = {"float64": 1e-6, "float32": 1e-2, "tf32": 0.1, "bf16": 0.1}  # relative; small sums are rounded apart
LOSSES = ("test_loss", "online_loss")


class Trained(NamedTuple):
    """What some steps did to the members of a pack.

    Attributes:
        moved_EP: how far the parameters moved from their start, float64, (E, P), on the host.
        loss_EL: the losses of two evaluations, float64, (E, L).
    """

    moved_EP: Tensor
    loss_EL: Tensor


def disagreement(runs: Sequence[Run], device: str, program: Program, *, apart: bool = False) -> str | None:
    """Why a program must not be used for runs of this shape on this device; None where it trains as ``eager`` does.

    Both train from step 0: some steps, an evaluation, some more steps and another evaluation. The evaluation stands
    between them since it computes with other members and shapes, and must not disturb what was captured or compiled.
    They agree if no member's parameters differ by more than ``TOLERANCE`` of the way that they have come, and no loss
    by more than that share of itself.

    Args:
        runs: a pack; one pair is enough.
        device: "cpu" or "cuda".
        program: the program that is to be believed.
        apart: whether members are stepped one after another.
    """
    plain = _trained(runs, device, "eager", apart=apart)
    try:
        fast = _trained(runs, device, program, apart=apart)
    except Exception as error:  # a compiler or a device may raise anything
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return f"{type(error).__name__}: {first}"
    precision = runs[0].precision if runs[0].dtype == "float32" else runs[0].dtype
    for what, difference in (("parameters", _apart(plain, fast)), ("losses", _unlike(plain, fast))):
        if not difference <= TOLERANCE[precision]:  # NaN is no agreement
            return (
                f"its {what} differ from those of eager by {difference:.2g} of their size, "
                f"and {TOLERANCE[precision]:g} is allowed"
            )
    return None


def _trained(runs: Sequence[Run], device: str, program: Program, *, apart: bool) -> Trained:
    pack = Pack(runs, device, program=program, apart=apart)
    evaluator, start_EP = Evaluator(pack), pack.param_EP.clone()
    rows = []
    for stop in (CHECKED_STEPS, 2 * CHECKED_STEPS):
        train_steps(pack, min(stop, runs[0].max_steps))
        rows.append(evaluator.rows())
    losses = [[row[name] for row in each for name in LOSSES] for each in zip(*rows, strict=True)]
    return Trained((pack.param_EP - start_EP).double().cpu(), torch.tensor(losses, dtype=torch.float64))


def _apart(plain: Trained, fast: Trained) -> float:
    """The largest distance between a member's two parameter vectors, as a share of the way that it has come."""
    far_E = (plain.moved_EP - fast.moved_EP).norm(dim=1)
    return _largest(far_E, plain.moved_EP.norm(dim=1))


def _unlike(plain: Trained, fast: Trained) -> float:
    """The largest difference of a loss, as a share of itself."""
    return _largest((plain.loss_EL - fast.loss_EL).abs(), plain.loss_EL.abs())


def _largest(difference: Tensor, size: Tensor) -> float:
    return float((difference / size.clamp(min=torch.finfo(torch.float32).tiny)).max())

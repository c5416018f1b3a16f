"""Whether a fast backend trains as ``eager`` does: it is trusted only after that was seen."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.torch_optimizers import is_stacked
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.wording import error_line

CHECKED_STEPS = 12  # before an evaluation, and again after it
TOLERANCE = {
    "float64": 1e-6,
    "float32": 1e-2,
    "tf32": 0.1,
    "bf16": 0.1,
    "bf16_products": 0.1,
    "bfloat16": 0.1,
    "float16": 0.1,
}  # relative; small sums are rounded otherwise
LOSSES = ("test_loss", "online_loss")


class Trained(NamedTuple):
    """The members of a pack after some steps.

    Attributes:
        moved_EP: difference of the parameters from their start, float64, (E, P), on the host.
        loss_EL: the losses of two evaluations, float64, (E, L).
    """

    moved_EP: Tensor
    loss_EL: Tensor


def disagreement(runs: Sequence[Run], execution: Execution) -> str | None:
    """Why a backend must not be used for these runs on this device; None where it trains as ``eager`` does.

    Both train from step 0: some steps, an evaluation, some more steps and another evaluation. The evaluation lies
    between them since it computes with other members and shapes, and must not disturb captured or compiled steps.
    They agree if no member's parameters differ by more than ``TOLERANCE`` of the way that they have come, and no loss
    by more than that share of itself.

    Args:
        runs: a pack; one pair is enough.
        execution: with the backend in question.
    """
    if not is_stacked(runs[0].optimizer["name"]):
        return "a torch optimizer steps members one after another, which only eager does"
    plain = _trained(runs, execution.model_copy(update={"backend": "eager"}))
    try:
        fast = _trained(runs, execution)
    except Exception as error:  # a compiler or a device may raise anything
        return error_line(error)
    precision = runs[0].precision if runs[0].dtype == "float32" else runs[0].dtype
    differences = {"parameters": _parameter_difference(plain, fast), "losses": _loss_difference(plain, fast)}
    for name, difference in differences.items():
        if not difference <= TOLERANCE[precision]:  # NaN is no agreement
            return (
                f"its {name} differ from those of eager by {difference:.2g} of their size, "
                f"and {TOLERANCE[precision]:g} is allowed"
            )
    return None


def _trained(runs: Sequence[Run], execution: Execution) -> Trained:
    with torch_settings(runs[0], execution):
        pack = Pack(runs, execution)
        evaluator, start_EP = Evaluator(pack), pack.param_EP.clone()
        rows = []
        for until in (CHECKED_STEPS, 2 * CHECKED_STEPS):
            train_steps(pack, min(until, runs[0].max_steps))
            rows.append(evaluator.rows())
    losses = [[row[name] for row in of_member for name in LOSSES] for of_member in zip(*rows, strict=True)]
    return Trained((pack.param_EP - start_EP).double().cpu(), torch.tensor(losses, dtype=torch.float64))


def _parameter_difference(plain: Trained, fast: Trained) -> float:
    """The largest distance between a member's two parameter vectors, as a share of the way that it has come."""
    distance_E = (plain.moved_EP - fast.moved_EP).norm(dim=1)
    return _largest(distance_E, plain.moved_EP.norm(dim=1))


def _loss_difference(plain: Trained, fast: Trained) -> float:
    """The largest difference of a loss, as a share of itself."""
    return _largest((plain.loss_EL - fast.loss_EL).abs(), plain.loss_EL.abs())


def _largest(difference: Tensor, size: Tensor) -> float:
    return float((difference / size.clamp(min=torch.finfo(torch.float32).tiny)).max())

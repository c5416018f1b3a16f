"""Metrics of logits against labels, one number per labelled sample. Shapes: E members, B labels, V classes.

Real-valued labels have one logit, and as error the squared error, or whether it is too large. Tasks give such labels
unit variance, so that the mean squared error is the share of the variance that is not explained.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Reading(NamedTuple):
    """How predictions of real-valued labels are read off logits, and which of them are right.

    Attributes:
        scale: the logit that a label of 1 is to have.
        correct_below: squared error below which a label counts as predicted; None: errors are the squared errors.
    """

    scale: float = 1.0
    correct_below: float | None = None


AS_THEY_ARE = Reading()


def errors(logits_EBV: Tensor, label_EB: Tensor, reading: Reading = AS_THEY_ARE) -> Tensor:
    """Whether some other logit is at least as large as the label's, bool, (E, B); squared errors of real-valued labels.

    A tie is wrong, and so is NaN: a network that gives every class the same logit has error 1. Where the reading says
    which squared errors count as right, a real-valued label has a bool, too.

    >>> errors(torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]), torch.tensor([[1, 1]]))
    tensor([[False,  True]])
    >>> logits_EBV, label_EB = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[0.5, 1.0]])
    >>> errors(logits_EBV, label_EB, Reading(scale=2.0)), errors(logits_EBV, label_EB, Reading(2.0, correct_below=0.1))
    (tensor([[0.0000, 0.2500]]), tensor([[False,  True]]))
    """
    return errors_(logits_EBV.clone(), label_EB, reading)


def errors_(logits_EBV: Tensor, label_EB: Tensor, reading: Reading = AS_THEY_ARE) -> Tensor:
    """As `errors`, in logits that may be overwritten."""
    if label_EB.is_floating_point():
        square_EB = _squared_errors(logits_EBV, label_EB, reading)
        return square_EB if reading.correct_below is None else ~(square_EB < reading.correct_below)
    label_EB1 = label_EB[..., None]
    right_EB = logits_EBV.gather(-1, label_EB1)[..., 0]
    return ~(right_EB > logits_EBV.scatter_(-1, label_EB1, -torch.inf).amax(-1))


def soft_error(logits_EBV: Tensor, label_EB: Tensor, reading: Reading = AS_THEY_ARE) -> Tensor:
    """Probability that softmax gives to the wrong labels, (E, B), in [0, 1]; its mean is the soft error.

    The squared error of real-valued labels, whatever counts as right. Computed in float32 at least, since 1 - p of
    16 bits is known to a few thousandths only.
    Source: Nakkiran et al. 2021, arXiv 2010.08127.

    >>> soft_error(torch.zeros(1, 1, 4), torch.tensor([[2]])).item()
    0.75
    """
    if label_EB.is_floating_point():
        return _squared_errors(logits_EBV, label_EB, reading)
    wide_EBV = logits_EBV.to(torch.promote_types(logits_EBV.dtype, torch.float32))
    return 1 - wide_EBV.softmax(-1).gather(-1, label_EB[..., None])[..., 0]


def _squared_errors(logits_EBV: Tensor, label_EB: Tensor, reading: Reading) -> Tensor:
    return (logits_EBV[..., 0] / reading.scale - label_EB).square()

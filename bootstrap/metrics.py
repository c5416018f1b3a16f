"""Metrics of logits against labels, one number per labelled sample. Shapes: E members, B labels, V classes.

Real-valued labels have one logit, and as error the squared error. Tasks give such labels unit variance, so that
its mean is the share of the variance that is not explained.
"""

import torch
from torch import Tensor


def errors(logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
    """Whether some other logit is at least as large as the label's, bool, (E, B); squared errors of real-valued labels.

    A tie is wrong, and so is NaN: a network that gives every class the same logit has error 1.

    >>> errors(torch.tensor([[[0.0, 1.0], [0.0, 0.0]]]), torch.tensor([[1, 1]]))
    tensor([[False,  True]])
    """
    return errors_(logits_EBV.clone(), label_EB)


def errors_(logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
    """As `errors`, in logits that may be overwritten."""
    if label_EB.is_floating_point():
        return (logits_EBV[..., 0] - label_EB).square()
    label_EB1 = label_EB[..., None]
    right_EB = logits_EBV.gather(-1, label_EB1)[..., 0]
    return ~(right_EB > logits_EBV.scatter_(-1, label_EB1, -torch.inf).amax(-1))


def soft_error(logits_EBV: Tensor, label_EB: Tensor) -> Tensor:
    """Probability that softmax gives to the wrong labels, (E, B), in [0, 1]; its mean is the soft error.

    Computed in float32 at least, since 1 - p of 16 bits is known to a few thousandths only.
    Source: Nakkiran et al. 2021, arXiv 2010.08127.

    >>> soft_error(torch.zeros(1, 1, 4), torch.tensor([[2]])).item()
    0.75
    """
    if label_EB.is_floating_point():
        return (logits_EBV[..., 0] - label_EB).square()
    wide_EBV = logits_EBV.to(torch.promote_types(logits_EBV.dtype, torch.float32))
    return 1 - wide_EBV.softmax(-1).gather(-1, label_EB[..., None])[..., 0]

"""Accuracy on every class of the test by itself. Shapes: E members, B labels, V classes."""

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "class_accuracy")
def class_accuracy(
    measured: Measured, *, classes: list[NonNegativeInt] | None = None,
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.99,
) -> dict[str, Tensor]:  # fmt: skip
    """Share of right predictions among the test samples of each class, and the share of classes that are learned.

    ``of_12`` is the accuracy on samples of class 12, NaN where the test has none. ``learned`` is the share of all
    classes in the test, listed or not, whose accuracy is at least ``threshold``. Where classes are rare, a stratified
    test tells more: ``task.test = "stratified"`` of `greatest_common_divisor`.

    Args:
        classes: those whose accuracy is written down, such as [1, 2, 12]; all classes if not given.
        threshold: accuracy from which on a class counts as learned.

    Raises:
        ValueError: the task's labels are no classes, or it has no such class.
    Source: Charton 2023, arXiv 2308.15594: accuracy by greatest common divisor, learned at 99 %.
    """
    count = measured.task.classes
    if count == 1:
        raise ValueError("labels of this task are numbers, not classes. Remove the probe.")
    listed = list(range(count)) if classes is None else classes
    wrong = [number for number in listed if number >= count]
    if wrong or len(set(listed)) < len(listed):
        got = f"{wrong[0]}" if wrong else f"{listed}"
        raise ValueError(f"classes: expected different ones of 0 .. {count - 1}, got {got}. Change them.")
    label_EB = measured.test.y.flatten(1)
    right_EB = measured.test_logits.argmax(2) == label_EB
    accuracy_EV = _counts(right_EB, label_EB, count) / _counts(torch.ones_like(right_EB), label_EB, count)
    learned_E = (accuracy_EV >= threshold).sum(1) / (~accuracy_EV.isnan()).double().sum(1)
    return {**{f"of_{number}": accuracy_EV[:, number] for number in listed}, "learned": learned_E}


def _counts(counted_EB: Tensor, label_EB: Tensor, classes: int) -> Tensor:
    """How many of the counted samples are of each class, float64, (E, V)."""
    count_EV = torch.zeros(len(label_EB), classes, dtype=torch.float64, device=label_EB.device)
    return count_EV.scatter_add_(1, label_EB, counted_EB.double())

"""Memorised labels. Shapes: E members, K samples of a pool."""

from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "swapped_answers")
def swapped_answers(measured: Measured) -> Tensor:
    """Share of the pool's exchanged labels (``data.swapped_answers``) that the network gives; NaN where there are none.

    A label that was exchanged for an equal one is not counted: giving it shows no memory.

    Raises:
        ValueError: the task's labels are no classes.
    """
    if measured.task.classes == 1:
        raise ValueError("labels of this task are numbers, which no network gives exactly. Remove the probe.")
    pool = measured.pool
    if pool is None:
        return measured.nan()
    exchanged_EK = pool.own_EK & pool.exchanged_EK
    label_EKA, clean_EKA = (part.flatten(2) if part.dim() > 2 else part[..., None] for part in (pool.y, pool.clean))
    counted_EKA = exchanged_EK[..., None] & (label_EKA != clean_EKA)
    given_EKA = measured.logits(pool.x, measured.test_block).argmax(2).view_as(label_EKA)
    return (counted_EKA & (given_EKA == label_EKA)).flatten(1).sum(1) / counted_EKA.flatten(1).double().sum(1)

"""A task of your own: an endless stream, in which the same index always has the same sample."""

from dataclasses import dataclass

from pydantic import PositiveInt
from torch import Tensor

from deepboot.bootstrap import streams
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Samples, Task, Vector


@register("task", "NAME")
@dataclass(frozen=True, kw_only=True)
class Own(Task):
    """Whether most of the bits are one."""

    num_bits: PositiveInt = 9  # settings of a study are fields with a type and a default

    @property
    def inputs(self) -> Vector:
        return Vector(self.num_bits)

    @property
    def classes(self) -> int:
        return 2

    def sample(self, key_E2: Tensor, index: Tensor) -> Samples:
        bits = streams.bits(key_E2, index, self.num_bits)  # random by key and index alone, (E, ..., num_bits)
        return Samples(bits.float(), (2 * bits.sum(-1) > self.num_bits).long())

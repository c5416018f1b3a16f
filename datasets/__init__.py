"""Tasks, one file or folder each; importing the package makes them known by name."""

if not __name__.startswith("deepboot."):
    raise ModuleNotFoundError(f"`{__name__}` is `deepboot.{__name__}` now. Import it by that name.", name=__name__)


from deepboot.datasets import (
    associative_recall,
    binary_operations,
    cifar10,
    digits,
    gaussian,
    greatest_common_divisor,
    induction,
    modular_digits,
    modular_triples,
    multi_digit_addition,
    permutations,
    plain_addition,
    recording,
    single_index,
    skip_trigram,
    sparse_parity,
    teacher_student,
)
from deepboot.datasets.cifar5m.task import Cifar5m
from deepboot.datasets.shapes.task import Shapes

__all__ = [
    "Cifar5m",
    "Shapes",
    "associative_recall",
    "binary_operations",
    "cifar10",
    "digits",
    "gaussian",
    "greatest_common_divisor",
    "induction",
    "modular_digits",
    "modular_triples",
    "multi_digit_addition",
    "permutations",
    "plain_addition",
    "recording",
    "single_index",
    "skip_trigram",
    "sparse_parity",
    "teacher_student",
]

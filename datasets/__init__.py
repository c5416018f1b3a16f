"""Tasks, one file or folder each; importing the package makes them known by name."""

from datasets import (
    binary_operations,
    cifar10,
    digits,
    gaussian,
    induction,
    multi_digit_addition,
    permutations,
    recording,
    sparse_parity,
)
from datasets.cifar5m.task import Cifar5m
from datasets.shapes.task import Shapes

__all__ = [
    "Cifar5m",
    "Shapes",
    "binary_operations",
    "cifar10",
    "digits",
    "gaussian",
    "induction",
    "multi_digit_addition",
    "permutations",
    "recording",
    "sparse_parity",
]

"""Tasks, one file each; importing the package makes them known by name."""

from datasets import (
    binary_operations,
    cifar5m,
    cifar10,
    digits,
    gaussian,
    induction,
    multi_digit_addition,
    permutations,
    recording,
    shapes,
    sparse_parity,
)

__all__ = [
    "binary_operations",
    "cifar5m",
    "cifar10",
    "digits",
    "gaussian",
    "induction",
    "multi_digit_addition",
    "permutations",
    "recording",
    "shapes",
    "sparse_parity",
]

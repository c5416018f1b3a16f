"""Probes, one subject per file; importing the package makes them known by name."""

from deepboot.bootstrap.probes import (
    bits,
    classes,
    fourier,
    key_frequencies,
    logits,
    memorized,
    neurons,
    norms,
    population,
    sharpness,
    tangent_kernel,
)

__all__ = [
    "bits",
    "classes",
    "fourier",
    "key_frequencies",
    "logits",
    "memorized",
    "neurons",
    "norms",
    "population",
    "sharpness",
    "tangent_kernel",
]

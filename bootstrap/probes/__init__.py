"""Probes, one subject per file; importing the package makes them known by name."""

from deepboot.bootstrap.probes import (
    bits,
    fourier,
    logits,
    memorized,
    neurons,
    norms,
    population,
    sharpness,
    tangent_kernel,
)

__all__ = ["bits", "fourier", "logits", "memorized", "neurons", "norms", "population", "sharpness", "tangent_kernel"]

"""Models, one architecture per file; importing the package makes them known by name."""

from bootstrap.models import mlp, transformer

__all__ = ["mlp", "transformer"]

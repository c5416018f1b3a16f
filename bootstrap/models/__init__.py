"""Models, one architecture per file; importing the package makes them known by name."""

from bootstrap.models import cnn, mlp, resnet, transformer

__all__ = ["cnn", "mlp", "resnet", "transformer"]

"""Models, one architecture per file; importing the package makes them known by name."""

from deepboot.bootstrap.models import alexnet, cnn, dconv, densenet, mlp, resnet, transformer, vgg, vit

__all__ = ["alexnet", "cnn", "dconv", "densenet", "mlp", "resnet", "transformer", "vgg", "vit"]

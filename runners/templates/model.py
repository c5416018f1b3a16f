"""A model of your own: an ordinary torch module, of which the harness trains many at once."""

from torch import Tensor, nn

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs


@register("model", "NAME")
class Own(nn.Module):
    """Two layers with a ReLU between them, on vectors."""

    def __init__(self, inputs: Inputs, classes: int, *, width: int = 64):  # settings come after the `*`
        super().__init__()
        self.hidden = nn.Linear(inputs.size, width)
        self.output = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (batch, classes), of one member's inputs, (batch, size)."""
        return self.output(self.hidden(x).relu())

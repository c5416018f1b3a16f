"""The loss over a whole population, where a task knows it exactly. Shapes: E members, T axes of the population."""

from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register

LINEAR = ["output.weight"]  # parameters of a linear map without bias


@register("probe", "population_loss")
def population_loss(measured: Measured) -> Tensor:
    """Loss of a linear network over the whole population, without sampling error, whatever the test set.

    The loss is ``mse``. Of ``gaussian`` it is the excess over the noise, with inputs x ~ N(0, I) |student - teacher|^2.
    The test loss of drawn samples is an estimate of it, with the noise.

    Raises:
        ValueError: the task has no exact test set, or the network is no linear map without bias.
    Source: the quadratic loss of linear teachers and students in Levi, Beck, Bar-Sinai 2023, arXiv 2310.16441.
    """
    exact = measured.task.exact(measured.key_E2)
    if exact is None or measured.stack.names != LINEAR:
        raise ValueError(
            "expected a task with an exact test set, such as gaussian, and a linear network with output.weight alone, "
            "such as an mlp with depth = 0 and bias = false, "
            f"got {type(measured.task).__name__} and {', '.join(measured.stack.names)}. Remove the probe."
        )
    return measured.loss(measured.logits(exact.x, measured.test_block), exact.y).double().mean(1)

"""Weights of the relevant and of the distracting bits of sparse parity. Shapes: E members, H units, B bits."""

from torch import Tensor

from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register


@register("probe", "bits")
def bits(measured: Measured) -> dict[str, Tensor]:
    """Norm of the input weights of a relevant and of a distracting bit, and the distractors' share of all squares.

    ``relevant`` and ``distractors`` are root mean squares over bits; ``distractor_share`` is (B - k) / B at a random
    start, 0 where only the k relevant bits are read. NaN without distractors.

    Raises:
        ValueError: the task does not say how many of its bits are relevant, or the model has no layer of hidden units.
    Source: PAIR, "Do machine learning models memorize or generalize?", 2023.
    """
    count = getattr(measured.task, "num_relevant", None)
    if count is None or "hidden.0.weight" not in measured.named:
        raise ValueError(
            "expected a task with num_relevant, such as sparse_parity, and a model with hidden.0.weight, such as mlp, "
            f"got {type(measured.task).__name__} and {', '.join(measured.named)}. Remove the probe."
        )
    square_EB = measured.named["hidden.0.weight"].double().square().sum(1)
    relevant_EB, distracting_EB = square_EB[:, :count], square_EB[:, count:]
    return {
        "relevant": relevant_EB.mean(1).sqrt(),
        "distractors": distracting_EB.mean(1).sqrt(),
        "distractor_share": distracting_EB.sum(1) / square_EB.sum(1) if distracting_EB.shape[1] else measured.nan(),
    }

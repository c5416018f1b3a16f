"""How even the hidden units of an mlp over Z_p are: the spread of their norms, and the gaps between their angles.

`reports.representation.neurons` has the same of kept weights, unit by unit and for each frequency.
Source: PAIR, "Do machine learning models memorize or generalize?", 2023. Shapes: E members, V tokens, P numbers
0 .. p - 1, H hidden units.
"""

import math

import torch
from torch import Tensor

from deepboot.bootstrap.probes.fourier import input_tables, output_table
from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Tokens


@register("probe", "neurons")
def neurons(measured: Measured) -> dict[str, Tensor]:
    """Spread of the units' norms, and the largest gap between neighbouring angles, at the input and at the output.

    ``input_spread, output_spread``: standard deviation of the norms of a unit's weights by their mean, 0 where all are
    equal. ``input_gap, output_gap``: in multiples of 2π / H, 1 where angles are even and H where all are equal. A
    unit's angle is the phase of what the first operand adds to it, at the frequency that holds the most power of all
    units' inputs together: one for all units, so gaps tell little where units have several. A dead unit counts.

    Raises:
        ValueError: the task has no modulus, or the model is no mlp with one hidden layer.
    """
    modulus, inputs, named = getattr(measured.task, "modulus", None), measured.task.inputs, measured.named
    output_EVH = output_table(named)
    if (
        not isinstance(inputs, Tokens)
        or modulus is None
        or output_EVH is None
        or "hidden.0.weight" not in named
        or "hidden.1.weight" in named
    ):
        raise ValueError(
            "expected a task of tokens with a modulus, such as binary_operations, and an mlp with one hidden layer, "
            f"got {type(measured.task).__name__} and {', '.join(named)}. Remove the probe."
        )
    embeddings = [named[name] for name in sorted(named) if name.startswith("embeddings.")]
    weight_EHI, output_EPH = named["hidden.0.weight"].double(), output_EVH[:, :modulus]
    input_EPH = input_tables(embeddings, weight_EHI, inputs.vocab)[0][:, :modulus]
    input_EFH, output_EFH = (torch.fft.rfft(table_EPH, dim=1) for table_EPH in (input_EPH, output_EPH))
    frequency_E = input_EFH[:, 1:].abs().square().sum(2).argmax(1) + 1
    member_E = torch.arange(len(frequency_E), device=frequency_E.device)
    return {
        "input_spread": spread(weight_EHI.square().sum(2).sqrt()),
        "output_spread": spread(output_EPH.square().sum(1).sqrt()),
        "input_gap": largest_gap(-input_EFH[member_E, frequency_E].angle()),
        "output_gap": largest_gap(-output_EFH[member_E, frequency_E].angle()),
    }


def spread(norm_EH: Tensor) -> Tensor:
    """Standard deviation over units by their mean, (E,); NaN where all are 0."""
    return norm_EH.std(1, correction=0) / norm_EH.mean(1)


def largest_gap(angle_EH: Tensor) -> Tensor:
    """The largest gap between neighbours on the circle, in multiples of 2π / H, (E,).

    >>> largest_gap(torch.tensor([[0.0, math.pi / 2], [0.0, math.pi]])).tolist()
    [1.5, 1.0]
    """
    sorted_EH = angle_EH.remainder(2 * math.pi).sort(1).values
    gap_EH = sorted_EH.diff(dim=1, append=sorted_EH[:, :1] + 2 * math.pi)
    return gap_EH.amax(1) * angle_EH.shape[1] / (2 * math.pi)

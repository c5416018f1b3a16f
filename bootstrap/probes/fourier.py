"""Fourier power of layers over the numbers of a modular task, as `reports.representation.spectra` defines it.

Source: Nanda et al. 2023, arXiv 2301.05217. Shapes: E members, P numbers 0 .. p - 1, D features, F frequencies
1 .. p // 2, V tokens, H hidden units, I inputs of the first layer.
"""

from typing import Literal

import torch
from torch import Tensor

from deepboot.bootstrap.cyclic import PRODUCTS, powers_of_a_root
from deepboot.bootstrap.output_weights import output_weights
from deepboot.bootstrap.probes.measured import Measured
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Tokens

Layer = Literal["embedding", "input", "output"]
HELD = 0.9


@register("probe", "fourier")
def fourier(measured: Measured, *, parameter: Layer | list[Layer] = "embedding") -> dict[str, Tensor]:
    """Largest share of one frequency in a layer's variance over tokens, and how many frequencies hold 90 % of it.

    ``embedding``: rows of the table. ``input``: what a token adds to the first hidden layer of an mlp. ``output``: the
    weights of each number's logit, times those of a projection before them; of a tied network its embedding is the
    first of the two. Operands with tables or input weights of their own are ``embedding 1``, ``embedding 2`` and so on.
    Under multiplication and division numbers come as powers of one of them, without 0.

    Args:
        measured: of a task modulo p, with an mlp or transformer.
        parameter: one layer or several.

    Raises:
        ValueError: the task is not modular, or the model has no such layer.
    """
    modulus, inputs = getattr(measured.task, "modulus", None), measured.task.inputs
    if modulus is None or not isinstance(inputs, Tokens):
        raise ValueError(
            f"expected a task of tokens with a modulus, such as binary_operations, got {type(measured.task).__name__}. "
            "Remove the probe."
        )
    powers = getattr(measured.task, "operation", "") in PRODUCTS
    token_P = torch.tensor(powers_of_a_root(modulus) if powers else range(modulus), device=measured.param_EP.device)
    values = {}
    for layer in [parameter] if isinstance(parameter, str) else parameter:
        for name, table_EVD in _tables(measured.named, layer, inputs.vocab).items():
            share_EF = fourier_shares(table_EVD.double()[:, token_P])
            values[f"{name}.largest_share"] = share_EF.amax(1)
            values[f"{name}.frequencies"] = frequencies_holding(share_EF)
    return values


def fourier_shares(values_EPD: Tensor) -> Tensor:
    """Share of each frequency 1 .. p // 2 in the variance over tokens, (E, F); NaN where nothing varies."""
    tokens = values_EPD.shape[1]
    power_EFD = torch.fft.rfft(values_EPD - values_EPD.mean(1, keepdim=True), dim=1)[:, 1:].abs().square()
    if tokens % 2 == 0:
        power_EFD[:, -1] /= 2  # the highest frequency of an even p has a cos only
    power_EF = power_EFD.sum(2)
    return power_EF / power_EF.sum(1, keepdim=True)


def frequencies_holding(share_EF: Tensor, held: float = HELD) -> Tensor:
    """The fewest frequencies that hold this part of the power, float64, (E,); NaN where shares are.

    >>> frequencies_holding(torch.tensor([[0.02, 0.38, 0.55, 0.05]]))
    tensor([2.], dtype=torch.float64)
    """
    sums_EF = share_EF.sort(1, descending=True).values.cumsum(1)
    number_E = (sums_EF < held * (1 - 1e-12)).sum(1).double() + 1
    return torch.where(share_EF.isnan().any(1), torch.nan, number_E)


def _tables(named: dict[str, Tensor], layer: Layer, vocab: int) -> dict[str, Tensor]:
    """A layer as tables with a row per token, (E, V, D): one for all operands, or one each."""
    embeddings = [named[name] for name in sorted(named) if name.startswith(("embedding.", "embeddings."))]
    found: list[Tensor] = []
    if layer == "embedding":
        found = embeddings
    elif layer == "output" and (output := output_table(named)) is not None:
        found = [output]
    elif layer == "input" and "hidden.0.weight" in named:
        found = input_tables(embeddings, named["hidden.0.weight"], vocab)
    if not found:
        raise ValueError(
            f"this model has no layer {layer!r}, only {', '.join(named)}. "
            "Choose another parameter, or remove the probe."
        )
    return {layer if len(found) == 1 else f"{layer} {number}": table for number, table in enumerate(found, 1)}


def output_table(named: dict[str, Tensor]) -> Tensor | None:
    """What each unit adds to the logit of each token or class, float64, (E, V, H), as `output_weights` has it."""
    parts = ("embeddings.0.weight", "projection.weight", "output.weight")
    return output_weights({name: named[name].double() for name in parts if name in named})


def input_tables(embeddings: list[Tensor], weight_EHI: Tensor, vocab: int) -> list[Tensor]:
    """What each token of an operand adds to the first hidden layer, (E, V, H)."""
    if not embeddings:
        return [block.mT for block in weight_EHI.split(vocab, 2)]
    blocks = weight_EHI.split(embeddings[0].shape[2], 2)
    operands = max(len(embeddings), len(blocks))
    pairs = zip(embeddings * (operands // len(embeddings)), blocks * (operands // len(blocks)), strict=True)
    return [table_EVD.double() @ block_EHD.double().mT for table_EVD, block_EHD in pairs]

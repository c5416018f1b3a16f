"""States of a causal network that are computed once for all samples that share their first tokens.

Before the first attention the state at a position depends on the token there alone. After it, the states before the
second varying token depend on the first one alone. A batch with more samples than there are tokens then has many equal
states: one row for every token replaces one for every sample. Logits and gradients are the same up to rounding.

Shapes: ... leading axes, B samples of L tokens out of V, R rows of a block's input. A view has N rows, which read K
positions each and are wanted at the last P of them.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deepboot.bootstrap.models.layers import rows_of
from deepboot.bootstrap.task import Tokens

SAMPLES_PER_TOKEN = 2  # of a batch, from which sharing pays


class View(NamedTuple):
    """How some rows of a block's output read its input, (..., R, width).

    Attributes:
        rows: N.
        queries: positions at which the output is wanted, P.
        input_row: the row of the input at every position, (..., N, K); None where these are all of its rows, in order.
    """

    rows: int
    queries: int
    input_row: Tensor | None = None

    def keys(self, states: Tensor) -> Tensor:
        """States at all positions, (..., N, K, width), of the input's states or of what was computed of them."""
        return states.unflatten(-2, (self.rows, -1)) if self.input_row is None else rows_of(states, self.input_row)

    def wanted(self, states: Tensor) -> Tensor:
        """The same at the positions where the output is wanted, (..., N, P, width)."""
        if self.input_row is None:
            return self.keys(states)[..., -self.queries :, :]
        return rows_of(states, self.input_row[..., -self.queries :])


def plain_views(inputs: Tokens, layers: int, batch: int) -> list[list[View]]:
    """One view for each block: every sample has rows of its own. The last block's output is wanted at the answers."""
    return [[View(batch, inputs.length)]] * (layers - 1) + [[View(batch, inputs.answers)]]


def shared_views(inputs: Tokens, layers: int, x: Tensor) -> list[list[View]]:
    """Views of each block where samples share rows.

    The first block reads a table of every token at every position, rows (V, L). The later ones read the states of the
    first S positions, rows (V, S) by the first varying token, then those of all other positions, rows (B, L - S) by
    sample.

    Args:
        inputs: what x holds.
        layers: number of blocks.
        x: int64, (..., B, L).
    """
    batch, length, vocab = x.shape[-2], inputs.length, inputs.vocab
    first, second, *_ = (*inputs.varying, length, length)
    shared = min(second, length - inputs.answers)  # S
    first = min(first, shared)
    position, token = torch.arange(length, device=x.device), torch.arange(vocab, device=x.device)[:, None]
    prefix = torch.where(position[:shared] == first, token, x[..., :1, :shared])  # (..., V, S)
    by_token = (prefix * length + position[:shared], x * length + position)

    prefix_row = (token * shared + position[:shared]).expand_as(prefix)
    own_row = vocab * shared + torch.arange(batch * (length - shared), device=x.device).view(batch, -1)
    rows_before = x[..., first : first + 1] * shared + position[:shared]
    by_prefix = (prefix_row, torch.cat((rows_before, own_row.expand(*x.shape[:-2], -1, -1)), -1))

    views = []
    for layer in range(layers):
        of_prefixes, of_samples = by_prefix if layer else by_token
        last = layer == layers - 1
        samples = View(batch, inputs.answers if last else length - shared, of_samples)
        views.append([samples] if last or not shared else [View(vocab, shared, of_prefixes), samples])
    return views

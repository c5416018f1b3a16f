"""Models of an opponent who tries: one at a time, and many stacked by hand around batched matrix products.

A stacked model is a function of the parameters of `torch.func.stack_module_state`: those of the module of one member,
each with a leading member axis.

Shapes: E members, B samples of a batch, L tokens, D width, H heads, V classes.
"""

import math

import torch
from torch import Tensor, nn

Parameters = dict[str, Tensor]


class MLP(nn.Module):
    """Two embedded operands, one hidden layer, (B, 4) to (B, V)."""

    def __init__(self, modulus: int, width: int):
        super().__init__()
        self.embedding = nn.Embedding(modulus + 2, width)
        self.hidden = nn.Linear(2 * width, width)
        self.output = nn.Linear(width, modulus)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(self.embedding(x[:, ::2]).flatten(1))))


def stacked_mlp(p: Parameters, x: Tensor) -> Tensor:
    """`MLP` of E members, (E, B, 4) to (E, B, V)."""
    h = torch.relu(_affine(p, "hidden", _embedded(p, x[..., ::2]).flatten(2)))
    return _affine(p, "output", h)


def vector_mlp(size: int, width: int, classes: int) -> nn.Sequential:
    """One hidden layer on vectors."""
    return nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, classes))


def stacked_vector_mlp(p: Parameters, x: Tensor) -> Tensor:
    """`vector_mlp` of E members, (E, B, size) to (E, B, V)."""
    return _affine(p, "2", torch.relu(_affine(p, "0", x)))


class Block(nn.Module):
    """Pre-norm attention and feed-forward part; written out, since four tokens are too few for a fused attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(_attention(self.query_key_value(self.norm1(x)), self.heads))
        return x + self.down(torch.relu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Decoder with learned positions, (B, L) to (B, V): logits at the last position only."""

    def __init__(self, modulus: int, width: int, heads: int, layers: int):
        super().__init__()
        self.embedding = nn.Embedding(modulus + 2, width)
        self.position = nn.Parameter(torch.randn(4, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, modulus, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.norm(self.blocks(self.embedding(x) + self.position)[:, -1]))


def stacked_transformer(p: Parameters, x: Tensor, *, heads: int, layers: int) -> Tensor:
    """`Transformer` of E members, (E, B, L) to (E, B, V)."""
    shape = x.shape
    h = (_embedded(p, x) + p["position"][:, None]).flatten(1, 2)  # (E, B * L, D)
    for block in (f"blocks.{number}." for number in range(layers)):
        inner = _affine(p, f"{block}query_key_value", _normed(p, f"{block}norm1", h))
        mixed = _attention(inner.unflatten(1, shape[1:]), heads).flatten(1, 2)
        h = h + _affine(p, f"{block}mix", mixed)
        up = torch.relu(_affine(p, f"{block}up", _normed(p, f"{block}norm2", h)))
        h = h + _affine(p, f"{block}down", up)
    last = h.unflatten(1, shape[1:])[:, :, -1]
    return _normed(p, "norm", last) @ p["output.weight"].mT


def _embedded(p: Parameters, x: Tensor) -> Tensor:
    """Every member's rows of its table, by one look-up in all tables."""
    table_EVD = p["embedding.weight"]
    first_E = torch.arange(0, table_EVD.shape[0] * table_EVD.shape[1], table_EVD.shape[1], device=x.device)
    return nn.functional.embedding(x + first_E.view(-1, *(1,) * (x.dim() - 1)), table_EVD.flatten(0, 1))


def _affine(p: Parameters, name: str, h: Tensor) -> Tensor:
    """Every member's linear layer, (E, rows, in) to (E, rows, out)."""
    return torch.baddbmm(p[f"{name}.bias"][:, None], h, p[f"{name}.weight"].mT)


def _normed(p: Parameters, name: str, h: Tensor) -> Tensor:
    """Every member's layer norm, (E, rows, D)."""
    plain = nn.functional.layer_norm(h, h.shape[-1:])
    return torch.addcmul(p[f"{name}.bias"][:, None], plain, p[f"{name}.weight"][:, None])


def _attention(query_key_value: Tensor, heads: int) -> Tensor:
    """Causal attention, (..., L, 3 * D) to (..., L, D)."""
    parts = query_key_value.chunk(3, -1)
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(-3, -2) for part in parts)  # (..., H, L, D / H)
    score = q @ k.mT / math.sqrt(q.shape[-1])
    later = torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).triu(1)
    mixed = score.masked_fill(later, -torch.inf).softmax(-1) @ v
    return mixed.transpose(-3, -2).flatten(-2)

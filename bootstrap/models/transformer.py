"""Decoder-only transformer in the forms of Power et al. and of Nanda et al."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.layers import (
    Activation,
    Embedding,
    Initialization,
    LayerNorm,
    Linear,
    activate,
    normal,
    parameter,
)
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.task import Inputs, Tokens

Norm = Literal["pre", "post", "none"]
Width = Annotated[int, Field(ge=1, le=65_536)]
Layers = Annotated[int, Field(ge=1, le=100)]


@register("model", "transformer")
class Transformer(nn.Module):
    """Causal attention over tokens; logits at the answer positions only.

    The last layer forms queries, its feed-forward part and logits at the answer positions alone:
    no other position can reach the loss. Power et al. 2022 (arXiv 2201.02177): 2 layers, width 128,
    4 heads, sinusoidal positions, torch's own starting distributions (embeddings of variance 1).
    Nanda et al. 2023 (arXiv 2301.05217): 1 layer, learned positions, ``norm = "none"``,
    ``bias = false``, ``initialization = "lecun"`` (variance 1 / width). Small embeddings under a layer
    norm make its gradients large: with AdamW and decay 1 training accuracy then spikes.

    Shapes: x is int64, (E, B, L); logits are (E, B, classes), or (E, B, answers, classes).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, layers: Layers = 2, width: Width = 128,
        heads: Width = 4, feed_forward: Width | None = None, activation: Activation = "relu",
        norm: Norm = "pre", positions: Literal["learned", "sinusoidal"] = "learned", bias: bool = True,
        initialization: Initialization = "torch",
    ):  # fmt: skip
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError(
                f"model 'transformer' reads tokens, but this task gives {type(inputs).__name__.lower()} inputs. "
                "Use model 'mlp', or a task of tokens."
            )
        self.length, self.answers, self.width = inputs.length, inputs.answers, width
        std = 1.0 if initialization == "torch" else 1 / math.sqrt(width)
        self.embedding = Embedding(inputs.vocab, width, std=std)
        if positions == "learned":
            self.position = parameter((inputs.length, width), normal(std))
        else:
            self.register_buffer("sinusoid", sinusoids(inputs.length, width), persistent=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, feed_forward or 4 * width, activation, norm, bias, initialization)
            for _ in range(layers)
        )
        self.norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = Linear(width, classes, initialization=initialization, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        lead, rows = x.shape[:-2], x.shape[-2] * x.shape[-1]
        h = self.embedding(x.reshape(*lead, rows)).unflatten(-2, (x.shape[-2], self.length))
        position: Tensor = self.position if hasattr(self, "position") else self.sinusoid  # type: ignore[assignment]
        h = h + position.unsqueeze(-3)
        for number, block in enumerate(self.blocks):
            last = number == len(self.blocks) - 1
            h = block(h, queries=self.answers if last else self.length)
        logits = self.output(self.norm(h.flatten(-3, -2)))
        return logits if self.answers == 1 else logits.unflatten(-2, (-1, self.answers))


class TransformerBlock(nn.Module):
    """Attention and a feed-forward part, each around a residual stream, (..., B, L, width).

    Raises:
        ValueError: the width is no multiple of the heads.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, activation: Activation, norm: Norm, bias: bool,
        initialization: Initialization, *, causal: bool = True,
    ):  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError(
                f"width must be a multiple of heads = {heads}, got {width}. "
                f"Set model.width to {heads * (width // heads or 1)}."
            )
        self.heads, self.activation, self.order, self.causal = heads, activation, norm, causal
        self.query = Linear(width, width, initialization=initialization, bias=bias)
        self.key_value = Linear(width, 2 * width, initialization=initialization, bias=bias)
        self.mix = Linear(width, width, initialization=initialization, bias=bias)
        self.up = Linear(width, feed_forward, initialization=initialization, bias=bias)
        self.down = Linear(feed_forward, width, initialization=initialization, bias=bias)
        self.norms = nn.ModuleList(LayerNorm(width) for _ in range(0 if norm == "none" else 2))

    def forward(self, h: Tensor, *, queries: int) -> Tensor:
        """The residual stream at the last ``queries`` positions, (..., B, queries, width)."""
        length = h.shape[-2]
        last = h[..., length - queries :, :]
        seen = self._norm(0, h) if self.order == "pre" else h
        last = last + self._attend(seen, queries)
        if self.order == "post":
            last = self._norm(0, last)
        rows = last.flatten(-3, -2)
        inner = self.norms[1](rows) if self.order == "pre" else rows
        rows = rows + self.down(activate(self.up(inner), self.activation))
        if self.order == "post":
            rows = self.norms[1](rows)
        return rows.unflatten(-2, (-1, queries))

    def _norm(self, which: int, h: Tensor) -> Tensor:
        return self.norms[which](h.flatten(-3, -2)).unflatten(-2, h.shape[-3:-1])

    def _attend(self, h: Tensor, queries: int) -> Tensor:
        """Attention written out, so that the member axis stays one batched product."""
        batch, length, width = h.shape[-3:]
        last = h[..., length - queries :, :]
        q = self.query(last.flatten(-3, -2)).unflatten(-2, (batch, queries))
        k, v = self.key_value(h.flatten(-3, -2)).unflatten(-2, (batch, length)).split(width, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in (q, k, v))  # (..., B, H, L, D/H)
        score = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
        if self.causal and queries > 1:
            score = score.masked_fill(future(queries, length, h.device), -torch.inf)
        mixed = (score.softmax(-1) @ v).transpose(-3, -2).flatten(-2)
        return self.mix(mixed.flatten(-3, -2)).unflatten(-2, (batch, queries))


def future(queries: int, length: int, device: torch.device) -> Tensor:
    """True where a key lies behind its query, bool, (queries, length); queries are the last positions."""
    position = torch.arange(length, device=device)
    return position[None, :] > position[length - queries :, None]


def sinusoids(length: int, width: int) -> Tensor:
    """Position codes of Vaswani et al. 2017, float32, (length, width)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)[:, :width]

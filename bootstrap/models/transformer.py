"""Decoder-only transformer in the forms of Power et al. and of Nanda et al."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from deepboot.bootstrap.models.layers import (
    Activation,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Probability,
    activate,
    normal,
    parameter,
)
from deepboot.bootstrap.models.prefixes import SAMPLES_PER_TOKEN, View, plain_views, shared_views
from deepboot.bootstrap.registry import LATER, register
from deepboot.bootstrap.task import Inputs, Tokens

Norm = Literal["pre", "post", "none"]
Width = Annotated[int, Field(ge=1, le=65_536)]
Layers = Annotated[int, Field(ge=1, le=100)]
Dropped = Literal["both", "feed_forward"]
Starts = Literal["he", "lecun", "torch", "truncated", "width"]
FEW_KEYS = 8  # of a GPU's attention, up to which a batched matrix product would leave most of its threads idle


@register("model", "transformer")
class Transformer(nn.Module):
    """A causal transformer over tokens, with logits at the answer positions only.

    The last layer forms queries, its feed-forward part and logits at the answer positions alone:
    no other position can reach the loss. Power et al. 2022 (arXiv 2201.02177): 2 layers, width 128,
    4 heads, sinusoidal positions, torch's own starting distributions (embeddings of variance 1); in their code
    ``norm = "post"`` and ``bias = false``. Nanda et al. 2023 (arXiv 2301.05217): 1 layer, learned positions,
    ``norm = "none"``, ``bias = false`` but ``feed_forward_bias = true``, ``logits = "tokens"``, and
    ``initialization = "width"``: variance 1 / width, also of the down projection, and 1 / logits of the output's
    weights. Small embeddings under a layer norm make its gradients large: with AdamW and decay 1 training accuracy
    then spikes.

    ``attention_bias`` and ``feed_forward_bias`` say otherwise than ``bias`` for one part. With ``logits = "tokens"``
    there is a logit for every token, of which those behind the classes are never right. Power et al.'s residual
    ``dropout`` of 0.1 is on both branches of a block, or (``dropped = "feed_forward"``) on the second alone, as in
    their code; in training every sample then has states of its own.

    Args:
        layers: blocks of attention and feed-forward part.
        width: numbers of a position's state; a multiple of heads.
        heads: attention heads of a block.
        feed_forward: hidden units of the feed-forward part; 4 times the width where it is not given.
        activation: of the feed-forward part; "quadratic" is the square.
        norm: layer norm before each branch, after it, or none.
        positions: whether position vectors are learned or fixed sinusoids.
        bias: whether linear maps have biases.
        initialization: start of the weights, as in an mlp; "width" has variance 1 / width throughout.
        dropout: probability that a number of a branch is set to 0 in training.
        dropped: branches with dropout: both, or the feed-forward one alone.
        attention_bias: whether attention has biases; as `bias` where it is not given.
        feed_forward_bias: whether the feed-forward part has biases; as `bias` where it is not given.
        output_bias: whether the map to the logits has a bias.
        logits: whether there is a logit for every class, or for every token.

    Shapes: x is int64, (E, B, L); logits are (E, B, logits), or (E, B, answers, logits).
    """

    def __init__(
        self, inputs: Inputs, classes: int, *, layers: Layers = 2, width: Width = 128,
        heads: Width = 4, feed_forward: Width | None = None, activation: Activation = "relu",
        norm: Norm = "pre", positions: Literal["learned", "sinusoidal"] = "learned", bias: bool = True,
        initialization: Starts = "torch", dropout: Annotated[Probability, LATER] = 0.0,
        dropped: Annotated[Dropped, LATER] = "both", attention_bias: Annotated[bool | None, LATER] = None,
        feed_forward_bias: Annotated[bool | None, LATER] = None, output_bias: Annotated[bool, LATER] = False,
        logits: Annotated[Literal["classes", "tokens"], LATER] = "classes",
    ):  # fmt: skip
        super().__init__()
        if not isinstance(inputs, Tokens):
            raise ValueError(
                f"model 'transformer' reads tokens, but this task gives {type(inputs).__name__.lower()} inputs. "
                "Use model 'mlp', or a task of tokens."
            )
        if logits == "tokens" and not 1 < classes <= inputs.vocab:
            raise ValueError(
                f"model 'transformer' has a logit for each of {inputs.vocab} tokens, which this task's {classes} "
                'classes are not among. Set model.logits = "classes".'
            )
        self.inputs, self.logits_per_answer = inputs, inputs.vocab if logits == "tokens" else classes
        std = 1.0 if initialization == "torch" else 1 / math.sqrt(width)
        self.embedding = Embedding(inputs.vocab, width, std=std)
        if positions == "learned":
            self.position = parameter((inputs.length, width), normal(std))
        else:
            self.register_buffer("sinusoid", sinusoids(inputs.length, width), persistent=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width, heads, feed_forward or 4 * width, activation, norm, initialization,
                biases=(bias if attention_bias is None else attention_bias,
                        bias if feed_forward_bias is None else feed_forward_bias),
                dropouts=(dropout if dropped == "both" else 0.0, dropout),
            )
            for _ in range(layers)
        )  # fmt: skip
        self.shares_rows = not dropout  # else every sample has masks of its own
        self.norm = LayerNorm(width) if norm == "pre" else nn.Identity()
        self.output = _linear(width, self.logits_per_answer, initialization, output_bias, self.logits_per_answer)

    def forward(self, x: Tensor) -> Tensor:
        position: Tensor = self.position if hasattr(self, "position") else self.sinusoid  # type: ignore[assignment]
        batch, layers = x.shape[-2], len(self.blocks)
        if batch >= SAMPLES_PER_TOKEN * self.inputs.vocab and (self.shares_rows or not self.training):
            table = self.embedding.weight.unsqueeze(-2) + position.unsqueeze(-3)  # every token at every position
            h, views = table.flatten(-3, -2), shared_views(self.inputs, layers, x)
        else:
            h = (self.embedding(x) + position.unsqueeze(-3)).flatten(-3, -2)
            views = plain_views(self.inputs, layers, batch)
        for block, views_of_block in zip(self.blocks, views, strict=True):
            h = block(h, views_of_block)
        logits = self.output(self.norm(h))
        return logits if self.inputs.answers == 1 else logits.unflatten(-2, (batch, self.inputs.answers))


class TransformerBlock(nn.Module):
    """Attention and a feed-forward part, each around a residual stream of rows, (..., R, width).

    Biases and dropouts are those of the attention and of the feed-forward part.

    Raises:
        ValueError: the width is no multiple of the heads.
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, activation: Activation, norm: Norm, initialization: Starts, *,
        biases: tuple[bool, bool] = (True, True), dropouts: tuple[float, float] = (0.0, 0.0), causal: bool = True,
    ):  # fmt: skip
        super().__init__()
        if width % heads:
            raise ValueError(
                f"width must be a multiple of heads = {heads}, got {width}. "
                f"Set model.width to {heads * (width // heads or 1)}."
            )
        self.heads, self.activation, self.order, self.causal = heads, activation, norm, causal
        of_attention, of_feed_forward = biases
        self.query = _linear(width, width, initialization, of_attention, width)
        self.key_value = _linear(width, 2 * width, initialization, of_attention, width)
        self.mix = _linear(width, width, initialization, of_attention, width)
        self.up = _linear(width, feed_forward, initialization, of_feed_forward, width)
        self.down = _linear(feed_forward, width, initialization, of_feed_forward, width)
        self.norms = nn.ModuleList(LayerNorm(width) for _ in range(0 if norm == "none" else 2))
        self.dropouts = nn.ModuleList(Dropout(each) if each else nn.Identity() for each in dropouts)

    def forward(self, h: Tensor, views: Sequence[View]) -> Tensor:
        """The residual stream after this block, (..., R', width), of the one before, (..., R, width)."""
        seen = self.norms[0](h) if self.order == "pre" else h
        h = joined([view.wanted(h) for view in views]) + self.dropouts[0](self.mix(self._attend(seen, views)))
        h = self.norms[0](h) if self.order == "post" else h
        inner = self.norms[1](h) if self.order == "pre" else h
        h = h + self.dropouts[1](self.down(activate(self.up(inner), self.activation)))
        return self.norms[1](h) if self.order == "post" else h

    def _attend(self, seen: Tensor, views: Sequence[View]) -> Tensor:
        """Attention of every view, (..., R', width), written out, so that the member axis stays one batched product."""
        key_value = self.key_value(seen)
        if sum(view.rows * view.queries for view in views) > seen.shape[-2]:  # fewer products before they are read
            query = self.query(seen)
            queries = [view.wanted(query) for view in views]
        else:
            query = self.query(joined([view.wanted(seen) for view in views]))
            parts = query.split([view.rows * view.queries for view in views], -2)
            queries = [part.unflatten(-2, (view.rows, -1)) for part, view in zip(parts, views, strict=True)]
        return joined([
            self._mixed(q, *view.keys(key_value).chunk(2, -1)) for q, view in zip(queries, views, strict=True)
        ])  # fmt: skip

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Values mixed by softmax attention, (..., N, P, width), of queries (..., N, P, width)."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-3, -2) for part in (q, k, v))  # (..., N, H, P, D/H)
        product = small_product if q.is_cuda and k.shape[-2] <= FEW_KEYS else torch.matmul
        score = product(q, k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
        if self.causal and q.shape[-2] > 1:
            score = score.masked_fill(future(q.shape[-2], k.shape[-2], q.device), -torch.inf)
        return product(score.softmax(-1), v).transpose(-3, -2).flatten(-2)


def _linear(fan_in: int, out: int, initialization: Starts, bias: bool, width: int) -> Linear:
    """An affine map, which starts by its scheme, or with variance 1 / width."""
    if initialization == "width":
        return Linear(fan_in, out, initialization="lecun", bias=bias, start_as=width)
    return Linear(fan_in, out, initialization=initialization, bias=bias)


def small_product(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product, (..., P, R), of (..., P, Q) and (..., Q, R), multiplied and summed entry by entry."""
    return (left.unsqueeze(-1) * right.unsqueeze(-3)).sum(-2)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """States of all views, each (..., N, P, width), as rows, (..., R, width)."""
    rows = [part.flatten(-3, -2) for part in parts]
    return rows[0] if len(rows) == 1 else torch.cat(rows, -2)


def future(queries: int, length: int, device: torch.device) -> Tensor:
    """True where a key lies behind its query, bool, (queries, length); queries are the last positions."""
    position = torch.arange(length, device=device)
    return position[None, :] > position[length - queries :, None]


def sinusoids(length: int, width: int) -> Tensor:
    """Position codes of Vaswani et al. 2017, float32, (length, width)."""
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angle = torch.arange(length)[:, None] * rate
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)[:, :width]

"""Multi-layer perceptron, on vectors or on the operands of a token task."""

from functools import reduce
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from deepboot.bootstrap.models.convolutions import BatchNorm, per_member
from deepboot.bootstrap.models.layers import (
    Activation,
    Bias,
    Dropout,
    Embedding,
    Initialization,
    Linear,
    Probability,
    activate,
    affine,
    rows_of,
)
from deepboot.bootstrap.models.prefixes import SAMPLES_PER_TOKEN
from deepboot.bootstrap.registry import LATER, register
from deepboot.bootstrap.task import Image, Inputs, Tokens, Vector

Width = Annotated[int, Field(ge=1, le=65_536)]
Size = Annotated[int, Field(ge=0, le=65_536)]
Depth = Annotated[int, Field(ge=0, le=100)]


@register("model", "mlp")
class MLP(nn.Module):
    """A multilayer perceptron: fully connected layers with an activation between them.

    Batch norm precedes an activation and ``dropout`` follows it where they are asked for. Tokens are embedded first
    (only the positions that vary): ``embedding`` numbers per token, 0 for one-hot vectors; one table for all positions
    (``shared_embedding``) or one each; the embedded positions are concatenated, or summed after the same input weights
    (``operands = "sum"``, the tied form relu(h_a + h_b) of PAIR's modular addition). A batch with twice as many samples
    as there are tokens does the first layer's products once for each token; logits and gradients are the same up to
    rounding.

    Forms of single papers: hidden biases that are weights of an input fixed at 1 (``bias = "input"``); an output bias
    of its own (``output_bias``); for two classes one output z, with logits 0 and z (``single_logit``); a linear map to
    ``projection`` numbers between the last activation and the output, whose weights may be the embedding's rows of the
    classes (``tied``), as in PAIR's modular addition; tables, or one-hot vectors, of the tokens alone that operands can
    be (``embedded = "operands"``), without rows for signs, which are never read, but decay and count in the norm; an
    output per token, of which only the one that the last varying token names is the logit (``queried``), for a task of
    one class as ``modular_triples``; no output weights, but the mean of the last hidden units (``readout = "mean"``),
    with units that are bent a little from a line, as in Kumar et al. 2024 (arXiv 2310.06110).

    Args:
        width: units of every hidden layer.
        depth: hidden layers; 0 is a linear map.
        activation: of the hidden units; "quadratic" is the square, "bent" is z + curvature * z^2 / 2.
        bias: whether layers have biases; "input": hidden ones are the weights of an input fixed at 1.
        embedding: numbers per token, of tasks of tokens; 0 for one-hot vectors.
        shared_embedding: whether all positions share one table of embeddings.
        operands: whether embedded positions are concatenated, or summed after the same weights.
        batch_norm: whether batch norm precedes every activation.
        output_bias: whether the output has a bias; as `bias` where it is not given.
        single_logit: whether two classes share one output z, with logits 0 and z.
        embedding_std: standard deviation of the embeddings at the start.
        projection: numbers of a linear map before the output; 0: no such map.
        tied: whether the output's weights are the embedding's rows; asks for projection = embedding.
        dropout: probability that a hidden unit is set to 0 in training.
        embedded: tokens that have a row in the table: all of the task ("tokens"), or those that operands can be.
        queried: whether there is an output per token, of which the last varying token names the one that is the logit.
        readout: what is made of the last hidden units: weights that are learned, or their mean, for one real label.
        curvature: of "bent" units: 0 would be a line.

    Shapes: x is (E, B, *inputs), logits are (E, B, classes), or (E, B, answers, classes).
    """

    positions: Tensor

    def __init__(
        self, inputs: Inputs, classes: int, *, width: Width = 128, depth: Depth = 1,
        activation: Activation | Literal["bent"] = "relu", bias: Bias = True, initialization: Initialization = "he",
        embedding: Size = 128, shared_embedding: bool = True,
        operands: Literal["concat", "sum"] = "concat", batch_norm: bool = False,
        output_bias: Annotated[bool | None, LATER] = None, single_logit: Annotated[bool, LATER] = False,
        embedding_std: Annotated[PositiveFloat, LATER] = 1.0, projection: Annotated[Size, LATER] = 0,
        tied: Annotated[bool, LATER] = False, dropout: Annotated[Probability, LATER] = 0.0,
        embedded: Annotated[Literal["tokens", "operands"], LATER] = "tokens",
        queried: Annotated[bool, LATER] = False, readout: Annotated[Literal["learned", "mean"], LATER] = "learned",
        curvature: Annotated[PositiveFloat, LATER] = 0.25,
    ):  # fmt: skip
        super().__init__()
        if single_logit and classes != 2:
            raise ValueError(
                f"model 'mlp' has one logit for two classes only, this task has {classes}. "
                "Set model.single_logit = false."
            )
        if queried and not (isinstance(inputs, Tokens) and len(inputs.varying) > 1 and classes == 1):
            raise ValueError(
                "model 'mlp' can be queried for one output by the last of several tokens only, for real-valued labels, "
                f"this task has {classes} classes. Set model.queried = false."
            )
        if tied and not (isinstance(inputs, Tokens) and shared_embedding and embedding == projection > 0):
            raise ValueError(
                "model 'mlp' can tie its output to one shared embedding of tokens only, as wide as its projection. "
                f"Set model.projection = {embedding or 128} and model.shared_embedding = true, or model.tied = false."
            )
        answers = 1 if isinstance(inputs, Image) else inputs.answers
        if readout == "mean" and (classes > 1 or answers > 1):
            raise ValueError(
                "model 'mlp' can give the mean of its units for one real-valued label only, this task has "
                f'{classes} classes and {answers} answers. Set model.readout = "learned".'
            )
        if readout == "mean" and (depth == 0 or projection or queried):
            raise ValueError(
                "model 'mlp' needs a hidden layer and nothing after it to give the mean of its units, got depth = "
                f"{depth}, projection = {projection} and queried = {str(queried).lower()}. "
                "Set model.depth = 1, model.projection = 0 and model.queried = false."
            )
        self.activation, self.curvature, self.readout = activation, curvature, readout
        self.operands, self.classes = operands, classes
        self.query: int | None = None
        self.answers, self.vocab = 1, 0
        self.varying: tuple[int, ...] = ()
        if isinstance(inputs, Tokens):
            if inputs.shows_answers:
                raise ValueError(
                    "model 'mlp' reads all positions at once, but this task shows earlier answers in its input. "
                    "Set task.shows_answers = false or use a causal model such as 'transformer'."
                )
            self.answers, self.varying = inputs.answers, inputs.varying
            if queried:
                *others, self.query = inputs.varying
                self.varying = tuple(others)
            self.vocab = inputs.operands or inputs.vocab if embedded == "operands" else inputs.vocab
            size = embedding or self.vocab
            tables = 0 if not embedding else 1 if shared_embedding else len(self.varying)
            self.embeddings = nn.ModuleList(Embedding(self.vocab, embedding, std=embedding_std) for _ in range(tables))
            fan_in = size if operands == "sum" else size * len(self.varying)
            # on the device, since an index that comes from the host is copied at every step
            self.register_buffer("positions", torch.tensor(self.varying), persistent=False)
        elif isinstance(inputs, Vector):
            self.answers, fan_in = inputs.answers, inputs.size
        else:
            fan_in = _pixels(inputs)
        widths = [fan_in, *[width] * depth]
        self.hidden = nn.ModuleList(Linear(a, b, bias=bias, initialization=initialization) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(BatchNorm(each) for each in widths[1:]) if batch_norm else None
        self.dropouts = nn.ModuleList(Dropout(dropout) for _ in range(depth)) if dropout else None
        self.single_logit, outputs = single_logit, 1 if single_logit else self.answers * classes
        outputs = self.vocab if queried else outputs
        self.projection = (
            Linear(widths[-1], projection, bias=False, initialization=initialization) if projection else None
        )
        has_bias = bool(bias) if output_bias is None else output_bias
        last = projection or widths[-1]
        has_output = not tied and readout == "learned"
        self.output = Linear(last, outputs, bias=has_bias, initialization=initialization) if has_output else None

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self._layers()
        if self.varying and x.shape[-2] >= SAMPLES_PER_TOKEN * self.vocab:
            h = self._by_token(x, first)
        else:
            h = first(self._embed(x, first.weight.dtype) if self.varying else x.flatten(2))
        for index, layer in enumerate(others):
            h = layer(self._units(h, index))
        if self.readout == "mean":
            return self._units(h, len(others)).mean(-1, keepdim=True)
        logits = self._logits(h)
        return logits if self.query is None else logits.gather(-1, x[..., self.query, None])

    def _units(self, h: Tensor, index: int) -> Tensor:
        """What the units of a hidden layer give, by its place, of their inputs."""
        if self.norms is not None:
            h = per_member(self.norms[index](h.transpose(0, 1).flatten(1)), len(h))
        h = activate(h, self.activation, self.curvature)
        return h if self.dropouts is None else self.dropouts[index](h)

    def _layers(self) -> list[Linear]:
        """The layers with an activation before each but the first: all, or all up to the projection or the mean."""
        last = self.output if self.projection is None else self.projection
        return [layer for layer in (*self.hidden, last) if isinstance(layer, Linear)]

    def _logits(self, h: Tensor) -> Tensor:
        """Logits of the last layer's outputs, or of what its projection gives."""
        if self.output is None:
            h = affine(h, self._table()[..., : self.classes, :])
        elif self.projection is not None:
            h = self.output(h)
        if self.single_logit:
            h = torch.cat((torch.zeros_like(h), h), -1)
        return h if self.answers == 1 else h.unflatten(-1, (self.answers, self.classes))

    def _by_token(self, x: Tensor, first: Linear) -> Tensor:
        """The first layer of the embedded operands, with a product for each token instead of one for each sample.

        The layer is linear, so an operand adds what its token contributes at its position, whatever the others are.
        """
        operands = len(self.varying)
        weights = [first.weight] * operands if self.operands == "sum" else first.weight.chunk(operands, -1)
        if self.embeddings:
            contributions = [affine(self._table(operand), weight) for operand, weight in enumerate(weights)]
        else:
            contributions = [weight.mT for weight in weights]
        # not by embedding_bag, whose gradient is summed in an order that differs between equal members on a CPU
        tokens = x[..., self.positions].unbind(-1)
        h = reduce(torch.add, (rows_of(table, token) for table, token in zip(contributions, tokens, strict=True)))
        return h if first.bias is None else h + first.bias

    def _table(self, operand: int = 0) -> Tensor:
        """The embedding of an operand, which all may share."""
        embedding = self.embeddings[operand % len(self.embeddings)]
        assert isinstance(embedding, Embedding)
        return embedding.weight

    def _embed(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        if len(self.embeddings) == 1:  # one table: look all operands up at once
            evenly = _evenly(self.varying)
            token = x[..., self.positions if evenly is None else evenly]
            rows = self.embeddings[0](token.flatten(-2)).unflatten(-2, token.shape[-2:])
            return rows.sum(-2) if self.operands == "sum" else rows.flatten(-2)
        parts = []
        for index, position in enumerate(self.varying):
            if not self.embeddings:
                parts.append(nn.functional.one_hot(x[..., position], self.vocab).to(dtype))
            else:
                parts.append(self.embeddings[index](x[..., position]))
        return torch.stack(parts).sum(0) if self.operands == "sum" else torch.cat(parts, -1)


def _evenly(positions: tuple[int, ...]) -> slice | None:
    """The positions as a slice, which copies nothing; None where they are not evenly spaced."""
    stride = positions[1] - positions[0] if len(positions) > 1 else 1
    spaced = range(positions[0], positions[-1] + 1, stride) if stride > 0 else ()
    return slice(positions[0], positions[-1] + 1, stride) if tuple(spaced) == positions else None


def _pixels(image: Image) -> int:
    return image.channels * image.height * image.width

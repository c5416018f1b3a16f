"""The studies that are raced, and the naive PyTorch loop: the shortest honest one, by a person in no hurry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack
from deepboot.runners.bench.opponent_models import (
    MLP,
    Parameters,
    Transformer,
    stacked_mlp,
    stacked_transformer,
    stacked_vector_mlp,
    vector_mlp,
)


class PlainMLP(MLP):
    """The opponent's network with its operands picked by a list, which is copied at every step."""

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.relu(self.hidden(self.embedding(x[:, [0, 2]]).flatten(1))))


class PlainTransformer(nn.Module):
    """torch's own encoder layers with a causal mask; logits at the last position, formed there or at all four."""

    def __init__(self, modulus: int, width: int, heads: int, layers: int, *, everywhere: bool):
        super().__init__()
        self.everywhere = everywhere
        self.embedding = nn.Embedding(modulus + 2, width)
        self.position = nn.Parameter(torch.randn(4, width))
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.output = nn.Linear(width, modulus, bias=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.blocks(self.embedding(x) + self.position, mask=self.mask, is_causal=True)
        return self.output(hidden)[:, -1] if self.everywhere else self.output(hidden[:, -1])


def plain_cnn(width: int) -> nn.Module:
    """Four convolutions with batch norm and ReLU, halving the image three times; the maximum; a linear map."""
    layers: list[nn.Module] = []
    for place, (fan_in, out) in enumerate(pairwise((3, width, 2 * width, 4 * width, 8 * width))):
        layers += [nn.Conv2d(fan_in, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if place else []
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10))


class PlainBlock(nn.Module):
    """Pre-activation residual block."""

    def __init__(self, fan_in: int, out: int, stride: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(fan_in), nn.BatchNorm2d(out)
        self.conv1 = nn.Conv2d(fan_in, out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(fan_in, out, 1, stride, bias=False) if stride > 1 or fan_in != out else None

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm1(x))
        kept = x if self.shortcut is None else self.shortcut(h)
        return kept + self.conv2(torch.relu(self.norm2(self.conv1(h))))


def plain_resnet() -> nn.Module:
    """Pre-activation ResNet-18 for images of 32 x 32."""
    blocks = [PlainBlock(a, b, s) for a, b, s in (
        (64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1),
        (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1),
    )]  # fmt: skip
    head = [nn.BatchNorm2d(512), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), *blocks, *head)


@dataclass(frozen=True)
class Contest:
    """The same model three times: as a study for the harness, for the naive loop, and for an opponent who tries.

    Attributes:
        study: one real run, as raw tables.
        module: makes the naive loop's model.
        tried: makes an opponent's model of one member.
        stacked: an opponent's models of many members.
        fresh: fills a tensor with fresh inputs and returns their labels, for the ideal world; None: a finite universe,
            in which the ideal world reads all training cells.
        members: runs that are raced in all, at most; None: as many as are trained fastest.
        pairs: whether half of them are the ideal partners of the other half.
    """

    study: dict[str, Any]
    module: Callable[[], nn.Module]
    tried: Callable[[], nn.Module]
    stacked: Callable[[Parameters, Tensor], Tensor]
    fresh: Callable[[Tensor], Tensor] | None = None
    members: int | None = None
    pairs: bool = False

    @property
    def adamw_settings(self) -> dict[str, Any]:
        """What torch.optim.AdamW is called with."""
        return {key: self.study["optimizer"][key] for key in ("lr", "weight_decay", "betas")}

    def runs(self, members: int = 1) -> list[Run]:
        """The study's runs, so many in all."""
        training = {"seeds": members // 2 if self.pairs else members, "ideal": self.pairs}
        return runs_of({**self.study, "training": {**self.study["training"], **training}})


def _study(task: dict[str, Any], model: dict[str, Any], optimizer: dict[str, Any], **training: Any) -> dict[str, Any]:
    return {
        "question": "How fast is it?", "task": task, "model": model, "optimizer": {"name": "adamw", **optimizer},
        "training": {"seeds": 1, "ideal": False, **training},
    }  # fmt: skip


def _addition(model: dict[str, Any], batch: int) -> dict[str, Any]:
    return _study(
        {"name": "binary_operations", "operation": "x+y", "modulus": 97}, model,
        {"lr": 1e-3, "weight_decay": 1.0, "betas": [0.9, 0.98]},
        train_fraction=0.5, batch_size=batch, max_steps=10_000,
    )  # fmt: skip


def fresh_parity(x: Tensor, relevant: int = 3) -> Tensor:
    """Fill a tensor with fair bits and return the parities of the first few of each vector."""
    return x.random_(2)[..., :relevant].sum(-1).long() & 1


MLP_TABLE = {"name": "mlp", "width": 128}
PARITY_STUDY = _study(
    {"name": "sparse_parity", "num_bits": 30, "num_relevant": 3}, MLP_TABLE,
    {"lr": 3e-3, "weight_decay": 0.3, "betas": [0.99, 0.98]},
    train_size=1_250, batch_size="full", max_steps=4_000,
)  # fmt: skip

MLP_512, MLP_64 = (
    Contest(_addition(MLP_TABLE, batch), lambda: PlainMLP(97, 128), lambda: MLP(97, 128), stacked_mlp)
    for batch in (512, 64)
)
PARITY = Contest(
    PARITY_STUDY, lambda: vector_mlp(30, 128, 2), lambda: vector_mlp(30, 128, 2), stacked_vector_mlp, fresh_parity
)
TRANSFORMER, TRANSFORMER_EVERYWHERE = (
    Contest(
        _addition({"name": "transformer"}, 512),
        partial(PlainTransformer, 97, 128, 4, 2, everywhere=everywhere),
        lambda: Transformer(97, 128, 4, 2),
        partial(stacked_transformer, heads=4, layers=2),
    )
    for everywhere in (False, True)
)

ALONE = {"mlp": MLP_512, "transformer": TRANSFORMER}
PACKED = {
    "addition, batch 64": MLP_64,
    "addition, batch 512": MLP_512,
    "parity, batch 1,250": PARITY,
    "transformer, batch 512": TRANSFORMER_EVERYWHERE,
}
PAIRED = {
    f"{name}, {'8 pairs' if pairs else '16 real runs'}": replace(PACKED[name], members=16, pairs=pairs)
    for name in ("addition, batch 64", "parity, batch 1,250")
    for pairs in (False, True)
}
CONTESTS = ALONE | PACKED | PAIRED


def plain_loop(contest: Contest, device: str = "cpu") -> Callable[[int], None]:
    """The naive loop over one real run, on the same pool, reshuffled every pass unless the batch is all of it."""
    (specification,) = replace(contest, pairs=False).runs()
    pool = Pack([specification], Execution(device=device)).data.groups[0].pool
    assert pool is not None
    torch.manual_seed(0)
    x, y = pool.x[0], pool.y[0].flatten()
    x = x.float() if x.dtype == torch.int32 else x
    model = contest.module().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), **contest.adamw_settings)
    batch = specification.batch_size

    def loop(steps: int) -> None:
        order, place = torch.randperm(len(x), device=device), 0
        for _ in range(steps):
            if batch == len(x):
                inputs, labels = x, y
            else:
                if place + batch > len(x):
                    order, place = torch.randperm(len(x), device=device), 0
                chosen = order[place : place + batch]
                place += batch
                inputs, labels = x[chosen], y[chosen]
            loss = nn.functional.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return loop

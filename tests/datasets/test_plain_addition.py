"""Plain addition: its cells by counting, and the network of Liu et al. by a plain loop with two optimizers."""

import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.plain_addition import PlainAddition


def study(**changes):
    """The paper's decoder with an embedding of one number, of a rate of its own and without decay; 45 of 55 pairs."""
    rate = 1e-2
    raw = {
        "question": "Is this a test?",
        "task": {"name": "plain_addition"},
        "model": {
            "name": "mlp", "width": 200, "depth": 2, "activation": "tanh", "initialization": "torch", "embedding": 1,
            "embedding_std": 1 / math.sqrt(12), "operands": "sum",
        },
        "optimizer": {"name": "adamw", "lr": rate},
        "data": {"test_set": "rest"},
        "training": {
            "train_size": 45, "batch_size": "full", "max_steps": 6, "seeds": 1, "ideal": False,
            "layers": {"embeddings": {"lr": 1e-3 / rate, "weight_decay": 0.0}},
        },
        "sweep": {"optimizer.weight_decay": [0.0, 8.0]},
    }  # fmt: skip
    return {**raw, **changes}


class Decoder(nn.Module):
    """A table of one number per token, summed, and two hidden layers of tanh."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 1)
        self.decoder = nn.Sequential(
            nn.Linear(1, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh(), nn.Linear(200, 19)
        )  # fmt: skip

    def forward(self, pairs):
        return self.decoder(self.table(pairs[:, 0]) + self.table(pairs[:, 1]))


@pytest.mark.parametrize("numbers", [2, 3, 10])
def test_cells_are_all_unordered_pairs_with_their_sums(numbers):
    """Every pair once; every sum from 0 to twice the largest number is a class that occurs."""
    task = PlainAddition(numbers=numbers)
    x, y = task.cells(torch.arange(task.size))
    pairs = [(a, b) for b in range(numbers) for a in range(b + 1)]
    assert [tuple(pair) for pair in x.tolist()] == pairs
    assert y.tolist() == [a + b for a, b in pairs]
    assert sorted(set(y.tolist())) == list(range(task.classes))
    assert task.mirror(torch.arange(2)) is None
    assert task.show(x[-1], y[-1]) == f"{numbers - 1} + {numbers - 1} = {2 * numbers - 2}"


def test_the_decoder_of_liu_et_al_is_trained_as_with_two_optimizers():
    """Members of a pack differ in their decay; Adam has the embedding and AdamW the decoder, as in the paper's code."""
    pack = Pack(runs_of(study()))
    start, block = pack.member_step.stack.named(pack.param_EP.clone()), pack.data.block(0, 1)
    train_steps(pack, 6)
    after = pack.member_step.stack.named(pack.param_EP)
    for member, decay in enumerate((0.0, 8.0)):
        plain = Decoder()
        layers = plain.decoder[::2]
        names = {"embeddings.0.weight": plain.table.weight}
        for name, layer in zip(("hidden.0", "hidden.1", "output"), layers, strict=True):
            names |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
        with torch.no_grad():
            for name, tensor in names.items():
                tensor.copy_(start[name][member].view_as(tensor))
        embedding = torch.optim.Adam(plain.table.parameters(), lr=1e-3)
        decoder = torch.optim.AdamW(plain.decoder.parameters(), lr=1e-2, weight_decay=decay)
        assert len(block.y[member, 0]) == 45
        for _ in range(6):
            for optimizer in (embedding, decoder):
                optimizer.zero_grad()
            functional.cross_entropy(plain(block.x[member, 0]), block.y[member, 0]).backward()
            embedding.step()
            decoder.step()
        for name, tensor in names.items():
            torch.testing.assert_close(after[name][member].view_as(tensor), tensor.detach(), rtol=1e-3, atol=1e-5)


def test_two_numbers_are_the_fewest():
    """Of one there is nothing to learn."""
    sentence = "`task.numbers`: expected a number at least 2, got 1. Change it."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}"):
        runs_of(study(task={"name": "plain_addition", "numbers": 1}))

"""The networks of the grokking papers, as a study names them, against plain modules of torch written by hand."""

import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Tokens
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from tests.bootstrap.conftest import parity
from tests.bootstrap.models.test_models import Given


class Block(nn.Module):
    """Attention and feed-forward part of width D, each followed by layer norm where there is one."""

    def __init__(self, width, *, norm, feed_forward_bias):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up = nn.Linear(width, 4 * width, bias=feed_forward_bias)
        self.down = nn.Linear(4 * width, width, bias=feed_forward_bias)
        self.norms = nn.ModuleList(nn.LayerNorm(width) if norm else nn.Identity() for _ in range(2))

    def forward(self, h):
        heads = [part(h).unflatten(-1, (4, -1)).transpose(1, 2) for part in (self.q, self.k, self.v)]
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).flatten(2)
        h = self.norms[0](h + self.o(mixed))
        return self.norms[1](h + self.down(self.up(h).relu()))

    def pairs(self, block):
        """Own parameters, each with the name of the harness."""
        key_value = torch.cat((self.k.weight, self.v.weight))
        named = {"query": self.q.weight, "key_value": key_value, "mix": self.o.weight}
        named |= {"up": self.up.weight, "down": self.down.weight}
        named = {f"{name}.weight": tensor for name, tensor in named.items()}
        if self.up.bias is not None:
            named |= {"up.bias": self.up.bias, "down.bias": self.down.bias}
        for index, norm in enumerate(self.norms):
            named |= {f"norms.{index}.{name}": tensor for name, tensor in norm.named_parameters()}
        return {f"{block}.{name}": tensor for name, tensor in named.items()}


class Power(nn.Module):
    """The decoder of Power et al.'s code: norms after the sums, no biases, sines for positions."""

    def __init__(self, vocab=13):
        super().__init__()
        self.embedding, self.out = nn.Embedding(vocab, 128), nn.Linear(128, vocab, bias=False)
        self.blocks = nn.ModuleList(Block(128, norm=True, feed_forward_bias=False) for _ in range(2))

    def forward(self, x):
        angle = torch.arange(4)[:, None] / 10_000 ** (torch.arange(128) // 2 * 2 / 128)
        h = self.embedding(x) + torch.where(torch.arange(128) % 2 == 0, angle.sin(), angle.cos())
        for block in self.blocks:
            h = block(h)
        return self.out(h[:, -1])

    def pairs(self):
        named = {"embedding.weight": self.embedding.weight, "output.weight": self.out.weight}
        return named | self.blocks[0].pairs("blocks.0") | self.blocks[1].pairs("blocks.1")


class Nanda(nn.Module):
    """One layer, no norms, learned positions, biases in the feed-forward part alone."""

    def __init__(self, vocab=12):
        super().__init__()
        self.embedding, self.out = nn.Embedding(vocab, 128), nn.Linear(128, vocab, bias=False)
        self.position = nn.Parameter(torch.empty(3, 128))
        self.block = Block(128, norm=False, feed_forward_bias=True)

    def forward(self, x):
        return self.out(self.block(self.embedding(x) + self.position)[:, -1])

    def pairs(self):
        named = {"embedding.weight": self.embedding.weight, "position": self.position, "output.weight": self.out.weight}
        return named | self.block.pairs("blocks.0")


class Parity(nn.Module):
    """PAIR's network of "01 sequences": a hidden bias that is the weight of an input of 1, one logit without bias."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(31, 16, bias=False), nn.Linear(16, 1, bias=False)

    def forward(self, x):
        logit = self.out(self.hidden(torch.cat((x, torch.ones(len(x), 1)), 1)).relu())
        return torch.cat((torch.zeros_like(logit), logit), 1)

    def pairs(self):
        weight = self.hidden.weight
        return {"hidden.0.weight": weight[:, :30], "hidden.0.bias": weight[:, 30], "output.weight": self.out.weight}


class Tied(nn.Module):
    """PAIR's modular addition: an embedding of p rows, shared by operands and output."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 50)
        self.hidden, self.projection = nn.Linear(50, 24, bias=False), nn.Linear(24, 50, bias=False)

    def forward(self, x):
        h = (self.hidden(self.embedding(x[:, 0])) + self.hidden(self.embedding(x[:, 2]))).relu()
        return self.projection(h) @ self.embedding.weight.T

    def pairs(self):
        named = {"embeddings.0": self.embedding, "hidden.0": self.hidden, "projection": self.projection}
        return {f"{name}.weight": module.weight for name, module in named.items()}


class Quadratic(nn.Module):
    """V (W [e_a; e_b])² of Mohamadi et al."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(22, 44, bias=False), nn.Linear(44, 11, bias=False)

    def forward(self, x):
        pair = torch.cat([functional.one_hot(x[:, place], 11).float() for place in (0, 2)], 1)
        return self.last(self.first(pair) ** 2)

    def pairs(self):
        return {"hidden.0.weight": self.first.weight, "output.weight": self.last.weight}


ADDITION = {"name": "binary_operations", "operation": "x+y", "modulus": 11}
TRANSFORMER = {"name": "transformer", "bias": False, "logits": "tokens"}
STUDIES = {
    Power: {"task": ADDITION, "model": {**TRANSFORMER, "norm": "post", "positions": "sinusoidal"}},
    Nanda: {
        "task": {**ADDITION, "tokens": "x y ="},
        "model": {
            **TRANSFORMER, "layers": 1, "norm": "none", "feed_forward_bias": True, "initialization": "width",
        },
    },
    Parity: {
        "task": {"name": "sparse_parity", "num_bits": 30, "num_relevant": 3},
        "model": {"name": "mlp", "width": 16, "bias": "input", "output_bias": False, "single_logit": True},
    },
    Tied: {
        "task": ADDITION,
        "model": {
            "name": "mlp", "width": 24, "operands": "sum", "bias": False, "embedding": 50, "embedded": "operands",
            "projection": 50, "tied": True,
        },
    },
    Quadratic: {
        "task": ADDITION,
        "model": {
            "name": "mlp", "width": 44, "embedding": 0, "embedded": "operands", "activation": "quadratic",
            "bias": False,
        },
        "loss": {"name": "mse", "target": 11},
        "optimizer": {"name": "sgd", "lr": 0.01},
    },
}  # fmt: skip


def pack_of(network, **changes):
    """A pack of one run of a paper's network."""
    return Pack(runs_of(parity(**STUDIES[network], **changes, training__ideal=False)))


def with_weights_of(pack, network):
    """The plain network with the weights of a pack's only member."""
    plain = network()
    own = pack.member_step.stack.named(pack.param_EP)
    targets = plain.pairs()
    assert targets.keys() == own.keys()
    with torch.no_grad():
        if isinstance(plain, Power | Nanda):
            blocks = plain.blocks if isinstance(plain, Power) else [plain.block]
            for index, block in enumerate(blocks):  # the harness has keys and values in one product
                key, value = own[f"blocks.{index}.key_value.weight"][0].chunk(2)
                block.k.weight.copy_(key)
                block.v.weight.copy_(value)
        for name, target in targets.items():
            if not name.endswith("key_value.weight"):
                target.copy_(own[name][0].view_as(target))
    return plain


@pytest.mark.parametrize("network", list(STUDIES))
@pytest.mark.parametrize("steps", [0, 3])
def test_a_papers_network_is_the_one_written_by_hand(network, steps):
    """As many parameters, and equal logits at the start and after a few steps, in batches large and small."""
    pack = pack_of(network)
    train_steps(pack, steps)
    plain = with_weights_of(pack, network)
    assert pack.member_step.stack.size == sum(parameter.numel() for parameter in plain.parameters())
    x = pack.source.test().x
    for batch in (x[:, :5], x.repeat(1, 4, *[1] * (x.dim() - 2))):
        torch.testing.assert_close(pack.logits(slice(0, 1), batch)[0], plain(batch[0]), rtol=1e-4, atol=1e-5)


def test_the_regression_of_mohamadi_is_mse_with_the_modulus_as_target():
    """The gradient step of the harness is that of the mean squared distance to p at the sum and 0 elsewhere."""
    pack = pack_of(Quadratic, training__batch_size="full")
    plain = with_weights_of(pack, Quadratic)
    block = pack.data.block(0, 1)
    x, y = block.x[0, 0], block.y[0, 0]
    target = 11.0 * ((x[:, 0] + x[:, 2]).remainder(11)[:, None] == torch.arange(11))
    assert torch.equal(target.argmax(1), y)
    (plain(x) - target).square().mean().backward()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(parameter.grad, alpha=-0.01)
    train_steps(pack, 1)
    after = pack.member_step.stack.named(pack.param_EP)
    for name, tensor in plain.pairs().items():
        torch.testing.assert_close(after[name][0], tensor.detach(), rtol=1e-4, atol=1e-6)


def test_nandas_weights_start_with_the_variance_of_their_width_and_of_their_tokens():
    """1/128 everywhere, the down projection too; 1/114 in the unembedding; biases at 0."""
    raw = parity(**STUDIES[Nanda], task__modulus=113, training__ideal=False)
    weights = Pack(runs_of(raw)).weights(0)
    assert sum(tensor.numel() for tensor in weights.values()) == 2 * 114 * 128 + 3 * 128 + 12 * 128**2 + 5 * 128
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert not tensor.any()
        else:
            wanted = 1 / 114 if name.startswith("output") else 1 / 128
            assert math.isclose(tensor.var(), wanted, rel_tol=5 / math.sqrt(tensor.numel())), name


@pytest.mark.parametrize("network", [Power, Nanda])
def test_a_logit_that_no_class_has_takes_part_in_the_loss(network):
    """Softmax runs over all tokens, those of the signs too, and metrics are those of all logits."""
    pack = pack_of(network)
    logits, test = pack.logits(slice(0, 1), pack.source.test().x)[0], pack.source.test()
    assert logits.shape[1] == (13 if network is Power else 12)
    (row,) = Evaluator(pack).rows()
    assert row["test_loss"] == pytest.approx(functional.cross_entropy(logits, test.y[0]).item(), rel=1e-5)
    assert row["test_error"] == pytest.approx((logits.argmax(1) != test.y[0]).float().mean().item())


@pytest.mark.parametrize("part", ["attention", "feed_forward", "output"])
def test_each_part_of_a_transformer_has_a_bias_of_its_own_choice(part):
    """The setting of one part adds or removes its biases and no others."""
    inputs = Given(inputs=Tokens(9, 4, (0, 2)))
    own = {"attention": ("query", "key_value", "mix"), "feed_forward": ("up", "down"), "output": ("output",)}[part]

    def biased(**settings):
        names = Stack("transformer", {"layers": 1, "norm": "none", **settings}, inputs).names
        return {name.removesuffix(".bias").rpartition(".")[2] for name in names if name.endswith("bias")}

    assert biased(bias=False, **{f"{part}_bias": True}) == set(own)
    assert biased(bias=True, **{f"{part}_bias": False}) == {"query", "key_value", "mix", "up", "down"} - set(own)


@pytest.mark.parametrize("settings", [{"embedding": 0}, {"embedding": 5}, {"embedding": 5, "shared_embedding": False}])
def test_tables_of_operands_are_those_of_all_tokens_without_their_last_rows(settings):
    """The rows of the signs are never read: without them the logits are equal."""
    model = {"name": "mlp", "width": 8, "operands": "concat", **settings}
    every, operands = (
        Pack(runs_of(parity(task=ADDITION, model={**model, "embedded": embedded}, training__ideal=False)))
        for embedded in ("tokens", "operands")
    )
    more, fewer = (pack.member_step.stack.named(pack.param_EP) for pack in (every, operands))
    for name, tensor in fewer.items():
        whole = more[name]
        if name.startswith("embeddings"):
            tensor.copy_(whole[:, :11])
        elif tensor.shape != whole.shape:  # one-hot operands, beside each other
            tensor.copy_(whole.unflatten(-1, (2, 13))[..., :11].flatten(-2))
        else:
            tensor.copy_(whole)
    for count in (5, 40):
        x = every.source.test().x.repeat(1, 2, 1)[:, :count]
        torch.testing.assert_close(*(pack.logits(slice(0, 1), x) for pack in (every, operands)))


def test_forms_of_papers_leave_runs_without_them_as_they_were():
    """At their defaults the settings are no part of the identity."""
    for task, model in [
        ({**ADDITION, "tokens": "x op y ="}, {"name": "mlp", "embedded": "tokens"}),
        (ADDITION, {"name": "transformer", "dropped": "both", "logits": "classes", "output_bias": False}),
    ]:
        bare = runs_of(parity(task=ADDITION, model={"name": model["name"]}))
        assert [run.run_id for run in runs_of(parity(task=task, model=model))] == [run.run_id for run in bare]


def test_logits_of_tokens_need_the_classes_among_them():
    """Real-valued labels, or more classes than tokens, are refused with the cure."""
    for classes in (1, 10):
        sentence = (
            f"model 'transformer' has a logit for each of 9 tokens, which this task's {classes} classes are not among. "
            'Set model.logits = "classes".'
        )
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            Stack("transformer", {"logits": "tokens"}, Given(inputs=Tokens(9, 4, (0, 2)), classes=classes))


def test_operations_are_shown_in_one_of_two_forms():
    """Any other is refused."""
    with pytest.raises(StudyError) as caught:
        runs_of(parity(task={**ADDITION, "tokens": "x y"}))
    assert caught.value.problems == ["`task.tokens`: expected 'x op y =' or 'x y =', got 'x y'. Choose one of these."]

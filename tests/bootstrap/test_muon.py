"""Muon against torch.optim, and against a plain network's updates by singular value decompositions."""

import functools
import math
import re

import pytest
import torch

from deepboot.bootstrap import optimizers, streams
from deepboot.bootstrap.muon import Muon, orthogonalized
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.coefficients import learning_rate_factor
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.runners import builtins
from deepboot.runners.run.packing import pack_key
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.alone import trained_as_alone
from tests.bootstrap.training.plain import trained_by_torch

builtins.load()
STEPS = 25
SCALES = ("original", "match_rms_adamw", "spectral_unclamped")
MUON = {"name": "muon", "lr": 0.03, "momentum": 0.9, "weight_decay": 0.1, "adam_lr": 0.01, "betas": [0.9, 0.98]}
DEEP = {"name": "mlp", "width": 12, "depth": 2, "embedding": 4}
ADDITION = {
    "task": {"name": "binary_operations", "modulus": 7}, "data": {"test_fraction": 0.3}, "model": DEEP,
}  # fmt: skip
HIDDEN = ("hidden.0.weight", "hidden.1.weight")


def runs(**changes):
    """The runs of a study of a network with embeddings and two hidden layers, of a tall and a square matrix."""
    changes = {"optimizer": MUON, "training__dtype": "float64", "training__max_steps": STEPS, **ADDITION, **changes}
    return runs_of(parity(**changes))


def quintic(value):
    """What five iterations make of a singular value."""
    for _ in range(5):
        value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
    return value


def by_decomposition(matrix_RC):
    """A matrix with the singular values that the iterations give it, from a decomposition of it."""
    left, values, right = torch.linalg.svd(matrix_RC, full_matrices=False)
    return left @ torch.diag(quintic(values / values.norm())) @ right


@pytest.mark.parametrize("shape", [(5, 5), (4, 9), (9, 4), (2, 30)])
def test_iterations_change_singular_values_alone(shape):
    """Each is what the quintic makes of it; those above a six-hundredth of the norm come to lie near 1."""
    key_E2 = streams.keys([0, 1, 2], "init")
    flat_EP = streams.normal(key_E2, torch.zeros(3, 1, dtype=torch.int64), math.prod(shape))[:, 0].double()
    matrix_ERC = flat_EP.unflatten(1, shape)
    found_ERC = orthogonalized(matrix_ERC)
    for member in range(3):
        torch.testing.assert_close(found_ERC[member], by_decomposition(matrix_ERC[member]), rtol=0, atol=1e-12)
        assert torch.equal(orthogonalized(matrix_ERC[member : member + 1])[0], found_ERC[member])
    values = quintic(torch.logspace(math.log10(0.0016), 0, 1_000, dtype=torch.float64))
    assert 0.68 < values.min() < values.max() < 1.21


def test_a_zero_momentum_stays_zero():
    """And one far below 1e-7 is not scaled up to 1."""
    assert not orthogonalized(torch.zeros(2, 3, 4)).any()
    assert orthogonalized(torch.full((1, 3, 4), 1e-12)).abs().max() < 0.01


class Plain(torch.optim.Optimizer):
    """Muon of one network, with every matrix decomposed, and AdamW written out for all else."""

    def __init__(self, leaves, factor, scheduled=lambda step: 1.0, layers=lambda name: (1.0, 1.0)):
        super().__init__(leaves.values(), {})
        self.leaves, self.factor, self.scheduled, self.layers = leaves, factor, scheduled, layers
        self.means = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        self.squares = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        self.steps = 0

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for name, leaf in self.leaves.items():
            lr_factor, decay_factor = self.layers(name)
            mean, square, g = self.means[name], self.squares[name], leaf.grad
            rate = lr_factor * self.scheduled(self.steps) * (0.03 if name in HIDDEN else 0.01)
            leaf.mul_(1 - rate * 0.1 * decay_factor)
            if name in HIDDEN:
                mean += 0.1 * (g - mean)
                leaf.sub_(rate * self.factor(*leaf.shape) * by_decomposition(0.1 * g + 0.9 * mean))
            else:
                mean += 0.1 * (g - mean)
                square += 0.02 * (g * g - square)
                corrected = mean / (1 - 0.9**self.steps)
                leaf.sub_(rate * corrected / ((square / (1 - 0.98**self.steps)).sqrt() + 1e-10))


FACTORS = {
    "original": lambda rows, columns: max(1, rows / columns) ** 0.5,
    "match_rms_adamw": lambda rows, columns: 0.2 * max(rows, columns) ** 0.5,
    "spectral_unclamped": lambda rows, columns: (rows / columns) ** 0.5,
}


@pytest.fixture(params=[False, True])
def fused(request, monkeypatch):
    """Whether AdamW's updates are those of torch's own kernel."""
    monkeypatch.setattr(optimizers, "FUSED_PARAMETERS", 1 if request.param else 1 << 62)


@pytest.mark.parametrize("scale", SCALES)
def test_training_follows_a_plain_network(scale, fused):
    """25 steps in float64, the hidden matrices by decompositions, all else by AdamW with its own rate."""
    (run,) = runs(optimizer={**MUON, "scale": scale}, training__ideal=False)
    pack = Pack([run])
    assert set(HIDDEN) < set(pack.member_step.stack.names)
    start_P = pack.param_EP[0].clone()
    train_steps(pack, STEPS)
    expected_P = trained_by_torch(run, STEPS, lambda leaves: Plain(leaves, FACTORS[scale]))
    assert (expected_P - start_P).norm() > 0.3
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_training_follows_torchs_muon(scale, monkeypatch):
    """Which computes in float64 too, where bfloat16 is taken to be that."""
    (run,) = runs(optimizer={**MUON, "scale": scale}, training__ideal=False)
    pack = Pack([run])
    train_steps(pack, STEPS)

    class Both(torch.optim.Optimizer):
        """Torch's Muon for the hidden matrices, its AdamW for all else."""

        def __init__(self, leaves):
            super().__init__(leaves.values(), {})
            hidden = [leaves[name] for name in HIDDEN]
            others = [leaf for name, leaf in leaves.items() if name not in HIDDEN]
            self.parts = (
                torch.optim.Muon(hidden, lr=0.03, momentum=0.9, weight_decay=0.1, adjust_lr_fn=scale),
                torch.optim.AdamW(others, lr=0.01, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.1),
            )

        def step(self):
            with monkeypatch.context() as patched:
                patched.setattr(torch, "bfloat16", torch.float64)
                for part in self.parts:
                    part.step()

    expected_P = trained_by_torch(run, STEPS, Both)
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-10)


def test_a_schedule_and_factors_of_layers_scale_both_rates():
    """Warm-up and fall; a layer's factor on the rate, and one on the decay, of a matrix and of a bias."""
    layers = {"hidden.0": {"lr": 0.5}, "hidden.1.weight": {"weight_decay": 3.0}, "output": {"lr": 2.0}}
    (run,) = runs(training__layers=layers, schedule={"shape": "cosine", "warmup_steps": 5}, training__ideal=False)

    def scheduled(step):
        return learning_rate_factor(run, torch.tensor([[step]], dtype=torch.float64)).item()

    def factors(name):
        of_rate = 0.5 if name.startswith("hidden.0") else 2.0 if name.startswith("output") else 1.0
        return of_rate, 3.0 if name == "hidden.1.weight" else 1.0

    pack = Pack([run])
    train_steps(pack, STEPS)
    expected_P = trained_by_torch(run, STEPS, lambda leaves: Plain(leaves, FACTORS["original"], scheduled, factors))
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-9)


SWEEP = {"optimizer.lr": [0.01, 0.03], "optimizer.adam_lr": [0.003, 0.01], "optimizer.momentum": [0.5, 0.95]}


@pytest.mark.parametrize("sequential", [False, True])
def test_members_with_settings_of_their_own_are_what_they_are_alone(sequential, fused):
    """To the last bit, beside each other or one after another; and from a state in the middle."""
    members = runs(sweep=SWEEP, training__dtype="float32", training__ideal=False)
    assert len(members) == 8
    together = trained_as_alone(members, Execution(sequential=sequential))
    part = Pack(members)
    train_steps(part, 11)
    resumed = Pack(members, states=part.states())
    train_steps(resumed, STEPS)
    assert all(torch.equal(resumed.param_EP[place], one.state["parameters"]) for place, one in enumerate(together))


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
@pytest.mark.slow
def test_it_can_be_compiled(monkeypatch):
    """Traced as one function, the steps are the eager ones to rounding."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    members = runs(sweep={"optimizer.lr": [0.01, 0.03]}, training__max_steps=6)
    for one, other in zip(train(members), train(members, Execution(backend="compiled")), strict=True):
        torch.testing.assert_close(one.state["parameters"], other.state["parameters"], rtol=0, atol=1e-10)


def test_the_scale_is_common_to_a_pack():
    """Its numbers are each member's own."""
    keys = [pack_key(runs(optimizer={**MUON, "scale": scale})[0]) for scale in SCALES]
    assert len(set(keys)) == 3
    assert pack_key(runs(optimizer={**MUON, "lr": 0.5})[0]) == keys[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"hidden.0.weight": (12, 8), "hidden.1.weight": (12, 12)}),
        (
            {"model": {"name": "transformer", "layers": 1, "width": 16, "heads": 2}},
            {"query": (16, 16), "key_value": (32, 16), "mix": (16, 16), "up": (64, 16), "down": (16, 64)},
        ),
        (
            {"task": {"name": "shapes"}, "model": {"name": "cnn", "width": 2}, "data": {"test_samples": 16}},
            {f"convolutions.{layer}.weight": (2 << layer, 9 * (3, 2, 4, 8)[layer]) for layer in range(4)},
        ),
    ],
)  # fmt: skip
def test_hidden_matrices_are_updated_as_such(changes, expected):
    """No embedding, position, output, bias or norm is; a convolution is the matrix of its filters."""
    stack = Pack(runs(training__dtype="float32", **changes)).member_step.stack
    shapes = {name: Muon.matrix(name, shape) for name, shape in zip(stack.names, stack.shapes, strict=True)}
    found = {name: shape for name, shape in shapes.items() if shape is not None}
    short = {re.sub(r"^blocks\.0\.(.*)\.weight$", r"\1", name): shape for name, shape in found.items()}
    assert short == expected


def test_a_model_without_hidden_matrices_is_trained_by_adamw_alone():
    """To the bit, with the rate of AdamW."""
    linear = {**DEEP, "depth": 0}
    adamw = {"name": "adamw", "lr": 0.01, "betas": [0.9, 0.98], "eps": 1e-10, "weight_decay": 0.1}
    packs = [Pack(runs(model=linear, optimizer=optimizer)) for optimizer in (MUON, adamw)]
    for pack in packs:
        train_steps(pack, STEPS)
    assert torch.equal(packs[0].param_EP, packs[1].param_EP)


def test_settings_have_their_limits_and_defaults():
    """Those of the authors' code."""
    assert (Muon().lr, Muon().momentum, Muon().adam_lr, Muon().betas) == (0.02, 0.95, 3e-4, (0.9, 0.95))
    for key, wrong, expected in (
        ("adam_lr", 0, "expected a number above 0, got 0. Change it."),
        ("momentum", 1, "expected a number below 1, got 1. Change it."),
        ("scale", "rms",
         "expected 'original', 'match_rms_adamw' or 'spectral_unclamped', got 'rms'. Choose one of these."),
    ):  # fmt: skip
        with pytest.raises(StudyError, match=f"^{re.escape(f'`optimizer.{key}`: {expected}')}$"):
            runs(optimizer={**MUON, key: wrong})

"""Stacked optimizers against torch.optim: every member of a stack follows its own torch run."""

import dataclasses
from functools import cache

import pytest
import torch
from torch import nn

from deepboot.bootstrap import optimizers, registry, streams
from deepboot.bootstrap.optimizers import SGD, Adam, AdamW, hyperparameters

STEPS = 120
TORCH = {SGD: torch.optim.SGD, Adam: torch.optim.Adam, AdamW: torch.optim.AdamW}
STACKS = {
    "sgd": [SGD(lr=0.05), SGD(lr=0.02, momentum=0.9), SGD(lr=0.03, momentum=0.5, weight_decay=0.1)],
    "adam": [Adam(), Adam(lr=0.03, betas=(0.9, 0.98)), Adam(lr=0.01, betas=(0.5, 0.9), weight_decay=0.2, eps=1e-4)],
    "adamw": [
        AdamW(lr=0.01, betas=(0.99, 0.98)),
        AdamW(lr=0.03, weight_decay=0.0, betas=(0.9, 0.98)),
        AdamW(lr=0.003, weight_decay=1.5, eps=1e-6),
    ],
}
SHAPES = ((7, 3), (7,), (2, 7))  # a small regression network: 3 inputs, 7 hidden, 2 outputs
SIZES = [21, 7, 14]
KEY = streams.keys([0, 1, 2], "init")


def start(dtype=torch.float64, members=3):
    """Parameters of every member, (E, 42)."""
    return 0.5 * streams.normal(KEY[:members], torch.zeros(1, 1, dtype=torch.int64), sum(SIZES))[:, 0].to(dtype)


@cache
def batch(step, dtype=torch.float64):
    """Inputs (16, 3) and targets (16, 2) of one step, the same for all members."""
    x = streams.normal(KEY[0], 16 * step + torch.arange(16), 3).to(dtype)
    return x, torch.stack((x[:, 0] * x[:, 1], x.sum(1).sin()), 1)


def loss_of(param_P, step):
    """Mean squared error of a small network."""
    first, bias, second = (part.view(shape) for part, shape in zip(param_P.split(SIZES), SHAPES, strict=True))
    x, target = batch(step, param_P.dtype)
    return (torch.tanh(x @ first.T + bias) @ second.T - target).square().mean()


def lr_factor(steps):
    """A warm-up over 10 updates, (S, 1), to see that the learning rate follows its schedule."""
    return (torch.arange(1, steps + 1, dtype=torch.float64)[:, None] / 10).clamp(max=1)


def stacked(members, param_EP, steps, *, scheduled=False, block=64, fused=False):
    """Parameters after the steps, coefficients made a block of steps at a time as training does."""
    param_EP = param_EP.clone()
    optimizer_state = type(members[0]).init(param_EP, members)
    for begin in range(0, steps, block):
        stop = min(begin + block, steps)
        step_S1 = torch.arange(begin + 1, stop + 1, dtype=torch.float64)[:, None]
        hyper = hyperparameters(members)
        factor_S1 = lr_factor(steps)[begin:stop] if scheduled else torch.ones_like(step_S1)
        hyper["lr"] = hyper["lr"] * factor_S1
        tables = type(members[0]).coefficients(hyper, step_S1)
        assert all(table.shape == (stop - begin, len(members)) for table in tables.values())
        for place in range(stop - begin):
            at = {name: table[place].to(param_EP.dtype)[:, None] for name, table in tables.items()}
            if fused:
                at["host"] = type(members[0]).host_coefficients(hyper, step_S1)[place]
            leaf_EP = param_EP.clone().requires_grad_()
            loss = torch.stack([loss_of(param_P, begin + place) for param_P in leaf_EP]).sum()
            type(members[0]).update(param_EP, torch.autograd.grad(loss, leaf_EP)[0], optimizer_state, at)
    return param_EP


def by_torch(member, param_P, steps, *, scheduled=False):
    """Parameters of one member after the steps, by torch.optim."""
    leaf_P = nn.Parameter(param_P.clone())
    settings = {key: value for key, value in dataclasses.asdict(member).items() if key != "decay_to"}
    optimizer = TORCH[type(member)]([leaf_P], **settings)
    for step in range(steps):
        if scheduled:
            optimizer.param_groups[0]["lr"] = member.lr * lr_factor(steps)[step].item()
        optimizer.zero_grad()
        loss_of(leaf_P, step).backward()
        optimizer.step()
    return leaf_P.detach()


@pytest.mark.parametrize("name", STACKS)
def test_every_member_of_a_stack_follows_torch_in_float64(name):
    """300 steps on a small network with other lr, momentum, betas, eps and decay for each member."""
    found = stacked(STACKS[name], start(), STEPS)
    for member, param_P, found_P in zip(STACKS[name], start(), found, strict=True):
        expected = by_torch(member, param_P, STEPS)
        assert (expected - param_P).abs().max() > 0.1
        assert torch.allclose(found_P, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", STACKS)
def test_every_member_of_a_stack_follows_torch_in_float32(name):
    """The same 100 steps in single precision, to a few hundred roundings."""
    found = stacked(STACKS[name], start(torch.float32), 100)
    assert found.dtype == torch.float32
    for member, param_P, found_P in zip(STACKS[name], start(torch.float32), found, strict=True):
        assert torch.allclose(found_P, by_torch(member, param_P, 100), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", STACKS)
def test_a_scheduled_learning_rate_is_the_one_torch_would_be_given(name):
    """A warm-up changes lr from step to step, decay included."""
    found = stacked(STACKS[name], start(), 30, scheduled=True)
    for member, param_P, found_P in zip(STACKS[name], start(), found, strict=True):
        assert torch.allclose(found_P, by_torch(member, param_P, 30, scheduled=True), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", STACKS)
def test_a_member_alone_is_bit_equal_to_itself_in_a_stack(name):
    """Neighbours do not change a member, nor does how the steps are cut into blocks."""
    both = stacked(STACKS[name], start(), 20)
    for place, member in enumerate(STACKS[name]):
        alone = stacked([member], start()[place : place + 1], 20, block=7)
        assert torch.equal(alone[0], both[place])


FUSED = [name for name, members in STACKS.items() if isinstance(members[0], Adam | AdamW)]


@pytest.fixture
def fused(monkeypatch):
    """Torch's own kernel is used however few the parameters are."""
    monkeypatch.setattr(optimizers, "FUSED_PARAMETERS", 1)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("scheduled", [False, True])
def test_the_fused_update_follows_torch(name, scheduled, fused):
    """Every member with its own lr, betas, eps and decay, in float64 and, to rounding, in float32."""
    for dtype, steps, tolerance in ((torch.float64, STEPS, 1e-10), (torch.float32, 60, 2e-4)):
        found = stacked(STACKS[name], start(dtype), steps, scheduled=scheduled, fused=True)
        for member, param_P, found_P in zip(STACKS[name], start(dtype), found, strict=True):
            expected = by_torch(member, param_P, steps, scheduled=scheduled)
            assert torch.allclose(found_P, expected, rtol=0, atol=tolerance)
        assert not torch.equal(found, stacked(STACKS[name], start(dtype), steps, scheduled=scheduled))  # another kernel


@pytest.mark.parametrize("name", FUSED)
def test_a_member_alone_is_bit_equal_to_itself_in_a_fused_stack(name, fused):
    """Beside members of other settings, and of its own."""
    members = [STACKS[name][0], STACKS[name][1], STACKS[name][0]]
    both = stacked(members, start(), 20, fused=True)
    for index, member in enumerate(members):
        alone = stacked([member], start()[index : index + 1], 20, block=7, fused=True)
        assert torch.equal(alone[0], both[index])


def test_small_members_are_not_fused(monkeypatch):
    """A kernel for each of many small members would cost more than it saves."""
    monkeypatch.setattr(torch, "_fused_adamw_", lambda *_, **__: pytest.fail("fused"))
    members = [AdamW(lr=0.01)] * 3
    stacked(members, start(), 2, fused=True)


def test_every_registered_optimizer_is_compared_with_torch():
    """A new optimizer must be added to these tests; Muon, which needs shapes, has tests of its own."""
    assert set(registry.names("optimizer")) - {"muon"} == set(STACKS)


def gradient(step):
    """A gradient per member, which does not depend on the parameters, (3, 42)."""
    return streams.normal(KEY, torch.full((3, 1), 1000 + step), sum(SIZES))[:, 0].double()


def test_decay_toward_the_start_follows_its_formula_beside_decay_toward_zero():
    """P <- p - lr * decay * (p - p0) - Adam's step, written out, for one of three members."""
    members = [
        AdamW(lr=0.01, weight_decay=0.5, decay_to="init"),
        AdamW(lr=0.01, weight_decay=0.5),
        AdamW(lr=0.02, weight_decay=2.0, decay_to="init", betas=(0.99, 0.98)),
    ]
    param_EP = start()
    optimizer_state = AdamW.init(param_EP, members)
    tables = AdamW.coefficients(
        hyperparameters(members) | {"lr": hyperparameters(members)["lr"].expand(50, -1)},
        torch.arange(1, 51, dtype=torch.float64)[:, None],
    )
    for step in range(50):
        AdamW.update(
            param_EP, gradient(step), optimizer_state, {name: table[step][:, None] for name, table in tables.items()}
        )
    for place, member in enumerate(members):
        p0 = start()[place]
        target = p0 if member.decay_to == "init" else torch.zeros_like(p0)
        p, mean, square = p0.clone(), torch.zeros_like(p0), torch.zeros_like(p0)
        b1, b2 = member.betas
        for step in range(50):
            g = gradient(step)[place]
            mean, square = b1 * mean + (1 - b1) * g, b2 * square + (1 - b2) * g * g
            adam = (mean / (1 - b1 ** (step + 1))) / ((square / (1 - b2 ** (step + 1))).sqrt() + member.eps)
            p = p - member.lr * member.weight_decay * (p - target) - member.lr * adam
        assert torch.allclose(param_EP[place], p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay_to", ["zero", "init"])
def test_decay_alone_shrinks_the_distance_to_its_target_geometrically(decay_to):
    """Without a gradient p - target falls by 1 - lr * decay every step; at the start it stays where it is."""
    members = [AdamW(lr=0.1, weight_decay=0.5, decay_to=decay_to)]
    param_EP = start(members=1)
    optimizer_state = AdamW.init(param_EP, members)
    hyper = hyperparameters(members)
    at = AdamW.coefficients(hyper | {"lr": hyper["lr"].expand(1, -1)}, torch.ones(1, 1, dtype=torch.float64))
    for _ in range(10):
        AdamW.update(
            param_EP,
            torch.zeros_like(param_EP),
            optimizer_state,
            {name: table[0][:, None] for name, table in at.items()},
        )
    expected = start(members=1) * (0.95**10 if decay_to == "zero" else 1)
    assert torch.allclose(param_EP, expected, rtol=1e-12)


def test_the_start_that_decay_aims_at_is_a_copy():
    """Updates in place do not move the target."""
    param_EP = start()
    optimizer_state = AdamW.init(param_EP, [AdamW(decay_to="init")] * 3)
    param_EP.add_(1)
    assert torch.equal(optimizer_state["target"], start())


@pytest.mark.parametrize("name", STACKS)
def test_slots_begin_at_zero_with_the_shape_and_dtype_of_the_parameters(name):
    """What an optimizer keeps is one number per parameter."""
    kind = type(STACKS[name][0])
    optimizer_state = kind.init(start(torch.float32), STACKS[name])
    assert set(optimizer_state) >= set(kind.optimizer_state)
    for slot in kind.optimizer_state:
        assert (optimizer_state[slot].shape, optimizer_state[slot].dtype) == ((3, 42), torch.float32)
        assert not optimizer_state[slot].any()


def test_hyperparameters_are_stacked_numbers_in_float64():
    """(E,) each, (E, 2) for betas; words are left out."""
    found = hyperparameters(STACKS["adamw"])
    assert found["lr"].tolist() == [0.01, 0.03, 0.003]
    assert found["betas"].tolist() == [[0.99, 0.98], [0.9, 0.98], [0.9, 0.999]]
    assert {value.dtype for value in found.values()} == {torch.float64}
    assert set(found) == {"lr", "betas", "eps", "weight_decay"}

"""Transforms of the gradient: promises that every one keeps, and what each does to given gradients."""

import collections
import dataclasses

import numpy as np
import pytest
import torch

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.transforms import (
    Clip,
    Grokfast,
    GrokfastMA,
    Normalize,
    OrthogonalGradient,
    Transform,
    choices,
    numbers,
)
from deepboot.runners import builtins

builtins.load()
MEMBERS, PARAMETERS = 3, 42
KEY = streams.keys(range(MEMBERS), "init")
STACKS = {  # settings of three members
    "clip": [{"norm": norm} for norm in (0.5, 4.0, 1e6)],
    "grokfast": [{"alpha": 0.98, "lamb": 2.0}, {"alpha": 0.0, "lamb": 0.0}, {"alpha": 0.5, "lamb": 5.0}],
    "grokfast_ma": [{"window": 6, "lamb": lamb} for lamb in (5.0, 0.0, 1.5)],
    "normalize": [{}] * MEMBERS,
    "orthogonal_gradient": [{"by": "parameter", "rescale": True}] * MEMBERS,
}
NAMES = registry.names("transform")


def gradients(step, dtype=torch.float64):
    """A gradient per member, (E, P)."""
    return streams.normal(KEY, torch.full((MEMBERS, 1), step), PARAMETERS)[:, 0].to(dtype)


def transformed(name, steps, members=range(MEMBERS), dtype=torch.float64, gradient=gradients, stack=None, first=0):
    """What a transform makes of some members' gradients, step after step, each (E, P)."""
    target, own, stack = registry.find("transform", name).target, list(members), stack or STACKS[name]
    common = {setting: value for setting, value in choices({"name": name, **stack[0]}).items() if setting != "name"}
    at = {
        setting: torch.tensor([[stack[member][setting]] for member in own], dtype=dtype)
        for setting in numbers({"name": name, **stack[0]})
    }
    param_EP = torch.ones(len(own), PARAMETERS, dtype=dtype)
    state = target.init(param_EP, common)
    assert set(state) == set(target.transform_state)
    shapes = {key: tensor.shape for key, tensor in state.items()}
    found = []
    for step in range(first, first + steps):
        given = gradient(step).to(dtype)[own]
        found.append(target.apply(given, param_EP, state, at | common, torch.tensor([[step]])).clone())
        assert torch.equal(param_EP, torch.ones_like(param_EP))
    assert all((tensor.shape, len(tensor)) == (shapes[key], len(own)) for key, tensor in state.items())
    return found


def test_every_registered_transform_is_tested_here():
    """A new transform must be added to these tests."""
    assert set(NAMES) == set(STACKS)


@pytest.mark.parametrize("name", NAMES)
def test_a_transform_is_a_frozen_dataclass_that_a_study_can_set(name):
    """Its settings are its fields, and those of the stacks are valid."""
    target = registry.find("transform", name).target
    assert issubclass(target, Transform)
    for settings in STACKS[name]:
        made = target(**registry.settings("transform", name)(**settings).model_dump())
        with pytest.raises(dataclasses.FrozenInstanceError):
            made.anything = 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_members_gradient_is_its_own_alone(name, dtype):
    """Neighbours with other settings change no bit of it, and its dtype stays."""
    together = transformed(name, 8, dtype=dtype)
    assert {one.dtype for one in together} == {dtype}
    for member in range(MEMBERS):
        alone = transformed(name, 8, [member], dtype=dtype)
        assert all(torch.equal(one[0], both[member]) for one, both in zip(alone, together, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_zero_gradient_stays_zero(name):
    """It is no NaN, and nothing is divided by its norm."""
    for found in transformed(name, 2, gradient=lambda step: torch.zeros(MEMBERS, PARAMETERS)):
        assert not found.any()


def test_clipping_follows_torch():
    """The gradients of torch.nn.utils.clip_grad_norm_, whose norm has 1e-6 added."""
    (found,) = transformed("clip", 1)
    for settings, given_P, found_P in zip(STACKS["clip"], gradients(0), found, strict=True):
        leaf = torch.nn.Parameter(torch.zeros_like(given_P))
        leaf.grad = given_P.clone()
        torch.nn.utils.clip_grad_norm_(leaf, settings["norm"])
        torch.testing.assert_close(found_P, leaf.grad, rtol=1e-6, atol=0)
    assert torch.equal(found[2], gradients(0)[2])  # shorter than its limit


def test_a_normalized_gradient_has_its_direction_and_norm_one():
    """As torch.nn.functional.normalize gives it; numbers far from 1 neither overflow nor vanish in float32."""
    (found,) = transformed("normalize", 1)
    torch.testing.assert_close(found, torch.nn.functional.normalize(gradients(0), dim=1))
    for size in (1e-30, 1e30):
        (found,) = transformed("normalize", 1, dtype=torch.float32, gradient=lambda step, s=size: s * gradients(step))
        torch.testing.assert_close(found.norm(dim=1), torch.ones(MEMBERS))


def test_grokfast_follows_its_formula():
    """The gradient g becomes g + lamb * m with m = alpha * m + (1 - alpha) * g, which begins with the first g."""
    found = transformed("grokfast", 50)
    for member, settings in enumerate(STACKS["grokfast"]):
        mean = gradients(0)[member]
        for step in range(50):
            g = gradients(step)[member]
            mean = settings["alpha"] * mean + (1 - settings["alpha"]) * g
            torch.testing.assert_close(found[step][member], g + settings["lamb"] * mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("window", [1, 2, 7, 12, 36])
@pytest.mark.parametrize("first", [0, 5])
def test_grokfast_ma_follows_its_formula(window, first):
    """The gradient plus lamb times the mean of the last ones, once there are enough, from whatever step it begins."""
    stack = [{"window": window, "lamb": lamb} for lamb in (5.0, 0.0, 1.5)]
    found = transformed("grokfast_ma", 90, stack=stack, first=first)
    for member, settings in enumerate(stack):
        last = collections.deque(maxlen=window)
        for place in range(90):
            g = gradients(first + place)[member]
            last.append(g)
            expected = g + settings["lamb"] * sum(last) / window if len(last) == window else g
            torch.testing.assert_close(found[place][member], expected, rtol=1e-12, atol=1e-12)


def test_the_mean_of_a_window_does_not_drift():
    """Gradients of 1e-6 have, in float32, the mean of themselves alone to the bit, also after those of 1e6."""

    def gradient(step):
        return gradients(step, torch.float32) * (1e6 if step < 500 else 1e-6)

    late, alone = (
        transformed("grokfast_ma", steps, dtype=torch.float32, gradient=gradient, first=first)[-1]
        for steps, first in ((530, 0), (30, 500))
    )
    assert torch.equal(late, alone)


def orthogonal(weight_EP, grad_EP, **settings):
    """What is left of gradients beside these weights, each by itself, (E, P)."""
    at = {"by": "run", "rescale": True, **settings}
    return OrthogonalGradient.apply(grad_EP.clone(), weight_EP, {}, at, torch.tensor([[0]]))


WEIGHTS = streams.normal(KEY, torch.full((MEMBERS, 1), 99), PARAMETERS)[:, 0].double()


def test_what_is_left_of_a_gradient_is_its_projection():
    """That of NumPy's least squares on the weights; by default with the norm that the gradient had."""
    for weight_P, grad_P, plain_P, rescaled_P in zip(
        WEIGHTS, gradients(0), orthogonal(WEIGHTS, gradients(0), rescale=False), orthogonal(WEIGHTS, gradients(0)),
        strict=True,
    ):  # fmt: skip
        (share,), *_ = np.linalg.lstsq(weight_P.numpy()[:, None], grad_P.numpy(), rcond=None)
        expected_P = grad_P - share * weight_P
        torch.testing.assert_close(plain_P, expected_P, rtol=0, atol=1e-12)
        torch.testing.assert_close(rescaled_P, expected_P * grad_P.norm() / expected_P.norm(), rtol=0, atol=1e-12)
        assert (rescaled_P @ weight_P).abs() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_zero_weights_leave_a_gradient_as_it_is(dtype):
    """To the bit, also where 1e-30 is no number of the dtype; and a zero gradient beside them stays zero."""
    grad_EP = gradients(0, dtype)
    zeros_EP = torch.zeros_like(grad_EP)
    assert torch.equal(orthogonal(zeros_EP, grad_EP, rescale=False), grad_EP)
    assert torch.equal(orthogonal(zeros_EP, zeros_EP), zeros_EP)
    torch.testing.assert_close(orthogonal(zeros_EP, grad_EP), grad_EP)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_is_left_of_a_gradient_along_the_weights(dtype):
    """Rounding is not scaled up to its norm: not that of a multiple of the weights, nor that of a single number."""
    weight_EP, grad_EP = WEIGHTS.to(dtype), (-3 * WEIGHTS).to(dtype)
    assert (orthogonal(weight_EP, grad_EP).norm(dim=1) < torch.finfo(dtype).eps * grad_EP.norm(dim=1)).all()
    assert (orthogonal(weight_EP[:, :1], gradients(0, dtype)[:, :1]).abs() < 1e-12).all()


def test_numbers_are_each_members_own_and_all_else_is_common():
    """A truth value is no number, and a number that is declared common is no member's own."""

    @registry.register("transform", "test_kinds")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Kinds(Transform):
        """Nothing."""

        common = ("window",)

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            return grad_EP

    own = {"norm": 1.0, "steps": 3}
    others = {"name": "test_kinds", "by": "layer", "centred": True, "limits": [1.0], "window": 5}
    assert numbers({**own, **others}) == own
    assert choices({**own, **others}) == others


def test_settings_have_their_limits_and_defaults():
    """A norm is above 0 and has no default; Grokfast's are those of the authors' code and study."""
    schemas = {name: registry.settings("transform", name) for name in NAMES}
    assert (Grokfast().alpha, Grokfast().lamb) == (0.98, 2.0)
    assert (GrokfastMA().window, GrokfastMA().lamb) == (100, 5.0)
    assert dataclasses.fields(Normalize) == ()
    for name, wrong in (
        ("clip", {}), ("clip", {"norm": 0}), ("grokfast", {"alpha": 1}), ("grokfast", {"lamb": -1}),
        ("normalize", {"norm": 1}), ("grokfast_ma", {"window": 0}), ("grokfast_ma", {"window": 2.5}),
        ("grokfast_ma", {"window": 20_000}), ("grokfast_ma", {"lamb": -1}), ("orthogonal_gradient", {"by": "layer"}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="1 validation error"):
            schemas[name](**wrong)
    assert Clip(norm=1.0).norm == 1.0

"""Optimizers of torch as they are: each member's own, beside a loop written out for one run."""

import re

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from deepboot.bootstrap import registry
from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.one_by_one import slow_parts
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.backend_check import disagreement
from deepboot.bootstrap.training.coefficients import learning_rate_factor
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.plain import trained_by_torch

STEPS = 12


@pytest.fixture(autouse=True)
def own_optimizers():
    """What a test registers is forgotten after it."""
    with registry.scratch():
        register("optimizer", "test_rms")(rms)
        register("optimizer", "test_counting")(Counting)
        yield


def rms(params, *, lr: float = 1e-2, momentum: float = 0.9, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """RMSprop, which the package does not have."""
    return torch.optim.RMSprop(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


def sgd(params, *, lr: float = 0.1):
    """Plain gradient descent."""
    return torch.optim.SGD(params, lr=lr)


class Counting(torch.optim.Optimizer):
    """Signed steps that shrink with a count kept as a number in its groups, and with a second one per parameter."""

    def __init__(self, params, *, lr: float = 1e-2, half_life: int = 4):
        super().__init__(params, {"lr": lr, "half_life": half_life, "steps": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["steps"] += 1
            for param in group["params"]:
                self.state[param]["seen"] = self.state[param].get("seen", 0) + 1
                share = 0.5 ** (self.state[param]["seen"] / group["half_life"]) + 1 / group["steps"]
                param.sub_(group["lr"] * share * param.grad.sign())


def runs(name="test_rms", **changes):
    """A few runs of both worlds that a torch optimizer trains."""
    base = {"optimizer": {"name": name}, "training__max_steps": STEPS, "training__seeds": 2}
    return runs_of(parity(**{**base, **changes}))


SCHEDULES = [{}, {"shape": "cosine", "warmup_steps": 3}]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_members_go_the_way_of_a_loop_written_out(schedule):
    """Twelve steps of RMSprop with decay, and with a schedule that LambdaLR carries out there."""
    planned = runs(optimizer={"name": "test_rms", "weight_decay": 0.1}, schedule=schedule)
    pack = Pack(planned)
    train_steps(pack, STEPS)
    for member, run in enumerate(planned):

        def optimizer_of(leaves, run=run):
            made = torch.optim.RMSprop(leaves.values(), lr=1e-2, momentum=0.9, weight_decay=0.1)
            step_S1 = torch.arange(1, STEPS + 2, dtype=torch.float64)[:, None]
            factors = learning_rate_factor(run, step_S1)[:, 0].tolist()
            scheduler = LambdaLR(made, lambda done: factors[done])
            made.register_step_post_hook(lambda *_: scheduler.step())
            return made

        expected = trained_by_torch(run, STEPS, optimizer_of)
        assert not torch.allclose(expected, Pack([run]).param_EP[0], atol=1e-2)
        assert torch.allclose(pack.param_EP[member], expected, rtol=0, atol=1e-6)


def test_both_worlds_of_a_pair_are_equal_until_the_pool_is_used_up():
    """To the bit, since a torch optimizer is made anew for each of them."""
    real, ideal = runs(training__seeds=1, training__train_size=STEPS * 8)
    pack = Pack([real, ideal])
    train_steps(pack, STEPS)
    assert torch.equal(pack.param_EP[0], pack.param_EP[1])


@pytest.mark.parametrize("name", ["test_rms", "test_counting"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_resumed_pack_goes_on_to_the_same_bits(name, schedule):
    """After 5 of 12 steps; the state is what a checkpoint holds: tensors alone."""
    whole, half = (Pack(runs(name, schedule=schedule)) for _ in range(2))
    train_steps(whole, STEPS)
    train_steps(half, 5)
    states = half.states()
    assert all(isinstance(value, torch.Tensor) for state in states for value in state.values())
    resumed = Pack(half.runs, states=states)
    assert resumed.step == 5
    train_steps(resumed, STEPS)
    assert torch.equal(resumed.param_EP, whole.param_EP)


def test_members_of_a_pack_have_their_own_settings_and_neighbours_do_not_matter():
    """Beside members with other learning rates, stepped together or one after another, to the bit."""
    planned = runs(sweep={"optimizer.lr": [1e-2, 1e-3]}, training__seeds=1, training__ideal=False)
    packs = [Pack(planned), Pack(planned, Execution(sequential=True)), *(Pack([run]) for run in planned)]
    for pack in packs:
        train_steps(pack, STEPS)
    together, one_by_one, *alone = (pack.param_EP for pack in packs)
    assert torch.equal(together, one_by_one)
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together[0], together[1])


def test_a_phase_gives_a_torch_optimizer_other_settings_and_leaves_it_its_state():
    """The momentum goes on; the decay is the phase's."""
    (run,) = runs(training__seeds=1, training__ideal=False)
    (later,) = runs(training__seeds=1, training__ideal=False, optimizer={"name": "test_rms", "weight_decay": 0.5})
    first = Pack([run])
    train_steps(first, 5)
    second = Pack([later], states=first.states())
    for key, value in (("weight_decay", 0.5), ("momentum", 0.9)):
        assert second.members.torch_optimizers[0]._optimizer.param_groups[0][key] == value
    before, after = (pack.members.torch_optimizers[0].state() for pack in (first, second))
    assert torch.equal(before["state.0.square_avg"], after["state.0.square_avg"])


def test_transforms_act_before_a_torch_optimizer():
    """A clipped gradient moves it less in its first step."""
    register("optimizer", "test_sgd")(sgd)
    moved = []
    for chain in ([], [{"name": "clip", "norm": 1e-12}]):
        pack = Pack(runs("test_sgd", training__transforms=chain))
        start = pack.param_EP.clone()
        train_steps(pack, 1)
        moved.append(float((pack.param_EP - start).norm()))
    assert moved[1] < 1e-6 < moved[0]


def test_a_compiled_backend_is_not_trusted_with_a_torch_optimizer():
    """The reason is said before anything is compiled."""
    found = disagreement(runs(training__seeds=1), Execution(backend="compiled"))
    assert found == "a torch optimizer steps members one after another, which only eager does"


class Forgetful(torch.optim.SGD):
    """Keeps a count where no state holds it."""

    count = 0

    def __init__(self, params, *, lr: float = 0.1):
        super().__init__(params, lr)

    def step(self, closure=None):
        self.count += 1
        if self.count > 4:
            super().step()


class Noisy(Forgetful):
    """Adds noise of torch's own generator."""

    def step(self, closure=None):
        for param in self.param_groups[0]["params"]:
            param.grad += torch.randn_like(param)
        super(Forgetful, self).step()


def not_one(params, *, lr: float = 0.1):
    """No optimizer."""
    return [lr]


def without_rate(params, *, size: float = 0.1):
    """An optimizer whose learning rate has another name."""

    class Unnamed(torch.optim.Optimizer):
        def step(self, closure=None):
            pass

    return Unnamed(params, {"size": size})


def lbfgs(params, *, lr: float = 0.1):
    """An optimizer that computes the loss again."""
    return torch.optim.LBFGS(params, lr=lr)


REFUSED = [
    (not_one, {}, "expected 'test_refused' to return a torch.optim.Optimizer, or to be a subclass of "
     "deepboot.bootstrap.optimizers.Optimizer, got [0.1]. Return the optimizer."),
    (without_rate, {"schedule": {"shape": "linear"}},
     "optimizer 'test_refused' has no `lr` that a schedule could change. Remove [schedule]."),
    (Noisy, {}, "optimizer 'test_refused' draws from torch's global generator, so the two worlds of a pair would "
     "differ. Draw from a torch.Generator whose seed is a setting and whose state is in `param_groups`, or do not "
     "draw."),
    (Forgetful, {}, "optimizer 'test_refused' keeps something from step to step that is neither in its `state` of a "
     "parameter nor in its `param_groups`, so that a stopped run could not go on. Put it into one of them."),
    (lbfgs, {}, "TypeError: LBFGS.step() missing 1 required positional argument: 'closure'. "
     "Mend the optimizer; one whose step needs a closure cannot be used."),
]  # fmt: skip


@pytest.mark.parametrize(("target", "changes", "sentence"), REFUSED)
def test_what_cannot_be_repeated_or_resumed_is_refused_before_training(target, changes, sentence):
    """With the full sentence."""
    register("optimizer", "test_refused")(target)
    with pytest.raises(StudyError) as refused:
        runs("test_refused", **changes)
    assert refused.value.problems == [f"`optimizer`: {sentence}"]


def test_factors_and_noise_that_a_torch_optimizer_cannot_take_are_refused():
    """Each by its key, with the cure."""
    with pytest.raises(StudyError) as refused:
        runs(training__layers={"output": {"lr": 0.5, "weight_decay": 2.0}}, training__update_noise=0.1)
    cure = "Remove it, or use a stacked optimizer such as adamw."
    reach = "optimizer 'test_rms' is one of torch, which no factor on a layer reaches, got"
    assert refused.value.problems == [
        f"`training.layers.output.lr`: {reach} 0.5. {cure}",
        f"`training.layers.output.weight_decay`: {reach} 2. {cure}",
        "`training.update_noise`: it is scaled by the learning rate, which a torch optimizer such as 'test_rms' keeps "
        f"to itself, got 0.1. {cure}",
    ]


def test_starting_scales_of_layers_stay():
    """They act on the parameters before the first step, whoever makes it."""
    (run,) = runs(training__layers={"output": {"init_scale": 0.0}}, training__seeds=1, training__ideal=False)
    assert not Pack([run]).weights(0)["output.weight"].any()


def test_a_stacked_optimizer_without_its_method_is_refused():
    """An abstract method misspelt."""
    from deepboot.bootstrap.optimizers import Optimizer

    class Misspelt(Optimizer):
        @staticmethod
        def updat(param_EP, grad_EP, optimizer_state, at):
            pass

    register("optimizer", "test_misspelt")(Misspelt)
    sentence = re.escape("lacks 'update', which every optimizer has. Rename 'updat', if that is meant for it, or def")
    with pytest.raises(StudyError, match=f"^`optimizer`: class .*Misspelt {sentence}ine it.$"):
        runs("test_misspelt")


def test_what_steps_one_member_after_another_is_said_once():
    """One sentence for all runs, none for what is stacked."""
    sentence = (
        "Optimizer 'test_rms' is one of torch: it steps one member after another, which is slower than a stacked one "
        "(see `adamw` in bootstrap/optimizers.py)."
    )
    assert slow_parts(runs()) == [sentence]
    assert slow_parts(runs("adamw")) == []


def test_a_parameter_keeps_its_own_shape_for_the_optimizer():
    """Rules that look at matrices see matrices."""
    pack = Pack(runs(training__seeds=1))
    shapes = [leaf.shape for leaf in pack.members.torch_optimizers[0]._leaves]
    assert shapes == pack.member_step.stack.shapes
    assert isinstance(pack.members.torch_optimizers[0]._leaves[0], nn.Parameter)

"""Chains of gradient transforms in training: against plain loops, in packs, phases and whatever carries out steps."""

import dataclasses
import functools

import pytest
import torch
from pydantic import PositiveFloat

from deepboot.bootstrap.registry import register
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.bootstrap.transforms import Transform
from deepboot.runners.run.packing import pack_key
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.alone import trained_as_alone
from tests.bootstrap.training.plain import trained_by_torch

SGD = {"name": "sgd", "lr": 0.2}
CHAIN = [{"name": "grokfast", "alpha": 0.9, "lamb": 3.0}, {"name": "normalize"}, {"name": "clip", "norm": 0.7}]
STEPS = 40


def runs(chain, **changes):
    """The runs of a study in float64 with these transforms."""
    changes = {"training__dtype": "float64", "training__max_steps": STEPS, **changes}
    return runs_of(parity(training__transforms=chain, **changes))


def clipped(leaves):
    torch.nn.utils.clip_grad_norm_(leaves, 0.05)


def normalized(leaves):
    norm = torch.cat([leaf.grad.flatten() for leaf in leaves]).norm()
    for leaf in leaves:
        leaf.grad /= norm


def grokfast():
    """Grokfast's exponential mean of gradients, as a change of the gradients of parameters."""
    means = []

    def change(leaves):
        means[:] = means or [leaf.grad.clone() for leaf in leaves]
        for index, leaf in enumerate(leaves):
            means[index] = 0.9 * means[index] + 0.1 * leaf.grad
            leaf.grad = leaf.grad + 3.0 * means[index]

    return change


def orthogonal(leaves):
    """The authors' form: every parameter by itself, its norm kept."""
    for leaf in leaves:
        w, g = leaf.detach().flatten(), leaf.grad.flatten()
        left = g - torch.dot(w, g) / (torch.dot(w, w) + 1e-30) * w
        leaf.grad = (left * g.norm() / (left.norm() + 1e-30)).view(leaf.shape)


def orthogonal_of_all(leaves):
    """The paper's equation: one vector of all parameters, its norm as it comes."""
    w, g = (torch.cat([tensor.flatten() for tensor in one]) for one in (leaves, [leaf.grad for leaf in leaves]))
    share = torch.dot(w.detach(), g) / torch.dot(w, w).item()
    for leaf in leaves:
        leaf.grad = leaf.grad - share * leaf.detach()


def moving_average():
    """Grokfast's mean of the last five gradients."""
    last = []

    def change(leaves):
        last.append([leaf.grad.clone() for leaf in leaves])
        if len(last) >= 5:
            for index, leaf in enumerate(leaves):
                leaf.grad = leaf.grad + 2.0 * torch.stack([one[index] for one in last[-5:]]).mean(0)

    return change


@pytest.mark.parametrize(
    ("chain", "change"),
    [
        ([{"name": "clip", "norm": 0.05}], clipped),
        ([{"name": "normalize"}], normalized),
        ([{"name": "grokfast", "alpha": 0.9, "lamb": 3.0}], grokfast()),
        ([{"name": "grokfast_ma", "window": 5, "lamb": 2.0}], moving_average()),
        ([{"name": "orthogonal_gradient"}], orthogonal),
        ([{"name": "orthogonal_gradient", "by": "run", "rescale": False}], orthogonal_of_all),
    ],
)
def test_training_under_a_transform_follows_a_plain_loop(chain, change):
    """40 steps of gradient descent by torch.optim, with torch's clipping and with formulas written out."""
    # without biases: the gradient of those of two classes, which start at 0, lies along them
    (run,) = runs(chain, optimizer=SGD, model__bias=False, training__ideal=False)
    pack = Pack([run])
    start_P = pack.param_EP[0].clone()
    train_steps(pack, STEPS)
    expected_P = trained_by_torch(run, STEPS, lambda leaves: torch.optim.SGD(leaves.values(), lr=0.2), change)
    assert (expected_P - start_P).norm() > 0.1
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-5 if change is clipped else 1e-11)


def test_transforms_are_applied_in_the_order_of_the_list():
    """A clipped gradient that is normalised has norm 1; one that is normalised and then clipped has the limit's."""
    moved = []
    for chain in (CHAIN[1:], CHAIN[:0:-1]):
        pack = Pack(runs(chain, optimizer=SGD, training__ideal=False))
        before = pack.param_EP.clone()
        train_steps(pack, 1)
        moved.append((pack.param_EP - before).norm().item() / SGD["lr"])
    assert moved == pytest.approx([0.7, 1.0])


SWEEP = {"training.transforms.2.norm": [0.1, 0.7], "training.transforms.0.lamb": [0.0, 4.0]}


@pytest.mark.parametrize("sequential", [False, True])
def test_members_with_settings_of_their_own_are_what_they_are_alone(sequential):
    """To the last bit, beside each other or one after another."""
    members = runs(CHAIN, sweep=SWEEP, training__dtype="float32")
    trained_as_alone(members, Execution(sequential=sequential))


def test_names_and_order_are_common_to_a_pack_and_numbers_are_not():
    """Nor are texts each member's own; without transforms a pack's key is that of before there were any."""

    @register("transform", "test_words")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Words(Transform):
        """Nothing."""

        by: str = "member"
        size: PositiveFloat = 1.0

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            assert at["by"] in ("member", "layer")
            return grad_EP * at["size"]

    def key(*chain):
        return pack_key(runs(list(chain))[0])

    words = {"name": "test_words"}
    assert key(CHAIN[2]) == key({"name": "clip", "norm": 3.0})
    assert key({**words, "size": 2.0}) == key(words)
    different = [key(), key(CHAIN[1]), key(*CHAIN[1:]), key(*CHAIN[:0:-1]), key(words), key({**words, "by": "layer"})]
    assert len(set(different)) == len(different)
    assert "transforms" not in key()
    (run, _) = runs([{**words, "size": 2.0}])
    assert train([run])[0].rows[-1]["test_loss"] > 0


def test_a_transform_by_parameter_keeps_tensors_of_each_and_leaves_members_as_they_are_alone():
    """One that remembers the norm of every parameter's gradient, and divides by it."""

    @register("transform", "test_norms")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Norms(Transform):
        """Each parameter's gradient over its norm."""

        transform_state = ("norm",)

        @classmethod
        def is_by_parameter(cls, common):
            return True

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            state["norm"].copy_(grad_EP.norm(dim=1, keepdim=True).expand_as(grad_EP))
            return grad_EP / state["norm"].clamp(min=1e-30)

    members = runs([{"name": "test_norms"}, {"name": "orthogonal_gradient"}], training__dtype="float32")
    pack = Pack(members)
    train_steps(pack, 8)
    norms = pack.member_step.stack.named(pack.members.transform_state["transforms.0.test_norms.norm"])
    assert all(len(row.unique()) == 1 for norm in norms.values() for row in norm.flatten(1))
    assert len({norm[0].flatten()[0].item() for norm in norms.values()}) == len(norms)
    for member, run in enumerate(members):
        alone = Pack([run])
        train_steps(alone, 8)
        assert torch.equal(alone.param_EP[0], pack.param_EP[member])


def test_training_goes_on_with_the_transforms_state_to_the_last_bit():
    """From a step in the middle; without its state it would not."""
    members = runs(CHAIN, sweep=SWEEP)
    whole, half = Pack(members), Pack(members)
    train_steps(whole, STEPS)
    train_steps(half, 17)
    states = half.states()
    assert states[0]["transforms.0.grokfast.mean"].any()
    resumed = Pack(members, states=states)
    train_steps(resumed, STEPS)
    assert torch.equal(resumed.param_EP, whole.param_EP)
    lost = [{name: value for name, value in state.items() if "grokfast" not in name} for state in states]
    other = Pack(members, states=lost)
    train_steps(other, STEPS)
    assert not torch.equal(other.param_EP, whole.param_EP)


WINDOW = [{"name": "grokfast_ma", "window": 12, "lamb": 3.0}]


@pytest.mark.parametrize("step", [7, 12, 29])
def test_training_goes_on_with_a_window_of_gradients_to_the_last_bit(step):
    """From before it is full, from when it is, and from long after, in the middle of a chunk."""
    members = runs(WINDOW, sweep={"training.transforms.0.lamb": [0.5, 4.0]}, training__dtype="float32")
    assert len({pack_key(run) for run in members}) == 1
    whole, part = Pack(members), Pack(members)
    train_steps(whole, STEPS)
    train_steps(part, step)
    resumed = Pack(members, states=part.states())
    train_steps(resumed, STEPS)
    assert torch.equal(resumed.param_EP, whole.param_EP)
    for member, run in enumerate(members):
        alone = Pack([run])
        train_steps(alone, STEPS)
        assert torch.equal(alone.param_EP[0], whole.param_EP[member])


def test_a_phase_with_another_window_begins_it_anew():
    """As one that adds the transform does: no gradient of before is in the mean."""
    late = {"at_step": 20, "set": {"training.transforms": WINDOW}}
    longer = {"at_step": 20, "set": {"training.transforms.0.window": 12}}
    (added,) = runs([], phases=[late], optimizer=SGD, training__ideal=False)
    (other,) = runs([{**WINDOW[0], "window": 30}], phases=[longer], optimizer=SGD, training__ideal=False)
    found = [train([run])[0].state for run in (added, other)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert found[0]["transforms.0.grokfast_ma.window"].shape == (12, len(found[0]["parameters"]))


def test_the_length_of_a_window_is_common_to_a_pack():
    """The factor of its mean is not."""
    short, long, strong = (
        pack_key(runs([{**WINDOW[0], **change}])[0]) for change in ({"window": 11}, {}, {"lamb": 9.0})
    )
    assert short != long == strong


def test_state_stays_with_members_when_others_leave_the_pack():
    """A member that diverges at once leaves; the other, behind it, is what it is alone."""
    calm = runs(CHAIN[:1], optimizer=SGD, training__ideal=False, training__dtype="float32")
    wild = [run.model_copy(update={"optimizer": {**run.optimizer, "lr": 1e30}, "seed": 9}) for run in calm]
    (gone, stayed), (alone,) = train([*wild, *calm]), train(calm)
    assert (gone.status, gone.removed, stayed.removed) == ("diverged", True, False)
    assert all(torch.equal(alone.state[name], stayed.state[name]) for name in alone.state)


def test_what_a_graph_must_put_back_after_its_warm_up_includes_the_transforms_state():
    """And the state of a part of the members is that of the whole pack."""
    pack = Pack(runs(CHAIN))
    mean = pack.members.transform_state["transforms.0.grokfast.mean"]
    assert any(tensor is mean for tensor in pack.members.changing)
    part = pack.members.subset(slice(1, 2)).transform_state["transforms.0.grokfast.mean"]
    part += 1
    assert mean.sum(1).tolist() == [0, mean.shape[1]]


@pytest.mark.filterwarnings("ignore::Warning")  # torch's own, while it compiles
def test_a_chain_can_be_compiled(monkeypatch):
    """Traced as one function, with all its transforms, the steps are the eager ones to rounding."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    more = [{**WINDOW[0], "window": 4}, {"name": "orthogonal_gradient"}]
    members = runs([*CHAIN, *more], sweep=SWEEP, model__bias=False, training__max_steps=8)
    for one, other in zip(train(members), train(members, Execution(backend="compiled")), strict=True):
        for name in ("parameters", "transforms.0.grokfast.mean", "transforms.3.grokfast_ma.sums"):
            torch.testing.assert_close(one.state[name], other.state[name], rtol=0, atol=1e-12)


def test_a_phase_changes_a_number_and_keeps_the_state():
    """Until then the run is the plain one; after it, what a pack with the new number makes of that state."""
    change = {"at_step": 20, "set": {"training.transforms.0.lamb": 0.5}}
    (changed,) = runs(CHAIN, phases=[change], training__ideal=False)
    (plain,) = runs(CHAIN, training__ideal=False)
    (other,) = runs([{**CHAIN[0], "lamb": 0.5}, *CHAIN[1:]], training__ideal=False)
    first = Pack([plain])
    train_steps(first, 20)
    second = Pack([other], states=first.states())
    train_steps(second, STEPS)
    (found,) = train([changed])
    assert torch.equal(found.state["parameters"], second.param_EP[0])
    assert changed.settings()["phases.1.training.transforms.0.lamb"] == 0.5
    assert len({changed.run_id, plain.run_id, other.run_id}) == 3


def test_a_phase_may_end_a_chain_or_begin_another():
    """Its columns name what changes; a transform at another place begins with new state."""
    for chain, names in (
        ([], None),
        (CHAIN[1:2], '["normalize"]'),
        ([CHAIN[1], CHAIN[0]], '["normalize", "grokfast"]'),
    ):
        (run,) = runs(CHAIN, phases=[{"at_step": 20, "set": {"training.transforms": chain}}], training__ideal=False)
        assert run.settings()["phases.1.training.transforms"] == names
        state = train([run])[0].state
        assert [name for name in state if "grokfast" in name] == ["transforms.1.grokfast.mean"] * (len(chain) == 2)


def test_the_last_transform_sees_the_step_and_the_parameters_before_the_update():
    """A transform that walks the weights back to zero in as many steps as it counts."""

    @register("transform", "test_back")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Back(Transform):
        """The weights over the steps that are left."""

        steps: PositiveFloat = 4.0

        @staticmethod
        def apply(grad_EP, param_EP, state, at, step_11):
            return param_EP / (at["steps"] - step_11)

    pack = Pack(runs([{"name": "test_back"}], optimizer={"name": "sgd", "lr": 1.0}))
    start_EP = pack.param_EP.clone()
    for step in range(1, 5):
        train_steps(pack, step)
        torch.testing.assert_close(pack.param_EP, start_EP * (1 - step / 4))


def test_transforms_are_part_of_the_identity_and_their_absence_is_not():
    """Runs of before there were transforms keep their ids, in which the former setting is named."""
    plain = runs_of(parity())[0]
    chains = ([CHAIN[1]], [CHAIN[2]], [{"name": "clip", "norm": 0.8}], CHAIN[1:], CHAIN[:0:-1])
    ids = {runs_of(parity(training__transforms=chain))[0].run_id for chain in chains}
    assert len(ids | {plain.run_id}) == 6
    assert runs_of(parity(training__transforms=[]))[0].run_id == plain.run_id
    assert "transforms" not in plain._configuration()
    assert plain._configuration()["clip_norm"] is None


def test_the_table_names_transforms_and_their_settings_by_index():
    """A column of names, and one for each setting."""
    settings = runs(CHAIN)[0].settings()
    assert {name: value for name, value in settings.items() if "transforms" in name} == {
        "training.transforms": '["grokfast", "normalize", "clip"]',
        "training.transforms.0.alpha": 0.9, "training.transforms.0.lamb": 3.0, "training.transforms.2.norm": 0.7,
    }  # fmt: skip
    assert {name: value for name, value in runs([])[0].settings().items() if "transforms" in name} == {
        "training.transforms": None
    }

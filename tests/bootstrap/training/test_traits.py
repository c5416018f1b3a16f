"""Clipping, noise and precision of members, against torch and against their definition."""

import re

import pytest
import torch

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.execution import Execution, torch_settings
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from tests.bootstrap.conftest import parity
from tests.bootstrap.training.plain import trained_by_torch

SGD = {"name": "sgd", "lr": 0.5}


def clip(norm):
    """A chain of one transform, which clips."""
    return [{"name": "clip", "norm": norm}]


def after(steps=1, **training):
    """Parameters at first and after some steps of plain gradient descent, each (P,)."""
    raw = parity(optimizer=SGD, training__ideal=False)
    raw["training"].update(training)
    pack = Pack(runs_of(raw))
    before = pack.param_EP[0].clone()
    train_steps(pack, steps)
    return before, pack.param_EP[0]


def test_a_gradient_is_clipped_as_torch_clips_it():
    """The step of a clipped member is that of torch.nn.utils.clip_grad_norm_; a loose limit changes no bit."""
    before, free = after()
    gradient = (before - free) / SGD["lr"]
    limit = gradient.norm().item() / 3
    leaf = torch.nn.Parameter(before.clone())
    leaf.grad = gradient.clone()
    torch.nn.utils.clip_grad_norm_(leaf, limit)
    _, clipped = after(transforms=clip(limit))
    torch.testing.assert_close(clipped, before - SGD["lr"] * leaf.grad, rtol=1e-5, atol=1e-7)
    assert torch.equal(after(transforms=clip(1e6))[1], free)


NORMS = {"l1": lambda w: w.abs().sum(), "l2": lambda w: w.square().sum(), "linf": lambda w: w.abs().max()}


@pytest.mark.parametrize("name", NORMS)
def test_a_penalty_is_in_the_gradient_as_torch_differentiates_it(name):
    """One step of gradient descent on the loss and the penalty together; the loss of the tables stays the plain one."""
    before, free = after()
    leaf = torch.nn.Parameter(before.clone())
    (added,) = torch.autograd.grad(0.01 * NORMS[name](leaf), leaf)
    _, penalised = after(penalty={"name": name, "strength": 0.01})
    torch.testing.assert_close(penalised, free - SGD["lr"] * added, rtol=1e-5, atol=1e-7)
    assert torch.equal(after(penalty={"name": name, "strength": 0.0})[1], free)


def test_members_of_one_pack_have_penalties_of_their_own_strength():
    """Each is what it is alone; clipping comes after the penalty, which is part of the loss."""
    raw = parity(optimizer=SGD, training__ideal=False, training__transforms=clip(0.1))
    raw["sweep"] = {"training.penalty": [{"name": "l1", "strength": strength} for strength in (0.0, 0.02, 0.5)]}
    runs = runs_of(raw)
    together = Pack(runs)
    train_steps(together, 5)
    for member, run in enumerate(runs):
        alone = Pack([run])
        train_steps(alone, 5)
        assert torch.equal(alone.param_EP[0], together.param_EP[member])
    first = Pack(runs[2:])
    before = first.param_EP.clone()
    train_steps(first, 1)
    assert (first.param_EP - before).norm() == pytest.approx(SGD["lr"] * 0.1, rel=1e-4)


def test_an_l1_penalty_empties_the_weights_of_distracting_bits():
    """What plain training leaves in them, the penalty takes away."""
    raw = parity(training__ideal=False, training__seeds=1, training__max_steps=600, training__train_size=200)
    left = []
    for strength in (0.0, 3e-3):
        raw["training"]["penalty"] = {"name": "l1", "strength": strength}
        pack = Pack(runs_of(raw))
        train_steps(pack, 600)
        weight_OI = pack.weights(0)["hidden.0.weight"]
        left.append((weight_OI[:, 2:].square().sum() / weight_OI.square().sum()).item())
    assert left[1] < 0.2 * left[0]


@pytest.mark.parametrize(
    ("precision", "matmul"),
    [("float32", "highest"), ("tf32", "high"), ("bf16", "highest"), ("bf16_products", "medium")],
)
def test_products_of_float32_have_the_precision_that_a_study_asks_for(precision, matmul):
    """While it trains; torch's own setting is put back."""
    torch.set_float32_matmul_precision("high")
    try:
        with torch_settings(runs_of(parity(training__precision=precision))[0], Execution()):
            assert torch.get_float32_matmul_precision() == matmul
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_update_noise_is_normal_with_the_learning_rate_times_its_scale():
    """What it adds to one update has mean 0 and the stated spread; the next update's is another."""
    _, free = after()
    _, noisy = after(update_noise=0.2)
    added = (noisy - free) / (SGD["lr"] * 0.2)
    count = added.numel()
    assert added.mean().abs() < 4 / count**0.5
    assert added.std() == pytest.approx(1, abs=4 / (2 * count) ** 0.5)
    two, other = after(2, update_noise=0.2)[1], after(1, update_noise=0.2)[1]
    second = (two - other) / (SGD["lr"] * 0.2)
    assert torch.corrcoef(torch.stack((added, second)))[0, 1].abs() < 4 / count**0.5 + 0.2


def test_weight_noise_moves_the_gradient_and_not_the_weights():
    """The gradient is that of noisy weights; it is applied to the true ones."""
    before, free = after()
    _, noisy = after(weight_noise=1e-3)
    assert not torch.equal(noisy, free)
    assert (noisy - free).norm() < 0.1 * (free - before).norm()


@pytest.mark.parametrize("norm", [1.5, 9.0])
def test_a_clamped_norm_follows_a_plain_loop(norm):
    """30 steps of torch's AdamW, after each of which all parameters together are scaled to the norm."""
    adamw = {"name": "adamw", "lr": 0.01, "weight_decay": 0.5}
    (run,) = runs_of(
        parity(optimizer=adamw, training__norm_clamp=norm, training__dtype="float64", training__ideal=False)
    )

    @torch.no_grad()
    def rescaled(leaves):
        own = torch.nn.utils.parameters_to_vector(leaves).norm()
        for leaf in leaves:
            leaf.mul_(norm / own)

    pack = Pack([run])
    start = pack.param_EP.norm()
    assert start != pytest.approx(norm, rel=0.1)  # it is free at step 0
    train_steps(pack, 30)
    expected_P = trained_by_torch(
        run, 30, lambda leaves: torch.optim.AdamW(leaves.values(), lr=0.01, weight_decay=0.5), after=rescaled
    )
    torch.testing.assert_close(pack.param_EP[0], expected_P, rtol=0, atol=1e-11)
    assert Evaluator(pack).rows()[0]["weight_norm"] == pytest.approx(norm, rel=1e-12)


@pytest.mark.parametrize("sequential", [False, True])
def test_members_are_clamped_to_norms_of_their_own(sequential):
    """To the last bit what they are alone; a free one beside them is what it is without."""
    raw = parity(training__ideal=False, training__max_steps=20)
    clamped = runs_of({**raw, "sweep": {"training.norm_clamp": [2.0, 5.0]}})
    (free,) = runs_of(raw)
    together = train([free, *clamped], Execution(sequential=sequential))
    for run, one in zip([free, *clamped], together, strict=True):
        (alone,) = train([run])
        assert torch.equal(alone.state["parameters"], one.state["parameters"])
    norms = [one.state["parameters"].double().norm().item() for one in together]
    assert norms[1:] == pytest.approx([2.0, 5.0], rel=1e-6)
    assert all(norms[0] != pytest.approx(norm, rel=0.1) for norm in (2.0, 5.0))


def test_a_norm_is_clamped_from_a_phase_on_and_after_the_noise():
    """Until then the run is the free one; noise on updates does not move the norm."""
    change = {"at_step": 8, "set": {"training.norm_clamp": 3.0}}
    raw = parity(training__ideal=False, training__max_steps=20, training__update_noise=0.5)
    (late,), (free,) = train(runs_of({**raw, "phases": [change]})), train(runs_of(raw))
    norms = [{row["step"]: row["weight_norm"] for row in one.rows} for one in (late, free)]
    assert norms[0][8] == norms[1][8] != pytest.approx(3.0, rel=0.05)
    later = [norm for step, norm in norms[0].items() if step > 8]
    assert later == pytest.approx([3.0] * 10, rel=1e-6)
    assert late.run.run_id != free.run.run_id


def test_parameters_of_zero_have_no_norm_to_be_scaled_to():
    """They stay zero, and are no NaN."""
    still = {"hidden": {"lr": 0.0}, "output": {"lr": 0.0}}
    pack = Pack(runs_of(parity(training__ideal=False, training__norm_clamp=3.0, training__layers=still)))
    pack.param_EP.zero_()
    train_steps(pack, 2)
    assert not pack.param_EP.any()


@pytest.mark.parametrize("norm", [0, -1])
def test_a_norm_to_be_clamped_to_is_above_zero(norm):
    """And is refused otherwise; without one the runs keep their ids."""
    message = f"`training.norm_clamp`: expected a number above 0, got {norm}. Change it."
    with pytest.raises(StudyError, match=f"^{re.escape(message)}$"):
        runs_of(parity(training__norm_clamp=norm))
    (plain, _), (clamped, _) = runs_of(parity()), runs_of(parity(training__norm_clamp=1.0))
    assert "norm_clamp" not in plain._configuration()
    assert plain.run_id != clamped.run_id
    assert clamped.settings()["training.norm_clamp"] == 1.0


def test_traits_of_some_members_change_no_bit_of_the_others():
    """Beside members with noise, clipping, label noise and scales, a plain one is what it is alone."""
    loose = clip(1e9)  # which is no limit
    (plain,) = runs_of(parity(training__ideal=False, training__max_steps=20, training__transforms=loose))
    raw = parity(training__ideal=False, training__max_steps=20, data__label_noise=0.5, data__test_samples=64)
    raw["training"].update(transforms=clip(0.1), weight_noise=0.1, update_noise=0.1)
    raw["model"].update(output_scale=3.0, init_scale=0.5)
    (odd,) = runs_of(raw)
    (alone,), (beside, other), (odd_alone,) = train([plain]), train([plain, odd]), train([odd])
    assert torch.equal(alone.state["parameters"], beside.state["parameters"])
    assert torch.equal(odd_alone.state["parameters"], other.state["parameters"])
    assert odd_alone.rows[-1]["train_clean_error"] == other.rows[-1]["train_clean_error"]
    assert beside.rows[-1]["train_clean_error"] != beside.rows[-1]["train_clean_error"]  # NaN: its labels are true


def test_random_labels_are_uniform_fixed_per_sample_and_leave_the_test_alone():
    """Half of two classes are wrong by chance, train_clean_error tells the truth, and both worlds see the same."""
    raw = parity(data={"labels": "random", "test_samples": 64}, training__train_size=400, training__batch_size=400)
    pack = Pack(runs_of(raw))
    samples = pack.source.train(slice(0, 2), torch.arange(400).expand(2, -1))
    assert torch.equal(samples.y[0], samples.y[1])
    assert 0.4 < (samples.y != samples.clean)[0].float().mean() < 0.6
    assert torch.equal(Evaluator(pack).test.y, Evaluator(pack).test.clean)
    assert "train_clean_error" in Evaluator(pack).rows()[0]


@pytest.mark.parametrize("task", [None, {"name": "binary_operations", "operation": "x+y", "modulus": 7}])
def test_bfloat16_is_near_float32_and_keeps_its_parameters_in_it(task):
    """Losses after a few steps agree to the eight bits of bfloat16; parameters, losses and rows are no coarser."""
    chosen = {"task": task, "model": {"name": "transformer", "layers": 1, "width": 16, "heads": 2}} if task else {}
    raw = parity(**chosen, training__seeds=2, training__train_size=24)
    plain, coarse = (
        train(runs_of({**raw, "training": {**raw["training"], "precision": p}})) for p in ("float32", "bf16")
    )
    for one, other in zip(plain, coarse, strict=True):
        assert other.state["parameters"].dtype == torch.float32
        assert not torch.equal(one.state["parameters"], other.state["parameters"])
        for row, near in zip(one.rows, other.rows, strict=True):
            assert near["test_loss"] == pytest.approx(row["test_loss"], rel=0.05, abs=0.02)

"""Losses against torch, closed forms and their own members."""

import math

import pytest
import torch
from torch import nn

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.losses import cross_entropy, default_metric, hinge, mse, stablemax

LOSSES = {name: registry.find("loss", name).target for name in ("cross_entropy", "mse", "hinge", "stablemax")}
KEY = streams.keys([0, 1, 2], "test")


def problem(samples=20, classes=5, dtype=torch.float32):
    """Logits (3, B, V) and labels (3, B)."""
    index = torch.arange(samples)[None]
    logits_EBV = 3 * streams.normal(KEY, index, classes).to(dtype)
    return logits_EBV, streams.integers(KEY, index, 1, classes)[..., 0]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_loss_gives_one_finite_non_negative_number_per_sample(name, dtype):
    """Shape (E, B), in the logits' dtype."""
    loss_EB = LOSSES[name](*problem(dtype=dtype))
    assert (loss_EB.shape, loss_EB.dtype) == ((3, 20), dtype)
    assert loss_EB.isfinite().all()
    assert (loss_EB >= 0).all()


def test_every_registered_loss_is_tested_here():
    """A new loss must be added to these tests."""
    assert set(registry.names("loss")) == set(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_a_members_losses_and_gradients_are_its_own(name):
    """Alone or stacked, to the last bit; the gradient of the summed losses is every member's own gradient."""
    logits_EBV, label_EB = problem()
    logits_EBV.requires_grad_()
    loss_EB = LOSSES[name](logits_EBV, label_EB)
    (grad_EBV,) = torch.autograd.grad(loss_EB.mean(1).sum(), logits_EBV)
    for member in range(3):
        alone = logits_EBV[member : member + 1].detach().requires_grad_()
        loss = LOSSES[name](alone, label_EB[member : member + 1])
        assert torch.equal(loss[0], loss_EB[member])
        assert torch.equal(torch.autograd.grad(loss.mean(), alone)[0][0], grad_EBV[member])


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    """torch.autograd.gradcheck in float64."""
    logits_EBV, label_EB = problem(samples=4, classes=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: LOSSES[name](logits, label_EB), logits_EBV.requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_prefers_the_right_label(name):
    """Raising the label's logit lowers a loss that is not yet zero."""
    logits_EBV, label_EB = problem()
    logits_EBV.zero_()
    raised = logits_EBV.scatter(-1, label_EB[..., None], 0.5)
    assert (LOSSES[name](raised, label_EB) < LOSSES[name](logits_EBV, label_EB)).all()


def test_cross_entropy_is_that_of_torch():
    """Member by member, torch.nn.functional.cross_entropy."""
    logits_EBV, label_EB = problem()
    for logits_BV, label_B, loss_B in zip(logits_EBV, label_EB, cross_entropy(logits_EBV, label_EB), strict=True):
        assert torch.equal(loss_B, nn.functional.cross_entropy(logits_BV, label_B, reduction="none"))


def test_float64_cross_entropy_of_float32_logits_is_the_float64_value():
    """Widened before the log-softmax."""
    logits_EBV, label_EB = problem()
    found = cross_entropy(logits_EBV, label_EB, dtype="float64")
    assert found.dtype == torch.float64
    assert torch.equal(found, cross_entropy(logits_EBV.double(), label_EB))


@pytest.mark.parametrize("own", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_cross_entropy_is_that_of_torch_in_its_dtype(own, dtype):
    """16 bits make any logits coarser, float32 leaves float64 alone; the gradient has the logits' own dtype."""
    logits_EBV, label_EB = problem(dtype=own)
    logits_EBV.requires_grad_()
    wanted = torch.float64 if (own, dtype) == (torch.float64, "float32") else getattr(torch, dtype)
    found = cross_entropy(logits_EBV, label_EB, dtype=dtype)
    expected = nn.functional.cross_entropy(logits_EBV[1].to(wanted), label_EB[1], reduction="none")
    assert found.dtype == wanted
    assert torch.equal(found[1], expected)
    assert torch.autograd.grad(found.sum(), logits_EBV)[0].dtype == own


def test_softmax_collapses_in_float16_long_before_it_does_in_float32():
    """Prieto et al. 2025: at a margin of 9 the loss is exactly 0 in float16, and a tenth of a thousandth in float32."""
    logits, label = torch.tensor([[[9.0, 0.0]]]), torch.tensor([[0]])
    assert cross_entropy(logits, label, dtype="float16").item() == 0
    assert cross_entropy(logits, label).item() == pytest.approx(math.log1p(math.exp(-9)), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_squares_of_real_valued_labels_have_the_dtype_of_the_logits(dtype):
    """Labels are float32 whatever the network computes in."""
    found = mse(torch.full((1, 2, 1), 1.5, dtype=dtype), torch.tensor([[1.0, 0.5]]))
    assert (found.dtype, found.tolist()) == (dtype, [[0.25, 1.0]])


@pytest.mark.parametrize("margin", [18.0, 25.0, 30.0])
def test_cross_entropy_of_a_well_fitted_sample_vanishes_in_float32_and_not_in_float64(margin):
    """log(1 + exp(-margin)): exactly 0 with no gradient in float32, kept with its gradient in float64."""
    label = torch.tensor([[0]])
    found = {}
    for dtype in ("float32", "float64"):
        logits = torch.tensor([[[margin, 0.0]]], requires_grad=True)
        loss = cross_entropy(logits, label, dtype=dtype)
        found[dtype] = loss.item(), torch.autograd.grad(loss.sum(), logits)[0][0, 0, 0].item()
    assert found["float32"] == (0.0, 0.0)
    loss, slope = found["float64"]
    assert loss == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-2)
    assert slope == pytest.approx(-1 / (1 + math.exp(margin)), rel=1e-2)


def test_cross_entropy_stays_finite_for_huge_margins():
    """A wrong label by 10,000 costs 10,000."""
    assert cross_entropy(torch.tensor([[[1e4, 0.0]]]), torch.tensor([[1]])).item() == 1e4


def by_stablemax(logits, label):
    """The authors' form, of one sample as Python numbers."""
    weights = [x + 1 if x >= 0 else 1 / (1 - x) for x in logits]
    return -math.log(weights[label] / sum(weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stablemax_is_its_formula(dtype):
    """Written as a loop over Python's numbers, with logits of 0 among them."""
    logits_EBV, label_EB = problem(dtype=dtype)
    logits_EBV[0, :4] = 0
    found_EB = stablemax(logits_EBV, label_EB)
    expected = [
        [by_stablemax(logits, label) for logits, label in zip(rows, labels, strict=True)]
        for rows, labels in zip(logits_EBV.tolist(), label_EB.tolist(), strict=True)
    ]
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    torch.testing.assert_close(found_EB, torch.tensor(expected, dtype=dtype), rtol=tolerance, atol=tolerance)
    assert stablemax(logits_EBV, label_EB, dtype="float64").dtype == torch.float64


def test_stablemax_has_a_slope_of_one_at_zero():
    """Where its two halves meet: of two logits of 0 the gradient is that of softmax, -1/2 and 1/2."""
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(stablemax(logits, torch.tensor([[0]])).sum(), logits)
    assert grad.tolist() == [[[-0.5, 0.5]]]


def test_stablemax_has_a_gradient_where_softmax_has_collapsed():
    """Prieto et al. 2025: at a margin of 40 cross-entropy is 0 in float32, and so is its gradient."""
    label = torch.tensor([[0]])
    for loss, vanishes in ((cross_entropy, True), (stablemax, False)):
        logits = torch.tensor([[[20.0, -20.0]]], requires_grad=True)
        value = loss(logits, label)
        (grad,) = torch.autograd.grad(value.sum(), logits)
        assert (value.item() == 0, grad[0, 0, 0].item() == 0) == (vanishes, vanishes)
    assert value.item() == pytest.approx(math.log1p(1 / 21**2), rel=1e-4)


@pytest.mark.parametrize("own", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_stablemax_is_computed_in_its_dtype(own, dtype):
    """As cross-entropy is; the gradient has the logits' own dtype."""
    logits_EBV, label_EB = problem(dtype=own)
    logits_EBV.requires_grad_()
    found = stablemax(logits_EBV, label_EB, dtype=dtype)
    assert found.dtype == cross_entropy(logits_EBV, label_EB, dtype=dtype).dtype
    assert torch.autograd.grad(found.sum(), logits_EBV)[0].dtype == own
    rough = stablemax(logits_EBV.detach().double(), label_EB)
    torch.testing.assert_close(found.detach().double(), rough, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("target", [1.0, 2.5])
def test_mse_is_that_of_torch_against_the_scaled_one_hot_label(target):
    """Mean over the classes of the squared distance."""
    logits_EBV, label_EB = problem()
    aim = target * nn.functional.one_hot(label_EB, 5).float()
    expected = nn.functional.mse_loss(logits_EBV, aim, reduction="none").mean(-1)
    assert torch.allclose(mse(logits_EBV, label_EB, target=target), expected, rtol=1e-6)


def test_mse_is_zero_exactly_at_its_target():
    """And nowhere near it."""
    label = torch.tensor([[2]])
    logits = 3.0 * nn.functional.one_hot(label, 4).float()
    assert mse(logits, label, target=3.0).item() == 0
    assert mse(logits, label).item() == 1


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_hinge_of_many_classes_is_the_crammer_singer_loss(margin):
    """max(0, margin + largest other logit - label's logit), written as a loop."""
    logits_EBV, label_EB = problem()
    loss_EB = hinge(logits_EBV, label_EB, margin=margin)
    for member in range(3):
        for row, (logits, label) in enumerate(zip(logits_EBV[member].tolist(), label_EB[member].tolist(), strict=True)):
            other = max(value for place, value in enumerate(logits) if place != label)
            assert loss_EB[member, row].item() == pytest.approx(max(0.0, margin + other - logits[label]), abs=1e-5)


def test_hinge_of_two_classes_is_the_usual_hinge_of_their_difference():
    """max(0, 1 - y f) with y = +1 for label 1 and f the difference of the logits."""
    logits_EBV, label_EB = problem(classes=2)
    f_EB, sign_EB = logits_EBV[..., 1] - logits_EBV[..., 0], 2 * label_EB - 1
    assert torch.allclose(hinge(logits_EBV, label_EB), (1 - sign_EB * f_EB).clamp(min=0), atol=1e-6)


def test_hinge_has_no_gradient_once_the_margin_is_kept():
    """A sample beyond the margin no longer pulls."""
    logits = torch.tensor([[[3.0, 0.0], [0.5, 0.0]]], requires_grad=True)
    (grad,) = torch.autograd.grad(hinge(logits, torch.tensor([[0, 0]])).sum(), logits)
    assert grad.tolist() == [[[0.0, 0.0], [-1.0, 1.0]]]


def test_losses_pass_nan_on():
    """A diverged network has no finite loss."""
    for loss in LOSSES.values():
        assert loss(torch.full((1, 1, 3), torch.nan), torch.tensor([[1]])).isnan().all()


def test_only_cross_entropy_is_compared_by_the_soft_error():
    """Squares and hinges have no probabilities, and StableMax has others than softmax."""
    found = {name: default_metric(name) for name in LOSSES}
    assert found == {"cross_entropy": "soft_error", "mse": "error", "hinge": "error", "stablemax": "error"}

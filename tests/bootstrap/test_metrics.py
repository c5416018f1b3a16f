"""Error and soft error against plain Python and torch."""

import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.metrics import Reading, errors, soft_error

KEY = streams.keys([0, 1, 2], "test")


def problem(samples=40, classes=5):
    """Logits (3, B, V) and labels (3, B)."""
    index = torch.arange(samples)[None]
    return 2 * streams.normal(KEY, index, classes), streams.integers(KEY, index, 1, classes)[..., 0]


def test_wrong_without_ties_is_argmax():
    """A sample is wrong where the largest logit is not the label's."""
    logits_EBV, label_EB = problem()
    assert torch.equal(errors(logits_EBV, label_EB), logits_EBV.argmax(-1) != label_EB)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_network_that_gives_every_class_the_same_logit_is_always_wrong(label):
    """Ties are wrong, wherever the label lies."""
    assert errors(torch.zeros(1, 1, 3), torch.tensor([[label]])).item()


def test_a_tie_among_other_classes_is_not_wrong():
    """Only a tie with the label counts."""
    assert not errors(torch.tensor([[[1.0, 0.5, 0.5]]]), torch.tensor([[0]])).item()


@pytest.mark.parametrize(
    "logits",
    [[torch.nan, 0.0], [0.0, torch.nan], [torch.nan, torch.nan], [torch.inf, torch.inf], [-torch.inf, -torch.inf]],
)
def test_logits_that_are_not_finite_are_wrong(logits):
    """NaN anywhere, and infinite ties."""
    assert errors(torch.tensor([[logits]]), torch.tensor([[0]])).item()


def test_an_infinite_right_logit_is_right():
    """It is larger than every other."""
    assert not errors(torch.tensor([[[0.0, torch.inf]]]), torch.tensor([[1]])).item()


def test_doubt_is_one_minus_the_softmax_of_the_label():
    """Written as a quotient of exponentials, in float64."""
    logits_EBV, label_EB = problem()
    weight_EBV = logits_EBV.double().exp()
    expected = 1 - weight_EBV.gather(-1, label_EB[..., None])[..., 0] / weight_EBV.sum(-1)
    assert torch.allclose(soft_error(logits_EBV.double(), label_EB), expected, rtol=1e-12)
    assert torch.allclose(soft_error(logits_EBV, label_EB), expected.float(), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 4, 97])
def test_doubt_of_equal_logits_is_the_share_of_wrong_labels(classes):
    """1 - 1 / V."""
    assert soft_error(torch.zeros(1, 1, classes), torch.tensor([[0]])).item() == pytest.approx(1 - 1 / classes)


def test_doubt_lies_between_zero_and_one_for_extreme_logits():
    """Exactly 0 and 1 at the ends, also for infinite margins of 10**30."""
    logits = torch.tensor([[[1e30, -1e30], [-1e30, 1e30], [80.0, -80.0]]])
    assert soft_error(logits, torch.zeros(1, 3, dtype=torch.int64)).tolist() == [[0.0, 1.0, 0.0]]
    spread, label_EB = problem(samples=200)
    found = soft_error(30 * spread, label_EB)
    assert (found.min() >= 0, found.max() <= 1) == (True, True)


def test_doubt_of_nan_is_nan():
    """A diverged network is not given a number."""
    assert soft_error(torch.tensor([[[torch.nan, 0.0]]]), torch.tensor([[1]])).isnan().item()


@pytest.mark.parametrize("metric", [errors, soft_error])
def test_metrics_of_a_member_are_its_own(metric):
    """One number per sample, the same alone and beside others, and for further leading axes."""
    logits_EBV, label_EB = problem()
    found = metric(logits_EBV, label_EB)
    assert found.shape == (3, 40)
    for member in range(3):
        assert torch.equal(metric(logits_EBV[member : member + 1], label_EB[member : member + 1])[0], found[member])
    folded = metric(logits_EBV.view(3, 4, 10, 5), label_EB.view(3, 4, 10))
    assert torch.equal(folded.view(3, 40), found)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_real_labels_are_read_off_logits_by_their_scale(scale):
    """The squared error is that of the logit over the scale, whatever the loss asks for; also as soft error."""
    logits_EBV, label_EB = problem(classes=1)[0], streams.normal(KEY, torch.arange(40)[None], 1)[..., 0]
    expected = [
        [(logit / scale - label) ** 2 for logit, label in zip(logits, labels, strict=True)]
        for logits, labels in zip(logits_EBV[..., 0].double().tolist(), label_EB.double().tolist(), strict=True)
    ]
    for metric in (errors, soft_error):
        found = metric(logits_EBV, label_EB, Reading(scale))
        torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-6)


def test_a_real_label_is_right_where_its_squared_error_is_below_the_mark():
    """At the mark it is wrong, as is NaN; the soft error stays the square."""
    logits, labels = torch.tensor([[[1.0], [1.5], [2.0], [torch.nan]]]), torch.ones(1, 4)
    reading = Reading(correct_below=0.25)
    assert errors(logits, labels, reading).tolist() == [[False, True, True, True]]
    assert soft_error(logits, labels, reading)[0, :3].tolist() == [0, 0.25, 1]


def test_the_mark_is_no_matter_of_classes():
    """Errors of classes are the same with it."""
    logits_EBV, label_EB = problem()
    assert torch.equal(errors(logits_EBV, label_EB, Reading(2.0, 0.1)), errors(logits_EBV, label_EB))

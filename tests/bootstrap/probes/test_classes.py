"""Accuracy of every class by itself, against counts one sample at a time."""

import math
import re

import pytest
import torch

from deepboot.bootstrap.probes.classes import class_accuracy
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from tests.bootstrap.conftest import parity
from tests.bootstrap.probes.spy import given, noise

DIVISORS = {
    "name": "greatest_common_divisor", "base": 10, "largest_operand": 99, "largest_outcome": 6, "test": "stratified",
}  # fmt: skip


def by_hand(measured, member):
    """Right and all test samples of each class, counted one by one."""
    right, number = [0] * measured.task.classes, [0] * measured.task.classes
    for x, y in zip(measured.test.x[member], measured.test.y[member].tolist(), strict=True):
        every = x.expand(len(measured.param_EP), 1, *x.shape)
        logits = measured.forward(measured.param_EP, measured.buffers, every)[member, 0]
        number[y] += 1
        right[y] += int(logits.argmax()) == y
    return [r / n if n else math.nan for r, n in zip(right, number, strict=True)]


def test_classes_have_the_accuracy_of_their_own_samples():
    """Of random networks, for every member; a stratified test has no sample of the class of all other divisors."""
    (measured, _) = given(noise(3), task=DIVISORS, data__test_samples=70, training__seeds=2)
    values = class_accuracy(measured)
    assert list(values) == [*(f"of_{number}" for number in range(7)), "learned"]
    for member in range(2):
        expected = by_hand(measured, member)
        assert math.isnan(expected[0])
        assert max(expected[1:]) > 0
        assert [values[f"of_{n}"][member].item() for n in range(7)] == pytest.approx(expected, nan_ok=True)


def knows(measured, known):
    """The members, right on these classes and answering 0 to all others."""
    answer_EB = torch.where(torch.isin(measured.test.y, torch.tensor(known)), measured.test.y, 0)
    logits = torch.nn.functional.one_hot(answer_EB, measured.task.classes).double()
    return type(measured)(**{**vars(measured), "forward": lambda *_: logits, "test_block": 1_000})


def test_the_share_of_learned_classes_counts_those_of_the_test():
    """A network that knows 1 and 5 of the six divisors has learned a third, whatever classes are listed."""
    (measured, _) = given(task=DIVISORS, data__test_samples=200)
    values = class_accuracy(knows(measured, [1, 5]), classes=[5, 2])
    assert {name: value.item() for name, value in values.items()} == {"of_5": 1, "of_2": 0, "learned": 2 / 6}


def test_a_class_is_learned_from_the_threshold_on():
    """A network that answers 1 to all is right on three quarters of what it says where one of four labels is wrong."""
    (measured, _) = given(task__num_relevant=2, data__test_samples=4)
    test = type(measured.test)(measured.test.x, torch.tensor([[1, 1, 1, 1]]))
    logits = torch.nn.functional.one_hot(torch.tensor([[1, 1, 1, 0]]), 2).double()
    own = type(measured)(**{**vars(measured), "test": test, "forward": lambda *_: logits, "test_block": 1_000})
    for threshold, learned in ((0.75, 1.0), (0.76, 0.0)):
        values = class_accuracy(own, threshold=threshold)
        assert (values["of_1"].item(), values["learned"].item()) == (0.75, learned)
        assert values["of_0"].isnan().all()


def test_it_is_a_probe_of_a_study():
    """With its names known before training, so that a claim may be about them."""
    raw = parity(task=DIVISORS, probes={"class_accuracy": {"classes": [2], "every": 2}})
    raw["claims"] = [{"kind": "final_error", "metric": "probes.class_accuracy.of_2", "max": 1.0, "world": "ideal"}]
    assert len(runs_of(raw)) == 2


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({"task": DIVISORS}, {"classes": [6, 7]}, "classes: expected different ones of 0 .. 6, got 7. Change them."),
        ({"task": DIVISORS}, {"classes": [2, 2]}, "classes: expected different ones of 0 .. 6, got [2, 2]. Change "
         "them."),
        ({"task": {"name": "gaussian"}, "loss": {"name": "mse"}}, {}, "labels of this task are numbers, not classes. "
         "Remove the probe."),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused(changes, settings, message):
    """With what is expected, what came and the cure; a study says so before training."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        class_accuracy(given(**changes)[0], **settings)
    with pytest.raises(StudyError) as caught:
        runs_of(parity(**changes, probes={"class_accuracy": settings}))
    assert caught.value.problems == [f"`probes.class_accuracy`: {message}"]

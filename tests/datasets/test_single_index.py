"""Powers of one direction: the labels by hand, and the network of Kumar et al. by plain gradient descent."""

import math
import re

import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.single_index import SingleIndex

DIMENSIONS, UNITS, SAMPLES, CURVATURE = 12, 20, 60, 0.25


def study(**changes):
    """The paper's experiment in small: the mean of bent units without output weights, two output scales in a pack."""
    raw = {
        "question": "Is this a test?",
        "task": {"name": "single_index", "dimensions": DIMENSIONS},
        "model": {
            "name": "mlp", "width": UNITS, "bias": False, "initialization": "lecun", "activation": "bent",
            "curvature": CURVATURE, "readout": "mean",
        },
        "optimizer": {"name": "sgd"},
        "loss": {"name": "mse"},
        "data": {"test_samples": 100},
        "training": {"train_size": SAMPLES, "batch_size": "full", "max_steps": 20, "seeds": 1, "dtype": "float64"},
        "sweep": {"model.output_scale": [0.5, 2.0]},
        "settings": [
            {"where": {"model.output_scale": alpha}, "set": {"optimizer.lr": UNITS / (2 * DIMENSIONS * alpha**2)}}
            for alpha in (0.5, 2.0)
        ],
    }  # fmt: skip
    return {**raw, **changes}


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_labels_are_powers_of_the_projection(degree):
    """By a loop over samples; the direction has length 1 and is that of its seed, for every member alike."""
    task = SingleIndex(dimensions=7, degree=degree)
    x, y = task.sample(streams.keys((0, 1), "data"), torch.arange(30).expand(2, -1))
    b = task.direction_D.tolist()
    assert math.isclose(sum(part**2 for part in b), 1)
    assert b != SingleIndex(dimensions=7, teacher_seed=1).direction_D.tolist()
    for member in range(2):
        for sample, label in zip(x[member].tolist(), y[member].tolist(), strict=True):
            projection = sum(part * value for part, value in zip(b, sample, strict=True))
            assert label == pytest.approx(projection**degree / math.factorial(degree), rel=1e-5, abs=1e-6)


def test_labels_of_degree_two_have_mean_and_variance_of_one_half():
    """As the docstring says, within five standard errors of 100,000 samples."""
    _, y = SingleIndex(dimensions=3).sample(streams.keys([0], "data"), torch.arange(100_000)[None])
    assert abs(y.mean().item() - 0.5) < 5 * math.sqrt(0.5 / 100_000)
    assert abs(y.var().item() - 0.5) < 5 * math.sqrt(14 / 4 / 100_000)  # the fourth central moment of z^2 / 2 is 15 / 4


def test_gradient_descent_is_the_papers():
    """Members with their own output scale alpha and rate eta / alpha^2 descend as N f of inputs divided by sqrt(D)."""
    pack = Pack(runs_of(study(training={**study()["training"], "ideal": False})))
    start = pack.member_step.stack.named(pack.param_EP.clone())["hidden.0.weight"]
    block = pack.data.block(0, 1)
    train_steps(pack, 20)
    after = pack.member_step.stack.named(pack.param_EP)["hidden.0.weight"]
    for member, alpha in enumerate((0.5, 2.0)):
        W = (start[member] * math.sqrt(DIMENSIONS)).clone()  # of variance 1, as in the paper
        X, y = block.x[member, 0].double() / math.sqrt(DIMENSIONS), block.y[member, 0].double()
        assert len(y) == SAMPLES
        for _ in range(20):
            h = X @ W.T
            residual = alpha * (h + CURVATURE / 2 * h**2).mean(1) - y
            # of the loss divided by alpha^2, at the rate N / 2
            gradient = 2 / (SAMPLES * alpha * UNITS) * (residual[:, None] * (1 + CURVATURE * h)).T @ X
            W -= UNITS / 2 * gradient
        torch.testing.assert_close(after[member], W / math.sqrt(DIMENSIONS), rtol=1e-5, atol=1e-7)


def test_a_degree_is_a_small_whole_number():
    """A constant label has nothing to learn."""
    sentence = "`task.degree`: expected a number at least 1, got 0. Change it."
    with pytest.raises(StudyError, match=f"^{re.escape(sentence)}"):
        runs_of(study(task={"name": "single_index", "degree": 0}))

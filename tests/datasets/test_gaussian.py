"""The Gaussian task: exact population error, closed-form training, and the stages of both worlds."""

import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.study.build import build_task
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.bootstrap.training.train import train
from deepboot.datasets.gaussian import Gaussian

LINEAR = {"name": "mlp", "depth": 0, "bias": False, "init_scale": 0.1}


def study(task=(), *, optimizer=(), **training):
    return {
        "question": "Is this a test?",
        "task": {"name": "gaussian", "dimensions": 40, "spikes": 4, "bulk_variance": 0.05, **dict(task)},
        "model": LINEAR,
        "optimizer": {"name": "sgd", "lr": 0.05, **dict(optimizer)},
        "loss": {"name": "mse"},
        "training": {"train_size": 20, "batch_size": "full", "max_steps": 50, "seeds": 1, **training},
    }


def drawn(task, count, seed=0):
    key = streams.keys([seed], "data")
    return (part[0].double() for part in task.sample(key, torch.arange(count)[None]))


@pytest.mark.parametrize("features", ["raw", "white"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_inputs_and_labels_have_the_stated_distribution(features, noise):
    """Variances by direction, a label of variance 1, and a teacher that leaves just the noise unexplained."""
    task = Gaussian(dimensions=6, spikes=2, bulk_variance=0.1, noise=noise, features=features)
    x, y = drawn(task, 50_000)
    expected = torch.ones(6).double() if features == "white" else task.spectrum_D
    torch.testing.assert_close(x.var(0), expected, rtol=0.05, atol=0)
    assert y.var().item() == pytest.approx(1, rel=0.03)
    coefficients = task.teacher_D * (task.spectrum_D.sqrt() if features == "white" else 1)
    assert (y - x @ coefficients).var().item() == pytest.approx(noise, rel=0.03, abs=1e-9)


@pytest.mark.parametrize("features", ["raw", "white"])
def test_the_test_error_is_the_populations(features):
    """After training, the row's test error is the quadratic form of the weights, and agrees with 200,000 samples."""
    pack = Pack(runs_of(study({"features": features, "noise": 0.2}, optimizer={"lr": 0.01})))
    train_steps(pack, 30)
    task = build_task(pack.runs[0].task)
    for member, row in enumerate(Evaluator(pack).rows()):
        w = pack.param_EP[member].double() / (task.spectrum_D.sqrt() if features == "white" else 1)
        exact = (task.spectrum_D * (w - task.teacher_D).square()).sum().item()
        for name in ("test_loss", "test_error", "test_soft_error"):
            assert row[name] == pytest.approx(exact, rel=1e-5)
        x, y = drawn(task, 200_000, seed=9)
        assert (x @ pack.param_EP[member].double() - y).square().mean().item() == pytest.approx(exact + 0.2, rel=0.02)


def test_gradient_descent_on_the_pool_is_its_closed_form():
    """w_t = w* + (1 - 2 lr X'X / n)^t (w_0 - w*), with w* the pool's interpolation nearest to w_0."""
    pack = Pack(runs_of(study(ideal=False, dtype="float64")))
    x, y = (part[0].double() for part in (pack.data.groups[0].pool.x, pack.data.groups[0].pool.y))
    start = pack.param_EP[0].clone()
    nearest = start + torch.linalg.pinv(x) @ (y - x @ start)
    shrink = torch.eye(40).double() - 2 * 0.05 * x.mT @ x / len(x)
    train_steps(pack, 50)
    expected = nearest + torch.linalg.matrix_power(shrink, 50) @ (start - nearest)
    torch.testing.assert_close(pack.param_EP[0], expected, rtol=1e-9, atol=1e-9)


def test_the_ideal_world_descends_on_the_population_on_average():
    """Mean weights of 400 seeds are those of gradient descent on the population's error, to sampling error."""
    runs = [run for run in runs_of(study(seeds=400, max_steps=20)) if run.rule == "ideal"]
    pack = Pack(runs)
    task, start = build_task(runs[0].task), pack.param_EP.double()
    train_steps(pack, 20)
    shrink_D = (1 - 2 * 0.05 * task.spectrum_D) ** 20
    expected = task.teacher_D + shrink_D * (start - task.teacher_D)
    off = (pack.param_EP.double() - expected).mean(0) / (pack.param_EP.double() - expected).std(0) * 400**0.5
    assert off.abs().max() < 4.5


def test_both_worlds_pass_through_three_stages():
    """Together while the spikes are learned; then the pool is fitted and the real world stays where the ideal goes on.

    Source: Ghosh, Mei, Yu 2021, arXiv 2106.08619; the toy example of Nakkiran et al. 2021, arXiv 2010.08127.
    """
    task = {"dimensions": 200, "spikes": 10, "bulk_variance": 0.02}
    real, ideal = train(runs_of(study(task, train_size=100, max_steps=1_500)))
    rows = {row["step"]: (row, other) for row, other in zip(real.rows, ideal.rows, strict=True)}
    early, late = rows[19], rows[1_500]
    assert early[0]["test_error"] < 0.3
    assert abs(early[0]["test_error"] - early[1]["test_error"]) < 0.05
    assert late[0]["train_error"] < 0.005
    assert late[0]["test_error"] > 0.08
    assert late[1]["test_error"] < 0.005


def test_settings_that_do_not_go_together_are_refused():
    """Losses of classes, noise on labels, and impossible spectra, each by a sentence."""
    raw = study()
    for changes, sentence in [
        ({"loss": {"name": "cross_entropy"}},
         "`loss.name`: loss 'cross_entropy' compares classes, this task has real-valued labels. Use mse."),
        ({"loss": {"name": "hinge"}},
         "`loss.name`: loss 'hinge' compares classes, this task has real-valued labels. Use mse."),
        ({"loss": {"name": "stablemax"}},
         "`loss.name`: loss 'stablemax' compares classes, this task has real-valued labels. Use mse."),
        ({"data": {"label_noise": 0.1}},
         "`data`: real-valued labels have no classes to be replaced by. Remove label_noise and labels."),
        ({"task": {"name": "gaussian", "dimensions": 3, "spikes": 4}},
         "`task`: spikes must be at most dimensions = 3, got 4. Lower it."),
        ({"task": {"name": "gaussian", "spikes": 0, "teacher": "spikes"}},
         "`task`: teacher = 'spikes' needs spikes of at least 1, got 0. Raise it, or set teacher = 'all'."),
    ]:  # fmt: skip
        with pytest.raises(StudyError) as refused:
            runs_of({**raw, **changes})
        assert refused.value.problems == [sentence]

"""The Gaussian task: exact population error, closed-form training, and the stages of both worlds."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from deepboot.bootstrap import streams
from deepboot.bootstrap.events import run_events
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


def linear_study(max_steps=100, **changes):
    """The linear teacher and student of Levi et al. 2023, in small: 60 dimensions, 150 samples, a student at 0."""
    raw = study(
        {"dimensions": 60, "spikes": 0, "bulk_variance": 1.0}, optimizer={"lr": 0.01},
        train_size=150, max_steps=max_steps, dtype="float64", layers={"output": {"init_scale": 0.0}},
    )  # fmt: skip
    return {**raw, "probes": {"population_loss": {}}, "data": {"test_samples": 3_000}, **changes}


def closed_form(x, steps, lr=0.01):
    """|D|^2 on the population and on the pool after so many steps: D = (1 - 2 lr S)^t D_0, by the eigenvalues of S.

    Args:
        x: the pool, (N, D).
        steps: at which both are wanted.
    """
    value_D, vector_DD = np.linalg.eigh(x.T @ x / len(x))
    start_D = vector_DD.T @ Gaussian(dimensions=60, spikes=0, bulk_variance=1.0).teacher_D.numpy()
    shrunk = [(start_D * (1 - 2 * lr * value_D) ** step) ** 2 for step in steps]
    return [one.sum() for one in shrunk], [(one * value_D).sum() for one in shrunk]


def population_losses(outcome):
    """What the probe measured, evaluation by evaluation."""
    return [row["values"]["population_loss"] for row in outcome.probes]


def test_the_linear_teacher_is_learned_as_its_closed_form_says():
    """The probe is |student - teacher|^2 in both worlds, 1 at the start, and the train loss that of the pool."""
    runs = runs_of(linear_study(400))
    x = Pack(runs).data.groups[0].pool.x[0].double().numpy()
    real, ideal = train(runs)
    steps = [row["step"] for row in real.rows]
    population, pool = closed_form(x, steps)
    assert population_losses(real) == pytest.approx(population, rel=1e-5, abs=1e-12)
    assert [row["train_loss"] for row in real.rows] == pytest.approx(pool, rel=1e-5, abs=1e-12)
    assert population_losses(real)[0] == pytest.approx(1, rel=1e-6)
    for outcome in (real, ideal):
        for row, exact in zip(outcome.rows, population_losses(outcome), strict=True):
            assert row["test_loss"] == pytest.approx(exact, rel=0.15, abs=1e-12)


def test_accuracy_of_the_linear_teacher_follows_from_its_loss():
    """Predictions within sqrt(eps) of a normal error of variance L: erf(sqrt(eps / 2L)); both events happen in order.

    Source: Levi, Beck, Bar-Sinai 2023, arXiv 2310.16441, equation of the accuracy.
    """
    below = 1e-3
    raw = linear_study(1_500, evaluation={"correct_below": below, "threshold": 0.95})
    outcomes = train(runs_of(raw))
    for outcome in outcomes:
        for row, exact in zip(outcome.rows, population_losses(outcome), strict=True):
            expected = math.erf(math.sqrt(below / (2 * exact)))
            assert 1 - row["test_error"] == pytest.approx(expected, abs=4.5 * 0.5 / 3_000**0.5)
            assert row["test_soft_error"] == row["test_loss"]
    events = [run_events(pd.DataFrame(one.rows), world=one.run.rule, threshold=0.95) for one in outcomes]
    real, ideal = ([each[f"{event}_high"] for event in ("memorization", "grokking")] for each in events)
    assert real[0] < real[1]
    assert real[1] > ideal[1]


def exact_steps(x_of_step, x_pool, x_test, teacher, schedule, below=1e-3, lr=0.05):
    """The evaluations at which 95 % of the pool and of the test are right three times in a row, in plain NumPy.

    Args:
        x_of_step: the batch of every step, (N, D).
        x_pool: what memorisation is seen on, (N, D); None for the batches since the last evaluation, as without a pool.
        x_test: (T, D).
        teacher: (D,), the student's error at the start.
        schedule: steps of the evaluations.
    """
    error, online, seen = teacher.copy(), [], []
    for step in range(max(schedule) + 1):
        x = x_of_step(step)
        if step in schedule:
            right = (np.square(x_pool @ error) < below).mean() if x_pool is not None else np.mean(online or [0.0])
            seen.append((right, (np.square(x_test @ error) < below).mean()))
            online = []
        online.append((np.square(x @ error) < below).mean())
        error = error - 2 * lr * x.T @ (x @ error) / len(x)
    for column in np.array(seen).T >= 0.95:
        yield schedule[next(k for k in range(len(column)) if all(column[k : k + 3]))]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_both_events_of_both_worlds_are_where_linear_algebra_puts_them(seed):
    """At the same evaluation exactly: of the pool by its own recursion, of the ideal world by that of its batches."""
    evaluation = {"correct_below": 1e-3, "threshold": 0.95, "per_octave": 12}
    raw = linear_study(1_500, evaluation=evaluation)
    raw["training"] |= {"seeds": [seed], "train_size": 90}
    raw["optimizer"]["lr"] = 0.05
    runs = runs_of(raw)
    task, data = build_task(runs[0].task), Pack(runs).data
    x_pool, x_test = (batch.x[0].double().numpy() for batch in (data.groups[0].pool, data.source.test()))
    key, size = streams.keys([seed], "data"), len(x_pool)

    def fresh(step):
        return task.sample(key, torch.arange(step * size, (step + 1) * size)[None]).x[0].double().numpy()

    assert np.array_equal(fresh(0), x_pool)
    for outcome, x_of_step, pool in zip(train(runs), (lambda _: x_pool, fresh), (x_pool, None), strict=True):
        schedule = [row["step"] for row in outcome.rows]
        exact = list(exact_steps(x_of_step, pool, x_test, task.teacher_D.numpy(), schedule))
        found = run_events(pd.DataFrame(outcome.rows), world=outcome.run.rule, threshold=0.95)
        assert [found["memorization_high"], found["grokking_high"]] == exact


def test_the_online_error_counts_right_predictions_too():
    """Of a full batch it is the train error of the step before, as share."""
    (real, _) = train(runs_of(linear_study(evaluation={"correct_below": 0.05, "schedule": 1})))
    for before, after in zip(real.rows, real.rows[1:], strict=False):
        assert after["online_error"] == pytest.approx(before["train_error"], abs=1e-9)
    assert 0.05 < real.rows[60]["train_error"] < 0.95


def test_a_target_scales_predictions_and_changes_no_error():
    """A student of target 3 at a ninth of the rate is three times as large, and has the same errors."""
    one, three = (
        train(runs_of(linear_study(loss={"name": "mse", "target": target}, optimizer={"name": "sgd", "lr": 0.01})))
        for target in (1.0, 3.0)
    )
    for plain, scaled in zip(one, three, strict=True):
        for name in ("test_error", "test_soft_error"):
            assert [row[name] for row in scaled.rows] == pytest.approx([row[name] for row in plain.rows], rel=1e-6)
        assert scaled.rows[0]["test_loss"] == pytest.approx(9 * plain.rows[0]["test_loss"])


def test_the_population_loss_needs_a_linear_network_and_an_exact_test():
    """Other networks, and tasks without an exact test set, are refused by a sentence."""
    sentence = (
        "`probes.population_loss`: expected a task with an exact test set, such as gaussian, and a linear network with "
        "output.weight alone, such as an mlp with depth = 0 and bias = false, got {}. Remove the probe."
    )
    for changes, got in [
        ({"model": {"name": "mlp", "depth": 0}}, "Gaussian and output.weight, output.bias"),
        ({"task": {"name": "teacher_student", "depth": 0}}, "TeacherStudent and output.weight"),
    ]:
        with pytest.raises(StudyError) as refused:
            runs_of(linear_study(**changes))
        assert refused.value.problems == [sentence.format(got)]


def test_what_counts_as_right_is_part_of_a_runs_identity_only_where_it_is_said():
    """Runs without it keep the ids that they had before there was such a setting."""
    ids = [
        [run.run_id for run in runs_of(study() | {"data": {"test_samples": 50}} | changes)]
        for changes in ({}, {"evaluation": {"correct_below": 0.1}}, {"evaluation": {"correct_below": 0.2}})
    ]
    assert len({run_id for each in ids for run_id in each}) == 6
    assert "correct_below" not in runs_of(study())[0].identity[0].decode()


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
        ({"evaluation": {"correct_below": 0.1}},
         "`evaluation.correct_below`: the exact test set of this task gives mean squared errors alone, and none of its "
         "samples is right or wrong by itself. Set data.test_samples, so that samples are drawn."),
        ({"evaluation": {"correct_below": 0.1}, "task": {"name": "sparse_parity"}, "model": {"name": "mlp"}},
         "`evaluation.correct_below`: only predictions of real-valued labels have a squared error, this task has "
         "2 classes. Remove the key."),
        ({"task": {"name": "gaussian", "dimensions": 3, "spikes": 4}},
         "`task`: spikes must be at most dimensions = 3, got 4. Lower it."),
        ({"task": {"name": "gaussian", "spikes": 0, "teacher": "spikes"}},
         "`task`: teacher = 'spikes' needs spikes of at least 1, got 0. Raise it, or set teacher = 'all'."),
    ]:  # fmt: skip
        with pytest.raises(StudyError) as refused:
            runs_of({**raw, **changes})
        assert refused.value.problems == [sentence]

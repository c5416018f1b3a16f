"""The random teacher against plain torch layers, and a student that is the teacher."""

import pytest
import torch
from scipy import stats
from torch import nn

from deepboot.bootstrap import streams
from deepboot.bootstrap.models.stacked import Stack
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.training.evaluate import Evaluator
from deepboot.bootstrap.training.pack import Pack, train_steps
from deepboot.datasets.teacher_student import TeacherStudent

KEY_12 = streams.keys((0,), "data")
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


def drawn(task, count, seed=0):
    """Samples of one member, float64."""
    key = streams.keys([seed], "data")
    return (part[0].double() for part in task.sample(key, torch.arange(count)[None]))


def plain_teacher(task):
    """The teacher as a torch.nn.Sequential."""
    parts = []
    for weight, bias in task.layers:
        layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
        layer.load_state_dict({"weight": weight, "bias": bias})
        parts += [layer, ACTIVATIONS[task.activation]()]
    return nn.Sequential(*parts[:-1])


def study(**changes):
    return {
        "question": "Is this a test?",
        "task": {"name": "teacher_student", "dimensions": 3, "width": 7, "outputs": 4},
        "model": {"name": "mlp", "width": 7, "depth": 2, "activation": "tanh", "initialization": "torch"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "loss": {"name": "mse"},
        "data": {"test_samples": 200},
        "training": {"train_size": 50, "batch_size": 10, "max_steps": 20, "seeds": 2},
        **changes,
    }


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("depth", "outputs"), [(0, 2), (1, 1), (2, 5)])
def test_labels_are_the_outputs_of_the_teacher(activation, depth, outputs):
    """As plain layers of torch give them, one input after another; of one output without an axis for it."""
    task = TeacherStudent(
        dimensions=4, width=9, depth=depth, outputs=outputs, activation=activation, standardized=False
    )
    x, y = drawn(task, 60)
    teacher = plain_teacher(task)
    with torch.no_grad():
        expected = torch.stack([teacher(one) for one in x])
    assert y.shape == ((60, outputs) if outputs > 1 else (60,))
    torch.testing.assert_close(y.view(60, outputs), expected, rtol=1e-6, atol=1e-7)


def test_inputs_are_standard_normal():
    """Kolmogorov-Smirnov over all numbers, and no two dimensions alike."""
    x, _ = drawn(TeacherStudent(), 4_000)
    assert stats.kstest(x.flatten().numpy(), "norm").pvalue > 1e-3
    assert (x.T.corrcoef() - torch.eye(5)).abs().max() < 4.5 / 4_000**0.5


def test_the_teacher_starts_as_layers_of_torch_do():
    """Uniform between plus and minus scale / sqrt(inputs), weights and biases, and the same for all runs."""
    task = TeacherStudent(dimensions=50, width=60, outputs=20, teacher_scale=3.0)
    assert [tuple(weight.shape) for weight, _ in task.layers] == [(60, 50), (60, 60), (20, 60)]
    for weight, bias in task.layers:
        bound = 3 / weight.shape[1] ** 0.5
        numbers = torch.cat((weight.flatten(), bias)).numpy()
        assert stats.kstest(numbers, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    first, again, other = (
        TeacherStudent(teacher_seed=seed).sample(KEY_12, torch.arange(5)[None]) for seed in (0, 0, 1)
    )
    assert torch.equal(first.y, again.y)
    assert torch.equal(first.x, other.x)
    assert not torch.equal(first.y, other.y)


def test_standardized_labels_have_mean_0_and_variance_1():
    """Of every output, on samples of their own; they are the raw labels, shifted and scaled."""
    task, raw = (TeacherStudent(standardized=each, width=20) for each in (True, False))
    _, y = drawn(task, 40_000, seed=5)
    assert y.mean(0).abs().max() < 0.05
    torch.testing.assert_close(y.var(0), torch.ones(5).double(), rtol=0.05, atol=0)
    _, own = drawn(raw, 40_000, seed=5)
    slope = (y - y.mean(0)) / (own - own.mean(0))
    torch.testing.assert_close(slope.median(0).values, 1 / own.std(0), rtol=0.05, atol=0)


def test_a_student_with_the_teachers_weights_has_no_error():
    """Its logits are (..., outputs, 1), a row for every label, and each member's are its own."""
    raw = study()
    raw["task"]["standardized"] = False
    pack = Pack(runs_of(raw))
    named = pack.member_step.stack.named(pack.param_EP)
    for name, (weight, bias) in zip(["hidden.0", "hidden.1", "output"], pack.source.task.layers, strict=True):
        named[f"{name}.weight"].copy_(weight.float())
        named[f"{name}.bias"].copy_(bias.float().view_as(named[f"{name}.bias"][0]))
    for row in Evaluator(pack).rows():
        assert row["test_loss"] < 1e-12


def test_students_are_trained_as_a_plain_loop_trains_them():
    """Three steps of torch.optim.SGD on the mean square over samples and outputs, for both members of the pack."""
    raw = study()
    raw["training"]["ideal"] = False
    pack = Pack(runs_of(raw))
    start, block = pack.member_step.stack.named(pack.param_EP.clone()), pack.data.block(0, 3)
    train_steps(pack, 3)
    after = pack.member_step.stack.named(pack.param_EP)
    for member in range(2):
        layers = [nn.Linear(3, 7), nn.Linear(7, 7), nn.Linear(7, 4)]
        for name, layer in zip(["hidden.0", "hidden.1", "output"], layers, strict=True):
            layer.weight.data.copy_(start[f"{name}.weight"][member])
            layer.bias.data.copy_(start[f"{name}.bias"][member].flatten())
        student = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])
        optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            y = block.y[member, step]
            assert y.shape == (10, 4)
            nn.functional.mse_loss(student(block.x[member, step]), y).backward()
            optimizer.step()
        torch.testing.assert_close(after["output.weight"][member], layers[2].weight.data, rtol=1e-5, atol=1e-6)


def test_an_mlp_gives_a_logit_for_every_label():
    """Also of one label, without an axis for it."""
    for outputs, shape in ((5, (1, 15, 1)), (1, (1, 3, 1))):
        task = TeacherStudent(outputs=outputs)
        stack = Stack("mlp", {}, task)
        start = stack.initial(KEY_12, torch.ones(1, 1))
        assert stack.logits(start, {}, task.sample(KEY_12, torch.arange(3)[None]).x).shape == shape


def test_samples_are_shown_with_their_labels():
    """The first numbers of the input and all labels; of one, without brackets."""
    x = torch.tensor([0.5, -1.0])
    assert TeacherStudent(dimensions=2).show(x, torch.tensor([0.25, 2.0])) == "[0.500, -1.000] -> [0.250, 2.000]"
    assert TeacherStudent(dimensions=9).show(torch.zeros(9), torch.tensor(1.0)).endswith("0.000, …] -> 1.000")

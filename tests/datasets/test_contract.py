"""What every registered task must do, whoever wrote it. Other settings than the defaults are named here."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

import deepboot.datasets  # noqa: F401  (registers the tasks)
from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.task import Image, Tokens, Universe, Vector
from deepboot.datasets.cifar5m import prepare
from tests.datasets.published import write, write_cifar10

OTHER_SETTINGS = {
    "associative_recall": [{"num_pairs": 1, "num_keys": 2, "num_values": 2}, {"num_pairs": 5, "num_keys": 5}],
    "binary_operations": [
        {"modulus": 11, "tokens": "x y ="},
        {"operation": "x/y", "modulus": 7},
        {"operation": "x/y if y odd else x-y", "modulus": 2},
        {"operation": "x*y", "modulus": 12},
        {"operation": "x^2+xy+y^2", "modulus": 11, "unordered_pairs": True},
    ],
    "cifar5m": [
        {"root": "cifar5m", "train_parts": [5], "test_parts": [0]},
        {"root": "cifar5m", "train_parts": [0], "cifar10": "cifar10"},
    ],
    "greatest_common_divisor": [
        {"largest_operand": 30, "base": 2, "largest_outcome": 30, "test": "stratified"},
        {"base": 1_000, "operands": "log_uniform"},
    ],
    "induction": [{"vocab": 3, "length": 3}, {"vocab": 9, "length": 12}],
    "modular_digits": [
        {"largest_operand": 20, "base": 3, "modulus": 12, "operation": "x+y"},
        {"operation": "x^2+y^2", "base": 1_000, "operands": "log_uniform"},
    ],
    "multi_digit_addition": [{"num_digits": 1, "base": 2}, {"num_digits": 3, "shows_answers": False}],
    "permutations": [{"degree": 2}, {"degree": 4, "operation": "x*y*x^-1"}, {"degree": 3, "operation": "x*y*x"}],
    "recording": [{"path": "images.npz"}, {"path": "vectors.npz", "num_classes": 5}],
    "plain_addition": [{"numbers": 2}, {"numbers": 33}],
    "shapes": [{"size": 16}, {"size": 8, "noise": 0.0, "occlusion": 1.0}],
    "single_index": [{"dimensions": 1, "degree": 1}, {"degree": 3, "teacher_seed": 5}],
    "skip_trigram": [
        {"num_firsts": 2, "num_lasts": 3, "num_labels": 4, "num_fillers": 2, "length": 2},
        {"length": 9, "table_seed": 3},
    ],
    "teacher_student": [{"outputs": 1, "depth": 0, "standardized": False}, {"dimensions": 9, "activation": "relu"}],
    "sparse_parity": [{"num_bits": 4, "encoding": "+-1"}],
}
NEEDED_SETTINGS = {
    "cifar5m": {"root": "cifar5m", "train_parts": [0]},
    "cifar10": {"root": "cifar10"},
    "recording": {"path": "tokens.npz"},
}

CASES = [
    pytest.param((name, settings), id=" ".join([name, *map(str, settings.values())]))
    for name in registry.names("task")
    for settings in [NEEDED_SETTINGS.get(name, {}), *OTHER_SETTINGS.get(name, [])]
]
UNIVERSES = [case for case in CASES if issubclass(registry.find("task", case.values[0][0]).target, Universe)]
KEY_E2 = streams.keys((0, 1), "data")


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Two prepared parts of CIFAR-5m."""
    folder = tmp_path_factory.mktemp("cifar5m")
    write(folder, 0, 5)
    prepare(folder, [0, 5])
    return folder


@pytest.fixture(autouse=True)
def recordings(tmp_path, monkeypatch, images):
    """Small recordings in the folder in which the test runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar5m").symlink_to(images)
    for name, value in write_cifar10(tmp_path / "cifar10").items():
        monkeypatch.setattr(CIFAR10, name, value)
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 3
    np.savez("tokens.npz", x=rng.integers(0, 7, (20, 4)), y=labels)
    np.savez("vectors.npz", x=rng.normal(size=(20, 6)), y=labels)
    np.savez("images.npz", x=rng.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8), y=labels)


def build(case):
    """The task that a study with these settings gets."""
    name, settings = case
    checked = registry.settings("task", name).model_validate_json(json.dumps(settings), strict=True)
    return registry.find("task", name).target(**checked.model_dump())


@pytest.fixture(params=CASES)
def task(request):
    return build(request.param)


def spread(task, count=64):
    """Indices that reach all of a universe, or the first ones of an endless task, int64, (2, count)."""
    index = torch.arange(count)
    return (index * task.size // count if isinstance(task, Universe) else index).expand(2, -1)


def equal(left, right):
    return torch.equal(left.x, right.x) and torch.equal(left.y, right.y)


def test_inputs_are_as_declared(task):
    """Shape, dtype and range of x are what ``inputs`` says; tokens differ between samples where it says."""
    x, _ = task.sample(KEY_E2, spread(task))
    match task.inputs:
        case Tokens(vocab=vocab, length=length, varying=varying):
            assert x.shape == (2, 64, length)
            assert x.dtype == torch.int64
            assert 0 <= x.min() <= x.max() < vocab
            assert x[..., varying].max() < (task.inputs.operands or vocab)
            assert varying == tuple((x != x[0, 0]).flatten(0, 1).any(0).nonzero()[:, 0].tolist())
        case Vector(size=size):
            assert x.shape == (2, 64, size)
            assert x.dtype == torch.float32
            assert x.isfinite().all()
        case Image(channels=channels, height=height, width=width):
            assert x.shape == (2, 64, channels, height, width)
            assert x.dtype in (torch.uint8, torch.float32)
            read = task.decode(x)
            assert read.dtype == torch.float32
            assert read.isfinite().all()


def test_labels_are_as_declared(task):
    """Labels are int64 in 0 .. classes - 1, one per answer, and not all the same; of one class, real-valued."""
    y = task.sample(KEY_E2, spread(task)).y
    answers = 1 if isinstance(task.inputs, Image) else task.inputs.answers
    assert y.shape == ((2, 64) if answers == 1 else (2, 64, answers))
    if task.classes == 1:
        assert y.dtype == torch.float32
        assert y.isfinite().all()
        assert y.unique().numel() > 1
        return
    assert y.dtype == torch.int64
    assert 0 <= y.min() < y.max() < task.classes


def test_test_samples_are_as_declared(task):
    """Shapes, dtypes and ranges are those of training samples, and a sample does not depend on its batch."""
    index = (1 << 46) + spread(task)
    (x, y), train = task.sample_test(KEY_E2, index), task.sample(KEY_E2, index)
    assert (x.shape, x.dtype, y.shape, y.dtype) == (train.x.shape, train.x.dtype, train.y.shape, train.y.dtype)
    if isinstance(task.inputs, Tokens):
        assert 0 <= x.min() <= x.max() < task.inputs.vocab
    assert task.classes == 1 or 0 <= y.min() < y.max() < task.classes
    one = task.sample_test(KEY_E2, index[:, 17:18])
    assert torch.equal(one.x, x[:, 17:18])
    assert torch.equal(one.y, y[:, 17:18])


def test_samples_are_no_affair_of_global_generators(task):
    """Disturbed global generators change no sample, and sampling does not disturb them."""
    before = task.sample(KEY_E2, spread(task))
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert equal(before, task.sample(KEY_E2, spread(task)))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == states[1:]


def test_a_sample_does_not_depend_on_its_batch(task):
    """A batch of one is that slice of a larger batch, in any order, at any index."""
    index = torch.stack((spread(task)[0].flip(0), spread(task)[0] + (1 << 46)))
    batch = task.sample(KEY_E2, index)
    for place in (0, 17, 63):
        one = task.sample(KEY_E2, index[:, place : place + 1])
        assert torch.equal(one.x, batch.x[:, place : place + 1])
        assert torch.equal(one.y, batch.y[:, place : place + 1])


def test_every_member_has_its_own_samples(task):
    """Any index shape may stand behind the member axis, and each member gets what it gets alone."""
    index = torch.arange(24).view(2, 3, 4)
    both = task.sample(KEY_E2, index)
    assert both.y.shape[:3] == both.x.shape[:3] == (2, 3, 4)
    for member in range(2):
        alone = task.sample(KEY_E2[member : member + 1], index[member : member + 1])
        assert torch.equal(alone.x[0], both.x[member])
        assert torch.equal(alone.y[0], both.y[member])


def test_keys_and_indices_matter(task):
    """Other indices give other inputs; other keys do too, but for a universe, whose order is the harness's."""
    x = task.sample(KEY_E2, spread(task)).x.flatten(2)
    assert not torch.equal(x[0], x[0].roll(1, 0))
    assert torch.equal(x[0], x[1]) == isinstance(task, Universe)


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_sizes_live_side_by_side(name):
    """A task with other settings in the same process changes no sample of the first."""
    cases = [case.values[0] for case in CASES if case.values[0][0] == name]
    first = [build(case) for case in cases]
    before = [task.sample(KEY_E2, spread(task)) for task in first]
    again = [build(case) for case in cases[::-1]][::-1]
    assert all(a != b for a, b in pairwise(again))
    for old, new, samples in zip(first, again, before, strict=True):
        assert equal(old.sample(KEY_E2, spread(old)), samples)
        assert equal(new.sample(KEY_E2, spread(new)), samples)


@pytest.mark.parametrize("task", UNIVERSES, indirect=True)
def test_a_universe_gives_its_cells_by_index(task):
    """The sample of an index is the cell of that number, from the start again past the end."""
    index = torch.tensor([[0, task.size - 1, task.size, 3 * task.size + 1]])
    cells = task.cells(torch.tensor([[0, task.size - 1, 0, 1]]))
    assert equal(task.sample(KEY_E2[:1], index), cells)


def test_mirrors_are_swapped_cells_with_the_same_label():
    """A mirror's mirror is the cell itself; it lies in the universe, has swapped operands and the same label."""
    mirrored = set()
    for case in UNIVERSES:
        task = build(case.values[0])
        cell = torch.arange(task.size).view(1, -1)
        mirror = task.mirror(cell)
        if mirror is None:
            continue
        mirrored.add(case.values[0][0])
        assert mirror.shape == cell.shape
        assert mirror.dtype == torch.int64
        assert not torch.equal(mirror, cell)
        assert torch.equal(task.mirror(mirror), cell)
        here, there = task.cells(cell), task.cells(mirror)
        first, second = task.inputs.varying
        assert torch.equal(here.x[..., [first, second]], there.x[..., [second, first]])
        assert torch.equal(here.y, there.y)
    assert "binary_operations" in mirrored


def test_a_sample_can_be_shown(task):
    """``show`` writes a sample as text that names its label."""
    x, y = task.sample(KEY_E2[:1], torch.tensor([[3]]))
    text = task.show(x[0, 0], y[0, 0])
    assert isinstance(text, str)
    assert text
    assert "tensor" not in text


def test_versions_count_from_one(task):
    """Every task says which version of its samples it gives."""
    assert type(task.version) is int
    assert task.version >= 1


@pytest.mark.gpu
def test_samples_are_equal_on_the_gpu(task):
    """The device changes no input and no label."""
    here = task.sample(KEY_E2, spread(task))
    there = task.sample(KEY_E2.cuda(), spread(task).cuda())
    torch.testing.assert_close(there.x.cpu(), here.x, rtol=2**-22, atol=0)
    assert torch.equal(there.y.cpu(), here.y)

"""CIFAR-5m as a task: its cells, its own test set, and both worlds trained on it."""

import re

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from deepboot.bootstrap.samples.batches import Block
from deepboot.bootstrap.samples.prefetch import Prefetch
from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.samples.split import divide
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run_worlds import world_of
from deepboot.bootstrap.study.schema import Data
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Image
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.pack import Pack
from deepboot.bootstrap.training.train import train
from deepboot.datasets.cifar5m import prepare
from deepboot.datasets.cifar5m import task as cifar5m
from deepboot.datasets.cifar5m.task import Cifar5m, Spans
from tests.bootstrap.conftest import parity
from tests.datasets.published import COUNT, part, write

REFERENCE = Data(test_set="reference")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Parts 0, 1, 2 and 5, prepared."""
    folder = tmp_path_factory.mktemp("cifar5m")
    write(folder, 0, 1, 2, 5)
    prepare(folder, [0, 1, 2, 5])
    return folder


@pytest.fixture
def task(root):
    return Cifar5m(root=str(root), train_parts=(0, 1, 2))


@pytest.fixture
def study(root):
    """A study of small images; keyword arguments as in ``parity``."""

    def build(**changes):
        return parity(**{
            "task": {"name": "cifar5m", "root": str(root), "train_parts": [0, 1, 2]},
            "data": {"test_set": "reference", "test_samples": 20},
            "training": {"train_size": 24, "batch_size": 8, "max_steps": 22, "seeds": 2},
            **changes,
        })  # fmt: skip

    return build


def refused(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def problems(raw):
    with pytest.raises(StudyError) as caught:
        runs_of(raw)
    return caught.value.problems


def test_cells_are_the_images_of_the_parts_in_order(task):
    """Training parts first, then test parts, channels first, in any shape and order, with repetitions."""
    assert (task.inputs, task.classes, task.size) == (Image(3, 32, 32), 10, 4 * COUNT)
    number = torch.tensor([[3 * COUNT, 0, 2 * COUNT - 1], [COUNT, 7, 0]])
    x, y = task.cells(number)
    assert x.dtype == torch.uint8
    assert y.dtype == torch.int64
    for place, (one, image) in zip(
        np.ndindex(2, 3), [(5, 0), (0, 0), (1, COUNT - 1), (1, 0), (0, 7), (0, 0)], strict=True
    ):
        pixels, labels = part(one)
        assert torch.equal(x[place], torch.from_numpy(pixels[image]).permute(2, 0, 1))
        assert y[place] == labels[image]
    assert task.decode(x).min() == -1


def test_parts_may_be_chosen_in_any_roles(root):
    """Cells follow the settings, not the files."""
    task = Cifar5m(root=str(root), train_parts=(2, 5), test_parts=(1,))
    x = task.cells(torch.arange(task.size)).x
    expected = np.concatenate([part(number)[0] for number in (2, 5, 1)]).transpose(0, 3, 1, 2)
    assert torch.equal(x, torch.from_numpy(expected))
    assert task.reference == range(2 * COUNT, 3 * COUNT)
    assert Cifar5m(root=str(root), train_parts=(0,), test_parts=()).reference is None


def test_many_cells_are_gathered_block_by_block(task, monkeypatch):
    """Each block fills its own places."""
    number = torch.arange(task.size).flip(0)
    whole = task.cells(number)
    monkeypatch.setattr(cifar5m, "BLOCK", 25)
    assert torch.equal(task.cells(number).x, whole.x)


def test_only_what_is_asked_for_is_read(task):
    """The images stay in their file."""
    assert isinstance(task._stored.images, np.memmap)
    assert not task._stored.images.flags.writeable


def test_tasks_of_one_folder_share_their_files(root):
    """A study builds its task for every cell; the files are opened once."""
    one, other = (Cifar5m(root=str(root), train_parts=parts) for parts in ((0,), (1, 2)))
    assert one._stored is other._stored


def test_the_copy_of_a_gpu_holds_the_same_cells(root, monkeypatch):
    """All cells in their order, block by block, if they fit into its free memory; else they stay on the disk."""
    task = Cifar5m(root=str(root), train_parts=(2, 5), test_parts=(0,))
    monkeypatch.setattr(cifar5m, "BLOCK", 25)
    size = 3 * COUNT * 3_072
    for free, fits in ((size / 0.6 + 1, True), (size / 0.6 - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 0))
        cifar5m._copy.cache_clear()
        copied = cifar5m._copy(task._stored, task._spans, task._cifar10_test, torch.device("cpu"))
        assert (copied is not None) == fits
        if copied is not None:
            x, y = task.cells(torch.arange(task.size))
            assert torch.equal(copied.x, x)
            assert torch.equal(copied.y.long(), y)
    cifar5m._copy.cache_clear()


def test_the_host_reads_what_no_gpu_holds(task, monkeypatch):
    """Another GPU may hold it; one that is named without its number is known by it."""
    copies = {torch.device("cuda:0"): None, torch.device("cuda:1"): task.cells(torch.arange(2))}
    monkeypatch.setattr(cifar5m, "_copy", lambda stored, spans, others, device: copies[device])
    assert task.on_host("cpu")
    with FakeTensorMode():
        assert task.on_host("cuda")
        assert not task.on_host("cuda:1")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training__world": {"rule": "fresh", "share": 0.5}},
        {"data__augmentation": "crop_flip", "data__label_noise": 0.2},
    ],
)
def test_training_is_the_same_whether_images_are_read_ahead_or_not(study, changes, monkeypatch):
    """To the last bit of all weights and rows, with evaluations in between."""
    runs, found = runs_of(study(model={"name": "cnn", "width": 2}, evaluation={"schedule": 5}, **changes)), []
    for on_host in (True, False):
        monkeypatch.setattr(Cifar5m, "on_host", lambda task, device, on_host=on_host: on_host)
        assert on_host == any(type(group.read) is Prefetch for group in Pack(runs).data.groups)
        found.append(train(runs))
    for one, other in zip(*found, strict=True):
        assert one.last_step == 22
        assert torch.equal(one.state["parameters"], other.state["parameters"])
        assert repr(one.rows) == repr(other.rows)


@pytest.mark.gpu
def test_images_on_the_disk_reach_a_gpu_without_a_wait(study, monkeypatch):
    """Its blocks are those of the host, and training asks for nothing that it would have to wait for."""
    monkeypatch.setattr(cifar5m, "FREE_SHARE", 0.0)
    cifar5m._copy.cache_clear()
    runs = runs_of(study(training__train_size=24, model={"name": "cnn", "width": 2}))
    here, there = Pack(runs).data, Pack(runs, Execution(device="cuda")).data
    assert any(type(group.read) is Prefetch for group in there.groups)
    there.block(0, 1)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [Block(*(part.clone() for part in (block.x, block.y))) for block in map(there.block, (1, 4), (4, 9))]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    cifar5m._copy.cache_clear()
    for start, block in zip((1, 4), found, strict=True):
        expected = here.block(start, start + block.steps)
        assert torch.equal(block.x.cpu(), expected.x)
        assert torch.equal(block.y.cpu(), expected.y)


@pytest.mark.gpu
def test_cells_on_a_gpu_are_the_same_with_and_without_a_copy(task, monkeypatch):
    """Whether they fit there is no affair of the samples."""
    number = torch.arange(task.size).flip(0).view(2, -1)
    here = task.cells(number)
    for share in (0.6, 0.0):
        monkeypatch.setattr(cifar5m, "FREE_SHARE", share)
        cifar5m._copy.cache_clear()
        there = task.cells(number.cuda())
        assert there.x.is_cuda
        assert torch.equal(there.x.cpu(), here.x)
        assert torch.equal(there.y.cpu(), here.y)
    cifar5m._copy.cache_clear()


def test_spans_find_the_first_and_the_last_cell_of_a_part():
    """The borders belong to the right parts."""
    spans = Spans.of([range(10, 20), range(40, 45), range(0, 3)])
    cells = np.array([0, 9, 10, 14, 15, 17])
    assert spans.rows(cells).tolist() == [10, 19, 40, 44, 0, 2]


def test_an_image_is_shown_by_its_class_name(task):
    """Pixels are not printed, but for their mean colour."""
    x = torch.zeros(3, 32, 32, dtype=torch.uint8)
    x[1] = 200
    assert task.show(x, torch.tensor(3)) == "image with mean red 0, green 200, blue 0 -> 3 cat"


def test_the_fingerprint_is_that_of_the_parts_used(root, tmp_path):
    """Not of the place, nor of what else is prepared there; another part or another role is another one."""
    write(tmp_path / "two", 0, 5)
    prepare(tmp_path / "two", [0, 5])
    base = Cifar5m(root=str(root), train_parts=(0,)).fingerprint
    assert Cifar5m(root=str(tmp_path / "two"), train_parts=(0,)).fingerprint == base
    others = {
        Cifar5m(root=str(root), train_parts=train, test_parts=test).fingerprint
        for train, test in [((1,), (5,)), ((0, 1), (5,)), ((0,), ()), ((0, 5), ()), ((5,), (0,))]
    }
    assert len(others - {base}) == 5


def test_identity_does_not_know_the_place(root, tmp_path, study):
    """The same images under another path are the same runs; one other pixel makes them others."""
    moved = tmp_path / "moved"
    write(moved, 0, 1, 2, 5)
    prepare(moved, [0, 1, 2, 5])
    first = [run.run_id for run in runs_of(study())]
    task = {**study()["task"], "root": str(moved)}
    assert [run.run_id for run in runs_of(study(task=task))] == first
    x, y = part(0)
    x[0, 0, 0, 0] ^= 1
    np.savez(moved / "part0.npz", X=x, Y=y)
    (moved / "cifar5m.json").unlink()
    prepare(moved, [0, 1, 2, 5])
    assert not {run.run_id for run in runs_of(study(task=task))} & set(first)


def test_the_reference_test_set_is_part_5(task):
    """All other cells are for training, ordered by the data stream; the test stream orders the test cells."""
    assert capacity(task, REFERENCE) == 3 * COUNT
    one, two, three = (divide(task, REFERENCE, seeds, None) for seeds in ((0, 0), (1, 0), (0, 1)))
    assert sorted(one.train.tolist()) == list(range(3 * COUNT))
    assert sorted(one.test.tolist()) == list(range(3 * COUNT, 4 * COUNT))
    assert one.test.tolist() == two.test.tolist() != three.test.tolist()
    assert one.train.tolist() == three.train.tolist() != two.train.tolist()
    assert one.train.tolist() != sorted(one.train.tolist())


@pytest.mark.parametrize(("asked", "got"), [(20, 20), (COUNT, COUNT), (None, COUNT)])
def test_the_test_set_has_the_size_asked_for(study, asked, got):
    """Different images of part 5, equal in both worlds of a seed."""
    runs = runs_of(study(data={"test_set": "reference", "test_samples": asked} if asked else {"test_set": "reference"}))
    supply = SampleSource(build_task(runs[0].task), runs)
    x = supply.test().x
    assert x.shape == (4, got, 3, 32, 32)
    tested = {image.tobytes() for image in x[0].numpy()}
    assert len(tested) == got
    assert tested <= {image.tobytes() for image in part(5)[0].transpose(0, 3, 1, 2)}
    real, ideal = ([run.seed for run in runs if run.rule == rule] for rule in ("real", "ideal"))
    assert real == ideal
    assert torch.equal(x[:2], x[2:])


def test_the_ideal_world_draws_every_training_image_once(study):
    """180 images last for 22 steps of 8, none twice, none of the test."""
    runs = [run for run in runs_of(study(training__seeds=1)) if run.rule == "ideal"]
    task = build_task(runs[0].task)
    x = SampleSource(task, runs).train(slice(0, 1), *world_of(runs, task).indices_and_range(0, 22)).x
    drawn = {image.tobytes() for image in x.flatten(0, 2).numpy()}
    assert len(drawn) == 22 * 8
    assert drawn <= {image.tobytes() for number in range(3) for image in part(number)[0].transpose(0, 3, 1, 2)}


def test_a_second_pass_of_the_ideal_world_is_refused(study):
    """It would be silent: the ideal world would no longer be fresh."""
    assert problems(study(training__max_steps=23)) == [
        "`training.max_steps`: the ideal world needs 184 fresh samples, but the recording has 180 for training. "
        "Lower max_steps or batch_size, set training.ideal = false, or set data.allow_reuse = true."
    ]
    allowed = {"test_set": "reference", "allow_reuse": True}
    assert runs_of(study(training__max_steps=23, data=allowed))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"train_parts": (1, 0)}, "train_parts must be different numbers that rise, got [1, 0]. Sort them."),
        ({"test_parts": (5, 5)}, "test_parts must be different numbers that rise, got [5, 5]. Sort them."),
        (
            {"train_parts": (0, 5)},
            "train_parts and test_parts must not overlap, got [5] in both. Take it from one.",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(root, settings, sentence):
    """Their order is the published one, and no image is both trained and tested on."""
    with refused(sentence):
        Cifar5m(root=str(root), **settings)


def test_parts_that_are_not_prepared_are_refused(root):
    """With those that are, and the command for the others."""
    with refused(
        f"cifar5m {root}: expected prepared parts 0, 1, 2, 3, 4, 5, got 0, 1, 2, 5. Set task.train_parts and "
        "task.test_parts to these, or prepare the others too: deepboot data cifar5m prepare "
        f"--root {root} --parts 3 4"
    ):
        Cifar5m(root=str(root))


def test_a_folder_without_prepared_images_is_refused(tmp_path):
    """With the command that prepares them."""
    with refused(
        f"{tmp_path}: no prepared CIFAR-5m here (cifar5m.json is missing). "
        f"Prepare it: deepboot data cifar5m prepare --root {tmp_path}"
    ):
        Cifar5m(root=str(tmp_path))


def test_a_reference_test_set_that_is_not_there_is_refused(study):
    """Tasks without one, settings without one, and endless tasks."""
    sentence = (
        "`data.test_set`: task {!r}, with these settings, names no test set of its own, got 'reference'. "
        'Set it to "heldout".'
    )
    addition = {"name": "binary_operations", "operation": "x+y", "modulus": 7}
    assert problems(parity(task=addition, data={"test_set": "reference"})) == [sentence.format("binary_operations")]
    without = {**study()["task"], "test_parts": []}
    assert problems(study(task=without)) == [sentence.format("cifar5m")]
    assert problems(parity(data={"test_set": "reference"})) == [
        "`data.test_set`: this task is endless, so no cells can be held out or left over, got 'reference'. "
        "Remove the key."
    ]


def test_more_test_images_than_there_are_are_refused(study):
    """No smaller test set is taken silently; pools are refused as ever."""
    assert problems(study(data={"test_set": "reference", "test_samples": 61})) == [
        "`data.test_samples`: expected at most the 60 cells of the reference test set, got 61. Lower it."
    ]
    assert problems(study(training__train_size=181, training__ideal=False)) == [
        "`training.train_size`: a pool of 181 does not fit into the 180 training cells. Lower it."
    ]
    assert '`data.split`: the reference test set does not keep orbits together. Set it to "cells".' in problems(
        study(data={"test_set": "reference", "split": "orbits"})
    )

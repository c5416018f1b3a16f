"""CIFAR-10 as torchvision keeps it: alone, and as the test set of networks trained on CIFAR-5m."""

import hashlib
import re
import shutil
import tarfile

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from deepboot.bootstrap.samples.source import SampleSource
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.datasets import cifar10
from deepboot.datasets.cifar5m import prepare
from deepboot.datasets.cifar5m import task as cifar5m
from deepboot.runners.commands import data
from tests.bootstrap.conftest import parity
from tests.datasets.published import FILE, cifar10_file, part, serving, write, write_cifar10


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder with a small CIFAR-10, in exactly torchvision's format and with its checksums."""
    for name, value in write_cifar10(tmp_path / "c10").items():
        monkeypatch.setattr(CIFAR10, name, value)
    cifar10._read.cache_clear()
    yield tmp_path / "c10"
    cifar10._read.cache_clear()


@pytest.fixture
def both(root, tmp_path):
    """Settings of parts 0 and 1 of CIFAR-5m, tested on CIFAR-10."""
    write(tmp_path, 0, 1)
    prepare(tmp_path, (0, 1))
    return {"name": "cifar5m", "root": str(tmp_path), "train_parts": [0, 1], "cifar10": str(root)}


def test_images_and_labels_are_torchvisions(root):
    """Channels first, training before test, whatever the order of the cells that are asked for."""
    task = build_task({"name": "cifar10", "root": str(root)})
    assert (task.size, task.reference, task.classes) == (120, range(100, 120), 10)
    number = torch.tensor([[119, 0], [57, 100]])
    x, y = task.cells(number)
    for place, cell in np.ndenumerate(number.numpy()):
        expected_x, expected_y = cifar10_file(cell // FILE)
        assert np.array_equal(x[place].permute(1, 2, 0).numpy(), expected_x[cell % FILE])
        assert y[place] == expected_y[cell % FILE]
    assert task.class_names[3] == "cat"


def test_the_reference_split_is_cifar_10s_own(root):
    """Training cells are the first 100, the test set is the last 20, in an order of its own."""
    runs = runs_of(parity(task={"name": "cifar10", "root": str(root)}, model={"name": "mlp", "width": 4},
                          data={"test_set": "reference"}, training__max_steps=2))  # fmt: skip
    supply = SampleSource(build_task(runs[0].task), runs[:1])
    assert capacity(supply.task, runs[0].data) == 100
    assert sorted(supply.test_cell_ET[0].tolist()) == list(range(100, 120))
    assert sorted(supply.cell_EU[0].tolist()) == list(range(100))


def test_a_folder_without_it_is_refused(tmp_path):
    """With the command that downloads it."""
    cifar10._read.cache_clear()
    with pytest.raises(ValueError, match=re.escape(f"deepboot data cifar10 download --root {tmp_path}")):
        build_task({"name": "cifar10", "root": str(tmp_path)})


def test_networks_trained_on_cifar_5m_are_tested_on_cifar_10(both):
    """Its test images take the place of part 5; nothing else of the training changes."""
    task = build_task(both)
    assert (task.size, task.reference) == (140, range(120, 140))
    x, y = task.cells(torch.tensor([[3, 139], [120, 61]]))
    for place, (source_x, source_y), row in [
        ((0, 0), part(0), 3), ((0, 1), cifar10_file(5), 19), ((1, 0), cifar10_file(5), 0), ((1, 1), part(1), 1),
    ]:  # fmt: skip
        assert np.array_equal(x[place].permute(1, 2, 0).numpy(), source_x[row])
        assert y[place] == source_y[row]
    runs = runs_of(parity(task=both, model={"name": "mlp", "width": 4}, data={"test_set": "reference"},
                          training__max_steps=2))  # fmt: skip
    supply = SampleSource(build_task(runs[0].task), runs[:1])
    assert capacity(supply.task, runs[0].data) == 120
    assert len(supply.test().y[0]) == FILE


def test_identity_holds_the_images_not_their_places(both, root, tmp_path):
    """Another folder of the same images is the same run; without CIFAR-10 it is another."""
    shutil.copytree(root, tmp_path / "copy")

    def run_id(**changes):
        study = parity(task={**both, **changes}, model={"name": "mlp", "width": 4}, data={}, training__max_steps=2)
        return runs_of(study)[0].run_id

    assert run_id() == run_id(cifar10=str(tmp_path / "copy"))
    assert run_id() != run_id(cifar10=None, test_parts=[])


def test_a_gpus_copy_holds_the_same_cells(both, monkeypatch):
    """Behind CIFAR-5m's own cells; the same copy for all tasks of the same folders."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 40, 1 << 40))
    cifar5m._copy.cache_clear()
    one, other = build_task(both), build_task(both)
    copies = [
        cifar5m._copy(task._stored, task._spans, task._cifar10_test, torch.device("cpu")) for task in (one, other)
    ]
    assert copies[0] is copies[1]
    everything = one.cells(torch.arange(one.size))
    assert torch.equal(copies[0].x, everything.x)
    assert torch.equal(copies[0].y.long(), everything.y)
    cifar5m._copy.cache_clear()


@pytest.mark.usefixtures("no_proxy")
def test_it_is_downloaded_and_verified(root, tmp_path, monkeypatch):
    """By torchvision, from its server; damage is found, and other actions are refused."""
    archive = tmp_path / "served" / CIFAR10.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(root / CIFAR10.base_folder, CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    place = tmp_path / "new"
    with serving(archive.parent) as files:
        monkeypatch.setattr(CIFAR10, "url", f"{files.url}/{CIFAR10.filename}")
        lines = list(data.run("cifar10", "download", place, (), None))
    assert lines == [
        f"{place}: 120 images of CIFAR-10, of which 20 are for the test.",
        f"Next: deepboot show cifar10 --set root={place}",
    ]
    assert list(data.run("cifar10", "verify", place, (), None)) == lines
    broken = place / CIFAR10.base_folder / "test_batch"
    broken.write_bytes(broken.read_bytes()[:-1])
    cifar10._read.cache_clear()
    with pytest.raises(ValueError, match="expected CIFAR-10 as torchvision keeps it, whole"):
        list(data.run("cifar10", "verify", place, (), None))
    with pytest.raises(ValueError, match="no parts, come from one server and need no preparing"):
        list(data.run("cifar10", "prepare", place, (), None))


@pytest.mark.usefixtures("no_proxy")
def test_a_download_that_fails_says_so(tmp_path, monkeypatch):
    """And what to do."""
    with serving(tmp_path) as files:
        monkeypatch.setattr(CIFAR10, "url", f"{files.url}/missing.tar.gz")
        with pytest.raises(ValueError, match=r"CIFAR-10 could not be downloaded: .* Try again later"):
            list(data.run("cifar10", "download", tmp_path / "c10", (), None))


def test_the_ideal_world_ends_with_the_recording(root):
    """As with every recording."""
    with pytest.raises(StudyError, match="the ideal world needs 200 fresh samples, but the recording has 100"):
        runs_of(parity(task={"name": "cifar10", "root": str(root)}, model={"name": "mlp", "width": 4},
                       data={"test_set": "reference"}, training__max_steps=20, training__batch_size=10,
                       training__train_size=50))  # fmt: skip

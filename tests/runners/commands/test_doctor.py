"""The doctor: what is broken or slow is named with its cure, and a sound machine is not alarmed."""

import shutil
from pathlib import Path

import pytest
import torch

from deepboot.runners.commands import doctor, installation, machine
from deepboot.runners.commands.findings import Finding, conclusion

GIGABYTE = 1_000_000_000


def test_a_finding_is_printed_with_its_cure_in_100_columns():
    """Status, topic and text, then the cure below."""
    finding = Finding("memory", "There is little of it. " * 6, "close other programs.")
    lines = list(finding.lines())
    assert lines[0].startswith("slow    memory       There is little")
    assert lines[-1].strip() == "Cure: close other programs."
    assert max(map(len, lines)) <= 100
    assert list(Finding("gpu", "none.").lines()) == ["ok      gpu          none."]


def test_the_conclusion_counts_what_is_broken_and_what_is_slow():
    """Broken things come first."""
    ok, slow, broken = Finding("a", "b."), Finding("a", "b.", "c."), Finding("a", "b.", "c.", is_broken=True)
    assert conclusion([ok]) == "Nothing is broken.\nNext: deepboot demo"
    assert conclusion([ok, slow]) == "Nothing is broken; 1 of 2 make it slower than it could be.\nNext: deepboot demo"
    assert conclusion([ok, slow, broken]).startswith("Broken: 1 of 3. Mend these first")


def test_packages_below_their_bounds_are_broken():
    """Numbers are compared as numbers; extras are not needed; a build's name after the version does not count."""
    needs = ["torch>=2.11", "numpy>=2.0,<4", "pandas>=2.2", 'wandb>=0.17; extra == "wandb"', "scipy>=1.14"]
    installed = {"torch": "2.9.1", "numpy": "2.0.0rc1", "pandas": "2.10.0+local"}
    found = list(installation.versions(needs, installed))
    assert [(one.text, one.is_broken) for one in found] == [
        ("torch 2.9.1 is older than 2.11, which is needed.", True),
        ("scipy is not installed.", True),
        ("numpy 2.0.0rc1, pandas 2.10.0+local", False),
    ]
    assert found[0].cure == 'pip install "torch>=2.11", or `uv sync` in a clone.'


def test_this_installation_meets_its_own_bounds():
    """All of them are read."""
    (found,) = installation.versions(installation.declared())
    assert not found.is_broken
    assert {"torch", "tomli-w", "pydantic"} <= set(found.text.replace(",", "").split()[::2])


@pytest.mark.parametrize("path", ["torch.py", "numpy/__init__.py", "deepboot/__init__.py"])
def test_a_local_file_that_hides_a_package_is_broken(path, tmp_path):
    """A worker process would import it."""
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.touch()
    (found,) = installation.hidden([tmp_path])
    assert found.is_broken
    name = Path(path).parts[0].removesuffix(".py")
    assert found.text == f"{file} hides the installed package {name!r} in its worker processes."


def test_what_hides_nothing_is_not_reported(tmp_path, monkeypatch):
    """A folder without code, a package that is not installed, and the installed packages themselves."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "datasets.py").touch()
    monkeypatch.setattr(installation, "_is_installed", lambda name: name != "datasets")
    assert not list(installation.hidden([tmp_path, Path(torch.__file__).parents[1]]))
    monkeypatch.setattr(installation, "_is_installed", lambda name: True)
    (found,) = installation.hidden([tmp_path])
    assert (found.status, "in your own scripts" in found.text) == ("slow", True)


def test_workers_look_into_the_current_folder_and_pythonpath(monkeypatch, tmp_path):
    """As Python does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/one:/two")
    assert installation.folders_before_packages() == [tmp_path, Path("/one"), Path("/two")]


def test_a_container_with_less_time_than_cores_is_slow(tmp_path, monkeypatch):
    """By its quota; a sound machine has no cure."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    found = machine.threads(16, 16, machine.cpu_quota(tmp_path))
    assert found.cure == "add --workers 2 to `deepboot run`."
    assert "the time of 2.5 cores only" in found.text
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.cpu_quota(tmp_path) is None
    assert machine.threads(4, 4, None) == Finding(
        "threads", "4 of 4 cores are usable: training has up to 4 worker processes of one thread each."
    )


def test_threads_of_the_environment_are_named(monkeypatch):
    """They change nothing, which is said."""
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert machine.threads(2, 2, None).text.endswith("OMP_NUM_THREADS = 8 does not change that.")


def test_too_little_memory_is_slow_or_broken():
    """For all workers, or for one."""
    assert machine.memory(64 * GIGABYTE, 4).status == "ok"
    assert machine.memory(3 * GIGABYTE, 4).cure == "close other programs, or add --workers 2 to `deepboot run`."
    assert machine.memory(GIGABYTE // 2, 4).status == "broken"


def test_a_containers_memory_counts(tmp_path):
    """The smaller one of machine and container."""
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9 kB\nMemAvailable:    8000 kB\n")
    assert machine.free_memory(tmp_path, info) == 8_192_000
    (tmp_path / "memory.max").write_text("7000000\n")
    (tmp_path / "memory.current").write_text("3000000\n")
    assert machine.free_memory(tmp_path, info) == 4_000_000


def test_the_disk_of_a_folder_that_does_not_exist_yet(tmp_path, monkeypatch):
    """Its nearest parent's; full, nearly full, or not to be written to."""
    usage = shutil.disk_usage(tmp_path)
    folder = tmp_path / "results" / "more"
    for free, status in [(2 * GIGABYTE, "ok"), (GIGABYTE // 2, "slow"), (1_000, "broken")]:
        monkeypatch.setattr(shutil, "disk_usage", lambda place, free=free: usage._replace(free=free))
        assert machine.disk(folder).status == status
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    assert machine.disk(folder).text == f"{tmp_path} cannot be written to."


def test_a_missing_or_useless_compiler_is_slow_and_not_broken(tmp_path):
    """Its first error is told."""
    assert machine.compiler("no-such-compiler").cure == "install it, as by `apt install g++`."
    useless = tmp_path / "useless"
    useless.write_text("#!/bin/sh\necho 'fatal error: Python.h: No such file' >&2\nexit 1\n")
    useless.chmod(0o755)
    found = machine.compiler(str(useless))
    assert found.cure == "install the headers of Python: fatal error: Python.h: No such file"
    assert found.status == "slow"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU that can be used")
def test_a_gpu_that_torch_cannot_use_is_named(tmp_path, monkeypatch):
    """By its driver; and without a driver nothing is slow."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = tmp_path / "version"
    driver.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5\n")
    assert machine.gpu(tmp_path / "none").status == "ok"
    for cuda, sentence in [(None, "this torch is for processors alone"), ("12.8", "torch for CUDA 12.8 cannot use it")]:
        monkeypatch.setattr(torch.version, "cuda", cuda)
        found = machine.gpu(driver)
        assert (found.status, sentence in found.text, "550.54.15" in found.text) == ("slow", True, True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert machine.gpu(driver).cure == "unset CUDA_VISIBLE_DEVICES."


def test_a_torch_that_cannot_be_imported_is_broken_and_told(monkeypatch, tmp_path):
    """In a line, without a traceback; the rest is looked at all the same."""
    monkeypatch.setitem(doctor.sys.modules, "deepboot.runners.commands.machine", None)
    monkeypatch.delattr("deepboot.runners.commands.machine")
    lines, healthy = doctor.examine(tmp_path)
    assert not healthy
    assert any(line.startswith("broken  torch        cannot be imported: ") for line in lines)
    assert any(line.startswith("ok      packages ") for line in lines)


def test_wrong_random_numbers_are_broken(monkeypatch):
    """The one thing that no other check would show."""
    monkeypatch.setattr(doctor, "KNOWN_ANSWER", (0, 0))
    assert [one.status for one in doctor._streams()] == ["broken"] * (1 + torch.cuda.is_available())

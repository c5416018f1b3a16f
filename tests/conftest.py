"""Fixtures of more than one folder; heavy imports wait in them, for a process that only shares out tests."""

import gc
import os

import pytest


def pytest_xdist_auto_num_workers():
    """One process more than cores: tests that start processes, and wait for them, leave a seventh of the time idle."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


def pytest_collection_finish():
    """The collector leaves out what the imports made, which no test frees: a fifth of the time goes into it else."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_sessionfinish():
    """At the end it takes them all, or libraries written in C++ report leaks."""
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """One thread per test process, so that results do not depend on how many processes share the machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def names():
    """Everything that is shipped is known by name."""
    from deepboot.runners import builtins

    builtins.load()


@pytest.fixture(autouse=True)
def own_names(names):
    """What a test registers is forgotten after it."""
    from deepboot.bootstrap import registry

    with registry.scratch():
        yield


@pytest.fixture
def without_figures(monkeypatch):
    """Reports come without their static figures, which take longer than all the rest of one."""
    monkeypatch.setattr("deepboot.reports.page.page.draw_all", lambda comparison, axis: [])


@pytest.fixture
def no_proxy(monkeypatch):
    """Servers on this machine are asked themselves."""
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def server(tmp_path):
    """A server of parts 0 and 5 of CIFAR-5m."""
    from tests.datasets.published import serving, write

    write(tmp_path / "served", 0, 5)
    with serving(tmp_path / "served") as files:
        yield files

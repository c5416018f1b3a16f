"""The examples in docstrings, of every module under the name that it is installed by."""

import doctest
import importlib
import inspect
import pkgutil
import sys
from importlib.util import find_spec

import pytest

from deepboot.runners import run_study

PACKAGES = [importlib.import_module(f"deepboot.{name}") for name in ("bootstrap", "datasets", "reports", "runners")]
FOUND = [one.name for package in PACKAGES for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
NEEDS_RAY = "deepboot.runners.cluster."  # an extra
MODULES = [name for name in FOUND if find_spec("ray") or not name.startswith(NEEDS_RAY)]


FOR_NOTEBOOKS = ["deepboot.reports.notebook", "deepboot.reports.comparison", "deepboot.bootstrap.results"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with the results of the demo, in small: what is shown is also true of those in full."""
    folder = tmp_path_factory.mktemp("reader")
    small = ["training.max_steps=6", "data.test_samples=32", "keep.weights=final"]
    run_study("demo", folder / "results" / "demo", changes=small, workers=1)
    return folder


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, request, monkeypatch):
    """What is printed is what the docstring shows; where that reads results, beside those of the demo."""
    if name in FOR_NOTEBOOKS:
        monkeypatch.chdir(request.getfixturevalue("reader"))
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("name", [*FOR_NOTEBOOKS, "deepboot.runners.run.engine"])
def test_what_a_notebook_calls_has_an_example(name):
    """Every public class, function and method; of the engine, whose examples train and are not run, `run_study`."""
    module = importlib.import_module(name)
    own = {word: one for word, one in vars(module).items() if getattr(one, "__module__", None) == name}
    public = {word: one for word, one in own.items() if inspect.isclass(one) or inspect.isfunction(one)}
    if name.endswith("engine"):
        public = {"run_study": module.run_study}
    for holder in [one for one in public.values() if inspect.isclass(one)]:
        methods = {word: one for word, one in vars(holder).items() if inspect.isfunction(one)}
        public |= {f"{holder.__name__}.{word}": one for word, one in methods.items()}
    public = {word: one for word, one in public.items() if not word.rpartition(".")[2].startswith("_")}
    assert public
    assert [word for word, one in public.items() if ">>> " not in (inspect.getdoc(one) or "")] == []


def test_there_are_examples_and_no_module_is_loaded_twice():
    """Nor is any known by the bare name of its folder."""
    found = (test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name)))
    assert sum(len(test.examples) for test in found) > 50
    assert not {name.partition(".")[0] for name in sys.modules} & {"bootstrap", "reports", "runners"}

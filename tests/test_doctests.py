"""The examples in docstrings, of every module under the name that it is installed by."""

import doctest
import importlib
import pkgutil
import sys
from importlib.util import find_spec

import pytest

PACKAGES = [importlib.import_module(f"deepboot.{name}") for name in ("bootstrap", "datasets", "reports", "runners")]
FOUND = [one.name for package in PACKAGES for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
NEEDS_RAY = "deepboot.runners.cluster."  # an extra
MODULES = [name for name in FOUND if find_spec("ray") or not name.startswith(NEEDS_RAY)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    """What is printed is what the docstring shows."""
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_there_are_examples_and_no_module_is_loaded_twice():
    """Nor is any known by the bare name of its folder."""
    found = (test for name in MODULES for test in doctest.DocTestFinder().find(importlib.import_module(name)))
    assert sum(len(test.examples) for test in found) > 50
    assert not {name.partition(".")[0] for name in sys.modules} & {"bootstrap", "reports", "runners"}

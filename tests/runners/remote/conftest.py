"""Locations in memory, which fsspec keeps for the process; each test has its own."""

from uuid import uuid4

import fsspec
import pytest


@pytest.fixture
def away():
    """The URL of an empty location, whose last part is a study's name."""
    url = f"memory://{uuid4().hex}/results/small"
    yield url
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def files():
    """The files of a location by name, hidden ones included."""

    def of(url):
        system, path = fsspec.core.url_to_fs(url)
        system.invalidate_cache()
        return {name.removeprefix(path).strip("/"): system.cat_file(name) for name in system.find(path)}

    return of

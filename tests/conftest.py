"""One thread per test process, so that results do not depend on how many processes share the machine."""

import pytest
import torch

from runners import shipped


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def names():
    """Everything that is shipped is known by name."""
    shipped.load()

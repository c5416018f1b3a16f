"""What is written of the machine and the command."""

import sys

import pytest

from deepboot.runners.run import environment


@pytest.mark.parametrize(
    ("called", "command"),
    [
        ("/home/me/.venv/bin/deepboot", "deepboot run demo --out 'my results'"),
        ("/home/me/lib/deepboot/runners/cli.py", "deepboot run demo --out 'my results'"),  # python -m
        ("/home/me/notebook.py", "run_study from Python"),
    ],
)
def test_a_command_is_written_so_that_it_can_be_typed_again(monkeypatch, called, command):
    """However the command line was started; from Python there is none."""
    monkeypatch.setattr(sys, "argv", [called, "run", "demo", "--out", "my results"])
    assert environment.describe("cpu", 1.0)["command"] == command

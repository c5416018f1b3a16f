"""What `deepboot check NAME.py` checks, for pytest."""

from pathlib import Path

from deepboot.runners.commands.check import problems


def test_NAME_keeps_the_contracts_of_a_KIND():
    """Nothing is wrong with what the file registers."""
    assert problems(Path(__file__).with_name("FILE")) == []

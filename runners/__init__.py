"""Running studies: the command line, packs, workers.

``run_study`` does what ``deepboot run`` does. It is looked up when first used, so that the command
line can show its help without loading torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runners.run.engine import run_study

__all__ = ["run_study"]


def __getattr__(name: str) -> Any:
    if name == "run_study":
        from runners.run.engine import run_study

        return run_study
    raise AttributeError(f"module 'runners' has no attribute {name!r}")

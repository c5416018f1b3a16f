"""Running studies: the command line, packs, workers.

``run_study`` does what ``deepboot run`` does; ``interpolate`` evaluates networks between two kept steps of a run.
They are looked up when first used, so that the command line can show its help without loading torch.
"""

if not __name__.startswith("deepboot."):
    raise ModuleNotFoundError(f"`{__name__}` is `deepboot.{__name__}` now. Import it by that name.", name=__name__)


from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepboot.runners.run.engine import run_study
    from deepboot.runners.run.interpolate import interpolate

__all__ = ["interpolate", "run_study"]


def __getattr__(name: str) -> Any:
    if name == "run_study":
        from deepboot.runners.run.engine import run_study

        return run_study
    if name == "interpolate":
        from deepboot.runners.run.interpolate import interpolate

        return interpolate
    raise AttributeError(f"module 'deepboot.runners' has no attribute {name!r}")

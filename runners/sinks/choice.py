"""The sink that a person names with ``--log-to``."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.wording import clipped, error_line, suggestion
from deepboot.runners.sinks.sink import Sink
from deepboot.runners.sinks.tracker import FUNCTIONS, Tracker

PACKAGES = {"tensorboard": "tensorboardX", "trackio": "trackio", "wandb": "wandb"}  # also the extras in pyproject.toml
MOST_RUNS = 200  # that one command makes in a sink


def sink_named(name: str, folder: Path, runs: int) -> Sink:
    """The sink of that name, once it is sure to be there.

    Args:
        name: one of ``PACKAGES``, or a module with ``init``, ``log`` and ``finish``.
        folder: the output folder; a tracker files the runs under its name.
        runs: that may be handed over.

    Raises:
        StudyError: the name is unknown, its package is not installed, or there are too many runs.
    """
    if runs > MOST_RUNS:
        raise StudyError([
            f"--log-to {clipped(name)}: expected at most {MOST_RUNS} runs, since each becomes a run of its own there, "
            f"got {runs:,}. Train fewer, for instance with --shard 1/{-(-runs // MOST_RUNS)}, or follow all of them "
            f"with `deepboot watch {folder}`."
        ])  # fmt: skip
    package = PACKAGES.get(name, name)
    if not _is_there(package):
        raise StudyError([_missing(name)])
    if name == "tensorboard":
        from deepboot.runners.sinks.tensorboard import TensorBoard

        return TensorBoard(folder)
    return _tracker(name, folder.resolve().name)


def _tracker(name: str, project: str) -> Tracker:
    try:
        module = import_module(name)
    except Exception as error:  # whatever a module does when it is loaded
        raise StudyError([f"--log-to {name}: it cannot be imported ({error_line(error)}). Mend it first."]) from error
    missing = [function for function in FUNCTIONS if not callable(getattr(module, function, None))]
    if missing:
        raise StudyError([
            f"--log-to {name}: expected a module with init, log and finish, got one without {' and '.join(missing)}. "
            f"{suggestion(name, list(PACKAGES))}"
        ])  # fmt: skip
    return Tracker(module, project)


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # of a dotted name, or of no name at all
        return False


def _missing(name: str) -> str:
    if name in PACKAGES:
        return f"--log-to {name}: the package {PACKAGES[name]} is not installed. Run `pip install {PACKAGES[name]}`."
    return (
        f"--log-to {clipped(name)}: there is no such module. {suggestion(name, list(PACKAGES))} "
        "A module of your own needs init, log and finish."
    )

"""States of runs on disk, one safetensors file each: loading them executes no code."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from bootstrap.results import write_atomically
from bootstrap.train import State


def path_of(folder: Path, run_id: str) -> Path:
    """Where a run's state lies."""
    return folder / "states" / f"{run_id}.safetensors"


def write_state(folder: Path, run_id: str, state: State) -> None:
    """Write one run's state, atomically."""
    path = path_of(folder, run_id)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in state.items()}))


def read_state(folder: Path, run_id: str) -> State | None:
    """A run's state, or None where there is none that can be read: the run then starts over."""
    try:
        return load(path_of(folder, run_id).read_bytes())
    except (OSError, SafetensorError):
        return None

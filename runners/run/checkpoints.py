"""States of runs and packs on disk, as safetensors: loading them executes no code.

A finished run leaves one state, from which a longer budget goes on. A pack at work leaves a
checkpoint every so often, with the one before it kept until the pack is done.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from deepboot.bootstrap.files import DamagedFileError, write_atomically
from deepboot.bootstrap.study.kept_weights import weights_file
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.execution import Execution
from deepboot.bootstrap.training.members import State
from deepboot.bootstrap.training.outcome import Outcome


def write_weights(folder: Path, run: Run, step: int, weights: dict[str, Tensor]) -> None:
    """Write one run's weights of one step, atomically, under the names of its parameters."""
    path = weights_file(folder, run.run_id, step)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in weights.items()}))


def write_state(folder: Path, run_id: str, state: State) -> None:
    """Write one finished run's state, atomically."""
    path = state_path(folder, run_id)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, save({name: tensor.cpu().contiguous() for name, tensor in state.items()}))


def read_state(folder: Path, run_id: str) -> State | None:
    """A run's state, or None where there is none that can be read: the run then starts over."""
    try:
        return load(state_path(folder, run_id).read_bytes())
    except (OSError, SafetensorError):
        return None


def check_state(path: Path) -> None:
    """Whether a state can be read.

    Raises:
        FileNotFoundError: it is not there.
        DamagedFileError: it is no state.
    """
    try:
        with safe_open(path, framework="pt"):  # reads the head, which says how long the file must be
            pass
    except SafetensorError as error:
        raise DamagedFileError(path, f"it is no whole safetensors file ({error})") from error


def state_path(folder: Path, run_id: str) -> Path:
    """Where a finished run's state lies."""
    return folder / "states" / f"{run_id}.safetensors"


def checkpoint_paths(folder: Path, pack: str) -> tuple[Path, Path]:
    """Where the last checkpoint of a pack lies, and the one before it."""
    path = folder / "checkpoints" / f"{pack}.safetensors"
    return path, path.with_suffix(".previous.safetensors")


def begun(folder: Path) -> set[str]:
    """Names of the packs that have a checkpoint."""
    return {path.name.partition(".")[0] for path in (folder / "checkpoints").glob("*.safetensors")}


def write_checkpoint(folder: Path, pack: str, outcomes: Sequence[Outcome], execution: Execution) -> None:
    """Write a pack's outcomes so far, atomically; the checkpoint before it becomes the previous one."""
    path, previous = checkpoint_paths(folder, pack)
    path.parent.mkdir(exist_ok=True)
    tensors = {
        f"{member}.{name}": tensor.cpu().contiguous()
        for member, outcome in enumerate(outcomes)
        for name, tensor in outcome.state.items()
    }
    records = [
        {"run": one.run.run_id, "rows": one.rows, "status": one.status, "last_step": one.last_step,
         "seconds": one.seconds, "stopped": one.stopped, "left": one.removed, "probes": one.probes}
        for one in outcomes
    ]  # fmt: skip
    data = save(tensors, metadata={"outcomes": json.dumps(records), "execution": execution.model_dump_json()})
    if path.is_file():
        path.replace(previous)
    write_atomically(path, data)


def read_execution(folder: Path, pack: str, device: str) -> Execution | None:
    """How the pack was stepped when its last good checkpoint was written, None if there is none.

    Args:
        folder: the output folder.
        pack: the pack's name.
        device: of a checkpoint that does not name its own, as those of early versions.
    """
    for candidate in checkpoint_paths(folder, pack):
        try:
            with safe_open(candidate, framework="pt") as file:
                return _execution(file.metadata() or {}, device)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            continue
    return None


def _execution(metadata: dict[str, str], device: str) -> Execution:
    if "execution" in metadata:
        return Execution.model_validate_json(metadata["execution"])
    earlier = json.loads(metadata["manner"])  # of version 0.2
    return Execution(
        device=earlier.get("device") or device, backend=earlier["program"], threads=earlier["threads"],
        sequential=earlier.get("apart", False),
    )  # fmt: skip


def restored_steps(folder: Path, pack: str, start: int) -> int:
    """Member steps that a pack need not do again, since its last good checkpoint holds them."""
    for candidate in checkpoint_paths(folder, pack):
        with suppress(OSError, SafetensorError, ValueError, KeyError), safe_open(candidate, framework="pt") as file:
            records = json.loads((file.metadata() or {})["outcomes"])
            steps = [int(file.get_tensor(f"{member}.step")) for member, one in enumerate(records) if not one["left"]]
            return sum(step - start for step in steps)
    return 0


def read_checkpoint(folder: Path, pack: str, runs: Sequence[Run]) -> tuple[list[Outcome] | None, list[str]]:
    """The outcomes of a pack up to its last good checkpoint, None if there is none, and what is wrong with others."""
    refused: list[str] = []
    for candidate in checkpoint_paths(folder, pack):
        if not candidate.is_file():
            continue
        try:
            return _read(candidate, runs), refused
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            refused.append(f"checkpoint {candidate} is not used: {error}. An earlier one is, or the pack starts over.")
    return None, refused


def remove_checkpoints(folder: Path, done: set[str]) -> None:
    """Remove the checkpoints of packs whose runs are all done, and those that cannot be read."""
    checkpoints = folder / "checkpoints"
    for path in checkpoints.glob("*.safetensors"):
        if _run_ids(path) <= done:
            path.unlink(missing_ok=True)
    if checkpoints.is_dir() and not any(checkpoints.iterdir()):
        checkpoints.rmdir()


def _run_ids(path: Path) -> set[str]:
    """The runs of a checkpoint; none where it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {one["run"] for one in json.loads((file.metadata() or {})["outcomes"])}
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return set()


def _read(path: Path, runs: Sequence[Run]) -> list[Outcome]:
    with safe_open(path, framework="pt") as file:
        records: list[dict[str, Any]] = json.loads((file.metadata() or {})["outcomes"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    if [one["run"] for one in records] != [run.run_id for run in runs]:
        raise ValueError("it belongs to other runs")
    states: list[State] = [{} for _ in runs]
    for name, tensor in tensors.items():
        member, _, own_name = name.partition(".")
        states[int(member)][own_name] = tensor
    return [_outcome(run, one, state) for run, one, state in zip(runs, records, states, strict=True)]


def _outcome(run: Run, record: dict[str, Any], state: State) -> Outcome:
    return Outcome(
        run, record["rows"], record["status"], record["last_step"], record["seconds"], state, record["stopped"],
        record["left"], record.get("probes", []),
    )  # fmt: skip

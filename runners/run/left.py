"""What a folder does not hold yet of a study's runs, cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.run import Run
from deepboot.runners.run import checkpoints, output_folder
from deepboot.runners.run.packing import pack_key


@dataclass(frozen=True)
class Left:
    """What is left of the runs of one cell.

    Attributes:
        cell: all of its runs.
        seeds: of those that are not done.
        steps: that all of them together still have to do.
    """

    cell: Replicates
    seeds: Sequence[int]
    steps: int


def left_of(cells: list[Replicates], start: dict[str, int]) -> list[Left]:
    """What is left of every cell, where runs start from these steps, by run_id; 0 where they are not among them."""
    return [_left(cell, start) for cell in cells]


def _left(cell: Replicates, start: dict[str, int]) -> Left:
    budget = cell.run.max_steps
    if not start:
        return Left(cell, cell.seeds, len(cell) * budget)
    missing = [budget - start.get(run_id, 0) for run_id in cell.ids()]
    return Left(cell, [seed for seed, steps in zip(cell.seeds, missing, strict=True) if steps > 0], sum(missing))


def families_left(left: list[Left]) -> list[list[Left]]:
    """What is left, by cells whose runs at one seed are a family; those with nothing left out, most seeds first."""
    families: dict[tuple[tuple[bytes, bytes], str, int | None], list[Left]] = {}
    for one in left:
        if one.seeds:
            run = one.cell.run
            partner = one.cell.ideal or run
            key = (partner.identity, pack_key(run), run.seed if run.of_one_seed else None)
            families.setdefault(key, []).append(one)
    return [sorted(family, key=lambda one: -len(one.seeds)) for family in families.values()]


def start_steps(folder: Path | None, cells: list[Replicates]) -> dict[str, int]:
    """The step from which each run of the folder goes on, by run_id; its whole budget where it is done."""
    if folder is None:
        return {}
    known = output_folder.known_runs(folder).reindex(columns=["run_id", "status", "last_step", STOPPED])
    wanted = {run_id: cell for cell in cells for run_id in cell.ids()} if len(known) else {}
    steps: dict[str, int] = {}
    known = known[known["status"] != "failed"]
    ended = (known["status"] == "diverged") | known[STOPPED].eq(True).fillna(False).astype(bool)
    for run_id, last_step, has_ended in zip(known["run_id"], known["last_step"], ended, strict=True):
        cell = wanted.get(run_id)
        if cell is None:
            continue
        if has_ended or last_step >= cell.run.max_steps:
            steps[run_id] = cell.run.max_steps
        elif cell.run.stop is None:  # a stop rule looks back over the rows, so such a run starts over
            state = checkpoints.read_state(folder, run_id)
            steps[run_id] = int(state["step"]) if state is not None else 0
    return steps


def undone(runs: list[Run], folder: Path) -> list[Run]:
    """Runs that a folder does not hold to the end of their budget."""
    start = start_steps(folder, [Replicates(run, [run.seed]) for run in runs])
    return [run for run in runs if start.get(run.run_id, 0) < run.max_steps]

"""The work that a study asks for: its runs, those of one shard, and what a folder does not hold of them yet."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap import columns
from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.probe_checks import value_names
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.wording import clipped
from deepboot.reports.claims.errors import claim_errors
from deepboot.reports.replication.errors import published_errors
from deepboot.runners import builtins, study_files
from deepboot.runners.run import checkpoints, output_folder
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.packing import PackPlan, plan_packs
from deepboot.runners.run.rows import specification_row


@dataclass(frozen=True)
class Work:
    """Runs of a study, and the packs that are still to be trained.

    Attributes:
        raw: the study's tables.
        all_runs: of the whole study.
        runs: all of them, or those of one shard.
        packs: of the runs that are not done.
        pending: number of runs that are not done.
    """

    raw: dict[str, Any]
    all_runs: list[Run]
    runs: list[Run]
    packs: list[PackPlan]
    pending: int


@contextmanager
def plugins_cannot_exit() -> Iterator[None]:
    """Turn SystemExit, which a plugin raised in this process, into a message for the user."""
    try:
        yield
    except SystemExit as error:
        raise StudyError(
            [f"a plugin ended the program (SystemExit: {error}). Let it raise an error that says why instead."]
        ) from error


@plugins_cannot_exit()
def plan(
    study: str | Path,
    out: Path | str | None = None,
    *,
    scale: str | None = None,
    changes: Sequence[str] = (),
    shard: str | None = None,
    pack_size: int = 1,
) -> Work:
    """The work that running a study into a folder would do.

    Raises:
        StudyError: all that is wrong with the study, at once.
    """
    folder = Path(out) if out is not None else None
    return remaining(requested(study, folder, scale, changes, shard), folder, lambda run: pack_size)


def requested(
    study: str | Path, folder: Path | None, scale: str | None, changes: Sequence[str], shard: str | None
) -> Work:
    """A study's runs, and those of a shard, before a folder is looked at.

    Raises:
        StudyError: the study has mistakes, or its claims fit neither its runs nor those of its folder.
    """
    builtins.load()
    raw = study_files.load(study, scale=scale, changes=list(changes))
    all_runs = runs_of(raw)
    runs = shard_of(all_runs, shard) if shard is not None else all_runs
    _refuse_claims(raw, all_runs, folder if folder is not None else default_folder(study))
    return Work(raw, all_runs, runs, [], 0)


def _refuse_claims(raw: dict[str, Any], runs: list[Run], folder: Path) -> None:
    """Refuse claims, and published numbers, that have nothing to be judged on in these runs and those of a folder."""
    claims, published = (raw.get(name, []) for name in ("claims", "published"))
    if not claims and not published:
        return
    probes = value_names(runs)
    facts = facts_of(runs) if "facts." in f"{claims}{published}" else {}
    planned = pd.DataFrame([{**specification_row(run), **facts.get(run.run_id, {})} for run in runs])
    problems = claim_errors(claims, planned, probes) + published_errors(published, planned, probes)
    if problems and (folder / "runs.parquet").is_file():
        held = output_folder.known_runs(folder)
        outcomes = [name for name in columns.RUN_COLUMNS if name not in planned]
        both = pd.concat([planned, held.drop(columns=outcomes)], ignore_index=True).drop_duplicates("run_id")
        problems = claim_errors(claims, both, probes) + published_errors(published, both, probes)
    if problems:
        raise StudyError(problems)


def remaining(work: Work, folder: Path | None, pack_size: Callable[[Run], int]) -> Work:
    """The work with the packs of all runs that a folder does not hold yet."""
    start = _start_steps(folder, work.runs) if folder is not None else {}
    return replace(work, packs=plan_packs(work.runs, start, pack_size), pending=len(_undone(work.runs, start)))


def undone(runs: list[Run], folder: Path) -> list[Run]:
    """Runs that a folder does not hold to the end of their budget."""
    return _undone(runs, _start_steps(folder, runs))


def _undone(runs: list[Run], start: dict[str, int]) -> list[Run]:
    return [run for run in runs if start.get(run.run_id, 0) < run.max_steps]


def shard_of(runs: list[Run], shard: str) -> list[Run]:
    """The runs of the cells of one shard, "2/8" for the second of eight, with their ideal partners.

    Which shard a cell is in follows from the cell alone: eight machines need not know of each other.

    Raises:
        StudyError: not of that form, or the study has no cell there.
    """
    number, _, count = shard.partition("/")
    if not (len(shard) < 20 and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise StudyError([
            f"--shard {clipped(shard)}: expected k/n with 1 <= k <= n. Write 2/8 for the second of eight."
        ])  # fmt: skip
    partners = {run.ideal_run_id for run in runs}
    cells = {run.cell_id for run in runs if run.run_id not in partners}
    chosen = {cell for cell in cells if int(cell, 16) % int(count) == int(number) - 1}
    real_runs = [run for run in runs if run.run_id not in partners and run.cell_id in chosen]
    if not real_runs:
        raise StudyError([
            f"--shard {shard}: none of the study's {len(cells)} cells falls into it. Choose fewer shards, or another."
        ])  # fmt: skip
    ideal_ids = {run.ideal_run_id for run in real_runs}
    return real_runs + [run for run in runs if run.run_id in ideal_ids]


def _start_steps(folder: Path, runs: list[Run]) -> dict[str, int]:
    """The step from which each run of the folder goes on; its whole budget where it is done."""
    known = output_folder.known_runs(folder).reindex(columns=["run_id", "status", "last_step", STOPPED])
    wanted = {run.run_id: run for run in runs}
    steps: dict[str, int] = {}
    for row in output_folder.records(known):
        run = wanted.get(row["run_id"])
        if run is None or row["status"] == "failed":
            continue
        ended = row["status"] == "diverged" or row.get(STOPPED) is True
        if ended or row["last_step"] >= run.max_steps:
            steps[run.run_id] = run.max_steps
        elif run.stop is None:  # a stop rule looks back over the rows, so such a run starts over
            state = checkpoints.read_state(folder, run.run_id)
            steps[run.run_id] = int(state["step"]) if state is not None else 0
    return steps


def default_folder(study: str | Path) -> Path:
    """The output folder of a study for which none is given."""
    path = Path(study)
    return path if path.is_dir() else Path("results") / path.stem

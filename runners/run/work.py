"""The work that a study asks for: its runs, those of one shard, and what a folder does not hold of them yet."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from deepboot.bootstrap import columns
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.probe_checks import value_names
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import cells_of
from deepboot.bootstrap.wording import clipped
from deepboot.reports.claims.errors import PlannedRuns, claim_errors
from deepboot.reports.replication.errors import published_errors
from deepboot.runners import builtins, study_files
from deepboot.runners.run import output_folder
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.left import left_of, start_steps
from deepboot.runners.run.packing import PackPlan, plan_packs
from deepboot.runners.run.rows import specification_row


@dataclass(frozen=True)
class Work:
    """Runs of a study, and the packs that are still to be trained.

    Attributes:
        raw: the study's tables.
        all_cells: the runs of the whole study.
        cells: all of them, or those of one shard.
        packs: of the runs that are not done.
        pending: number of runs that are not done.
    """

    raw: dict[str, Any]
    all_cells: list[Replicates]
    cells: list[Replicates]
    packs: list[PackPlan] = field(default_factory=list)
    pending: int = 0

    @cached_property
    def runs(self) -> list[Run]:
        """The runs of its cells, made all at once."""
        return list(chain.from_iterable(self.cells))


@contextmanager
def plugins_cannot_exit() -> Iterator[None]:
    """Turn SystemExit, which a plugin raised in this process, into a message for the user."""
    try:
        yield
    except SystemExit as error:
        raise StudyError(
            [f"a plugin ended the program (SystemExit: {error}). Let it raise an error that says why instead."]
        ) from error


def run_command(
    study: str | Path,
    scale: str | None,
    changes: Sequence[str],
    *,
    seeds: int | list[int] | None = None,
    out: Path | str | None = None,
) -> str:
    """The command that trains a study at this scale and with these changes, as a shell takes it.

    Args:
        seeds: other seeds than the study's.
        out: where to, if not to the default folder.

    >>> run_command("demo", "quick", ["optimizer.lr=0.1", "training.seeds=4"], seeds=8, out="here")
    'deepboot run demo --scale quick --out here --set optimizer.lr=0.1 training.seeds=8'
    >>> run_command("demo", None, [])
    'deepboot run demo'
    """
    others = [change for change in changes if seeds is None or not change.startswith("training.seeds=")]
    settings = [*others, *([f"training.seeds={seeds}"] if seeds is not None else [])]
    options = {"--scale": [scale] if scale else [], "--out": [str(out)] if out else [], "--set": settings}
    return shlex.join(
        [
            "deepboot",
            "run",
            str(study),
            *chain.from_iterable([name, *given] for name, given in options.items() if given),
        ]
    )


def twice_as_many(seeds: int | list[int]) -> int | list[int]:
    """A study's seeds and as many more.

    >>> twice_as_many(8), twice_as_many([10, 11])
    (16, [10, 11, 12, 13])
    """
    return 2 * seeds if isinstance(seeds, int) else [*seeds, *range(max(seeds) + 1, max(seeds) + 1 + len(seeds))]


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
    work = requested(study, folder, scale, changes, shard)
    return remaining(work, start_steps(folder, work.cells), lambda run: pack_size)


@plugins_cannot_exit()
def requested(
    study: str | Path, folder: Path | None, scale: str | None, changes: Sequence[str], shard: str | None
) -> Work:
    """A study's runs, and those of a shard, before a folder is looked at.

    Raises:
        StudyError: the study has mistakes, or its claims fit neither its runs nor those of its folder.
    """
    builtins.load()
    raw = study_files.load(study, scale=scale, changes=list(changes))
    all_cells = cells_of(raw)
    cells = shard_of(all_cells, shard) if shard is not None else all_cells
    _refuse_claims(raw, all_cells, folder if folder is not None else default_folder(study))
    return Work(raw, all_cells, cells)


def _refuse_claims(raw: dict[str, Any], cells: list[Replicates], folder: Path) -> None:
    """Refuse claims, and published numbers, that have nothing to be judged on in these runs and those of a folder."""
    if not raw.get("claims") and not raw.get("published"):
        return
    by_fact = "facts." in f"{raw.get('claims')}{raw.get('published')}"
    if not by_fact and not _claim_problems(raw, [next(iter(cell)) for cell in cells]):
        return  # what one run of each cell has, all have; a claim about single seeds needs the others
    runs = list(chain.from_iterable(cells))
    facts = facts_of(runs) if by_fact else {}
    problems = _claim_problems(raw, runs, facts)
    if problems and (folder / "runs.parquet").is_file():
        problems = _claim_problems(raw, runs, facts, output_folder.known_runs(folder))
    if problems:
        raise StudyError(problems)


def _claim_problems(
    raw: dict[str, Any], runs: list[Run], facts: dict[str, dict[str, Any]] | None = None,
    held: pd.DataFrame | None = None,
) -> list[str]:  # fmt: skip
    """Problems of a study's claims and published numbers with these runs, and with those that a folder holds."""
    claims, published = (raw.get(name, []) for name in ("claims", "published"))
    table = pd.DataFrame([{**specification_row(run), **(facts or {}).get(run.run_id, {})} for run in runs])
    if held is not None:
        outcomes = [name for name in columns.RUN_COLUMNS if name not in table]
        table = pd.concat([table, held.drop(columns=outcomes)], ignore_index=True).drop_duplicates("run_id")
    planned = PlannedRuns.of(table, value_names(runs))
    return claim_errors(claims, planned) + published_errors(published, planned)


def remaining(work: Work, start: dict[str, int], pack_size: Callable[[Run], int]) -> Work:
    """The work with the packs of all runs that are not done where they start from these steps, by run_id."""
    pending = sum(len(left.seeds) for left in left_of(work.cells, start))
    packs = plan_packs(work.cells, start, pack_size) if pending else []
    return replace(work, packs=packs, pending=pending)


def shard_of(cells: list[Replicates], shard: str) -> list[Replicates]:
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
    partners = {cell.ideal.identity for cell in cells if cell.ideal is not None}
    real = [cell for cell in cells if cell.run.identity not in partners]
    chosen = [cell for cell in real if int(cell.run.cell_id, 16) % int(count) == int(number) - 1]
    if not chosen:
        known = len({cell.run.cell_id for cell in real})
        raise StudyError([
            f"--shard {shard}: none of the study's {known} cells falls into it. Choose fewer shards, or another."
        ])  # fmt: skip
    asked: dict[Any, set[int]] = {}  # seeds of ideal partners, by identity
    for cell in chosen:
        if cell.ideal is not None:
            asked.setdefault(cell.ideal.identity, set()).update(cell.seeds)
    ideal = [(cell, asked[cell.run.identity]) for cell in cells if cell.run.identity in asked]
    return chosen + [replace(cell, seeds=[seed for seed in cell.seeds if seed in seeds]) for cell, seeds in ideal]


def default_folder(study: str | Path) -> Path:
    """The output folder of a study for which none is given."""
    path = Path(study)
    return path if path.is_dir() else Path("results") / path.stem

"""How many floating-point operations the shipped studies are at full size: a price before anybody has run them."""

from collections.abc import Iterable, Iterator

from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.replicates import Replicates
from deepboot.bootstrap.study.sweep import cells_of
from deepboot.reports.tables.table import Table
from deepboot.reports.text import count
from deepboot.runners import builtins, study_files
from deepboot.runners.commands.studies import raw_studies
from deepboot.runners.run.autotune import operations_per_step

RATE = 1e13  # operations a second that a price in hours is told at: a round number that nobody has measured
COLUMNS = ("study", "runs", "member steps", "operations", f"hours at {RATE:.0e} a second")


def operations(cells: Iterable[Replicates]) -> int:
    """About how many floating-point operations these runs' updates take, without their evaluations.

    Those of `operations_per_step`; a run that goes on with smaller batches in a later phase takes fewer.
    """
    known: dict[str, int] = {}
    total = 0
    for cell in cells:
        run = cell.run
        step = f"{run.task} {run.model} {run.batch_size}"
        if step not in known:
            known[step] = operations_per_step(run)
        total += known[step] * run.max_steps * len(cell)
    return total


def hours(work: int) -> str:
    """The hours that so many operations take at the stated rate, with two digits."""
    taken = work / RATE / 3600
    return "less than 0.01" if taken < 0.01 else f"{taken:.2g}" if taken < 10 else count(round(taken))


def price(cells: Iterable[Replicates], measured: str | None) -> str:
    """What these runs cost, as a clause: the time that was measured, or else their operations.

    Args:
        cells: of the study, or of a part of it.
        measured: what the study's ``[cost]`` says of exactly these runs; None where it says nothing.
    """
    if measured is not None:
        return measured
    work = operations(cells)
    return f"time not measured; about {work:.1e} floating-point operations, {hours(work)} hours at {RATE:.0e} a second"


def lines() -> Iterator[str]:
    """Every shipped study's full size by its price, the dearest first, as a table in Markdown."""
    builtins.load()
    priced: list[tuple[int, tuple[str, ...]]] = []
    for name, raw in raw_studies():
        if "full" in raw.get("scale", {}):
            try:
                cells = cells_of(study_files.load(name, scale="full"))
            except StudyError:
                continue  # it needs data or weights that are not here
            work, runs = operations(cells), sum(map(len, cells))
            steps = sum(cell.run.max_steps * len(cell) for cell in cells)
            priced.append((work, (f"`{name}`", count(runs), count(steps), f"{work:.1e}", hours(work))))
    numbers = frozenset(COLUMNS[1:])
    yield Table("", COLUMNS, [cells for _, cells in sorted(priced, reverse=True)], numbers).markdown

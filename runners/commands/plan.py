"""The cost of a study, and the seeds that its claims need, before it is run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from deepboot.bootstrap import results
from deepboot.bootstrap.study.run import evaluation_steps
from deepboot.bootstrap.training.execution import Execution
from deepboot.reports.planning.before_run import heading, prospects
from deepboot.reports.planning.forecast import Forecast
from deepboot.reports.planning.from_pilot import forecasts
from deepboot.reports.statistics.power import POWER, largest_spread, largest_unseen
from deepboot.reports.text import count, percent, plural
from deepboot.runners import study_files
from deepboot.runners.commands.work_of_studies import price
from deepboot.runners.live.pace import duration
from deepboot.runners.run.left import Left, families_left, left_of, start_steps
from deepboot.runners.run.local import choose_device, cores
from deepboot.runners.run.packing import PackPlan, plan_packs
from deepboot.runners.run.trial import Trial, measure
from deepboot.runners.run.work import Work, requested, run_command

PILOT = 3  # seeds, the fewest that show a spread
TABLES = ("runs.parquet", "evaluations.parquet", "study.toml")


def describe(
    study: str | Path, out: Path | None = None, *, scale: str | None = None, changes: Sequence[str] = ()
) -> Iterator[str]:
    """Lines about a study: its cost, and the seeds that each claim needs, by the results in ``out`` if there are any.

    Raises:
        StudyError: all that is wrong with the study, at once.
        ValueError: a claim of an unknown kind, or with settings that its kind does not take.
    """
    work = requested(study, out, scale, changes, None)
    told = _next(study, work, scale, changes)
    yield from _described(work, out, choose_device("auto"), _measured(work, scale, changes), told)


def dry_run(
    study: str | Path,
    out: Path | None = None,
    *,
    scale: str | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
    shard: str | None = None,
) -> Iterator[str]:
    """Lines about what running a study would do: the study as it would run, as TOML, then those of `describe`.

    Of a shard, the cost is that of its own cells; the claims are those of the whole study.

    Raises:
        StudyError, ValueError: as `describe`.
    """
    chosen = choose_device(device)
    work = requested(study, out, scale, changes, shard)
    yield f"# {study} as it would run, without the settings that are at their defaults"
    yield study_files.concise(work.raw)
    yield from _described(work, out, chosen, _measured(work, scale, changes), _next(study, work, scale, changes))


def _measured(work: Work, scale: str | None, changes: Sequence[str]) -> str | None:
    """The time that the study's file gives for all of these runs; None for others, or where it gives none."""
    whole = not changes and len(work.cells) == len(work.all_cells)
    seconds = work.raw.get("cost", {}).get(scale or "default") if whole else None
    return f"{seconds}, as measured" if seconds else None


def _next(study: str | Path, work: Work, scale: str | None, changes: Sequence[str]) -> str:
    """The command that runs the study, and that of a pilot where it has many seeds."""
    command, seeds = run_command(study, scale, changes), work.raw["training"]["seeds"]
    if not isinstance(seeds, int) or seeds <= PILOT:
        return f"Next: {command}"
    return f"Next: {command}   or first a pilot of a few seeds: {run_command(study, scale, changes, seeds=PILOT)}"


def _described(work: Work, out: Path | None, device: str, measured: str | None, told: str) -> Iterator[str]:
    start = start_steps(out, work.cells)
    seeds = len(set().union(*{tuple(cell.seeds) for cell in work.cells}))
    yield from _cost(work, start, device, seeds)
    yield f"price      {price(work.cells, measured)}"
    claims = work.raw.get("claims", [])
    if not claims:
        yield "claims     none: add [[claims]] to the study, and they are judged when it has run"
    elif out is not None and all((out / name).is_file() for name in TABLES):
        yield from _by_pilot(out, claims)
    else:
        yield f"claims     what {plural(seeds, 'seed')} can settle; spreads are standard deviations over seeds"
        for number, line in enumerate(prospects(claims, seeds), start=1):
            yield f"  {number:<8} {line}"
        yield f"\n{told}"


def _cost(work: Work, start: dict[str, int], device: str, seeds: int) -> Iterator[str]:
    """Lines about a study's question, its cells, runs, steps and the time that they take."""
    one_of_each = [cell.run for cell in work.cells]
    left = left_of(work.cells, start)
    runs = sum(map(len, work.cells))
    real = sum(len(cell) for cell in work.cells if cell.run.rule != "ideal")
    cells = len({run.cell_id for run in one_of_each if run.rule != "ideal" or not real})
    done = runs - sum(len(one.seeds) for one in left)
    finished = f", {done} of them done" if done else ""
    evaluations = len(evaluation_steps(one_of_each[0].evaluation, one_of_each[0].max_steps))
    yield f"question   {work.raw['question']}"
    yield f"cells      {cells}, each with {plural(seeds, 'seed')}"
    yield f"runs       {real} real + {runs - real} ideal = {runs}{finished}"
    bound = "at most " if any(run.stop is not None for run in one_of_each) else ""
    yield f"steps      {bound}{sum(one.steps for one in left):,} to do, {bound}{evaluations} evaluations a run"
    if done < runs:
        yield f"time       {_time(left, start, device, bound or 'about ')}"


def _processor(device: str) -> str:
    return f"{cores()} cores" if device == "cpu" else torch.cuda.get_device_name()


def _time(left: list[Left], start: dict[str, int], device: str, bound: str) -> str:
    """How long this will take, by a short trial of each size of computation, or why that is not known."""
    steps: dict[str, int] = {}
    tried: dict[str, PackPlan] = {}
    families = families_left(left)
    for family in families:
        pack = plan_packs([replace(one.cell, seeds=family[0].seeds[:1]) for one in family], start)[0]
        first = pack.runs[0]
        size = f"{first.task} {first.model} {first.loss} {first.batch_size} {first.dtype} {len(pack.runs)}"
        steps[size] = steps.get(size, 0) + sum(one.steps for one in family)
        tried.setdefault(size, pack)
    seconds = 0.0
    for size, pack in tried.items():
        trial = measure(Trial(runs=list(pack.runs), execution=Execution(device=device)))
        if trial.problem is not None:
            return f"not known: a trial of run {pack.runs[0].run_id} failed ({trial.problem})"
        seconds += steps[size] / trial.rate
    packs = sum(len(family[0].seeds) for family in families)
    return f"{bound}{duration(seconds / (min(cores(), packs) if device == 'cpu' else 1))} on {_processor(device)}"


def _by_pilot(folder: Path, claims: list[dict[str, Any]]) -> Iterator[str]:
    """Lines about the seeds that each claim needs, by the spread in a folder's results."""
    pilot = results.read(folder)
    by_cell = forecasts(replace(pilot, study={**pilot.study, "claims": claims}))
    yield f"claims     by the {plural(pilot.runs['seed'].nunique(), 'seed')} in {folder}"
    for number, claim in enumerate(claims, start=1):
        yield f"  {number:<8} {heading(claim)}"
        for forecast in by_cell:
            if forecast.judgement.claim == claim:
                cell = forecast.judgement.cell
                yield f"  {'':8}   {f'{cell}: ' if cell not in (None, 'real') else ''}{forecast.sentence}"
    yield from _seeds_for_all(by_cell, folder)


def _seeds_for_all(by_cell: list[Forecast], folder: Path) -> Iterator[str]:
    """Lines about the seeds that settle all claims, how far the pilot can be trusted, and the next command."""
    inconclusive = [forecast for forecast in by_cell if forecast.judgement.verdict == "inconclusive"]
    needed = [forecast.needed for forecast in inconclusive if forecast.needed is not None]
    if needed:
        most = max(needed)
        seeds = min(forecast.seeds for forecast in inconclusive if forecast.needed is not None)
        what = (
            "settle all of these claims" if len(needed) == len(inconclusive)
            else "settle all of them that seeds can settle"
        )  # fmt: skip
        yield f"seeds      {count(most)} would {what}"
        yield f"trust      {_trust(seeds)}"
        yield f"\nNext: deepboot run {folder} --set training.seeds={most} --out {folder}-{most}"
        yield "      (a folder of its own, so that the claims stand before the runs)"
    else:
        yield f"\nNext: deepboot claims {folder}"


def _trust(seeds: int) -> str:
    """How far a pilot of so many seeds may be off.

    >>> _trust(3)
    '3 seeds know little: the spread may be 2.1 times theirs, what none of them shows may befall 42 % of runs (80 %...'
    """
    spread, unseen = largest_spread(seeds), largest_unseen(seeds)
    return (
        f"{plural(seeds, 'seed')} know little: the spread may be {spread:.2g} times theirs, what none of them shows "
        f"may befall {percent(round(unseen, 2))} of runs ({percent(POWER)} bounds)"
    )

"""From a study to a filled output folder."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch

from deepboot.bootstrap import columns, results
from deepboot.bootstrap.columns import STOPPED
from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.registry import clipped
from deepboot.bootstrap.results import Results
from deepboot.bootstrap.samples.source import ENDLESS_TEST_SAMPLES
from deepboot.bootstrap.samples.split import mirrored_share, split_of
from deepboot.bootstrap.study.build import build_task, capacity
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.study.sweep import runs_of
from deepboot.bootstrap.task import Universe
from deepboot.bootstrap.training.execution import BackendName
from deepboot.reports.claims.errors import claim_errors
from deepboot.runners import builtins, study_files
from deepboot.runners.run import autotune, checkpoints, environment, output_folder, repair, shards, trusted_backends
from deepboot.runners.run.execute import Failure, Job
from deepboot.runners.run.execution_plan import ExecutionPlan, read_plan, short_key, write_plan
from deepboot.runners.run.local import Bench, cores, note, run_jobs
from deepboot.runners.run.packing import PackPlan, plan_packs
from deepboot.runners.run.progress import Progress

Device = Literal["auto", "cpu", "cuda"]
NAMED = 3  # missing runs that are named; beyond, they are counted


class TrainingError(RuntimeError):
    """Some planned runs are not done; the folder holds all the others.

    Attributes:
        failures: packs that failed, and why.
        missing: runs that are not done, and that no failure names.
    """

    def __init__(self, failures: list[Failure], missing: Sequence[Run] = ()):
        self.failures, self.missing = failures, missing
        lines = [f"pack {failure.job}: {failure.reason}" for failure in failures]
        if missing:
            lines.append(f"{len(missing)} planned runs are not done, and nothing says why:")
            lines += [f"{run.rule} world, seed {run.seed}, run {run.run_id}" for run in missing[:NAMED]]
        if len(missing) > NAMED:
            lines.append(f"and {len(missing) - NAMED} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Work:
    """What a study still needs.

    Attributes:
        raw: the study's tables.
        every: all its runs.
        runs: these, or those of one shard.
        packs: those that are to be done.
        pending: how many these are.
    """

    raw: dict[str, Any]
    every: list[Run]
    runs: list[Run]
    packs: list[PackPlan]
    pending: int


@contextmanager
def _plugins_cannot_exit() -> Iterator[None]:
    """A plugin that ends the program, in this process, is something that a user can mend."""
    try:
        yield
    except SystemExit as error:
        raise StudyError(
            [f"a plugin ended the program (SystemExit: {error}). Let it raise an error that says why instead."]
        ) from error


@_plugins_cannot_exit()
def plan(
    study: str | Path,
    out: Path | str | None = None,
    *,
    scale: str | None = None,
    changes: Sequence[str] = (),
    shard: str | None = None,
    pack_size: int = 1,
) -> Work:
    """What running a study into a folder would do.

    Raises:
        StudyError: all that is wrong with the study, at once.
    """
    place = Path(out) if out is not None else None
    return _left(_asked(study, place, scale, changes, shard), place, lambda run: pack_size)


def _asked(study: str | Path, out: Path | None, scale: str | None, changes: Sequence[str], shard: str | None) -> Work:
    """A study's runs, and those that are asked for, none of them done; its claims fit them, or those of its folder."""
    builtins.load()
    raw = study_files.load(study, scale=scale, changes=list(changes))
    every = runs_of(raw)
    runs = part_of(every, shard) if shard is not None else every
    _refuse_claims(raw.get("claims", []), every, out if out is not None else default_folder(study))
    return Work(raw, every, runs, [], 0)


def _refuse_claims(claims: list[dict[str, Any]], runs: list[Run], out: Path) -> None:
    """Refuse claims that can never be judged on these runs, nor on those that a folder holds beside them."""
    if not claims:
        return
    facts = facts_of(runs) if "facts." in str(claims) else {}
    planned = pd.DataFrame([{**output_folder.specification_row(run), **facts.get(run.run_id, {})} for run in runs])
    problems = claim_errors(claims, planned)
    if problems and (out / "runs.parquet").is_file():
        held = output_folder.collect(out)[0]
        outcomes = [name for name in columns.RUN_COLUMNS if name not in planned]
        both = pd.concat([planned, held.drop(columns=outcomes)], ignore_index=True).drop_duplicates("run_id")
        problems = claim_errors(claims, both)
    if problems:
        raise StudyError(problems)


def _left(work: Work, out: Path | None, pack_size: Callable[[Run], int]) -> Work:
    """The same with what a folder does not hold yet of its runs."""
    runs = work.runs
    start = _done_steps(out, runs) if out is not None else {}
    return replace(work, packs=plan_packs(runs, start, pack_size), pending=len(_undone(runs, start)))


def _undone(runs: list[Run], start: dict[str, int]) -> list[Run]:
    """Runs that can or must go on, from the steps in ``start``."""
    return [run for run in runs if start.get(run.run_id, 0) < run.max_steps]


def account(place: Path, runs: list[Run], failures: list[Failure]) -> None:
    """Count the planned runs against the folder's tables, whatever engine did them.

    Raises:
        TrainingError: some failed, or are not done though nothing failed.
    """
    named = {run_id for failure in failures for run_id in failure.run_ids}
    missing = [run for run in _undone(runs, _done_steps(place, runs)) if run.run_id not in named]
    if failures or missing:
        raise TrainingError(failures, missing)


def part_of(runs: list[Run], shard: str) -> list[Run]:
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
    mine = {cell for cell in cells if int(cell, 16) % int(count) == int(number) - 1}
    kept = [run for run in runs if run.run_id not in partners and run.cell_id in mine]
    if not kept:
        raise StudyError([
            f"--shard {shard}: none of the study's {len(cells)} cells falls into it. Choose fewer shards, or another."
        ])  # fmt: skip
    wanted = {run.ideal_run_id for run in kept}
    return kept + [run for run in runs if run.run_id in wanted]


def _done_steps(out: Path, runs: list[Run]) -> dict[str, int]:
    """The step each run of the folder can go on from; its whole budget where it is done."""
    known, _ = output_folder.collect(out)
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
            state = checkpoints.read_state(out, run.run_id)
            steps[run.run_id] = int(state["step"]) if state is not None else 0
    return steps


@_plugins_cannot_exit()
def run_study(
    study: str | Path,
    out: Path | str | None = None,
    *,
    scale: str | None = None,
    changes: Sequence[str] = (),
    device: Device = "auto",
    workers: int | None = None,
    checkpoint_seconds: float = 30.0,
    shard: str | None = None,
    pack_size: int | None = None,
    backend: BackendName | None = None,
) -> Results:
    """Train every run of a study that its folder does not hold yet, and return the folder's results.

    Args:
        study: path or shipped name.
        out: output folder; ``results/<name>`` if None.
        scale: name of one of the study's scales.
        changes: "dotted.key=value" each.
        device: "auto" is the GPU where there is one.
        workers: processes on a CPU; one per core if None.
        checkpoint_seconds: time between checkpoints of a pack: what a crash can cost.
        shard: "2/8" trains the cells of the second of eight shards; each wants its own folder.
        pack_size: members stepped together, where their shapes agree; a pair is never split, but 1 steps its runs
            one after another. None: what the folder was begun with, or what is measured to be fast where the study
            is long enough to measure it.
        backend: how steps are carried out; None as for ``pack_size``.

    Raises:
        StudyError: the study, device or folder cannot be used; nothing was trained.
        TrainingError: some packs failed or runs are missing; all others are in the folder.
        KeyboardInterrupt: a stop was asked for; what was done is in the folder, and checkpoints of the rest.
    """
    chosen = choose_device(device)
    place = Path(out) if out is not None else default_folder(study)
    asked = _asked(study, place, scale, changes, shard)  # mistakes come before the folder is touched
    with output_folder.held(place):
        try:
            for sentence in repair.mend(place, asked.runs):
                note(sentence)
            output_folder.prepare(place, study_files.resolved(asked.raw), asked.every)
            if shards.exists(place):  # of a command that was killed: its rows are put into the tables first
                output_folder.merge(place, asked.runs, facts_of(asked.runs))
            execution_plan = _execution_plan(asked, place, chosen, workers, pack_size, backend)
            work = _left(asked, place, lambda run: execution_plan.of(run).pack_size)
            failures = _work(work, place, execution_plan, checkpoint_seconds)
        except OSError as error:
            raise StudyError([
                f"output folder {place} cannot be written: {error.strerror}. What was written before is whole; "
                "make room and run the same command again."
            ]) from error  # fmt: skip
        account(place, asked.runs, failures)
    return results.read(place)


def _execution_plan(
    asked: Work, place: Path, device: str, workers: int | None, pack_size: int | None, backend: BackendName | None
) -> ExecutionPlan:
    """The plan that a folder was begun with, else one that is measured; a person's settings go before both."""
    plugins = asked.raw["plugins"]
    count = 1 if device != "cpu" else workers if workers is not None else cores()
    given = pack_size is not None or backend is not None
    known = read_plan(place)
    if known is not None and known.device == device:
        chosen = known if workers is None else known.model_copy(update={"workers": count})
    elif given:
        chosen = ExecutionPlan(device=device, workers=count)
    else:
        with Bench() as bench:
            threads = cores() if workers is None else 1
            chosen = autotune.choose(_pending(asked, place), device, count, threads, plugins, bench, note)
        if chosen.compiler not in (None, "found"):
            note(f"No compiler {chosen.compiler.removeprefix('none ')}: this study is trained without compiling.")
    for run in asked.runs if given else ():
        settings = chosen.of(run)
        chosen.packs[short_key(run)] = settings.model_copy(
            update={
                "pack_size": pack_size or settings.pack_size,
                "sequential": settings.sequential if pack_size is None else pack_size == 1,
                "backend": backend or settings.backend,
            }
        )
    if any(settings.backend != "eager" for settings in chosen.packs.values()):
        with Bench() as bench:
            trusted_backends.distrust(chosen, _pending(asked, place), plugins, bench, note)
    write_plan(chosen, place)
    return chosen


def _pending(asked: Work, place: Path) -> list[Run]:
    """The runs that are still to be trained, in whole families."""
    return [run for pack in _left(asked, place, lambda run: 1).packs for run in pack.runs]


def _work(work: Work, place: Path, execution_plan: ExecutionPlan, checkpoint_seconds: float) -> list[Failure]:
    """Do a study's packs into a held folder; what was done is in its tables, however this ends."""
    plugins = work.raw["plugins"]
    began, facts = time.time(), facts_of(work.runs)
    if work.packs:
        output_folder.announce(place, work.runs, facts)
    jobs = [
        Job(name=pack.name, folder=str(place), runs=list(pack.runs), start=pack.start, plugins=plugins,
            execution=execution_plan.execution(pack.runs[0]), checkpoint_seconds=checkpoint_seconds)
        for pack in work.packs
    ]  # fmt: skip
    try:
        steps, stopping = sum(pack.steps for pack in work.packs), any(run.stop is not None for run in work.runs)
        restored = sum(checkpoints.restored_steps(place, job.name, job.start) for job in jobs)
        with Progress(steps, restored=restored, at_most=stopping) as progress:
            return run_jobs(jobs, workers=execution_plan.workers, progress=progress)
    finally:
        output_folder.merge(place, work.runs, facts)
        undone = _undone(work.runs, _done_steps(place, work.runs))
        checkpoints.remove_checkpoints(place, {run.run_id for run in work.runs} - {run.run_id for run in undone})
        if jobs or not (place / "environment.json").exists():
            described = environment.describe(execution_plan.device, time.time() - began)
            write_json({**described, "execution": execution_plan.summary}, place / "environment.json")


def default_folder(study: str | Path) -> Path:
    """Where a study's results go when nobody says."""
    path = Path(study)
    return path if path.is_dir() else Path("results") / path.stem


def choose_device(device: str) -> str:
    """The device to train on.

    Raises:
        StudyError: CUDA was asked for and is not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            ["--device cuda: this machine has no CUDA device that torch can use. Use --device cpu or auto, "
             "or see `deepboot doctor`."]
        )  # fmt: skip
    return device


def facts_of(runs: list[Run]) -> dict[str, dict[str, Any]]:
    """What the data of each run were, beside its settings: sizes of universe and test, mirrored share."""
    facts: dict[str, dict[str, Any]] = {}
    known: dict[str, dict[str, Any]] = {}
    for run in runs:
        same_data = f"{run.task} {run.data} {run.streams} {run.seed} {run.train_size} {run.largest_pool}"
        if same_data not in known:
            known[same_data] = _facts(run)
        facts[run.run_id] = known[same_data]
    return facts


def _facts(run: Run) -> dict[str, Any]:
    task = build_task(run.task)
    if not isinstance(task, Universe):
        exact = run.data.test_samples is None and task.exact(torch.zeros(1, 2, dtype=torch.int32)) is not None
        return {"facts.test_size": None if exact else run.data.test_samples or ENDLESS_TEST_SAMPLES}
    division = split_of(task, run)
    return {
        "facts.universe_size": task.size,
        "facts.training_cells": capacity(task, run.data),
        "facts.test_size": min(len(division.test), run.data.test_samples or task.size),
        "facts.mirrored_share": mirrored_share(task, division, run.train_size) if run.train_size else None,
    }


def interrupted(place: Path) -> str:
    """What a person is told who stopped a study, in training or while its report was written."""
    table = place / "runs.parquet"
    status = pd.read_parquet(table, columns=["status"])["status"] if table.is_file() else pd.Series(dtype="string")
    done = int(status.isin(["finished", "diverged"]).sum())
    return f"Stopped. {done} finished runs are safe in {place}; the same command goes on from there:"

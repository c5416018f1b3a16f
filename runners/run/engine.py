"""From a study to a filled output folder."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal, final

import pandas as pd

from deepboot.bootstrap import registry, results
from deepboot.bootstrap.files import write_json
from deepboot.bootstrap.study.messages import StudyError
from deepboot.bootstrap.study.one_by_one import slow_parts
from deepboot.bootstrap.study.run import Run
from deepboot.bootstrap.training.execution import BackendName
from deepboot.reports.notebook import NotebookResults, load
from deepboot.runners import study_files
from deepboot.runners.live import status
from deepboot.runners.live.observer import Observer
from deepboot.runners.live.pace import Pace
from deepboot.runners.live.screens import standard_error
from deepboot.runners.remote.here import to_write
from deepboot.runners.run import autotune, checkpoints, environment, output_folder, shards, trusted_backends
from deepboot.runners.run.execute import Failure, Job
from deepboot.runners.run.execution_plan import ExecutionPlan, read_plan, short_key, write_plan
from deepboot.runners.run.facts import facts_of
from deepboot.runners.run.left import left_of, start_steps, undone
from deepboot.runners.run.local import LocalEngine
from deepboot.runners.run.machines import Engine, Machines
from deepboot.runners.run.repair import repair
from deepboot.runners.run.terminal import note
from deepboot.runners.run.work import Work, default_folder, plugins_cannot_exit, remaining, requested
from deepboot.runners.sinks.choice import sink_named
from deepboot.runners.sinks.feed import Feed
from deepboot.runners.sinks.sink import Sink

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


def refuse_missing(folder: Path, runs: list[Run], failures: list[Failure]) -> None:
    """Count the planned runs against the folder's tables, whatever engine trained them.

    Raises:
        TrainingError: some failed, or are not done though nothing failed.
    """
    named = {run_id for failure in failures for run_id in failure.run_ids}
    missing = [run for run in undone(runs, folder) if run.run_id not in named]
    if failures or missing:
        raise TrainingError(failures, missing)


@final
class Started:
    """The machines of an engine and their device, which are started when one of them is first asked for.

    Args:
        engine: that has them.
        asked: the device that a person asked for, "auto" included.
        stack: that they are left with.
    """

    def __init__(self, engine: Engine, asked: str, stack: ExitStack):
        self._engine, self._asked, self._stack = engine, asked, stack

    @cached_property
    def machines(self) -> Machines:
        """The machines."""
        return self._stack.enter_context(self._engine.started())

    @cached_property
    def device(self) -> str:
        """The device to train on."""
        return self.machines.device(self._asked)


@plugins_cannot_exit()
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
    log_to: str | None = None,
    engine: Engine | None = None,
) -> NotebookResults:
    """Train every run of a study that its folder does not hold yet, and return the folder's results.

    Args:
        study: path or shipped name.
        out: output folder, or a location such as ``s3://bucket/path``, whose results come back without a folder;
            ``results/<name>`` if None.
        scale: name of one of the study's scales.
        changes: "dotted.key=value" each.
        device: "auto" is the GPU where there is one.
        workers: processes; one per core or GPU if None, on GPUs no more than that.
        checkpoint_seconds: time between checkpoints of a pack: what a crash can cost.
        shard: "2/8" trains the cells of the second of eight shards; each wants its own folder.
        pack_size: members stepped together, where their shapes agree; a pair is never split, but 1 steps its runs
            one after another. None: what the folder was begun with, or what is measured to be fast where the study
            is long enough to measure it.
        backend: how steps are carried out; None as for ``pack_size``.
        log_to: "tensorboard", "wandb", "trackio", or a module with ``init``, ``log`` and ``finish``, which is handed
            the evaluations of the runs that are trained now.
        engine: where to train; this machine if None.

    Raises:
        StudyError: the study, device or folder cannot be used; nothing was trained.
        TrainingError: some packs failed or runs are missing; all others are in the folder.
        KeyboardInterrupt: a stop was asked for; what was done is in the folder, and checkpoints of the rest.

    >>> results = run_study("demo", "results/demo", changes=["training.seeds=12"])  # doctest: +SKIP
    >>> results.compare().at_stopping()[["bootstrap_error", "low", "high"]]  # doctest: +SKIP
    """
    with ExitStack() as stack:
        found = stack.enter_context(to_write(out if out is not None else default_folder(study), note))
        (folder,) = found.folders
        request = requested(study, folder, scale, changes, shard)  # mistakes are found before the folder is touched
        sink = sink_named(log_to, folder, sum(map(len, request.cells))) if log_to is not None else None
        started = Started(engine or LocalEngine(), device, stack)
        if not output_folder.holds_runs(folder):
            started.device  # noqa: B018 (what is wrong with machines is said before the folder is touched)
        stack.enter_context(output_folder.held(folder))
        try:
            status.remove(folder)  # of a command that was killed
            mended = list(repair(folder, request.runs))
            for sentence in mended:
                note(sentence)
            output_folder.prepare(folder, study_files.resolved(request.raw), request.all_cells)
            if shards.exists(folder):  # of a command that was killed: its rows are put into the tables first
                output_folder.merge(folder, request.runs, facts_of(request.runs))
            start = start_steps(folder, request.cells)
            if any(left.seeds for left in left_of(request.cells, start)):
                execution_plan = _execution_plan(request, start, folder, started, workers, pack_size, backend)
                _note_precision(request.runs, started.device)
            else:
                execution_plan = read_plan(folder) or ExecutionPlan(device="cpu")
            work = remaining(request, start, lambda run: execution_plan.of(run).pack_size)
            for sentence in slow_parts(cell.run for cell in work.cells):
                note(sentence)
            to_do = bool(work.packs or mended) or not output_folder.is_merged(folder)
            if to_do:
                failures = _train(work, folder, execution_plan, started, checkpoint_seconds, sink)
            else:  # it held all of them when it was looked at, and nobody else may write to it
                output_folder.close(folder)
                checkpoints.remove_checkpoints(folder, {run.run_id for run in request.runs})
        except OSError as error:
            raise StudyError([
                f"output folder {folder} cannot be written: {error.strerror}. What was written before is whole; "
                "make room and run the same command again."
            ]) from error  # fmt: skip
        if to_do:
            refuse_missing(folder, request.runs, failures)
        done = load(folder)
    return replace(done, folder=None) if found.copies else done


def _execution_plan(
    request: Work, start: dict[str, int], folder: Path, started: Started, workers: int | None, pack_size: int | None,
    backend: BackendName | None,
) -> ExecutionPlan:  # fmt: skip
    """The plan that a folder was begun with, else one that is measured on what is still to be trained.

    A person's settings go before both.
    """
    plugins, device, machines = request.raw["plugins"], started.device, started.machines
    given = pack_size is not None or backend is not None
    known = read_plan(folder)
    known = known if known is not None and known.device == device else None
    count = machines.workers(device, workers, known)
    if known is not None:
        plan = known.model_copy(update={"workers": count})
    elif given:
        plan = ExecutionPlan(device=device, workers=count)
    else:
        with machines.bench(device) as bench:
            threads = machines.threads(workers)
            plan = autotune.choose(_pending(request, start), device, count, threads, plugins, bench, note)
        if plan.compiler not in (None, "found"):
            note(f"No compiler {plan.compiler.removeprefix('none ')}: this study is trained without compiling.")
    for cell in request.cells if given else ():
        settings = plan.of(cell.run)
        plan.packs[short_key(cell.run)] = settings.model_copy(
            update={
                "pack_size": pack_size or settings.pack_size,
                "sequential": settings.sequential if pack_size is None else pack_size == 1,
                "backend": backend or settings.backend,
            }
        )
    if any(settings.backend != "eager" for settings in plan.packs.values()):
        with machines.bench(device) as bench:
            trusted_backends.distrust(plan, _pending(request, start), plugins, bench, note)
    write_plan(plan, folder)
    return plan


def _note_precision(runs: list[Run], device: str) -> None:
    """Say it where products of bfloat16 are asked for and cannot be had."""
    if any(run.precision == "bf16_products" for run in runs) and not environment.multiplies_bfloat16(device):
        note(
            'training.precision = "bf16_products": this machine has no units for products of bfloat16, so they are '
            "computed in float32. Times and results are those of float32."
        )


def _pending(request: Work, start: dict[str, int]) -> list[Run]:
    """The runs that are still to be trained, in whole families."""
    return [run for pack in remaining(request, start, lambda run: 1).packs for run in pack.runs]


def _train(
    work: Work, folder: Path, execution_plan: ExecutionPlan, started: Started, checkpoint_seconds: float,
    sink: Sink | None,
) -> list[Failure]:  # fmt: skip
    """Train a study's packs into a held folder; their results are in its tables, however this ends."""
    since, facts = time.time(), facts_of(work.runs)
    probes = {"probes": definitions} if (definitions := _definitions(work)) else {}
    if work.packs:
        output_folder.announce(folder, work.runs, facts)
        if probes and not (folder / "environment.json").exists():
            write_json(probes, folder / "environment.json")  # for a report while it is under way
    jobs = [
        Job(name=pack.name, folder=str(folder), runs=list(pack.runs), start=pack.start, plugins=work.raw["plugins"],
            execution=execution_plan.execution(pack.runs[0]), checkpoint_seconds=checkpoint_seconds)
        for pack in work.packs
    ]  # fmt: skip
    try:
        if not jobs:
            return []
        with _observer(work, folder, jobs, sink) as observer:
            return started.machines.run_jobs(jobs, workers=execution_plan.workers, observer=observer)
    finally:
        output_folder.merge(folder, work.runs, facts)
        done = {run.run_id for run in work.runs} - {run.run_id for run in undone(work.runs, folder)}
        checkpoints.remove_checkpoints(folder, done)
        if jobs or not (folder / "environment.json").exists():
            described = environment.describe(execution_plan.device, time.time() - since)
            write_json({**described, "execution": execution_plan.summary, **probes}, folder / "environment.json")


def _observer(work: Work, folder: Path, jobs: list[Job], sink: Sink | None) -> Observer:
    """The observer of a study's jobs, which knows what earlier commands have evaluated."""
    restored = sum(checkpoints.restored_steps(folder, job.name, job.start) for job in jobs)
    observer = Observer(
        folder, work.runs, len(jobs), Pace(sum(pack.steps for pack in work.packs), restored), standard_error(),
        Feed(sink, work.runs, note) if sink is not None else None,
        at_most=any(run.stop is not None for run in work.runs),
    )  # fmt: skip
    tables = results.read_tables(folder)
    if tables is not None:
        observer.known(output_folder.records(tables[1]))
    return observer


def _definitions(work: Work) -> dict[str, str]:
    """The first line of the documentation of every probe of a study: a report does not load their code."""
    return {name: registry.find("probe", name).summary for run in work.runs[:1] for name in run.probes}


def interrupted(folder: Path) -> str:
    """The message for a person who stopped a study, in training or while its report was written."""
    table = folder / "runs.parquet"
    status = pd.read_parquet(table, columns=["status"])["status"] if table.is_file() else pd.Series(dtype="string")
    done = int(status.isin(["finished", "diverged"]).sum())
    return f"Stopped. {done} finished runs are safe in {folder}; the same command goes on from there:"

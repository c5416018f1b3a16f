"""Commands that plan, train and watch: demo, run, tune, submit, watch, plan."""

import sys
from contextlib import redirect_stdout
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from deepboot.runners import cli_results
from deepboot.runners.cli_options import (
    Address,
    Backends,
    Changes,
    Device,
    EngineName,
    Folders,
    GpuShare,
    Open,
    Out,
    Scale,
    Study,
    Wait,
    Workers,
)
from deepboot.runners.cli_words import again, fail, need_one, open_in_browser, refuse_to_open, say

if TYPE_CHECKING:
    from deepboot.runners.run.machines import Engine


def demo(out: Out = None, open_page: Open = False) -> None:
    """Train the sparse-parity pairs of the demo study and report them: about a minute, no download.

    Examples:
        deepboot demo
        deepboot demo --out /tmp/first --open
    """
    run("demo", out=out, open_page=open_page)


def run(
    study: Study,
    /,
    out: Out = None,
    changes: Changes = (),
    scale: Scale = None,
    device: Device = "auto",
    workers: Workers = None,
    checkpoint_seconds: Annotated[
        float, arg(metavar="S", help="time between checkpoints, which a crash can cost")
    ] = 30,
    shard: Annotated[str | None, arg(metavar="K/N", help="train only the cells of the k-th of n shards")] = None,
    pack_size: Annotated[
        int | None,
        arg(metavar="N", help="runs stepped together at most; 1: one after another. Measured if not given"),
    ] = None,
    backend: Annotated[Backends | None, arg(help="how steps are carried out, instead of what is measured")] = None,
    log_to: Annotated[
        str | None, arg(metavar="NAME", help="also draw the curves there: tensorboard, wandb, trackio or your module")
    ] = None,
    engine_name: EngineName = "local",
    address: Address = None,
    gpu_share: GpuShare = 1.0,
    wait: Wait = 600.0,
    open_page: Open = False,
    train_only: Annotated[bool, arg(help="leave the page to deepboot report")] = False,
    dry_run: Annotated[bool, arg(help="say what would be done, and the study as it would run; do nothing")] = False,
) -> None:
    """Train a study's runs in both worlds and report them; finished runs are never trained again.

    Examples:
        deepboot run demo
        deepboot run my_study.toml --set training.seeds=12 optimizer.lr=1e-3
        deepboot run modular-addition --dry-run
        deepboot run modular-addition --engine ray --address 10.0.0.1:6379
        deepboot run modular-addition --out s3://bucket/results/addition
    """
    from deepboot.runners.remote.here import here, to_write
    from deepboot.runners.remote.location import is_remote
    from deepboot.runners.run import engine, work
    from deepboot.runners.run.terminal import note

    settings = tuple(chain(*changes))
    if dry_run:
        from deepboot.runners.commands import plan

        with here([out] if out is not None else []) as found:
            held = next(iter(found.folders), None)
            for line in plan.dry_run(study, held, scale=scale, changes=settings, device=device, shard=shard):
                say(found.told(line))
        return
    chosen = _engine(engine_name, address, gpu_share, wait)
    place, failed = out or str(work.default_folder(study)), None
    if open_page and train_only:
        fail(["--open: expected a page, got --train-only, which writes none. Leave one of them out."])
    if open_page and is_remote(place):
        refuse_to_open([place])
    with to_write(place, note) as found:
        (folder,) = found.folders
        try:
            try:
                with redirect_stdout(sys.stderr):  # what plugins print is no part of what this command says
                    done = engine.run_study(
                        study, folder, scale=scale, changes=settings, device=device, workers=workers,
                        checkpoint_seconds=checkpoint_seconds, shard=shard, pack_size=pack_size, backend=backend,
                        log_to=log_to, engine=chosen,
                    )  # fmt: skip
            except engine.TrainingError as error:
                failed = error
            page = None if train_only else cli_results.write_and_tell((folder,), None, "step", False, found.told)
        except KeyboardInterrupt:
            say(found.told(engine.interrupted(folder)) + again())
            sys.exit(130)
    if open_page and page is not None:
        open_in_browser(page)
    if failed is not None:
        try_again = f"The same command tries them again:{again()}"
        fail(
            [f"Some planned runs are not done; the others are in {place}:", found.told(str(failed)), try_again], code=1
        )
    seeds = work.twice_as_many(done.study["training"]["seeds"])
    more = work.run_command(study, scale, settings, seeds=seeds, out=place)
    say(f"Next: deepboot {'report' if train_only else 'claims'} {place}   or more seeds: {more}")


def _engine(name: str, address: str | None, gpu_share: float, wait: float) -> "Engine | None":
    """The engine of that name; None is this machine."""
    if name == "ray":
        from deepboot.runners.cluster.engine import RayEngine

        return RayEngine(address, gpu_share, wait)
    if address is not None:
        fail(["--address: expected with --engine ray, got it without. Add --engine ray."])
    return None


def tune(
    study: Study,
    /,
    out: Annotated[
        Path | None, arg(metavar="DIR", help="folder of the tuning runs; results/<study>-tuning if not given")
    ] = None,
    to: Annotated[
        Path | None, arg(metavar="FILE.toml", help="the tuned study; <study>-tuned.toml if not given")
    ] = None,
    changes: Changes = (),
    scale: Scale = None,
    device: Device = "auto",
    workers: Workers = None,
    dry_run: Annotated[bool, arg(help="say what would be trained; do nothing")] = False,
) -> None:
    """Try as many settings in every arm of a study, as its [tune] says, and write the study with the best of each.

    Examples:
        deepboot tune optimizers.toml
        deepboot tune optimizers.toml --set tune.draws=16 --to fair.toml
    """
    from deepboot.runners.commands import tune
    from deepboot.runners.run import engine

    tuning = tune.planned(study, scale=scale, changes=tuple(chain(*changes)))
    say(f"{tuning.summary}; the best by {tuning.by}")
    if dry_run:
        return
    folder, path = out or tune.default_folder(study), to or tune.default_file(study)
    try:
        with redirect_stdout(sys.stderr):  # what plugins print is no part of what this command says
            comparison = tune.train(tuning, folder, device=device, workers=workers)
    except engine.TrainingError as failed:
        fail(["Nothing is chosen without these runs:", str(failed), f"The same command tries them again:{again()}"], 1)
    except KeyboardInterrupt:
        say(engine.interrupted(folder) + again())
        sys.exit(130)
    chosen, budget = tune.choices(tuning, comparison), tune.budget_of(comparison)
    for line in tune.lines(tuning, chosen, budget):
        say(line)
    tune.write(tuning, chosen, path, folder, budget)
    say(f"\nFrozen in {path}, with seeds that tuning has not seen.")
    say(f"Next: deepboot run {path}")


def submit(
    study: Study,
    /,
    partition: Annotated[str, arg(metavar="NAME", help="of the Slurm cluster")],
    out: Out = None,
    shards: Annotated[int | None, arg(metavar="N", help="jobs of an array, each with its part of the cells")] = None,
    nodes: Annotated[int | None, arg(metavar="N", help="or nodes of one job, on which Ray is started")] = None,
    minutes: Annotated[int, arg(metavar="N", help="until Slurm ends a job")] = 240,
    gpus: Annotated[int | None, arg(metavar="N", help="of each job or node; none if not given")] = None,
    cpus: Annotated[int, arg(metavar="N", help="of each job or node")] = 4,
    changes: Changes = (),
    scale: Scale = None,
    dry_run: Annotated[bool, arg(help="print the batch script, and do nothing")] = False,
) -> None:
    """Train a study by Slurm: a job array with a shard each, or one job with Ray; the same command goes on.

    Examples:
        deepboot submit power-size --partition gpu --shards 2 --gpus 1
        deepboot submit modular-addition --partition gpu --nodes 2 --gpus 8 --dry-run
    """
    from deepboot.runners.commands.submit import Request, submit
    from deepboot.runners.run.work import default_folder

    settings = tuple(chain(*changes))
    words = (*(("--scale", scale) if scale else ()), *(("--set", *settings) if settings else ()))
    place = out or str(default_folder(study))
    request = Request(study, place, partition, shards or 0, nodes or 0, minutes, gpus or 0, cpus, words)
    for line in submit(request, scale, settings, dry_run=dry_run):
        say(line)


def watch(folders: Folders, /) -> None:
    """Watch studies that other terminals train: exit status 0 once all are done, 1 if one stopped before that.

    Examples:
        deepboot watch results/demo
        deepboot watch results/shard-1 results/shard-2
    """
    from deepboot.runners.commands import watch
    from deepboot.runners.remote.here import here

    need_one(folders, "watch")
    try:
        with here(folders) as found:
            seconds = watch.AWAY_SECONDS if found.copies else watch.LOOK_SECONDS
            endings = watch.watch(found.folders, sys.stdout, found.pull, seconds)
    except KeyboardInterrupt:
        say(f"No longer watching {', '.join(folders)}; training goes on.")
        sys.exit(130)
    for ending in endings:
        say(found.told(ending.sentence))
    sys.exit(0 if all(ending.whole for ending in endings) else 1)


def plan(study: Study, /, out: Out = None, changes: Changes = (), scale: Scale = None) -> None:
    """Say what a study costs and what its seeds can settle, or, of a folder, how many seeds its claims need.

    Examples:
        deepboot plan modular-addition --scale full
        deepboot plan results/demo
    """
    from deepboot.runners.commands import plan
    from deepboot.runners.remote.here import here

    place = study if Path(study).is_dir() else out
    with here([place] if place is not None else []) as found:
        folder = next(iter(found.folders), None)
        for line in plan.describe(study, folder, scale=scale, changes=tuple(chain(*changes))):
            say(found.told(line))

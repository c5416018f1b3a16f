"""The command line, ``deepboot``. Heavy imports wait until a command needs them, so that help is quick."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import redirect_stdout
from errno import EACCES, ELOOP, ENAMETOOLONG, ENOTDIR
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

from tyro.conf import Positional, UseAppendAction, arg

from deepboot.runners.command_line import Application

if TYPE_CHECKING:
    from deepboot.bootstrap.results import Results
    from deepboot.runners.run.machines import Engine

# fmt: off
Study = Annotated[Positional[str], arg(metavar="STUDY", help="a study file, or a name of `deepboot list studies`")]
Folder = Annotated[Positional[Path], arg(metavar="DIR", help="output folder of `deepboot run`")]
Folders = Annotated[Positional[tuple[Path, ...]], arg(metavar="DIR [DIR ...]", help="one or more output folders")]
Out = Annotated[Path | None, arg(metavar="DIR", help="output folder; results/<study> if not given")]
Several = UseAppendAction[tuple[tuple[str, ...], ...]]  # some behind an option, more behind the same option again
Changes = Annotated[Several, arg(name="set", metavar="KEY=VALUE", help="settings to change, by dotted name")]
Parts = Annotated[
    UseAppendAction[tuple[tuple[int, ...], ...]], arg(metavar="N", help="of the six parts, 0 to 5; all if not given")
]
Scale = Annotated[str | None, arg(metavar="NAME", help="one of the study's scales, such as full")]
Device = Annotated[Literal["auto", "cpu", "cuda"], arg(help="where to train; auto is the GPU where there is one")]
Backends = Literal["eager", "compiled", "graphed", "compiled_graphed"]  # BACKENDS, without loading torch
Axis = Literal["step", "samples", "seconds"]  # reports.time_axis, without loading pandas
Open = Annotated[bool, arg(name="open", help="open the page in a browser when it is written")]
LISTED = (
    "tasks, models, optimizers, losses, penalties, transforms, constructions, rules, probes, claims or studies"
)
Workers = Annotated[int | None, arg(metavar="N", help="worker processes; one per core, or per GPU, if not given")]
EngineName = Annotated[Literal["local", "ray"], arg(name="engine", help="who trains: this machine, or a Ray cluster")]
Address = Annotated[
    str | None, arg(metavar="HOST:PORT", help="of a Ray cluster, or auto; if not given, Ray is started here")
]
GpuShare = Annotated[float, arg(metavar="SHARE", help="of a GPU that each Ray worker gets, such as 0.5")]
Wait = Annotated[float, arg(metavar="S", help="seconds that a device missing in the Ray cluster is waited for")]
# fmt: on

UNUSABLE = (EACCES, ELOOP, ENAMETOOLONG, ENOTDIR)  # of paths that a person may have written

app = Application("deepboot", "Train identical models on finite and on endless data, and compare.")


def say(text: str = "") -> None:
    """Print one line for the person at the terminal."""
    print(text, flush=True)  # noqa: T201 (this is the command line)


@app.command
def demo(out: Out = None, open_page: Open = False) -> None:
    """Train the sparse-parity pairs of the demo study and report them: about a minute, no download.

    Examples:
        deepboot demo
        deepboot demo --out /tmp/first --open
    """
    run("demo", out=out, open_page=open_page)


@app.command
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
    dry_run: Annotated[bool, arg(help="say what would be done, and the study as it would run; do nothing")] = False,
) -> None:
    """Train a study's runs in both worlds and report them; finished runs are never trained again.

    Examples:
        deepboot run demo
        deepboot run my_study.toml --set training.seeds=12 optimizer.lr=1e-3
        deepboot run modular-addition --dry-run
        deepboot run modular-addition --engine ray --address 10.0.0.1:6379
    """
    from deepboot.runners.commands import plan
    from deepboot.runners.run import engine, work

    if dry_run:
        settings = tuple(chain(*changes))
        for line in plan.dry_run(study, out, scale=scale, changes=settings, device=device, shard=shard):
            say(line)
        return
    chosen = _engine(engine_name, address, gpu_share, wait)
    folder, failed = out or work.default_folder(study), None
    try:
        try:
            with redirect_stdout(sys.stderr):  # what plugins print is no part of what this command says
                done = engine.run_study(
                    study, folder, scale=scale, changes=tuple(chain(*changes)), device=device, workers=workers,
                    checkpoint_seconds=checkpoint_seconds, shard=shard, pack_size=pack_size, backend=backend,
                    log_to=log_to, engine=chosen,
                )  # fmt: skip
        except engine.TrainingError as error:
            failed = error
        page = _report((folder,), None)
    except KeyboardInterrupt:
        say(engine.interrupted(folder) + _again())
        sys.exit(130)
    if open_page:
        _open(page)
    if failed is not None:
        again = f"The same command tries them again:{_again()}"
        _fail([f"Some planned runs are not done; the others are in {folder}:", str(failed), again], code=1)
    more = f"deepboot run {study} --out {folder} --set training.seeds={2 * done.runs['seed'].nunique()}"
    say(f"Next: deepboot claims {folder}   or more seeds: {more}")


def _engine(name: str, address: str | None, gpu_share: float, wait: float) -> "Engine | None":
    """The engine of that name; None is this machine."""
    if name == "ray":
        from deepboot.runners.cluster.engine import RayEngine

        return RayEngine(address, gpu_share, wait)
    if address is not None:
        _fail(["--address: expected with --engine ray, got it without. Add --engine ray."])
    return None


@app.command
def submit(
    study: Study,
    /,
    partition: Annotated[str, arg(metavar="NAME", help="of the Slurm cluster")],
    out: Out = None,
    shards: Annotated[int, arg(metavar="N", help="jobs of an array, each with its part of the cells")] = 0,
    nodes: Annotated[int, arg(metavar="N", help="or nodes of one job, on which Ray is started")] = 0,
    minutes: Annotated[int, arg(metavar="N", help="until Slurm ends a job")] = 240,
    gpus: Annotated[int, arg(metavar="N", help="of each job or node")] = 0,
    cpus: Annotated[int, arg(metavar="N", help="of each job or node")] = 4,
    changes: Changes = (),
    scale: Scale = None,
    dry_run: Annotated[bool, arg(help="print the batch script, and do nothing")] = False,
) -> None:
    """Train a study by Slurm: a job array with a shard each, or one job with Ray; the same command goes on.

    Examples:
        deepboot submit modular-addition --partition gpu --shards 2 --gpus 1
        deepboot submit modular-addition --partition gpu --nodes 2 --gpus 8 --dry-run
    """
    from deepboot.runners.commands.submit import Request, submit
    from deepboot.runners.run.work import default_folder

    settings = tuple(chain(*changes))
    words = (*(("--scale", scale) if scale else ()), *(("--set", *settings) if settings else ()))
    folder = out or default_folder(study)
    request = Request(study, folder, partition, shards, nodes, minutes, gpus, cpus, words)
    for line in submit(request, scale, settings, dry_run=dry_run):
        say(line)


@app.command
def report(
    folders: Folders,
    /,
    out: Annotated[
        Path | None, arg(metavar="FILE.html", help="the report; report.html in the folder if not given")
    ] = None,
    axis: Annotated[Axis, arg(help="unit of time in figures and tables; claims are judged in steps")] = "step",
    pdf: Annotated[bool, arg(help="write the figures as PDF, too")] = False,
    open_page: Open = False,
) -> None:
    """Write the report of one folder, or of several side by side.

    Examples:
        deepboot report results/demo
        deepboot report results/demo results/precision --axis samples
    """
    _at_least_one(folders, "report")
    page = _report(folders, out, axis, pdf)
    if open_page:
        _open(page)
    say(f"Next: deepboot claims {folders[0]}")


def _at_least_one(folders: tuple[Path, ...], command: str) -> None:
    if not folders:
        example = f"deepboot {command} results/demo{' --out tables' if command == 'export' else ''}"
        _fail([f"DIR: expected at least one output folder, got none. Write for instance `{example}`."])


def _report(folders: tuple[Path, ...], out: Path | None, axis: Axis = "step", pdf: bool = False) -> Path:
    from deepboot.bootstrap import results
    from deepboot.reports.comparison import compare
    from deepboot.reports.page.page import write_report
    from deepboot.reports.page.summary import finding
    from deepboot.reports.replication.ledger import replications
    from deepboot.reports.tables.replication import lines

    read = [results.read(folder) for folder in folders]
    _load_own_kinds(read)
    if out is None and len(folders) > 1:
        out = folders[0].parent / "comparison.html"
    comparison = compare(read)
    path = write_report(comparison, out, axis=axis, pdf=pdf)
    say()
    for sentence in finding(comparison):
        say(sentence)
    for line in lines(replications(comparison)):
        say(line)
    say(f"\nReport: {path}")
    return path


def _open(page: Path) -> None:
    """Open a page in the browser, or say where it lies."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say(f"No browser could be opened. Open {page.resolve()} in one yourself.")


def _load_own_kinds(read: "list[Results]") -> None:
    """Load the plugins of folders with claims of a kind that only these know."""
    from deepboot.bootstrap import registry

    for one in read:
        claimed = [*(one.study.get("claims") or []), *(one.claims.get("registered") or [])]
        kinds = [claim.get("kind") for claim in claimed]
        kinds += [entry.get("quantity") for entry in one.study.get("published") or []]
        if not set(kinds) <= set(registry.names("claim")):
            for plugin in one.study.get("plugins", []):
                registry.load_plugin(Path(plugin))


@app.command
def watch(folders: Folders, /) -> None:
    """Watch studies that other terminals train: exit status 0 once all are done, 1 if one stopped before that.

    Examples:
        deepboot watch results/demo
        deepboot watch results/shard-1 results/shard-2
    """
    from deepboot.runners.commands import watch

    _at_least_one(folders, "watch")
    try:
        endings = watch.watch(folders, sys.stdout)
    except KeyboardInterrupt:
        say(f"No longer watching {', '.join(map(str, folders))}; training goes on.")
        sys.exit(130)
    for ending in endings:
        say(ending.sentence)
    sys.exit(0 if all(ending.whole for ending in endings) else 1)


@app.command
def claims(
    folder: Folder, /, json: Annotated[bool, arg(help="verdicts and published numbers for a script")] = False
) -> None:
    """Judge the study's claims: exit status 0 if none is refuted, 1 if any is.

    Examples:
        deepboot claims results/demo
        deepboot claims results/demo --json
    """
    from json import dumps

    from deepboot.bootstrap import results
    from deepboot.reports.claims.family import cases
    from deepboot.reports.claims.judge import judge
    from deepboot.reports.comparison import compare
    from deepboot.reports.page.summary import progress
    from deepboot.reports.replication.ledger import replications
    from deepboot.reports.tables import replication
    from deepboot.reports.tables.verdicts import as_dicts, lines

    read = results.read(folder)
    _load_own_kinds([read])
    comparison = compare(read)
    judged, published = cases(judge(comparison)), replications(comparison)
    for sentence in progress(comparison):
        print(sentence, file=sys.stderr if json else sys.stdout)
    if json:
        say(dumps({"claims": as_dicts(judged), "published": replication.as_dicts(published)}, indent=2))
    else:
        for line in [*lines(judged), *replication.lines(published)]:
            say(line)
        say(f"\nNext: deepboot report {folder}" if judged else "This study makes no claims: add [[claims]] to it.")
    sys.exit(1 if any(one.overall == "refuted" for one in judged) else 0)


@app.command
def plan(study: Study, /, out: Out = None, changes: Changes = (), scale: Scale = None) -> None:
    """Say what a study costs and what its seeds can settle, or, of a folder, how many seeds its claims need.

    Examples:
        deepboot plan modular-addition --scale full
        deepboot plan results/demo
    """
    from deepboot.runners.commands import plan

    folder = Path(study) if Path(study).is_dir() else out
    for line in plan.describe(study, folder, scale=scale, changes=tuple(chain(*changes))):
        say(line)


@app.command
def diff(
    first: Annotated[Positional[str], arg(metavar="A", help="an output folder, a study file, or a shipped name")],
    second: Annotated[Positional[str], arg(metavar="B", help="another one")],
    /,
    json: Annotated[bool, arg(help="machine-readable differences")] = False,
) -> None:
    """Say how two studies differ, and of two output folders what came of the cells that compare.

    Examples:
        deepboot diff results/demo results/demo-16
        deepboot diff demo my_study.toml --json
    """
    from json import dumps

    from deepboot.runners.commands import diff

    sides = diff.side(first), diff.side(second)
    _load_own_kinds([one.results for one in sides if one.results is not None])
    found = diff.diff(*sides)
    for line in [dumps(diff.as_dict(found), indent=2)] if json else diff.lines(found):
        say(line)


@app.command
def export(
    folder: Folders,
    /,
    out: Annotated[Path, arg(metavar="DIR2", help="where the tables go")],
    format: Annotated[Literal["csv", "parquet"], arg(help="of the files")] = "csv",
) -> None:
    """Write the tables of one or more folders as CSV or parquet.

    Examples:
        deepboot export results/demo --out tables
        deepboot export results/demo results/precision --out tables --format parquet
    """
    from deepboot.runners.commands.export import export_tables

    _at_least_one(folder, "export")
    for path in export_tables(folder, out, format):
        say(str(path))
    say("Next: open them in pandas, R or a spreadsheet; run_id joins the tables.")


@app.command(name="list")
def list_(
    kind: Annotated[Positional[str], arg(metavar="[KIND]", help=LISTED)] = "all",
    name: Annotated[
        Positional[str | None], arg(metavar="[NAME]", help="after studies: the one to read all about")
    ] = None,
    /,
    markdown: Annotated[bool, arg(help="the studies of grokking as the table of the README")] = False,
) -> None:
    """List what a study can name; `deepboot list studies` has costs, and published numbers beside ours.

    Examples:
        deepboot list optimizers
        deepboot list studies
        deepboot list studies demo
    """
    if kind != "studies" and (name is not None or markdown):
        _fail([f"NAME and --markdown: expected after `deepboot list studies`, got them after `deepboot list {kind}`."
               " Write for instance `deepboot list studies demo`."])  # fmt: skip
    for line in _listed(kind, name, markdown):
        say(line)


def _listed(kind: str, name: str | None, markdown: bool) -> Iterable[str]:
    """The lines of `deepboot list`; those of all studies load no torch."""
    if kind != "studies":
        from deepboot.runners.commands import listing

        return listing.lines(kind)
    if markdown:
        from deepboot.runners.commands import studies_table

        return [studies_table.markdown()]
    if name is not None:
        from deepboot.runners.commands import study_details

        return study_details.details(name)
    from deepboot.runners.commands import studies

    return studies.lines()


@app.command
def show(
    words: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="[KIND] NAME", help="a name of `deepboot list`, and before it its kind where two have it"),
    ] = (),
    /,
    changes: Annotated[Several, arg(name="set", metavar="KEY=VALUE", help="the task's settings")] = (),
    seed: Annotated[int, arg(metavar="N", help="of the stream that the samples come from")] = 0,
    samples: Annotated[int, arg(metavar="N", help="how many; of images, how many of each class")] = 8,
    out: Annotated[
        Path | None, arg(metavar="FILE.png", help="contact sheet of an image task; NAME.png if not given")
    ] = None,
) -> None:
    """Say what a name is for, its settings and how a study uses it; of a task, print or draw samples as well.

    Examples:
        deepboot show model mlp
        deepboot show optimizer adamw
        deepboot show sparse_parity --set num_bits=8 --samples 3
        deepboot show shapes --out shapes.png
    """
    from deepboot.runners.commands import show

    for line in show.lines(words, tuple(chain(*changes)), seed=seed, count=samples, out=out):
        say(line)


@app.command
def data(
    dataset: Annotated[Positional[Literal["cifar5m", "cifar10"]], arg(help="the data set")],
    action: Annotated[
        Positional[Literal["download", "prepare", "verify"]],
        arg(help="what to do; cifar10 needs no more than a download"),
    ],
    /,
    root: Annotated[Path, arg(metavar="DIR", help="folder of its files; cifar5m: 18.4 GB, as much again prepared")],
    parts: Parts = (),
    url: Annotated[
        str | None, arg(metavar="URL", help="folder of part0.npz on another server, to download from")
    ] = None,
) -> None:
    """Get a recorded data set ready: download its files, prepare them for training, verify what was prepared.

    Examples:
        deepboot data cifar5m download --root data/cifar5m --parts 0
        deepboot data cifar5m prepare --root data/cifar5m
    """
    from deepboot.runners.commands import data

    try:
        for line in data.run(dataset, action, root, tuple(chain(*parts)), url):
            say(line)
    except KeyboardInterrupt:
        say(data.interrupted(action))
        sys.exit(130)


@app.command
def bench(
    names: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="[NAME ...]",
            help="mlp, transformer, packs, scale, images, folders, or gpu alone; the first five if not given",
        ),
    ] = (),
    /,
    json: Annotated[Path | None, arg(metavar="FILE", help="write the figures as JSON too")] = None,
    figure: Annotated[Path | None, arg(metavar="FILE", help="draw what `scale` measured, as SVG or PDF")] = None,
    device: Device = "auto",
    budget: Annotated[float, arg(metavar="S", help="seconds for all steps of `gpu`")] = 530,
    only: Annotated[str | None, arg(metavar="REGEX", help="the steps of `gpu` whose names match")] = None,
) -> None:
    """Race this machine against plain PyTorch loops; of a GPU, ask all that only a GPU can answer.

    Examples:
        deepboot bench mlp packs
        deepboot bench scale --figure scale.svg
        deepboot bench gpu --json gpu.json
    """
    from deepboot.runners.bench import bench, gpu
    from deepboot.runners.run import local

    if names == ("gpu",):
        sys.exit(gpu.run(local.choose_device(device), budget, only, json, say))
    if "gpu" in names:
        _fail(["`gpu` is asked alone: `deepboot bench gpu`. Run the other benchmarks by another command."])
    for line in bench.run(names, json, local.choose_device(device), figure):
        say(line)


@app.command
def new(
    kind: Positional[Literal["study", "task", "model", "optimizer", "claim"]],
    name: Annotated[Positional[str], arg(metavar="NAME", help="its name in a study")],
    /,
    out: Annotated[Path | None, arg(metavar="FILE", help="where it goes; NAME.py or NAME.toml if not given")] = None,
) -> None:
    """Write a commented file to begin with; of a plugin also its test and a study that uses it.

    Examples:
        deepboot new task majority
        deepboot new study my_study --out studies/my_study.toml
    """
    from deepboot.runners.commands.new import write

    for line in write(kind, name, out):
        say(line)


@app.command
def check(files: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE", help="plugins or studies")], /) -> None:
    """Try what plugins register, and read studies: exit status 2 and sentences if something is to be mended.

    Examples:
        deepboot check majority.py
        deepboot check my_study.toml
    """
    from deepboot.runners.commands.check import check

    lines, sound = check(files)
    for line in lines:
        say(line)
    sys.exit(0 if sound and files else 2)


@app.command
def doctor(
    out: Annotated[Path, arg(metavar="DIR", help="output folder, whose disk is looked at")] = Path("results"),
) -> None:
    """Say what is broken or slow here, and the cure: packages, cores, memory, disk, compiler, GPU, random numbers.

    Exit status 1 if something is broken.

    Examples:
        deepboot doctor
        deepboot doctor --out /data/results
    """
    from deepboot.runners.commands import doctor

    lines, healthy = doctor.examine(out)
    for line in lines:
        say(line)
    sys.exit(0 if healthy else 1)


def _fail(lines: list[str], code: int = 2) -> NoReturn:
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 (this is the command line)
    sys.exit(code)


def _again() -> str:
    """The command as it was given, on a line of its own."""
    return f"\n  {shlex.join(['deepboot', *sys.argv[1:]])}"


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of ``deepboot``: mistakes end with exit status 2 and one sentence each."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)
    try:
        app.cli(sys.argv[1:])
    except KeyboardInterrupt:
        _fail(["Stopped before it was done; no trained run is lost. The same command begins again:" + _again()], 130)
    except ValueError as error:
        problems = getattr(error, "problems", None)
        if problems is None and type(error) is not ValueError:
            raise  # only our own sentences are meant for the person at the terminal
        _fail(problems or [str(error)])
    except BrokenPipeError:  # whoever read the lines, such as `head`, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else closing it raises again
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNUSABLE or error.filename is None:
            raise
        from deepboot.bootstrap.study.paths import unusable

        _fail([unusable(str(error.filename), error)])


if __name__ == "__main__":
    main()

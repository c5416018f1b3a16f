"""Commands about what a study can name, and about files of your own: list, show, new, check, data."""

import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from deepboot.runners.cli_options import LISTED, Parts, Several
from deepboot.runners.cli_words import fail, say


def list_(
    kind: Annotated[Positional[str], arg(metavar="[KIND]", help=LISTED)] = "all",
    name: Annotated[
        Positional[str | None], arg(metavar="[NAME]", help="after studies: the one to read all about")
    ] = None,
    /,
    markdown: Annotated[bool, arg(help="studies of grokking and double descent, as the README has them")] = False,
    full: Annotated[bool, arg(help="what full sizes are in floating-point operations, as a table")] = False,
) -> None:
    """List what a study can name; `deepboot list studies` has costs, and published numbers beside ours.

    Examples:
        deepboot list optimizers
        deepboot list studies
        deepboot list studies demo
    """
    if kind != "studies" and (name is not None or markdown or full):
        fail([f"NAME, --markdown and --full: expected after `deepboot list studies`, got them after `deepboot list "
              f"{kind}`. Write for instance `deepboot list studies demo`."])  # fmt: skip
    for line in _listed(kind, name, markdown, full):
        say(line)


def _listed(kind: str, name: str | None, markdown: bool, full: bool) -> Iterable[str]:
    """The lines of `deepboot list`; those of all studies load no torch."""
    if kind != "studies":
        from deepboot.runners.commands import listing

        return listing.lines(kind)
    if markdown:
        from deepboot.runners.commands import studies_table

        return [studies_table.markdown()]
    if full:
        from deepboot.runners.commands import work_of_studies

        return work_of_studies.lines()
    if name is not None:
        from deepboot.runners.commands import study_details

        return study_details.details(name)
    from deepboot.runners.commands import studies

    return studies.lines()


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


def new(
    kind: Positional[Literal["study", "task", "model", "optimizer", "claim"]],
    name: Annotated[Positional[str], arg(metavar="NAME", help="its name in a study")],
    /,
    out: Annotated[Path | None, arg(metavar="FILE", help="where it goes; NAME.py or NAME.toml if not given")] = None,
) -> None:
    """Write a commented file to begin with, and its test; of a plugin also a study that uses it.

    Examples:
        deepboot new task majority
        deepboot new study my_study --out studies/my_study.toml
    """
    from deepboot.runners.commands.new import write

    for line in write(kind, name, out):
        say(line)


def check(
    files: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="FILE [FILE ...]", help="one or more plugins or studies")
    ] = (),
    /,
) -> None:
    """Try what plugins register, and read studies: exit status 2 and sentences if something is to be mended.

    Examples:
        deepboot check majority.py
        deepboot check majority.py my_study.toml
    """
    from deepboot.runners.commands.check import check

    if not files:
        fail(["FILE: expected at least one plugin or study, got none. Write for instance "
              "`deepboot check my_study.toml`."])  # fmt: skip
    lines, sound = check(files)
    for line in lines:
        say(line)
    sys.exit(0 if sound else 2)


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
        deepboot data cifar5m verify --root data/cifar5m
        deepboot data cifar10 download --root data/cifar10
    """
    from deepboot.runners.commands import data

    try:
        for line in data.run(dataset, action, root, tuple(chain(*parts)), url):
            say(line)
    except KeyboardInterrupt:
        say(data.interrupted(action))
        sys.exit(130)

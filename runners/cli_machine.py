"""Commands about this machine: bench, doctor."""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from deepboot.runners.cli_options import Device
from deepboot.runners.cli_words import fail, say


def bench(
    names: Annotated[
        Positional[tuple[str, ...]],
        arg(
            metavar="[NAME ...]",
            help="mlp, transformer, packs, scale, images, folders, cluster, or gpu alone; the first two if not given",
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
        fail(["`gpu` is asked alone: `deepboot bench gpu`. Run the other benchmarks by another command."])
    for line in bench.run(names, json, local.choose_device(device), figure):
        say(line)


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

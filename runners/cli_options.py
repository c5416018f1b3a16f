"""The options and positional words that commands of the command line share, as their signatures name them."""

from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

# fmt: off
Study = Annotated[Positional[str], arg(metavar="STUDY", help="a study file, or a name of `deepboot list studies`")]
Folder = Annotated[Positional[str], arg(metavar="DIR", help="output folder of `deepboot run`, or s3://bucket/path")]
Folders = Annotated[
    Positional[tuple[str, ...]], arg(metavar="DIR [DIR ...]", help="one or more output folders, or s3://bucket/path")
]
Out = Annotated[
    str | None, arg(metavar="DIR", help="output folder, or s3://bucket/path; results/<study> if not given")
]
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

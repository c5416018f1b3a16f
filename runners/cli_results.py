"""Commands that read results: report, claims, diff, export."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from deepboot.runners.cli_options import Axis, Folder, Folders, Open
from deepboot.runners.cli_words import need_one, open_in_browser, refuse_to_open, say

if TYPE_CHECKING:
    from deepboot.bootstrap.results import Results


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
        deepboot report s3://bucket/demo --out demo.html
    """
    from deepboot.runners.remote.here import here
    from deepboot.runners.remote.location import is_remote

    need_one(folders, "report")
    away = [place for place in folders if is_remote(place)]
    if open_page and out is None:
        refuse_to_open(away)
    if away and len(folders) > 1:
        out = out or Path("comparison.html")  # several locations have no place in common
    with here(folders) as found:
        page = write_and_tell(found.folders, out, axis, pdf, found.told)
        if out is None:
            found.push()
    if open_page:
        open_in_browser(page)
    say(f"Next: deepboot claims {folders[0]}")


def write_and_tell(
    folders: tuple[Path, ...], out: Path | None, axis: Axis = "step", pdf: bool = False,
    told: Callable[[str], str] = str,
) -> Path:  # fmt: skip
    """Write the report of folders, and say its finding, published numbers and path, which comes back."""
    from deepboot.bootstrap import results
    from deepboot.reports.comparison import compare
    from deepboot.reports.page.page import write_report
    from deepboot.reports.page.summary import finding
    from deepboot.reports.replication.ledger import replications
    from deepboot.reports.tables.replication import lines
    from deepboot.runners import builtins

    read = [results.read(folder) for folder in folders]
    builtins.load()  # a page says which settings are at the defaults of their model, optimizer or task
    _load_own_kinds(read)
    if out is None and len(folders) > 1:
        out = folders[0].parent / "comparison.html"
    comparison = compare(read)
    path = write_report(comparison, out, axis=axis, pdf=pdf)
    say()
    for line in [*finding(comparison), *lines(replications(comparison)), f"\nReport: {path}"]:
        say(told(line))
    return path


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
    from deepboot.runners.remote.here import here

    with here([folder]) as found:
        read = results.read(found.folders[0])
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
    from deepboot.runners.remote.here import here

    need_one(folder, "export")
    with here(folder) as found:
        written = export_tables(found.folders, out, format)
    for path in written:
        say(str(path))
    say("Next: open them in pandas, R or a spreadsheet; run_id joins the tables.")

"""What the command line says to the person at the terminal."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn


def say(text: str = "") -> None:
    """Print one line for the person at the terminal."""
    print(text, flush=True)  # noqa: T201 (this is the command line)


def fail(lines: list[str], code: int = 2) -> NoReturn:
    """End with these lines on standard error, and this exit status."""
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 (this is the command line)
    sys.exit(code)


def again() -> str:
    """The command as it was given, on a line of its own."""
    return f"\n  {shlex.join(['deepboot', *sys.argv[1:]])}"


def open_in_browser(page: Path) -> None:
    """Open a page in the browser, or say where it lies."""
    import webbrowser

    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except (webbrowser.Error, OSError):
        opened = False
    if not opened:
        say(f"No browser could be opened. Open {page.resolve()} in one yourself.")


def need_one(folders: tuple[str, ...], command: str) -> None:
    """End with a sentence where a command was given no folder."""
    if not folders:
        example = f"deepboot {command} results/demo{' --out tables' if command == 'export' else ''}"
        fail([f"DIR: expected at least one output folder, got none. Write for instance `{example}`."])


def refuse_to_open(places: Iterable[str]) -> None:
    """End with a sentence where a page is to be opened that is written to a location."""
    for place in places:
        fail([
            f"--open: expected a page on this machine, got one at {place}. Leave --open out, and write a page here "
            f"with `deepboot report {place} --out report.html --open`."
        ])  # fmt: skip

"""A view as a person sees it: the one renderer of `deepboot run` on a terminal and of `deepboot watch`."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deepboot.runners.live.view import View, WorldView

COLUMNS = ("world", "memorised", "grokked", "median test error")


def rendered(view: View) -> RenderableType:
    """Worlds as a table, then member steps, packs, the last failure if there is one, and the note."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "world" else "right", header_style="dim")
    for world in view.worlds:
        table.add_row(*_cells(world))
    worlds = [table] if view.worlds else []
    return Group(Text(f"{view.name}: {view.state}", style="bold"), *worlds, *_lines(view))


def _cells(world: WorldView) -> tuple[str, ...]:
    error = "–" if world.median_error is None else f"{world.median_error:.3f}"
    return (
        world.world,
        f"{world.memorised:,} of {world.runs:,}",
        f"{world.grokked:,} of {world.runs:,}",
        error if world.evaluated == world.runs else f"{error} ({world.evaluated:,} evaluated)",
    )


def _lines(view: View) -> list[Text]:
    lines = []
    if view.state == "training":
        lines.append(Text(view.line()))
        lines.append(Text(f"packs: {view.packs_done:,} done, {view.packs_running:,} running, of {view.packs:,}"))
    if view.failures:
        lines.append(Text(view.failures, style="red", overflow="ellipsis", no_wrap=True))
    if view.note:
        lines.append(Text(view.note, style="yellow"))
    return lines

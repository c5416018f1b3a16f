"""The figures of a report: which cells they show, one panel each, their captions, and their files."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bootstrap.results import write_atomically
from reports.compare import Comparison
from reports.figures import STYLE, ordered, plot_bootstrap_error, plot_steps, plot_worlds, step_handles, world_handles
from reports.timing import event_times
from reports.wording import plural

MOST_PANELS = 6
BAND = "Thin lines: single seeds. Thick: their mean, drawn as far as every seed has a value. "
BAND += "Band: 95 % t interval of the mean at each step (from 3 seeds)."


@dataclass(frozen=True)
class Drawing:
    """A figure with its file name and caption, and its two forms."""

    name: str
    caption: str
    svg: bytes
    pdf: bytes

    @property
    def inline(self) -> str:
        """The SVG as an element of a page: without prologue, its identifiers made unique by the name."""
        text = self.svg.decode()
        text = text[text.index("<svg") :]
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{self.name}-", text)
        return re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r'<svg \1 role="img">', text, count=1)

    def save(self, folder: Path) -> None:
        """Write ``NAME.svg`` and ``NAME.pdf``."""
        write_atomically(folder / f"{self.name}.svg", self.svg)
        write_atomically(folder / f"{self.name}.pdf", self.pdf)


def draw_worlds(comparison: Comparison, metric: str) -> Drawing | None:
    """One metric in both worlds, a panel per cell; None without a value."""
    table = comparison.curves().dropna(subset="test_error")
    cells, rest = shown_cells(table.loc[table["world"] != "ideal"] if (table["world"] != "ideal").any() else table)
    if not cells or table[metric].isna().all():
        return None
    shown = table[table["cell_id"].isin(cells)]
    worlds = [str(world) for world in shown["world"].unique()]
    handles = world_handles(worlds, train=set(worlds) != {"ideal"} and metric.startswith("test_"))
    name = metric.replace("_", " ").capitalize()
    caption = f"{name} over steps, {seed_counts(shown)}. {BAND}{rest}"
    return facets(
        metric,
        shown,
        cells,
        plot=lambda rows, ax: plot_worlds(rows, metric=metric, ax=ax, worlds=worlds),
        handles=handles,
        caption=caption,
    )


def draw_bootstrap_error(comparison: Comparison) -> Drawing | None:
    """The bootstrap error over steps, a panel per cell; None without a pair."""
    table = comparison.bootstrap_error().dropna(subset="bootstrap_error")
    table = table.merge(comparison.runs["run_id"], on="run_id", how="right").dropna(subset="step")  # in the runs' order
    cells, rest = shown_cells(table)
    if not cells:
        return None
    steps = comparison.pairs()[["run_id", "first_reuse_step", "stopping_high"]]
    shown = table[table["cell_id"].isin(cells)].merge(steps, on="run_id")
    shown = shown.rename(columns={"stopping_high": "stopping_step"})
    n = shown.groupby("cell_id")["run_id"].nunique()
    pairs = plural(n.min(), "pair") if n.nunique() == 1 else f"{n.min()} to {n.max()} pairs"
    caption = (
        f"Bootstrap error (real − ideal, same step and seed) over steps, {pairs}{' per cell' if len(cells) > 1 else ''}"
        f". It is zero by construction up to the first reuse. Grey lines: first reuse and median stopping step. "
        f"{BAND.replace('seed', 'pair')}{rest}"
    )
    return facets(
        "bootstrap_error",
        shown,
        cells,
        plot=lambda rows, ax: plot_bootstrap_error(rows, ax=ax),
        handles=[],
        caption=caption,
    )


def draw_steps(comparison: Comparison) -> Drawing | None:
    """Memorisation and grokking steps of every run; None without any."""
    times = event_times(comparison).dropna(subset=["memorization_outcome", "grokking_outcome"], how="all")
    panels = comparison.panels()[["run_id", "cell_id", "cell"]].merge(
        times.drop(columns=["cell_id", "cell"]), on="run_id"
    )
    cells, rest = shown_cells(panels)
    if not cells:
        return None
    shown = panels[panels["cell_id"].isin(cells)]
    cells_shown, worlds = len(cells), [str(world) for world in shown["world"].unique()]
    outcomes = set(shown["memorization_outcome"].dropna()) | set(shown["grokking_outcome"].dropna())
    caption = (
        f"Memorisation and grokking steps, {seed_counts(shown)}. Dot: first evaluation of the streak; bar: back to "
        f"the evaluation before it. Open circle: not reached by the last evaluation.{rest}"
    )
    with mpl.rc_context(style("steps")):
        figure = Figure(figsize=(7.2, 0.75 + (0.25 + 0.36 * len(worlds)) * cells_shown), layout="constrained")
        plot_steps(shown, ax=figure.add_subplot())
        legend(figure, step_handles(worlds, outcomes), length=1.0)
        return drawn("steps", figure, caption)


def facets(
    name: str,
    table: pd.DataFrame,
    cells: list[str],
    *,
    plot: Callable[[pd.DataFrame, Axes], Any],
    handles: list[Any],
    caption: str,
) -> Drawing:
    """A panel per cell, at most three beside each other, on shared axes."""
    columns = min(len(cells), 3) if len(cells) != 4 else 2
    rows = -(-len(cells) // columns)
    with mpl.rc_context(style(name)):
        size = (7.2, 3.3) if len(cells) == 1 else (7.2, 0.3 + 2.3 * rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for place, (cell, ax) in enumerate(zip(cells, axes, strict=False)):
            panel = table[table["cell_id"] == cell]
            plot(panel, ax)
            if len(cells) > 1:
                ax.set_title(str(panel["cell"].iloc[0]))
            ax.label_outer() if place + columns < len(cells) else ax.tick_params(labelbottom=True)
            ax.set_ylabel("" if place % columns else ax.get_ylabel())
        for ax in axes[len(cells) :]:
            ax.remove()
        legend(figure, handles)
        return drawn(name, figure, caption)


def legend(figure: Figure, handles: list[Any], length: float = 2.6) -> None:
    """One legend above all panels."""
    if handles:
        place: Any = {"loc": "outside upper left", "ncols": len(handles)}
        figure.legend(handles=handles, handlelength=length, columnspacing=1.6, **place)


def style(name: str) -> Any:
    """The house style; identifiers in the SVG follow from the figure's name, not from chance."""
    return STYLE | {"svg.hashsalt": name}


def drawn(name: str, figure: Figure, caption: str) -> Drawing:
    """Both forms of a figure, with the same bytes for the same figure."""
    svg, pdf = io.BytesIO(), io.BytesIO()
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the layout is settled: do not compute it a second time
    FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return Drawing(name, caption, svg.getvalue(), pdf.getvalue())


def shown_cells(table: pd.DataFrame, most: int = MOST_PANELS) -> tuple[list[str], str]:
    """The first cells, and a sentence on the others."""
    cells = [str(cell) for cell in table["cell_id"].unique()]
    if len(cells) <= most:
        return cells, ""
    return cells[:most], f" The first {most} of {len(cells)} cells are drawn; the others are in the tables."


def seed_counts(shown: pd.DataFrame) -> str:
    """How many runs each world has: "8 real and 8 ideal runs"."""
    counts = shown.groupby("world")["run_id"].nunique()
    return " and ".join(f"{counts[world]} {world}" for world in ordered(counts.index)) + " runs"

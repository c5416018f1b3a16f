"""Figures with one panel per cell: their layout, legend, caption and files."""

import io
import math
import re
import textwrap
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from deepboot.bootstrap.files import write_atomically
from deepboot.reports.cells import KEY
from deepboot.reports.figures.style import STYLE, ordered, step_axis
from deepboot.reports.figures.theme import themed
from deepboot.reports.tables.table import Table
from deepboot.reports.time_axis import Axis

MOST_PANELS = 6
MOST_SINGLE = 100  # runs of one world in one panel that are drawn one by one
BAND = "Each thin line is a seed. The thick line is their mean; it ends where the first seed ends. "
BAND += "The band is the 95 % t interval of the mean at each step; it needs at least 3 seeds."
WIDTH = 7.2  # inches of a figure as wide as the page
NARROW = 3.3  # inches of a figure for a window of 360 pixels, where its smallest letters still have 11 of them
LEGEND = 100  # letters beyond which a legend takes a second line
RUN = "seed|delay|memorization|grokking|stable"  # begin the names of marks of single runs
TITLE = 84  # letters of all titles in a row


@dataclass(frozen=True)
class Drawing:
    """A figure with its file name and caption, as SVG; printed as PDF when that is asked for."""

    name: str
    caption: str
    svg: bytes
    figure: Figure
    continues: str = ""  # the name of the figure of which it shows further cells
    cells: str = ""  # which cells of how many, where it does not show all
    narrow: "Drawing | None" = None  # the same for a narrow page, where it has its own form
    numbers: Table | None = None  # what it draws; none of curves, which a page holds once, in its interactive figure

    def with_narrow(self, form: "Drawing") -> "Drawing":
        """The same figure, with another form of it for narrow pages."""
        return replace(self, narrow=replace(form, name=f"{self.name}-narrow"))

    @property
    def label(self) -> str:
        """The caption's first sentence, as the picture's name for those who do not see it, escaped for an attribute."""
        return escape(re.split(r"(?<=[.:])\s", self.caption, maxsplit=1)[0])

    @property
    def inline(self) -> str:
        """The SVG as an element of a page: without prologue, its identifiers made unique by the name."""
        text = self.svg.decode()
        text = re.sub(r"\s*<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        text = re.sub(rf'<g id="([a-zA-Z0-9.]+_\d+|({RUN}) [^"]*)">', "<g>", text)  # names that nothing refers to
        text = _without_bare_groups(re.sub(r">\n\s*<", "><", text))
        text = re.sub(r" transform=\"rotate\(-0 [^)]*\)\"", "", text)
        text = _short_names(text)
        text = re.sub(r'<path d="M [\d.]+ [\d.]+\s*"[^>]*/>', "", text)  # lines of one place, which draw nothing
        text = re.sub(r'(\bid="|xlink:href="#|url\(#)([mpC]\d+)\b', rf"\g<1>{_prefix(self.name)}\2", text)
        text = re.sub(rf'\bid="(?!{_prefix(self.name)})', f'id="{self.name}-', text).replace("xlink:href", "href")
        _, _, width, _ = re.search(r'viewBox="([^"]*)"', text)[1].split()  # type: ignore[index]
        share = min(float(width) / (72 * WIDTH), 1)  # so that letters have one size in all figures
        size = f' style="--share: {share:.2f}"'
        text = _with_classes(re.sub(r'\b(d|x|y)="([^"]*)"', _compact, text), self.name)
        text = themed(text)
        box = re.search(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', text)
        assert box is not None
        named = f'<svg {box[1]} role="img" aria-label="{self.label}"{size}>'
        return f"{text[: box.start()]}{named}{text[box.end() :]}"

    def pdf(self, commands: Sequence[str] = ()) -> bytes:
        """The figure as PDF, with the same bytes at every call; printed anew each time, since its fonts take long."""
        buffer = io.BytesIO()
        with mpl.rc_context(rc_style(self.name)):
            metadata = {"CreationDate": None, "Creator": None, "Producer": None, "Subject": "\n".join(commands) or None}
            FigureCanvasPdf(self.figure).print_pdf(buffer, metadata=metadata)
        return buffer.getvalue()

    def save(self, folder: Path, *, commands: Sequence[str] = (), pdf: bool = False) -> None:
        """Write ``NAME.svg``, and ``NAME.pdf`` where it is asked for, or lies there of an earlier report.

        Args:
            folder: where they go.
            commands: what made the results, a line each, for the description in the SVG and the subject of the PDF.
            pdf: write the PDF even if none lies there.
        """
        text = escape("\n".join(commands), quote=False)
        description = f"<dc:description>{text}</dc:description>\n   " if text else ""
        described = self.svg.replace(b"</cc:Work>", f"{description}</cc:Work>".encode(), 1)
        write_atomically(folder / f"{self.name}.svg", described)
        if pdf or (folder / f"{self.name}.pdf").exists():
            write_atomically(folder / f"{self.name}.pdf", self.pdf(commands))


def _without_bare_groups(svg: str) -> str:
    """An SVG without the groups that say nothing, of which matplotlib makes one or two for every mark.

    >>> _without_bare_groups('<g><g id="a"><g><path/></g></g></g>')
    '<g id="a"><path/></g>'
    """
    bare: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0].endswith("/>"):
            return tag[0]
        if tag[0] != "</g>":
            bare.append(tag[0] == "<g>")
            return "" if bare[-1] else tag[0]
        return "" if bare.pop() else tag[0]

    return re.sub(r"<g\b[^>]*>|</g>", kept, svg)


def _compact(attribute: re.Match[str]) -> str:
    """An attribute of places with a tenth of a point, the hundredth in curved shapes, and lines by their steps."""
    name, text = attribute.groups()
    curved = re.search("[CQ]", text) is not None
    if name == "d" and re.fullmatch(r"\s*M[^MLz]*(L[^MLz]*)+z?\s*", text):
        return f'd="{_steps(text)}{"z" if "z" in text else ""}"'
    text = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.{2 if curved else 1}f}", text)
    return f'{name}="{" ".join(text.split() if curved else text.replace("L", "").split())}"'


def _prefix(name: str) -> str:
    """Five letters for a figure's name, before the parts that only the figure itself refers to, thousands of times."""
    return f"f{zlib.crc32(name.encode()) % 16**4:04x}"


def _steps(line: str) -> str:
    """A line of straight parts as its beginning and the steps from there, which take fewer digits than places.

    Steps that lie on one straight line, to a tenth of a point, are one.

    >>> _steps("M 36.71 201.52 L 49.53 200.8 L 61.2 200.8 L 61.4 200.8")
    'M36.7 201.5l12.8-.7 11.9 0'
    """
    tenths = [round(10 * float(number)) for number in re.findall(r"-?\d+(?:\.\d+)?", line)]
    moves = list(zip(tenths[::2], tenths[1::2], strict=True))
    corners = _corners(moves)
    steps = [(next_x - x, next_y - y) for (x, y), (next_x, next_y) in pairwise(corners)]
    words = [f"{step / 10:g}".replace("0.", ".", 1) if abs(step) < 10 else f"{step / 10:g}" for step in chain(*steps)]
    joined = re.sub(r"(?<=\.\d) (?=\.)", "", " ".join(words).replace(" -", "-"))  # a second point begins a number
    return f"M{moves[0][0] / 10:g} {moves[0][1] / 10:g}l{joined}"


def _corners(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of a line that are needed for it to pass within a tenth of a point of all, from the first to the last.

    From each one that is kept a line goes as far across as its slope can fit between the bounds of all that it passes.

    >>> _corners([(0, 0), (10, 1), (20, 0), (30, 1), (40, 50), (30, 50)])
    [(0, 0), (30, 1), (40, 50), (30, 50)]
    """
    kept, low, high = places[:1], -math.inf, math.inf
    for before, (x, y) in pairwise(places):
        across = x - kept[-1][0]
        ahead = (x - before[0]) * (before[0] - kept[-1][0]) > 0  # in the direction of those that it passes
        if before is not kept[-1] and not (ahead and low <= (y - kept[-1][1]) / across <= high):
            kept.append(before)
            low, high, across = -math.inf, math.inf, x - before[0]
        if across:
            ends = sorted((y - kept[-1][1] + side) / across for side in (-1, 1))
            low, high = max(low, ends[0]), min(high, ends[1])
    return [*kept, places[-1]] if len(places) > 1 else kept


def _short_names(svg: str) -> str:
    """An SVG in which marks and clipped areas have short names instead of matplotlib's hashes."""
    hashes = dict.fromkeys(re.findall(r'\bid="([mpC][0-9a-f_]{8,})"', svg))
    short = {name: f"{name[0]}{index}" for index, name in enumerate(hashes)}
    return re.sub(r"\b[mpC][0-9a-f_]{8,}\b", lambda one: short.get(one[0], one[0]), svg)


def _with_classes(svg: str, name: str) -> str:
    """An SVG whose repeated styles are written once, as classes of its own."""
    prefix = _prefix(name)
    counts = Counter(re.findall(r' style="([^"]*)"', svg))
    classes = {style: f"{prefix}-{index}" for index, (style, count) in enumerate(counts.items()) if count > 1}
    written = "".join(f".{short}{{{style}}}" for style, short in classes.items())
    svg = re.sub(r' style="([^"]*)"', lambda one: f' class="{classes[one[1]]}"' if one[1] in classes else one[0], svg)
    return re.sub(r"(<svg [^>]*>)", rf"\1<style>{written}</style>", svg, count=1) if written else svg


def facets(
    name: str,
    table: pd.DataFrame,
    cells: list[str],
    *,
    plot: Callable[[pd.DataFrame, Axes], Any],
    handles: list[Any],
    caption: str,
    axis: Axis = "step",
    numbers: Table | None = None,
) -> Drawing:
    """A figure with a panel per cell, at most three in a row, on shared axes that hold the steps of all."""
    columns = min(len(cells), 3) if len(cells) != 4 else 2
    rows = -(-len(cells) // columns)
    with mpl.rc_context(rc_style(name)):
        size = (WIDTH, 3.3) if len(cells) == 1 else (WIDTH, 0.3 + 2.3 * rows)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, (cell, ax) in enumerate(zip(cells, axes, strict=False)):
            panel = table[table["cell_id"] == cell]
            plot(panel, ax)
            if len(cells) > 1:
                ax.set_title(folded(str(panel["cell"].iloc[0]), TITLE // columns))
            ax.label_outer() if index + columns < len(cells) else ax.tick_params(labelbottom=True)
            ax.set_ylabel("" if index % columns else ax.get_ylabel())
        for ax in axes[len(cells) :]:
            ax.remove()
        step_axis(axes[0], table["step"], axis)
        for index, ax in enumerate(axes[: len(cells)]):
            ax.set_xlabel(ax.get_xlabel() if index + columns >= len(cells) else "")
        legend(figure, handles)
        return rendered(name, figure, caption, numbers)


def folded(cell: str, letters: int) -> str:
    """A cell's name in lines of at most so many letters, broken between settings where that is enough.

    >>> folded("train_size 500, weight_decay 0.03", 28)
    'train_size 500,\\nweight_decay 0.03'
    """
    parts = [part.replace(" ", "\xa0") if len(part) < letters else part for part in cell.split(", ")]
    return textwrap.fill(", ".join(parts), letters).replace("\xa0", " ")


def legend(figure: Figure, handles: list[Any], length: float = 2.6) -> None:
    """One legend above all panels."""
    if handles:
        letters = sum(len(handle.get_label()) + 6 for handle in handles)
        lines = 1 + int(letters // (LEGEND * figure.get_figwidth() / WIDTH))
        layout: Any = {"loc": "outside upper left", "ncols": -(-len(handles) // lines)}
        figure.legend(handles=handles, handlelength=length, columnspacing=1.6, **layout)


def rc_style(name: str) -> Any:
    """Matplotlib settings of a figure; identifiers in the SVG depend on its name, not on chance."""
    return STYLE | {"svg.hashsalt": name}


def rendered(name: str, figure: Figure, caption: str, numbers: Table | None = None) -> Drawing:
    """A figure as SVG, with the same bytes at every call."""
    svg = io.BytesIO()
    _number_marks(figure)
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the layout is computed: a PDF does not repeat it
    return Drawing(name, caption, svg.getvalue(), figure, numbers=numbers)


def _number_marks(figure: Figure) -> None:
    """Number marks whose name occurs in several panels or rows: a page must not hold an identifier twice."""
    seen: Counter[str] = Counter()
    for artist in chain.from_iterable(ax.get_children() for ax in figure.axes):  # no mark is part of another one
        if name := artist.get_gid():
            seen[name] += 1
            artist.set_gid(name if seen[name] == 1 else f"{name} ({seen[name]})")


def shown_cells(table: pd.DataFrame, most: int = MOST_PANELS) -> tuple[list[str], str]:
    """Ids of the first cells, and a sentence on the others."""
    cells = [str(cell) for cell in table["cell_id"].unique()]
    if len(cells) <= most:
        return cells, ""
    return cells[:most], f" The first {most} of {len(cells)} cells are drawn; the others are in the tables."


def seed_counts(shown: pd.DataFrame) -> str:
    """How many runs each world has: "8 real and 8 ideal runs"."""
    counts = shown.groupby("world")["run_id"].nunique()
    return " and ".join(f"{counts[world]} {world}" for world in ordered(counts.index)) + " runs"


def some_of(count: int) -> np.ndarray:
    """Positions of the runs that are drawn one by one, among so many of one world in one panel: evenly spread.

    >>> some_of(3).tolist(), len(some_of(10_000))
    ([0, 1, 2], 100)
    """
    return np.linspace(0, max(count - 1, 0), min(count, MOST_SINGLE)).round().astype(int)


def singled(shown: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that are drawn one by one, of a table with a row per run and panel, in its order.

    >>> many = pd.DataFrame({"cell_id": "a", "world": ["real"] * 300 + ["ideal"] * 2, "cell": "a"})
    >>> singled(many).groupby("world").size().to_dict()
    {'ideal': 2, 'real': 100}
    """
    drawn = [positions[some_of(len(positions))] for positions in shown.groupby(KEY, sort=False).indices.values()]
    return shown.iloc[np.sort(np.concatenate(drawn))] if drawn else shown


def singly(shown: pd.DataFrame) -> str:
    """The sentence of a caption where a world has more runs in a panel than are drawn one by one; else no text."""
    most = int(shown.groupby(KEY)["run_id"].nunique().max()) if len(shown) else 0
    sentence = f"At most {MOST_SINGLE} runs of a world are drawn one by one; means, medians and intervals are of all. "
    return sentence if most > MOST_SINGLE else ""

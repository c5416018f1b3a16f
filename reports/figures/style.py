"""The style of all figures: colours, fonts, axes and legends.

Worlds keep their colour and dash in every figure, so that print and the colour-blind can tell them apart; cells are
tones of that colour, and markers.
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from deepboot.reports.time_axis import UNITS, Axis

INK, GREY, PALE = "#222222", "#6b6b6b", "#d9d9d9"
# Okabe and Ito's palette, which the common kinds of colour blindness can tell apart.
COLORS = {"real": "#0072b2", "ideal": "#d55e00"}
GAP_COLOR = "#5b3a8e"  # of a difference between two worlds
CLAIM_COLOR = "#00795a"  # of what was claimed
DASHES: dict[str, Any] = {"real": "-", "ideal": (0, (5, 2))}
OTHERS = [("#009e73", (0, (7, 1.5, 1.5, 1.5))), ("#cc79a7", (0, (3, 1, 1, 1, 1, 1))), ("#e69f00", (0, (9, 3)))]
TRAIN_DASH = (0, (1, 1.4))
CHANCE_LINE: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 3)), "linewidth": 0.9}
SMALLEST = 8.5  # points of the smallest letters in any figure, of which a page makes at least 11 pixels
LETTER = 0.55  # width of a letter as a share of its height, on average
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.7,
    "axes.xmargin": 0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a setting's value is a dollar
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.6,
    "xtick.minor.width": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


def world_style(world: str, worlds: list[str]) -> tuple[str, Any]:
    """Colour and dash of a world; other rules than real and ideal take the remaining ones in alphabetical order."""
    if world in COLORS:
        return COLORS[world], DASHES[world]
    others = sorted(set(worlds) - set(COLORS))
    return OTHERS[others.index(world) % len(OTHERS)]


def ordered(worlds: Iterable[str]) -> list[str]:
    """Worlds in the order in which they are named: real, other rules, ideal.

    >>> ordered(["ideal", "fresh", "real", "real"])
    ['real', 'fresh', 'ideal']
    """
    names = worlds.unique() if isinstance(worlds, pd.Series) else worlds
    return sorted(map(str, set(names)), key=lambda world: (world == "ideal", world != "real", world))


def world_handles(worlds: list[str], *, train: bool = False) -> list[Line2D]:
    """Legend entries of worlds, real first; with ``train``, one for the dotted train curve."""
    order = ordered(worlds)
    handles = []
    for world in order:
        color, dash = world_style(world, worlds)
        handles.append(Line2D([], [], color=color, linestyle=dash, linewidth=2, label=f"{world} world"))
    if train:
        pooled = [world for world in order if world != "ideal"]
        color, label = (
            (world_style(pooled[0], worlds)[0], f"{pooled[0]}, on train") if len(pooled) == 1 else (GREY, "on train")
        )
        handles.append(Line2D([], [], color=color, linestyle=TRAIN_DASH, linewidth=1.1, label=label))
    return handles


def curve_handles(run: str, *, band: bool) -> list[Any]:
    """Legend entries of the lines below a mean: of one run, or pair, and of the band where there is one."""
    thin = Line2D([], [], color=GREY, linewidth=0.6, label=f"one {run}")
    return [thin, band_handle("95 % interval of the mean")] if band else [thin]


def band_handle(label: str) -> Patch:
    """The legend entry of a band of any colour."""
    return Patch(facecolor=GREY, alpha=0.25, linewidth=0, label=label)


def new_axes() -> Axes:
    """Axes of the usual size on a figure of their own."""
    return Figure(figsize=(5.5, 3.4), layout="constrained").add_subplot()


def round_ticks(ax: Axes) -> None:
    """At most six round numbers on the y axis."""
    ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def mark_step(ax: Axes, steps: pd.Series, text: str, *, high: bool = True) -> None:
    """A grey line at the median of these steps, with its name beside it, inside the axes, whose limits are set."""
    known = steps.dropna().astype(float)
    if known.empty:
        return
    median = float(known.groupby(level=0).first().median())
    ax.axvline(median, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1, gid=text)
    height, align = (0.985, "top") if high else (0.015, "bottom")
    room = LETTER * SMALLEST * len(text) * ax.figure.dpi / (72 * ax.get_window_extent().width)  # as a share
    at_the_end = (ax.transData + ax.transAxes.inverted()).transform((median, 0.0))[0] > 1 - room
    side, offset = ("right", -2.5) if at_the_end else ("left", 2.5)
    beside: Any = {"xycoords": ax.get_xaxis_transform(), "xytext": (offset, 0), "textcoords": "offset points"}
    ax.annotate(text, (median, height), ha=side, va=align, fontsize=SMALLEST, color=GREY, **beside)


def step_axis(ax: Axes, steps: pd.Series, axis: Axis = "step", *, low: float | None = None, high: float = 1.06) -> None:
    """A log axis of steps, samples or seconds that also shows 0, the untrained network.

    Args:
        ax: axes to change.
        steps: values that the axis must hold.
        axis: their unit.
        low: start of the axis, to leave out 0 and the smallest steps.
        high: end of the axis, in multiples of the last step.
    """
    known = steps.dropna().astype(float)
    positive = known[known > 0]
    first, last = (float(positive.min()), float(positive.max())) if len(positive) else (1.0, 10.0)
    unit = 10.0 ** math.floor(math.log10(first) + 1e-9)
    start, end = -0.05 * unit if low is None else low, max(last * high, 1.05 * unit)
    decades = [unit * 10**k for k in range(math.ceil(math.log10(end / unit)) + 1)]
    linear = 0.3 if unit == 1 else max(0.3, 0.1 * len(decades))  # room for 0 and a longer number beside it
    ax.set_xscale("symlog", linthresh=unit, linscale=linear)
    ax.set_xlim(start, end)
    shown = [ten for ten in decades if start <= ten <= end]
    named = (1,) if len(shown) >= 3 else (1, 2, 5)  # few decades: label steps between them too
    ax.xaxis.set_major_locator(FixedLocator([0, *(digit * ten for ten in decades for digit in named)]))
    ax.xaxis.set_minor_locator(FixedLocator([digit * ten for ten in decades for digit in range(2, 10)]))
    ax.xaxis.set_major_formatter(FuncFormatter(_step_label))
    ax.set_xlabel(UNITS[axis].label)


def _step_label(value: float, _: Any) -> str:
    """A step in full, from 100,000 on in thousands or millions: raised powers are too small on a telephone."""
    if value >= 100_000:
        return f"{value / 1_000_000:g}M" if value >= 1_000_000 else f"{value / 1_000:g}k"
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"

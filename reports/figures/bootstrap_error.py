"""The figure of the bootstrap error with the claimed regions: pairs, marks and caption."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deepboot.reports.claims.region import claimed_regions, whole_curve
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.curves import by_run, mean_and_band, thin_lines
from deepboot.reports.figures.facets import BAND, Drawing, facets, shown_cells, singly
from deepboot.reports.figures.style import (
    CLAIM_COLOR,
    GAP_COLOR,
    INK,
    curve_handles,
    mark_step,
    new_axes,
    ordered,
    round_ticks,
    step_axis,
)
from deepboot.reports.statistics.intervals import T_MIN
from deepboot.reports.text import measure, plural
from deepboot.reports.time_axis import UNITS, Axis

OUTLINED = (
    " Dashed outline: 95 % band that holds the whole mean curve at once (max-t, sign flips of symmetric differences, "
)
OUTLINED += "from 6 pairs)."


def draw_bootstrap_error(comparison: Comparison) -> Drawing | None:
    """The bootstrap error over steps or samples, a panel per cell; None without a pair.

    Raises:
        ValueError: a comparison in seconds, in which no two pairs are evaluated at the same time.
    """
    if comparison.axis == "seconds":
        raise ValueError("the bootstrap error has no mean over seconds. Draw it of the comparison in steps or samples.")
    table = comparison.bootstrap_error().dropna(subset="bootstrap_error")
    table = table.merge(comparison.runs["run_id"], on="run_id", how="right").dropna(subset="step")  # in the runs' order
    cells, rest = shown_cells(table)
    if not cells:
        return None
    steps = comparison.pairs()[["run_id", "first_reuse_step", "stopping_high"]]
    shown = table[table["cell_id"].isin(cells)].merge(steps, on="run_id")
    shown = shown.rename(columns={"stopping_high": "stopping_step"})
    claimed, curves = claimed_regions(comparison, shown), {cell: whole_curve(shown, cell) for cell in cells}
    outlined = any(curve is not None for curve in curves.values())
    sentences = "".join(f" {sentence}" for sentence in dict.fromkeys(claimed["sentence"]))
    n, unit = shown.groupby("cell_id")["run_id"].nunique(), UNITS[comparison.axis]
    pairs = plural(n.min(), "pair") if n.nunique() == 1 else f"{n.min()} to {n.max()} pairs"
    caption = (
        f"Bootstrap error (real − ideal, same step and seed) over {unit.plural}, "
        f"{pairs}{' per cell' if len(cells) > 1 else ''}. It is zero by construction up to the first reuse; "
        "where it leaves the black line, the pool starts to matter. "
        f"Grey lines: first reuse and median stopping step. {singly(shown)}{BAND.replace('seed', 'pair')}"
        f"{OUTLINED if outlined else ''}{sentences}{unit.note}{rest}"
    )
    return facets(
        "bootstrap_error",
        shown,
        cells,
        plot=lambda rows, ax: plot_bootstrap_error(
            rows,
            ax=ax,
            claimed=claimed[claimed["cell_id"] == rows["cell_id"].iloc[0]],
            outline=curves[rows["cell_id"].iloc[0]],
            axis=comparison.axis,
        ),
        handles=gap_handles(claimed, band=bool(n.max() >= T_MIN), outline=outlined),
        caption=caption,
        axis=comparison.axis,
    )


OUTLINE: dict[str, Any] = {"color": GAP_COLOR, "linewidth": 0.8, "linestyle": (0, (4, 1.5)), "alpha": 0.75}
MARGIN: dict[str, Any] = {"facecolor": f"{CLAIM_COLOR}1c", "edgecolor": f"{CLAIM_COLOR}90"}
LIMIT: dict[str, Any] = {"color": CLAIM_COLOR, "linewidth": 1.1, "linestyle": (0, (6, 2, 1, 2))}


def plot_bootstrap_error(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    claimed: pd.DataFrame | None = None,
    outline: pd.DataFrame | None = None,
    axis: Axis = "step",
) -> Axes:
    """Bootstrap error over steps: a thin line per pair under the mean and its band, with the zero line.

    The grey lines are the first reuse, up to which the error is zero by construction, and the stopping step.

    Args:
        table: rows of `Comparison.bootstrap_error` of one cell; ``first_reuse_step`` and ``stopping_step`` are
            marked where it has them.
        ax: where to draw; new axes otherwise.
        claimed: regions that claims name, one per row: ``low, high``, shaded where both are finite, else a line.
        outline: band of the whole mean curve: ``step, low, high``.
        axis: the unit of the steps.
    """
    ax = ax or new_axes()
    for low, high in () if claimed is None else _regions(claimed):
        _region(ax, low, high)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1, gid="zero")
    wide = by_run(table, "bootstrap_error")
    thin_lines(ax, wide, color=GAP_COLOR, dash="-")
    mean_and_band(ax, wide, color=GAP_COLOR, dash="-", label="mean of the pairs", limits=(-math.inf, math.inf))
    if outline is not None:
        for end in ("low", "high"):
            ax.plot(outline["step"], outline[end], gid=f"outline {end}", zorder=2.5, **OUTLINE)
    step_axis(ax, table["step"], axis)
    round_ticks(ax)
    if "first_reuse_step" in table:
        mark_step(ax, table["first_reuse_step"], "first reuse")
    if "stopping_step" in table:
        mark_step(ax, table["stopping_step"], "stopping", high=False)
    metric = ", ".join(sorted(table["metric"].unique())) if "metric" in table else "error"
    world = ", ".join(ordered(table["world"]))
    ax.set_ylabel(f"bootstrap error\n({metric.replace('_', ' ')}, {world} − ideal)")
    return ax


def gap_handles(claimed: pd.DataFrame, *, band: bool, outline: bool) -> list[Any]:
    """Legend entries of `plot_bootstrap_error`: the mean, single pairs, the band, claimed regions, the outline."""
    pair: dict[str, Any] = {"color": GAP_COLOR, "linewidth": 1.9, "label": "mean of the pairs"}
    handles: list[Any] = [Line2D([], [], **pair), *curve_handles("pair", band=band)]
    for low, high in _regions(claimed):
        shaded = math.isfinite(low) and math.isfinite(high)
        claim_style = MARGIN | {"linewidth": 0.6} if shaded else LIMIT
        label = f"claimed: {_region_name(low, high)}"
        handles.append(Patch(label=label, **claim_style) if shaded else Line2D([], [], label=label, **claim_style))
    if outline:
        handles.append(Line2D([], [], label="whole curve, 95 %", **OUTLINE))
    return handles


def _regions(claimed: pd.DataFrame) -> list[tuple[float, float]]:
    """The distinct regions among these."""
    return list(dict.fromkeys(zip(claimed["low"].astype(float), claimed["high"].astype(float), strict=True)))


def _region(ax: Axes, low: float, high: float) -> None:
    """A claimed region: shaded between two ends, a line at a single one."""
    if math.isfinite(low) and math.isfinite(high):
        ax.axhspan(low, high, gid="claimed", zorder=0.5, linewidth=0.6, **MARGIN)
        return
    for end in filter(math.isfinite, (low, high)):
        ax.axhline(end, gid="claimed", zorder=1, **LIMIT)


def _region_name(low: float, high: float) -> str:
    if low == -high:
        return f"±{high:g}"
    if math.isinf(high):
        return f"≥ {measure(low)}"
    return f"≤ {measure(high)}" if math.isinf(low) else f"{measure(low)} to {measure(high)}"

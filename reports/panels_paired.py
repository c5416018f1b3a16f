"""The figure of the bootstrap error: which pairs it shows, with what claims say of it, and its caption."""

from reports.claimed import claimed_regions, whole_curve
from reports.clocks import UNITS
from reports.compare import Comparison
from reports.figures_paired import claim_handles, plot_bootstrap_error
from reports.panels import BAND, Drawing, facets, shown_cells
from reports.wording import plural

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
    said = "".join(f" {sentence}" for sentence in dict.fromkeys(claimed["said"]))
    n, unit = shown.groupby("cell_id")["run_id"].nunique(), UNITS[comparison.axis]
    pairs = plural(n.min(), "pair") if n.nunique() == 1 else f"{n.min()} to {n.max()} pairs"
    caption = (
        f"Bootstrap error (real − ideal, same step and seed) over {unit.plural}, "
        f"{pairs}{' per cell' if len(cells) > 1 else ''}. It is zero by construction up to the first reuse. "
        f"Grey lines: first reuse and median stopping step. {BAND.replace('seed', 'pair')}"
        f"{OUTLINED if outlined else ''}{said}{unit.note}{rest}"
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
        handles=claim_handles(claimed, outline=outlined),
        caption=caption,
        axis=comparison.axis,
    )

"""What kept weights have learned, for the page: one run of each world, at all its kept steps or at the last."""

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.facets import WIDTH, Drawing, legend, rc_style, rendered
from deepboot.reports.figures.numbers import POINTS, numbers_of, points_of
from deepboot.reports.figures.representation import (
    plot_bits,
    plot_chain,
    plot_circle,
    plot_cosets,
    plot_neurons,
    plot_spectrum,
)
from deepboot.reports.figures.style import ordered
from deepboot.reports.representation.bits import bit_table
from deepboot.reports.representation.chains import chain_table
from deepboot.reports.representation.circles import circle_points
from deepboot.reports.representation.cosets import coset_parts, coset_table, neighbour_share
from deepboot.reports.representation.embeddings import point_table
from deepboot.reports.representation.groups import SUBGROUPS
from deepboot.reports.representation.kept import has_kept, kept_table
from deepboot.reports.representation.neurons import OF_ONE_FREQUENCY, neuron_table
from deepboot.reports.representation.spectra import spectrum_table
from deepboot.reports.text import measure

NAME = "learned"
SHUFFLES = 199
ROW = 2.6  # inches
MODULAR, NEURONS = "binary_operations", "binary_operations with one hidden layer"

# draws one run into a column of axes, and returns what was found in it
Column = Callable[[Comparison, dict[str, Any], list[Axes]], str]


def draw_learned(comparison: Comparison) -> Drawing | None:
    """What one run of each world has learned, side by side; None where no weights were kept or none can be read.

    Modular operations: the embedding's spectrum over the kept steps, its strongest circle, and the output's tokens in
    the order of their best chain; of an mlp with one hidden layer its units, too. Permutations: the output's tokens by
    the cosets that are nearest to clusters. Sparse parity: the input weights of every bit.
    """
    if not has_kept(comparison):
        return None
    files = kept_table(comparison, steps="last")
    files = files[files["cell_id"].isin(_shown_cell(comparison, files))]
    first = files.sort_values("seed", kind="stable").drop_duplicates("world").set_index("world")
    run = comparison.runs.set_index("run_id").loc[first["run_id"].iloc[0]]
    shallow = run["model"] == "mlp" and run.get("model.depth") == 1
    kind = NEURONS if run["task"] == MODULAR and shallow else str(run["task"])
    if kind not in COLUMNS:
        return None
    rows, column, caption = COLUMNS[kind]
    worlds = ordered(first.index)
    with mpl.rc_context(rc_style(NAME)):
        figure = Figure(figsize=(WIDTH, 0.4 + ROW * rows), layout="constrained")
        axes = figure.subplots(rows, len(worlds), squeeze=False)
        found = []
        for number, world in enumerate(worlds):
            try:
                words = column(comparison, {"run_id": first.loc[world, "run_id"]}, list(axes[:, number]))
            except ValueError:  # layers of another model
                return None
            found.append(f"{world!s}, seed {first.loc[world, 'seed']!s}: {words}")
            title = axes[0, number].get_title(loc=mpl.rcParams["axes.titlelocation"])
            axes[0, number].set_title(", ".join(filter(None, (f"{world} world", title))))
        handles, labels = axes[0, 0].get_legend_handles_labels()
        if labels:
            axes[0, 0].get_legend().remove() if axes[0, 0].get_legend() else None
            legend(figure, handles)
        counts = files.groupby("world")["run_id"].nunique()
        of = " and ".join(f"1 of {counts[world]} {world}" for world in worlds)
        words = f"{caption} ({of} runs with kept weights). {'; '.join(found)}."
        return rendered(NAME, figure, words, numbers_of(NAME, points_of(figure), POINTS))


def _shown_cell(comparison: Comparison, files: pd.DataFrame) -> list[str]:
    """The first cell of the report that has kept weights, and the cells of its ideal partners."""
    runs = comparison.runs[comparison.runs["run_id"].isin(files["run_id"])]
    real = runs[runs["world"] != "ideal"]
    if real.empty:
        return [str(runs["cell_id"].iloc[0])]
    cell = real["cell_id"].iloc[0]
    partners = real.loc[real["cell_id"] == cell, "ideal_run_id"]
    ideal = runs.loc[runs["run_id"].isin(partners), "cell_id"]
    return [str(one) for one in dict.fromkeys([cell, *ideal])]


def _modular(comparison: Comparison, where: dict[str, Any], axes: list[Axes]) -> str:
    spectra = spectrum_table(comparison, where=where)
    layer = "embedding" if "embedding" in set(spectra["layer"]) else str(spectra["layer"].iloc[0])
    spectrum = spectra[spectra["layer"] == layer]
    plot_spectrum(spectrum, ax=axes[0])
    axes[0].set_title(layer)
    points = circle_points(comparison, layer=layer, where=where)
    strongest = points[points["frequency"] == points["frequency"].iloc[0]] if len(points) else points
    if len(strongest):
        plot_circle(strongest, ax=axes[1])
    chains = chain_table(comparison, where=where, shuffles=SHUFFLES)
    best = chains[chains["layer"] == "output"].to_dict("records")[0]
    output = point_table(comparison, layer="output", space="pca", where=where)
    plot_chain(output, stride=int(best["stride"]), ax=axes[2])
    last = spectrum[spectrum["step"] == spectrum["step"].max()]
    p = float(best["p"])
    held = f"{int(last['key'].sum())} of {len(last)} frequencies hold 90 % of the {layer}'s power, chain p {measure(p)}"
    return f"{held}, {_units(comparison, where, axes[3])}" if len(axes) > 3 else held


def _units(comparison: Comparison, where: dict[str, Any], ax: Axes) -> str:
    """Draws the units of the frequency that most of them are of."""
    table = neuron_table(comparison, where=where)
    clear = table[table["frequency_share"] >= OF_ONE_FREQUENCY]
    if clear.empty:
        ax.set_axis_off()
        return f"none of {len(table)} units of one frequency"
    frequency = int(clear["frequency"].mode().iloc[0])
    units = clear[clear["frequency"] == frequency]
    plot_neurons(units, ax=ax)
    ax.set_title(f"units of frequency {frequency}")
    return f"{len(units)} of {len(table)} units of frequency {frequency}"


def _permutations(comparison: Comparison, where: dict[str, Any], axes: list[Axes]) -> str:
    table = coset_table(comparison, where=where, shuffles=SHUFFLES)
    table = table[table["layer"] == "output"]
    best = table.sort_values("share", ascending=False, kind="stable").to_dict("records")[0]
    degree = int(comparison.runs.loc[comparison.runs["run_id"] == where["run_id"], "task.degree"].iloc[0])
    parts = coset_parts(SUBGROUPS[str(best["subgroup"])], degree, best["side"])
    points = point_table(comparison, layer="output", space="t-sne", where=where)
    plot_cosets(points, part=parts[int(best["best"])], ax=axes[0])
    seen = neighbour_share(points[["x", "y"]], parts[int(best["best"])])
    kind, p = f"{best['subgroup']}, {best['side']}", measure(float(best["p"]))
    share = f"{measure(float(best['share']))} of nearest neighbours in one coset ({kind}), p {p}"
    return f"{share}, and {measure(seen)} in the picture"


def _bits(comparison: Comparison, where: dict[str, Any], axes: list[Axes]) -> str:
    table = bit_table(comparison, where=where)
    plot_bits(table, ax=axes[0])
    last = table[table["step"] == table["step"].max()]
    norms = last.assign(square=last["norm"] ** 2).groupby("relevant")["square"].sum()
    share = float(norms.get(False, 0.0) / norms.sum())
    return f"{measure(share)} of the squared input weights on bits that do not matter"


SHOWN = (
    "What a network has learned: Fourier spectrum of the embedding over kept steps, its strongest circle, principal "
    "components of the output with its best chain"
)
COLUMNS: dict[str, tuple[int, Column, str]] = {
    MODULAR: (3, _modular, f"{SHOWN}, at the last step"),
    NEURONS: (
        4, _modular, f"{SHOWN}, and hidden units of the frequency that most are of (from +, in the direction of their "
        "phase, as long as the norm of their input weights), at the last step",
    ),
    "permutations": (1, _permutations, "The output's permutations by t-SNE, coloured by coset, at the last kept step"),
    "sparse_parity": (1, _bits, "Norm of every bit's input weights over kept steps"),
}  # fmt: skip

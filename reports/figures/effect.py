"""The effect of what a study swept: grokking step, bootstrap error and final error against the first swept number.

The first swept number is across, the second setting is the tone and marker, every further one makes panels. Hue and
dash are the world's, or violet where a figure shows the difference of two worlds.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from deepboot.bootstrap.results import among
from deepboot.reports.at_step import AT_STEP, When
from deepboot.reports.cells import KEY, varied
from deepboot.reports.claims.judge import parsed
from deepboot.reports.claims.kind import figures_of
from deepboot.reports.claims.registration import studies
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.answering import answering
from deepboot.reports.figures.effect_marks import Styles, number_axis, plot_grokking, plot_means
from deepboot.reports.figures.facets import (
    NARROW,
    TITLE,
    WIDTH,
    Drawing,
    folded,
    legend,
    rc_style,
    rendered,
    seed_counts,
)
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import GAP_COLOR, GREY, world_style
from deepboot.reports.figures.theme import MARKERS, tone
from deepboot.reports.measures.events import event_bounds
from deepboot.reports.statistics.intervals import median_bounds
from deepboot.reports.statistics.survival import BROKEN
from deepboot.reports.text import setting
from deepboot.reports.time_axis import UNITS

MOST_PANELS = 12
STEPS = {"outcome": "grokking", "low": "after step", "high": "by step", "budget": "last step"}  # columns of its numbers


@dataclass(frozen=True)
class Layout:
    """Which setting is where: ``x``, then perhaps ``color`` (tone and marker), then the settings that make panels."""

    x: str
    color: str | None
    panels: tuple[str, ...]


def layout_of(comparison: Comparison) -> Layout | None:
    """The places of the settings that differ between the real cells; None where none does, or between two studies.

    Studies side by side may differ in more than what is swept, which a line between their cells would hide.
    """
    if len(studies(comparison)) > 1:
        return None
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    cells = real.groupby(KEY, sort=False).head(1)
    names = varied(cells)
    if not names:
        return None
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(cells[name]) and cells[name].notna().all()]
    x = next((name for name in numbers if cells[name].dtype != bool), names[0])
    rest = [name for name in names if name != x]
    return Layout(x, rest[0] if rest else None, tuple(rest[1:]))


def draw_effects(comparison: Comparison) -> list[Drawing]:
    """Grokking step, bootstrap error and final error over what was swept, in the order of `effect_order`."""
    layout = layout_of(comparison)
    if layout is None:
        return []
    measures = _measures()
    made = [(name, measures[name][0](comparison, layout), measures[name][1]) for name in effect_order(comparison)]
    known = [one for one in made if len(one[1])]
    drawings = [_draw(comparison, layout, *one) for one in known]
    for name, table, plot in known[:1]:  # the first figure of a page is read on a telephone too
        drawings[0] = drawings[0].with_narrow(_draw(comparison, layout, name, table, plot, width=NARROW))
    return drawings


def draw_effects_together(comparison: Comparison, parts: Mapping[str, Comparison]) -> list[Drawing]:
    """The effects that several studies have in common, a tone and marker for each; none where they sweep others.

    Args:
        comparison: of all of them.
        parts: the comparison of each study, by its name.
    """
    layouts = [layout_of(part) for part in parts.values()]
    if layouts[0] is None or len(set(layouts)) > 1:
        return []
    own = layouts[0]
    layout = Layout(own.x, "study", (*([own.color] if own.color else []), *own.panels))
    drawings = []
    for name, (make, plot) in _measures().items():
        tables = [make(part, own).assign(study=study) for study, part in parts.items()]
        measures = {label for table in tables for label in table["measure"].unique()}
        if len(measures) > 1 or any(table.empty for table in tables):
            continue  # another step or metric in one of them, or nothing
        table = pd.concat(tables, ignore_index=True)
        panel = table["panel"] if own.color is None else f"{own.color} " + table["color"]
        panel = panel if own.color is None else panel + table["panel"].map(lambda more: f", {more}" if more else "")
        drawings.append(_draw(comparison, layout, name, table.assign(panel=panel, color=table["study"]), plot))
    return drawings


def effect_order(comparison: Comparison) -> list[str]:
    """Names of the effects: first the one that the page's answer speaks of, then by how many claims are about them.

    Where none groks, the final error comes before the grokking step.
    """
    first, claimed = answering(comparison).effect, _claims_by_effect(comparison)
    names = ["effect_grokking", "effect_bootstrap_error", "effect_final_error"]
    names = names[::-1] if first == "effect_final_error" else names
    return sorted(names, key=lambda name: (name != first, -claimed[name]))


def _measures() -> dict[str, tuple[Callable[[Comparison, Layout], pd.DataFrame], Callable[..., Axes]]]:
    """By the name of an effect's figure: what makes its table, and what draws it."""
    return {
        "effect_grokking": (_grokking, plot_grokking),
        "effect_bootstrap_error": (_bootstrap_error, plot_means),
        "effect_final_error": (_final_error, plot_means),
    }


def bootstrap_pairs(comparison: Comparison) -> dict[When, pd.DataFrame]:
    """The pairs at both of their steps, as in `Comparison.pairs_at`: first at the step of the page's answer.

    Without one, the stopping step comes first where every cell has a pair that reaches it. The metric is the answer's
    where that is about the bootstrap error.
    """
    answer = answering(comparison)
    metric = answer.metric if answer.effect == "effect_bootstrap_error" else None
    stopping, end = (comparison.pairs_at(when, metric) for when in ("stopping", "end"))
    reached = stopping.loc[stopping["bootstrap_error"].notna(), "cell_id"].nunique()
    first = answer.when or ("stopping" if reached == stopping["cell_id"].nunique() else "end")
    return {"stopping": stopping, "end": end} if first == "stopping" else {"end": end, "stopping": stopping}


def _claims_by_effect(comparison: Comparison) -> Counter[str]:
    """How many claims of a study are about each of the effects, by the name of its figure."""
    counts: Counter[str] = Counter()
    for claim in comparison.sources[0].study.get("claims") or []:
        best, *_ = (*figures_of(str(claim["kind"]), parsed(claim)[1].model_dump()), "")
        error = "effect_final_error" if best.startswith("test_") else "effect_grokking"
        counts["effect_bootstrap_error" if best == "bootstrap_error" else error] += 1
    return counts


def _draw(
    comparison: Comparison,
    layout: Layout,
    name: str,
    table: pd.DataFrame,
    plot: Callable[..., Axes],
    width: float = WIDTH,
) -> Drawing:
    """One measure over the settings, a panel for each combination of the further ones."""
    colors, styles = list(dict.fromkeys(table["color"])), _styles(table)
    panels = list(dict.fromkeys(table["panel"]))[:MOST_PANELS]
    columns = 1 if width < WIDTH else min(len(panels), 3 if len(panels) != 4 else 2)
    rows = -(-len(panels) // columns)
    with mpl.rc_context(rc_style(name)):
        figure = Figure(figsize=(width, 3.4 if rows == 1 else 0.4 + 2.5 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for index, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
            plot(table[table["panel"] == panel], colors=colors, styles=styles, ax=ax)
            number_axis(ax, table["x"].tolist(), layout.x)
            ax.set_title(folded(panel, int(TITLE * width / WIDTH) // columns))
            ax.set_ylabel(str(table["measure"].iloc[0]) if index % columns == 0 else "")
            ax.set_xlabel(ax.get_xlabel() if index + columns >= len(panels) else "")
            ax.tick_params(labelbottom=index + columns >= len(panels))
        for ax in axes[len(panels) :]:
            ax.remove()
        legend(figure, _handles(layout, colors, styles, table), length=2.4)
        measured = {"value": str(table["measure"].iloc[0]).replace("\n", " ")} if "value" in table else STEPS
        named = [one for one in ("study", "cell", "world", "seed") if one in table]
        numbers = numbers_of(name, table, {one: one for one in named} | measured)
        return rendered(name, figure, _caption(comparison, layout, name, table), numbers)


def _styles(table: pd.DataFrame) -> Styles:
    """Hue and dash of every world; of pairs the hue of a difference."""
    worlds = [str(world) for world in table["world"].unique()]
    styles = {world: world_style(world, worlds) for world in worlds}
    return {world: (GAP_COLOR if "pairs" in table else hue, dash) for world, (hue, dash) in styles.items()}


def _places(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every run in its panels, as in `Comparison.panels`, with its cell's ``x``, ``color`` and ``panel``."""
    panels = comparison.panels()
    panels = panels[among(panels["cell_id"], comparison.runs.loc[comparison.runs["world"] != "ideal", "cell_id"])]
    names = [layout.x, *([layout.color] if layout.color else []), *layout.panels]
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    values = real.drop_duplicates("cell_id").set_index("cell_id")[names]
    across = values[layout.x]
    words = {
        "x": across.map(setting) if across.isna().any() else across,
        "color": values[layout.color].map(setting) if layout.color else "",
        "panel": [", ".join(f"{name} {setting(row[name])}" for name in layout.panels) for _, row in values.iterrows()],
    }
    return panels.join(pd.DataFrame(words, index=values.index), on="cell_id").reset_index(drop=True)


def _grokking(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Bounds of every run's grokking step, with its place."""
    bounds = event_bounds(comparison.runs, "grokking").assign(run_id=comparison.runs["run_id"])
    bounds["budget"] = comparison.runs["last_step"].astype(float)
    table = _places(comparison, layout).merge(bounds.dropna(subset="outcome"), on="run_id")
    return table.assign(measure=f"grokking ({UNITS[comparison.axis].plural})")


def final_metric(comparison: Comparison) -> str:
    """The metric of the final errors: the answer's where that is about one, else the test error."""
    answer = answering(comparison)
    named = answer.metric if answer.effect == "effect_final_error" else None
    return named if named is not None and named.startswith("test_") else "test_error"


def _final_error(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every finished run's last test error, as ``value``, with its place."""
    metric = final_metric(comparison)
    table = _places(comparison, layout).assign(measure=f"{metric.replace('_', ' ')} at the end")
    table["value"] = table["run_id"].map(comparison.final(metric))
    return table[np.isfinite(table["value"].astype(float))]


def _bootstrap_error(comparison: Comparison, layout: Layout) -> pd.DataFrame:
    """Every pair's bootstrap error at the first step of `bootstrap_pairs` at which there is one, with its place."""
    tables = {when: pairs.dropna(subset="bootstrap_error") for when, pairs in bootstrap_pairs(comparison).items()}
    when, pairs = next(((when, pairs) for when, pairs in tables.items() if len(pairs)), ("end", tables["end"]))
    metrics = " and ".join(sorted(str(name).replace("_", " ") for name in pairs["metric"].unique()))
    named = pairs[["run_id", "bootstrap_error"]].rename(columns={"bootstrap_error": "value"})
    table = _places(comparison, layout).merge(named, on="run_id")
    return table.assign(measure=f"bootstrap error {AT_STEP[when]}\n({metrics})", pairs=True)


def _handles(layout: Layout, colors: list[str], styles: Styles, table: pd.DataFrame) -> list[Line2D]:
    """Legend entries: worlds by hue and dash, values by tone and marker, and runs that never grokked."""
    short = (layout.color or "").rsplit(".", 1)[-1]
    handles = []
    if len(styles) > 1 or "pairs" not in table:
        for world, (hue, dash) in styles.items():
            handles.append(Line2D([], [], color=hue, linestyle=dash, linewidth=1.8, label=f"{world} world"))
    for n, value in enumerate(colors if layout.color else []):
        style: dict[str, Any] = {"color": tone(GREY, n, len(colors)), "marker": MARKERS[n % len(MARKERS)]}
        handles.append(Line2D([], [], linestyle="", markersize=5, label=f"{short} {value}", **style))
    if "outcome" in table and (table["outcome"] == "censored").any():
        open_mark: dict[str, Any] = {"color": GREY, "linestyle": "", "markerfacecolor": "none"}
        handles.append(Line2D([], [], marker="^", markersize=6, label="never grokked", **open_mark))
    return handles


def _caption(comparison: Comparison, layout: Layout, name: str, table: pd.DataFrame) -> str:
    """What is drawn and what to look for: lines, triangles and dashes only where the figure has them."""
    what = _what(comparison, name, table, joined=_joins(table))
    color = f", in tones and markers by {layout.color}" if layout.color else ""
    panels = f", a panel for each {' and '.join(layout.panels)}" if layout.panels else ""
    return f"{what} Over {layout.x}{color}{panels}; {seed_counts(comparison.panels())}.{UNITS[comparison.axis].note}"


def _what(comparison: Comparison, name: str, table: pd.DataFrame, *, joined: bool) -> str:
    """The marks of an effect plot in words, and what to look for."""
    words, measure = " joined" if joined else "", str(table["measure"].iloc[0]).split("\n")[0].capitalize()
    if name == "effect_grokking":
        look = f"{_open_marks(table)}{_beside_ideal(table) if joined else ''}"
        intervals = "95 % intervals of the median where there are 6 runs or more"
        return f"Grokking step of every run, with the medians{words} and {intervals}.{look}"
    if name == "effect_final_error":
        bump = _bump(table) if joined else ""
        intervals = "95 % t intervals where there are 3 runs or more"
        return f"{measure} in {_worlds(table)}, with the means{words} and {intervals}.{bump}"
    drawn, every = table["run_id"].nunique(), len(comparison.pairs())
    pairs = "every pair" if drawn == every else f"{drawn} of {every} pairs, the others having no value there"
    return (
        f"{measure} of {pairs}, with the means{words} and 95 % t intervals where there are 3 pairs or more. Above the "
        "grey line the pool costs something; on it, it costs nothing; below it, repeated samples are ahead."
    )


def _joins(table: pd.DataFrame) -> bool:
    """Whether some line has two places: a sweep of two settings that change together has a cell a line."""
    if "outcome" in table:
        cells = table.groupby(["panel", "color", "world", "x"])
        medians = [(key[:3], median_bounds(cell["low"], cell["high"])) for key, cell in cells]
        lines = Counter(line for line, median in medians if median and np.isfinite(median.high))
        return max(lines.values(), default=0) > 1
    return bool((table.groupby(["panel", "color", "world"])["x"].nunique() > 1).any())


def _open_marks(table: pd.DataFrame) -> str:
    """Sentences on the runs without a step, where there are some."""
    if "outcome" not in table:
        return ""
    never, broken = (table["outcome"] == "censored").any(), table["outcome"].isin(BROKEN).any()
    triangles = " Open triangles are runs that had not grokked by their last step: their step lies above."
    crosses = " Crosses are runs that diverged or failed, at their last step."
    return f"{triangles if never else ''}{crosses if broken else ''}"


def _beside_ideal(table: pd.DataFrame) -> str:
    sentence = " Look at how far a line lies above the dashed one, which is the ideal world."
    return sentence if {"real", "ideal"} <= set(table["world"]) else ""


def _worlds(table: pd.DataFrame) -> str:
    worlds = list(map(str, table["world"].unique()))
    return "both worlds" if len(worlds) == 2 else f"the {worlds[0]} world" if len(worlds) == 1 else "all worlds"


def _bump(table: pd.DataFrame) -> str:
    look = "where the worlds part, and whether" if table["world"].nunique() > 1 else "whether"
    return f" Look at {look} a line has a bump."

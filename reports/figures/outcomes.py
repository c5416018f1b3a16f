"""A map of two swept settings: in which outcome classes runs of each square end, on a pool and in the ideal world."""

from itertools import product
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.facets import NARROW, TITLE, WIDTH, Drawing, folded, rc_style, rendered
from deepboot.reports.figures.maps import MOST_MAPS, map_settings, panel_name
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.style import COLORS, SMALLEST, new_axes
from deepboot.reports.figures.theme import SQUARES, mixed
from deepboot.reports.measures.classes import CLASSIFIERS, NOT_MEASURED, classify, named_classifiers
from deepboot.reports.text import plural, setting

NAME = "outcome_map"
BAR = 0.8, 0.4  # width and height of a square's bar


def draw_outcome_map(comparison: Comparison) -> Drawing | None:
    """Shares of the classes that the study's first classifier sorts runs into, over the settings of `draw_phase_map`.

    None without such a map, or where no claim or published number is about a class.
    """
    named, runs = named_classifiers(comparison), comparison.runs[comparison.runs["world"] != "ideal"]
    over = map_settings(runs)
    if not named or not over:
        return None
    classifier, settings = named[0]
    outcomes = classify(comparison, classifier, settings).set_index("run_id")["outcome"].fillna(NOT_MEASURED)
    tables = {"real": _placed(runs, runs["run_id"], over, outcomes)}
    if runs["ideal_run_id"].isin(outcomes.index).any():
        tables["ideal"] = _placed(runs, runs["ideal_run_id"], over, outcomes)
    known = [*CLASSIFIERS[classifier].outcomes, *sorted(set(outcomes) - set(CLASSIFIERS[classifier].outcomes))]
    caption = (
        f"How runs end, over {over[0]} and {over[1]}, by {CLASSIFIERS[classifier].source} classes: a bar is all runs "
        "of a square, and each part the share of a class, from the palest, the first of the legend, to the darkest. "
        "Written in: how many of how many are of the most frequent class. The ideal world's bars are of the partners "
        f"of the runs on a pool. {plural(len(runs), 'run')} on a pool."
    )
    runs_of = [table.assign(world=world).groupby(["world", *over, "outcome"]).size() for world, table in tables.items()]
    numbers = numbers_of(NAME, pd.concat(runs_of).rename("runs").reset_index(), ["world", *over, "outcome", "runs"])
    with mpl.rc_context(rc_style(NAME)):
        wide, narrow = (
            rendered(NAME, _figure(tables, over, known, width), caption, numbers) for width in (WIDTH, NARROW)
        )
    return wide.with_narrow(narrow)


def plot_outcomes(
    table: pd.DataFrame, *, over: tuple[str, str], outcomes: list[str], color: str, ax: Axes | None = None
) -> Axes:
    """A bar for every pair of two settings, of the shares of outcome classes, in tones of one hue.

    Args:
        table: the two settings and ``outcome``, one row per run.
        over: the settings across and up.
        outcomes: classes from the palest to the darkest.
        color: the hue.
        ax: where to draw; new axes otherwise.
    """
    ax = ax or new_axes()
    values = [sorted(table[name].unique()) for name in over]
    width, height = BAR
    for across, up in product(*map(range, map(len, values))):
        own = table[(table[over[0]] == values[0][across]) & (table[over[1]] == values[1][up])]["outcome"]
        counts, left = own.value_counts(), across + (1 - width) / 2
        for rank, outcome in enumerate(outcomes):
            share = width * counts.get(outcome, 0) / max(len(own), 1)
            if share:
                ax.barh(
                    up + 0.65,
                    share,
                    height,
                    left,
                    color=class_color(color, rank, len(outcomes)),
                    gid=f"share {outcome}",
                )
            left += share
        if len(own):
            text = f"{counts.max()} of {len(own)}"
            ax.text(across + 0.5, up + 0.25, text, ha="center", va="center", fontsize=SMALLEST)
    for axis, own_values in zip((ax.xaxis, ax.yaxis), values, strict=True):
        axis.set_ticks([n + 0.5 for n in range(len(own_values))], [setting(value) for value in own_values])
    ax.tick_params(length=0)
    ax.set(xlabel=over[0], ylabel=over[1], xlim=(0, len(values[0])), ylim=(0, len(values[1])))
    return ax


def class_color(color: str, rank: int, count: int) -> str:
    """A hue's tone for one of several classes, further from each other than those of cells."""
    first, last = SQUARES
    return mixed(color, first + (last - first) * rank / max(count - 1, 1))


def _placed(runs: pd.DataFrame, ids: pd.Series, over: list[str], outcomes: pd.Series) -> pd.DataFrame:
    """The settings of runs on a pool with the outcome of these runs, each once at its place in the map."""
    table = runs[over].assign(id=ids, outcome=ids.map(outcomes)).dropna(subset="outcome")
    panels = [panel_name(over[2:], values) for values in table[over[2:]].itertuples(index=False, name=None)]
    return table.assign(panel=panels).drop_duplicates([*over, "id"])


def _figure(tables: dict[str, pd.DataFrame], over: list[str], outcomes: list[str], width: float) -> Figure:
    """A map for each world and value of the further settings, under one legend."""
    panels = list(dict.fromkeys(tables["real"]["panel"]))[: MOST_MAPS // len(tables)]
    maps = [(world, panel) for panel in panels for world in tables]
    columns = min(len(maps), 2 if width == WIDTH else 1)
    rows = -(-len(maps) // columns)
    height = 0.9 + 0.55 * tables["real"][over[1]].nunique()
    figure = Figure(figsize=(width, 0.4 + 0.2 * len(outcomes) + height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for (world, panel), ax in zip(maps, axes, strict=False):
        own = tables[world][tables[world]["panel"] == panel]
        plot_outcomes(own, over=(over[0], over[1]), outcomes=outcomes, color=COLORS[world], ax=ax)
        title = ", ".join(filter(None, ("on a pool" if world == "real" else "ideal world", panel)))
        ax.set_title(folded(title, int(TITLE * width / WIDTH) // columns))
    for ax in axes[len(maps) :]:
        ax.remove()
    handles = [_patch(world, outcomes, rank) for world in tables for rank in range(len(outcomes))]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(tables))  # a column for each world
    return figure


def _patch(world: str, outcomes: list[str], rank: int) -> Any:
    words = outcomes[rank] + (", ideal" if world == "ideal" else "")
    return Patch(color=class_color(COLORS[world], rank, len(outcomes)), label=words)

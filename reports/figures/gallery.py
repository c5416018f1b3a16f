"""The figures that a report shows, in its order: the one that answers first, and every cell in some page of curves."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd

from deepboot.bootstrap.results import among
from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.answering import answering
from deepboot.reports.figures.bootstrap_error import draw_bootstrap_error
from deepboot.reports.figures.cells import draw_scatter, draw_survival
from deepboot.reports.figures.delays import draw_delays
from deepboot.reports.figures.effect import draw_effects, draw_effects_together, layout_of
from deepboot.reports.figures.events import draw_incidence, draw_steps
from deepboot.reports.figures.facets import MOST_PANELS, Drawing
from deepboot.reports.figures.learned import draw_learned
from deepboot.reports.figures.maps import draw_phase_map
from deepboot.reports.figures.numbers import numbers_of
from deepboot.reports.figures.outcomes import draw_outcome_map
from deepboot.reports.figures.probes import draw_probes
from deepboot.reports.figures.worlds import draw_worlds
from deepboot.reports.measures.events import event_times
from deepboot.reports.tables.table import Table
from deepboot.reports.time_axis import Axis

BY_STEPS = " It stays on steps: runs are evaluated at the same steps, not at the same seconds."
MOST_PAGES = 6  # of one figure; a sweep of more cells has the others in its effect plots and tables


def draw_all(comparison: Comparison, axis: Axis = "step") -> list[Drawing]:
    """Every figure for which there are data, over steps, samples seen or seconds.

    The figure of what the page's answer speaks of comes first: of a sweep the effect of its settings, of other studies
    curves of both worlds. The other effects and curves follow, which a page shows as one interactive figure each.

    Args:
        comparison: in steps.
        axis: the unit of time.
    """
    timed = comparison.over(axis)
    times = event_times(timed)
    drawings = [
        *draw_effects(timed),
        draw_phase_map(timed),
        *paged(lambda page: draw_worlds(page, "test_error", times), timed),
        *paged(lambda page: draw_worlds(page, "test_soft_error", times), timed),
        draw_outcome_map(comparison),
        *_probes(comparison, axis),
        *paged(lambda page: _bootstrap_error(page, axis), comparison),
        *paged(draw_steps, timed),
        *paged(draw_delays, timed),
        draw_learned(comparison),
        draw_scatter(comparison),
        *paged(draw_survival, timed),
        *paged(draw_incidence, timed),
    ]
    known = [drawing for drawing in drawings if drawing]
    answer = answering(comparison)
    first = answer.effect if layout_of(comparison) else answer.curves
    return sorted(known, key=lambda one: (one.continues or one.name) != first)


def draw_together(comparison: Comparison, parts: Mapping[str, Comparison], axis: Axis = "step") -> list[Drawing]:
    """What compares between several studies: effects of the settings that all of them sweep, or curves if none does.

    Args:
        comparison: of all studies, in steps.
        parts: the comparison of each study, by its name.
        axis: the unit of time.
    """
    timed = comparison.over(axis)
    if any(layout_of(part) for part in parts.values()):
        return draw_effects_together(timed, {name: part.over(axis) for name, part in parts.items()})
    times = event_times(timed)
    drawings = [*paged(lambda page: draw_worlds(page, "test_error", times), timed), *paged(draw_steps, timed)]
    return [replace(one, numbers=one.numbers or _curve_means(timed)) for one in drawings]


def _curve_means(comparison: Comparison) -> Table:
    """Means of every cell's and world's test error, of the runs that were evaluated at each step."""
    groups = comparison.curves(["test_error"]).groupby(["cell", "world", "step"], sort=False)["test_error"]
    means = groups.agg(["mean", "size"]).reset_index()
    columns = {"cell": "cell", "world": "world", "step": "step", "mean": "mean test error", "size": "runs"}
    return numbers_of("test_error", means, columns)


def paged(draw: Callable[[Comparison], Drawing | None], comparison: Comparison) -> list[Drawing]:
    """A figure of the first cells, and its continuations with the others, a few cells each."""
    panels = comparison.panels()
    pooled = panels[panels["world"] != "ideal"]
    cells = list(dict.fromkeys((pooled if len(pooled) else panels)["cell_id"]))
    if len(cells) <= MOST_PANELS:
        return [one for one in [draw(comparison)] if one]
    pages: list[Drawing] = []
    for first in range(0, min(len(cells), MOST_PAGES * MOST_PANELS), MOST_PANELS):
        page = cells[first : first + MOST_PANELS]
        drawing = draw(_only(comparison, panels.loc[panels["cell_id"].isin(page), "run_id"]))
        if drawing:
            numbers = f"cells {first + 1} to {first + len(page)} of {len(cells)}"
            pages.append(_page(drawing, pages[0] if pages else None, len(pages) + 1, numbers))
    return pages


def _page(drawing: Drawing, start: Drawing | None, number: int, cells: str) -> Drawing:
    """A drawing as one of several pages of the same figure."""
    if start is None:
        return replace(drawing, caption=f"{drawing.caption} Shown: {cells}.", cells=cells)
    return replace(drawing, name=f"{drawing.name}-{number}", continues=start.name, cells=cells)


def _only(comparison: Comparison, run_ids: pd.Series) -> Comparison:
    return replace(comparison, runs=comparison.runs[among(comparison.runs["run_id"], run_ids)])


def _probes(comparison: Comparison, axis: Axis) -> list[Drawing]:
    """Probes over samples if that is the axis, else over steps."""
    if axis != "seconds":
        return draw_probes(comparison.over(axis))
    return [replace(drawing, caption=drawing.caption + BY_STEPS) for drawing in draw_probes(comparison)]


def _bootstrap_error(comparison: Comparison, axis: Axis) -> Drawing | None:
    """The bootstrap error over samples if that is the axis, else over steps."""
    if axis != "seconds":
        return draw_bootstrap_error(comparison.over(axis))
    drawing = draw_bootstrap_error(comparison)
    return drawing and replace(drawing, caption=drawing.caption + BY_STEPS)

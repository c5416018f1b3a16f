"""The figures that a report shows, in its order."""

from dataclasses import replace

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.bootstrap_error import draw_bootstrap_error
from deepboot.reports.figures.cells import draw_phase_map, draw_scatter, draw_survival
from deepboot.reports.figures.delays import draw_delays
from deepboot.reports.figures.events import draw_incidence, draw_steps
from deepboot.reports.figures.facets import Drawing, draw_worlds
from deepboot.reports.figures.learned import draw_learned
from deepboot.reports.figures.probes import draw_probes
from deepboot.reports.time_axis import Axis

BY_STEPS = " It stays on steps: runs are evaluated at the same steps, not at the same seconds."


def draw_all(comparison: Comparison, axis: Axis = "step") -> list[Drawing]:
    """Every figure for which there are data, over steps, samples seen or seconds.

    Args:
        comparison: in steps.
        axis: the unit of time.
    """
    timed = comparison.over(axis)
    drawings = [
        draw_worlds(timed, "test_error"),
        draw_worlds(timed, "test_soft_error"),
        *_probes(comparison, axis),
        draw_learned(comparison),
        _bootstrap_error(comparison, axis),
        draw_scatter(comparison),
        draw_steps(timed),
        draw_delays(timed),
        draw_survival(timed),
        draw_incidence(timed),
        draw_phase_map(timed),
    ]
    return [drawing for drawing in drawings if drawing]


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

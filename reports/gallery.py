"""The figures that a report shows, in its order."""

from reports.compare import Comparison
from reports.panels import Drawing, draw_bootstrap_error, draw_steps, draw_worlds
from reports.panels_across import draw_phase_map, draw_scatter, draw_survival


def draw_all(comparison: Comparison) -> list[Drawing]:
    """Every figure for which there are data."""
    drawings = [
        draw_worlds(comparison, "test_error"),
        draw_worlds(comparison, "test_soft_error"),
        draw_bootstrap_error(comparison),
        draw_scatter(comparison),
        draw_steps(comparison),
        draw_survival(comparison),
        draw_phase_map(comparison),
    ]
    return [drawing for drawing in drawings if drawing]

"""The Bokeh figures, without their data: a script in the page fills them from `curves` and `effects`.

Bokeh is imported when a figure is made, so that a comparison does not wait for it.
"""

from typing import TYPE_CHECKING, Any

from deepboot.reports.figures.style import GREY
from deepboot.reports.interactive.curves import in_order, number

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812 (Bokeh's own name of its class)

TOOLS = "pan,box_zoom,wheel_zoom,reset"
WIDE = 10  # from this ratio of largest to smallest on, a swept number is drawn on a log axis
MOST_PANELS = 9  # values of a third setting that have a panel each
MOST_TICKS = 12  # swept numbers that have a tick each
KEPT: dict[str, Any] = {"nonselection_line_alpha": 1.0, "nonselection_fill_alpha": 0.5}
NO_VALUE = "#bbbbbb"
LINES: dict[str, Any] = {"line_color": "color", "line_dash": "dash", "line_alpha": "alpha"}
LINE_TIP = [("", "@what"), ("world", "@world"), ("cell", "@cell"), ("at", "$snap_x{0,0.[00]}"),
            ("value", "$snap_y{0.[0000]}")]  # fmt: skip
CENTRED: dict[str, Any] = {"text_align": "center", "text_baseline": "middle", "nonselection_text_alpha": 1.0}
CELL_TIP = [("cell", "@cell"), ("world", "@world"), ("", "@text")]
# 1, 2 and 5 times the powers of ten; these alone over many decades, and even steps in less than one.
LOG_TICKS = """
const {start, end} = cb_data.range, decades = Math.log10(end / start), ticks = [];
if (decades < 0.7) {
  const ten = 10 ** Math.floor(Math.log10(end - start)), step = (end - start) / ten < 3 ? ten / 2 : ten;
  for (let n = Math.ceil(start / step); n * step <= end; n++) ticks.push(n * step);
} else {
  for (let power = Math.floor(Math.log10(start)); power <= Math.log10(end); power++) {
    for (const digit of decades > 4 ? [1] : [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  }
}
return ticks.filter((tick) => start <= tick && tick <= end);
"""
LOG_LABEL = 'return tick.toLocaleString("en-US", {maximumSignificantDigits: 4});'


def curves_figure() -> "Figure":
    """Lines of runs under means and bands, against time, with marks of events, and the chance level across."""
    from bokeh.models import BoxZoomTool, ColumnDataSource, HoverTool

    plot: Any = _plot("curves", height=400)
    band, lines, marks = (
        ColumnDataSource({name: [] for name in ("xs", "ys", "color", "alpha", *more)}, name=f"curves {kind}")
        for kind, more in (
            ("band", ()),
            ("lines", ("dash", "width", "what", "world", "cell")),
            ("marks", ("marker",)),
        )
    )
    plot.patches("xs", "ys", source=band, fill_color="color", fill_alpha="alpha", line_color=None)
    levels = ColumnDataSource({"y": []}, name="curves chance")
    plot.hspan(y="y", source=levels, line_color=GREY, line_dash=[1, 4], line_width=1.4)
    drawn = plot.multi_line("xs", "ys", source=lines, line_width="width", **LINES)
    plot.scatter("xs", "ys", source=marks, marker="marker", size=7, color="color", alpha="alpha", line_width=1.5)
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=LINE_TIP, line_policy="nearest"))
    plot.toolbar.active_drag = plot.select_one(BoxZoomTool)
    return plot


def effect_figures(settings: list[str], cells: list[dict[str, Any]]) -> "list[Figure]":
    """A plot over one swept setting, and a heat map of two where there are so many; one per panel of each.

    Those of the first panel are named ``effect`` and ``map``, those of the second ``effect-1`` and ``map-1``, …
    """
    if not settings:
        return []
    values = [in_order(cell["values"][place] for cell in cells) for place in range(len(settings))]
    across, *rest = roles(settings, cells)
    axes = sorted((across, *rest[:1]))
    names = ["", *(f"-{number}" for number in range(1, len(panel_values(settings, cells))))]
    several = bool(rest)
    plots = [_effect_plot(f"effect{name}", settings[across], values[across], several=several) for name in names]
    if not several:
        return plots
    maps = [_heat_map(f"map{name}", [settings[one] for one in axes], [values[one] for one in axes]) for name in names]
    return [*plots, *maps]


def roles(settings: list[str], cells: list[dict[str, Any]]) -> list[int]:
    """Places of the settings as they are drawn: the one across, by tone, by panel; further ones are in menus only.

    Across is the first one that has numbers only, as in the static figures.

    >>> roles(["loss", "lr"], [{"values": ["mse", "0.1"]}, {"values": ["hinge", "0.1"]}])
    [1, 0]
    """
    places = range(len(settings))
    numeric = (all(number(cell["values"][place]) is not None for cell in cells) for place in places)
    across = next((place for place, known in enumerate(numeric) if known), 0)
    return sorted(places, key=lambda place: place != across)


def panel_values(settings: list[str], cells: list[dict[str, Any]]) -> list[str]:
    """The values of the third setting, one per panel; none where there is no third one, or one of a great many values.

    >>> panel_values(["lr", "loss", "width"], [{"values": ["0.1", "mse", "16"]}, {"values": ["0.1", "mse", "32"]}])
    ['16', '32']
    """
    if len(settings) < 3:
        return []
    third = roles(settings, cells)[2]
    values = in_order(cell["values"][third] for cell in cells)
    return values if 1 < len(values) <= MOST_PANELS else []


def _heat_map(name: str, settings: list[str], values: list[list[str]]) -> "Figure":
    from bokeh.models import ColumnDataSource, FactorRange, HoverTool, LinearColorMapper, TapTool
    from bokeh.models.annotations import ColorBar
    from bokeh.plotting import figure

    plot: Any = figure(
        name=name, height=160 + 34 * min(len(values[1]), 12), sizing_mode="stretch_width",
        x_range=FactorRange(factors=values[0]), y_range=FactorRange(factors=values[1]),
        tools="", toolbar_location=None, x_axis_label=settings[0], y_axis_label=settings[1],
    )  # fmt: skip
    columns = ("x", "y", "value", "text", "cell", "world", "label", "ink")
    squares = ColumnDataSource({column: [] for column in columns}, name=f"{name} cells")
    colors = LinearColorMapper(palette=[NO_VALUE], low=0, high=1, nan_color=NO_VALUE, name=f"{name} colors")
    style: dict[str, Any] = {"fill_color": {"field": "value", "transform": colors}, "line_color": None}
    style |= {"nonselection_fill_alpha": 0.45, "selection_line_color": GREY, "selection_line_width": 2}
    drawn = plot.rect("x", "y", 0.96, 0.96, source=squares, **style)
    plot.text("x", "y", "label", source=squares, text_color="ink", text_font_size="12px", **CENTRED)
    bar = ColorBar(color_mapper=colors, height=10, padding=4, background_fill_color=None, name=f"{name} bar")
    plot.add_layout(bar, "above")  # there its title has the whole width
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=CELL_TIP), TapTool(renderers=[drawn]))
    plot.grid.visible = False
    return _bare(plot)


def _effect_plot(name: str, setting: str, values: list[str], *, several: bool) -> "Figure":
    from bokeh.models import BoxZoomTool, ColumnDataSource, FixedTicker, HoverTool, TapTool

    numbers = [number(value) for value in values]
    known = [value for value in numbers if value is not None]
    numeric = len(known) == len(values) and len(values) > 1
    log = numeric and min(known) > 0 and max(known) >= WIDE * min(known)
    plot: Any = _plot(name, height=360 if several else 300, factors=None if numeric else values)
    plot.xaxis.axis_label = setting
    plot.tags = ["log" if log else "linear" if numeric else "factors"]
    points = ColumnDataSource(
        {column: [] for column in (
            "x", "y", "low", "high", "color", "edge", "size", "fill", "marker", "text", "cell", "world")},
        name=f"{name} cells",
    )  # fmt: skip
    if len(known) <= MOST_TICKS and numeric:
        for ruler in plot.xaxis:
            ruler.ticker = FixedTicker(ticks=sorted(known))
    zero = ColumnDataSource({"y": []}, name=f"{name} zero")
    plot.hspan(y="y", source=zero, line_color=GREY, line_width=0.8)
    runs = ColumnDataSource({column: [] for column in ("x", "y", "color", "fill", "marker")}, name=f"{name} runs")
    plot.scatter("x", "y", source=runs, marker="marker", size=5, color="color", line_alpha=0.5, fill_alpha="fill")
    links = ColumnDataSource({column: [] for column in ("xs", "ys", "color", "dash", "alpha")}, name=f"{name} links")
    plot.multi_line("xs", "ys", source=links, line_width=1.2, **LINES)
    plot.segment("x", "low", "x", "high", source=points, line_color="color", line_width=2)
    look: dict[str, Any] = {"marker": "marker", "size": "size", "fill_color": "color", "line_color": "edge"}
    marks = plot.scatter("x", "y", source=points, fill_alpha="fill", **look, **KEPT)
    plot.add_tools(HoverTool(renderers=[marks], tooltips=CELL_TIP), TapTool(renderers=[marks]))
    plot.toolbar.active_drag = plot.select_one(BoxZoomTool)
    return plot


def _plot(name: str, *, height: int, tools: str = TOOLS, factors: list[str] | None = None) -> "Figure":
    """An empty figure with a linear and a log axis each way, of which the script shows one."""
    from bokeh.models import BasicTickFormatter, FactorRange, Grid, LinearAxis, Range1d
    from bokeh.plotting import figure

    x_range = Range1d(start=0, end=1) if factors is None else FactorRange(factors=factors)
    plot: Any = figure(
        name=name, height=height, sizing_mode="stretch_width", tools=tools, x_range=x_range,
        y_range=Range1d(start=0, end=1), x_axis_type=None if factors is None else "auto", y_axis_type=None,
        toolbar_location="above",
    )  # fmt: skip
    for side, place in (("x", "below"), ("y", "left")):
        if side == "x" and factors is not None:
            continue
        written = BasicTickFormatter(power_limit_low=-4)  # 0.005 rather than 5.000e-3
        rulers = {"linear": LinearAxis(formatter=written, visible=False), "log": _log_axis()}
        for kind, ruler in rulers.items():
            ruler.name = f"{name} {side} {kind}"
            plot.add_layout(ruler, place)
            plot.add_layout(
                Grid(axis=ruler, dimension=0 if side == "x" else 1, name=f"{ruler.name} grid", visible=False)
            )
    return _bare(plot)


def _log_axis() -> Any:
    """A hidden log axis whose ticks are labelled between the decades too, in full: the usual one leaves out most."""
    from bokeh.models import CustomJSTicker, CustomJSTickFormatter, LogAxis, NoOverlap

    written: dict[str, Any] = {  # Bokeh's types know only the usual ones of a log axis
        "ticker": CustomJSTicker(major_code=LOG_TICKS),
        "formatter": CustomJSTickFormatter(code=LOG_LABEL),
    }
    return LogAxis(**written, major_label_policy=NoOverlap(), visible=False)


def _bare(plot: Any) -> "Figure":
    """No background of its own, so that the page's shows, and ink comes from the script."""
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.toolbar.logo = None
    return plot

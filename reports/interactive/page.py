"""One piece of HTML with the figures, their data and the library that draws them: nothing is asked of a network."""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.style import DASHES, GAP_COLOR, GREY, ordered, world_style
from deepboot.reports.figures.theme import HUES, SQUARES, TONES
from deepboot.reports.interactive.curves import MEASURES, curves_of, note_on
from deepboot.reports.interactive.effects import effects_of
from deepboot.reports.interactive.figures import curves_figure, effect_figures, panel_values, roles
from deepboot.reports.text import listed
from deepboot.reports.time_axis import UNITS

View = Literal["worlds", "effect", "bootstrap_error"]
ASSETS = Path(__file__).parent / "assets"
# Static figures of a page that show the same as an interactive one, which covers them on a screen. The figure of the
# bootstrap error over steps is not among them: it also has the claimed regions and the band of the whole curve.
COVERED = {
    "effect": ("effect_grokking", "effect_bootstrap_error", "effect_final_error", "phase_map"),
    "curves": ("test_error", "test_soft_error"),
}
DASH = 2  # pixels of a dash for each of the style's points


def interactive(
    comparison: Comparison,
    *,
    view: View = "effect",
    numbers: Mapping[str, int] = MappingProxyType({}),
    prefix: str = "",
    first: bool = True,
) -> Markup:
    """The figures as a piece of a page; empty where no run has been evaluated.

    Curves are shown over steps, samples or seconds, on log or linear axes, by error, soft error or loss, world by
    world and cell by cell. The script hides the page's static figures on screens once it has drawn, and leaves
    them to print, to screen readers and to pages without JavaScript.

    Args:
        comparison: in steps.
        view: curves of both worlds, their bootstrap error, or, over the curves, what came of swept settings; without
            any, "effect" is the curves alone.
        numbers: of the page's static figures, by name; a figure and its interactive form share one. Empty outside a
            page.
        prefix: of the static figures' identifiers, where a page holds those of several studies.
        first: whether it is the first one of its page, which holds the library that draws all of them.
    """
    if comparison.evaluations.empty:
        return Markup()
    payload = payload_of(comparison, view) | {"numbers": dict(numbers)}
    covered = {form: [name for name in names if name in numbers] for form, names in COVERED.items()}
    return _rendered(
        "figure.html.j2",
        library=_library() if first else "",
        data=_packed(json.dumps(payload, separators=(",", ":"), allow_nan=False)),
        style=Markup((ASSETS / "figure.css").read_text()),
        script=Markup((ASSETS / "figure.js").read_text()),
        replaces=" ".join(f"figure-{prefix}{name}" for names in covered.values() for name in names),
        prefix=prefix,
        first=first,
        stands_for={form: _named([numbers[name] for name in names]) for form, names in covered.items()},
    )


def _named(numbers: list[int]) -> str:
    """The figures of these numbers in words.

    >>> _named([1, 2, 3, 4]), _named([5]), _named([])
    ('Figures 1 to 4', 'Figure 5', '')
    """
    whole = len(numbers) > 2 and sorted(numbers) == list(range(min(numbers), max(numbers) + 1))
    words = f"{min(numbers)} to {max(numbers)}" if whole else listed(map(str, sorted(numbers)), " and ")
    return f"Figure{'s' if len(numbers) > 1 else ''} {words}" if numbers else ""


def payload_of(comparison: Comparison, view: View = "effect") -> dict[str, Any]:
    """Everything that the script draws from, of types that JSON has."""
    from bokeh.embed import json_item

    curves = curves_of(comparison)
    effects = effect_figures(curves.settings, curves.cells) if view == "effect" else []
    worlds = ordered(comparison.runs["world"])
    styles = {world: world_style(world, worlds) for world in worlds}
    return {
        **vars(curves),  # not a copy of every number, as `asdict` makes
        "view": "bootstrap_error" if view == "bootstrap_error" else "worlds",
        "worlds": [{"name": name, **_style(color, dash)} for name, (color, dash) in styles.items()],
        "difference": _style(GAP_COLOR, DASHES["real"]),
        "neutral": _style(GREY, DASHES["real"]),
        "tones": [TONES[0], TONES[-1]],
        "squares": SQUARES,
        "effects": effects_of(comparison) if effects else [],
        "gap_metric": f"test_{comparison.runs['metric'].iloc[0]}",
        "roles": roles(curves.settings, curves.cells),
        "panels": panel_values(curves.settings, curves.cells),
        "measures": MEASURES,
        "times": {name: unit.label for name, unit in UNITS.items()},
        "note": note_on(curves),
        "figures": {figure.name: _numbered(json_item(figure)) for figure in (curves_figure(), *effects)},
    }


def document(comparison: Comparison, *, view: View = "effect", title: str = "Deep bootstrap") -> str:
    """The figures as a page of their own."""
    return str(_rendered("document.html.j2", figure=interactive(comparison, view=view), title=title))


def _rendered(name: str, **context: Any) -> Markup:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return Markup(environment.get_template(name).render(context))


def _numbered(item: Any) -> Any:
    """A figure whose parts are numbered from 1, not from what the process made before: same page, same bytes."""
    text = json.dumps(item)
    names = dict.fromkeys(re.findall(r'"p\d+"', text))
    numbers = {name: f'"p{number}"' for number, name in enumerate(names, start=1)}
    return json.loads(re.sub(r'"p\d+"', lambda found: numbers[found[0]], text))


@cache
def _library() -> str:
    """Bokeh's JavaScript from its own package, packed: 1.27 MB become 0.47."""
    from bokeh.resources import Resources

    return _packed("\n".join(Resources(mode="inline", components=["bokeh"]).js_raw))


def _packed(text: str) -> str:
    """A text as gzip in base64, the same bytes at every call, which a browser unpacks by itself."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _style(color: str, dash: Any) -> dict[str, Any]:
    """A hue, the page's variable that sets it by the theme, and a dash."""
    return {"color": color, "variable": f"--{HUES[color]}", "dash": _dash(dash)}


def _dash(dash: Any) -> str | list[float]:
    """A dash of matplotlib as one of Bokeh."""
    return "solid" if dash == "-" else [DASH * part for part in dash[1]]

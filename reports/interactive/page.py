"""One piece of HTML with the figures, their data and the library that draws them: nothing is asked of a network."""

import base64
import gzip
import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from deepboot.reports.comparison import Comparison
from deepboot.reports.figures.style import DASHES, GAP_COLOR, GREY, ordered, world_style
from deepboot.reports.figures.theme import HUES, SQUARES, TONES
from deepboot.reports.interactive.curves import MEASURES, curves_of, note_on
from deepboot.reports.interactive.effects import effects_of
from deepboot.reports.interactive.figures import curves_figure, effect_figure
from deepboot.reports.time_axis import UNITS

View = Literal["worlds", "effect", "bootstrap_error"]
ASSETS = Path(__file__).parent / "assets"
STATIC = ("figure-test_error", "figure-test_soft_error")  # figures of the page that show the same curves
DASH = 2  # pixels of a dash for each of the style's points


def interactive(
    comparison: Comparison, *, view: View = "effect", replaces: tuple[str, ...] = STATIC, stands_for: str = ""
) -> Markup:
    """The figures as a piece of a page; empty where no run has been evaluated.

    Curves are shown over steps, samples or seconds, on log or linear axes, by error, soft error or loss, world by
    world and cell by cell. The script hides the page's static figures on screens once it has drawn, and leaves
    them to print, to screen readers and to pages without JavaScript.

    Args:
        comparison: in steps.
        view: curves of both worlds, their bootstrap error, or, over the curves, what came of swept settings; without
            any, "effect" is the curves alone.
        replaces: identifiers of the static figures.
        stands_for: names of these figures in the page's text, such as "Figures 1 and 2"; empty outside a page.
    """
    if comparison.evaluations.empty:
        return Markup()
    payload = payload_of(comparison, view)
    return _rendered(
        "figure.html.j2",
        library=_library(),
        data=_packed(json.dumps(payload, separators=(",", ":"), allow_nan=False)),
        style=Markup((ASSETS / "figure.css").read_text()),
        script=Markup((ASSETS / "figure.js").read_text()),
        replaces=" ".join(replaces),
        stands_for=stands_for,
    )


def payload_of(comparison: Comparison, view: View = "effect") -> dict[str, Any]:
    """Everything that the script draws from, of types that JSON has."""
    from bokeh.embed import json_item

    curves = curves_of(comparison)
    effect = effect_figure(curves.settings, curves.cells) if view == "effect" else None
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
        "effects": effects_of(comparison) if effect else [],
        "measures": MEASURES,
        "times": {name: unit.label for name, unit in UNITS.items()},
        "note": note_on(curves),
        "figures": {figure.name: _numbered(json_item(figure)) for figure in (curves_figure(), effect) if figure},
    }


def document(comparison: Comparison, *, view: View = "effect", title: str = "Deep bootstrap") -> str:
    """The figures as a page of their own."""
    return str(_rendered("document.html.j2", figure=interactive(comparison, view=view, replaces=()), title=title))


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

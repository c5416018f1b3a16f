"""Estimates and intervals drawn as bars against the claimed region, as small SVG elements in the text's colour."""

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from deepboot.reports.claims.effect import Effect
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.text import count, measure

WIDTH, MARGIN = 200, 12  # of the drawing; its margins hold the arrows of open ends
SINGLE, MANY = 20, 7  # height of a row where there is one, and where there are many
TEXT = 15  # height of the line of numbers
MOST_BARS = 40
TINY = 1e-300
FAR = 4  # ratio of the ends of a positive axis from which it is logarithmic
Position = Callable[[float], float]


def bar(judgements: Sequence[Judgement]) -> Markup:
    """Every judgement's interval, a row each, over the region that the first one claims; empty without an interval.

    The region is shaded; an arrow is an end beyond the drawing. The numbers stand beside it in the page, and in its
    label for those who do not see it.
    """
    shown = [(one.verdict, one.effect) for one in judgements if one.effect and one.effect.interval][:MOST_BARS]
    if not shown:
        return Markup("")
    effects = [effect for _, effect in shown]
    position, row = _axis(effects), SINGLE if len(shown) == 1 else MANY
    height = row * len(shown)
    lines = [_interval(effect, verdict, (n + 0.5) * row, row, position) for n, (verdict, effect) in enumerate(shown)]
    return Markup(
        '<svg class="bar" viewBox="0 0 {width} {all}" role="img" aria-label="{label}">{region}{lines}</svg>'
    ).format(
        width=WIDTH,
        all=height + TEXT,
        label=_label(effects),
        region=_region(effects[0], height, position),
        lines=Markup("").join(lines),
    )


def _axis(effects: Sequence[Effect]) -> Position:
    """The place of a value across the drawing; an infinite one is at its edge."""
    ends = [end for one in effects for pair in (one.interval, one.estimate) if pair for end in pair]
    known = [end for end in (*ends, *effects[0].region) if math.isfinite(end)] or [0.0]
    low, high = min(known), max(known)
    if scaled := low > 0 and high / low >= FAR:
        low, high = math.log(low), math.log(high)
    room = 0.06 * (high - low) or 1.0
    low, high = low - room, high + room

    def position(value: float) -> float:
        if math.isinf(value) or (scaled and value <= 0):
            return WIDTH - 1.0 if value > 0 else 1.0
        at = math.log(value) if scaled else value
        return MARGIN + (at - low) / (high - low) * (WIDTH - 2 * MARGIN)

    return position


def _region(effect: Effect, height: float, position: Position) -> Markup:
    """The claimed region, shaded between lines at its finite ends, with their numbers below."""
    low, high = effect.region
    left, right = position(low), position(high)
    shade = Markup('<rect class="region" x="{:.1f}" y="0" width="{:.1f}" height="{:.1f}"/>')
    line = Markup('<path class="claimed" d="M{:.1f} 0V{:.1f}"/>')
    text = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    finite = list(dict.fromkeys(end for end in (low, high) if math.isfinite(end)))
    anchors = ["end", "start"] if len(finite) > 1 and right - left < WIDTH / 3 else ["middle", "middle"]
    written = count if effect.whole else _bound
    return Markup("").join([
        shade.format(left, max(right - left, 0.5), height),
        *(line.format(position(end), height) for end in finite),
        *(text.format(_inside(position(end)), height + TEXT - 3, anchor, written(end))
          for end, anchor in zip(finite, anchors, strict=False)),
    ])  # fmt: skip


def _bound(end: float) -> str:
    """A claimed end; the smallest numbers above and below 0, which leave out 0 itself, are written as 0."""
    return measure(0.0 if abs(end) < TINY else end)


def _inside(x: float) -> float:
    return min(max(x, 16.0), WIDTH - 16.0)


def _interval(effect: Effect, verdict: str, y: float, row: float, position: Position) -> Markup:
    """A line from end to end with arrows where it is open, and the estimate as a dot or, of two bounds, a block."""
    assert effect.interval is not None
    left, right = map(position, effect.interval)
    arrow = row / 4
    path = f"M{left:.1f} {y:.1f}H{right:.1f}"
    if left < MARGIN / 2:
        path += f"M{left + arrow:.1f} {y - arrow:.1f}L{left:.1f} {y:.1f}L{left + arrow:.1f} {y + arrow:.1f}"
    if right > WIDTH - MARGIN / 2:
        path += f"M{right - arrow:.1f} {y - arrow:.1f}L{right:.1f} {y:.1f}L{right - arrow:.1f} {y + arrow:.1f}"
    mark, size = Markup(""), row / 4.5
    if effect.estimate is not None and all(map(math.isfinite, effect.estimate)):
        first, last = map(position, effect.estimate)
        mark = Markup(
            '<rect class="estimate" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="{:.1f}"/>'
        ).format(first - size, y - size, last - first + 2 * size, 2 * size, size)
    return Markup('<g class="{}"><path class="interval" d="{}"/>{}</g>').format(verdict, path, mark)


def _label(effects: Sequence[Effect]) -> str:
    """The bars in words."""
    claimed = f"claimed: {effects[0].claimed_text}"
    if len(effects) == 1:
        return f"Estimate {effects[0].estimate_text}, interval {effects[0].interval_text}; {claimed}."
    return f"Intervals in {len(effects)} cells; {claimed}. The table of every cell has their numbers."

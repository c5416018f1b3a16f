"""Tones of the styles' colours, and the colours that a page sets by its light or dark theme.

One rule holds in every figure: hue and dash are a world (violet: a difference of two), lightness and marker a cell.
"""

import re

from matplotlib.colors import ListedColormap, to_hex, to_rgb

from deepboot.reports.figures.style import CLAIM_COLOR, COLORS, GAP_COLOR, GREY, INK, OTHERS, PALE

PAPER = "#ffffff"
# Shares of a tone's way to the paper, and below 0 to the ink: the palest one still stands out from the paper.
TONES = (0.2, 0.05, -0.1, -0.25, -0.4, -0.55)
SQUARES = (0.85, -0.55)  # of a map's colours, from the smallest to the largest value; 0 is the hue itself
MARKERS = ["o", "s", "D", "v", "P", "X", "p", "h"]  # of cells, which tell apart what has nearly one tone
LEVELS = 16  # colours of a map, each of which takes room in a page
HUES = {
    COLORS["real"]: "real", COLORS["ideal"]: "ideal", GAP_COLOR: "gap", GREY: "soft",
    **{color: f"other-{n}" for n, (color, _) in enumerate(OTHERS, start=1)},
}  # fmt: skip


def tone(color: str, rank: int, count: int) -> str:
    """A hue's tone for one of several cells, as #rrggbb: the first palest, the last darkest; one alone has the hue.

    >>> tone("#0072b2", 0, 1), tone("#0072b2", 0, 2), tone("#0072b2", 1, 2)
    ('#0072b2', '#338ec1', '#134663')
    """
    return color if count < 2 else mixed(color, TONES[round(rank / (count - 1) * (len(TONES) - 1))])


def mixed(color: str, share: float) -> str:
    """A colour so far on the way to the paper, or below 0 to the ink, as #rrggbb."""
    towards = to_rgb(PAPER if share > 0 else INK)
    red, green, blue = (part + (end - part) * abs(share) for part, end in zip(to_rgb(color), towards, strict=True))
    return to_hex((red, green, blue))


def shades(color: str) -> ListedColormap:
    """Colours of a map, from almost the paper to a dark tone of a hue."""
    first, last = SQUARES
    return ListedColormap([mixed(color, first + (last - first) * n / (LEVELS - 1)) for n in range(LEVELS)])


# The variable of every colour that follows the page.
VARIABLES = {INK: "ink", PALE: "hair", PAPER: "paper", CLAIM_COLOR: "claim", **HUES} | {
    mixed(color, share): f"{name}-t{n}" for color, name in HUES.items() for n, share in enumerate(TONES)
}


def themed(svg: str) -> str:
    """An SVG whose colours are the page's variables; outside a page each is what it was."""
    return re.sub(
        "#[0-9a-f]{6}", lambda one: f"var(--{VARIABLES[one[0]]}, {one[0]})" if one[0] in VARIABLES else one[0], svg
    )


def tone_rules() -> str:
    """The tones as variables of a style sheet that has the hues, the paper and the ink."""
    mix = "--{0}-t{1}:color-mix(in srgb,var(--{0}) {2:g}%,var(--{3}))"
    return ";".join(
        mix.format(name, n, 100 * (1 - abs(share)), "paper" if share > 0 else "ink")
        for name in HUES.values()
        for n, share in enumerate(TONES)
    )

"""The pictures of README and docs that no command of `deepboot` writes by itself.

python docs/draw.py worlds docs/figures/worlds.svg
python docs/draw.py claims docs/figures/claims.svg results/demo
python docs/draw.py page docs/figures/page.png results/demo
"""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.worlds import World
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.reports.figures.facets import rc_style
from deepboot.reports.figures.style import COLORS, GREY, PALE
from deepboot.reports.notebook import load

POOL, BATCH, STEPS = 20, 4, 18
RULES = {
    "real:\nthe same 20 again": ("real", {}),
    "ideal:\nalways fresh": ("ideal", {}),
    "fresh, share 0.25:\none of four is new": ("fresh", {"share": 0.25}),
    "sliding, shift 10:\nhalf the pool leaves": ("sliding", {"shift": 10}),
}
RATIOS = {3.0: "supported", 5.0: "inconclusive", 10.0: "refuted"}


def worlds(path: Path) -> None:
    """Draw which samples four index rules read at every step."""
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    for axes, (title, (name, settings)) in zip(figure.subplots(1, 4, sharey=True), RULES.items(), strict=True):
        rule = registry.find("rule", name).target
        world = World(rule, settings, [POOL], streams.keys([0], "order"), BATCH, capacity=None)
        for step, index_B in enumerate(world.indices(0, STEPS)[0].tolist()):
            axes.plot([step] * BATCH, index_B, ".", color=COLORS.get(name, GREY), markersize=2.2)
        axes.axvline(POOL / BATCH - 0.5, color=GREY, linewidth=0.7, linestyle=":")
        axes.set_title(title, fontweight="normal")
        axes.set_xlabel("step")
    figure.axes[0].set_ylabel("index of the sample")
    figure.savefig(path, metadata={"Date": None})


def claims(path: Path, folder: Path) -> None:
    """Draw one measured interval against three claimed regions."""
    results = load(folder)
    claimed = [{"kind": "faster", "min_ratio": ratio} for ratio in RATIOS]
    judged = judge(compare(replace(results, study={**results.study, "claims": claimed}, claims={})))
    figure = Figure(figsize=(6.4, 2.1), layout="constrained")
    axes = figure.subplots()
    for row, judgement in enumerate(judged):
        effect = judgement.effect
        assert effect is not None
        assert effect.interval is not None
        assert effect.estimate is not None
        axes.barh(-row, 14 - effect.region.low, left=effect.region.low, color=PALE, height=0.7)
        axes.plot(effect.interval, [-row, -row], color=COLORS["real"], linewidth=2)
        axes.plot(sum(effect.estimate) / 2, -row, "o", color=COLORS["real"], markersize=5)
    labels = [f"at least {ratio:g}: {verdict}" for ratio, verdict in RATIOS.items()]
    assert [judgement.verdict for judgement in judged] == list(RATIOS.values())
    axes.set_yticks([0, -1, -2], labels)
    axes.set_xlim(0, 14)
    axes.set_xlabel("how many times sooner the ideal world groks (demo, 8 pairs)")
    figure.savefig(path, metadata={"Date": None})


def page(path: Path, folder: Path) -> None:
    """Take a picture of the top of a folder's report, with Chromium, in 64 colours."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as away:
        picture = Path(away) / "page.png"
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1500"]
        url = (folder / "report.html").resolve().as_uri()
        subprocess.run(["chromium", *options, f"--screenshot={picture}", url], check=True, capture_output=True)
        with Image.open(picture) as image:
            image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    with mpl.rc_context(rc_style(sys.argv[1])):
        {"worlds": worlds, "claims": claims, "page": page}[sys.argv[1]](*map(Path, sys.argv[2:]))

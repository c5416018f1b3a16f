"""The pictures of README and docs that no command of `deepboot` writes by itself, and the outputs of the notebooks.

python docs/draw.py worlds docs/figures/worlds.svg
python docs/draw.py claims docs/figures/claims.svg results/demo
python docs/draw.py page docs/figures/page.png results/demo
python docs/draw.py notebook docs/notebooks/first_pair.ipynb
"""

import math
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from deepboot.bootstrap import registry, streams
from deepboot.bootstrap.usage import usage
from deepboot.bootstrap.worlds import World
from deepboot.reports.claims.judge import judge
from deepboot.reports.comparison import compare
from deepboot.reports.figures.facets import rc_style
from deepboot.reports.figures.style import COLORS, GREY, PALE
from deepboot.reports.notebook import load

POOL, BATCH, STEPS = 20, 4, 16
RULES = {
    "real:\nthe same 20 again": ("real", {}),
    "ideal:\nalways fresh": ("ideal", {}),
    "fresh, share 0.25:\none of four is new": ("fresh", {"share": 0.25}),
    "sliding, shift 10:\nhalf the pool leaves": ("sliding", {"shift": 10}),
    "fresh, whole_batches:\none batch of four": ("fresh", {"share": 0.25, "whole_batches": True}),
    "consecutive, times 3:\nevery batch three times": ("consecutive", {"times": 3}),
    "spacing, times 3, gap 2:\nand two steps apart": ("spacing", {"times": 3, "gap": 2}),
    "growing, first 8:\nfour more a pass": ("growing", {"first": 8, "growth": 4}),
}
RATIOS = {3.0: "supported", 5.0: "inconclusive", 10.0: "refuted"}


def worlds(path: Path) -> None:
    """Draw which samples index rules read at every step."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    for axes, (title, (name, settings)) in zip(panels.flat, RULES.items(), strict=True):
        rule = registry.find("rule", name).target
        world = World(rule, settings, [POOL], streams.keys([0], "order"), BATCH, capacity=None)
        index_D = world.indices(0, STEPS).flatten().tolist()
        ends = [end for draw in range(STEPS * BATCH) for end in (draw // BATCH - 0.25, draw // BATCH + 0.25, math.nan)]
        axes.plot(ends, np.repeat(index_D, 3), color=COLORS.get(name, GREY), linewidth=1.6)  # one path is small
        axes.set(xlim=(-0.7, STEPS - 0.3), xticks=[0, 5, 10, 15], yticks=[0, POOL, 2 * POOL])
        reuse = usage([world], STEPS).first_reuse_step
        axes.axvline((POOL // BATCH if reuse is None else reuse) - 0.5, color=GREY, linewidth=0.7, linestyle=":")
        axes.set_title(title, fontweight="normal")
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("index of the sample")
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
        waits = "--virtual-time-budget=8000"  # milliseconds: until the script has drawn its figures
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--window-size=1000,1500", waits]
        url = (folder / "report.html").resolve().as_uri()
        subprocess.run(["chromium", *options, f"--screenshot={picture}", url], check=True, capture_output=True)
        with Image.open(picture) as image:
            image.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def notebook(path: Path) -> None:
    """Run a notebook in a folder of its own and keep what it shows, of figures only the pictures."""
    import nbformat
    from nbclient import NotebookClient

    held = nbformat.read(path, as_version=4)
    metadata = dict(held.metadata)
    with tempfile.TemporaryDirectory() as away:
        NotebookClient(held, timeout=1_200, record_timing=False, resources={"metadata": {"path": away}}).execute()
    held.metadata = metadata
    for cell in held.cells:
        cell.get("outputs", [])[:] = [one for one in cell.get("outputs", []) if one.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            if "<iframe" in output.get("data", {}).get("text/html", ""):
                del output["data"]["text/html"]  # half a megabyte, which a notebook makes again when it is run
    nbformat.write(held, path)


if __name__ == "__main__":
    with mpl.rc_context(rc_style(sys.argv[1])):
        {"worlds": worlds, "claims": claims, "page": page, "notebook": notebook}[sys.argv[1]](*map(Path, sys.argv[2:]))

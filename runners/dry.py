"""What a study would cost, and which of its claims its seeds can settle, without running it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bootstrap.run import evaluation_steps
from reports.claims import fewest_seeds
from runners.engine import choose_device, plan
from runners.local import cores
from runners.packs import PackPlan
from runners.progress import duration
from runners.trial import Trial, measure


def describe(
    study: str | Path,
    out: Path | None = None,
    *,
    scale: str | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
) -> list[str]:
    """Lines about a study: cells, runs, steps, estimated time, and what its claims can come to.

    Raises:
        StudyError: all that is wrong with the study, at once.
    """  # fmt: skip
    chosen = choose_device(device)
    work = plan(study, out, scale=scale, changes=changes)
    real = [run for run in work.runs if run.rule != "ideal"]
    seeds = len({run.seed for run in work.runs})
    cells = len({run.cell_id for run in real})
    steps = sum(pack.steps for pack in work.packs)
    done = len(work.runs) - work.pending
    lines = [
        f"question   {work.raw['question']}",
        f"cells      {cells}, each with {seeds} seeds",
        f"runs       {len(real)} real + {len(work.runs) - len(real)} ideal = {len(work.runs)}"
        + (f", {done} of them done" if done else ""),
        f"steps      {steps:,} to do, {len(evaluation_steps(real[0].evaluation, real[0].max_steps))} evaluations a run",
    ]
    if work.packs:
        lines.append(f"time       about {duration(estimate(work.packs, chosen))} on {_where(chosen)}")
    return lines + [f"claim      {line}" for line in _claims(work.raw, seeds)]


def _where(device: str) -> str:
    return f"{cores()} cores" if device == "cpu" else torch.cuda.get_device_name()


def estimate(packs: list[PackPlan], device: str) -> float:
    """Seconds that these packs will take, from a short trial of each shape."""
    shapes: dict[str, tuple[PackPlan, int]] = {}
    for pack in packs:
        first = pack.runs[0]
        shape = f"{first.task} {first.model} {first.loss} {first.batch_size} {first.dtype} {len(pack.runs)}"
        held = shapes.get(shape)
        shapes[shape] = (pack, pack.steps + (held[1] if held else 0))
    seconds = sum(steps / measure(Trial(runs=list(pack.runs), device=device)).rate for pack, steps in shapes.values())
    return seconds / (min(cores(), len(packs)) if device == "cpu" else 1)


def _claims(raw: dict[str, Any], seeds: int) -> list[str]:
    claims = raw.get("claims", [])
    return [_claim(claim["kind"], needed, seeds) for claim, needed in zip(claims, fewest_seeds(claims), strict=True)]


def _claim(kind: str, needed: int | None, seeds: int) -> str:
    if needed is None:
        return f"{kind}: no number of seeds can settle it"
    short = f", has {seeds}: cannot reach a verdict" if seeds < needed else ""
    return f"{kind}: needs at least {needed} seeds{short}"

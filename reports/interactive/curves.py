"""The curves of all runs as they lie in a page: each once, with four significant digits, as plain lists and numbers.

A figure picks its lines from them, whatever the metric, the unit of time and the cells that are shown.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from deepboot.bootstrap import events
from deepboot.bootstrap.results import among
from deepboot.reports.cells import KEY, varied
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.chance import chance_of
from deepboot.reports.statistics.intervals import T_MIN
from deepboot.reports.text import count, setting

DIGITS = 4  # significant ones of every value
MOST_STEPS = 240  # of one curve; a figure is about 1,000 pixels wide
MOST_RUNS = 500  # of one world in one panel
MOST_IN_ALL = 10_000  # runs of all worlds and panels, unless these are too many for `T_MIN` runs of each
MEASURES = {"error": "error", "soft_error": "soft error", "loss": "loss"}
SIDES = ("test", "train")
MARKED = ("memorization", "grokking")  # events of runs that are marked on their curves


@dataclass(frozen=True)
class Curves:
    """Curves and what tells them apart, ready for JSON.

    Attributes:
        runs: columns of equal length: ``world, seed, status, grid`` (index), ``pace`` (seconds a step, None where
            unknown), ``ideal`` (index of the ideal partner, None without one), ``memorization, grokking`` (step of
            the evaluation that showed it, None without), ``chance`` (level of its errors, None where unknown).
        grids: evaluated steps and samples seen, each once for all runs that share them.
        cells: a panel each: ``name``, ``values`` of the swept settings as text, ``runs`` (indices, its own and the
            ideal partners).
        settings: the swept ones, by dotted name.
        metrics: by column of ``evaluations``, a list of values per run or None; an ideal run's ``train_`` is its
            online error or loss.
        limits: smallest and largest possible value of each metric, None where there is none.
        quantiles: of Student's t for 95 % intervals, by n from 3.
        thinned: evaluations of the longest curve if some of them are left out, else 0.
        crowded: most runs of a world in a panel if some of them are left out, else 0.
    """

    runs: dict[str, list[Any]]
    grids: list[dict[str, list[int]]]
    cells: list[dict[str, Any]]
    settings: list[str]
    metrics: dict[str, list[list[float | None] | None]]
    limits: dict[str, list[float | None]]
    quantiles: dict[int, float]
    thinned: int
    crowded: int


def curves_of(comparison: Comparison) -> Curves:
    """The curves of a comparison in steps: of all runs, or of some pairs of each panel where there are a great many."""
    panels, crowded = _some_pairs(comparison.panels(), comparison.runs_by_id["ideal_run_id"])
    cells, settings = panel_cells(comparison, panels)
    runs, evaluations = comparison.runs, comparison.evaluations
    if crowded:
        runs, evaluations = (table[among(table["run_id"], panels["run_id"])] for table in (runs, evaluations))
    index = {str(run_id): place for place, run_id in enumerate(runs["run_id"])}
    values, by_run = events.curves_of(evaluations), evaluations.groupby("run_id").indices
    rows = [np.asarray(by_run.get(run_id, ()), dtype=np.int64) for run_id in index]
    lattice = _lattice(values["step"])
    drawn = [own[_kept(values["step"][own], lattice)] for own in rows]
    grids, grid_of = _grids(values, drawn)
    members = max((len(cell["runs"]) for cell in cells), default=0)
    thinned = max((len(own) for own, chosen in zip(rows, drawn, strict=True) if len(chosen) < len(own)), default=0)
    return Curves(
        runs=_run_columns(runs, index) | {"grid": grid_of},
        grids=grids,
        cells=[{**cell, "runs": [index[run_id] for run_id in cell["runs"]]} for cell in cells],
        settings=settings,
        metrics=_metrics(values, drawn),
        limits=_limits(comparison),
        quantiles={n: rounded(special.stdtrit(n - 1, 0.975)) or 0.0 for n in range(T_MIN, members + 1)},
        thinned=thinned,
        crowded=crowded,
    )


def panel_cells(comparison: Comparison, panels: pd.DataFrame) -> tuple[list[dict[str, Any]], list[str]]:
    """Every panel's name, its values of the swept settings as text, and its run_ids; then the swept settings.

    Args:
        comparison: with a run of every panel.
        panels: rows of `Comparison.panels`.
    """
    first = comparison.runs.drop_duplicates("cell_id").set_index("cell_id").reindex(panels["cell_id"].unique())
    settings = varied(first)
    texts = {name: first[name].map(setting, na_action=None) for name in settings}
    groups = panels.groupby("cell_id", sort=False)
    cells = [
        {
            "name": str(rows["cell"].iloc[0]),
            "values": [plain(str(texts[name][cell_id])) for name in settings],
            "runs": [str(run_id) for run_id in rows["run_id"].drop_duplicates()],
        }
        for cell_id, rows in groups
    ]
    return cells, [plain(name) for name in settings]


def in_order(texts: Iterable[str]) -> list[str]:
    """Distinct values of a setting, as numbers where they are numbers.

    >>> in_order(["1,000", "0.3", "250", "0.3"])
    ['0.3', '250', '1,000']
    """
    return sorted(dict.fromkeys(texts), key=lambda text: (number(text) is None, number(text) or 0.0, text))


def number(text: str) -> float | None:
    """The number that a setting's text names, None where it names none."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def rounded(value: float) -> float | None:
    """A value with `DIGITS` significant digits; None where it is not finite, since JSON has no such number.

    >>> rounded(0.123456), rounded(float("nan"))
    (0.1235, None)
    """
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def plain(text: str) -> str:
    r"""A name in which Bokeh finds no formula, for which it would fetch a library: only $$…$$, \[…\] and \(…\) are.

    >>> plain("a $$x$$") == "a $$x$$", plain("optimizer.lr")
    (False, 'optimizer.lr')
    """
    for mark in ("$", "[", "]", "(", ")"):
        text = text.replace("$$" if mark == "$" else f"\\{mark}", f"{'$' if mark == '$' else chr(92)}\u200b{mark}")
    return text


def note_on(curves: Curves) -> str:
    """What is not drawn of long curves and of a great many runs; empty where everything is."""
    some = (
        f" Of up to {count(curves.crowded)} runs of a world in one panel some are here, evenly spread over the seeds, "
        "with their partners, and means are of these. The printed figures, the tables and the verdicts use all."
    )
    fewer = (
        f" Curves of up to {count(curves.thinned)} evaluations are drawn at no more than {MOST_STEPS + 1} of them, "
        "spread over the linear and the log axis: a peak between two of these is not seen here. The tables use all."
    )
    return f"{fewer if curves.thinned else ''}{some if curves.crowded else ''}"


def _some_pairs(panels: pd.DataFrame, partners: pd.Series) -> tuple[pd.DataFrame, int]:
    """At most so many runs of every world in every panel, evenly spread, of the ideal world the partners of others.

    Args:
        panels: rows of `Comparison.panels`.
        partners: ``ideal_run_id`` by run_id.

    Returns:
        the rows that are kept, and how many runs the largest world of a panel has if some are left out, else 0.
    """
    groups = panels.groupby(KEY, sort=False)["run_id"]
    sizes, places = groups.transform("size").to_numpy(), groups.cumcount().to_numpy()
    most = min(MOST_RUNS, max(T_MIN, MOST_IN_ALL // max(groups.ngroups, 1)))
    if sizes.max(initial=0) <= most:
        return panels, 0
    spread = (sizes <= most) | (places * most // sizes != (places - 1) * most // sizes)
    pooled = (panels["world"] != "ideal").to_numpy(dtype=bool)
    named = among(panels["run_id"], partners.reindex(panels.loc[pooled & spread, "run_id"]).dropna())
    alone = ~among(panels["cell_id"], panels.loc[pooled, "cell_id"])
    return panels[np.where(pooled | alone, spread, named)], int(sizes.max())


def _run_columns(runs: pd.DataFrame, index: dict[str, int]) -> dict[str, list[Any]]:
    seconds, last = (runs[name].to_numpy(dtype=float, na_value=np.nan) for name in ("seconds", "last_step"))
    with np.errstate(divide="ignore", invalid="ignore"):
        pace = seconds / last
    return {
        "world": [str(world) for world in runs["world"]],
        "seed": [None if pd.isna(seed) else int(seed) for seed in runs["seed"]],
        "status": [str(status) for status in runs["status"]],
        "pace": [rounded(value) for value in pace],
        "chance": [rounded(level) for level in chance_of(runs)],
        **{event: [None if pd.isna(step) else int(step) for step in runs[f"{event}_high"]] for event in MARKED},
        "ideal": [None if pd.isna(partner) else index.get(str(partner)) for partner in runs["ideal_run_id"]],
    }


def _grids(values: events.Curves, drawn: Sequence[np.ndarray]) -> tuple[list[dict[str, list[int]]], list[int]]:
    """Distinct columns of steps and samples, and which of them each run has."""
    places: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    chosen = []
    counts = [np.nan_to_num(values[name]).astype(np.int64) for name in ("step", "samples_seen")]
    for rows in drawn:
        steps, samples = (tuple(column[rows].tolist()) for column in counts)
        chosen.append(places.setdefault((steps, samples), len(places)))
    return [{"step": list(steps), "samples": list(samples)} for steps, samples in places], chosen


def _lattice(steps: np.ndarray) -> np.ndarray:
    """Steps spread evenly over the linear and over the log axis, up to the last evaluated one."""
    positive = steps[steps > 0]
    if not positive.size:
        return np.zeros(1)
    half = MOST_STEPS // 2
    spread = [np.linspace(0, positive.max(), half), np.geomspace(positive.min(), positive.max(), half)]
    return np.unique(np.concatenate(spread))


def _kept(steps: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """Positions of the evaluations that are drawn: all, or the first from each point of the lattice on, and the last.

    Runs that were evaluated at the same steps keep the same ones, so that means over them exist.
    """
    if steps.size <= MOST_STEPS:
        return np.arange(steps.size)
    places = np.searchsorted(steps, lattice)
    return np.unique(np.append(places[places < steps.size], steps.size - 1))


def _metrics(values: events.Curves, drawn: Sequence[np.ndarray]) -> dict[str, list[list[float | None] | None]]:
    """Every metric's values, run by run."""
    return {
        f"{side}_{measure}": [_metric(values, rows, side, measure) for rows in drawn]
        for side in SIDES
        for measure in MEASURES
    }


def _metric(values: events.Curves, rows: np.ndarray, side: str, measure: str) -> list[float | None] | None:
    """One run's values of one metric; None where it has none."""
    names = [f"train_{measure}", f"online_{measure}"] if side == "train" else [f"test_{measure}"]
    for name in names:
        if name in values and np.isfinite(values[name][rows]).any():
            return [rounded(value) for value in values[name][rows].tolist()]
    return None


def _limits(comparison: Comparison) -> dict[str, list[float | None]]:
    """Smallest and largest possible value of every metric."""
    bounds = {f"{side}_{measure}": comparison.limits(f"{side}_{measure}", comparison.runs) for side in SIDES
              for measure in MEASURES}  # fmt: skip
    return {name: [rounded(limits.low), rounded(limits.high)] for name, limits in bounds.items()}

"""The findings of a comparison in plain sentences, for the page and for the command line."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from deepboot.bootstrap.results import Results, among
from deepboot.reports.at_step import AT_STEP
from deepboot.reports.cells import KEY
from deepboot.reports.comparison import Comparison
from deepboot.reports.measures.events import event_bounds, step_table
from deepboot.reports.statistics.intervals import Bounds
from deepboot.reports.text import (
    EVENT_WORDS,
    at_step,
    count,
    known_to,
    listed,
    measure,
    percent,
    plural,
    span,
    step_span,
)

MOST_CELLS = 4


def finding(comparison: Comparison, confidence: float = 0.95) -> list[str]:
    """Each cell's memorisation and grokking steps in both worlds and its bootstrap error, then the runs that broke.

    Every sentence has its n. Only the first four cells have sentences, and one more counts the others.
    """
    cells, keys = _first_cells(comparison)
    shown = _of_cells(comparison, [key for keys_of_cell in keys.values() for key in keys_of_cell])
    steps = step_table(shown, confidence)
    timing: dict[Any, pd.DataFrame] = dict(list(steps.groupby(KEY, sort=False))) if len(steps) else {}
    at_stopping, at_end = shown.at_stopping(confidence=confidence), shown.at_end(confidence=confidence)
    errors = {one["cell_id"]: (one, two) for one, two in zip(_rows(at_stopping), _rows(at_end), strict=True)}
    sentences: dict[Any, str] = {}
    for cell, keys_of_cell in keys.items():
        for key in keys_of_cell:
            if key in timing:
                sentences.setdefault(key, _timing(timing[key], confidence))
        if cell in errors:
            sentences[cell] = _bootstrap_error(*errors[cell], confidence)
    rest = len(cells) - MOST_CELLS
    more = (
        [f"{count(rest)} more {'cell is' if rest == 1 else 'cells are'} in the tables of the report."]
        if rest > 0
        else []
    )
    return [*progress(comparison), *sentences.values(), *more, *excluded(comparison)]


def overview(comparison: Comparison) -> list[str]:
    """How many cells of a sweep grok, and the range of their bootstrap errors; nothing of as few cells as are spelt."""
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    bounds = event_bounds(real, "grokking").assign(cell_id=real["cell_id"]).dropna(subset="outcome")
    if bounds["cell_id"].nunique() <= MOST_CELLS:
        return []
    shares = (bounds["outcome"] == "reached").groupby(bounds["cell_id"]).mean()
    counts = [(int((shares == 1).sum()), "in every"), (int(shares.between(0, 1, inclusive="neither").sum()), "in some")]
    grok = ", ".join(f"{count(n)} grok {words} run" for n, words in counts if n) or "none groks in any run"
    return [f"Of {plural(len(shares), 'cell')} on a pool, {grok}.", *_extremes(comparison)]


def unreached(comparison: Comparison) -> str:
    """The sentence that no run on a pool generalised, or even memorised; empty where one did or some are under way."""
    real = comparison.runs[comparison.runs["world"] != "ideal"]
    outcomes = {event: event_bounds(real, event)["outcome"].dropna() for event in ("memorization", "grokking")}
    never = [event for event, found in outcomes.items() if len(found) and not (found == "reached").any()]
    if "grokking" not in never or (real["status"] == "unfinished").any():
        return ""
    steps = {count(int(step)) for step in real["last_step"].agg(["min", "max"])}
    words = "memorised or generalised" if "memorization" in never else "generalised"
    worlds = listed(map(str, real["world"].unique()), " or ")
    within = " to ".join(sorted(steps, key=lambda text: int(text.replace(",", ""))))
    return f"No run of the {worlds} world {words} within its {within} steps."


def _extremes(comparison: Comparison) -> list[str]:
    """The cells with the smallest and the largest bootstrap error at the end."""
    table = comparison.at_end().dropna(subset="bootstrap_error").sort_values("bootstrap_error", kind="stable")
    if len(table) < 2:
        return []
    (low, first), (high, last) = ((row["bootstrap_error"], row["cell"]) for _, row in table.iloc[[0, -1]].iterrows())
    return [f"The bootstrap error {AT_STEP['end']} goes from {measure(low)} ({first}) to {measure(high)} ({last})."]


def _first_cells(comparison: Comparison) -> tuple[list[str], dict[str, list[tuple[Any, ...]]]]:
    """The panels' cells, and for the first ones the keys of the cells whose runs are in it, the ideal ones last."""
    panels, runs = comparison.panels(), comparison.runs
    cells = [str(cell) for cell in panels["cell_id"].unique()]
    by_cell = {cell: panels.loc[panels["cell_id"] == cell, "run_id"] for cell in cells[:MOST_CELLS]}
    return cells, {cell: _cells_of(runs[among(runs["run_id"], shown)]) for cell, shown in by_cell.items()}


def _of_cells(comparison: Comparison, keys: list[tuple[Any, ...]]) -> Comparison:
    """The comparison of these cells alone: a study may have thousands, and has sentences for a few."""
    tables = comparison.runs_by_cell
    if set(keys) >= set(tables):
        return comparison
    kept = [tables[key].index for key in dict.fromkeys(keys)]
    return replace(comparison, runs=comparison.runs.loc[sorted(index for part in kept for index in part)])


def progress(comparison: Comparison) -> list[str]:
    """The progress of each folder's study that is under way or interrupted, and its damaged files."""
    return [sentence for source in comparison.sources for sentence in _progress(source, len(comparison.sources) > 1)]


def _progress(source: Results, several: bool) -> list[str]:
    runs = source.runs[among(source.runs["run_id"], source.planned)]
    under_way = int((runs["status"] == "unfinished").sum())
    ended, planned = len(runs) - under_way, len(source.planned)
    if ended == planned:
        return list(source.damage)
    where = f" in {source.folder}" if several else ""
    left = [
        *([f"{count(under_way)} {'is' if under_way == 1 else 'are'} under way"] if under_way else []),
        *([f"{count(rest)} {'has' if rest == 1 else 'have'} not begun"] if (rest := planned - len(runs)) else []),
    ]
    done = f"{count(ended)} of {plural(planned, 'run')}{where} {'is' if ended == 1 else 'are'} done"
    return [f"So far: {', '.join([done, *left])}.", *source.damage]


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.to_dict("records")


def _cells_of(runs: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The cells of these runs, the ideal ones last."""
    keys = runs[KEY].drop_duplicates().itertuples(index=False, name=None)
    return sorted(keys, key=lambda key: key[1] == "ideal")


def excluded(comparison: Comparison) -> list[str]:
    """Sentences that name the runs that diverged, the runs that failed, and the runs without their partner."""
    runs, pairs = comparison.runs, comparison.pairs()
    groups = {
        "diverged": runs[runs["status"] == "diverged"],
        "failed": runs[runs["status"] == "failed"],
        "without its ideal partner": pairs[pairs["ideal_status"].isna()],
    }
    return [_named(group, outcome, len(runs)) for outcome, group in groups.items() if len(group)]


def _named(runs: pd.DataFrame, outcome: str, of: int) -> str:
    names = [f"{run['run_id']} ({run['cell']}, seed {run['seed']})" for run in runs.to_dict("records")]
    return f"{plural(len(runs), 'run')} of {count(of)} {outcome}: {listed(names)}."


def _article(cell: str, world: str) -> str:
    """The article "the", after the settings in which the cell differs from others."""
    rest = cell.removeprefix(world).removeprefix(", ")
    return f"With {rest}, the" if rest else "The"


def _timing(rows: pd.DataFrame, confidence: float) -> str:
    cell, world = rows["cell"].iloc[0], rows["world"].iloc[0]
    clauses = [_event(row, confidence) for row in rows.to_dict("records") if row["event"] != "stopping"]
    told = f"{_article(cell, world)} {world} world {' and '.join(clauses) or 'measures neither event'}"
    return f"{told}{_closeness(rows)}."


def _closeness(rows: pd.DataFrame) -> str:
    """How closely the least known of these medians is known, as the end of a sentence."""
    ends = rows.loc[rows["event"] != "stopping", ["median_low", "median_high"]]
    close = [pair for pair in ends.itertuples(index=False, name=None) if known_to(pair)]
    widest = max(close, key=lambda pair: pair[1] / pair[0], default=None)
    return f"; evaluations fix these steps to within {known_to(widest)}" if widest else ""


def _event(row: dict[Any, Any], confidence: float) -> str:
    does, do = EVENT_WORDS[row["event"]].verb_singular, EVENT_WORDS[row["event"]].verb
    where = f"median of {plural(row['n'], 'run')}, {_interval(row, confidence)}"
    if row["reached"] == 0:
        return f"never {does} by step {count(row['budget'])} ({_counts(row) or plural(row['n'], 'run')})"
    if math.isinf(row["median_high"]):
        return f"does not {do} by step {count(row['budget'])} ({where}; {row['reached']} of {row['n']} {do})"
    counts = _counts(row)
    step = at_step(row["median_low"], row["median_high"])
    return f"{does} {step} ({where}{f'; {counts}' if counts else ''})"


def _interval(row: dict[Any, Any], confidence: float) -> str:
    if math.isnan(row["low"]):
        return "too few for an interval"
    return f"{percent(confidence)} interval {step_span(row['low'], row['high'], row['budget'])}"


def _counts(row: dict[Any, Any]) -> str:
    words = {"censored": EVENT_WORDS[row["event"]].never, "diverged": "diverged before", "failed": "failed before"}
    return ", ".join(f"{row[outcome]} of {row['n']} {word}" for outcome, word in words.items() if row[outcome])


def _bootstrap_error(stopping: dict[Any, Any], end: dict[Any, Any], confidence: float) -> str:
    row, step = (stopping, AT_STEP["stopping"]) if stopping["n"] else (end, AT_STEP["end"])
    prefix = _article(stopping["cell"], stopping["world"])
    if not row["n"]:
        return f"{prefix} bootstrap error is not defined: no pair reaches a stopping step or ends ({stopping['note']})."
    interval = None if math.isnan(row["low"]) else Bounds(row["low"], row["high"])
    quoted = f"{percent(confidence)} interval {span(interval)}" if interval else "too few for an interval"
    gap = row["generalization_gap"]
    beside = "" if math.isnan(gap) else f" The generalisation gap, {row['world']} test − train, is {measure(gap)}."
    none = "" if stopping["n"] else "; no pair reaches a stopping step"
    counted = f"{row['n']} of {plural(row['pairs'], 'pair')}{none}"
    return (
        f"{prefix} bootstrap error ({row['world']} − ideal, {row['metric'].replace('_', ' ')}) {step} is "
        f"{measure(row['bootstrap_error'], interval)} ({quoted}, {counted}).{beside}"
    )

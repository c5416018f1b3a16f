"""Differences between the groups that a verdict compares: settings of cells, or the index rules of two worlds."""

import pandas as pd

from deepboot.reports.cells import KEY, settings_of
from deepboot.reports.claims.explain.missing_runs import both_worlds, judged_cells
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Evidence
from deepboot.reports.text import count, listed, measure, setting

POOL = ("world", "training.world.rule", "train_size", "train_fraction")  # settings of an index rule
REPEATED = ("task.name", "model.name", "optimizer.name", "training.world.rule")  # other columns have the same values


def compared(judgement: Judgement) -> list[str]:
    """Sentences on the differences; none for a claim about one cell's own runs."""
    cells = judged_cells(judgement)
    sentences = [_between_cells(cells)] if len(cells) > 1 else []
    pairs = pd.concat([cell.pairs.dropna(subset=["ideal_status"]) for cell in cells]) if cells else pd.DataFrame()
    return [*sentences, _between_worlds(cells, pairs)] if both_worlds(judgement) and len(pairs) else sentences


def _between_cells(cells: list[Evidence]) -> str:
    first = pd.concat([cell.runs.head(1) for cell in cells])
    names = [name for name in settings_of(first) if name not in REPEATED]
    values = {name: list(dict.fromkeys(map(setting, first[name]))) for name in names}
    differing = [f"{name} ({listed(several)})" for name, several in values.items() if len(several) > 1]
    return f"The {len(cells)} cells differ in {'; '.join(differing) or 'no setting'}. All other settings are the same."


def _between_worlds(cells: list[Evidence], pairs: pd.DataFrame) -> str:
    ideal = cells[0].comparison.runs.set_index("run_id").loc[pairs["ideal_run_id"]]
    names = [name for name in settings_of(pairs) if name not in (*POOL, *REPEATED)]
    of_cells = pairs[KEY].assign(ideal=ideal["cell_id"].to_numpy())
    first = ~of_cells.duplicated().to_numpy()  # the runs of a cell differ in their seed alone
    other = [name for name in names if _differs(pairs.loc[first, name], ideal.loc[first, name])]
    sizes = list(dict.fromkeys(count(size) for size in pairs["train_size"].dropna()))
    pool = f" with N = {listed(sizes)}" if sizes else ""
    known = pairs["reuse"].notna().any() and ideal["reuse"].notna().any()
    used = f"; a sample is used {_uses(pairs)} on average, in the ideal world {_uses(ideal)}" if known else ""
    rest = f"They also differ in {', '.join(other)}." if other else "All other settings are the same."
    worlds = " and ".join(f"{world} world" for world in pairs["world"].unique())
    return f"A pair shares its seed and differs in the index rule, {worlds}{pool} against ideal world{used}. {rest}"


def _differs(one: pd.Series, other: pd.Series) -> bool:
    return [setting(value) for value in one] != [setting(value) for value in other]


def _uses(runs: pd.DataFrame) -> str:
    low, high = float(runs["reuse"].min()), float(runs["reuse"].max())
    if low == high == 1:
        return "once"
    return f"{_number(low)} times" if low == high else f"{_number(low)} to {_number(high)} times"


def _number(value: float) -> str:
    return count(value) if value >= 100 else measure(value)

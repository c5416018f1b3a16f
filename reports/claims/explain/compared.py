"""What differs between the arms that a verdict compares: settings of cells, or the index rules of two worlds."""

import pandas as pd

from deepboot.reports.cells import settings_of
from deepboot.reports.claims.explain.missing_runs import both_worlds, places
from deepboot.reports.claims.judgement import Judgement
from deepboot.reports.claims.kind import Evidence
from deepboot.reports.text import count, listed, measure, setting

POOL = ("world", "training.world.rule", "train_size", "train_fraction")  # what an index rule says of a pool
REPEATED = ("task.name", "model.name", "optimizer.name", "training.world.rule")  # other columns have said them


def contrast(judgement: Judgement) -> list[str]:
    """Sentences on what differs; none where a claim is about one cell's own runs."""
    each = places(judgement)
    said = [_between_cells(each)] if len(each) > 1 else []
    pairs = pd.concat([one.pairs.dropna(subset=["ideal_status"]) for one in each]) if each else pd.DataFrame()
    return [*said, _between_worlds(each, pairs)] if both_worlds(judgement) and len(pairs) else said


def _between_cells(each: list[Evidence]) -> str:
    first = pd.concat([one.runs.head(1) for one in each])
    names = [name for name in settings_of(first) if name not in REPEATED]
    values = {name: list(dict.fromkeys(map(setting, first[name]))) for name in names}
    differing = [f"{name} ({listed(held)})" for name, held in values.items() if len(held) > 1]
    return f"The {len(each)} cells differ in {'; '.join(differing) or 'no setting'}. All other settings are the same."


def _between_worlds(each: list[Evidence], pairs: pd.DataFrame) -> str:
    ideal = each[0].comparison.runs.set_index("run_id").loc[pairs["ideal_run_id"]]
    names = [name for name in settings_of(pairs) if name not in (*POOL, *REPEATED)]
    other = [name for name in names if _differs(pairs[name], ideal[name])]
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
